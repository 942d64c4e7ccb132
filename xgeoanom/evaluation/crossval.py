"""Cross-validation by fold: what a detector scores on ground that it never learnt from."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr
from scipy import ndimage
from tqdm.auto import tqdm

from xgeoanom.conventions import (
    BACKGROUND,
    DEPOSIT,
    UNLABELLED,
    X,
    Y,
    cell_size,
    cube_of,
    provenance,
    raster_of,
    raster_on,
)
from xgeoanom.errors import LabelError, XGeoAnomError
from xgeoanom.evaluation.folds import RANDOM
from xgeoanom.evaluation.metrics import rank_auc
from xgeoanom.geology.labels import deposit_ids

if TYPE_CHECKING:
    from xgeoanom.detectors.base import Detector

BLOCK_CELLS = 64

FromLabels: TypeAlias = Callable[[xr.DataArray, xr.DataArray], xr.DataArray]
Evidence: TypeAlias = xr.Dataset | Callable[[xr.DataArray], xr.Dataset] | None


@dataclass(frozen=True)
class _Split:
    """One fold: where it lies, the labels left for training, and where training may look."""

    fold: int
    held_out: np.ndarray
    labels: xr.DataArray
    open_ground: np.ndarray

    def deposits(self, ids: np.ndarray) -> tuple[int, int]:
        """Return the number of deposits in training and in the fold."""
        training = np.unique(ids[(self.labels.values == DEPOSIT) & (ids >= 0)])
        return training.size, np.unique(ids[self.held_out & (ids >= 0)]).size


def cross_validate(
    ds: xr.Dataset | xr.DataArray,
    detector: "Detector | FromLabels",
    labels: Hashable | xr.DataArray,
    folds: Hashable | xr.DataArray,
    *,
    evidence: Evidence = None,
    buffer_cells: int,
) -> xr.Dataset:
    """Fit a fresh detector for each fold and score that fold with it.

    Labels in the held-out fold, and those within ``buffer_cells`` of it, are dropped from
    training. The fold itself, and the part of the buffer that no remaining label looks into, are
    missing from the cube in training: no background is drawn there, and scaling does not see it.
    The whole cube comes back to score the fold. Folds of kind ``"random"`` leak by design: they
    need no buffer, and only labels are kept from them.

    Parameters
    ----------
    ds : Dataset or DataArray
        The cube, as for :func:`detect`. A chunked cube is predicted block by block.
    detector : Detector or callable
        Hyperparameters; it is copied for each fold and itself left unfitted. Or a function of
        the whole cube and the fold's training labels that returns a score ``(y, x)``.
    labels : str or DataArray
        1 deposit, 0 background, -1 unlabelled; a variable of ``ds`` or a raster.
    folds : str or DataArray
        ``cv_fold`` from :func:`spatial_folds`, :func:`leave_one_deposit_out` or
        :func:`random_folds`; cells of negative fold are never scored.
    evidence : Dataset or callable, optional
        Rasters that the detector needs; by default variables of ``ds``. Of what is itself fitted
        to deposits, such as fault weights, a function that returns the rasters for a fold's
        training labels.
    buffer_cells : int
        Width of the buffer around the held-out fold, in cells along rows, columns and diagonals.
        At least the detector's halo (none for one that ``reads_unlabelled`` ground, such as SKT:
        the buffer is then missing whole) plus the cube's attr ``interpolation_range``.

    Returns
    -------
    Dataset
        ``oof`` (y, x): the out-of-fold score, float32. Folds come from different networks, so
        compare scores across folds with care. ``cv_fold`` (y, x). Over ``fold``: ``auc``,
        ``n_train_deposits``, ``n_test_deposits``. A fold's AUC takes its background cells as
        negatives; in a fold without any, its unlabelled cells farther than ``buffer_cells`` from
        every deposit cell. It is NaN where these have no score.

    Raises
    ------
    XGeoAnomError
        If ``detector`` is neither a detector nor a function.
    LabelError
        Before any training: a buffer too narrow, fewer than two folds, a fold without deposits,
        or one that leaves no deposit, or no background of those labelled, to train on.

    Notes
    -----
    Roberts et al. (2017) on blocks and buffers; the fold, like every count, goes by deposit.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> detector = xga.baselines(draws=1, seed=0)["logistic_regression"]
    >>> folds = xga.leave_one_deposit_out(ds["labels"])
    >>> result = cross_validate(ds, detector, "labels", folds, buffer_cells=12)
    >>> result["oof"].dims, result["auc"].sizes["fold"]
    (('y', 'x'), 5)
    """
    if isinstance(detector, type) or not (hasattr(detector, "fit") or callable(detector)):
        raise XGeoAnomError(f"detector={detector!r} is no detector; give one, such as PPFCNN()")
    cube = cube_of(ds)
    labels = raster_of(ds, labels, "labels").load()
    folds = raster_of(ds, folds, "folds").load()
    evidence = ds if evidence is None and isinstance(ds, xr.Dataset) else evidence
    halo = label_reach(detector)
    if folds.attrs.get("kind") != RANDOM:
        check_buffer(cube, halo, buffer_cells)
    splits = _splits(labels, folds, halo, buffer_cells)
    oof = np.full(labels.shape, np.nan, dtype="float32")
    for split in tqdm(splits, desc="cross-validation", unit="fold", disable=None):
        _score_fold(oof, cube, detector, split, evidence)
    attrs = provenance("cross_validate", detector=repr(detector), buffer_cells=buffer_cells)
    return _report(oof, labels, folds, splits, buffer_cells, attrs)


def label_reach(detector: Any) -> int:
    """Return how many cells training looks from a label into ground that may have none.

    To a detector that takes all ground without a deposit for background, a buffer with deposits
    but no labels would be wrong: it is to be missing whole, and nothing looks into it.
    """
    if _is_function(detector) or getattr(detector, "reads_unlabelled", False):
        return 0
    return int(detector.footprint.halo)


def _is_function(detector: "Detector | FromLabels") -> bool:
    return not hasattr(detector, "fit")


def gridding_reach(cube: xr.DataArray) -> int:
    """Return how many cells gridding carried values."""
    reach = float(cube.attrs.get("interpolation_range", 0.0))
    return int(np.ceil(reach / min(map(abs, cell_size(cube)))))


def check_buffer(cube: xr.DataArray, halo: int, buffer_cells: int) -> None:
    """Refuse a buffer across which values of the fold could reach training (DESIGN: folds)."""
    reach_cells = gridding_reach(cube)
    if buffer_cells < halo + reach_cells:
        raise LabelError(
            f"buffer_cells={buffer_cells} is narrower than the detector's halo ({halo}) plus the "
            f"interpolation range ({reach_cells} cells): neighbours would leak; use "
            f"buffer_cells={halo + reach_cells} or more"
        )


def _splits(
    labels: xr.DataArray, folds: xr.DataArray, halo: int, buffer_cells: int
) -> list[_Split]:
    """Return the split of each fold, all of them checked."""
    if buffer_cells < 0:
        raise LabelError(f"buffer_cells={buffer_cells} must not be negative")
    numbers = np.unique(folds.values[folds.values >= 0])
    if numbers.size < 2:
        raise LabelError(f"folds holds {numbers.size} fold, cross-validation needs at least 2")
    is_random = folds.attrs.get("kind") == RANDOM
    ids = deposit_ids(labels).values
    splits = []
    for number in numbers:
        held_out = folds.values == number
        distance = ndimage.distance_transform_cdt(~held_out, metric="chessboard")
        # What kept labels look into lies at least one cell beyond buffer_cells - halo.
        open_ground = np.ones_like(held_out) if is_random else distance > buffer_cells - halo
        training = _training_labels(labels, ids, far=distance > buffer_cells)
        split = _Split(int(number), held_out, training, open_ground)
        _check_split(split, labels, ids)
        splits.append(split)
    return splits


def _training_labels(labels: xr.DataArray, ids: np.ndarray, *, far: np.ndarray) -> xr.DataArray:
    marks = np.where(far, labels.values, UNLABELLED).astype("int8")
    deposit = np.where(marks == DEPOSIT, ids, -1).astype("int16")
    return labels.copy(data=marks).assign_coords(deposit=((Y, X), deposit))


def _check_split(split: _Split, labels: xr.DataArray, ids: np.ndarray) -> None:
    n_train, n_test = split.deposits(ids)
    if n_test == 0:
        raise LabelError(
            f"fold {split.fold} of folds holds no deposit; make folds with spatial_folds or "
            "leave_one_deposit_out"
        )
    lost = [
        name
        for name, mark in (("deposit", DEPOSIT), ("background", BACKGROUND))
        if (labels == mark).any() and not (split.labels == mark).any()
    ]
    if n_train == 0 or lost:
        raise LabelError(
            f"fold {split.fold} and its buffer leave no {lost[0]} to train on; use more or "
            "smaller folds, a smaller buffer_cells, or a detector with smaller windows"
        )


def _score_fold(
    oof: np.ndarray,
    cube: xr.DataArray,
    detector: "Detector | FromLabels",
    split: _Split,
    evidence: Evidence,
) -> None:
    """Learn from what the split leaves open and write the fold's scores into ``oof``."""
    if _is_function(detector):
        score = detector(cube, split.labels).transpose(Y, X)  # type: ignore[operator]
    else:
        score = _fitted_score(cube, detector, split, evidence)  # type: ignore[arg-type]
    box = ndimage.find_objects(split.held_out.astype("int8"))[0]
    inside = split.held_out[box]
    oof[box][inside] = score.isel({Y: box[0], X: box[1]}).values[inside]


def _fitted_score(
    cube: xr.DataArray, detector: "Detector", split: _Split, evidence: Evidence
) -> xr.DataArray:
    if callable(evidence):
        evidence = evidence(split.labels)
    ground = xr.DataArray(split.open_ground, dims=(Y, X))
    fitted = replace(detector).fit(cube.where(ground), split.labels, evidence=evidence)
    # Of a lazy map only the blocks around the fold are computed.
    lazy = cube if cube.chunks is not None else cube.chunk({Y: BLOCK_CELLS, X: BLOCK_CELLS})
    return fitted.predict(lazy, evidence=evidence)["score"].transpose(Y, X)


def _report(
    oof: np.ndarray,
    labels: xr.DataArray,
    folds: xr.DataArray,
    splits: list[_Split],
    buffer_cells: int,
    attrs: dict[str, Any],
) -> xr.Dataset:
    ids = deposit_ids(labels).values
    away = ndimage.distance_transform_cdt(labels.values != DEPOSIT, metric="chessboard")
    aucs = [_fold_auc(oof, labels.values, away > buffer_cells, split) for split in splits]
    counts = [split.deposits(ids) for split in splits]
    per_fold = {
        "auc": ("AUC of the held-out fold", aucs),
        "n_train_deposits": ("deposits in training", [train for train, _ in counts]),
        "n_test_deposits": ("deposits held out", [test for _, test in counts]),
    }
    result = xr.Dataset(
        {"oof": raster_on(labels, oof, name="oof", long_name="out-of-fold score", attrs=attrs)},
        coords={"fold": [split.fold for split in splits]},
        attrs=attrs,
    )
    result["cv_fold"] = folds.drop_vars("deposit", errors="ignore")
    for name, (long_name, values) in per_fold.items():
        result[name] = xr.Variable("fold", values, {"long_name": long_name, "units": "1"})
    return result


def _fold_auc(oof: np.ndarray, marks: np.ndarray, away: np.ndarray, split: _Split) -> float:
    """Return deposit cells against background or, without any, unlabelled cells ``away``."""
    scored = split.held_out & ~np.isnan(oof)
    positives, negatives = oof[scored & (marks == DEPOSIT)], oof[scored & (marks == BACKGROUND)]
    if negatives.size == 0:
        negatives = oof[scored & (marks == UNLABELLED) & away]
    return rank_auc(positives, negatives) if positives.size and negatives.size else float("nan")
