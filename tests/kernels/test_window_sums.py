"""Integral images against slices."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.kernels.window_sums import integral_images, window_sums


@given(
    st.integers(1, 8), st.integers(1, 8), st.integers(0, 3), st.integers(0, 3), st.integers(0, 9)
)
def test_windows_equal_slices(ny, nx, half, spare, seed):
    halo = half + spare
    rng = np.random.default_rng(seed)
    plane = rng.normal(size=(ny + 2 * halo, nx + 2 * halo))
    plane[rng.random(plane.shape) < 0.2] = np.nan
    sums, counts = integral_images(plane)
    total, count = np.empty((ny, nx)), np.empty((ny, nx))
    window_sums(sums, 2 * half + 1, total)
    window_sums(counts, 2 * half + 1, count)
    for i in range(ny):
        for j in range(nx):
            window = plane[i + spare : i + halo + half + 1, j + spare : j + halo + half + 1]
            assert window.shape == (2 * half + 1, 2 * half + 1)
            np.testing.assert_allclose(total[i, j], np.nansum(window), atol=1e-12)
            assert count[i, j] == np.isfinite(window).sum()
