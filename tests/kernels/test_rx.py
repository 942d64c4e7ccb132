"""Dual-window RX against a loop over cells that uses numpy's covariance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.kernels.rx import TILE, run_sums, score_dual_window, shrinkage


def naive_rx(block, inner, outer):
    """Return the scores of a block that is wider by ``outer // 2`` on every side."""
    halo = outer // 2
    ring = np.ones((outer, outer), dtype=bool)
    ring[halo - inner // 2 : halo + inner // 2 + 1, halo - inner // 2 : halo + inner // 2 + 1] = 0
    scores = np.full((block.shape[1] - 2 * halo, block.shape[2] - 2 * halo), np.nan)
    for i, j in np.ndindex(scores.shape):
        around = block[:, i : i + outer, j : j + outer][:, ring]
        around = around[:, np.isfinite(around).all(axis=0)]
        if around.size == 0:
            continue
        away = block[:, i + halo, j + halo] - around.mean(axis=1)
        n = around.shape[1]
        if np.isfinite(away).all() and n >= max(0.25 * ring.sum(), 2):
            covariance = np.atleast_2d(np.cov(around))
            share = max(1 - n / (10 * len(block)), 1e-6)
            mixed = (1 - share) * covariance + share * np.diag(np.diag(covariance))
            scores[i, j] = away @ np.linalg.solve(mixed, away)
    return scores


def score(block, inner, outer):
    halo = outer // 2
    out = np.empty((block.shape[1] - 2 * halo, block.shape[2] - 2 * halo))
    score_dual_window(block, inner, outer, out)
    return out


def random_block(n_elements, ny, nx, halo, *, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    block = rng.normal(size=(n_elements, ny + 2 * halo, nx + 2 * halo))
    block = block + np.roll(block, 1, axis=0) + rng.normal(size=(n_elements, 1, 1))
    block[:, rng.random(block.shape[1:]) < missing] = np.nan
    return block


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 17), st.integers(0, 9))
def test_run_sums_equal_slices(n, step, size, seed):
    source = np.random.default_rng(seed).normal(size=n + (size - 1) * step)
    total = np.empty(n)
    run_sums(source, step, size, np.empty((2, len(source))), total)
    expected = [source[i : i + (size - 1) * step + 1 : step].sum() for i in range(n)]
    np.testing.assert_allclose(total, expected, atol=1e-12)


@given(
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([(1, 3), (1, 5), (3, 5), (3, 9)]),
    st.sampled_from([0.0, 0.3]),
    st.integers(0, 99),
)
def test_scores_equal_a_loop(n_elements, ny, nx, windows, missing, seed):
    block = random_block(n_elements, ny, nx, windows[1] // 2, missing=missing, seed=seed)
    np.testing.assert_allclose(score(block, *windows), naive_rx(block, *windows), rtol=1e-7)


def test_tiles_meet():
    block = random_block(3, TILE + 2, TILE + 5, 3, missing=0.05)
    np.testing.assert_allclose(score(block, 3, 7), naive_rx(block, 3, 7), rtol=1e-8)


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_large_means_cost_no_digits(offset):
    block = random_block(3, 6, 6, 3)
    np.testing.assert_allclose(score(block + offset, 1, 7), score(block, 1, 7), rtol=1e-7)


def test_a_huge_value_leaves_no_trace_beyond_its_rings():
    block = random_block(3, 20, 20, 3)
    spoiled = block.copy()
    spoiled[:, 3, 3] = 1e9  # the first cell
    far = np.ones((20, 20), dtype=bool)
    far[:4, :4] = False
    np.testing.assert_allclose(score(spoiled, 1, 7)[far], score(block, 1, 7)[far], rtol=1e-6)


def test_singular_covariance_is_regularised():
    block = random_block(4, 5, 5, 5)
    singular = block - block.mean(axis=0)  # as clr: elements sum to 0
    kept = naive_rx(singular[:3], 3, 11)
    np.testing.assert_allclose(score(singular, 3, 11), kept, rtol=1e-4)


def test_element_constant_in_the_ring_is_left_out():
    block = random_block(3, 4, 4, 5)
    flat = np.concatenate([block, np.full((1, *block.shape[1:]), 0.1)])
    flat[3, 7, 7] = 5.0
    share = shrinkage(121 - 9, 4)
    assert share == shrinkage(121 - 9, 3) == 1e-6
    cell = np.s_[2, 2]
    np.testing.assert_allclose(score(flat, 3, 11)[cell], score(block, 3, 11)[cell], rtol=1e-9)


def test_shrinkage_falls_to_the_ridge():
    assert [shrinkage(n, 2) for n in (0, 5, 10, 20, 400)] == [1, 0.75, 0.5, 1e-6, 1e-6]
