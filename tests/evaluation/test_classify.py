"""Anomaly classes against counting by hand."""

import json
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given, settings
from hypothesis import strategies as st

from xgeoanom.errors import GridError
from xgeoanom.evaluation.classify import classify


def raster(values, *, descending=True):
    values = np.asarray(values)
    y = np.arange(values.shape[0]) * 500.0
    score = xr.DataArray(
        values,
        coords={"y": y[::-1] if descending else y, "x": np.arange(values.shape[1]) * 500.0},
        dims=("y", "x"),
        name="ppf_cnn",
        attrs={"units": "ppm", "long_name": "somebody else's"},
    )
    return score.rio.write_crs(32650)


def shares(classes):
    scored = (classes >= 0).sum()
    return [float((classes == value).sum() / scored) for value in (3, 2, 1, 0)]


def test_shares_of_scored_area():
    rng = np.random.default_rng(0)
    values = rng.random((20, 30))
    values[rng.random((20, 30)) < 1 / 3] = np.nan
    classes = classify(raster(values))
    n = (~np.isnan(values)).sum()
    assert ((classes == -1).values == np.isnan(values)).all()
    assert shares(classes) == pytest.approx([0.05, 0.10, 0.15, 0.70], abs=1 / n)


def test_order_follows_score():
    score = raster(np.random.default_rng(1).random((20, 20)))
    classes = classify(score)
    limits = [
        (float(score.where(classes == k).min()), float(score.where(classes == k).max()))
        for k in (0, 1, 2, 3)
    ]
    assert all(low[1] < high[0] for low, high in pairwise(limits))


def test_ties_stay_together_and_take_the_higher_class():
    values = np.zeros((10, 10))
    values[:2] = 1.0  # 20 tied cells where 5 % are 5 cells
    values[2] = 0.5
    classes = classify(raster(values))
    assert (classes[:2] == 3).all()
    assert (classes[2] == 1).all()  # cells 21 to 30 of 100
    assert (classes[3:] == 0).all()


def test_constant_score_is_one_class():
    assert (classify(raster(np.ones((4, 5)))) == 3).all()


def test_result_is_georeferenced_and_says_how():
    score = raster(np.random.default_rng(2).random((6, 7)).astype("float32"))
    before = score.copy(deep=True)
    classes = classify(score, areas=(0.1, 0.2, 0.4))
    xr.testing.assert_identical(score, before)
    assert classes.dtype == "int8"
    assert classes.name == "ppf_cnn_class"
    assert_georeferenced(classes, score)
    assert classes.attrs["units"] == "1"
    assert classes.attrs["flag_values"].tolist() == [3, 2, 1, 0, -1]
    assert classes.attrs["flag_meanings"].split() == ["high", "moderate", "low", "rest", "missing"]
    assert json.loads(classes.attrs["parameters"]) == {"areas": [0.1, 0.2, 0.4]}


def test_lazy_in_lazy_out():
    score = raster(np.random.default_rng(3).random((8, 9)))
    lazy = classify(score.chunk(y=3, x=4))
    assert lazy.chunksizes == {"y": (3, 3, 2), "x": (4, 4, 1)}
    xr.testing.assert_identical(lazy.compute(), classify(score))


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 10_000),
    st.integers(2, 9),
    st.integers(2, 9),
    st.sampled_from(["float32", "float64"]),
)
def test_direction_and_dtype_do_not_matter(seed, ny, nx, dtype):
    values = np.random.default_rng(seed).integers(0, 7, (ny, nx)).astype(dtype)
    values.flat[seed % values.size] = np.nan
    down = raster(values)
    up = down.sortby("y")
    xr.testing.assert_identical(classify(up).sortby("y", ascending=False), classify(down))


@pytest.mark.parametrize("areas", [(0.05, 0.15), (0.15, 0.05, 0.3), (0.0, 0.1, 0.2), (0.1, 0.2, 1)])
def test_areas_must_grow(areas):
    with pytest.raises(GridError, match="areas="):
        classify(raster(np.ones((3, 3))), areas=areas)


def test_nothing_scored():
    with pytest.raises(GridError, match="no valid cell"):
        classify(raster(np.full((3, 3), np.nan)))


def test_cube_is_no_score():
    with pytest.raises(GridError, match="dims"):
        classify(raster(np.ones((3, 3))).expand_dims(element=["Au"]))
