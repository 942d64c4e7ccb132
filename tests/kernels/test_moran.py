"""Local Moran's draws against the permutation distribution, worked out in full."""

from itertools import combinations

import numpy as np
import pytest

from xgeoanom.kernels.moran import local_moran, shuffle

KEY = np.uint64(2**63 + 12345)


def run(plane, *, window=3, permutations=199, seed=0, key=KEY, pool=2**20):
    known = np.isfinite(plane)
    cells = np.where(known, known.cumsum().reshape(plane.shape) - 1.0, np.nan)
    shuffles = shuffle(plane[known], np.random.default_rng(seed), pool)
    wide = np.pad(plane, window // 2, constant_values=np.nan)
    out = np.empty((2, *plane.shape))
    local_moran(wide, cells, window, shuffles, permutations, key, out)
    return out


def test_shuffles_hold_each_value_once():
    values = np.arange(7.0) ** 2
    shuffles = shuffle(values, np.random.default_rng(0))
    for sums, position in zip(shuffles.sums[:5], shuffles.position, strict=False):
        np.testing.assert_array_equal(np.diff(sums)[position], values)


def test_pool_holds_some_of_the_values():
    values = np.arange(50.0) ** 2
    shuffles = shuffle(values, np.random.default_rng(0), pool=20)
    for sums, position in zip(shuffles.sums[:5], shuffles.position, strict=False):
        drawn = position >= 0
        assert drawn.sum() == 20
        np.testing.assert_array_equal(np.diff(sums)[position[drawn]], values[drawn])


def test_p_of_a_pool_is_that_of_the_map():
    plane = np.random.default_rng(2).normal(size=(60, 60))
    plane[10:20, 10:20] += 1.5
    (_, whole), (_, part) = run(plane), run(plane, pool=1500)
    assert abs(whole - part).mean() < 0.06  # of two sets of 199 draws
    assert (part[11:19, 11:19] < 0.05).mean() > 0.8


def test_lag_is_the_mean_of_valid_neighbours():
    plane = np.random.default_rng(0).normal(size=(5, 6))
    plane[2, 3] = plane[0, 1] = plane[1, 0] = plane[1, 1] = np.nan
    lag, p = run(plane)
    for i, j in np.ndindex(plane.shape):
        around = plane[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].copy()
        around[min(i, 1), min(j, 1)] = np.nan
        if np.isnan(plane[i, j]) or np.isnan(around).all():
            assert np.isnan([lag[i, j], p[i, j]]).all()
        else:
            np.testing.assert_allclose(lag[i, j], np.nanmean(around), atol=1e-12)
    assert np.isnan(lag[0, 0])  # alone


def test_p_is_that_of_all_subsets_of_the_other_values():
    """A corner has three neighbours: all 364 subsets of the other fourteen values are counted."""
    plane = np.random.default_rng(3).normal(size=(3, 5))
    plane[0, 0] = 4.0  # an outlier: drawn into its own reference it would change p
    _, p = run(plane, permutations=20_000)
    others = np.delete(plane.ravel(), 0)
    total = plane[0, 1] + plane[1, 0] + plane[1, 1]
    drawn = np.array([sum(subset) for subset in combinations(others, 3)])
    expected = 2 * min((drawn >= total).mean(), (drawn <= total).mean())
    assert p[0, 0] == pytest.approx(min(expected, 1), abs=0.02)


def test_p_values_of_noise_are_uniform():
    _, p = run(np.random.default_rng(1).normal(size=(60, 60)))
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=0.03)


def test_ties_count_as_extreme():
    plane = np.zeros((10, 10))
    plane[0, 0] = 1.0
    _, p = run(plane)
    assert (p[3:, 3:] == 1).all()


def test_draws_follow_the_key_alone():
    plane = np.random.default_rng(0).normal(size=(9, 9))
    np.testing.assert_array_equal(run(plane)[1], run(plane)[1])
    assert (run(plane, key=np.uint64(1))[1] != run(plane)[1]).any()
