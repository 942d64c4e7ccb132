"""Graphs of superpixels: which of them touch, how alike they are, and which cells they join."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from xgeoanom.conventions import ELEMENT, X, Y, cell_size, check_same_grid, cube_of, provenance
from xgeoanom.detectors.training_set import scaling_of
from xgeoanom.errors import CubeError, GridError

SUPERPIXEL, EDGE, END = "superpixel", "edge", "end"
BAND = 1 << 20  # cells whose values are in memory at a time, where the cube is not chunked


def region_adjacency(superpixels: xr.DataArray, cube: xr.DataArray) -> xr.Dataset:
    """Return the graph of superpixels that touch, along a side or at a corner of a cell.

    Parameters
    ----------
    superpixels : DataArray
        Ids ``(y, x)``: 0, 1, ... without a gap, -1 where missing.
    cube : DataArray
        ``(element, y, x)`` on the same grid, known wherever a superpixel is. A chunked cube is
        read twice, a band of rows at a time.

    Returns
    -------
    Dataset
        Over ``edge``, each pair once:

        - ``ends`` (edge, end): the ids of ``source`` and ``target``, int32, the lower one first.
        - ``weight``: exp(-d² / (2 τ²)), with d the distance of the two mean vectors of
          standardised elements and τ the median of d over edges.
        - ``boundary``: pairs of cells that touch.
        - ``distance`` between centroids, in CRS units, and ``bearing`` of the line between them,
          in degrees from grid north, clockwise, from 0 to below 180.
        - ``alignment``: mean over both ends of log(elongation) cos 2(orientation - bearing):
          positive where superpixels are long along the edge, negative where across.

        Over ``superpixel``: ``n_cells``; ``elongation``, long over short axis of the ellipse of
        the same second moments, 1 for a square; ``orientation``, the bearing of the long axis;
        coords ``x`` and ``y`` of the centroid.

    Raises
    ------
    GridError
        If ids are no integers or leave a gap, or the grids differ.
    CubeError
        If the cube is missing in a superpixel.

    Notes
    -----
    Touching in the 8-neighbourhood after Jia et al. (2022), IEEE TNNLS; ``weight`` and the
    attributes of edges are ours.

    Examples
    --------
    >>> grid = {"y": [20.0, 10.0, 0.0], "x": [0.0, 10.0, 20.0]}
    >>> ids = xr.DataArray([[0, 0, 1]] * 3, grid, dims=("y", "x"))
    >>> cube = ids.astype(float).expand_dims(element=["Au"])
    >>> graph = region_adjacency(ids, cube)
    >>> graph["ends"].values, graph["boundary"].item(), graph["bearing"].item()
    (array([[0, 1]], dtype=int32), 7, 90.0)
    """
    ids = checked_ids(superpixels)
    check_same_grid(superpixels, cube, "superpixels")
    ends, boundary = touching(ids)
    shape = _shapes(superpixels.transpose(Y, X), ids)
    line = {dim: shape[dim].values[ends[1]] - shape[dim].values[ends[0]] for dim in (X, Y)}
    bearing = _bearing(line[X], line[Y])
    gap = _gaps(_mean_vectors(ids, cube_of(cube)), ends)
    along = {
        "weight": ("similarity of composition", "1", _similarity(gap)),
        "boundary": ("pairs of cells that touch", "1", boundary),
        "distance": ("distance of centroids", "CRS units", np.hypot(line[X], line[Y])),
        "bearing": ("bearing of the line between centroids", "degree", bearing),
        "alignment": ("elongation along the edge", "1", _alignment(shape, ends, bearing)),
    }
    graph = shape.assign(
        {
            name: (EDGE, values, {"long_name": long_name, "units": units})
            for name, (long_name, units, values) in along.items()
        }
    )
    attrs = {"long_name": "superpixels that touch", "units": "1"}
    graph["ends"] = ((EDGE, END), ends.T.astype("int32"), attrs)
    graph = graph.assign_coords({END: ["source", "target"]})
    return graph.assign_attrs(provenance("region_adjacency"))


def graph_distance(superpixels: xr.DataArray, sources: Sequence[int]) -> xr.DataArray:
    """Return how many steps between touching superpixels lead to the nearest of some.

    Parameters
    ----------
    superpixels : DataArray
        Ids ``(y, x)``, as for :func:`region_adjacency`.
    sources : sequence of int
        Ids from which to count.

    Returns
    -------
    DataArray
        Steps over ``superpixel``, float64: 0 for the sources, infinite where no step leads.

    Raises
    ------
    GridError
        If ids are no integers or leave a gap, or a source is none of them.

    Examples
    --------
    >>> grid = {"y": [10.0, 0.0], "x": [0.0, 10.0, 20.0]}
    >>> ids = xr.DataArray([[0, 1, 2]] * 2, grid, dims=("y", "x"))
    >>> graph_distance(ids, [0]).values
    array([0., 1., 2.])
    """
    ids = checked_ids(superpixels)
    n = int(ids.max()) + 1
    found = np.asarray(sources)
    if not found.size or found.dtype.kind not in "iu" or not ((found >= 0) & (found < n)).all():
        raise GridError(f"sources={list(sources)} must be ids of superpixels, from 0 to {n - 1}")
    ends, _ = touching(ids)
    graph = coo_array((np.ones(ends.shape[1]), tuple(ends)), shape=(n, n)).tocsr()
    steps = dijkstra(graph, directed=False, indices=found, unweighted=True, min_only=True)
    attrs = {"long_name": "steps between superpixels", "units": "1"}
    attrs |= provenance("graph_distance", sources=found.tolist())
    return xr.DataArray(
        steps, {SUPERPIXEL: np.arange(n)}, dims=SUPERPIXEL, name="graph_distance", attrs=attrs
    )


def neighbor_edges(ids: np.ndarray) -> np.ndarray:
    """Return the pairs of cells of one superpixel that share a side, ``(2, edge)``, both ways.

    ``ids`` is ``(y, x)``, -1 where missing; cells are numbered row by row.

    >>> neighbor_edges(np.array([[0, 0], [1, 0]]))
    array([[0, 1, 1, 3],
           [1, 3, 0, 1]])
    """
    cells = np.arange(ids.size).reshape(ids.shape)
    pairs = []
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        same = (ids[one] == ids[other]) & (ids[one] >= 0)
        pairs.append(np.stack([cells[one][same], cells[other][same]]))
    edges = np.concatenate(pairs, axis=1)
    return np.concatenate([edges, edges[::-1]], axis=1)


def checked_ids(superpixels: xr.DataArray) -> np.ndarray:
    """Return the ids ``(y, x)``; GridError unless they are 0, 1, ... without a gap, or -1."""
    if not isinstance(superpixels, xr.DataArray) or set(superpixels.dims) != {Y, X}:
        raise GridError("superpixels is no raster (y, x); pass the result of superpixels()")
    ids = superpixels.transpose(Y, X).values
    if ids.dtype.kind not in "iu":
        raise GridError(f"superpixels has dtype {ids.dtype}; ids are integers, -1 where missing")
    if ids.max() < 0 or ids.min() < -1 or (np.bincount(ids[ids >= 0]) == 0).any():
        raise GridError("superpixels must be numbered 0, 1, ... without a gap, -1 where missing")
    return ids


def touching(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each pair of superpixels that touch ``(2, edge)``, and how many cells of it do.

    The lower id comes first; pairs are sorted.
    """
    pairs = []
    for one, other in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ):
        apart = (ids[one] != ids[other]) & (ids[one] >= 0) & (ids[other] >= 0)
        pairs.append(np.sort(np.stack([ids[one][apart], ids[other][apart]]), axis=0))
    low, high = np.concatenate(pairs, axis=1)
    n = int(ids.max()) + 1
    # Converting to rows adds up what is repeated, in linear time.
    counts = coo_array((np.ones(low.size, dtype=int), (low, high)), shape=(n, n)).tocsr().tocoo()
    return np.stack(counts.coords).astype(np.intp), counts.data


# ------------------------------------------------------------------------------------- composition


def _mean_vectors(ids: np.ndarray, cube: xr.DataArray) -> np.ndarray:
    """Return the mean of the standardised elements ``(superpixel, element)``."""
    scaling = scaling_of(cube)
    lost = (ids >= 0) & ~scaling["valid"].transpose(Y, X).values
    if lost.any():
        raise CubeError(
            f"cube is missing in {int(lost.sum())} cells of superpixels; make them from this cube"
        )
    n = int(ids.max()) + 1
    total = np.zeros((n, cube.sizes[ELEMENT]))
    stop = 0
    for height in _row_bands(cube):
        rows = slice(stop, stop := stop + height)
        inside = ids[rows] >= 0
        values = cube.isel({Y: rows}).values[:, inside]
        total += np.stack([np.bincount(ids[rows][inside], one, n) for one in values], axis=1)
    scale = scaling["scale"].values
    mean = total / np.bincount(ids[ids >= 0])[:, None]
    return (mean - scaling["mean"].values) / np.where(scale > 0, scale, 1.0)


def _row_bands(cube: xr.DataArray) -> tuple[int, ...]:
    """Return heights of bands of rows: the chunks, or what is little to copy."""
    if cube.chunks is not None:
        return cube.chunksizes[Y]
    height = max(BAND // cube.sizes[X], 1)
    edges = [*range(0, cube.sizes[Y], height), cube.sizes[Y]]
    return tuple(int(step) for step in np.diff(edges))


def _gaps(mean: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the distance between the mean vectors of both ends of each edge."""
    return np.sqrt(((mean[ends[0]] - mean[ends[1]]) ** 2).sum(axis=1))


def _similarity(gap: np.ndarray) -> np.ndarray:
    tau = np.median(gap) if gap.size else 0.0
    if tau == 0:  # most neighbours are alike to the last digit
        return (gap == 0).astype("float64")
    return np.exp(-(gap**2) / (2 * tau**2))


# ------------------------------------------------------------------------------------------ shapes


def _shapes(superpixels: xr.DataArray, ids: np.ndarray) -> xr.Dataset:
    """Return size, centroid, elongation and orientation of each superpixel."""
    inside = ids >= 0
    member = ids[inside]
    n_cells = np.bincount(member)
    centre, moment = {}, {}
    rows, cols = np.nonzero(inside)
    offset = {X: superpixels[X].values[cols], Y: superpixels[Y].values[rows]}
    for dim, values in offset.items():
        centre[dim] = np.bincount(member, values) / n_cells
        offset[dim] = values - centre[dim][member]
    for first, second in ((X, X), (Y, Y), (X, Y)):
        product = offset[first] * offset[second]
        moment[first + second] = np.bincount(member, product) / n_cells
    height, width = cell_size(superpixels)
    # A cell is a rectangle, not a point: so a row of cells has a short axis.
    long_axis = _principal_axis(
        moment[X + X] + width**2 / 12, moment[Y + Y] + height**2 / 12, moment[X + Y]
    )
    described = {
        "n_cells": ("cells of the superpixel", "1", n_cells),
        "elongation": ("long over short axis", "1", long_axis[0]),
        "orientation": ("bearing of the long axis", "degree", long_axis[1]),
    }
    shape = xr.Dataset(
        {
            name: (SUPERPIXEL, values, {"long_name": long_name, "units": units})
            for name, (long_name, units, values) in described.items()
        },
        {SUPERPIXEL: np.arange(n_cells.size), **{dim: (SUPERPIXEL, centre[dim]) for dim in (X, Y)}},
    )
    crs = "spatial_ref"
    return shape.assign_coords({crs: superpixels[crs]}) if crs in superpixels.coords else shape


def _principal_axis(
    xx: np.ndarray, yy: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ratio of the axes of second moments, and the bearing of the long one."""
    mean, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    # Twice the angle from the x axis; a bearing is counted from north, the other way round.
    angle = np.degrees(np.arctan2(2 * xy, xx - yy)) / 2
    return np.sqrt((mean + spread) / (mean - spread)), (90.0 - angle) % 180.0


def _bearing(east: np.ndarray, north: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(east, north)) % 180.0


def _alignment(shape: xr.Dataset, ends: np.ndarray, bearing: np.ndarray) -> np.ndarray:
    """Return how far superpixels are long along the edge, the mean of both ends."""
    turn = np.radians(shape["orientation"].values[ends] - bearing)
    return (np.log(shape["elongation"].values[ends]) * np.cos(2 * turn)).mean(axis=0)
