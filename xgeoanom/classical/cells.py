"""What classical methods read: one element's raster, or the element vectors of cells."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.blocks import Footprint, gather, map_halo
from xgeoanom.conventions import ELEMENT, LOG_RATIO, UNIT, X, Y, cell_size, check_cube, cube_of
from xgeoanom.errors import CubeError, GridError
from xgeoanom.seeding import streams
from xgeoanom.survey.search import check_count

Formula = Callable[..., np.ndarray]


def checked_raster(raster: xr.DataArray) -> xr.DataArray:
    """Return one element's raster as ``(y, x)``; GridError where it is none."""
    if not isinstance(raster, xr.DataArray):
        raise GridError(f"raster is a {type(raster).__name__}; give cube.sel(element='Au'), say")
    if set(raster.dims) != {Y, X}:
        raise GridError(
            f"raster has dims {raster.dims}, not ('y', 'x'); choose one element, such as "
            "cube.sel(element='Au')"
        )
    cell_size(raster)
    return raster.transpose(Y, X)


def checked_cube(cube: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return the cube ``(element, y, x)`` on an even, projected grid."""
    if not isinstance(cube, xr.DataArray | xr.Dataset):
        raise CubeError(f"cube is a {type(cube).__name__}; give a DataArray or a Dataset")
    cube = cube_of(cube)
    check_cube(cube)
    return cube


def natural_unit(raster: xr.DataArray) -> str:
    """Return the unit of a raster's values; a log-ratio has none."""
    if raster.attrs.get(LOG_RATIO, "none") != "none":
        return "1"
    if UNIT in raster.coords and raster[UNIT].ndim == 0:
        return str(raster[UNIT].compute(scheduler="synchronous").item())
    return str(raster.attrs.get("units", "1"))


def draw_cells(cube: xr.DataArray, max_cells: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return element vectors ``(cell, element)`` and where ``(y, x)`` they come from.

    All cells without NaN are taken where they are at most ``max_cells``, else so many of them at
    random. Cells come from north to south, so that the order does not tell which way ``y`` runs.
    """
    check_count("max_cells", max_cells)
    northward = slice(None, None, -1) if cell_size(cube)[0] > 0 else slice(None)
    known = (abs(cube) < np.inf).all(ELEMENT).values[northward]
    places = np.flatnonzero(known)
    if len(places) > max_cells:
        places = np.sort(streams(seed, 1)[0].choice(places, size=max_cells, replace=False))
    drawn = np.zeros(known.shape, dtype=bool)
    drawn.flat[places] = True
    rows, cols = np.nonzero(drawn)
    rows = np.arange(known.shape[0])[northward][rows]
    return gather(cube.data, rows, cols)[:, :, 0, 0].astype("float64"), drawn[northward]


def check_vectors(cube: xr.DataArray, vectors: np.ndarray, least: int) -> None:
    """Raise unless there are ``least`` vectors and every element varies among them."""
    if len(vectors) < least:
        raise GridError(
            f"cube has {len(vectors)} cells without NaN, the method needs {least}; drop elements "
            "that are often missing"
        )
    constant = cube[ELEMENT].values[np.ptp(vectors, axis=0) == 0]
    if constant.size:
        raise CubeError(
            f"element={constant.tolist()} is the same in all cells; drop it with "
            "cube.drop_sel(element=...)"
        )


def score_cells(formula: Formula, cube: xr.DataArray, *rasters: np.ndarray, shared: Any) -> Any:
    """Return ``formula(vectors, *values, shared)`` for each cell without NaN, block by block.

    ``vectors`` are ``(cell, element)``; of each raster ``formula`` gets the cells' values.
    """

    def on_block(block: np.ndarray, *rest: Any) -> np.ndarray:
        vectors = block.reshape(len(block), -1).T
        known = np.isfinite(vectors).all(axis=1)
        score = np.full(len(vectors), np.nan)
        if known.any():
            values = [raster.ravel()[known] for raster in rest[:-1]]
            score[known] = formula(vectors[known], *values, rest[-1])
        return score.reshape(block.shape[1:])

    footprint = Footprint(halo=0)
    return map_halo(
        on_block, cube.data, *rasters, footprint=footprint, shared=shared, dtype="float64"
    )
