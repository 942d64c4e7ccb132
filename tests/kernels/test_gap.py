"""The best two clusters of a window: all thresholds tried as oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xgeoanom.kernels.gap import split


def squares(values):
    return ((values - values.mean()) ** 2).sum()


@given(hnp.arrays("float64", st.integers(2, 30), elements=st.floats(-100, 100, width=32)))
def test_split_is_the_best_threshold(values):
    ordered = np.sort(values)
    one, two, size = split(ordered)
    tried = [squares(ordered[:k]) + squares(ordered[k:]) for k in range(1, len(ordered))]
    assert one == pytest.approx(squares(ordered), abs=1e-6)
    assert two == pytest.approx(min(tried), abs=1e-6)
    assert tried[size - 1] == pytest.approx(min(tried), abs=1e-6)
