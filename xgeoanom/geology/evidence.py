"""Evidence as rasters: distance to what is mapped, sides of dipping faults, density of faults."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
import xarray as xr

from xgeoanom.blocks import delayed, map_grid
from xgeoanom.conventions import X, Y, cell_size, check_same_crs, provenance, raster_on
from xgeoanom.errors import EvidenceError

BLOCK = 128  # cells a side where the grid itself has no chunks
ACROSS = 1e-9  # share of a distance that rounding may put up or down dip
SIDE_FLAGS = {
    "flag_values": np.array([-1, 0, 1], dtype="int8"),
    "flag_meanings": "footwall unknown hanging_wall",
}


def distance_to(
    geometries: gpd.GeoDataFrame,
    like: xr.DataArray | xr.Dataset,
    *,
    name: str = "fault_distance",
) -> xr.DataArray:
    """Return how far each cell's centre lies from the nearest geometry.

    Exact: geometries are not rasterised. A distance exists everywhere, so none is missing; where
    only surveyed ground counts, as in :func:`density_law`, mask it: ``distance.where(support)``.

    Parameters
    ----------
    geometries : geopandas.GeoDataFrame
        Faults, contacts, intrusions, ...: lines, points, polygons or a mix, in the grid's CRS.
        Inside a polygon the distance is 0.
    like : xarray.DataArray or Dataset
        Cube, dataset or raster whose grid to use; its values are not read.
    name : str
        Name of the raster; ``fault_distance`` is what detectors look for.

    Returns
    -------
    xarray.DataArray
        ``(y, x)`` float64 in CRS units; lazy where ``like`` is.

    Raises
    ------
    EvidenceError
        If there is no geometry, or some are empty.
    CRSError, GridError
        If the CRS is missing, geographic or another, or cells are unevenly spaced.

    Examples
    --------
    >>> import xgeoanom.conventions
    >>> coords = {"y": [200.0, 100.0, 0.0], "x": [0.0, 100.0, 200.0]}
    >>> grid = xr.DataArray(np.zeros((3, 3)), coords, ("y", "x")).rio.write_crs(32650)
    >>> line = shapely.LineString([(0, 0), (200, 0)])
    >>> distance_to(gpd.GeoDataFrame(geometry=[line], crs=32650), grid).values[:, 0]
    array([200., 100.,   0.])
    """
    _check_geometries(geometries, like, "geometries")
    distances = _on_grid(_distances, like, _tree_of, geometries)
    return raster_on(
        like,
        distances,
        name=name,
        long_name=name.replace("_", " "),
        units=_length_unit(like),
        attrs=provenance("distance_to", n_geometries=len(geometries)),
    )


def hanging_wall(
    faults: gpd.GeoDataFrame, like: xr.DataArray | xr.Dataset, *, dip_direction: str | float
) -> xr.DataArray:
    """Return on which side of its nearest fault each cell lies.

    A cell lies on the hanging wall where it is down dip of the nearest point of the fault. Beyond
    a fault's tip its trace is thus continued at right angles to the dip direction. Far from all
    faults the side says little: mask it by :func:`distance_to`.

    Parameters
    ----------
    faults : geopandas.GeoDataFrame
        Lines in the grid's CRS.
    like : xarray.DataArray or Dataset
        Cube, dataset or raster whose grid to use; its values are not read.
    dip_direction : str or float
        Azimuth towards which faults dip, in degrees clockwise from grid north: a column of
        ``faults``, NaN where unknown, or one number for all.

    Returns
    -------
    xarray.DataArray
        ``(y, x)`` int8: 1 hanging wall, -1 footwall, 0 unknown, which is where the nearest
        fault's dip is, and on the fault; lazy where ``like`` is.

    Raises
    ------
    EvidenceError
        If there is no fault, some are no lines, or ``dip_direction`` is no azimuth.
    CRSError, GridError
        If the CRS is missing, geographic or another, or cells are unevenly spaced.

    Examples
    --------
    >>> import xgeoanom.conventions
    >>> coords = {"y": [100.0, 0.0, -100.0], "x": [0.0, 100.0]}
    >>> grid = xr.DataArray(np.zeros((3, 2)), coords, ("y", "x")).rio.write_crs(32650)
    >>> line = shapely.LineString([(0, 0), (100, 0)])
    >>> fault = gpd.GeoDataFrame(geometry=[line], crs=32650)
    >>> hanging_wall(fault, grid, dip_direction=180.0).values[:, 0]
    array([-1,  0,  1], dtype=int8)
    """
    _check_lines(faults, like)
    azimuths = _azimuths(faults, dip_direction)
    return raster_on(
        like,
        _on_grid(_sides, like, _dipping, faults, azimuths, dtype="int8"),
        name="hanging_wall",
        long_name="side of the nearest fault",
        attrs={**SIDE_FLAGS, **provenance("hanging_wall", dip_direction=dip_direction)},
    )


def fault_density(
    faults: gpd.GeoDataFrame, like: xr.DataArray | xr.Dataset, *, radius: float
) -> xr.DataArray:
    """Return the length of faults per area in the circle around each cell's centre.

    Exact: each straight piece is cut at the circle. What is mapped twice counts twice. Circles that
    reach over the map count what is mapped there, and the whole circle as area.

    Parameters
    ----------
    faults : geopandas.GeoDataFrame
        Lines in the grid's CRS.
    like : xarray.DataArray or Dataset
        Cube, dataset or raster whose grid to use; its values are not read.
    radius : float
        Radius of the circle, in CRS units.

    Returns
    -------
    xarray.DataArray
        ``(y, x)`` float64, one over CRS units; lazy where ``like`` is.

    Raises
    ------
    EvidenceError
        If there is no fault, some are no lines, or ``radius`` is not positive.
    CRSError, GridError
        If the CRS is missing, geographic or another, or cells are unevenly spaced.

    Examples
    --------
    >>> import xgeoanom.conventions
    >>> coords = {"y": [100.0, 0.0], "x": [0.0, 100.0]}
    >>> grid = xr.DataArray(np.zeros((2, 2)), coords, ("y", "x")).rio.write_crs(32650)
    >>> line = shapely.LineString([(-500, 0), (500, 0)])
    >>> fault = gpd.GeoDataFrame(geometry=[line], crs=32650)
    >>> density = fault_density(fault, grid, radius=100.0)  # a line through the centre: 2 / (πr)
    >>> density.values[:, 0].round(5)
    array([0.     , 0.00637])
    """
    _check_lines(faults, like)
    if not (isinstance(radius, Real) and 0 < radius < math.inf):
        raise EvidenceError(
            f"radius={radius!r} must be a positive number in CRS units; try radius=5000.0"
        )
    return raster_on(
        like,
        _on_grid(_densities, like, _reaching, faults, float(radius)),
        name="fault_density",
        long_name="length of faults per area",
        units=f"{_length_unit(like)}-1",
        attrs=provenance("fault_density", radius=radius),
    )


# ------------------------------------------------------------------------------------ checks


def _check_geometries(
    geometries: gpd.GeoDataFrame, like: xr.DataArray | xr.Dataset, argument: str
) -> None:
    if not isinstance(geometries, gpd.GeoDataFrame | gpd.GeoSeries):
        raise EvidenceError(
            f"{argument} is a {type(geometries).__name__}; give a GeoDataFrame with a CRS"
        )
    check_same_crs(geometries, like, argument)
    cell_size(like)
    if len(geometries) == 0:
        raise EvidenceError(f"{argument} is empty; give at least one geometry")
    missing = int((geometries.geometry.is_empty | geometries.geometry.isna()).sum())
    if missing:
        raise EvidenceError(
            f"{argument} holds {missing} empty geometries; drop them with "
            f"{argument}[~({argument}.is_empty | {argument}.geometry.isna())]"
        )
    corners, row = shapely.get_coordinates(geometries.geometry.to_numpy(), return_index=True)
    broken = np.unique(row[~np.isfinite(corners).all(axis=1)]).size
    if broken:
        raise EvidenceError(f"{argument} holds {broken} geometries with NaN coordinates; mend them")


def _check_lines(faults: gpd.GeoDataFrame, like: xr.DataArray | xr.Dataset) -> None:
    _check_geometries(faults, like, "faults")
    wrong = int((~faults.geom_type.isin(["LineString", "MultiLineString", "LinearRing"])).sum())
    if wrong:
        raise EvidenceError(
            f"faults holds {wrong} geometries that are no lines; drop them, or take polygons' "
            ".boundary"
        )


def _azimuths(faults: gpd.GeoDataFrame, dip_direction: str | float) -> np.ndarray:
    """Return the azimuth of each fault's dip in degrees, NaN where unknown."""
    if isinstance(dip_direction, str):
        if dip_direction not in faults.columns:
            raise EvidenceError(
                f"dip_direction={dip_direction!r} is no column of faults; it has "
                f"{[str(name) for name in faults.columns]}"
            )
        dip_direction = faults[dip_direction].to_numpy()
    try:
        azimuths = np.broadcast_to(np.asarray(dip_direction, dtype="float64"), len(faults))
    except (TypeError, ValueError):
        azimuths = np.array([np.nan])
    if not np.isfinite(azimuths).any() or np.isinf(azimuths).any():
        raise EvidenceError(
            f"dip_direction={dip_direction!r} must be degrees clockwise from north: a number, or "
            "the name of a column of numbers"
        )
    return azimuths


def _length_unit(like: xr.DataArray | xr.Dataset) -> str:
    return str(like.rio.crs.linear_units)


# ------------------------------------------------------------------------------- on the grid


def _on_grid(
    func: Callable[..., np.ndarray],
    like: xr.DataArray | xr.Dataset,
    build: Callable[..., Any],
    *known: Any,
    dtype: str = "float64",
) -> Any:
    """Return ``func(y, x, build(*known))`` ``(y, x)`` in blocks; lazy where ``like`` is."""
    chunks = like.chunksizes
    each = (max(chunks.get(Y, (BLOCK,))), max(chunks.get(X, (BLOCK,))))
    y, x = (like[dim].values.astype("float64") for dim in (Y, X))
    shared = delayed(build, *known)
    values = map_grid(func, y, x, layers=1, chunks=each, shared=shared, dtype=dtype)[0]
    return values if chunks else values.compute(scheduler="threads")


def _pieces(geometries: gpd.GeoDataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return lines cut into straight pieces and all other parts whole, and the row of each.

    The boxes of an index around short pieces tell far more apart than those around long lines.
    """
    parts, row = shapely.get_parts(geometries.geometry.to_numpy(), return_index=True)
    is_line = np.isin(shapely.get_type_id(parts), (1, 2))  # LineString, LinearRing
    corners, line = shapely.get_coordinates(parts[is_line], return_index=True)
    joined = line[1:] == line[:-1]
    straight = shapely.linestrings(np.stack([corners[:-1], corners[1:]], axis=1)[joined])
    rows = row[is_line][line[1:][joined]], row[~is_line]
    return np.concatenate([straight, parts[~is_line]]), np.concatenate(rows)


def _centres(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the cells' centres ``(cell, 2)``, x and y, row by row."""
    return np.column_stack([np.tile(x, len(y)), np.repeat(y, len(x))])


def _tree_of(geometries: gpd.GeoDataFrame) -> shapely.STRtree:
    return shapely.STRtree(_pieces(geometries)[0])


def _distances(y: np.ndarray, x: np.ndarray, tree: shapely.STRtree) -> np.ndarray:
    points = shapely.points(_centres(y, x))
    distances = tree.query_nearest(points, return_distance=True, all_matches=False)[1]
    return distances.reshape(1, len(y), len(x))


def _dipping(faults: gpd.GeoDataFrame, azimuths: np.ndarray) -> tuple[shapely.STRtree, np.ndarray]:
    """Return the index of faults' pieces and the direction ``(piece, 2)`` in which each dips."""
    pieces, rows = _pieces(faults)
    azimuth = np.radians(azimuths[rows])
    return shapely.STRtree(pieces), np.column_stack([np.sin(azimuth), np.cos(azimuth)])


def _sides(y: np.ndarray, x: np.ndarray, faults: tuple[shapely.STRtree, np.ndarray]) -> np.ndarray:
    tree, down_dip = faults
    points = shapely.points(_centres(y, x))
    nearest = tree.nearest(points)
    links = shapely.shortest_line(tree.geometries[nearest], points)
    ends = shapely.get_coordinates(links).reshape(-1, 2, 2)
    offset = ends[:, 1] - ends[:, 0]
    along = (offset * down_dip[nearest]).sum(axis=1)
    clear = np.abs(along) > ACROSS * np.hypot(*offset.T)
    return np.where(clear, np.sign(along), 0).astype("int8").reshape(1, len(y), len(x))


def _reaching(
    faults: gpd.GeoDataFrame, radius: float
) -> tuple[shapely.STRtree, np.ndarray, np.ndarray, float]:
    """Return the index of faults' pieces, their first and last points, and the radius."""
    pieces = _pieces(faults)[0]
    ends = shapely.get_coordinates(pieces).reshape(-1, 2, 2)
    return shapely.STRtree(pieces), ends[:, 0], ends[:, 1], radius


def _densities(
    y: np.ndarray,
    x: np.ndarray,
    faults: tuple[shapely.STRtree, np.ndarray, np.ndarray, float],
) -> np.ndarray:
    tree, first, last, radius = faults
    centres = _centres(y, x)
    boxes = shapely.box(*(centres - radius).T, *(centres + radius).T)
    cell, piece = tree.query(boxes)
    inside = _length_inside(first[piece], last[piece], centres[cell], radius)
    length = np.bincount(cell, inside, minlength=len(centres))
    return (length / (math.pi * radius**2)).reshape(1, len(y), len(x))


def _length_inside(
    first: np.ndarray, last: np.ndarray, centre: np.ndarray, radius: float
) -> np.ndarray:
    """Return the length of each straight piece within the circle around its centre."""
    length = np.hypot(*(last - first).T)
    heading = (last - first) / np.where(length > 0, length, 1)[:, None]
    offset = centre - first
    foot = (offset * heading).sum(axis=1)  # of the perpendicular, from the first point on
    squared = radius**2 - ((offset - foot[:, None] * heading) ** 2).sum(axis=1)
    half_chord = np.sqrt(np.maximum(squared, 0))
    return np.maximum(np.minimum(length, foot + half_chord) - np.maximum(0, foot - half_chord), 0)
