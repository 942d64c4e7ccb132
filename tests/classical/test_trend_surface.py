"""Trend surfaces: scikit-learn's and a naive loop's regressions as oracles."""

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PolynomialFeatures
from surveys import small_cube

from xgeoanom.classical.trend_surface import local_trend, trend_surface
from xgeoanom.errors import GridError, WindowError


@pytest.fixture
def raster():
    return small_cube(holes=9).sel(element="Au")


def planar(raster, values):
    return raster.copy(data=np.where(raster.isnull(), np.nan, values))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_least_squares_equals_scikit_learn(raster, degree):
    found = trend_surface(raster, degree=degree)
    y, x = xr.broadcast(raster["y"], raster["x"])
    places = np.column_stack([y.values.ravel() - 3_990_000, x.values.ravel() - 305_000]) / 1e4
    terms = PolynomialFeatures(degree).fit_transform(places)
    known = raster.notnull().values.ravel()
    fit = LinearRegression(fit_intercept=False).fit(terms[known], raster.values.ravel()[known])
    np.testing.assert_allclose(found["trend"].values.ravel(), fit.predict(terms), atol=1e-9)
    np.testing.assert_allclose(found["score"], raster.values - found["trend"].values)
    assert_georeferenced(found, raster)
    assert list(found) == ["score", "trend"]


def test_huber_solves_its_equations_and_withstands_outliers(raster):
    trend = np.add.outer(np.linspace(0, 5, 24), np.linspace(0, -3, 20))
    values = trend + 0.1 * np.random.default_rng(0).normal(size=trend.shape)
    values[:4, :5] += 30.0
    spoilt = planar(raster, values)
    robust = trend_surface(spoilt, degree=1, robust=True)
    assert abs(robust["trend"] - trend).max() < 0.2
    assert abs(trend_surface(spoilt, degree=1)["trend"] - trend).max() > 5
    residual = robust["score"].values
    known = np.isfinite(residual)
    sigma = 1.4826 * np.median(np.abs(residual[known]))
    pull = np.clip(residual[known] / sigma, -1.345, 1.345)
    row, col = np.nonzero(known)
    for column in (np.ones(len(row)), row, col):
        assert abs(pull @ column) < 1e-5 * np.abs(pull) @ column.astype(float)


def naive_local_trend(values, window, degree):
    """Weighted least squares at each cell, in a loop."""
    half = window // 2
    trend = np.full(values.shape, np.nan)
    for i, j in np.argwhere(np.isfinite(values)):
        rows, cols = np.mgrid[i - half : i + half + 1, j - half : j + half + 1]
        inside = (rows >= 0) & (rows < values.shape[0]) & (cols >= 0) & (cols < values.shape[1])
        rows, cols = rows[inside], cols[inside]
        z = values[rows, cols]
        distance = np.hypot(rows - i, cols - j) / (half + 1)
        weight = np.where(np.isfinite(z), np.maximum(1 - distance**3, 0) ** 3, 0)
        terms = PolynomialFeatures(degree).fit_transform(np.column_stack([rows - i, cols - j]))
        fit = LinearRegression(fit_intercept=False).fit(terms, np.nan_to_num(z), weight)
        trend[i, j] = fit.coef_[0]
    return trend


@pytest.mark.parametrize(("window", "degree"), [(3, 0), (5, 1), (9, 1), (7, 2)])
def test_local_trend_equals_naive_loop(raster, window, degree):
    found = local_trend(raster, window=window, degree=degree)
    expected = naive_local_trend(raster.values, window, degree)
    np.testing.assert_allclose(found["trend"], expected, atol=1e-9)
    np.testing.assert_allclose(found["score"], raster.values - expected, atol=1e-9)
    assert_georeferenced(found, raster)


def test_undetermined_windows_are_missing(raster):
    lonely = raster.where(False)
    lonely[3, 4] = 1.0
    lonely[12:20, 8] = np.arange(8.0)
    assert local_trend(lonely, window=5, degree=1)["trend"].isnull().all()
    assert int(local_trend(lonely, window=5, degree=0)["trend"].notnull().sum()) == 9


@given(chunks=st.tuples(st.integers(1, 24), st.integers(1, 20)))
def test_lazy_in_any_chunks_and_either_way(chunks):
    raster = small_cube(holes=9).sel(element="Au")
    lazy = raster.chunk(y=chunks[0], x=chunks[1]).isel(y=slice(None, None, -1))
    for method in (trend_surface, lambda raster: local_trend(raster, window=5)):
        found = method(lazy)
        assert found["score"].chunks is not None
        back = found.compute().isel(y=slice(None, None, -1))
        xr.testing.assert_allclose(back, method(raster), atol=1e-9)


def test_local_trend_computes_nothing_early(raster, no_compute):
    with no_compute():
        local_trend(raster.chunk(y=10), window=5)


def test_inputs_and_units_are_kept(raster):
    before = raster.copy(deep=True)
    assert trend_surface(raster)["score"].attrs["units"] == "1"
    in_ppm = raster.assign_attrs(log_ratio="none")
    assert local_trend(in_ppm, window=5)["score"].attrs["units"] == "ppm"
    xr.testing.assert_identical(raster, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: trend_surface(r, degree=-1), "degree=-1"),
        (lambda r: trend_surface(r, degree=1.5), "degree=1.5"),
        (lambda r: trend_surface(r.values), "raster is a ndarray"),
        (lambda r: trend_surface(r.expand_dims("element")), "has dims"),
        (lambda r: trend_surface(r.where(False)), "0 valid cells"),
        (lambda r: trend_surface(r[:2], degree=2), "too few rows or columns"),
    ],
)
def test_errors_of_the_surface(raster, call, message):
    with pytest.raises(GridError, match=message):
        call(raster)


@pytest.mark.parametrize("params", [{"window": 4}, {"window": 3, "degree": 2}, {"degree": 3}])
def test_errors_of_the_window(raster, params):
    with pytest.raises(WindowError):
        local_trend(raster, **params)
