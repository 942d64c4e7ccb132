"""Pair counts of Table 2, and batches of pairs against naive loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xgeoanom.kernels.dual_window import half_plane, ring_offsets
from xgeoanom.kernels.pairs import add_scores, first_cursor, next_pairs, training_pairs


@pytest.mark.parametrize(("n", "similar", "dissimilar"), [(136, 36720, 18496), (35, 2380, 1225)])
def test_table_2(n, similar, dissimilar):
    pairs, labels = training_pairs(np.arange(n), np.arange(n, 2 * n))
    assert (labels == 0).sum() == similar
    assert (labels == 1).sum() == dissimilar
    assert len(pairs) == similar + dissimilar == len(labels)


@given(st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_training_pairs_equal_a_loop(n_ore, n_rest, both_orders):
    ore, rest = np.arange(n_ore), np.arange(n_ore, n_ore + n_rest)
    expected = [(i, j, 0) for c in (ore, rest) for i in c for j in c if i != j]
    expected += [(i, j, 1) for i in ore for j in rest]
    expected += [(j, i, 1) for i in ore for j in rest if both_orders]
    pairs, labels = training_pairs(ore, rest, both_orders=both_orders)
    found = [(*pair, label) for pair, label in zip(pairs.tolist(), labels.tolist(), strict=True)]
    assert sorted(found) == sorted((int(i), int(j), float(k)) for i, j, k in expected)


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([(1, 3), (1, 5), (3, 5), (3, 7)]),
    st.integers(1, 40),
    st.booleans(),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_batches_hold_every_wanted_pair_once(ny, nx, windows, size, both, seed):
    halo = windows[1] // 2
    valid = np.random.default_rng(seed).random((ny + 2 * halo, nx + 2 * halo)) > 0.3
    offsets = ring_offsets(*windows)
    offsets = half_plane(offsets) if both else offsets
    rows, cols = valid.shape

    def framed(r, c):
        return halo <= r < rows - halo and halo <= c < cols - halo

    expected = {
        (r * cols + c, (r + dy) * cols + c + dx)
        for dy, dx in offsets
        for r in range(rows)
        for c in range(cols)
        if 0 <= r + dy < rows and 0 <= c + dx < cols
        if valid[r, c] and valid[r + dy, c + dx]
        if framed(r, c) or (both and framed(r + dy, c + dx))
    }
    cursor, found = first_cursor(offsets), []
    first, second = np.empty((2, size), dtype="int64")
    while n := next_pairs(valid, halo, offsets, both, cursor, first, second):
        found += list(zip(first[:n].tolist(), second[:n].tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_scores_reach_their_cells_and_rings():
    cols = 4
    first, second = np.array([0, 5]), np.array([2, 10])  # radii 2 and 1
    for both in (True, False):
        sums, counts = np.zeros((3, 16)), np.zeros((3, 16), dtype="int32")
        add_scores(np.array([0.5, 0.25]), first, second, cols, both, np.arange(3), sums, counts)
        assert (sums[2, 0], sums[1, 5]) == (0.5, 0.25)
        assert (sums[2, 2], sums[1, 10]) == ((0.5, 0.25) if both else (0, 0))
        assert counts.sum() == (4 if both else 2)
