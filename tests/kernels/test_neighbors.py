"""The kd-tree: its boxes, its searches, and the space it lives in."""

import numpy as np
import pytest

from xgeoanom.kernels.neighbors import LEAF, build_tree, gather, kth_distance, place, stretch_of


def samples(n, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 100, (2, n))
    return x, y, rng.lognormal(size=(n, 1))


@pytest.mark.parametrize("n", [1, 5, 12, 13, 100, 1000])
def test_tree_boxes_hold_their_samples(n):
    x, y, values = samples(n)
    tree = build_tree(x, y, values)
    leaves = len(tree.boxes) // 2
    for leaf in range(leaves):
        inside = slice(leaf * n // leaves, (leaf + 1) * n // leaves)
        xs, ys = tree.x[inside], tree.y[inside]
        assert 1 <= len(xs) <= LEAF
        box = [xs.min(), xs.max(), ys.min(), ys.max()]
        np.testing.assert_array_equal(tree.boxes[leaves + leaf], box)
    np.testing.assert_allclose(np.sort(tree.x + tree.origin[0]), np.sort(x), atol=1e-12)


@pytest.mark.parametrize("n", [3, 30, 500])
def test_searches_equal_brute_force(n):
    x, y, values = samples(n)
    tree = build_tree(x, y, values, stretch_of(2.0, 25.0))
    found = np.empty(n, np.int64)
    for at in ((50.0, 50.0), (-20.0, 130.0), (0.0, 0.0)):
        cy, cx = place(tree, at[0] - tree.origin[1], at[1] - tree.origin[0])
        distances = np.hypot(tree.x - cx, tree.y - cy)
        third = np.sort(distances)[2]
        assert kth_distance(tree, cx, cy, 3, np.inf) == pytest.approx(third**2)
        m = gather(tree, cx, cy, (third * (1 + 1e-9)) ** 2, n, found)
        assert set(found[:m]) == set(np.argsort(distances)[:3])


@pytest.mark.parametrize(
    ("azimuth", "along", "across"), [(0, (0, 1), (1, 0)), (90, (1, 0), (0, 1))]
)
def test_stretch_keeps_the_first_radius_and_scales_the_second(azimuth, along, across):
    stretch = stretch_of(4.0, azimuth)
    assert np.linalg.norm(stretch @ along) == pytest.approx(1)
    assert np.linalg.norm(stretch @ across) == pytest.approx(4)
