"""The AUC that OpenGADBench publishes, so that its numbers can be set beside honest ones."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
from scipy.spatial import cKDTree

from xgeoanom.errors import LabelError
from xgeoanom.evaluation.deposits import deposit_points
from xgeoanom.evaluation.metrics import rank_auc
from xgeoanom.evaluation.scored_places import Score, crs_of, positions, scored, straight

N_DRAWS, SEED = 20, 42


@dataclass(frozen=True)
class PublishedAUC:
    """Mean and spread of the AUC over draws of negatives.

    Attributes
    ----------
    auc_mean, auc_std : float
        Mean and population standard deviation of 20 draws. The spread tells how much the drawn
        negatives matter, nothing of how uncertain the AUC is.
    n_positives, n_negatives : int
        Distinct samples nearest to a site, and samples from which negatives are drawn.
    """

    auc_mean: float
    auc_std: float
    n_positives: int
    n_negatives: int


def published_auc(
    score: Score, sites: gpd.GeoDataFrame, *, min_distance: float = 5000.0
) -> PublishedAUC:
    """Return the AUC by the protocol of OpenGADBench, to compare with its published numbers.

    Each site takes the sample nearest in raw coordinate units (degrees, too), the first one on
    ties, at any distance; a sample counts once for each site that takes it. Negatives are the
    samples at least ``min_distance`` from every site, or all samples if there are none. Twenty
    times, as many as there are sites are drawn from them with replacement, by one generator of
    seed 42. :func:`honest_auc` has none of these faults.

    Parameters
    ----------
    score : DataArray or GeoDataFrame
        A raster ``(y, x)``, or samples (points) with a column ``score``, in the order of the
        file: ties and draws depend on it. Rows without a score take no part.
    sites : GeoDataFrame
        Points in the CRS of ``score``. In degrees, distances are metres on a sphere of radius
        6371 km; else they are in CRS units.
    min_distance : float
        How far negatives lie from all sites at least, in metres.

    Raises
    ------
    LabelError
        If ``sites`` are no points, or ``min_distance`` is negative.
    GridError, CRSError
        As for :func:`honest_auc`.

    Examples
    --------
    >>> at = gpd.points_from_xy([0.0, 0.1, 0.2, 0.3], [0.0, 0.0, 0.0, 0.0])
    >>> samples = gpd.GeoDataFrame({"score": [4.0, 1.0, 2.0, 3.0]}, geometry=at, crs=4326)
    >>> sites = gpd.GeoDataFrame(geometry=gpd.points_from_xy([0.01, 0.02], [0.0, 0.0]), crs=4326)
    >>> published_auc(samples, sites)
    PublishedAUC(auc_mean=1.0, auc_std=0.0, n_positives=1, n_negatives=3)
    """
    if not min_distance >= 0:
        raise LabelError(f"min_distance={min_distance} must be at least 0, in metres")
    xy = deposit_points(sites, score)
    values, places = scored(score)
    nearest = [int(np.square(places - site).sum(axis=1).argmin()) for site in xy]
    far = _far(places, xy, crs_of(score, "score"), min_distance)
    rng = np.random.default_rng(SEED)
    draws = [rng.choice(far, size=len(xy), replace=True) for _ in range(N_DRAWS)]
    aucs = [rank_auc(values[nearest], values[drawn]) for drawn in draws]
    return PublishedAUC(
        auc_mean=float(np.mean(aucs)),
        auc_std=float(np.std(aucs)),
        n_positives=np.unique(nearest).size,
        n_negatives=far.size,
    )


def _far(places: np.ndarray, sites: np.ndarray, crs: object, min_distance: float) -> np.ndarray:
    """Return the samples at least ``min_distance`` from every site; all if there are none."""
    at = positions(sites, crs)
    distance = cKDTree(at).query(positions(places, crs))[0]
    far = np.flatnonzero(distance >= straight(min_distance, at))
    return far if far.size else np.arange(len(places))
