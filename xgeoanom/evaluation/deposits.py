"""Deposits on a grid: their coordinates, and the score that each of them gets."""

import geopandas as gpd
import numpy as np
import xarray as xr
from scipy import ndimage

from xgeoanom.conventions import X, Y, cell_size, check_same_crs, check_same_grid
from xgeoanom.errors import LabelError
from xgeoanom.geology.labels import deposit_ids


def deposit_points(deposits: gpd.GeoDataFrame, like: xr.DataArray) -> np.ndarray:
    """Return the ``(deposit, 2)`` easting and northing of ``deposits``, in the CRS of ``like``.

    Raises
    ------
    CRSError
        If a CRS is missing, in degrees, or the two differ.
    LabelError
        If there are no deposits, or one of them is not a point.
    """
    check_same_crs(deposits, like, "deposits")
    if len(deposits) == 0:
        raise LabelError("deposits is empty; give at least one point")
    kinds = deposits.geometry.geom_type
    if not (kinds == "Point").all() or deposits.geometry.is_empty.any():
        raise LabelError(
            f"deposits has geometries {sorted(set(map(str, kinds)))}, not only points; use "
            "deposits.set_geometry(deposits.representative_point()) and drop empty ones"
        )
    return np.column_stack([deposits.geometry.x, deposits.geometry.y]).astype("float64")


def deposit_scores(score: xr.DataArray, deposits: gpd.GeoDataFrame | xr.DataArray) -> np.ndarray:
    """Return one score per deposit; NaN where the map says nothing about it.

    A point takes the score of the cell that holds it. A deposit of a labels raster takes the
    median of its block: the block's maximum would be the best of nine tries.
    """
    if isinstance(deposits, xr.DataArray):
        return _block_medians(score, deposits)
    points = deposit_points(deposits, score)
    row = _cell_index(score, Y, points[:, 1])
    col = _cell_index(score, X, points[:, 0])
    inside = (row >= 0) & (row < score.sizes[Y]) & (col >= 0) & (col < score.sizes[X])
    values = score.transpose(Y, X).values
    return np.where(inside, values[np.where(inside, row, 0), np.where(inside, col, 0)], np.nan)


def _cell_index(score: xr.DataArray, dim: str, at: np.ndarray) -> np.ndarray:
    step = cell_size(score)[0 if dim == Y else 1]
    return np.floor((at - float(score[dim][0])) / step + 0.5).astype(int)


def _block_medians(score: xr.DataArray, labels: xr.DataArray) -> np.ndarray:
    check_same_grid(labels, score, "deposits")
    values = score.transpose(Y, X).values
    ids = deposit_ids(labels).transpose(Y, X).values
    every = np.unique(ids[ids >= 0])
    scored = np.where(np.isnan(values), -1, ids)
    medians = np.full(every.size, np.nan)
    found = np.isin(every, scored)
    if found.any():
        medians[found] = ndimage.median(values, scored, every[found])
    return medians
