"""Controls: loops, and numbers known by hand, as oracles."""

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from scipy.spatial.distance import cdist
from surveys import small_cube

from xgeoanom.classical.controls import (
    deposit_proximity,
    pathfinder_sum,
    random_smooth_map,
    sampling_density,
    target_element,
)
from xgeoanom.errors import CRSError, CubeError, GridError, LabelError


@pytest.fixture
def cube():
    return small_cube(holes=40)


@pytest.fixture
def raster(cube):
    return cube.sel(element="Au")


def turn(array):
    return array.isel(y=slice(None, None, -1))


def centres(raster):
    y, x = xr.broadcast(raster["y"], raster["x"])
    return np.column_stack([x.values.ravel(), y.values.ravel()])


def points(n, raster, crs=32650):
    rng = np.random.default_rng(0)
    x = rng.uniform(float(raster.x.min()), float(raster.x.max()), n)
    y = rng.uniform(float(raster.y.min()), float(raster.y.max()), n)
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=crs)


def test_target_itself(raster):
    found = target_element(raster)
    np.testing.assert_array_equal(found, raster)
    assert_georeferenced(found, raster)


def test_median_of_neighbours_equals_loop(raster):
    values, found = raster.values, target_element(raster, smooth=True)
    for i, j in np.ndindex(values.shape):
        around = [
            values[k, m]
            for k in range(max(i - 1, 0), min(i + 2, 24))
            for m in range(max(j - 1, 0), min(j + 2, 20))
            if (k, m) != (i, j) and np.isfinite(values[k, m])
        ]
        expected = np.nan if np.isnan(values[i, j]) else np.median(around)
        np.testing.assert_equal(found.values[i, j], expected)
    assert_georeferenced(found, raster)
    lazy = target_element(turn(raster).chunk(y=5, x=7), smooth=True)
    assert lazy.chunks is not None
    np.testing.assert_array_equal(turn(lazy.compute()), found)


def test_pathfinder_sum(cube):
    found = pathfinder_sum(cube, ["Au", "As"])
    expected = sum(
        (cube.sel(element=name) - cube.sel(element=name).mean()) / cube.sel(element=name).std()
        for name in ("Au", "As")
    )
    np.testing.assert_allclose(found, expected)
    assert_georeferenced(found, cube)
    raw = np.exp(cube - cube.mean("element")).assign_attrs(log_ratio="none")
    centred = (cube - cube.mean("element")).assign_attrs(cube.attrs)
    np.testing.assert_allclose(
        pathfinder_sum(raw, ["Au", "As"]), pathfinder_sum(centred, ["Au", "As"])
    )
    lazy = pathfinder_sum(turn(cube).chunk(y=5), ["Au", "As"])
    assert lazy.chunks is not None
    np.testing.assert_allclose(turn(lazy.compute()), found)


def test_deposit_proximity_equals_all_distances(raster):
    deposits = points(5, raster)
    found = deposit_proximity(deposits, raster)
    sites = np.column_stack([deposits.geometry.x, deposits.geometry.y])
    expected = -cdist(centres(raster), sites).min(axis=1).reshape(raster.shape)
    np.testing.assert_allclose(found, np.where(raster.isnull(), np.nan, expected))
    assert_georeferenced(found, raster)
    np.testing.assert_allclose(turn(deposit_proximity(deposits, turn(raster))), found)


def test_sampling_density_equals_all_distances(raster):
    samples = points(40, raster)
    xy = np.column_stack([samples.geometry.x, samples.geometry.y])
    table = xr.Dataset(coords={"x": ("sample", xy[:, 0]), "y": ("sample", xy[:, 1])})
    found = sampling_density(table.rio.write_crs(32650), raster)
    nearest = np.sort(cdist(centres(raster), xy), axis=1)[:, :16]
    expected = -nearest.mean(axis=1).reshape(raster.shape)
    np.testing.assert_allclose(found, np.where(raster.isnull(), np.nan, expected))
    assert_georeferenced(found, raster)
    with pytest.raises(GridError, match="n_nearest=41"):
        sampling_density(table.rio.write_crs(32650), raster, n_nearest=41)
    with pytest.raises(CRSError):
        sampling_density(table, raster)


def test_random_smooth_map():
    like = small_cube(80, 90, holes=30).sel(element="Au")
    found = random_smooth_map(like, length=2000.0, seed=0)
    assert_georeferenced(found, like)
    np.testing.assert_array_equal(found.isnull(), like.isnull())
    np.testing.assert_array_equal(turn(random_smooth_map(turn(like), length=2000.0, seed=0)), found)
    assert not np.allclose(found, random_smooth_map(like, length=2000.0, seed=1), equal_nan=True)
    # White noise smoothed by a Gaussian of s has correlation exp(-h² / 4s²).
    whole = like.fillna(0.0)
    fields = [random_smooth_map(whole, length=2000.0, seed=seed).values for seed in range(20)]
    covariance = np.mean([field * np.roll(field, 4, axis=1) for field in fields])
    assert covariance / np.mean(np.square(fields)) == pytest.approx(np.exp(-1 / 4), abs=0.02)
    assert [field.std() for field in fields] == pytest.approx([1.0] * 20)


def test_errors(cube, raster):
    with pytest.raises(CubeError, match="W"):
        pathfinder_sum(cube, ["W"])
    with pytest.raises(CubeError, match="'ilr'"):
        pathfinder_sum(cube.assign_attrs(log_ratio="ilr"), ["Au"])
    with pytest.raises(CubeError, match="do not vary"):
        pathfinder_sum(xr.zeros_like(cube), ["Au"])
    with pytest.raises(LabelError):
        deposit_proximity(points(3, raster).iloc[:0], raster)
    with pytest.raises(CRSError):
        deposit_proximity(points(3, raster, crs=32651), raster)
    for length in (0.0, None, -1.0):
        with pytest.raises(GridError, match="length="):
            random_smooth_map(raster, length=length)
