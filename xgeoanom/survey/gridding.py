"""What all gridders share: the samples, the cells or places to fill, and the cube they make."""

import logging
import math
import warnings
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from xgeoanom.blocks import map_grid, map_places
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
    units_of,
)
from xgeoanom.errors import CRSError, CubeError, GridError
from xgeoanom.survey.search import check_count, check_positive

logger = logging.getLogger(__name__)

BASIS = ("parts", "part_units", "denominator", "partition")  # attrs of a log-ratio
BLOCK_BYTES = 16e6  # larger ones cost more in page faults than smaller ones in calls
BLOCKS_A_SIDE, SMALL_SIDE = 4, 32  # so that a small grid keeps several cores busy, too
RANGE_SAMPLES = 500  # at least so many tell how far values are carried
TILE = 8  # cells a side that the kernels take together
Bounds = tuple[float, float, float, float]


def samples_of(table: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def warn_of_censored(table: xr.Dataset) -> None:
    """Warn where values below detection would be blended with measurements, unseen after."""
    if "state" not in table or table["concentration"].attrs.get("method") == "replace_censored":
        return
    n = int(table["state"].isin([BELOW_LIMIT, BELOW_UNKNOWN_LIMIT]).sum())
    if n:
        warnings.warn(
            f"table holds {n} values below detection as they were reported; see replace_censored",
            stacklevel=3,
        )


def target_of(
    table: xr.Dataset,
    *,
    spacing: float | None,
    bounds: Bounds | None,
    like: xr.DataArray | xr.Dataset | None,
) -> xr.Dataset:
    """Return the coords of what is to be filled: cells, or the places of another survey table."""
    if like is None:
        x, y = (table[name].values.astype("float64") for name in (X, Y))
        grid = _new_grid(x, y, spacing, bounds)
        return grid.assign_coords(spatial_ref=table["spatial_ref"].variable)
    if spacing is not None or bounds is not None:
        raise GridError(
            f"spacing={spacing}, bounds={bounds} and like exclude each other; drop like"
        )
    if not isinstance(like, xr.DataArray | xr.Dataset):
        raise GridError(f"like is a {type(like).__name__}; give a raster or a survey table")
    places = SAMPLE in like.dims
    if not places:
        cell_size(like)
    elif not {X, Y} <= set(like.coords):
        raise GridError("like has no coords x, y of its samples; make it with from_points")
    check_projected(like, "like")
    if like.rio.crs != table.rio.crs:
        raise CRSError(
            f"like has CRS {like.rio.crs.to_string()}, table {table.rio.crs.to_string()}; "
            "reproject like, or the points before from_points"
        )
    kept = {Y, X, "spatial_ref"}
    if places:
        kept |= {str(name) for name, coord in like.coords.items() if coord.dims == (SAMPLE,)}
    return xr.Dataset(coords={name: like[name].variable for name in kept if name in like.coords})


def _new_grid(
    x: np.ndarray,
    y: np.ndarray,
    spacing: float | None,
    bounds: Bounds | None,
) -> xr.Dataset:
    """Return the centres of square cells over ``bounds``, from its north-west corner."""
    if spacing is None:
        raise GridError("neither spacing nor like is given; try spacing=500.0")
    check_positive("spacing", spacing)
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


def fill(
    target: xr.Dataset,
    func: Callable[..., np.ndarray],
    *,
    layers: int,
    chunks: int | tuple[int, int] | None,
    shared: Any,
) -> Any:
    """Return the lazy ``(layers, ...)`` array of ``func(y, x, shared, paired)`` on a target.

    Where ``paired``, ``y`` and ``x`` are places and ``func`` returns ``(layers, place)``; else they
    are the axes of a block of cells, and it returns ``(layers, y, x)``.
    """
    y, x = (target[name].values.astype("float64") for name in (Y, X))
    if SAMPLE in target.dims:
        each = math.ceil(BLOCK_BYTES / 8 / layers)
        func = partial(func, paired=True)
        return map_places(func, y, x, layers=layers, chunk=each, shared=shared)
    sides = _chunks(chunks, layers, len(y), len(x))
    func = partial(func, paired=False)
    filled = map_grid(func, y, x, layers=layers, chunks=sides, shared=shared)
    _announce(filled)
    return filled


def _announce(filled: Any) -> None:
    """Log what the work will take before it starts."""
    logger.info(
        "%d blocks of up to %s cells, about %.0f MB each; %.0f MB in all",
        filled.npartitions,
        " x ".join(map(str, filled.chunksize[1:])),
        np.prod(filled.chunksize, dtype="int64") * 8 / 1e6,
        filled.nbytes / 1e6,
    )


def _chunks(chunks: int | tuple[int, int] | None, layers: int, ny: int, nx: int) -> tuple[int, int]:
    """Return rows and columns of a block; by default even ones, of whole tiles."""
    if chunks is None:
        shared_out = max(math.ceil(max(ny, nx) / BLOCKS_A_SIDE), SMALL_SIDE)
        side = max(min(math.sqrt(BLOCK_BYTES / 8 / layers), shared_out), TILE)
        return _even(ny, side), _even(nx, side)
    sides = chunks if isinstance(chunks, tuple) else (chunks, chunks)
    if len(sides) != 2:
        raise GridError(f"chunks={chunks} must be cells a side, or (rows, columns)")
    for side in sides:
        check_count("chunks", side)
    return sides


def _even(length: int, most: float) -> int:
    blocks = math.ceil(length / most)
    return math.ceil(length / blocks / TILE) * TILE


def cube_on(
    target: xr.Dataset, table: xr.Dataset, values: Any, attrs: dict[str, Any]
) -> xr.DataArray:
    """Return gridded ``values`` with the coords of the target and the elements of the table."""
    dims = (ELEMENT, SAMPLE) if SAMPLE in target.dims else CUBE_DIMS
    coords: dict[Hashable, Any] = dict(target.coords)
    coords |= {name: table[name].variable for name in (ELEMENT, UNIT) if name in table.coords}
    attrs = describe(table) | attrs
    return xr.DataArray(values, coords=coords, dims=dims, name="concentration", attrs=attrs)


def carried(x: np.ndarray, y: np.ndarray, values: np.ndarray, n_neighbors: int) -> float:
    """Return the 95th percentile of the distances from samples to their last neighbour."""
    points = np.column_stack([x, y])[np.isfinite(values).any(axis=1)]
    k = min(n_neighbors, len(points) - 1)  # itself is no neighbour
    some = points[:: max(len(points) // RANGE_SAMPLES, 1)]  # a percentile needs no more
    distances, _ = cKDTree(points, balanced_tree=False).query(some, k=[k + 1])
    return float(np.percentile(distances, 95))


def describe(table: xr.Dataset) -> dict[str, str]:
    """Return the attrs of a cube made of the table's concentrations or log-ratios."""
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
