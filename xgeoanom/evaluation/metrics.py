"""What a score is worth against labels or deposits: AUC, ROC, capture and class metrics."""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import xarray as xr

from xgeoanom.conventions import BACKGROUND, DEPOSIT, X, Y, check_same_grid, provenance
from xgeoanom.errors import LabelError
from xgeoanom.evaluation.classify import cells_in
from xgeoanom.evaluation.deposits import deposit_scores
from xgeoanom.evaluation.scored_places import Score, scored


def auc(score: xr.DataArray, labels: xr.DataArray) -> float:
    """Return the area under the ROC curve of deposit against background cells.

    It is the chance that a deposit cell scores higher than a background cell, ties counting
    one half (Mann-Whitney). Cells go by the label: unlabelled cells (-1) and cells without a
    score take no part. Label blocks are neighbours, and drawn backgrounds are a few of many;
    :func:`honest_auc` counts targets against every cell away from deposits.

    Parameters
    ----------
    score : DataArray
        Score ``(y, x)``; NaN is missing. A chunked score is computed.
    labels : DataArray
        Labels ``(y, x)``: 1 deposit, 0 background, -1 unlabelled.

    Raises
    ------
    LabelError
        If no scored cell is labelled 1, or none 0.

    Examples
    --------
    >>> grid = {"y": [0.0, 1.0], "x": [0.0, 1.0]}
    >>> score = xr.DataArray([[0.9, 0.5], [0.5, 0.1]], coords=grid, dims=("y", "x"))
    >>> labels = xr.DataArray([[1, 1], [0, 0]], coords=grid, dims=("y", "x"))
    >>> auc(score, labels)
    0.875
    """
    return rank_auc(*_by_class(score, labels))


def auc_standard_error(auc: float, n_positive: int, n_negative: int) -> float:
    """Return the standard error of an AUC after Hanley and McNeil (1982).

    It takes examples as independent: give it deposits, not the cells of their blocks.

    Examples
    --------
    >>> round(auc_standard_error(0.905, 19, 77_000), 3)
    0.046
    """
    if not 0 <= auc <= 1 or min(n_positive, n_negative) < 1:
        raise LabelError(
            f"auc={auc}, n_positive={n_positive}, n_negative={n_negative}: the AUC lies between "
            "0 and 1 and both counts are at least 1"
        )
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0.0) / (n_positive * n_negative)))


def roc_curve(score: xr.DataArray, labels: xr.DataArray) -> xr.Dataset:
    """Return true and false positive rate by threshold, deposit against background cells.

    Parameters and errors are those of :func:`auc`. The first threshold is infinite, so the
    curve starts at (0, 0); it has one point per distinct score.

    Returns
    -------
    Dataset
        ``false_positive_rate`` and ``true_positive_rate`` over ``threshold``; the attr ``auc``
        is the area below.

    Examples
    --------
    >>> grid = {"y": [0.0, 1.0], "x": [0.0, 1.0]}
    >>> score = xr.DataArray([[0.9, 0.5], [0.5, 0.1]], coords=grid, dims=("y", "x"))
    >>> labels = xr.DataArray([[1, 1], [0, 0]], coords=grid, dims=("y", "x"))
    >>> roc_curve(score, labels)["true_positive_rate"].values
    array([0. , 0.5, 1. , 1. ])
    """
    positives, negatives = _by_class(score, labels)
    scores = np.unique(np.concatenate([positives, negatives]))[::-1]
    thresholds = np.concatenate([[np.inf], scores])
    rates = {
        f"{kind}_positive_rate": _rate_reaching(thresholds, values, f"{kind} positive rate")
        for kind, values in (("false", negatives), ("true", positives))
    }
    attrs = provenance("roc_curve") | {"auc": rank_auc(positives, negatives)}
    return xr.Dataset(rates, coords={"threshold": thresholds}, attrs=attrs)


def _rate_reaching(thresholds: np.ndarray, values: np.ndarray, long_name: str) -> xr.Variable:
    below = np.searchsorted(np.sort(values), thresholds)
    return xr.Variable("threshold", 1 - below / values.size, {"long_name": long_name, "units": "1"})


def placements(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Return the share of ``negatives`` below each of ``positives``; ties count one half."""
    return _halves_below(positives, negatives) / (2 * negatives.size)


def rank_auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Return the AUC of two sets of scores; both must hold something."""
    # A sum of integers: the same to the last bit in any order of cells.
    halves = int(_halves_below(positives, negatives).sum())
    return halves / (2 * positives.size * negatives.size)


def _halves_below(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    order = np.sort(negatives)
    return np.searchsorted(order, positives, "left") + np.searchsorted(order, positives, "right")


def capture_curve(
    score: Score,
    deposits: gpd.GeoDataFrame | xr.DataArray,
    *,
    max_distance: float | None = None,
) -> xr.DataArray:
    """Return the share of deposits captured by the share of area scored highest.

    A deposit is captured by an area once the cells that score at least as high as the deposit
    fit into it, so tied cells count against it. Deposits count once each, whatever their number
    of cells.

    Parameters
    ----------
    score : DataArray or GeoDataFrame
        A raster ``(y, x)``, or samples (points) with a column ``score``; NaN is missing. A
        chunked score is computed. Each cell or sample is one share of the area.
    deposits : GeoDataFrame or DataArray
        Points: each takes the score of the cell that holds it. Or labels with their ``deposit``
        ids: each deposit takes the median score of its block, since the block's maximum would
        flatter it. Deposits on no scored cell take no part; attr ``n_unscored`` counts them.
    max_distance : float, optional
        A point takes the score of the nearest scored cell or sample within so many metres
        instead; needed with samples.

    Returns
    -------
    DataArray
        Captured share over ``area`` (share of the scored area), one step per deposit, from
        (0, 0) to (1, 1).

    Raises
    ------
    LabelError
        If no deposit lies on a scored cell.

    Examples
    --------
    >>> grid = {"y": np.arange(10.0), "x": np.arange(10.0)}
    >>> score = xr.DataArray(np.arange(100.0).reshape(10, 10), coords=grid, dims=("y", "x"))
    >>> labels = xr.full_like(score, -1, dtype="int8")
    >>> labels[9, 9], labels[8, 0] = 1, 1
    >>> capture_curve(score, labels).to_series().to_dict()
    {0.0: 0.0, 0.01: 0.5, 0.2: 1.0, 1.0: 1.0}
    """
    ranks, n_cells, n_unscored = deposit_ranks(score, deposits, max_distance)
    steps, counts = np.unique(ranks, return_counts=True)
    area = np.concatenate([[0.0], steps / n_cells])
    captured = np.concatenate([[0.0], np.cumsum(counts) / ranks.size])
    if area[-1] < 1:
        area, captured = np.append(area, 1.0), np.append(captured, 1.0)
    curve = _capture(area, captured, provenance("capture_curve"))
    return curve.assign_attrs(n_deposits=ranks.size, n_unscored=n_unscored)


def capture_at(
    score: Score,
    deposits: gpd.GeoDataFrame | xr.DataArray,
    areas: Sequence[float] = (0.05, 0.15, 0.30),
    *,
    max_distance: float | None = None,
) -> xr.DataArray:
    """Return the share of deposits captured within given shares of the scored area.

    See :func:`capture_curve`; the shares are rounded to whole cells as :func:`classify` does,
    so without ties these are the deposits inside its classes. :func:`capture_band` adds how
    uncertain they are.

    Examples
    --------
    >>> grid = {"y": np.arange(10.0), "x": np.arange(10.0)}
    >>> score = xr.DataArray(np.arange(100.0).reshape(10, 10), coords=grid, dims=("y", "x"))
    >>> labels = xr.full_like(score, -1, dtype="int8")
    >>> labels[9, 9], labels[8, 0] = 1, 1
    >>> capture_at(score, labels).values
    array([0.5, 0.5, 1. ])
    """
    ranks, n_cells, n_unscored = deposit_ranks(score, deposits, max_distance)
    captured = captured_within(areas, ranks, n_cells).mean(axis=1)
    capture = _capture(np.array(areas, dtype="float64"), captured, provenance("capture_at"))
    return capture.assign_attrs(n_deposits=ranks.size, n_unscored=n_unscored)


def deposit_ranks(
    score: Score, deposits: gpd.GeoDataFrame | xr.DataArray, max_distance: float | None
) -> tuple[np.ndarray, int, int]:
    """Return how many cells reach each deposit's score, the scored cells, and deposits left out."""
    score = score.compute() if isinstance(score, xr.DataArray) else score
    at_deposits = deposit_scores(score, deposits, max_distance)
    found = ~np.isnan(at_deposits)
    if not found.any():
        raise LabelError(
            f"none of the {found.size} deposits lies on a scored cell; check their CRS and the map"
        )
    order = np.sort(scored(score)[0])
    ranks = order.size - np.searchsorted(order, at_deposits[found], side="left")
    return ranks, order.size, int((~found).sum())


def captured_within(areas: Sequence[float], ranks: np.ndarray, n_cells: int) -> np.ndarray:
    """Return whether each share of area captures each deposit, ``(area, deposit)``."""
    if wrong := [area for area in areas if not 0 < area <= 1]:
        raise LabelError(f"areas={wrong} must be shares above 0 and at most 1; try 0.05")
    cells = np.array([cells_in(area, n_cells) for area in areas])
    return ranks <= cells[:, np.newaxis]


def _capture(area: np.ndarray, captured: Sequence[float] | np.ndarray, attrs: dict) -> xr.DataArray:
    area_attrs = {"long_name": "share of scored area", "units": "1"}
    return xr.DataArray(
        np.asarray(captured),
        coords={"area": ("area", area, area_attrs)},
        dims="area",
        name="capture",
        attrs={"long_name": "share of deposits captured", "units": "1", **attrs},
    )


def metrics(
    score: xr.DataArray, labels: xr.DataArray, *, threshold: float = 0.5
) -> dict[str, float]:
    """Return the seven metrics of Zhang, Xiong, Chen (2026) for deposit and background cells.

    Cells that score ``threshold`` or more are called deposits. Kappa uses the chance agreement
    ``Pe = [(TP + FP)(TP + FN) + (FN + TN)(FP + TN)] / n**2``; its printed form is garbled.
    Precision and MCC are 0 where nothing, or everything, is called a deposit.

    Parameters and errors are those of :func:`auc`.

    Returns
    -------
    dict
        ``accuracy``, ``auc``, ``kappa``, ``mcc``, ``precision``, ``recall``, ``f1``.

    Examples
    --------
    >>> grid = {"y": [0.0, 1.0], "x": [0.0, 1.0]}
    >>> score = xr.DataArray([[0.9, 0.5], [0.6, 0.1]], coords=grid, dims=("y", "x"))
    >>> labels = xr.DataArray([[1, 1], [0, 0]], coords=grid, dims=("y", "x"))
    >>> metrics(score, labels)["kappa"]
    0.5
    """
    positives, negatives = _by_class(score, labels)
    tp, fp = int((positives >= threshold).sum()), int((negatives >= threshold).sum())
    fn, tn = positives.size - tp, negatives.size - fp
    n = tp + fp + fn + tn
    accuracy = (tp + tn) / n
    chance = ((tp + fp) * (tp + fn) + (fn + tn) * (fp + tn)) / n**2
    spread = np.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    return {
        "accuracy": accuracy,
        "auc": rank_auc(positives, negatives),
        "kappa": (accuracy - chance) / (1 - chance),
        "mcc": float((tp * tn - fp * fn) / spread) if spread else 0.0,
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
    }


def _by_class(score: xr.DataArray, labels: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of deposit and of background cells, missing ones left out."""
    check_same_grid(labels, score, "labels")
    values = score.transpose(Y, X).values
    marks = labels.transpose(Y, X).values
    scored = ~np.isnan(values)
    positives = values[scored & (marks == DEPOSIT)]
    negatives = values[scored & (marks == BACKGROUND)]
    if positives.size == 0:
        raise LabelError("labels has no 1 (deposit) on a scored cell; see label_deposits")
    if negatives.size == 0:
        raise LabelError(
            "labels has no 0 (background) on a scored cell; add some with draw_background, or use "
            "honest_auc, which takes every cell away from deposits"
        )
    return positives, negatives
