"""Concentration-area: fields built to obey power laws give their exponents back."""

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from surveys import small_cube

from xgeoanom.classical.concentration_area import concentration_area
from xgeoanom.errors import GridError, XGeoAnomError


def field(values):
    """Return concentrations on a 500 m grid, north up."""
    ny, nx = values.shape
    return xr.DataArray(
        values,
        dims=("y", "x"),
        coords={
            "y": 4e6 - 500.0 * np.arange(ny),
            "x": 3e5 + 500.0 * np.arange(nx),
            "element": "Au",
            "unit": "ppb",
        },
        name="concentration",
        attrs={"long_name": "concentration"},
    ).rio.write_crs(32650)


def power_law(exponents, breaks, n=160):
    """Return a field around its middle, of which A(>= c) is proportional to c^-exponent.

    Within a circle of area A the concentration is that of which A is the area above it.
    """
    row, col = np.mgrid[:n, :n] - (n - 1) / 2
    order = np.hypot(row, col).ravel().argsort(kind="stable")
    area = np.empty(n * n)
    area[order] = np.arange(1, n * n + 1)  # cells at least as rich
    log_a = np.log10(n * n / area)  # from 0 upwards
    corners = np.concatenate([[0], np.cumsum(exponents[:-1] * np.diff([0, *np.log10(breaks)]))])
    log_c = np.interp(
        log_a,
        [*corners, corners[-1] + exponents[-1] * 9],
        [0, *np.log10(breaks), (np.log10(breaks[-1]) if breaks else 0) + 9],
    )
    return field(10 ** log_c.reshape(n, n))


@pytest.mark.parametrize(
    ("exponents", "breaks"),
    [([0.5, 2.0], [10.0]), ([0.4, 1.2, 4.0], [10.0, 100.0])],
)
def test_exponents_and_breaks_are_recovered(exponents, breaks):
    raster = power_law(np.array(exponents), breaks)
    found = concentration_area(raster, n_segments=len(exponents))
    np.testing.assert_allclose(found["exponent"], exponents, rtol=0.12)
    np.testing.assert_allclose(np.log10(found["breaks"]), np.log10(breaks), atol=0.1)
    edges = found["breaks"].values
    np.testing.assert_array_equal(found["score"], np.searchsorted(edges, raster, side="right"))
    assert_georeferenced(found, raster)
    assert found["level"].attrs["units"] == "ppb"
    assert found["score"].attrs["units"] == "1"


def test_one_power_law_has_one_exponent():
    found = concentration_area(power_law(np.array([1.5]), []), n_segments=2)
    assert found["exponent"].values[0] == pytest.approx(1.5, rel=0.05)


def test_area_is_that_of_cells():
    raster = power_law(np.array([1.0, 3.0]), [10.0])
    found = concentration_area(raster, n_levels=40)
    expected = [250_000 * int((raster >= level).sum()) for level in found["level"].values]
    np.testing.assert_array_equal(found["area"], expected)


def test_missing_cells_lazy_chunks_and_directions():
    raster = np.exp(small_cube(holes=30).sel(element="Au")).assign_attrs(long_name="c")
    before = raster.copy(deep=True)
    found = concentration_area(raster)
    np.testing.assert_array_equal(found["score"].isnull(), raster.isnull())
    lazy = concentration_area(raster.chunk(y=7, x=5).isel(y=slice(None, None, -1)))
    assert lazy["score"].chunks is not None
    xr.testing.assert_identical(
        lazy.compute().isel(y=slice(None, None, -1)), found.assign_attrs(lazy.attrs)
    )
    xr.testing.assert_identical(raster, before)


def test_errors():
    good = power_law(np.array([1.0]), [])
    with pytest.raises(GridError, match="1 values that are not positive"):
        concentration_area(good.where(good < good.max(), 0.0))
    with pytest.raises(GridError, match="1 distinct"):
        concentration_area(xr.full_like(good, 3.0))
    with pytest.raises(GridError, match="0 valid cells"):
        concentration_area(good.where(False))
    with pytest.raises(XGeoAnomError, match="n_segments=5"):
        concentration_area(good, n_segments=5)
    with pytest.raises(XGeoAnomError, match="n_levels=10"):
        concentration_area(good, n_levels=10)
