"""Boundary recall against a loop over cells."""

from itertools import product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.classical.concentration_area import concentration_area
from xgeoanom.errors import GridError, XGeoAnomError
from xgeoanom.evaluation.boundary_recall import boundary_recall


def raster(values):
    values = np.asarray(values)
    grid = {"y": 10.0 * np.arange(values.shape[0])[::-1], "x": 10.0 * np.arange(values.shape[1])}
    return xr.DataArray(values, grid, dims=("y", "x"))


def naive_boundary(ids):
    """Cells with another id beside them, in a row or a column."""
    found = set()
    for r, c in product(*map(range, ids.shape)):
        for s, t in ((r, c + 1), (r, c - 1), (r + 1, c), (r - 1, c)):
            inside = 0 <= s < ids.shape[0] and 0 <= t < ids.shape[1]
            if inside and min(ids[r, c], ids[s, t]) >= 0 and ids[r, c] != ids[s, t]:
                found.add((r, c))
    return found


def naive_recall(ids, classes, tolerance):
    wanted, found = naive_boundary(np.where(ids >= 0, classes, -1)), naive_boundary(ids)
    near = [any(max(abs(r - s), abs(c - t)) <= tolerance for s, t in found) for r, c in wanted]
    return np.mean(near)


@given(st.integers(0, 1000), st.integers(0, 3))
def test_recall_equals_a_naive_loop(seed, tolerance):
    rng = np.random.default_rng(seed)
    ids = np.where(
        rng.random((9, 12)) < 0.1, -1, rng.integers(0, 6, (3, 4)).repeat(3, 0).repeat(3, 1)
    )
    classes = np.where(rng.random((9, 12)) < 0.1, -1, rng.integers(0, 3, (9, 12)))
    recall = boundary_recall(raster(ids), raster(classes), tolerance_cells=tolerance)
    assert recall == pytest.approx(naive_recall(ids, classes, tolerance))


def test_tolerance():
    classes = raster([[0, 0, 0, 1, 1, 1]] * 2)
    for tolerance, recall in ((0, 0.0), (1, 0.5), (2, 1.0)):
        off = raster([[0, 1, 1, 1, 1, 1]] * 2)
        assert boundary_recall(off, classes, tolerance_cells=tolerance) == recall
    assert boundary_recall(raster(np.zeros((2, 6), dtype=int)), classes) == 0.0


def test_missing_ground_makes_no_boundary():
    classes = raster([[0, 0, np.nan, 1, 1, 2]] * 2)
    assert boundary_recall(raster([[0, 0, 0, 0, 1, 2]] * 2), classes, tolerance_cells=0) == 1.0
    assert boundary_recall(raster([[0, 0, 0, 0, 0, 0]] * 2), classes, tolerance_cells=0) == 0.0
    with pytest.raises(GridError, match="no boundary"):
        boundary_recall(raster([[0, 0, 1, 1, 1, -1]] * 2), classes)


def test_direction_and_order_do_not_matter():
    rng = np.random.default_rng(0)
    ids, classes = raster(rng.integers(0, 5, (6, 7))), raster(rng.integers(0, 2, (6, 7)))
    want = boundary_recall(ids, classes, tolerance_cells=0)
    assert boundary_recall(ids.sortby("y"), classes.sortby("y"), tolerance_cells=0) == want
    assert boundary_recall(ids.T, classes, tolerance_cells=0) == want


def test_concentration_area_classes():
    values = np.exp(np.hypot(*np.mgrid[:40, :40]) / 9)
    classes = concentration_area(raster(values), n_segments=3)["score"]
    assert boundary_recall(classes.astype(int), classes.chunk(y=10), tolerance_cells=0) == 1.0


def test_bad_input():
    ids = raster([[0, 0, 1]] * 2)
    with pytest.raises(GridError, match="superpixels lies on another grid"):
        boundary_recall(ids[:, :2], ids)
    for tolerance in (-1, 1.5):
        with pytest.raises(XGeoAnomError, match=f"tolerance_cells={tolerance}"):
            boundary_recall(ids, ids, tolerance_cells=tolerance)


def test_values_are_no_classes():
    grid = {"y": [20.0, 10.0, 0.0], "x": [0.0, 10.0, 20.0]}
    ids = xr.DataArray([[0, 0, 1]] * 3, grid, dims=("y", "x"))
    with pytest.raises(GridError, match="whole numbers"):
        boundary_recall(ids, ids + 0.5)
