"""From samples at points to a cube of concentrations on an even grid."""

import math
import warnings
from collections.abc import Hashable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from xgeoanom.blocks import delayed, map_grid
from xgeoanom.conventions import (
    BELOW_LIMIT,
    BELOW_UNKNOWN_LIMIT,
    CUBE_DIMS,
    ELEMENT,
    LOG_RATIO,
    SAMPLE,
    UNIT,
    X,
    Y,
    cell_size,
    check_elements,
    check_projected,
    provenance,
    units_of,
)
from xgeoanom.errors import CRSError, CubeError, GridError
from xgeoanom.kernels.idw import TILE, Tree, build_tree, interpolate

BASIS = ("parts", "part_units", "denominator", "partition")  # attrs of a log-ratio
BLOCK_BYTES = 16e6  # larger ones cost more in page faults than smaller ones in calls
RANGE_SAMPLES = 1000  # at least so many tell how far values are carried
Bounds = tuple[float, float, float, float]
# Samples that lack the same elements share one tree: it serves these layers of the cube.
Search = tuple[Tree, np.ndarray]


def idw(
    table: xr.Dataset,
    *,
    spacing: float | None = None,
    bounds: Bounds | None = None,
    like: xr.DataArray | xr.Dataset | None = None,
    power: float = 2.0,
    n_neighbors: int = 12,
    max_distance: float | None = None,
    chunks: int | tuple[int, int] | None = None,
) -> xr.DataArray:
    """Grid every element of a survey by inverse-distance weighting.

    A cell's value is the mean of its ``n_neighbors`` nearest samples weighted by
    ``1 / distance**power`` (distances from the cell's centre); samples as far as the last of
    them count too. On samples, it is their mean. Each element uses the samples that have it.

    Parameters
    ----------
    table : xarray.Dataset
        ``concentration(sample, element)`` with coords ``x``, ``y``, ``unit`` and a projected
        CRS, as :func:`from_points` gives; NaN where missing.
    spacing : float, optional
        Side of the square cells, in CRS units. Give either ``spacing`` or ``like``.
    bounds : tuple of float, optional
        ``(xmin, ymin, xmax, ymax)`` in CRS units, with ``spacing``: cells fill it from the
        north-west corner and reach over the others where it is no multiple of ``spacing``.
        Default: the samples' extent rounded out to multiples of ``spacing``.
    like : xarray.DataArray or xarray.Dataset, optional
        Raster whose ``y``, ``x`` and CRS the cube takes over.
    power : float
        Power of the distance.
    n_neighbors : int
        Samples that make up a cell.
    max_distance : float, optional
        Farther samples, in CRS units, do not count; cells without any are NaN.
    chunks : int or tuple of int, optional
        Cells a block has per side, or its rows and columns. Default: blocks of about 16 MB.

    Returns
    -------
    xarray.DataArray
        Lazy float64 ``concentration(element, y, x)``, one chunk along ``element``, from north
        to south unless ``like`` runs the other way. ``attrs["interpolation_range"]`` is how far
        values are carried (CRS units): ``max_distance``, or else the 95th percentile of the
        samples' distances to their ``n_neighbors``-th neighbour.

    Raises
    ------
    GridError
        If the grid is empty or uneven, a number is not positive, a coordinate is not finite,
        or there are fewer samples than ``n_neighbors``.
    CRSError
        If a CRS is missing or geographic, or ``like`` has another one than ``table``.
    CubeError
        If elements are repeated or have no samples.

    References
    ----------
    Shepard 1968, Proc. 23rd ACM National Conference, 517-524.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [3.0]])},
    ...     {"x": ("sample", [0.0, 200.0]), "y": ("sample", [0.0, 100.0]),
    ...      "element": ["Cu"], "unit": ("element", ["ppm"])},
    ... ).rio.write_crs(32645)
    >>> idw(table, spacing=100.0, n_neighbors=2).values.round(2)
    array([[[1.33, 2.67]]])
    """
    for name, number in {"power": power, "max_distance": max_distance}.items():
        _check_positive(name, number)
    x, y, values = _samples(table)
    _warn_of_censored(table)
    _check_neighbors(table, values, n_neighbors)
    if like is None:
        grid = _new_grid(x, y, spacing, bounds)
        grid = grid.assign_coords(spatial_ref=table["spatial_ref"].variable)
    else:
        grid = _grid_of(like, table, spacing, bounds)
    reach = np.inf if max_distance is None else float(max_distance)
    cube = map_grid(
        partial(_interpolate_block, n_neighbors=n_neighbors, power=float(power), reach=reach),
        grid[Y].values.astype("float64"),
        grid[X].values.astype("float64"),
        layers=values.shape[1],
        chunks=_chunks(chunks, values.shape[1], grid.sizes[Y], grid.sizes[X]),
        shared=delayed(_searches, x, y, values),
    )
    attrs = _describe(table) | provenance(
        "idw", power=power, n_neighbors=n_neighbors, max_distance=max_distance
    )
    attrs["interpolation_range"] = max_distance or _carried(x, y, values, n_neighbors)
    coords: dict[Hashable, Any] = dict(grid.coords)
    coords |= {name: table[name].variable for name in (ELEMENT, UNIT) if name in table.coords}
    return xr.DataArray(cube, coords=coords, dims=CUBE_DIMS, name="concentration", attrs=attrs)


def _interpolate_block(
    y: np.ndarray,
    x: np.ndarray,
    searches: list[Search],
    *,
    n_neighbors: int,
    power: float,
    reach: float,
) -> np.ndarray:
    n_elements = sum(len(layers) for _, layers in searches)
    out = np.empty((n_elements, len(y), len(x)))
    for tree, layers in searches:
        interpolate(tree, y, x, layers, out, n_neighbors, power, reach)
    return out


def _searches(x: np.ndarray, y: np.ndarray, values: np.ndarray) -> list[Search]:
    """Return a tree for each set of elements that have the same samples."""
    located, group = np.unique(np.isfinite(values), axis=1, return_inverse=True)
    searches = []
    for g, has in enumerate(located.T):
        layers = np.flatnonzero(group.ravel() == g)
        searches.append((build_tree(x[has], y[has], values[np.ix_(has, layers)]), layers))
    return searches


def _carried(x: np.ndarray, y: np.ndarray, values: np.ndarray, n_neighbors: int) -> float:
    """Return the 95th percentile of the distances from samples to their last neighbour."""
    points = np.column_stack([x, y])[np.isfinite(values).any(axis=1)]
    k = min(n_neighbors, len(points) - 1)  # itself is no neighbour
    some = points[:: max(len(points) // RANGE_SAMPLES, 1)]  # a percentile needs no more
    distances, _ = cKDTree(points, balanced_tree=False).query(some, k=[k + 1])
    return float(np.percentile(distances, 95))


def _chunks(
    chunks: int | tuple[int, int] | None, n_elements: int, ny: int, nx: int
) -> tuple[int, int]:
    """Return rows and columns of a block; by default even ones, of whole tiles."""
    if chunks is None:
        side = max(math.sqrt(BLOCK_BYTES / 8 / n_elements), TILE)
        return _even(ny, side), _even(nx, side)
    rows, cols = (chunks, chunks) if isinstance(chunks, int) else chunks
    _check_positive("chunks", min(rows, cols))
    return rows, cols


def _even(length: int, most: float) -> int:
    blocks = math.ceil(length / most)
    return math.ceil(length / blocks / TILE) * TILE


def _describe(table: xr.Dataset) -> dict[str, str]:
    attrs = table["concentration"].attrs
    units = set(units_of(table["concentration"]))
    described = {
        "long_name": "interpolated concentration",
        "units": units.pop() if len(units) == 1 else "mixed",
        LOG_RATIO: attrs.get(LOG_RATIO, "none"),
    }
    if described[LOG_RATIO] == "none":
        return described
    # A log-ratio taken before gridding must still find its way back.
    way_back = {name: attrs[name] for name in BASIS if name in attrs}
    return {**described, "long_name": "interpolated log-ratio", "units": "1", **way_back}


def _samples(table: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``x`` and ``y`` ``(sample,)`` and concentrations ``(sample, element)``, checked."""
    found = "concentration" in table and {X, Y} <= set(table.coords)
    if not found or set(table["concentration"].dims) != {SAMPLE, ELEMENT}:
        raise CubeError(
            "table has no concentration(sample, element) with coords x, y; see from_points"
        )
    check_elements(table["concentration"])
    check_projected(table, "table")
    values = table["concentration"].transpose(SAMPLE, ELEMENT).values.astype("float64")
    if np.isinf(values).any():
        raise CubeError("table holds infinite concentrations; set them to NaN")
    x, y = (table[name].values.astype("float64") for name in (X, Y))
    bad = ~(np.isfinite(x) & np.isfinite(y))
    if bad.any():
        raise GridError(
            f"table has {bad.sum()} samples without finite x, y (first: {np.argmax(bad)}); "
            "drop them with table.isel(sample=...)"
        )
    return x, y, values


def _warn_of_censored(table: xr.Dataset) -> None:
    """Warn where values below detection would be blended with measurements, unseen after."""
    if "state" not in table or table["concentration"].attrs.get("method") == "replace_censored":
        return
    n = int(table["state"].isin([BELOW_LIMIT, BELOW_UNKNOWN_LIMIT]).sum())
    if n:
        warnings.warn(
            f"table holds {n} values below detection as they were reported; see replace_censored",
            stacklevel=3,
        )


def _check_neighbors(table: xr.Dataset, values: np.ndarray, n_neighbors: int) -> None:
    """Raise unless each element has at least ``n_neighbors`` samples, two in all."""
    if n_neighbors < 1 or n_neighbors != int(n_neighbors):
        raise GridError(f"n_neighbors={n_neighbors} must be a whole number of at least 1; try 12")
    if len(values) < 2:
        raise GridError(f"table has {len(values)} samples; interpolation needs at least 2")
    counts = np.isfinite(values).sum(axis=0)
    names = table[ELEMENT].values
    if (counts == 0).any():
        empty = names[counts == 0].tolist()
        raise CubeError(f"element={empty} has no samples; drop it with table.drop_sel(element=...)")
    if counts.min() < n_neighbors:
        raise GridError(
            f"n_neighbors={n_neighbors} exceeds the {counts.min()} samples of "
            f"{names[counts.argmin()]}; try n_neighbors={counts.min()} or drop the element"
        )


def _check_positive(name: str, number: float | None) -> None:
    if number is not None and not (number > 0 and math.isfinite(number)):
        raise GridError(f"{name}={number} must be a positive number")


def _grid_of(
    like: xr.DataArray | xr.Dataset,
    table: xr.Dataset,
    spacing: float | None,
    bounds: Bounds | None,
) -> xr.Dataset:
    """Return the cells of ``like``."""
    if spacing is not None or bounds is not None:
        raise GridError(
            f"spacing={spacing}, bounds={bounds} and like exclude each other; drop like"
        )
    cell_size(like)
    check_projected(like, "like")
    if like.rio.crs != table.rio.crs:
        raise CRSError(
            f"like has CRS {like.rio.crs.to_string()}, table {table.rio.crs.to_string()}; "
            "reproject like, or the points before from_points"
        )
    kept = [name for name in (Y, X, "spatial_ref") if name in like.coords]
    return xr.Dataset(coords={name: like[name].variable for name in kept})


def _new_grid(
    x: np.ndarray,
    y: np.ndarray,
    spacing: float | None,
    bounds: Bounds | None,
) -> xr.Dataset:
    """Return the centres of square cells over ``bounds``, from its north-west corner."""
    if spacing is None:
        raise GridError("neither spacing nor like is given; try spacing=500.0")
    _check_positive("spacing", spacing)
    if bounds is None:
        least = np.floor(np.array([x.min(), y.min()]) / spacing) * spacing
        most = np.ceil(np.array([x.max(), y.max()]) / spacing) * spacing
        bounds = (*least, *np.maximum(most, least + spacing))
    elif np.shape(bounds) != (4,) or not np.isfinite(bounds).all():
        raise GridError(f"bounds={bounds} are not four numbers: xmin, ymin, xmax, ymax")
    xmin, ymin, xmax, ymax = bounds
    width, height = (math.ceil(round(side / spacing, 6)) for side in (xmax - xmin, ymax - ymin))
    if min(width, height) < 1:
        raise GridError(f"bounds={bounds} hold no cell; give (xmin, ymin, xmax, ymax)")
    centres = {
        Y: ymax - (np.arange(height) + 0.5) * spacing,
        X: xmin + (np.arange(width) + 0.5) * spacing,
    }
    return xr.Dataset(coords=centres)
