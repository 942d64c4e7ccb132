"""One assay per element, where several columns report it."""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

import numpy as np

from xgeoanom.conventions import MEASURED, NOT_ANALYSED
from xgeoanom.survey.oxides import ATOMIC_WEIGHTS, conversion
from xgeoanom.survey.reading.columns import AssayColumn
from xgeoanom.survey.reading.entries import Entries
from xgeoanom.survey.reading.import_report import Finding

# These oxides hold only a part of their element in a rock: ferrous iron and carbonate. They never
# stand for it beside another column.
PARTIAL = {"FeO", "CO2"}
# Two columns agree where half of their rows do to this; oxides are often rounded to 0.01 %.
AGREEMENT = 0.05


class Assay(NamedTuple):
    """One element of the table, as resolved: values ``(sample,)`` and their states."""

    name: str
    unit: str
    column: AssayColumn
    value: np.ndarray
    state: np.ndarray


class Resolution(NamedTuple):
    """The assay of an element, columns that only repeat it, and what else is worth telling."""

    assay: Assay
    repeats: list[str]
    decisions: list[str]
    findings: list[Finding]


def resolve(
    columns: list[AssayColumn], entries: Mapping[Hashable, Entries], part: str | None = None
) -> Resolution:
    """Make one assay of all columns that report an element.

    The column with most analysed rows leads; among equals the element goes before oxides, total
    iron before others, then the order of the file. Rows that it leaves unanalysed are filled from
    the other columns, converted by stoichiometry; oxides that hold only part of an element (FeO,
    CO2) neither lead nor fill.

    Parameters
    ----------
    columns : list of AssayColumn
        The columns of one element.
    entries : mapping of hashable to Entries
        What each column holds.
    part : str, optional
        The part to convert to; by default that of the leading column.

    Returns
    -------
    Resolution
        The assay, with what was decided and which columns disagree.

    Examples
    --------
    >>> from xgeoanom.survey.reading.columns import assay_columns
    >>> columns = assay_columns(["Zn_ppm", "ZnO_ppm"], elements=None, units=None)["Zn"]
    >>> zn = Entries(np.array([8.0, np.nan]), np.array([0, 3]), 0, np.array([]))
    >>> zno = Entries(np.array([9.96, 4.98]), np.array([0, 0]), 0, np.array([]))
    >>> assay = resolve(columns, {"Zn_ppm": zn, "ZnO_ppm": zno}, "Zn").assay
    >>> assay.value.round(2), assay.column.header
    (array([8., 4.]), 'ZnO_ppm')
    """
    lead, *others = sorted(columns, key=lambda column: _rank(column, entries[column.header]))
    assay = _converted(lead, entries[lead.header], part or lead.part, lead.unit)
    result = Resolution(assay, [], [], [])
    for other in others:
        if _analysed(entries[other.header]):
            theirs = _converted(other, entries[other.header], assay.name, assay.unit)
            result = _joined(result, theirs)
    return result


def _joined(result: Resolution, other: Assay) -> Resolution:
    """Fill the gaps of an assay from another column, and compare the two."""
    lead, repeats, decisions, findings = result
    agree, told = _compare(lead, other)
    gap = (lead.state == NOT_ANALYSED) & (other.state != NOT_ANALYSED)
    if _is_partial(other.column):
        gap[:] = False
    headers = lead.column.header, other.column.header
    if gap.any():
        filled = f"{headers[1]} fills {int(gap.sum())} rows of {headers[0]}; {told}"
        decisions = [*decisions, filled]
    else:
        repeats = [*repeats, f"{headers[1]} (of {headers[0]})"]
    if not agree:
        what = f"the columns disagree: {told}, converted to {lead.name}"
        remedy = "Check unit and formula; choose one with elements={...}."
        findings = [
            *findings,
            Finding("columns_disagree", ", ".join(map(str, headers)), what, remedy),
        ]
    joined = lead._replace(
        value=np.where(gap, other.value, lead.value), state=np.where(gap, other.state, lead.state)
    )
    return Resolution(joined, repeats, decisions, findings)


def _rank(column: AssayColumn, entries: Entries) -> tuple[bool, bool, int, bool, bool, int]:
    n = _analysed(entries)
    oxide = column.part not in ATOMIC_WEIGHTS
    return n == 0, _is_partial(column), -n, oxide, not column.total, column.position


def _is_partial(column: AssayColumn) -> bool:
    return column.part in PARTIAL and not column.total


def _analysed(entries: Entries) -> int:
    return int((entries.state != NOT_ANALYSED).sum())


def _converted(column: AssayColumn, entries: Entries, part: str, unit: str) -> Assay:
    factor = conversion(column.part, column.unit, part, unit)
    value = entries.value if factor == 1 else entries.value * factor
    return Assay(part, unit, column, value, entries.state)


def _compare(lead: Assay, other: Assay) -> tuple[bool, str]:
    """Say whether two columns agree where both are measured; without such rows they do."""
    both = (lead.state == MEASURED) & (other.state == MEASURED)
    both &= (lead.value > 0) & (other.value > 0)
    if not both.any():
        return True, "no row has both"
    ratio = other.value[both] / lead.value[both]
    agree = bool(np.median(np.abs(ratio - 1)) <= AGREEMENT)
    low, high = np.percentile(ratio, [25, 75], method="inverted_cdf")
    return agree, (
        f"their ratio is {np.median(ratio):.3g} (median of {ratio.size} rows, quartiles {low:.3g} "
        f"and {high:.3g})"
    )
