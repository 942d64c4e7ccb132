"""Weights of evidence: how binary patterns raise or lower the odds of a deposit."""

from typing import Any

import numpy as np
import xarray as xr
from scipy.special import expit
from scipy.stats import norm

from xgeoanom.conventions import DEPOSIT, X, Y, cell_size, check_same_grid, provenance, raster_on
from xgeoanom.errors import EvidenceError, LabelError
from xgeoanom.geology.labels import check_labels

EVIDENCE = "evidence"
TABLE = {
    "w_plus": "weight where the pattern is present",
    "w_minus": "weight where the pattern is absent",
    "w_plus_variance": "variance of the weight where present",
    "w_minus_variance": "variance of the weight where absent",
    "contrast": "contrast, the difference of the weights",
    "studentised_contrast": "contrast over its standard error",
}


def weights_of_evidence(patterns: xr.Dataset, labels: xr.DataArray) -> xr.Dataset:
    """Posterior probability of a deposit from binary patterns, taken as independent.

    Parameters
    ----------
    patterns : Dataset
        Rasters ``(y, x)`` of 1 (present), 0 (absent) and NaN (unknown): a fault's buffer, an
        element above a threshold, ...
    labels : DataArray
        ``(y, x)``: 1 deposit; all other cells count as without. One cell for each deposit, as
        ``label_deposits(..., radius_cells=0)`` gives, lest blocks count a deposit nine times.

    Returns
    -------
    Dataset
        ``score``, the posterior probability of a cell, and ``posterior_std``, both ``(y, x)``; a
        pattern that is unknown in a cell adds nothing there, and a cell in which all are unknown
        is NaN. Coords over ``evidence``: ``w_plus``, ``w_minus``, their variances,
        ``contrast``, ``studentised_contrast``. Attrs: ``n_deposits``; ``expected_deposits``, the
        sum of the posterior; and of the test of conditional independence ``independence_z`` and
        ``independence_p``, one-sided: a small p says that patterns repeat each other and the
        posterior is too high. Counts are of the whole map: chunked input is computed.

    Raises
    ------
    EvidenceError
        If there is no pattern, or one holds other values, or is the same everywhere.
    LabelError
        If labels are wrong, or no deposit or no other cell lies on known ground.
    GridError, CRSError
        If a raster lies on another grid.

    Notes
    -----
    Bonham-Carter (1994), Geographic Information Systems for Geoscientists, section 9.2-9.4; the
    test: Agterberg and Cheng (2002), Nat. Resour. Res. 11, 249. Where one of a pattern's four
    counts is 0, one half is added to all four (Haldane, 1956, Ann. Hum. Genet. 20, 309), and the
    attr ``corrected`` names the pattern.

    Examples
    --------
    >>> grid = {"y": np.arange(4.0), "x": np.arange(5.0)}
    >>> fault = xr.DataArray(np.zeros((4, 5)), grid, dims=("y", "x"))
    >>> labels = xr.full_like(fault, -1, dtype="int8")
    >>> fault[:, :2], labels[0, 0], labels[1, 1], labels[2, 4] = 1.0, 1, 1, 1
    >>> found = weights_of_evidence(xr.Dataset({"fault": fault}), labels)
    >>> found["w_plus"].values.round(3), found["w_minus"].values.round(3)
    (array([0.636]), array([-0.663]))
    """
    names = _check_patterns(patterns)
    check_labels(labels, patterns)
    values = np.stack([patterns[name].transpose(Y, X).values for name in names]).astype("float64")
    _check_values(values, names)
    known = np.isfinite(values).any(axis=0)
    deposit = (labels.transpose(Y, X).values == DEPOSIT) & known
    n, n_cells = int(deposit.sum()), int(known.sum())
    if n == 0 or n == n_cells:
        raise LabelError(
            f"labels mark {n} of the {n_cells} cells with known patterns as deposits; there must "
            "be some of either kind"
        )
    counts = np.stack([tally(layer, deposit) for layer in values])
    empty = (counts == 0).any(axis=(1, 2))
    table = weights_of(counts)
    posterior, std = posterior_of(values, table, n, n_cells)
    posterior[~known], std[~known] = np.nan, np.nan
    attrs = {
        **provenance("weights_of_evidence", patterns=names),
        "n_deposits": n,
        "corrected": ", ".join(name for name, one in zip(names, empty, strict=True) if one),
        **independence(values[:, known], posterior[known], std[known], n),
    }
    like = patterns[names[0]]
    maps = {
        "score": raster_on(
            like, posterior, name="score", long_name="posterior probability", attrs=attrs
        ),
        "posterior_std": raster_on(
            like, std, name="posterior_std", long_name="its standard deviation", attrs=attrs
        ),
    }
    rows = {key: (EVIDENCE, table[key], {"long_name": text}) for key, text in TABLE.items()}
    return xr.Dataset(maps).assign_coords({EVIDENCE: names, **rows})


def _check_patterns(patterns: xr.Dataset) -> list[str]:
    if not isinstance(patterns, xr.Dataset):
        raise EvidenceError(
            f"patterns is a {type(patterns).__name__}; give a Dataset of binary rasters"
        )
    names = [str(name) for name in patterns.data_vars]
    if not names:
        raise EvidenceError("patterns holds no raster; give one or more of 1, 0 and NaN")
    cell_size(patterns)
    for name in names:
        check_same_grid(patterns[name], patterns, name)  # type: ignore[arg-type]
    return names


def _check_values(values: np.ndarray, names: list[str]) -> None:
    for name, layer in zip(names, values, strict=True):
        found = np.unique(layer[~np.isnan(layer)])
        if not np.isin(found, (0, 1)).all():
            raise EvidenceError(
                f"patterns[{name!r}] holds {found[:4].tolist()}; only 1, 0 and NaN are allowed: "
                "cut it at a threshold, and keep NaN with .where(raster.notnull())"
            )
        if found.size < 2:
            raise EvidenceError(
                f"patterns[{name!r}] is {found.tolist()} in all known cells and tells nothing; "
                "drop it"
            )


def tally(layer: np.ndarray, deposit: np.ndarray) -> np.ndarray:
    """Return known cells by pattern (present, absent) and deposit (with, without)."""
    return np.array(
        [
            [((layer == present) & (deposit == with_one)).sum() for with_one in (True, False)]
            for present in (1, 0)
        ],
        dtype="float64",
    )


def weights_of(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return weights and variances from counts ``(..., pattern, deposit)``, corrected for 0."""
    counts = np.where((counts == 0).any(axis=(-2, -1), keepdims=True), counts + 0.5, counts)
    weights = np.log(counts / counts.sum(axis=-2, keepdims=True))
    weights = weights[..., 0] - weights[..., 1]
    variances = (1 / counts).sum(axis=-1)
    contrast = weights[..., 0] - weights[..., 1]
    return {
        "w_plus": weights[..., 0],
        "w_minus": weights[..., 1],
        "w_plus_variance": variances[..., 0],
        "w_minus_variance": variances[..., 1],
        "contrast": contrast,
        "studentised_contrast": contrast / np.sqrt(variances.sum(axis=-1)),
    }


def posterior_of(
    values: np.ndarray, table: dict[str, np.ndarray], n: int, n_cells: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior and its standard deviation from patterns ``(evidence, ...)``."""
    prior = np.log(n / (n_cells - n))
    logit = prior + sum_of_weights(values, table["w_plus"], table["w_minus"])
    variances = table["w_plus_variance"], table["w_minus_variance"]
    posterior = expit(logit)
    # Bonham-Carter (1994), eq. 9-30
    return posterior, posterior * np.sqrt(1 / n + sum_of_weights(values, *variances))


def sum_of_weights(values: np.ndarray, present: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """Add up over ``(evidence, ...)`` what is present and what is absent; unknown adds 0."""
    total = np.zeros(values.shape[1:])
    for layer, plus, minus in zip(values, present, absent, strict=True):
        total += np.where(layer == 1, plus, np.where(layer == 0, minus, 0.0))
    return total


def independence(
    values: np.ndarray, posterior: np.ndarray, std: np.ndarray, n: int
) -> dict[str, Any]:
    """Return the sum of the posterior against ``n``, tested (Agterberg and Cheng, 2002)."""
    expected = float(posterior.sum())
    # Cells of one unique condition share one posterior, and its error.
    condition = np.unique(np.nan_to_num(values, nan=2.0), axis=1, return_inverse=True)[1].ravel()
    spread = float(np.sqrt((np.bincount(condition, std) ** 2).sum()))
    z = (expected - n) / spread
    return {
        "expected_deposits": expected,
        "independence_z": z,
        "independence_p": float(norm.sf(z)),
    }
