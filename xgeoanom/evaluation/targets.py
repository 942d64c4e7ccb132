"""Targets and their background: which scored places an honest score compares."""

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from xgeoanom.errors import LabelError
from xgeoanom.evaluation.deposits import deposit_points
from xgeoanom.evaluation.scored_places import Score, crs_of, positions, scored, straight


@dataclass(frozen=True)
class Targets:
    """Scored places, the deposits on them, and what is positive and negative.

    Positions are those of ``positions`` in ``scored_places``. Places are ordered by y, x and
    score, so that the order of rows, columns and samples does not matter.
    """

    values: np.ndarray  # (place,)
    places: np.ndarray  # (place, 2 or 3); the last coordinate ascends
    sites: np.ndarray  # (deposit, 2 or 3)
    nearest: np.ndarray  # (deposit,): the place nearest to each deposit, -1 out of reach
    negative: np.ndarray  # (place,): far from all deposits

    @property
    def positives(self) -> np.ndarray:
        """Distinct places nearest to a deposit."""
        return np.unique(self.nearest[self.nearest >= 0])

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of positives and of negatives."""
        return self.values[self.positives], self.values[self.negative]

    def clusters(self, distance: float) -> np.ndarray:
        """Return the cluster of each positive: deposits within ``distance``, or on one place."""
        near = self.nearest >= 0
        cluster = cluster_sites(self.sites[near], self.nearest[near], distance)
        return cluster[np.unique(self.nearest[near], return_index=True)[1]]


def find_targets(
    score: Score, deposits: gpd.GeoDataFrame, min_distance: float, max_distance: float
) -> Targets:
    """Return the positives and negatives of :func:`honest_auc`, whose errors these are."""
    for name, distance in (("min_distance", min_distance), ("max_distance", max_distance)):
        if not distance > 0:
            raise LabelError(f"{name}={distance} must be positive, in metres (CRS units)")
    crs = crs_of(score, "score")
    sites = positions(deposit_points(deposits, score), crs)
    values, xy = scored(score)
    order = np.lexsort((values, *xy.T))
    values, places = values[order], positions(xy[order], crs)
    nearest = nearest_place(places, sites, max_distance)
    negative = cKDTree(sites).query(places)[0] >= straight(min_distance, sites)
    negative[nearest[nearest >= 0]] = False
    if not negative.any():
        raise LabelError(
            f"min_distance={min_distance:g} leaves no cell as background: all lie closer to a "
            "deposit; use a smaller min_distance"
        )
    return Targets(values, places, sites, nearest, negative)


def nearest_place(places: np.ndarray, sites: np.ndarray, max_distance: float) -> np.ndarray:
    """Return the index of the place nearest to each site; -1 beyond ``max_distance``."""
    distance, index = cKDTree(places).query(sites)
    nearest = np.where(distance <= straight(max_distance, places), index, -1)
    if (nearest < 0).all():
        raise LabelError(
            f"no deposit lies within max_distance={max_distance:g} of a scored cell (the nearest "
            f"is {distance.min():g} away); check the map, or use a larger max_distance"
        )
    return nearest


def cluster_sites(sites: np.ndarray, nearest: np.ndarray, distance: float) -> np.ndarray:
    """Return the cluster ``(site,)`` of sites linked by ``distance`` or by a nearest place."""
    pairs = cKDTree(sites).query_pairs(straight(distance, sites), output_type="ndarray")
    # Nodes are the sites and, after them, their places.
    place = len(sites) + np.unique(nearest, return_inverse=True)[1]
    start = np.concatenate([pairs[:, 0], np.arange(len(sites))])
    stop = np.concatenate([pairs[:, 1], place])
    n_nodes = int(place.max()) + 1
    links = coo_array((np.ones(start.size), (start, stop)), shape=(n_nodes, n_nodes))
    component = connected_components(links, directed=False)[1]
    return np.unique(component[: len(sites)], return_inverse=True)[1]
