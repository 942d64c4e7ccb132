"""The windows of Zhang, Zuo and Xiong 2021, section 4.3."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.errors import WindowError
from xgeoanom.kernels.dual_window import PAPER_WINDOWS, half_plane, ring_offsets, window_means

# Neighbours in each pair of windows of Fig. 8.
FIG_8 = (24, 56, 96, 144, 1176, 1144, 1104, 1056)
odd = st.integers(0, 12).map(lambda n: 2 * n + 1)


@pytest.mark.parametrize(
    ("inner", "outer", "n"),
    [(3, 5, 16), *((*window, n) for window, n in zip(PAPER_WINDOWS, FIG_8, strict=True))],
)
def test_pair_counts_of_the_paper(inner, outer, n):
    assert len(ring_offsets(inner, outer)) == n


@given(odd, odd)
def test_ring_is_the_outer_square_less_the_inner(a, b):
    if a >= b:
        with pytest.raises(WindowError, match="larger than inner"):
            ring_offsets(a, b)
        return
    expected = {
        (dy, dx)
        for dy in range(-(b // 2), b // 2 + 1)
        for dx in range(-(b // 2), b // 2 + 1)
        if max(abs(dy), abs(dx)) > a // 2
    }
    found = ring_offsets(a, b)
    assert set(map(tuple, found.tolist())) == expected
    half = half_plane(found)
    assert {tuple(o) for o in half.tolist()} | {tuple(-o) for o in half} == expected
    assert 2 * len(half) == len(found)


@pytest.mark.parametrize(("inner", "outer"), [(2, 5), (3, 6), (-1, 5), (0, 3), (2.5, 7)])
def test_wrong_windows_are_named(inner, outer):
    with pytest.raises(WindowError, match="odd"):
        ring_offsets(inner, outer)


def test_means_need_a_quarter_of_the_neighbours():
    total, count = np.array([8.0, 2.0, 1.5]), np.array([16, 4, 3])
    np.testing.assert_allclose(window_means(total, count, 3, 5), [0.5, 0.5, np.nan])
