"""Where the samples lie: coordinates found, checked against their CRS and reprojected."""

from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd

from xgeoanom.errors import CRSError, CubeError, GridError
from xgeoanom.survey.reading.entries import remedy_of_commas, with_points
from xgeoanom.survey.reading.headers import axes_look_swapped, find_axes
from xgeoanom.survey.reading.import_report import Finding

UTM_ZONE_WIDTH = 6.0


class Places(NamedTuple):
    """Coordinates ``(sample,)``, their CRS, the columns that held them, and what was found."""

    x: np.ndarray
    y: np.ndarray
    crs: Any
    columns: list[Hashable]
    decisions: list[str]
    findings: list[Finding]


def locate(
    frame: pd.DataFrame,
    *,
    crs: Any,
    x: Hashable | None,
    y: Hashable | None,
    to_crs: Any,
    decimal: str = ".",
) -> Places:
    """Find, check and reproject the coordinates of a frame.

    Parameters
    ----------
    frame : pandas.DataFrame or geopandas.GeoDataFrame
        The samples; geometries, where there are any, are their places.
    crs, to_crs : Any
        CRS of the coordinates, and the one wanted, in any form that pyproj takes. Without
        ``to_crs`` degrees become metres of the UTM zone of the survey's centre.
    x, y : hashable, optional
        Columns of the coordinates; found by their names where not given.
    decimal : str
        The decimal sign of coordinates that are text.

    Returns
    -------
    Places
        Coordinates in the CRS wanted, with decisions and findings.

    Raises
    ------
    CRSError
        If no CRS is known, two disagree, or all places lie outside its area of use.
    GridError
        If there are fewer than two samples, places that are missing, or geometries that are no
        points.
    CubeError
        If the columns of the coordinates are missing or ambiguous.

    Examples
    --------
    >>> frame = pd.DataFrame({"lon": [117.0, 117.1], "lat": [-30.0, -30.1]})
    >>> locate(frame, crs=4326, x=None, y=None, to_crs=None).crs.to_epsg()
    32750
    """
    if len(frame) < 2:
        raise GridError(f"the table holds {len(frame)} sample; a survey needs at least two")
    source = _source_crs(frame, crs)
    if isinstance(frame, gpd.GeoDataFrame):
        xs, ys = _points(frame, x, y)
        columns, decisions = [frame.geometry.name], []
    else:
        columns = list(_axes(frame, x, y, geographic=source.is_geographic))
        xs, ys = (_numbers(frame[column], column, decimal) for column in columns)
        decisions = [f"coordinates are {columns[0]} (x) and {columns[1]} (y)"]
    findings = _check_places(xs, ys, source, columns)
    target = _parse(to_crs, "to_crs") if to_crs is not None else _metric(xs, ys, source)
    if target != source:
        xs, ys = _reproject(xs, ys, source, target)
        decisions.append(f"reprojected from {_name(source)} to {_name(target)}")
    return Places(xs, ys, target, columns, decisions, findings)


def _source_crs(frame: pd.DataFrame, crs: Any) -> Any:
    own = frame.crs if isinstance(frame, gpd.GeoDataFrame) else None
    if own is None and crs is None:
        raise CRSError(
            "crs is missing; name the CRS of the coordinates, such as crs=4326 for longitude and "
            "latitude on WGS 84, or 32650 for its UTM zone 50 N"
        )
    given = _parse(own if crs is None else crs, "crs")
    if own is not None and given != own:
        raise CRSError(f"crs={_name(given)}, but the source says {_name(own)}; leave crs out")
    return given


def _parse(crs: Any, argument: str) -> Any:
    try:
        return gpd.GeoSeries([], crs=crs).crs
    except Exception as error:
        raise CRSError(f"{argument}={crs!r} is no CRS; use an EPSG code such as 4326") from error


def _name(crs: Any) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.name


def _axes(
    frame: pd.DataFrame, x: Hashable | None, y: Hashable | None, *, geographic: bool
) -> tuple[Hashable, Hashable]:
    if x is None and y is None:
        return find_axes(list(frame.columns), geographic=geographic)
    if x is None or y is None or x == y:
        raise CubeError(f"x={x!r} and y={y!r} must name two columns; give both, or neither")
    if missing := [column for column in (x, y) if column not in frame.columns]:
        raise CubeError(f"columns {missing} are not in the table; it has {list(frame.columns)}")
    return x, y


def _numbers(column: pd.Series, name: Hashable, decimal: str) -> np.ndarray:
    pointed = with_points(column, decimal)
    values = pd.to_numeric(pointed, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        entry = str(column.iloc[bad[0]])
        remedy = remedy_of_commas(entry) or "write decimal numbers, or leave these rows out"
        raise GridError(
            f"row {column.index[bad[0]]}, column {name!r}: {entry!r} is no coordinate"
            f"{_more(bad.size - 1)}; {remedy}"
        )
    return values


def _points(
    frame: gpd.GeoDataFrame, x: Hashable | None, y: Hashable | None
) -> tuple[np.ndarray, np.ndarray]:
    if x is not None or y is not None:
        raise CubeError("the source has geometries, which are its places; leave x and y out")
    wrong = np.flatnonzero((frame.geom_type != "Point") | frame.geometry.is_empty)
    if wrong.size:
        raise GridError(
            f"row {frame.index[wrong[0]]}: its geometry is no point{_more(wrong.size - 1)}; "
            "leave these rows out, or take centroids"
        )
    return frame.geometry.x.to_numpy(), frame.geometry.y.to_numpy()


def _more(rest: int) -> str:
    return f", nor are {rest} more below" if rest else ""


# ----------------------------------------------------------------------------------- checks


def _check_places(x: np.ndarray, y: np.ndarray, crs: Any, columns: list[Hashable]) -> list[Finding]:
    if crs.is_geographic:
        _check_degrees(x, y, crs)
    findings = [_check_area(x, y, crs, columns), *_check_extent(x, y, crs)]
    return [Finding(kind, "coordinates", what, remedy) for kind, what, remedy in findings if kind]


def _check_area(
    x: np.ndarray, y: np.ndarray, crs: Any, columns: list[Hashable]
) -> tuple[str, str, str]:
    """Return kind, finding and remedy of places outside the area of the CRS; empty if none.

    Raises CRSError where all are, farther than a neighbour's zone: what comes out would be no place
    of the survey.
    """
    outside = ~_inside(x, y, crs)
    turned = _inside(y, x, crs) if outside.any() else ~outside
    if not _inside(x, y, crs, margin=UTM_ZONE_WIDTH).any():
        raise CRSError(_all_outside(x, y, crs, swapped=turned.mean() > 0.5))
    if len(columns) == 2 and axes_look_swapped(*columns):
        what = f"x and y look swapped: x is {columns[0]}, y is {columns[1]}"
        return "swapped_axes", what, "Exchange x=... and y=..."
    if not outside.any():
        return "", "", ""
    what = f"{int(outside.sum())} of {x.size} places lie outside the area of {_name(crs)}"
    if outside.mean() > 0.5 and turned.mean() > 0.5:
        what = f"x and y look swapped: {what}, and inside it the other way round"
        return "swapped_axes", what, "Exchange x=... and y=..."
    remedy = "Check crs: another zone or datum, or degrees where metres are meant?"
    return "outside_crs_area", what, remedy


def _all_outside(x: np.ndarray, y: np.ndarray, crs: Any, *, swapped: bool) -> str:
    area = crs.area_of_use
    if swapped:
        remedy = "x and y look swapped: exchange x=... and y=..."
    elif crs.is_projected and np.abs(x).max() <= 360 and np.abs(y).max() <= 90:
        remedy = "they look like degrees: try crs=4326"
    else:
        remedy = "choose crs by the zone, hemisphere and datum of the coordinates"
    return (
        f"all {x.size} places lie outside the area of crs={_name(crs)} (longitude {area.west:g} to "
        f"{area.east:g}, latitude {area.south:g} to {area.north:g}): {_extent(x, y)}; {remedy}"
    )


def _extent(x: np.ndarray, y: np.ndarray) -> str:
    return f"x runs from {x.min():g} to {x.max():g}, y from {y.min():g} to {y.max():g}"


def _check_extent(x: np.ndarray, y: np.ndarray, crs: Any) -> Iterator[tuple[str, str, str]]:
    if zero := int(((x == 0) & (y == 0)).sum()):
        yield "zero_coordinates", f"{zero} places are (0, 0), filler?", "Leave these rows out."
    if crs.is_geographic and np.ptp(x) > UTM_ZONE_WIDTH:
        yield (
            "wide_survey",
            f"the survey spans {np.ptp(x):.1f} degrees of longitude, a UTM zone 6",
            "Choose a wider projection with to_crs=..., such as a national one.",
        )


def _check_degrees(x: np.ndarray, y: np.ndarray, crs: Any) -> None:
    if np.abs(y).max() <= 90 and np.abs(x).max() <= 360:
        return
    hint = "x and y look swapped" if np.abs(y).max() <= 360 else "are they metres?"
    raise CRSError(f"coordinates are no degrees of crs={_name(crs)}: {_extent(x, y)}; {hint}")


def _inside(x: np.ndarray, y: np.ndarray, crs: Any, margin: float = 0.0) -> np.ndarray:
    """Say which places lie in the area of use that the EPSG register states for a CRS.

    ``margin`` widens it, in degrees of longitude.
    """
    area = crs.area_of_use
    if area is None:
        return np.ones(x.size, dtype=bool)
    lon, lat = _transform(x, y, crs, "EPSG:4326")
    lon = np.where(np.isfinite(lon), lon, np.nan)  # no place at all, so far off the coordinates are
    width = (area.east - area.west) % 360 or 360.0  # areas may cross the antimeridian
    width, west = width + 2 * margin, area.west - margin
    east = (lon - west) % 360
    return (east <= width) & (area.south <= lat) & (lat <= area.north)


def _metric(x: np.ndarray, y: np.ndarray, crs: Any) -> Any:
    """Return ``crs`` if projected, else the UTM zone at the centre of the survey."""
    return gpd.GeoSeries.from_xy(x, y, crs=crs).estimate_utm_crs() if crs.is_geographic else crs


def _transform(
    x: np.ndarray, y: np.ndarray, source: Any, target: Any
) -> tuple[np.ndarray, np.ndarray]:
    points = gpd.GeoSeries.from_xy(x, y, crs=source).to_crs(target)
    return points.x.to_numpy(), points.y.to_numpy()


def _reproject(
    x: np.ndarray, y: np.ndarray, source: Any, target: Any
) -> tuple[np.ndarray, np.ndarray]:
    xs, ys = _transform(x, y, source, target)
    lost = ~(np.isfinite(xs) & np.isfinite(ys))
    if lost.any():
        raise CRSError(
            f"{int(lost.sum())} places of {_name(source)} have none in to_crs={_name(target)}; "
            "check crs, or choose another to_crs"
        )
    return xs, ys
