"""Samples that a table holds more than once, and samples taken twice at one place."""

import json
import warnings

import numpy as np
import pandas as pd
import xarray as xr
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from xgeoanom.conventions import (
    BELOW_LIMIT,
    ELEMENT,
    MEASURED,
    NOT_ANALYSED,
    SAMPLE,
    X,
    Y,
    provenance,
)
from xgeoanom.errors import GridError
from xgeoanom.survey.table import (
    check_choice,
    check_table,
    column_of,
    limits_of,
    positive,
    with_concentration,
)

SINGLE, REPEATED_REPORT, FIELD_DUPLICATE, BOTH = 0, 1, 2, 3
DUPLICATE_FLAGS = {
    "flag_values": np.array([SINGLE, REPEATED_REPORT, FIELD_DUPLICATE, BOTH], dtype="int8"),
    "flag_meanings": "single repeated_report field_duplicate both",
}
RULES = ("median", "geometric_mean", "first")
ROUNDING = 0.01  # reports of one value that differ by less differ by rounding


def find_duplicates(
    table: xr.Dataset, *, by: str = "sample_id", max_distance: float = 0.0
) -> xr.Dataset:
    """Find repeated reports of one sample, and field duplicates: other samples at its place.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table of :func:`from_points`.
    by : str
        What makes two rows reports of one sample: the same entry in this column of the samples,
        at the same place (an empty entry makes a sample of its own); ``"values"``: the same place
        and no value that differs by more than 1 %, of those that both have. Chains of such rows
        join: the ends of a chain may differ by more, and a row with few values may link two
        that differ in others. ``"place"``: the same place alone.
    max_distance : float
        Rows as near as this, in CRS units, and chains of them, are at one place.

    Returns
    -------
    xarray.Dataset
        ``distinct_sample(sample)`` and ``place(sample)``, numbered from 0 by first appearance, and
        the flag ``duplicate(sample)``: 0 single, 1 repeated report, 2 field duplicate, 3 both.

    Raises
    ------
    CubeError
        If ``table`` is no survey table, or has no column ``by``.
    GridError
        If a coordinate is not finite.
    XGeoAnomError
        If ``max_distance`` is no number from 0.

    Warns
    -----
    UserWarning
        If an entry of ``by`` is found at several places: these are taken as several samples,
        since every company counts from 1.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [1.0], [4.0]]),
    ...      "state": (("sample", "element"), np.zeros((3, 1), dtype="int8"))},
    ...     coords={"element": ["Au"], "x": ("sample", [0.0, 0.0, 0.0]),
    ...             "y": ("sample", [0.0, 0.0, 0.0]), "sample_id": ("sample", ["A1", "A1", "A2"])},
    ... )
    >>> find_duplicates(table)["duplicate"].values
    array([3, 3, 2], dtype=int8)
    """
    check_table(table)
    place = _places(table, positive("max_distance", max_distance, zero=True))
    distinct = _distinct(table, by, place)
    rows = pd.DataFrame({"place": place, "distinct": distinct})
    repeated = rows.groupby("distinct")["place"].transform("size") > 1
    duplicated = rows.groupby("place")["distinct"].transform("nunique") > 1
    flag = (REPEATED_REPORT * repeated + FIELD_DUPLICATE * duplicated).to_numpy(dtype="int8")
    coords = {name: coord for name, coord in table.coords.items() if ELEMENT not in coord.dims}
    return xr.Dataset(
        {
            "distinct_sample": (SAMPLE, distinct, {"long_name": "number of the distinct sample"}),
            "place": (SAMPLE, place, {"long_name": "number of the place"}),
            "duplicate": (SAMPLE, flag, {"long_name": "kind of duplicate", **DUPLICATE_FLAGS}),
        },
        coords=coords,
        attrs=provenance("find_duplicates", by=by, max_distance=max_distance),
    )


def collapse_duplicates(
    table: xr.Dataset,
    *,
    by: str = "sample_id",
    max_distance: float = 0.0,
    rule: str = "median",
) -> xr.Dataset:
    """Make one row of all reports of a sample.

    Per element, a measured value beats a censored one, one below a known limit beats one below an
    unknown limit, and that beats none. Of several measured values ``rule`` makes one; of several
    known limits the lowest counts, being the narrowest statement.

    A row may then hold values of several batches: level batches before.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table of :func:`from_points`.
    by, max_distance
        What makes two rows reports of one sample; see :func:`find_duplicates`. ``"place"`` also
        joins field duplicates.
    rule : {"median", "geometric_mean", "first"}
        What becomes of several measured values.

    Returns
    -------
    xarray.Dataset
        The table with one row per distinct sample, in the order of first appearance; coords of the
        samples are those of the first row. New coords: ``n_reports(sample)``, and
        ``n_conflicts(sample)``, the number of elements whose reports contradict each other:
        measured values that differ by more than 1 %, or lie that much above a limit.
        ``attrs["conflicts"]`` of ``concentration`` counts these samples by element (JSON).

    Raises
    ------
    CubeError, GridError, XGeoAnomError
        As :func:`find_duplicates`.
    CompositionError
        If ``rule`` is unknown.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [1.5], [4.0]]),
    ...      "state": (("sample", "element"), np.zeros((3, 1), dtype="int8"))},
    ...     coords={"element": ["Au"], "x": ("sample", [0.0, 0.0, 9.0]),
    ...             "y": ("sample", [0.0, 0.0, 0.0]), "sample_id": ("sample", ["A1", "A1", "A2"])},
    ... )
    >>> collapsed = collapse_duplicates(table)
    >>> collapsed["concentration"].values
    array([[1.25],
           [4.  ]])
    >>> collapsed["n_conflicts"].values
    array([1, 0])
    """
    check_choice("rule", rule, RULES)
    group = find_duplicates(table, by=by, max_distance=max_distance)["distinct_sample"].values
    table = table.transpose(SAMPLE, ELEMENT, ...)
    first = np.unique(group, return_index=True)[1]
    values, state, limits = _collapse(table, group, rule)
    conflicts = _conflicts(table, group)
    kept = table.isel({SAMPLE: first})
    counts = {str(k): int(n) for k, n in zip(kept[ELEMENT].values, conflicts.sum(0), strict=True)}
    attrs = provenance("collapse_duplicates", by=by, max_distance=max_distance, rule=rule)
    attrs["conflicts"] = json.dumps({name: n for name, n in counts.items() if n})
    new = with_concentration(kept, values, attrs, state=kept["state"].copy(data=state))
    if "detection_limit" in table.coords and SAMPLE in table["detection_limit"].dims:
        new = new.assign_coords(detection_limit=kept["detection_limit"].copy(data=limits))
    n_reports = np.bincount(group)
    return new.assign_coords(
        n_reports=(SAMPLE, n_reports, {"long_name": "reports of the sample"}),
        n_conflicts=(SAMPLE, conflicts.sum(1), {"long_name": "elements whose reports conflict"}),
    )


def _places(table: xr.Dataset, max_distance: float) -> np.ndarray:
    """Return the number of each sample's place."""
    xy = np.column_stack([table[X].values, table[Y].values]).astype("float64")
    if wrong := int((~np.isfinite(xy)).any(axis=1).sum()):
        raise GridError(f"x, y of {wrong} samples are not finite; drop them first")
    if max_distance == 0:
        return pd.DataFrame(xy).groupby([0, 1], sort=False).ngroup().to_numpy()
    return _chains(len(xy), cKDTree(xy).query_pairs(max_distance, output_type="ndarray"))


def _chains(n: int, pairs: np.ndarray) -> np.ndarray:
    """Return the group of each of ``n`` rows that ``pairs`` ``(k, 2)`` chain together."""
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return pd.factorize(connected_components(links, directed=False)[1])[0]


def _distinct(table: xr.Dataset, by: str, place: np.ndarray) -> np.ndarray:
    """Return the number of each row's distinct sample."""
    if by == "place":
        return place
    if by == "values":
        return _chains(len(place), _equal_pairs(table, place))
    entries = column_of(table, by)
    empty = entries == ""
    rows = pd.DataFrame({"entry": entries, "place": place})
    several = rows[~empty].groupby("entry")["place"].nunique() > 1
    if several.any():
        warnings.warn(
            f"by={by!r}: {int(several.sum())} entries, such as {several.idxmax()!r}, are found at "
            "several places and taken as samples of their own; raise max_distance where they are "
            "not",
            stacklevel=4,
        )
    rows["alone"] = np.where(empty, np.arange(len(rows)), -1)
    return rows.groupby(["entry", "place", "alone"], sort=False).ngroup().to_numpy()


def _equal_pairs(table: xr.Dataset, place: np.ndarray) -> np.ndarray:
    """Return the pairs of rows ``(k, 2)`` at one place that agree in all that both report."""
    rows = pd.DataFrame({"place": place, "row": np.arange(len(place))})
    pairs = rows.merge(rows, on="place").query("row_x < row_y")[["row_x", "row_y"]].to_numpy()
    table = table.transpose(SAMPLE, ELEMENT, ...)
    state = table["state"].values
    known = np.where(state == MEASURED, table["concentration"].values, np.nan)
    limit = np.where(state == BELOW_LIMIT, limits_of(table), np.nan)
    first, second = pairs.T
    low, high = np.fmin(known[first], known[second]), np.fmax(known[first], known[second])
    ceiling = np.fmin(limit[first], limit[second])
    differ = high > np.fmin(low, ceiling) * (1 + ROUNDING)
    shared = (state[first] != NOT_ANALYSED) & (state[second] != NOT_ANALYSED)
    return pairs[shared.any(axis=1) & ~(differ & shared).any(axis=1)]


def _collapse(
    table: xr.Dataset, group: np.ndarray, rule: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return concentration, state and limit ``(group, element)``."""
    values, states = table["concentration"].values, pd.DataFrame(table["state"].values)
    limits = pd.DataFrame(limits_of(table))
    # The states are numbered from the most to the least that is known.
    best = states.groupby(group).transform("min")
    limits = limits.where(states == best)
    lowest = limits.groupby(group).transform("min")
    measured = _combine(pd.DataFrame(values).where(states == MEASURED), group, rule)
    others = (best != MEASURED) & (states == best) & ~(limits > lowest)
    rest = pd.DataFrame(values).where(others).groupby(group).first()
    state = best.groupby(group).first().to_numpy()
    new = np.where(state == MEASURED, measured, rest)
    return new, state, limits.groupby(group).min().to_numpy()


def _combine(measured: pd.DataFrame, group: np.ndarray, rule: str) -> np.ndarray:
    if rule == "geometric_mean":
        return np.exp(np.log(measured).groupby(group).mean()).to_numpy()
    return measured.groupby(group).agg(rule).to_numpy()


def _conflicts(table: xr.Dataset, group: np.ndarray) -> np.ndarray:
    """Return where the reports of a sample contradict each other ``(group, element)``."""
    state = table["state"].values
    known = pd.DataFrame(np.where(state == MEASURED, table["concentration"].values, np.nan))
    limit = pd.DataFrame(np.where(state == BELOW_LIMIT, limits_of(table), np.nan))
    known, limit = known.groupby(group), limit.groupby(group)
    narrowest = np.fmin(known.min(), limit.min())
    return np.asarray(known.max() > narrowest * (1 + ROUNDING))
