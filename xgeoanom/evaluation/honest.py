"""The honest score: distinct targets against every place away from all deposits."""

import warnings
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
from sklearn.metrics import average_precision_score

from xgeoanom.errors import LabelError
from xgeoanom.evaluation.metrics import placements
from xgeoanom.evaluation.scored_places import Score
from xgeoanom.evaluation.targets import find_targets
from xgeoanom.seeding import Seed, streams

FEW_CLUSTERS = 10


@dataclass(frozen=True)
class HonestAUC:
    """An AUC that counts targets, with the interval of a bootstrap over target clusters.

    Attributes
    ----------
    auc, low, high : float
        Point estimate and bounds of the interval.
    n_positives, n_clusters, n_negatives : int
        Distinct target cells or samples, clusters of deposits, and background cells or samples.
    """

    auc: float
    low: float
    high: float
    n_positives: int
    n_clusters: int
    n_negatives: int


def honest_auc(
    score: Score,
    deposits: gpd.GeoDataFrame,
    *,
    min_distance: float,
    max_distance: float,
    cluster_distance: float | None = None,
    n_boot: int = 2000,
    level: float = 0.9,
    seed: Seed = None,
) -> HonestAUC:
    """Return the AUC of held-out deposits against all ground away from deposits.

    Positives are the distinct scored cells or samples that lie nearest to a deposit, within
    ``max_distance`` of it. Negatives are all others at least ``min_distance`` from every
    deposit: never a drawn few, and never a fallback. Ties count one half. The interval comes
    from a bootstrap over clusters of deposits, since neighbouring deposits are one target; with
    a single cluster it is NaN, and with fewer than ten it is too narrow, of which a warning
    tells. Give an out-of-fold score (:func:`cross_validate`) where a detector was trained on
    these deposits.

    Parameters
    ----------
    score : DataArray or GeoDataFrame
        A raster ``(y, x)``, or samples (points) with a column ``score``; NaN is missing. A
        chunked score is computed.
    deposits : GeoDataFrame
        Points in the CRS of ``score``. In degrees, distances are metres on a sphere of radius
        6371 km; else they are in CRS units.
    min_distance : float
        How far negatives lie from all deposits at least, in metres.
    max_distance : float
        How far a positive (a cell's centre, a sample) lies from its deposit at most, in metres.
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
        If no deposit is within reach of a scored place, no negative is left, or a parameter is
        out of range.
    GridError
        If ``score`` holds no score, or is neither a raster nor samples.
    CRSError
        If the CRS of ``score`` or ``deposits`` is missing, or the two differ.

    Notes
    -----
    Definitions: this project's "honest score"; see the conventions page. The table of
    ``docs/experiments/honest_coverage.py`` tells how often the interval holds the truth.

    Examples
    --------
    >>> import xarray as xr
    >>> grid = {"y": np.arange(0, 48, 4.0), "x": np.arange(0, 48, 4.0)}
    >>> score = xr.DataArray(np.arange(144.0).reshape(12, 12), coords=grid, dims=("y", "x"))
    >>> places = gpd.points_from_xy([0, 8, 16, 24, 32, 40, 0, 8, 16, 24], [44] * 6 + [36] * 4)
    >>> result = honest_auc(
    ...     score.rio.write_crs(32650), gpd.GeoDataFrame(geometry=places, crs=32650),
    ...     min_distance=5, max_distance=1, seed=0,
    ... )
    >>> round(result.auc, 3), result.n_positives, result.n_clusters, result.n_negatives
    (0.965, 10, 10, 114)
    """
    _check_bootstrap(n_boot, level)
    targets = find_targets(score, deposits, min_distance, max_distance)
    placed = placements(*targets.scores())
    cluster = targets.clusters(min_distance if cluster_distance is None else cluster_distance)
    n_clusters = int(cluster.max()) + 1
    _warn_of_few(n_clusters)
    low, high = _interval(placed, cluster, n_boot, level, seed)
    return HonestAUC(
        auc=float(placed.mean()),
        low=low,
        high=high,
        n_positives=placed.size,
        n_clusters=n_clusters,
        n_negatives=int(targets.negative.sum()),
    )


def average_precision(
    score: Score, deposits: gpd.GeoDataFrame, *, min_distance: float, max_distance: float
) -> float:
    """Return the average precision of held-out deposits against all ground away from deposits.

    It is the mean over positives of the share of positives among all that score at least as
    high. By luck a score gets the share of positives among all, mostly far below 0.01, so
    compare it only between scores of the same survey and deposits.

    Parameters and errors are those of :func:`honest_auc`, and so are positives and negatives.

    Examples
    --------
    >>> import xarray as xr
    >>> grid = {"y": np.arange(10.0), "x": np.arange(10.0)}
    >>> score = xr.DataArray(np.arange(100.0).reshape(10, 10), coords=grid, dims=("y", "x"))
    >>> deposits = gpd.GeoDataFrame(geometry=gpd.points_from_xy([9, 0], [9, 8]), crs=32650)
    >>> average_precision(
    ...     score.rio.write_crs(32650), deposits, min_distance=3, max_distance=1
    ... )
    0.6
    """
    targets = find_targets(score, deposits, min_distance, max_distance)
    positives, negatives = targets.scores()
    truth = np.repeat([1, 0], [positives.size, negatives.size])
    return float(average_precision_score(truth, np.concatenate([positives, negatives])))


def _check_bootstrap(n_boot: int, level: float) -> None:
    if n_boot < 1 or not 0 < level < 1:
        raise LabelError(
            f"n_boot={n_boot}, level={level}: draw at least once, and a level between 0 and 1; "
            "try n_boot=2000, level=0.9"
        )


def _warn_of_few(n_clusters: int) -> None:
    if n_clusters < FEW_CLUSTERS:
        warnings.warn(
            f"n_clusters={n_clusters}: with fewer than {FEW_CLUSTERS} clusters of deposits the "
            "interval is too narrow; read it as a lower bound of the uncertainty, and see "
            "site_shift_null",
            stacklevel=3,
        )


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
