"""Spectrum-area: components sum to the detrended map, and planted waves come out apart."""

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given
from hypothesis import strategies as st
from surveys import small_cube

from xgeoanom.classical.spectrum_area import spectrum_area
from xgeoanom.classical.trend_surface import trend_surface
from xgeoanom.errors import GridError, XGeoAnomError

PARTS = ["score", "background", "noise"]


def total(parts):
    return sum(parts[name] for name in PARTS)


@given(
    seed=st.integers(0, 99),
    ny=st.integers(8, 30),
    nx=st.integers(8, 30),
    degree=st.integers(0, 2),
    holes=st.integers(0, 8),
)
def test_components_sum_to_the_detrended_map(seed, ny, nx, degree, holes):
    raster = small_cube(ny, nx, seed=seed, holes=holes).sel(element="Au")
    parts = spectrum_area(raster, degree=degree)
    detrended = trend_surface(raster, degree=degree)["score"]
    np.testing.assert_allclose(total(parts), detrended, atol=1e-9)
    np.testing.assert_array_equal(parts["score"].isnull(), raster.isnull())


def test_strong_waves_are_background_and_weak_ones_noise():
    raster = small_cube(64, 80).sel(element="Au")
    row, col = np.mgrid[:64, :80]
    wave = 50 * np.cos(2 * np.pi * (row / 32 + col / 40))
    noise = np.random.default_rng(0).normal(size=wave.shape)
    parts = spectrum_area(raster.copy(data=wave + noise), degree=0, n_segments=3)
    assert np.corrcoef(parts["background"].values.ravel(), wave.ravel())[0, 1] > 0.98
    assert np.corrcoef(parts["noise"].values.ravel(), noise.ravel())[0, 1] > 0.5
    assert parts["background"].std() > 10 * parts["noise"].std()


def test_result_stands_on_the_grid_either_way():
    raster = small_cube(holes=9).sel(element="Au")
    before = raster.copy(deep=True)
    found = spectrum_area(raster)
    assert list(found) == [*PARTS, "trend"]
    assert_georeferenced(found, raster)
    turned = spectrum_area(raster.chunk(y=7).isel(y=slice(None, None, -1)))
    xr.testing.assert_allclose(turned.isel(y=slice(None, None, -1)), found)
    assert found.sizes["break"] == found.sizes["segment"] - 1
    assert (np.diff(found["area"]) <= 0).all()
    xr.testing.assert_identical(raster, before)


def test_errors():
    raster = small_cube().sel(element="Au")
    plane = raster.copy(data=np.add.outer(np.arange(24.0), np.arange(20.0)))
    with pytest.raises(GridError, match="nothing but its trend"):
        spectrum_area(plane)
    with pytest.raises(XGeoAnomError, match="n_segments=2"):
        spectrum_area(raster, n_segments=2)
    with pytest.raises(GridError, match="0 valid cells"):
        spectrum_area(raster.where(False))
