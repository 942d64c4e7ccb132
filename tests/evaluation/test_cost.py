"""Seconds and memory of a block."""

import time

import numpy as np
import pytest

from xgeoanom.evaluation.cost import Cost


def test_memory_that_is_given_back_is_seen():
    with Cost() as cost:
        block = np.ones(50_000_000)
        time.sleep(0.05)
        del block
    assert cost.memory_mb > 200  # of 400: the system may page out what others hold meanwhile


def test_seconds():
    with Cost() as cost:
        time.sleep(0.05)
    assert 0.05 <= cost.seconds < 5


def test_an_error_passes_and_is_measured():
    cost = Cost()
    with pytest.raises(KeyError), cost:
        raise KeyError
    assert cost.seconds >= 0
