"""Sides of a split by ground: what training may see, and the windows that test it."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import ndimage

from xgeoanom.conventions import BACKGROUND, DEPOSIT, UNLABELLED
from xgeoanom.detectors.training_set import cells_inside, deposits_inside, windows_on
from xgeoanom.errors import LabelError
from xgeoanom.geology.labels import deposit_ids


@dataclass(frozen=True)
class Side:
    """One fold: where training may look, the labels it gets, and the windows of the test.

    ``ground`` is a mask of known cells ``(y, x)``, ``windows`` is as :func:`windows_on` returns
    it, and ``holds`` ``(window, deposit)`` says which deposits each window holds.
    """

    fold: int
    ground: xr.DataArray
    labels: xr.DataArray
    windows: xr.Dataset
    holds: xr.DataArray


def sides_of(
    labels: xr.DataArray,
    folds: xr.DataArray,
    known: xr.DataArray,
    *,
    size: int,
    step: int,
    buffer_cells: int,
) -> list[Side]:
    """Return the sides of all folds with test windows of both classes, or LabelError.

    All rasters are ``(y, x)``, north up; ``labels`` are -1 where ``known`` is false. A fold's
    windows are those of the survey's lattice whose known cells all lie in it.
    """
    windows = windows_on(labels, known, size=size, step=step)
    holds = deposits_inside(labels, windows, size=size)
    sides, left_out = [], []
    for fold, held_out in _masks(labels, folds):
        foreign = cells_inside(
            known.values & ~held_out, windows["row"].values, windows["col"].values, size
        )
        tested = (foreign == 0) & (windows["label"].values != UNLABELLED)
        side = _side(fold, held_out, labels, known, buffer_cells, windows, holds, tested)
        if not _both_classes(side.windows):
            left_out.append(fold)
            continue
        _check_training(side, size, step)
        sides.append(side)
    _tell(left_out, sides, size)
    return sides


def _masks(labels: xr.DataArray, folds: xr.DataArray) -> Iterator[tuple[int, np.ndarray]]:
    """Return number and ground of each fold; LabelError where one cuts a deposit in two."""
    ids = deposit_ids(labels).values
    for fold in np.unique(folds.values[folds.values >= 0]):
        held_out = folds.values == fold
        cut = np.setdiff1d(np.intersect1d(ids[held_out], ids[~held_out]), -1)
        if cut.size:
            raise LabelError(
                f"folds: deposits {cut.tolist()} lie partly in fold {fold:g}, so training would "
                "see what tests it; move the fold's edge, or use spatial_folds"
            )
        yield int(fold), held_out


def _side(
    fold: int,
    held_out: np.ndarray,
    labels: xr.DataArray,
    known: xr.DataArray,
    buffer_cells: int,
    windows: xr.Dataset,
    holds: xr.DataArray,
    tested: np.ndarray,
) -> Side:
    """Hide the fold and its buffer from training, and take the windows to be tested."""
    distance = ndimage.distance_transform_cdt(~held_out, metric="chessboard")
    ground = known & (distance > buffer_cells)
    holds = holds.isel(window=tested)
    return Side(
        fold=fold,
        ground=ground,
        labels=labels.where(ground, UNLABELLED).astype("int8"),
        windows=windows.isel(window=tested),
        holds=holds.isel(deposit=holds.any("window").values),
    )


def _both_classes(windows: xr.Dataset) -> bool:
    return {DEPOSIT, BACKGROUND} <= set(windows["label"].values.tolist())


def _check_training(side: Side, size: int, step: int) -> None:
    if not _both_classes(windows_on(side.labels, side.ground, size=size, step=step)):
        raise LabelError(
            f"fold {side.fold} and its buffer leave no windows of {size} cells with deposits and "
            "of background to train on; use more or smaller folds, or smaller windows"
        )


def _tell(left_out: list[int], sides: list[Side], size: int) -> None:
    if not sides:
        raise LabelError(
            f"folds {left_out}: none has both windows of {size} cells with deposits and of "
            "background in it; use fewer and larger folds, or smaller windows"
        )
    if left_out:
        warnings.warn(
            f"folds {left_out} have no windows of {size} cells with deposits, or none of "
            "background, and are left out; fewer and larger folds keep more",
            stacklevel=3,
        )
