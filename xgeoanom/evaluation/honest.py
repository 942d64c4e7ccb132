"""The honest score: distinct targets against every cell away from all deposits."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import xarray as xr
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from xgeoanom.conventions import X, Y, cell_size
from xgeoanom.errors import GridError, LabelError
from xgeoanom.evaluation.deposits import deposit_points
from xgeoanom.evaluation.metrics import placements
from xgeoanom.seeding import Seed, streams


@dataclass(frozen=True)
class HonestAUC:
    """An AUC that counts targets, with the interval of a bootstrap over target clusters.

    Attributes
    ----------
    auc, low, high : float
        Point estimate and bounds of the interval.
    n_positives, n_clusters, n_negatives : int
        Distinct target cells, clusters of deposits, and background cells.
    """

    auc: float
    low: float
    high: float
    n_positives: int
    n_clusters: int
    n_negatives: int


def honest_auc(
    score: xr.DataArray,
    deposits: gpd.GeoDataFrame,
    *,
    min_distance: float,
    max_distance: float,
    cluster_distance: float | None = None,
    n_boot: int = 2000,
    level: float = 0.9,
    seed: Seed = None,
) -> HonestAUC:
    """Return the AUC of held-out deposits against all cells away from deposits.

    Positives are the distinct scored cells that lie nearest to a deposit, within
    ``max_distance`` of it. Negatives are all scored cells at least ``min_distance`` from every
    deposit: never a drawn few, and never a fallback. Ties count one half. The interval comes
    from a bootstrap over clusters of deposits, since neighbouring deposits are one target; with
    a single cluster it is NaN. Give an out-of-fold score (:func:`cross_validate`) where a
    detector was trained on these deposits.

    Parameters
    ----------
    score : DataArray
        Score ``(y, x)`` on a projected grid; NaN is missing. A chunked score is computed.
    deposits : GeoDataFrame
        Points in the CRS of ``score``.
    min_distance : float
        How far negatives lie from all deposits at least, in CRS units.
    max_distance : float
        How far a positive's cell centre lies from its deposit at most, in CRS units.
    cluster_distance : float, optional
        Deposits no farther apart belong to one cluster (single linkage), as do deposits that
        share a cell. Default: ``min_distance``, for then each of the two lies on ground that is
        too close to the other to count as background.
    n_boot : int
        Bootstrap draws of clusters.
    level : float
        Share of the draws inside the interval.
    seed : int or Generator, optional
        Seed of the bootstrap; the AUC itself needs none.

    Raises
    ------
    LabelError
        If no deposit is within reach of a scored cell, no negative is left, or a parameter is
        out of range.
    CRSError
        If the CRS of ``score`` or ``deposits`` is missing, in degrees, or differs.

    Notes
    -----
    Definitions: this project's "honest score"; see the conventions page.

    Examples
    --------
    >>> grid = {"y": np.arange(10.0), "x": np.arange(10.0)}
    >>> score = xr.DataArray(np.arange(100.0).reshape(10, 10), coords=grid, dims=("y", "x"))
    >>> deposits = gpd.GeoDataFrame(geometry=gpd.points_from_xy([9, 0], [9, 8]), crs=32650)
    >>> result = honest_auc(
    ...     score.rio.write_crs(32650), deposits, min_distance=3, max_distance=1, seed=0
    ... )
    >>> round(result.auc, 3), result.n_positives, result.n_negatives
    (0.949, 2, 79)
    """
    _check_parameters(min_distance, max_distance, n_boot, level)
    reach = min_distance if cluster_distance is None else cluster_distance
    points = deposit_points(deposits, score)
    values, cells = _scored_cells(score)
    nearest = _nearest_cells(cells, points, max_distance)
    positives = np.unique(nearest[nearest >= 0])
    negatives = cKDTree(points).query(cells)[0] >= min_distance
    negatives[positives] = False
    if not negatives.any():
        raise LabelError(
            f"min_distance={min_distance:g} leaves no cell as background: all lie closer to a "
            "deposit; use a smaller min_distance"
        )
    placed = placements(values[positives], values[negatives])
    cluster = _clusters(points, nearest, positives, reach)
    low, high = _interval(placed, cluster, n_boot, level, seed)
    return HonestAUC(
        auc=float(placed.mean()),
        low=low,
        high=high,
        n_positives=positives.size,
        n_clusters=int(cluster.max()) + 1,
        n_negatives=int(negatives.sum()),
    )


def _check_parameters(min_distance: float, max_distance: float, n_boot: int, level: float) -> None:
    for name, distance in (("min_distance", min_distance), ("max_distance", max_distance)):
        if not distance > 0:
            raise LabelError(f"{name}={distance} must be positive, in CRS units")
    if n_boot < 1 or not 0 < level < 1:
        raise LabelError(
            f"n_boot={n_boot}, level={level}: draw at least once, and a level between 0 and 1; "
            "try n_boot=2000, level=0.9"
        )


def _scored_cells(score: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and ``(cell, 2)`` coordinates, in an order free of the grid's direction."""
    cell_size(score)
    score = score.transpose(Y, X).sortby([Y, X])
    values = score.values
    row, col = np.nonzero(~np.isnan(values))
    if row.size == 0:
        raise GridError("score has no valid cell; check that the cube overlaps the survey")
    cells = np.column_stack([score[X].values[col], score[Y].values[row]]).astype("float64")
    return values[row, col], cells


def _nearest_cells(cells: np.ndarray, points: np.ndarray, max_distance: float) -> np.ndarray:
    """Return the index of the cell nearest to each deposit; -1 beyond ``max_distance``."""
    distance, index = cKDTree(cells).query(points)
    nearest = np.where(distance <= max_distance, index, -1)
    if (nearest < 0).all():
        raise LabelError(
            f"no deposit lies within max_distance={max_distance:g} of a scored cell (the nearest "
            f"is {distance.min():g} away); check the map, or use a larger max_distance"
        )
    return nearest


def _clusters(
    points: np.ndarray, nearest: np.ndarray, positives: np.ndarray, reach: float
) -> np.ndarray:
    """Return the cluster of each positive cell: deposits linked by ``reach`` or a shared cell."""
    near = np.flatnonzero(nearest >= 0)
    pairs = cKDTree(points[near]).query_pairs(reach, output_type="ndarray")
    # Nodes are the deposits and, after them, the positive cells.
    cell = near.size + np.searchsorted(positives, nearest[near])
    start = np.concatenate([pairs[:, 0], np.arange(near.size)])
    stop = np.concatenate([pairs[:, 1], cell])
    n_nodes = near.size + positives.size
    links = coo_array((np.ones(start.size), (start, stop)), shape=(n_nodes, n_nodes))
    component = connected_components(links, directed=False)[1]
    return np.unique(component[near.size :], return_inverse=True)[1]


def _interval(
    placed: np.ndarray, cluster: np.ndarray, n_boot: int, level: float, seed: Seed
) -> tuple[float, float]:
    """Return the percentile interval of the mean placement over resampled clusters."""
    sums, sizes = np.bincount(cluster, placed), np.bincount(cluster)
    if sizes.size == 1:
        return float("nan"), float("nan")
    rng = streams(seed, 1)[0]
    drawn = rng.multinomial(sizes.size, np.full(sizes.size, 1 / sizes.size), size=n_boot)
    low, high = np.quantile(drawn @ sums / (drawn @ sizes), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
