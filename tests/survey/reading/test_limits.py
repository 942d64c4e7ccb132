"""Detection limits by entry, by batch, and given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.reading.limits import apply_limits, given_limits

NAN = np.nan


def limits(value, state, batch=None, given=None):
    value, state = np.array(value, dtype=float), np.array(state, dtype="int8")
    batch = np.zeros(len(value), dtype=int) if batch is None else np.array(batch)
    if given is None:
        given = np.full((batch.max() + 1, value.shape[1]), NAN)
    return apply_limits(value, state, batch, np.array(given, dtype=float))


def test_one_limit_is_that_of_the_element():
    limit, _, state = limits([[0.5, 3], [2, NAN], [0, 4]], [[1, 0], [0, 3], [2, 0]])
    np.testing.assert_array_equal(limit, [0.5, NAN])
    assert state.tolist() == [[1, 0], [0, 3], [2, 0]]


def test_limits_differ_by_batch():
    limit, _, _ = limits([[0.5], [2], [0.1], [3], [4]], [[1], [0], [1], [0], [0]], [0, 0, 1, 1, 2])
    np.testing.assert_array_equal(limit, [[0.5], [0.5], [0.1], [0.1], [NAN]])


def test_a_batch_with_several_limits_has_none_for_others():
    limit, _, _ = limits([[0.5], [0.1], [3]], [[1], [1], [0]])
    np.testing.assert_array_equal(limit, [[0.5], [0.1], [NAN]])


def test_a_limit_of_one_batch_is_not_that_of_others():
    limit, _, _ = limits([[0.5], [2], [3]], [[1], [0], [0]], [0, 0, 1])
    np.testing.assert_array_equal(limit, [[0.5], [0.5], [NAN]])


def test_given_limits_inform_states():
    value, state = [[0, 9], [1, 9], [3, NAN], [0.5, 9]], [[2, 0], [0, 0], [0, 3], [1, 0]]
    limit, now, known = limits(value, state, given=[[2, NAN]])
    np.testing.assert_array_equal(now, [[2, 9], [2, 9], [3, NAN], [0.5, 9]])
    assert known.tolist() == [[1, 0], [1, 0], [0, 3], [1, 0]]
    np.testing.assert_array_equal(limit[:, 0], [2, 2, 2, 0.5])


def test_given_limits_by_element_and_batch():
    table = given_limits({"Au": {"69181": 2}, "Cu": 5.0}, ["Au", "Zn", "Cu"], ["69181", "7"])
    np.testing.assert_array_equal(table, [[2, NAN, 5], [NAN, NAN, 5]])
    assert np.isnan(given_limits(None, ["Au"], ["a"])).all()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"Ag": 1.0}, CubeError, r"'Ag'.*\['Au'\]"),
        ({"Au": {"x": 1.0}}, CubeError, r"batch 'x'.*\['a'\]"),
        ({"Au": 0.0}, CompositionError, "Au: 0.0 is no positive"),
        ({"Au": "1"}, CompositionError, "Au: '1' is no positive"),
        ({"Au": {"a": NAN}}, CompositionError, "Au: nan"),
    ],
)
def test_refuses(given, error, message):
    with pytest.raises(error, match=message):
        given_limits(given, ["Au"], ["a"])


def test_limits_by_batch_need_batches():
    with pytest.raises(CubeError, match="batch '1'.*give batch="):
        given_limits({"Au": {"1": 1.0}}, ["Au"], np.array([""]))


def test_messages_speak_plainly():
    with pytest.raises(CubeError, match=r"has \['a', 'b'\]$"):
        given_limits({"Au": {"x": 1.0}}, ["Au"], np.array(["a", "b"]))
    with pytest.raises(CompositionError, match="Au: 0.0 is"):
        given_limits({"Au": np.float64(0)}, ["Au"], ["a"])


@given(
    value=hnp.arrays(float, (9, 3), elements=st.sampled_from([0.5, 1.0, 2.0])),
    state=hnp.arrays("int8", (9, 3), elements=st.integers(0, 3)),
    batch=hnp.arrays(int, 9, elements=st.integers(0, 2)),
)
def test_censored_entries_keep_their_limits(value, state, batch):
    batch[:3] = [0, 1, 2]
    limit, same, after = limits(value, state, batch)
    np.testing.assert_array_equal(same, value)
    each = np.broadcast_to(limit, value.shape)
    np.testing.assert_array_equal(each[state == 1], value[state == 1])
    np.testing.assert_array_equal(after, state)
    for b in range(3):  # naively: other rows have a limit where the batch states one alone
        for e in range(3):
            rows = batch == b
            stated = set(value[rows & (state[:, e] == 1), e])
            others = each[rows & (state[:, e] != 1), e]
            if len(stated) == 1:
                assert set(others) <= stated
            else:
                assert np.isnan(others).all()
