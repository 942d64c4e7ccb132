"""Scored cells and samples: where they lie, in the plane or on the globe, in metres either way."""

from typing import Any, TypeAlias

import geopandas as gpd
import numpy as np
import xarray as xr

from xgeoanom.conventions import X, Y, cell_size
from xgeoanom.errors import CRSError, GridError

SCORE = "score"
EARTH_RADIUS = 6_371_000.0  # metres; a sphere, as for the haversine formula

Score: TypeAlias = xr.DataArray | gpd.GeoDataFrame


def crs_of(obj: Any, argument: str) -> Any:
    """Return the CRS of a raster or a GeoDataFrame; GridError for others, CRSError without one."""
    if isinstance(obj, gpd.GeoDataFrame | gpd.GeoSeries):
        crs = obj.crs
    elif isinstance(obj, xr.DataArray | xr.Dataset):
        crs = obj.rio.crs
    else:
        raise GridError(f"{argument} is a {type(obj).__name__}; give a raster or a GeoDataFrame")
    if crs is None:
        raise CRSError(f"{argument} has no CRS; set it, e.g. .rio.write_crs(32650) or .set_crs()")
    return crs


def scored(score: Score) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores that are not NaN and their ``(place, 2)`` x and y, in the given order.

    Raises
    ------
    GridError
        If ``score`` is neither a ``(y, x)`` raster nor points with a column ``score``, or holds
        no score.
    """
    if isinstance(score, gpd.GeoDataFrame):
        values, xy = _of_samples(score)
    elif isinstance(score, xr.DataArray):
        values, xy = _of_cells(score)
    else:
        raise GridError(
            f"score is a {type(score).__name__}; give a raster (y, x), or a GeoDataFrame of "
            f"samples with a column {SCORE!r}"
        )
    valid = ~np.isnan(values)
    if not valid.any():
        raise GridError("score has no valid cell or sample; check that it overlaps the survey")
    return values[valid], xy[valid]


def _of_cells(score: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    if set(score.dims) != {Y, X}:
        raise GridError(f"score has dims {score.dims}, not ('y', 'x')")
    cell_size(score)
    x, y = np.meshgrid(score[X].values, score[Y].values)
    xy = np.column_stack([x.ravel(), y.ravel()]).astype("float64")
    return score.transpose(Y, X).values.ravel().astype("float64"), xy


def _of_samples(score: gpd.GeoDataFrame) -> tuple[np.ndarray, np.ndarray]:
    if SCORE not in score:
        raise GridError(
            f"score has columns {list(score.columns)}; name the one that is meant {SCORE!r}"
        )
    if not (score.geometry.geom_type == "Point").all() or score.geometry.is_empty.any():
        raise GridError("score has samples that are no points; drop them first")
    xy = np.column_stack([score.geometry.x, score.geometry.y]).astype("float64")
    return score[SCORE].to_numpy(dtype="float64", na_value=np.nan), xy


def positions(xy: np.ndarray, crs: Any) -> np.ndarray:
    """Return vectors whose straight-line distance ranks places as their distance in metres does.

    ``(place, 2)`` as given where ``crs`` is projected. In degrees ``(place, 3)`` on a sphere,
    where the straight line is the chord of the great circle: see :func:`straight`.

    Raises
    ------
    CRSError
        If a latitude lies beyond 90 degrees.
    """
    if not crs.is_geographic:
        return xy
    if (np.abs(xy[:, 1]) > 90).any():
        worst = xy[np.abs(xy[:, 1]).argmax(), 1]
        raise CRSError(f"y={worst:g} is no latitude, but the CRS is in degrees; are they metres?")
    longitude, latitude = np.radians(xy).T
    on_unit_sphere = [
        np.cos(latitude) * np.cos(longitude),
        np.cos(latitude) * np.sin(longitude),
        np.sin(latitude),
    ]
    return EARTH_RADIUS * np.column_stack(on_unit_sphere)


def coordinates(positions: np.ndarray) -> np.ndarray:
    """Return x and y ``(..., 2)`` of ``positions`` ``(..., 2 or 3)``; degrees from a sphere."""
    if positions.shape[-1] == 2:
        return positions
    x, y, z = np.moveaxis(positions, -1, 0)
    return np.degrees(np.stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))], axis=-1))


def straight(distance: float, positions: np.ndarray) -> float:
    """Return the straight line that spans ``distance`` metres between ``positions``.

    On a sphere it is the chord ``2 R sin(distance / 2 R)``, the haversine formula turned round.
    """
    if positions.shape[-1] == 2:
        return distance
    half_angle = min(distance / (2 * EARTH_RADIUS), np.pi / 2)
    return float(2 * EARTH_RADIUS * np.sin(half_angle))
