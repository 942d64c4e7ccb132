"""What a laboratory writes into a cell: a value, a limit, or that there is none."""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from xgeoanom.conventions import BELOW_LIMIT, BELOW_UNKNOWN_LIMIT, MEASURED, NOT_ANALYSED
from xgeoanom.errors import CompositionError

# Insufficient sample, listed but not received, not reported: all of them are no assay.
NOT_ANALYSED_WORDS = frozenset(
    {"", "-", "--", "na", "n/a", "n.a.", "n.a", "nan", "none", "null", "not analysed"}
    | {
        "<na>",
        "nat",
        "not analyzed",
        "is",
        "i.s.",
        "ins",
        "nss",
        "n.s.s.",
        "lnr",
        "l.n.r.",
        "nr",
        "n.r.",
    }
)
BELOW_WORDS = frozenset({"<", "<dl", "<lod", "<lld", "bdl", "b.d.l.", "bld", "bld.", "tr", "trace"})
# What `zeros` may say, and the state that a zero then has.
ZERO_STATES = {
    "below_unknown_limit": BELOW_UNKNOWN_LIMIT,
    "not_analysed": NOT_ANALYSED,
    "measured": MEASURED,
}
_SIGNED = r"(?P<sign>[<>≤≥])=?\s*(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"


class Entries(NamedTuple):
    """A column as read: values, states, how many exceed the upper limit, and what is unreadable."""

    value: np.ndarray
    state: np.ndarray
    n_above: int
    unreadable: np.ndarray


def read_entries(
    column: pd.Series, *, not_analysed: Collection[object], zeros: str, decimal: str = "."
) -> Entries:
    """Read the entries of one column into values and states.

    Parameters
    ----------
    column : pandas.Series
        Numbers or text, as the file holds them.
    not_analysed : collection
        Codes, numbers or words, of what was not analysed; empty cells and the usual words
        (``NOT_ANALYSED_WORDS``) always are.
    zeros : str
        State of a zero: a key of ``ZERO_STATES``.
    decimal : str
        The decimal sign of numbers that are text, ``"."`` or ``","``; the other is none.

    Returns
    -------
    Entries
        ``value`` ``(row,)`` float64: as measured, the limit itself for ``<0.5`` or -0.5, 0 below an
        unknown limit, NaN where not analysed. ``state`` int8. ``n_above``: entries such as
        ``>100``, taken as measured there. ``unreadable``: positions that are no entry.

    Examples
    --------
    >>> column = pd.Series(["1.5", "<0.5", "-9999", "0", ">100"])
    >>> read_entries(column, not_analysed=[-9999], zeros="below_unknown_limit").state
    array([0, 1, 3, 2, 0], dtype=int8)
    """
    codes, words = _codes(not_analysed)
    if is_numeric_dtype(column) and not is_bool_dtype(column):
        number = column.to_numpy(dtype="float64", na_value=np.nan)
        sign, word = np.zeros(number.size, dtype="int8"), np.isnan(number)
    else:
        number, sign, word = _read_text(column, words, decimal)
    missing = (sign == 0) & (word | np.isin(number, codes))
    unreadable = (np.isnan(number) & ~word) | np.isinf(number)
    below = (sign < 0) | ((number < 0) & ~missing)
    value = np.where(missing, np.nan, np.abs(number))
    value[word & (sign < 0)] = 0.0
    state = np.full(value.size, MEASURED, dtype="int8")
    state[value == 0] = ZERO_STATES[zeros]
    state[below] = np.where(value[below] > 0, BELOW_LIMIT, BELOW_UNKNOWN_LIMIT)
    state[missing] = NOT_ANALYSED
    value[state == NOT_ANALYSED] = np.nan
    return Entries(value, state, int((sign > 0).sum()), np.flatnonzero(unreadable))


def with_points(column: pd.Series, decimal: str) -> pd.Series:
    """Return a column of text with points as the decimal sign; other points become commas.

    So ``1.234,5`` stays no number: whether its point parts thousands is not for us to say.

    Examples
    --------
    >>> with_points(pd.Series(["12,5", "<0,5", 3.5], dtype=object), ",").tolist()
    ['12.5', '<0.5', 3.5]
    """
    if decimal == "." or is_numeric_dtype(column):
        return column
    swap = str.maketrans(",.", ".,")
    return column.map(lambda entry: entry.translate(swap) if isinstance(entry, str) else entry)


def _read_text(
    column: pd.Series, words: Collection[str], decimal: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the number, the sign (-1 for below, 1 for above) and whether it is a known word."""
    # Entries repeat, and most are plain numbers: each distinct one is read once, the rest as text.
    codes, distinct = pd.factorize(column, use_na_sentinel=False)
    original = pd.Series(list(distinct), dtype=object)
    text = with_points(original, decimal).map(str)
    number = pd.to_numeric(text, errors="coerce").to_numpy(dtype="float64", na_value=np.nan).copy()
    sign, word = np.zeros(number.size, dtype="int8"), np.zeros(number.size, dtype=bool)
    rest = np.flatnonzero(np.isnan(number))
    known = original.iloc[rest].map(str).str.strip().str.casefold()
    number[rest], sign[rest], word[rest] = _read_signs(text.iloc[rest].str.strip(), known, words)
    return number[codes], sign[codes], word[codes]


def _read_signs(
    text: pd.Series, folded: pd.Series, words: Collection[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    match = text.str.extract(f"^{_SIGNED}$")
    number = pd.to_numeric(match["number"]).to_numpy(dtype="float64", na_value=np.nan)
    absent = folded.isin(NOT_ANALYSED_WORDS.union(words)).to_numpy()
    below = folded.isin(BELOW_WORDS).to_numpy() & ~absent
    sign = np.where(match["sign"].isin(["<", "≤"]), -1, np.where(match["sign"].isna(), 0, 1))
    return number, np.where(below, -1, sign), absent | below


def _codes(not_analysed: Collection[object]) -> tuple[list[float], set[str]]:
    """Return the codes that are numbers, and those that are words."""
    numbers = pd.to_numeric(pd.Series(list(not_analysed), dtype=object), errors="coerce")
    return list(numbers.dropna()), {str(entry).strip().casefold() for entry in not_analysed}


def check_readable(columns: Mapping[object, pd.Series], entries: Mapping[object, Entries]) -> None:
    """Raise CompositionError that names the first unreadable entry and counts the rest.

    Rows are named by the index of the columns.
    """
    bad = {header: read.unreadable for header, read in entries.items() if read.unreadable.size}
    if not bad:
        return
    header, positions = next(iter(bad.items()))
    column = columns[header]
    entry = str(column.iloc[positions[0]])
    rest = sum(map(len, bad.values())) - 1
    more = f"; {rest} more entries cannot be read, in columns {list(bad)}" if rest else ""
    raise CompositionError(
        f"row {column.index[positions[0]]}, column {header!r}: {entry!r} is no concentration; "
        f"{_remedy(entry)}{more}"
    )


def _remedy(entry: str) -> str:
    if remedy := remedy_of_commas(entry):
        return remedy
    if entry.strip().casefold() in {"nd", "n.d.", "n.d"}:
        return (
            "not determined or not detected? Add it to not_analysed=..., or write the limit, "
            "as in '<0.5'"
        )
    if re.fullmatch(r"[-+]?inf(inity)?", entry.strip(), re.IGNORECASE):
        return "write an empty cell for not analysed"
    return (
        "write a number, '<limit', '>limit' or an empty cell, add the code to not_analysed=..., or "
        "leave the column out with elements=[...]"
    )


def remedy_of_commas(entry: str) -> str:
    """Return what to do about an entry with commas or points that are not decimal, else nothing.

    Examples
    --------
    >>> remedy_of_commas("1.234,5")
    'read the file with pandas.read_csv(..., decimal=..., thousands=...) and pass the frame'
    """
    match = re.fullmatch(r"\s*[<>]?\s*[-+]?([\d.,]*\d)([eE][-+]?\d+)?\s*", entry)
    signs = re.sub(r"\d", "", match[1]) if match else ""
    if signs == ",":
        return (
            "if its comma is decimal, give decimal=','; if it parts thousands, read the file with "
            "pandas.read_csv(..., thousands=',') and pass the frame"
        )
    # Numbers with one point are only unreadable where decimal="," was given.
    if signs == ".":
        return "it has a point, but decimal=','; write one decimal sign throughout"
    if signs:
        return (
            "read the file with pandas.read_csv(..., decimal=..., thousands=...) and pass the frame"
        )
    return ""
