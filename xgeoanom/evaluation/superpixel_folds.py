"""Folds of whole superpixels: what a graph joins is not torn between training and test."""

import numpy as np
import xarray as xr
from scipy import ndimage
from scipy.sparse import coo_array, eye_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from xgeoanom.conventions import X, Y, cell_size, check_same_grid, provenance
from xgeoanom.errors import LabelError
from xgeoanom.evaluation.folds import deal, fold_raster, northward, sites_of
from xgeoanom.seeding import Seed, resolve, streams

KIND = "superpixel"


def superpixel_folds(
    labels: xr.DataArray,
    superpixels: xr.DataArray,
    *,
    n: int = 5,
    min_steps: int = 3,
    seed: Seed = None,
) -> xr.DataArray:
    """Return folds of whole superpixels, whose deposits lie apart in the graph of superpixels.

    Deposits whose label blocks touch count as one site. Sites are one group where fewer than
    ``min_steps`` steps between touching superpixels lead from one to the other. Groups are dealt
    to the folds at random, the largest first and each to the fold with the fewest sites. Every
    other superpixel goes with the site that the fewest steps lead to, and of several with that
    of the shortest way between centroids; one that no step leads to goes with the site nearest
    to its centroid. Missing cells go with their nearest superpixel.

    Parameters
    ----------
    labels : DataArray
        Labels ``(y, x)``: 1 deposit, 0 background, -1 unlabelled.
    superpixels : DataArray
        Ids ``(y, x)``: 0, 1, ... without a gap, -1 where missing.
    n : int
        Number of folds.
    min_steps : int
        Steps that deposits of different folds are apart at the least.
    seed : int or Generator, optional
        Seed of the dealing.

    Returns
    -------
    DataArray
        ``cv_fold``, int16 ``(y, x)``; the attr ``kind`` is ``"superpixel"``.

    Raises
    ------
    LabelError
        If ``n`` is below 2 or larger than the number of groups, or ``min_steps`` is below 1.
    GridError
        If the grids differ, or ids are no integers or leave a gap.

    Notes
    -----
    With three steps a deposit's superpixels and all that touch them lie in one fold.

    Examples
    --------
    >>> grid = {"y": [10.0, 0.0], "x": np.arange(6.0)}
    >>> labels = xr.DataArray([[1, -1, -1, -1, -1, 1]] * 2, grid, dims=("y", "x"))
    >>> ids = xr.DataArray([[0, 1, 2, 3, 4, 5]] * 2, grid, dims=("y", "x"))
    >>> folds = superpixel_folds(labels, ids, n=2, seed=0).values[0]
    >>> bool((folds == folds[[0, 0, 0, 5, 5, 5]]).all() and folds[0] != folds[5])
    True
    """
    # Its room loads torch, which `import xgeoanom` must not.
    from xgeoanom.detectors.region_graph import checked_ids, touching

    if not isinstance(min_steps, int | np.integer) or min_steps < 1:
        raise LabelError(f"min_steps={min_steps!r} must be an integer of at least 1")
    cell_size(labels)
    check_same_grid(superpixels, labels, "superpixels")
    ground = northward(labels)
    ids = checked_ids(northward(superpixels))
    place = _centroids(ids, ground)
    graph = _graph(touching(ids)[0], place)
    # Missing ground counts as its nearest superpixel, so that each label has one.
    nearest = ndimage.distance_transform_edt(ids < 0, return_distances=False, return_indices=True)
    ids = ids[tuple(nearest)]
    held = _held(sites_of(ground), ids)
    group = _groups(held, graph, min_steps)
    n_groups = np.unique(group).size
    _check_count(n, n_groups, min_steps)
    seed = resolve(seed)
    dealt = deal(np.bincount(group), n, streams(seed, 1)[0])
    folds = dealt[group][_nearest_site(held, graph, place)]
    attrs = provenance("superpixel_folds", seed=seed, n=n, min_steps=min_steps)
    return fold_raster(labels, ground, folds[ids], KIND, attrs)


def _check_count(n: int, available: int, min_steps: int) -> None:
    if n < 2 or n != int(n):
        raise LabelError(f"n={n} folds: use an integer of at least 2")
    if available < n:
        raise LabelError(
            f"n={n} folds need as many groups of deposits {min_steps} superpixels apart, there are "
            f"{available}; use fewer folds, smaller superpixels, a smaller min_steps, or label "
            "more deposits"
        )


def _centroids(ids: np.ndarray, ground: xr.DataArray) -> np.ndarray:
    """Return x and y of the centre of each superpixel ``(superpixel, 2)``."""
    rows, cols = np.nonzero(ids >= 0)
    member = ids[rows, cols]
    places = ground[X].values[cols], ground[Y].values[rows]
    return np.stack([np.bincount(member, at) for at in places], 1) / np.bincount(member)[:, None]


def _graph(ends: np.ndarray, place: np.ndarray) -> coo_array:
    """Return the graph of superpixels whose ways count steps, then the length of the way.

    All lengths together make less than one step.
    """
    length = np.hypot(*(place[ends[0]] - place[ends[1]]).T)
    step = 1 + length / (2 * length.sum() + 1)
    return coo_array((step, tuple(ends)), shape=(len(place), len(place))).tocsr()


def _held(site: np.ndarray, ids: np.ndarray) -> coo_array:
    """Return which superpixels hold cells of which site, a sparse ``(site, superpixel)``."""
    cells = site >= 0
    pairs = np.unique(np.stack([site[cells], ids[cells]]), axis=1)
    shape = int(site.max()) + 1, int(ids.max()) + 1
    return coo_array((np.ones(pairs.shape[1], dtype=int), tuple(pairs)), shape=shape).tocsr()


def _groups(held: coo_array, graph: coo_array, min_steps: int) -> np.ndarray:
    """Return the group of each site: sites that fewer than ``min_steps`` steps join."""
    step = (graph + graph.T > 0).astype(int) + eye_array(graph.shape[0], dtype=int)
    reach = held
    for _ in range(min_steps - 1):
        reach = (reach @ step > 0).astype(int)
    return connected_components(reach @ held.T, directed=False)[1]


def _nearest_site(held: coo_array, graph: coo_array, place: np.ndarray) -> np.ndarray:
    """Return the site of each superpixel: by the graph, or in space where no step leads to one."""
    site, source = held.nonzero()
    # A superpixel with cells of several sites goes with the first; they are one group.
    source, first = np.unique(source, return_index=True)
    site_of = np.zeros(len(place), dtype=int)
    site_of[source] = site[first]
    way, _, start = dijkstra(
        graph, directed=False, indices=source, min_only=True, return_predecessors=True
    )
    apart = np.isinf(way)
    start[apart] = source[cKDTree(place[source]).query(place[apart])[1]]
    return site_of[start]
