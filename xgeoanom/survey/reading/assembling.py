"""The survey table, put together from assays, places and names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xgeoanom.conventions import ELEMENT, PPM_PER_UNIT, SAMPLE, STATE_FLAGS, UNIT, X, Y
from xgeoanom.survey.reading.import_report import Finding
from xgeoanom.survey.reading.limits import Limits, apply_limits, given_limits
from xgeoanom.survey.reading.places import Places
from xgeoanom.survey.reading.resolving import Assay
from xgeoanom.survey.reading.suspicions import check_batches, check_columns, check_totals

SAMPLE_ID, BATCH, LIMIT = "sample_id", "batch", "detection_limit"
VALUES, STATE = "concentration", "state"
RESERVED = {SAMPLE, ELEMENT, X, Y, UNIT, SAMPLE_ID, BATCH, LIMIT, VALUES, STATE, "spatial_ref"}


def assemble(
    assays: Sequence[Assay],
    places: Places,
    *,
    detection_limits: Limits | None,
    batch: pd.Series | None,
    sample_id: pd.Series | None,
    keep: Mapping[str, pd.Series],
    rows: pd.Index,
) -> tuple[xr.Dataset, list[Finding]]:
    """Return the survey table of what was read, and what looks wrong in its values.

    Parameters
    ----------
    assays : sequence of Assay
        One per element.
    places : Places
        Coordinates of the samples.
    detection_limits : mapping, optional
        As for :func:`read_assays`.
    batch, sample_id : pandas.Series, optional
        Names of the samples and of their batches ``(sample,)``.
    keep : mapping of str to pandas.Series
        Further coords.
    rows : pandas.Index
        What findings call the samples: their rows in the file.
    """
    value = np.column_stack([assay.value for assay in assays])
    state = np.column_stack([assay.state for assay in assays])
    labels = np.full(len(value), "") if batch is None else _text(batch)
    number, batches = pd.factorize(labels)
    names = [assay.name for assay in assays]
    given = given_limits(detection_limits, names, list(batches))
    limit, value, state = apply_limits(value, state, number, given)
    called = [f"{'batch' if batch is None else batch.name} {label}" for label in batches]
    findings = _suspicions(assays, value, state, number, called)
    ppm = value * [PPM_PER_UNIT[assay.unit] for assay in assays]
    findings += check_totals([assay.column.part for assay in assays], ppm, state, rows)
    dims = (SAMPLE, ELEMENT)
    coords: dict[str, Any] = {
        ELEMENT: names,
        UNIT: (ELEMENT, [assay.unit for assay in assays]),
        LIMIT: (dims[-limit.ndim :], limit),
        X: (SAMPLE, places.x),
        Y: (SAMPLE, places.y),
    }
    if sample_id is not None:
        coords[SAMPLE_ID] = (SAMPLE, _text(sample_id))
    if batch is not None:
        coords[BATCH] = (SAMPLE, labels)
    coords |= {name: (SAMPLE, _numbers_or_text(column)) for name, column in keep.items()}
    variables = {
        VALUES: (dims, value, {"long_name": "concentration"}),
        STATE: (dims, state, {"long_name": "state", **STATE_FLAGS}),
    }
    return xr.Dataset(variables, coords=coords).rio.write_crs(places.crs), findings


def _suspicions(
    assays: Sequence[Assay],
    value: np.ndarray,
    state: np.ndarray,
    batch: np.ndarray,
    names: Sequence[str],
) -> list[Finding]:
    """Return what looks wrong, with columns in the order of the file: shifts show only there."""
    order = np.argsort([assay.column.position for assay in assays])
    columns = [assays[k].column for k in order]
    headers, units = [str(column.header) for column in columns], [assays[k].unit for k in order]
    value, state = value[:, order], state[:, order]
    findings = check_columns(headers, units, value, state)
    if len(names) > 1:
        ppm = value * [PPM_PER_UNIT[unit] for unit in units]
        findings = check_batches(headers, ppm, state, batch, names) + findings
    return findings


def _text(column: pd.Series) -> np.ndarray:
    """Return names as text: whole numbers without a point, missing ones empty."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    named = zip(column.astype(object), column.notna(), strict=True)
    return np.array([str(name).strip() if known else "" for name, known in named], dtype="U")


def _numbers_or_text(column: pd.Series) -> np.ndarray:
    numeric = pd.api.types.is_numeric_dtype(column)
    return column.to_numpy() if numeric and not column.hasnans else _text(column)


def summary(table: xr.Dataset) -> str:
    """Say how many samples and elements a table holds, and the share of each state."""
    n, m = table[STATE].shape
    meanings = [meaning.replace("_", " ") for meaning in str(STATE_FLAGS["flag_meanings"]).split()]
    shares = np.bincount(table[STATE].values.ravel(), minlength=len(meanings)) / (n * m)
    told = [
        f"{100 * share:.1f} % {meaning}"
        for share, meaning in zip(shares, meanings, strict=True)
        if share
    ]
    return f"{n} samples, {m} element{'s' if m > 1 else ''}: {', '.join(told)}"
