"""Window means against numpy, and the fit against numpy's polyfit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.kernels.singularity import (
    ellipse_rows,
    fit_power_law,
    running_sums,
    shape_means,
    square_means,
)
from xgeoanom.kernels.window_sums import BAND


def random_plane(ny, nx, halo, seed=0):
    rng = np.random.default_rng(seed)
    plane = rng.lognormal(size=(ny + 2 * halo, nx + 2 * halo))
    plane[rng.random(plane.shape) < 0.1] = np.nan
    return plane


@pytest.mark.parametrize("ny", [1, BAND + 3])
def test_square_means_equal_nanmean(ny):
    plane, sizes = random_plane(ny, 4, 5), np.array([3, 7, 9])
    means = np.empty((3, ny, 4))
    square_means(plane, sizes, 5, means)
    for k, i, j in np.ndindex(means.shape):
        half = sizes[k] // 2
        window = plane[i + 5 - half : i + 6 + half, j + 5 - half : j + 6 + half]
        np.testing.assert_allclose(means[k, i, j], np.nanmean(window), rtol=1e-11)


@given(st.floats(2, 9), st.floats(1, 4), st.floats(0, 180), st.sampled_from([1.0, -1.0]))
def test_ellipse_holds_the_cells_inside(size, ratio, bearing, height):
    found = {
        (row, col)
        for row, first, stop in ellipse_rows(size, ratio, bearing, height, 2.0)
        for col in range(first, stop)
    }
    long, short = np.sqrt(2 * size**2 / np.pi * np.array([ratio, 1 / ratio]))
    angle = np.radians(bearing)
    expected = set()
    for row in range(-40, 41):
        for col in range(-40, 41):
            towards = complex(height * row, 2.0 * col) * np.exp(-1j * angle)  # north, east
            if (towards.real / long) ** 2 + (towards.imag / short) ** 2 <= 1 + 1e-9:
                expected.add((row, col))
    assert found == expected


def test_shape_means_equal_nanmean():
    plane, shape = random_plane(6, 7, 4), ellipse_rows(3.0, 3.0, 30.0, -1.0, 1.0)
    means = np.empty((6, 7))
    shape_means(*running_sums(plane), shape, 4, means)
    cells = np.array([(row, col) for row, a, b in shape for col in range(a, b)])
    for i, j in np.ndindex(means.shape):
        expected = np.nanmean(plane[i + 4 + cells[:, 0], j + 4 + cells[:, 1]])
        np.testing.assert_allclose(means[i, j], expected, rtol=1e-12)


def test_fit_equals_polyfit():
    means, sizes = random_plane(3, 3, 0).repeat(4).reshape(3, 3, 4).transpose(2, 0, 1), [3, 5, 7, 9]
    means = means * np.random.default_rng(1).lognormal(size=means.shape)
    valid = np.ones((3, 3), dtype=bool)
    valid[0, 0] = False
    fit = np.empty((3, 3, 3))
    fit_power_law(means, np.array(sizes, dtype=float), valid, fit)
    assert np.isnan(fit[:, 0, 0]).all()
    for i, j in np.argwhere(valid & np.isfinite(means).all(axis=0)):
        x, y = np.log(sizes), np.log(means[:, i, j])
        slope, intercept = np.polyfit(x, y, 1)
        np.testing.assert_allclose(fit[:2, i, j], [2 + slope, intercept], rtol=1e-9)
        np.testing.assert_allclose(fit[2, i, j], np.corrcoef(x, y)[0, 1] ** 2, rtol=1e-9)


def test_flat_means_have_no_r2():
    fit = np.empty((3, 1, 1))
    fit_power_law(np.full((3, 1, 1), 0.1), np.array([3.0, 5.0, 7.0]), np.full((1, 1), True), fit)
    np.testing.assert_allclose(fit[:2, 0, 0], [2, np.log(0.1)], atol=1e-12)
    assert np.isnan(fit[2, 0, 0])
