"""From a table of points to the survey table: concentrations, their state and their units."""

from collections.abc import Hashable, Mapping, Sequence

import geopandas as gpd
import numpy as np
import xarray as xr
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from xgeoanom.conventions import (
    BELOW_LIMIT,
    BELOW_UNKNOWN_LIMIT,
    ELEMENT,
    MEASURED,
    NOT_ANALYSED,
    PPM_PER_UNIT,
    SAMPLE,
    STATE_FLAGS,
    UNIT,
    X,
    Y,
    provenance,
)
from xgeoanom.errors import CompositionError, CRSError, CubeError, GridError


def from_points(
    points: gpd.GeoDataFrame,
    elements: Sequence[str] | Mapping[str, Hashable],
    *,
    units: str | Mapping[str, str],
    detection_limits: Mapping[str, float] | None = None,
) -> xr.Dataset:
    """Turn assays at points into a survey table.

    Nothing is replaced: a value below its limit stays as reported and is flagged, for
    :func:`replace_censored` to deal with.

    Parameters
    ----------
    points : geopandas.GeoDataFrame
        One point per sample, with a CRS; geographic ones are welcome here.
    elements : sequence of str, or mapping of str to column
        Names of the element columns, or element names and the columns that hold them.
    units : str or mapping of str to str
        Unit of all elements, or of each: one of ppb, ug/kg, ppm, mg/kg, g/t, %, pct, wt%.
    detection_limits : mapping of str to float, optional
        Detection limits, in the element's unit, where they are known.

    Returns
    -------
    xarray.Dataset
        ``concentration`` ``(sample, element)`` float64 and ``state`` int8: 0 measured, 1 below a
        known limit, 2 below an unknown limit (a zero), 3 not analysed (NaN). Coords: ``x``, ``y``,
        ``unit``, ``detection_limit`` (NaN where unknown) and ``spatial_ref``.

    Raises
    ------
    CRSError
        If the points have no CRS.
    GridError
        If there are fewer than two samples, or geometries that are no points.
    CubeError
        If element columns are missing, repeated, not numbers or empty.
    CompositionError
        If concentrations are negative or infinite, units unknown, or limits not positive.

    Examples
    --------
    >>> points = gpd.GeoDataFrame(
    ...     {"Au": [0.5, 3.0], "Cu": [20.0, 31.0]},
    ...     geometry=gpd.points_from_xy([0.0, 500.0], [0.0, 0.0]),
    ...     crs=32650,
    ... )
    >>> table = from_points(
    ...     points, ["Au", "Cu"], units={"Au": "ppb", "Cu": "ppm"}, detection_limits={"Au": 1.0}
    ... )
    >>> table["state"].values
    array([[1, 0],
           [0, 0]], dtype=int8)
    """
    if not isinstance(points, gpd.GeoDataFrame):
        raise GridError(
            f"points is a {type(points).__name__}; make it a GeoDataFrame with "
            "geopandas.points_from_xy and a CRS"
        )
    columns = _columns([elements] if isinstance(elements, str) else elements)
    _check_points(points)
    _check_columns(points, columns)
    names = list(columns)
    unit = _units(units, names)
    limit = _limits(detection_limits, names)
    values = points[list(columns.values())].to_numpy(dtype="float64", na_value=np.nan)
    _check_values(values, names)
    dims = (SAMPLE, ELEMENT)
    table = xr.Dataset(
        {
            "concentration": (dims, values, {"long_name": "concentration"}),
            "state": (dims, _states(values, limit), {"long_name": "state", **STATE_FLAGS}),
        },
        coords={
            ELEMENT: names,
            UNIT: (ELEMENT, unit),
            "detection_limit": (ELEMENT, limit),
            X: (SAMPLE, points.geometry.x.to_numpy()),
            Y: (SAMPLE, points.geometry.y.to_numpy()),
        },
        attrs=provenance("from_points", columns={k: str(v) for k, v in columns.items()}),
    )
    return table.rio.write_crs(points.crs)


def _columns(elements: Sequence[str] | Mapping[str, Hashable]) -> dict[str, Hashable]:
    if isinstance(elements, Mapping):
        columns = dict(elements)
    else:
        columns = {name: name for name in elements}
        if len(columns) < len(elements):
            repeated = sorted({name for name in elements if list(elements).count(name) > 1})
            raise CubeError(f"elements={repeated} are repeated; name each element once")
    if not columns:
        raise CubeError("elements is empty; name the columns that hold concentrations")
    return columns


def _check_points(points: gpd.GeoDataFrame) -> None:
    if points.crs is None:
        raise CRSError("points have no CRS; set it with points.set_crs(...)")
    if len(points) < 2:
        raise GridError(f"points holds {len(points)} samples; a survey needs at least two")
    wrong = int(((points.geom_type != "Point") | points.geometry.is_empty).sum())
    if wrong:
        raise GridError(
            f"points holds {wrong} geometries that are no points; drop them or take centroids"
        )


def _check_columns(points: gpd.GeoDataFrame, columns: Mapping[str, Hashable]) -> None:
    wanted = list(columns.values())
    if missing := [column for column in wanted if column not in points.columns]:
        raise CubeError(f"elements: columns {missing} are not in points; it has {_names(points)}")
    repeated = points.columns[points.columns.duplicated()]
    if twice := sorted({str(column) for column in wanted if column in repeated}):
        raise CubeError(f"elements: points has several columns named {twice}; keep one of each")
    text = [
        column
        for column in wanted
        if not is_numeric_dtype(points[column]) or is_bool_dtype(points[column])
    ]
    if text:
        raise CubeError(f"elements: columns {text} are not numbers; see pandas.to_numeric")
    if empty := [column for column in wanted if points[column].isna().all()]:
        raise CubeError(f"elements: columns {empty} hold no value; leave them out")


def _names(points: gpd.GeoDataFrame) -> list[str]:
    return [str(column) for column in points.columns if column != points.geometry.name]


def _units(units: str | Mapping[str, str], names: list[str]) -> list[str]:
    given = dict.fromkeys(names, units) if isinstance(units, str) else dict(units)
    if missing := [name for name in names if name not in given]:
        raise CompositionError(f"units has no unit for {missing}; add one for each element")
    if unknown := {name: given[name] for name in names if given[name] not in PPM_PER_UNIT}:
        raise CompositionError(f"units={unknown} are unknown; use one of {list(PPM_PER_UNIT)}")
    return [given[name] for name in names]


def _limits(limits: Mapping[str, float] | None, names: list[str]) -> np.ndarray:
    limits = limits or {}
    if strange := [name for name in limits if name not in names]:
        raise CubeError(f"detection_limits names {strange}, which elements does not")
    if wrong := {name: limit for name, limit in limits.items() if not limit > 0}:
        raise CompositionError(
            f"detection_limits={wrong} must be positive; leave out those that are unknown"
        )
    return np.array([limits.get(name, np.nan) for name in names], dtype="float64")


def _check_values(values: np.ndarray, names: list[str]) -> None:
    """Refuse codes in place of concentrations: the tables of many laboratories hold them."""
    for what, wrong, remedy in (
        (
            "negative",
            values < 0,
            "write NaN for not analysed and, for a value below detection, any value from 0 to its "
            "limit, given in detection_limits",
        ),
        ("infinite", np.isinf(values), "write NaN for not analysed"),
    ):
        if wrong.any():
            counts = {name: int(n) for name, n in zip(names, wrong.sum(0), strict=True) if n}
            raise CompositionError(f"elements have {what} concentrations {counts}; {remedy}")


def _states(values: np.ndarray, limit: np.ndarray) -> np.ndarray:
    states = np.full(values.shape, MEASURED, dtype="int8")
    states[values == 0] = BELOW_UNKNOWN_LIMIT
    states[values < limit] = BELOW_LIMIT
    states[np.isnan(values)] = NOT_ANALYSED
    return states
