"""The quantile band of dissimilarity to deposits, against naive loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.detectors import likely_negatives as module
from xgeoanom.detectors.likely_negatives import likely_negatives

QUANTILES = st.tuples(st.floats(0, 0.4), st.floats(0.6, 1))


@given(st.integers(1, 40), st.integers(1, 5), QUANTILES, st.integers(0, 99))
def test_against_naive_loops(n, n_deposits, band, seed):
    rng = np.random.default_rng(seed)
    cells, deposits = rng.normal(size=(n, 3)), rng.normal(size=(n_deposits, 3))
    far = [sum(np.sqrt(((cell - one) ** 2).sum()) for one in deposits) for cell in cells]
    ordered = np.sort(far)

    def quantile(share):
        place = share * (n - 1)
        below = int(place)
        above = min(below + 1, n - 1)
        return ordered[below] + (place - below) * (ordered[above] - ordered[below])

    low, high = map(quantile, band)
    found = likely_negatives(cells, deposits, band)
    for value, taken in zip(far, found):
        if min(abs(value - low), abs(value - high)) > 1e-9:  # else rounding decides
            assert taken == (low < value < high)


def test_quantiles_leave_out_the_near_and_the_far():
    cells = np.random.default_rng(0).permutation(np.arange(1000.0))[:, None]
    taken = cells[likely_negatives(cells, np.array([[0.0]]), (0.3, 0.6)), 0]
    assert (taken.min(), taken.max(), len(taken)) == (300, 599, 300)
    assert likely_negatives(cells, np.array([[0.0]]), (0.0, 1.0)).all()


def test_in_parts_as_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    cells, deposits = rng.normal(size=(50, 3)), rng.normal(size=(4, 3))
    whole = likely_negatives(cells, deposits, (0.3, 0.6))
    monkeypatch.setattr(module, "ROWS", 7)
    np.testing.assert_array_equal(likely_negatives(cells, deposits, (0.3, 0.6)), whole)
    assert whole.sum() == pytest.approx(15, abs=1)
