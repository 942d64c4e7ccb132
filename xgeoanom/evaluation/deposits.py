"""Deposits on a survey: their coordinates, and the score that each of them gets."""

import geopandas as gpd
import numpy as np
import xarray as xr
from scipy import ndimage
from scipy.spatial import cKDTree

from xgeoanom.conventions import X, Y, cell_size, check_same_grid
from xgeoanom.errors import CRSError, LabelError
from xgeoanom.evaluation.scored_places import Score, crs_of, positions, scored, straight
from xgeoanom.geology.labels import deposit_ids


def deposit_points(deposits: gpd.GeoDataFrame, like: Score) -> np.ndarray:
    """Return the ``(deposit, 2)`` x and y of ``deposits``, in the CRS of ``like``.

    Raises
    ------
    CRSError
        If a CRS is missing, or the two differ.
    LabelError
        If there are no deposits, or one of them is not a point.
    """
    if not isinstance(deposits, gpd.GeoDataFrame | gpd.GeoSeries):
        raise LabelError(
            f"deposits is a {type(deposits).__name__}; give points as a GeoDataFrame with a CRS"
        )
    ours, theirs = crs_of(deposits, "deposits"), crs_of(like, "score")
    if ours != theirs:
        raise CRSError(
            f"deposits has CRS {ours.to_string()}, the score {theirs.to_string()}; convert with "
            "deposits.to_crs(...)"
        )
    if len(deposits) == 0:
        raise LabelError("deposits is empty; give at least one point")
    kinds = deposits.geometry.geom_type
    if not (kinds == "Point").all() or deposits.geometry.is_empty.any():
        raise LabelError(
            f"deposits has geometries {sorted(set(map(str, kinds)))}, not only points; use "
            "deposits.set_geometry(deposits.representative_point()) and drop empty ones"
        )
    return np.column_stack([deposits.geometry.x, deposits.geometry.y]).astype("float64")


def deposit_scores(
    score: Score, deposits: gpd.GeoDataFrame | xr.DataArray, max_distance: float | None = None
) -> np.ndarray:
    """Return one score per deposit; NaN where the score says nothing about it.

    A point takes the score of the cell that holds it or, given ``max_distance``, that of the
    nearest scored cell or sample within it. A deposit of a labels raster takes the median of its
    block: the block's maximum would be the best of nine tries.
    """
    if isinstance(deposits, xr.DataArray):
        return _block_medians(score, deposits)
    if max_distance is not None:
        return _nearest_scores(score, deposits, max_distance)
    if isinstance(score, gpd.GeoDataFrame):
        raise LabelError(
            "max_distance=None suits only a raster; say how far a deposit's nearest sample may "
            "lie, e.g. max_distance=2000.0"
        )
    return _cell_scores(score, deposit_points(deposits, score))


def _nearest_scores(score: Score, deposits: gpd.GeoDataFrame, max_distance: float) -> np.ndarray:
    if not max_distance > 0:
        raise LabelError(f"max_distance={max_distance} must be positive, in metres (CRS units)")
    crs = crs_of(score, "score")
    sites = positions(deposit_points(deposits, score), crs)
    values, xy = scored(score)
    order = np.lexsort((values, *xy.T))  # where places tie, not the order of rows decides
    distance, index = cKDTree(positions(xy[order], crs)).query(sites)
    return np.where(distance <= straight(max_distance, sites), values[order][index], np.nan)


def _cell_scores(score: xr.DataArray, points: np.ndarray) -> np.ndarray:
    row = _cell_index(score, Y, points[:, 1])
    col = _cell_index(score, X, points[:, 0])
    inside = (row >= 0) & (row < score.sizes[Y]) & (col >= 0) & (col < score.sizes[X])
    values = score.transpose(Y, X).values
    return np.where(inside, values[np.where(inside, row, 0), np.where(inside, col, 0)], np.nan)


def _cell_index(score: xr.DataArray, dim: str, at: np.ndarray) -> np.ndarray:
    step = cell_size(score)[0 if dim == Y else 1]
    return np.floor((at - float(score[dim][0])) / step + 0.5).astype(int)


def _block_medians(score: Score, labels: xr.DataArray) -> np.ndarray:
    if not isinstance(score, xr.DataArray):
        raise LabelError("deposits is a raster, score is not; give the deposits as points")
    check_same_grid(labels, score, "deposits")
    values = score.transpose(Y, X).values
    ids = deposit_ids(labels).transpose(Y, X).values
    every = np.unique(ids[ids >= 0])
    scored_ids = np.where(np.isnan(values), -1, ids)
    medians = np.full(every.size, np.nan)
    found = np.isin(every, scored_ids)
    if found.any():
        medians[found] = ndimage.median(values, scored_ids, every[found])
    return medians
