"""Which columns hold assays, of which parts, in which units."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from xgeoanom.conventions import PPM_PER_UNIT
from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.oxides import element_in
from xgeoanom.survey.reading.headers import parse_header


class AssayColumn(NamedTuple):
    """A column of the file: its header, its place there, its part and unit."""

    header: Hashable
    position: int
    part: str
    unit: str
    total: bool


def assay_columns(
    headers: Sequence[Hashable],
    *,
    elements: Sequence[str] | Mapping[str, Hashable] | None,
    units: str | Mapping[str, str] | None,
) -> dict[str, list[AssayColumn]]:
    """Group the columns that hold assays by element.

    Parameters
    ----------
    headers : sequence of hashable
        Headers of the file, in its order.
    elements : sequence of str, or mapping of str to header, optional
        Parts that are wanted, or the one column of each; by default all that headers name.
    units : str, or mapping of str to str, optional
        Unit of the columns whose header states none, or of those named by header or part.

    Returns
    -------
    dict of str to list of AssayColumn
        For each element (or each part of ``elements``) the columns that report it.

    Raises
    ------
    CubeError
        If no column holds assays, or one that is wanted is missing.
    CompositionError
        If a unit is missing or unknown.

    Examples
    --------
    >>> groups = assay_columns(["Zn_ppm", "ZnO_pct", "Au"], elements=None, units="ppb")
    >>> {name: [column.part for column in columns] for name, columns in groups.items()}
    {'Zn': ['Zn', 'ZnO'], 'Au': ['Au']}
    """
    if isinstance(elements, Mapping):
        _check_distinct(elements)
        groups = {name: _one_column(name, elements[name], headers) for name in elements}
    else:
        groups = _by_element(headers)
        if elements is not None:
            wanted = [elements] if isinstance(elements, str) else list(map(str, elements))
            groups = {name: _wanted(name, wanted, groups) for name in wanted}
    if not groups:
        raise CubeError(
            f"no header among {list(headers)} names an element; headers such as 'Au_ppb' or "
            "'Cu (ppm)' do, or elements={'Au': 'its header'}"
        )
    found = _with_units([column for columns in groups.values() for column in columns], units)
    return {name: [found[column.header] for column in columns] for name, columns in groups.items()}


def overruled(columns: Sequence[AssayColumn]) -> list[str]:
    """Say where the unit of a column is another than its header states.

    Examples
    --------
    >>> overruled(assay_columns(["Cu_ppm"], elements=None, units={"Cu": "pct"})["Cu"])
    ["Cu_ppm as 'pct'"]
    """
    stated = [(said := parse_header(column.header)) and said.unit for column in columns]
    return [
        f"{column.header} as {str(column.unit)!r}"
        for column, unit in zip(columns, stated, strict=True)
        if unit and PPM_PER_UNIT[unit] != PPM_PER_UNIT[column.unit]
    ]


def _by_element(headers: Sequence[Hashable]) -> dict[str, list[AssayColumn]]:
    groups: dict[str, list[AssayColumn]] = {}
    for position, header in enumerate(headers):
        if said := parse_header(header):
            column = AssayColumn(header, position, said.part, said.unit or "", said.total)
            groups.setdefault(element_in(said.part), []).append(column)
    return groups


def _wanted(
    name: str, wanted: list[str], groups: dict[str, list[AssayColumn]]
) -> list[AssayColumn]:
    said = parse_header(name)
    if said is None or said.part != name:
        raise CubeError(f"elements: {name!r} is no element or oxide; write it as 'Au' or 'SiO2'")
    element = element_in(name)
    if same := [other for other in wanted if element_in(other) == element and other != name]:
        raise CubeError(
            f"elements: {name} and {same} hold one element; name one of them, or the column of "
            f"each: elements={{{name!r}: 'its header', ...}}"
        )
    if wanted.count(name) > 1:
        raise CubeError(f"elements: {name!r} is repeated; name each element once")
    if element not in groups:
        raise CubeError(f"elements: no header names {name}; those found: {sorted(groups)}")
    return groups[element]


def _check_distinct(elements: Mapping[str, Hashable]) -> None:
    columns = list(elements.values())
    if repeated := [column for column in columns if columns.count(column) > 1]:
        raise CubeError(f"elements: column {repeated[0]!r} is named twice; name each column once")


def _one_column(name: str, header: Hashable, headers: Sequence[Hashable]) -> list[AssayColumn]:
    if header not in headers:
        raise CubeError(f"elements: column {header!r} is not in the table; it has {list(headers)}")
    said = parse_header(header)
    # A header that speaks of another element is overruled by the mapping.
    other = said is None or element_in(said.part) != element_in(name)
    part, total = (name, False) if other or said is None else (said.part, said.total)
    unit = (said.unit if said else None) or ""
    return [AssayColumn(header, list(headers).index(header), part, unit, total)]


def _with_units(
    columns: list[AssayColumn], units: str | Mapping[str, str] | None
) -> dict[Hashable, AssayColumn]:
    """Complete the units by ``units``; a mapping overrules the header."""
    given = units if isinstance(units, Mapping) else {}
    known = {str(name) for column in columns for name in (column.header, column.part)}
    if strange := sorted(set(map(str, given)) - known):
        raise CubeError(f"units names {strange}, which is no column that is read")
    rest = units if isinstance(units, str) else ""
    found = {
        column.header: column._replace(
            unit=given.get(str(column.header)) or given.get(column.part) or column.unit or rest
        )
        for column in columns
    }
    if missing := [header for header, column in found.items() if not column.unit]:
        raise CompositionError(
            f"columns {missing} state no unit; give units={{{missing[0]!r}: 'ppm'}} or such, "
            "or choose columns with elements=[...]"
        )
    if wrong := {str(h): str(c.unit) for h, c in found.items() if c.unit not in PPM_PER_UNIT}:
        raise CompositionError(f"units={wrong} are unknown; use one of {list(PPM_PER_UNIT)}")
    return found
