"""Singularity: constructed power laws give their exponent; holes, chunks, directions and errors."""

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from surveys import small_cube

from xgeoanom.classical.singularity import singularity
from xgeoanom.errors import CompositionError, CRSError, GridError, WindowError, XGeoAnomError

WINDOWS = (3, 5, 7, 9, 11)


@pytest.fixture(scope="module")
def cube():
    cube = np.exp(small_cube(elements=("Au", "Cu"), holes=12))
    return cube.assign_attrs(log_ratio="none", units="ppm", long_name="concentration")


def power_law(alpha, n=21):
    """Return a raster whose mean in squares about its middle is exactly ``size ** (alpha - 2)``."""
    middle = n // 2
    ring = np.maximum(*(abs(axis - middle) for axis in np.indices((n, n))))
    size = 2.0 * np.arange(middle + 1) + 1
    total = size**alpha
    values = np.diff(total, prepend=0) / np.diff(size**2, prepend=0)
    axis = 100.0 * np.arange(n)
    coords = {"y": axis[::-1], "x": axis}
    return xr.DataArray(values[ring], coords, ("y", "x")).rio.write_crs(32650)


@pytest.mark.parametrize("alpha", [0.5, 1.3, 2.0, 2.7])
def test_power_law_gives_its_exponent(alpha):
    maps = singularity(power_law(alpha)).isel(y=10, x=10)
    np.testing.assert_allclose(maps["alpha"], alpha, rtol=1e-10)
    np.testing.assert_allclose(maps["score"], 2 - alpha, atol=1e-10)
    np.testing.assert_allclose(maps["c"], 0, atol=1e-10)  # mean 1 at one cell
    assert np.isnan(maps["r2"]) if alpha == 2 else maps["r2"] == pytest.approx(1)


def test_maps_equal_a_loop(cube):
    maps = singularity(cube, windows=WINDOWS)
    wide = np.pad(cube.values, ((0, 0), (5, 5), (5, 5)), constant_values=np.nan)
    for e, i, j in np.ndindex(cube.shape):
        means = [
            np.nanmean(wide[e, i + 5 - w // 2 : i + 6 + w // 2, j + 5 - w // 2 : j + 6 + w // 2])
            for w in WINDOWS
        ]
        slope, intercept = np.polyfit(np.log(WINDOWS), np.log(means), 1)
        r = np.corrcoef(np.log(WINDOWS), np.log(means))[0, 1]
        found = [float(maps[name][e, i, j]) for name in ("score", "alpha", "c", "r2")]
        if np.isnan(cube.values[e, i, j]):
            assert np.isnan(found).all()
        else:
            np.testing.assert_allclose(found, [-slope, 2 + slope, intercept, r**2], rtol=1e-6)


def test_raster_and_cube_agree(cube):
    whole, alone = singularity(cube), singularity(cube.sel(element="Cu"))
    assert list(whole) == ["score", "alpha", "c", "r2"]
    assert_georeferenced(whole, cube)
    assert_georeferenced(alone, cube)
    for name in whole:
        assert whole[name].dims == ("element", "y", "x")
        assert alone[name].dims == ("y", "x")
        np.testing.assert_array_equal(whole[name].sel(element="Cu"), alone[name])


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_chunks_do_not_matter_and_nothing_is_computed_early(cube, ratio, no_compute):
    options = {"windows": (3, 5, 7), "ratio": ratio, "n_bearings": 4}
    with no_compute():
        lazy = singularity(cube.chunk(y=11, x=9), **options)
    eager = singularity(cube, **options)
    assert lazy["score"].chunks is not None
    for name in ("score", "c", "r2"):
        np.testing.assert_allclose(lazy[name], eager[name], rtol=1e-7, atol=1e-10)


def stripe(bearing, height):
    """Return a raster with a ridge through its middle that runs towards ``bearing``."""
    axis = 100.0 * np.arange(-20, 21)
    y, x = (axis if height > 0 else axis[::-1])[:, None], axis[None, :]
    angle = np.radians(bearing)
    across = abs(x * np.cos(angle) - y * np.sin(angle)) / 100
    coords = {"y": y[:, 0], "x": axis}
    return xr.DataArray(1 / (0.5 + across), coords, ("y", "x")).rio.write_crs(32650)


@pytest.mark.parametrize("bearing", [0, 30, 90, 150])
@pytest.mark.parametrize("height", [-1, 1])
def test_least_alpha_looks_across_the_ridge(bearing, height):
    raster = stripe(bearing, height)
    maps = singularity(raster, ratio=3.0, n_bearings=12).sel(x=0, y=0)
    assert list(maps)[-1] == "bearing"
    off = (float(maps["bearing"]) - bearing) % 180
    assert min(off, 180 - off) >= 60  # windows that lengthen across the ridge lose it fastest
    assert float(maps["score"]) > float(singularity(raster)["score"].sel(x=0, y=0))


def test_bearing_turns_with_the_map(cube):
    raster = cube.sel(element="Au")
    turned = raster.copy(data=raster.values[::-1]).assign_coords(y=raster["y"].values[::-1])
    first = singularity(raster, ratio=2.0, n_bearings=6)
    second = singularity(turned, ratio=2.0, n_bearings=6)
    for name in first:
        np.testing.assert_allclose(second[name].values[::-1], first[name].values, atol=1e-9)


def test_zeros_around_a_cell_give_nan():
    values = np.zeros((9, 9))
    values[0, 0] = 1.0
    axis = np.arange(9.0)
    raster = xr.DataArray(values, {"y": axis, "x": axis}, ("y", "x")).rio.write_crs(32650)
    maps = singularity(raster, windows=(3, 5))
    assert np.isfinite(maps["score"][1, 1])
    assert np.isnan(maps["score"][2, 2])


@pytest.mark.parametrize("windows", [(3,), (3, 4), (5, 3), (3, 3), (-1, 3), (3.0, 5.0)])
def test_wrong_windows(cube, windows):
    with pytest.raises(WindowError, match="two or more odd integers"):
        singularity(cube, windows=windows)


def test_windows_larger_than_the_survey(cube):
    with pytest.raises(WindowError, match="larger than the survey of 24 x 20"):
        singularity(cube, windows=(3, 21))


def test_no_concentration(cube):
    with pytest.raises(CompositionError, match="log-ratio of kind 'clr'"):
        singularity(small_cube())
    with pytest.raises(CompositionError, match="negative values"):
        singularity(-cube)


def test_wrong_arguments(cube):
    with pytest.raises(XGeoAnomError, match="ratio=0.5 must be at least 1"):
        singularity(cube, ratio=0.5)
    with pytest.raises(GridError, match="n_bearings=0"):
        singularity(cube, n_bearings=0)
    with pytest.raises(GridError, match="is a ndarray"):
        singularity(cube.values)
    with pytest.raises(GridError, match="dims"):
        singularity(cube.isel(x=0))
    with pytest.raises(CRSError, match="no CRS"):
        singularity(cube.drop_vars("spatial_ref"))
