"""Octants against a loop over all samples, sector by sector."""

import numpy as np
import pytest

from xgeoanom.kernels.neighbors import build_tree
from xgeoanom.kernels.octants import interpolate_by_octant


def by_loop(x, y, values, at, rule, octants):
    k, least, power, max_distance = rule
    dy, dx = y - at[0], x - at[1]
    distance = np.hypot(dx, dy)
    sector = np.floor(np.degrees(np.arctan2(dy, dx)) / 45).astype(int)
    kept = []
    for each in range(-4, 5):
        inside = np.flatnonzero((sector == each) & (distance <= max_distance))
        kept.append(inside[np.argsort(distance[inside])][: octants[0]])
    filled = sum(len(some) > 0 for some in kept)
    near = np.concatenate(kept)
    near = near[np.argsort(distance[near])][:k]
    if len(near) < least or filled < octants[1]:
        return np.full(values.shape[1], np.nan)
    weights = distance[near] ** -power
    return weights @ values[near] / weights.sum()


@pytest.mark.parametrize("rule", [(12, 1, 2.0, 25.0), (5, 3, 1.0, 12.0), (40, 1, 3.0, 200.0)])
@pytest.mark.parametrize("octants", [(2, 1), (1, 5), (7, 8)])
def test_equals_loop(rule, octants):
    rng = np.random.default_rng(0)
    x, y = rng.normal(50, 18, (2, 300))
    values = rng.lognormal(size=(300, 2))
    rows, cols = rng.uniform(-10, 110, (2, 80))
    out = np.empty((2, 80))
    interpolate_by_octant(build_tree(x, y, values), rows, cols, np.arange(2), out, rule, octants)
    expected = [by_loop(x, y, values, at, rule, octants) for at in zip(rows, cols, strict=True)]
    np.testing.assert_allclose(out.T, expected, rtol=1e-9)
    assert np.isfinite(out).any()


def test_a_cluster_on_one_side_cannot_outvote_the_others():
    x = np.array([1.0, 1.01, 1.02, 1.03, -1.5, 0.1, -0.1])
    y = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 1.5, -1.5])
    values = np.array([[9.0], [9.0], [9.0], [9.0], [1.0], [1.0], [1.0]])
    out, rule = np.empty((1, 1)), (12, 1, 2.0, 3.0)
    tree, origin = build_tree(x, y, values), np.zeros(1)
    interpolate_by_octant(tree, origin, origin, np.arange(1), out, rule, (9, 1))
    crowd = out[0, 0]
    interpolate_by_octant(tree, origin, origin, np.arange(1), out, rule, (1, 1))
    assert out[0, 0] < crowd - 1


def test_exact_at_a_sample():
    x, y, values = np.array([0.0, 1.0, 2.0]), np.zeros(3), np.array([[5.0], [6.0], [7.0]])
    out = np.empty((1, 3))
    tree = build_tree(x, y, values)
    interpolate_by_octant(tree, y, x, np.arange(1), out, (3, 1, 2.0, 9.0), (1, 1))
    np.testing.assert_array_equal(out[0], values[:, 0])
