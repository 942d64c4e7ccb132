"""Entries of laboratories: values, limits, codes and words."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.errors import CompositionError
from xgeoanom.survey.reading.entries import NOT_ANALYSED_WORDS, check_readable, read_entries


def read(entries, *, not_analysed=(-9999,), zeros="below_unknown_limit", decimal=".", **kwargs):
    column = pd.Series(entries, **kwargs)
    return read_entries(column, not_analysed=not_analysed, zeros=zeros, decimal=decimal)


@pytest.mark.parametrize(
    ("entry", "value", "state"),
    [
        ("1.5", 1.5, 0),
        (" 2 ", 2.0, 0),
        ("1e3", 1000.0, 0),
        (".5", 0.5, 0),
        (7, 7.0, 0),
        (">100", 100.0, 0),
        ("≥ 100", 100.0, 0),
        ("<0.5", 0.5, 1),
        ("< 2", 2.0, 1),
        ("<=3", 3.0, 1),
        ("≤3", 3.0, 1),
        ("-0.5", 0.5, 1),
        (-0.5, 0.5, 1),
        ("0", 0.0, 2),
        ("-0.0", 0.0, 2),
        ("<0", 0.0, 2),
        ("BDL", 0.0, 2),
        ("<LOD", 0.0, 2),
        ("-9999", np.nan, 3),
        ("-9999.000000", np.nan, 3),
        (-9999.0, np.nan, 3),
        ("", np.nan, 3),
        (None, np.nan, 3),
        ("n.a.", np.nan, 3),
        ("NA", np.nan, 3),
        ("-", np.nan, 3),
        ("L.N.R.", np.nan, 3),
    ],
)
def test_reads_entries(entry, value, state):
    found = read([entry, "5"], dtype=object)
    np.testing.assert_array_equal(found.value, [value, 5.0])
    assert found.state.tolist() == [state, 0]
    assert found.state.dtype == "int8"
    assert found.unreadable.size == 0


@pytest.mark.parametrize(
    ("zeros", "value", "state"), [("measured", 0.0, 0), ("not_analysed", np.nan, 3)]
)
@pytest.mark.parametrize("entries", [[0.0, 1.0], ["0", "1"]])
def test_zeros_as_declared(zeros, value, state, entries):
    found = read(entries, zeros=zeros)
    np.testing.assert_array_equal(found.value, [value, 1.0])
    assert found.state.tolist() == [state, 0]


def test_a_limit_of_zero_is_unknown_whatever_zeros_mean():
    assert read(["<0", "1"], zeros="measured").state.tolist() == [2, 0]


def test_codes_may_be_words_and_go_first():
    found = read(["x", "tr", "-1", "<5"], not_analysed=["X", "tr", "-1"])
    assert found.state.tolist() == [3, 3, 3, 1]


def test_counts_entries_above_the_upper_limit():
    assert read([">100", "5", ">100", "> 200"]).n_above == 3


@pytest.mark.parametrize(
    ("entry", "remedy"),
    [
        ("0,5", "decimal=','"),
        ("1,234.5", "thousands=..."),
        ("1,234,567", "thousands=..."),
        ("1,5e3", "decimal=','"),
        ("<0,5", "decimal=','"),
        ("n.d.", "not determined or not detected"),
        ("inf", "empty cell"),
        ("<-1", "write a number"),
        ("5*", "write a number"),
        (",5", "decimal=','"),
        ("1 234", "write a number"),
        ("ppm", "write a number"),
        (True, "write a number"),
    ],
)
def test_names_what_cannot_be_read(entry, remedy):
    column = pd.Series(["1", entry, "3", "bad"], index=[2, 3, 4, 5], dtype=object)
    found = read_entries(column, not_analysed=(), zeros="measured")
    assert found.unreadable.tolist() == [1, 3]
    with pytest.raises(CompositionError) as raised:
        check_readable({"Cu_ppm": column}, {"Cu_ppm": found})
    for part in ("row 3", "'Cu_ppm'", repr(str(entry)), remedy, "1 more"):
        assert part in str(raised.value)


def test_decimal_commas():
    entries = ["12,5", "<0,5", ">1,5e3", "-0,5", 2.5, "n.a.", "-9999", "7"]
    found = read(entries, dtype=object, decimal=",")
    np.testing.assert_array_equal(found.value, [12.5, 0.5, 1500, 0.5, 2.5, np.nan, np.nan, 7])
    assert found.state.tolist() == [0, 1, 0, 1, 0, 3, 3, 0]


@pytest.mark.parametrize(
    ("entry", "remedy"),
    [("1.5", "but decimal=','"), ("<0.5", "but decimal=','"), ("1.2,5", "thou")],
)
def test_points_are_no_decimal_commas(entry, remedy):
    column = pd.Series([entry, "1,5"])
    found = read_entries(column, not_analysed=(), zeros="measured", decimal=",")
    assert found.unreadable.tolist() == [0]
    with pytest.raises(CompositionError, match=remedy):
        check_readable({"Cu_ppm": column}, {"Cu_ppm": found})


def test_readable_columns_pass():
    check_readable({"Au": pd.Series(["1"])}, {"Au": read(["1"])})


def test_no_number_among_dates_and_truths():
    assert read(pd.to_datetime(["2024-01-05", "2024-01-06"])).unreadable.size == 2
    assert read([True, False]).unreadable.size == 2


ENTRY = st.one_of(
    st.floats(1e-6, 1e6).map(lambda v: (repr(v), v, 0)),
    st.floats(1e-6, 1e6).map(lambda v: (f"<{v!r}", v, 1)),
    st.floats(1e-6, 9e3).map(lambda v: (repr(-v), v, 1)),
    st.sampled_from(sorted(NOT_ANALYSED_WORDS)).map(lambda w: (w.upper(), np.nan, 3)),
    st.just(("0", 0.0, 2)),
    st.just(("-9999", np.nan, 3)),
)


@given(st.lists(ENTRY, min_size=1, max_size=30))
def test_any_column(entries):
    text, values, states = zip(*entries)
    found = read(list(text), dtype=object)
    np.testing.assert_allclose(found.value, values, rtol=1e-12)
    assert found.state.tolist() == list(states)


@given(st.lists(st.floats(-1e4, 1e4).map(lambda v: round(v, 3)), min_size=1, max_size=30))
def test_numbers_read_as_their_text(values):
    numbers, text = read(values), read([repr(value) for value in values], dtype=object)
    np.testing.assert_array_equal(numbers.value, text.value)
    np.testing.assert_array_equal(numbers.state, text.state)


@given(st.lists(st.text(max_size=6), min_size=1, max_size=10))
def test_any_text_is_read_or_named(entries):
    found = read(entries, dtype=object)
    sound = np.setdiff1d(np.arange(len(entries)), found.unreadable)
    assert (np.isfinite(found.value[sound]) == (found.state[sound] != 3)).all()
