"""From a laboratory's file to the survey table."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from xgeoanom.conventions import NOT_ANALYSED, provenance
from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.reading.assembling import RESERVED, assemble, summary
from xgeoanom.survey.reading.columns import AssayColumn, assay_columns, overruled
from xgeoanom.survey.reading.entries import ZERO_STATES, Entries, check_readable, read_entries
from xgeoanom.survey.reading.headers import bare_axes, looks_like_assay
from xgeoanom.survey.reading.import_report import Finding, pack_report
from xgeoanom.survey.reading.limits import Limits
from xgeoanom.survey.reading.places import locate
from xgeoanom.survey.reading.resolving import Assay, resolve
from xgeoanom.survey.reading.sources import open_source

Groups = Mapping[str, list[AssayColumn]]
# Codes for what was not analysed; no laboratory has a limit of 99 or 999.
CODES = (-99, -999, -9999, -99999)


def read_assays(
    source: str | Path | pd.DataFrame,
    *,
    crs: Any = None,
    x: Hashable | None = None,
    y: Hashable | None = None,
    to_crs: Any = None,
    elements: Sequence[str] | Mapping[str, Hashable] | None = None,
    units: str | Mapping[str, str] | None = None,
    not_analysed: Collection[object] = (),
    zeros: str = "below_unknown_limit",
    decimal: str = ".",
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
        The samples, or a file of them: CSV (comma, semicolon or tab; UTF-8, the header in its first
        line), Excel, Parquet (also a folder of partitions), GeoPackage. Read other files with
        pandas (``encoding=...``, ``skiprows=...``) and pass the frame.
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
        Unit of columns whose header states none; a mapping, by header or element, also overrules
        headers, and the report says so.
    not_analysed : collection
        Further codes for what was not analysed, numbers or words. Empty cells, ``n.a.`` and such,
        -99, -999, -9999 and -99999 always are.
    zeros : str
        What a zero means: ``"below_unknown_limit"``, ``"not_analysed"`` or ``"measured"``.
    decimal : str
        The decimal sign of numbers in CSV and text, ``"."`` or ``","`` (``12,5`` and ``<0,5``).
    detection_limits : mapping of str to float, or to mapping of batch to float, optional
        Limits by element, in the unit of the table, where entries do not state them: what lies
        below becomes that limit. By batch they need ``batch``.
    sample_id, batch : hashable, optional
        Columns of the samples' numbers, and of their batch: report, laboratory job, leach, year.
        They become text, so that ``table["batch"].isin(["104743"])`` finds report 104743.
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
        If the source cannot be read, lacks columns, repeats headers, or is cut short as far as can
        be seen: a CSV that ends with a whole row looks complete.
    CompositionError
        If an entry cannot be read, or a unit or limit is missing or unknown.
    CRSError
        If the CRS is missing, or all places lie outside its area of use.
    GridError
        If there are fewer than two samples, or coordinates are missing.

    Examples
    --------
    >>> frame = pd.DataFrame({
    ...     "Easting": [5e5, 6e5], "Northing": [6e6, 6.1e6],
    ...     "Au_ppb": ["<0.5", "3"], "SiO2 %": [61, 0],
    ... })
    >>> table = read_assays(frame, crs=32750)
    >>> table["concentration"].values
    array([[ 0.5, 61. ],
           [ 3. ,  0. ]])
    >>> table["state"].values
    array([[1, 0],
           [0, 2]], dtype=int8)
    """
    _check_options(not_analysed, zeros, decimal, keep)
    codes = [*CODES, *not_analysed]
    names = [column for column in (sample_id, batch) if column is not None]
    frame, name = open_source(source, names, decimal)
    _check_columns(frame, [*names, *keep])
    places = locate(frame, crs=crs, x=x, y=y, to_crs=to_crs, decimal=decimal)
    rest = [header for header in frame.columns if header not in places.columns]
    # Who names the column of each element knows that N is nitrogen.
    axes = [] if isinstance(elements, Mapping) else bare_axes(rest)
    headers = [header for header in rest if header not in {*names, *keep, *axes}]
    groups = assay_columns(headers, elements=elements, units=units)
    entries = _read_columns(frame, groups, codes, zeros, decimal)
    assays, decisions, found = _resolve_all(groups, entries, wanted=elements is not None)
    ignored, unknown = _ignored(headers, entries, wanted=elements is not None)
    table, suspicions = assemble(
        assays,
        places,
        detection_limits=detection_limits,
        batch=None if batch is None else frame[batch],
        sample_id=None if sample_id is None else frame[sample_id],
        keep={str(column): frame[column] for column in keep},
        rows=frame.index,
    )
    table.attrs = provenance(
        "read_assays",
        source=name,
        columns={assay.name: str(assay.column.header) for assay in assays},
        not_analysed=codes,
        zeros=zeros,
    )
    table.attrs |= pack_report(
        f"{summary(table)}, from {name}",
        [*places.decisions, *_axes_left_out(axes), *_overruled(groups), *decisions, *ignored],
        [*places.findings, *unknown, *_above_limit(entries), *found, *suspicions],
    )
    return table


# ------------------------------------------------------------------------------------- checks


def _check_options(
    not_analysed: Collection[object], zeros: str, decimal: str, keep: Sequence[Hashable]
) -> None:
    if decimal not in (".", ","):
        raise CompositionError(f"decimal={decimal!r} must be '.' or ','")
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
    frame: pd.DataFrame, groups: Groups, codes: Collection[object], zeros: str, decimal: str
) -> dict[Hashable, Entries]:
    headers = {column.header: None for columns in groups.values() for column in columns}
    series = {header: frame[header] for header in headers}
    entries = {
        header: read_entries(column, not_analysed=codes, zeros=zeros, decimal=decimal)
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


def _axes_left_out(axes: list[Hashable]) -> list[str]:
    listed = ", ".join(map(str, axes))
    return [f"not read, since they look like coordinates: {listed}"] if axes else []


def _overruled(groups: Groups) -> list[str]:
    told = overruled([column for columns in groups.values() for column in columns])
    return [f"units overrule the headers: {', '.join(told)}"] if told else []


def _ignored(
    headers: list[Hashable], entries: Mapping[Hashable, Entries], *, wanted: bool
) -> tuple[list[str], list[Finding]]:
    """Say which columns were not read, and which of them may well be assays."""
    rest = [header for header in headers if header not in entries]
    unknown = [] if wanted else [header for header in rest if looks_like_assay(header)]
    told = ", ".join(str(header) for header in rest if header not in unknown)
    reason = "not asked for" if wanted else "since they are no assays"
    findings = [
        Finding(
            "not_understood",
            str(header),
            "looks like an assay, but its header or unit is not understood, so it was not read",
            "Rename it, as in 'Au_ppb', or name it with elements={...} and units={...}.",
        )
        for header in unknown
    ]
    return [f"not read, {reason}: {told}"] if told else [], findings


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
