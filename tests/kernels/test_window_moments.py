"""Window means and deviations against slices."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.kernels.window_moments import window_moments


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 3), st.integers(0, 9))
def test_moments_equal_those_of_slices(ny, nx, half, seed):
    rng = np.random.default_rng(seed)
    plane = rng.normal(3, 2, size=(2, ny + 2 * half, nx + 2 * half))
    plane[rng.random(plane.shape) < 0.3] = np.nan
    mean, deviation = window_moments(plane, 2 * half + 1)
    assert mean.shape == deviation.shape == (2, ny, nx)
    for k, i, j in np.ndindex(mean.shape):
        window = plane[k, i : i + 2 * half + 1, j : j + 2 * half + 1]
        if np.isnan(window).all():
            assert np.isnan([mean[k, i, j], deviation[k, i, j]]).all()
        else:
            np.testing.assert_allclose(mean[k, i, j], np.nanmean(window))
            np.testing.assert_allclose(deviation[k, i, j], np.nanstd(window), atol=1e-6)


@given(st.integers(0, 3), st.integers(0, 9))
def test_a_part_or_a_mirror_has_the_same_bits(half, seed):
    plane = np.random.default_rng(seed).normal(size=(12, 11)).astype("float32")
    whole = np.stack(window_moments(plane, 2 * half + 1))
    part = np.stack(window_moments(plane[2:, 1:9], 2 * half + 1))
    np.testing.assert_array_equal(part, whole[:, 2:, 1 : 9 - 2 * half])
    mirrored = np.stack(window_moments(plane[::-1, ::-1], 2 * half + 1))
    np.testing.assert_array_equal(mirrored[:, ::-1, ::-1], whole)
