"""From a laboratory's file to the survey table."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from xgeoanom.conventions import NOT_ANALYSED, provenance
from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.reading.assembling import RESERVED, assemble, summary
from xgeoanom.survey.reading.columns import AssayColumn, assay_columns
from xgeoanom.survey.reading.entries import ZERO_STATES, Entries, check_readable, read_entries
from xgeoanom.survey.reading.import_report import Finding, pack_report
from xgeoanom.survey.reading.limits import Limits
from xgeoanom.survey.reading.places import locate
from xgeoanom.survey.reading.resolving import Assay, resolve
from xgeoanom.survey.reading.sources import open_source

Groups = Mapping[str, list[AssayColumn]]
# Codes for what was not analysed; no laboratory has a limit of 999.
CODES = (-9999, -99999, -999)


def read_assays(
    source: str | Path | pd.DataFrame,
    *,
    crs: Any = None,
    x: Hashable | None = None,
    y: Hashable | None = None,
    to_crs: Any = None,
    elements: Sequence[str] | Mapping[str, Hashable] | None = None,
    units: str | Mapping[str, str] | None = None,
    not_analysed: Collection[object] = CODES,
    zeros: str = "below_unknown_limit",
    detection_limits: Limits | None = None,
    sample_id: Hashable | None = None,
    batch: Hashable | None = None,
    keep: Sequence[Hashable] = (),
) -> xr.Dataset:
    """Read a laboratory's file of assays into a survey table.

    Elements and units come from the headers (``Au_ppb``, ``Cu (ppm)``, ``SiO2 %``). An entry may be
    a number, ``<0.5`` or -0.5 (below the limit 0.5), ``>100`` (taken as 100 and counted), or a code
    or word for not analysed. Nothing is guessed: what cannot be read is one error that names row,
    column and remedy. Where several columns report one element, the one with most analysed rows
    leads, among equals the element before its oxides, and the others fill the rows it lacks.
    :func:`import_report` tells what was decided and what looks wrong.

    Parameters
    ----------
    source : str, pathlib.Path, pandas.DataFrame or geopandas.GeoDataFrame
        The samples, or a file of them: CSV (comma, semicolon or tab), Excel, Parquet, GeoPackage.
    crs : Any, optional
        CRS of the coordinates, such as 4326; needed unless the source has its own.
    x, y : hashable, optional
        Columns of the coordinates; found by their usual names where not given.
    to_crs : Any, optional
        CRS of the table. By default degrees become metres of the UTM zone at the survey's centre,
        and projected coordinates stay.
    elements : sequence of str, or mapping of str to column, optional
        Elements or oxides to read, converted by stoichiometry where the file has the other; or
        the column of each. By default all that headers name.
    units : str, or mapping of str to str, optional
        Unit of columns whose header states none, or of those named by header or element.
    not_analysed : collection
        Codes for what was not analysed, numbers or words, besides empty cells, ``n.a.`` and such.
    zeros : str
        What a zero means: ``"below_unknown_limit"``, ``"not_analysed"`` or ``"measured"``.
    detection_limits : mapping of str to float, or to mapping of batch to float, optional
        Limits by element, in the unit of the table, where entries do not state them.
    sample_id, batch : hashable, optional
        Columns of the samples' numbers, and of their batch: report, laboratory job, leach, year.
    keep : sequence of hashable
        Further columns to carry along the samples.

    Returns
    -------
    xarray.Dataset
        ``concentration`` ``(sample, element)`` float64, in ``unit``: a value below its limit is
        that limit, one below an unknown limit 0, one not analysed NaN. ``state`` int8: 0 measured,
        1 below a known limit, 2 below an unknown limit, 3 not analysed. Coords ``x``, ``y``,
        ``unit``, ``detection_limit`` (NaN where unknown), ``spatial_ref``, and ``sample_id``,
        ``batch`` and what was kept.

    Raises
    ------
    CubeError
        If the source cannot be read, is cut short, lacks columns or repeats headers.
    CompositionError
        If an entry cannot be read, or a unit or limit is missing or unknown.
    CRSError
        If the CRS is missing, or does not fit the coordinates.
    GridError
        If there are fewer than two samples, or coordinates are missing.

    Examples
    --------
    >>> frame = pd.DataFrame({
    ...     "Easting": [500, 900], "Northing": [0, 300], "Au_ppb": ["<0.5", "3"], "SiO2 %": [61, 0],
    ... })
    >>> table = read_assays(frame, crs=32750)
    >>> table["concentration"].values
    array([[ 0.5, 61. ],
           [ 3. ,  0. ]])
    >>> table["state"].values
    array([[1, 0],
           [0, 2]], dtype=int8)
    """
    _check_options(not_analysed, zeros, keep)
    names = [column for column in (sample_id, batch) if column is not None]
    frame, name = open_source(source, names)
    _check_columns(frame, [*names, *keep])
    places = locate(frame, crs=crs, x=x, y=y, to_crs=to_crs)
    taken = {*places.columns, *names, *keep}
    headers = [header for header in frame.columns if header not in taken]
    groups = assay_columns(headers, elements=elements, units=units)
    entries = _read_columns(frame, groups, not_analysed, zeros)
    assays, decisions, found = _resolve_all(groups, entries, wanted=elements is not None)
    table, suspicions = assemble(
        assays,
        places,
        detection_limits=detection_limits,
        batch=None if batch is None else frame[batch],
        sample_id=None if sample_id is None else frame[sample_id],
        keep={str(column): frame[column] for column in keep},
    )
    table.attrs = provenance(
        "read_assays",
        source=name,
        columns={assay.name: str(assay.column.header) for assay in assays},
        not_analysed=list(not_analysed),
        zeros=zeros,
    )
    table.attrs |= pack_report(
        f"{summary(table)}, from {name}",
        [*places.decisions, *decisions, *_ignored(headers, entries)],
        [*places.findings, *_above_limit(entries), *found, *suspicions],
    )
    return table


# ------------------------------------------------------------------------------------- checks


def _check_options(not_analysed: Collection[object], zeros: str, keep: Sequence[Hashable]) -> None:
    if zeros not in ZERO_STATES:
        raise CompositionError(f"zeros={zeros!r} must be one of {list(ZERO_STATES)}")
    if isinstance(not_analysed, str) or not isinstance(not_analysed, Collection):
        raise CompositionError(
            f"not_analysed={not_analysed!r} must be a collection; try ({not_analysed!r},)"
        )
    if isinstance(keep, str):
        raise CubeError(f"keep={keep!r} must be a sequence; try [{keep!r}]")
    if clash := sorted(RESERVED & set(map(str, keep))):
        raise CubeError(f"keep={clash} are names of the survey table itself; rename these columns")


def _check_columns(frame: pd.DataFrame, wanted: list[Hashable]) -> None:
    if missing := [column for column in wanted if column not in frame.columns]:
        raise CubeError(f"columns {missing} are not in the table; it has {list(frame.columns)}")


# ------------------------------------------------------------------------------------- assays


def _read_columns(
    frame: pd.DataFrame, groups: Groups, not_analysed: Collection[object], zeros: str
) -> dict[Hashable, Entries]:
    headers = {column.header: None for columns in groups.values() for column in columns}
    series = {header: frame[header] for header in headers}
    entries = {
        header: read_entries(column, not_analysed=not_analysed, zeros=zeros)
        for header, column in series.items()
    }
    check_readable(series, entries)
    return entries


def _resolve_all(
    groups: Groups, entries: Mapping[Hashable, Entries], *, wanted: bool
) -> tuple[list[Assay], list[str], list[Finding]]:
    """Return one assay per element; elements without any value are left out."""
    found = [resolve(group, entries, name if wanted else None) for name, group in groups.items()]
    filled = [one for one in found if (one.assay.state != NOT_ANALYSED).any()]
    empty = [
        n for n, one in zip(groups, found, strict=True) if (one.assay.state == NOT_ANALYSED).all()
    ]
    if empty and (wanted or not filled):
        raise CubeError(f"elements {empty} hold no value in any row; leave them out of elements")
    repeats = [told for one in filled for told in one.repeats]
    decisions = [told for one in filled for told in one.decisions]
    if repeats:
        decisions.append(f"left out beside another column of the element: {', '.join(repeats)}")
    if empty:
        decisions.append(f"left out, since no row has a value: {', '.join(empty)}")
    return [one.assay for one in filled], decisions, [f for one in filled for f in one.findings]


def _ignored(headers: list[Hashable], entries: Mapping[Hashable, Entries]) -> list[str]:
    rest = [str(header) for header in headers if header not in entries]
    return [f"not read, since they are no assays: {', '.join(rest)}"] if rest else []


def _above_limit(entries: Mapping[Hashable, Entries]) -> list[Finding]:
    return [
        Finding(
            "above_upper_limit",
            str(header),
            f"{read.n_above} entries such as '>100' are taken as measured at that limit",
            "Ask for the assay of an ore-grade method.",
        )
        for header, read in entries.items()
        if read.n_above
    ]
