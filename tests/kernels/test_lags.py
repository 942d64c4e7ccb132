"""Pairs of samples by distance and direction, against a loop over all of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.kernels.lags import bin_pairs


@given(
    n=st.integers(2, 40),
    step=st.integers(1, 3),
    robust=st.booleans(),
    alignment=st.sampled_from([0.0, 0.9]),
    seed=st.integers(0, 99),
)
def test_pairs_equal_a_loop(n, step, robust, alignment, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 9, (2, n)).astype(float)
    x.sort()
    values = rng.normal(size=n)
    directions = np.array([[0.0, 1.0], [0.6, 0.8]])
    sums = np.zeros((2, 3), dtype=int), np.zeros((2, 3)), np.zeros((2, 3))
    bin_pairs(x, y, values, 2.0, directions, alignment, step, robust, *sums)
    expected = np.zeros((3, 2, 3))
    for i in range(0, n, step):
        for j in range(i + 1, n):
            apart = np.array([x[j] - x[i], y[j] - y[i]])
            h = np.hypot(*apart)
            if not 0 < h < 6:
                continue
            term = abs(values[i] - values[j]) ** (0.5 if robust else 2)
            aligned = abs(directions @ apart) >= alignment * h
            expected[:, aligned, int(h // 2)] += np.array([1, h, term])[:, None]
    for one, other in zip(sums, expected):
        np.testing.assert_allclose(one, other, rtol=1e-12)
