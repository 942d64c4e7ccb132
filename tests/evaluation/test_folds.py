"""Folds: every cell once, no deposit torn, none without deposits."""

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from xgeoanom.errors import LabelError
from xgeoanom.evaluation.folds import leave_one_deposit_out, random_folds, spatial_folds

SHAPE = (40, 50)


def labels_at(*centres, shape=SHAPE, radius=1, ascending=False):
    """Labels with a block around each (row, col), ids in order, as label_deposits writes them."""
    row, col = np.indices(shape)
    gaps = np.array([np.hypot(row - r, col - c) for r, c in centres])
    inside = np.array([(abs(row - r) <= radius) & (abs(col - c) <= radius) for r, c in centres])
    marks = np.where(inside.any(0), 1, -1).astype("int8")
    ids = np.where(inside.any(0), np.where(inside, gaps, np.inf).argmin(0), -1).astype("int16")
    coords = {"y": 500.0 * np.arange(shape[0])[::-1], "x": 500.0 * np.arange(shape[1])}
    labels = xr.DataArray(marks, coords=coords, dims=("y", "x"), name="labels")
    labels = labels.assign_coords(deposit=(("y", "x"), ids)).rio.write_crs(32650)
    return labels.sortby("y") if ascending else labels


def scattered(seed, n=12):
    rng = np.random.default_rng(seed)
    return labels_at(*zip(rng.integers(0, SHAPE[0], n), rng.integers(0, SHAPE[1], n), strict=True))


def fold_of(folds, labels):
    """Folds of each deposit."""
    ids = labels["deposit"].values
    return {k: set(folds.values[ids == k].tolist()) for k in np.unique(ids[ids >= 0])}


MAKERS = {
    "random": lambda labels: random_folds(labels, n=3, seed=0),
    "spatial": lambda labels: spatial_folds(labels, n=3, block_cells=10, seed=0),
    "leave_one_deposit_out": leave_one_deposit_out,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_folds_are_rasters_on_the_grid(kind):
    labels = scattered(0)
    before = labels.copy(deep=True)
    folds = MAKERS[kind](labels)
    xr.testing.assert_identical(labels, before)
    assert folds.name == "cv_fold"
    assert folds.dtype == "int16"
    assert folds.dims == ("y", "x")
    assert_georeferenced(folds, labels)
    assert folds.attrs["kind"] == kind
    assert folds.attrs["method"].startswith(kind)
    assert folds.min() == 0
    for k in np.unique(folds):
        assert ((folds == k) & (labels == 1)).any()


@pytest.mark.parametrize("kind", MAKERS)
def test_direction_does_not_matter(kind):
    labels = scattered(1)
    flipped = MAKERS[kind](labels.sortby("y")).sortby("y", ascending=False)
    xr.testing.assert_identical(flipped, MAKERS[kind](labels))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_deposits_stay_whole_and_cells_go_with_the_nearest(seed):
    labels = scattered(seed)
    cells = np.argwhere(labels.values == 1)
    for folds in (MAKERS["spatial"](labels), MAKERS["leave_one_deposit_out"](labels)):
        assert all(len(found) == 1 for found in fold_of(folds, labels).values())
        gap, nearest = cKDTree(cells).query(np.argwhere(np.ones(SHAPE)), k=4)
        of_nearest = folds.values[tuple(cells[nearest].transpose(2, 0, 1))]
        tied = gap <= gap[:, :1] + 1e-9
        assert ((of_nearest == folds.values.ravel()[:, None]) & tied).any(axis=1).all()


def test_blocks_that_touch_share_a_fold():
    # Corners of the first two touch; the third is one cell apart; the last two overlap.
    labels = labels_at((5, 5), (8, 8), (8, 12), (30, 30), (31, 30))
    folds = fold_of(leave_one_deposit_out(labels), labels)
    assert folds == {0: {0}, 1: {0}, 2: {1}, 3: {2}, 4: {2}}


def test_one_deposit_in_two_patches_is_one_site():
    labels = labels_at((5, 5), (20, 20), (35, 45))
    labels["deposit"].values[labels["deposit"].values == 1] = 0
    assert fold_of(leave_one_deposit_out(labels), labels) == {0: {0}, 2: {1}}


def test_labels_without_ids_go_by_patches():
    labels = labels_at((5, 5), (8, 8), (30, 30)).drop_vars("deposit")
    assert len(np.unique(leave_one_deposit_out(labels))) == 2


def test_spatial_folds_are_balanced_and_keep_squares_whole():
    rows, cols = np.meshgrid(np.arange(4, 40, 8), np.arange(4, 48, 8), indexing="ij")
    labels = labels_at(*zip(rows.ravel(), cols.ravel(), strict=True))  # 30 sites, 4 a square
    folds = spatial_folds(labels, n=3, block_cells=16, seed=0)
    held = fold_of(folds, labels)
    counts = np.bincount([next(iter(found)) for found in held.values()])
    assert counts.max() - counts.min() <= 4
    south = SHAPE[0] - 1 - rows.ravel()
    squares = {}
    for k, square in enumerate(zip(south // 16, cols.ravel() // 16, strict=True)):
        squares.setdefault(square, set()).update(held[k])
    assert all(len(found) == 1 for found in squares.values())


def test_seed_counts():
    labels = scattered(2, n=20)
    for make in (
        lambda seed: random_folds(labels, n=4, seed=seed),
        lambda seed: spatial_folds(labels, n=4, block_cells=8, seed=seed),
    ):
        xr.testing.assert_identical(make(0), make(0))
        assert not make(0).equals(make(1))


def test_random_folds_deal_each_class_evenly():
    labels = scattered(3)
    labels.values[:3] = np.where(labels.values[:3] == 1, 1, 0)
    folds = random_folds(labels, n=5, seed=0)
    for mark in (1, 0, -1):
        counts = np.bincount(folds.values[labels.values == mark], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_too_few_deposits():
    two = labels_at((5, 5), (30, 30))
    with pytest.raises(LabelError, match="n=3 folds need as many squares of 10 cells with dep"):
        spatial_folds(two, n=3, block_cells=10)
    with pytest.raises(LabelError, match="n=1 folds"):
        random_folds(two, n=1)
    with pytest.raises(LabelError, match="n=19 folds need as many cells labelled 1, there are 18"):
        random_folds(two, n=19)
    with pytest.raises(LabelError, match="deposits apart"):
        leave_one_deposit_out(labels_at((5, 5), (6, 6)))
    with pytest.raises(LabelError, match="label_deposits"):
        leave_one_deposit_out(two.where(two == 0, -1).assign_coords(deposit=two["deposit"] * 0 - 1))
    with pytest.raises(LabelError, match="block_cells=0"):
        spatial_folds(two, n=2, block_cells=0)
