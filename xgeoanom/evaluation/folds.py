"""Folds for cross-validation: by cell, by block of ground, or by deposit."""

from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from xgeoanom.conventions import DEPOSIT, X, Y, cell_size, provenance, raster_on
from xgeoanom.errors import LabelError
from xgeoanom.geology.labels import deposit_ids
from xgeoanom.seeding import Seed, resolve, streams

RANDOM, SPATIAL, BY_DEPOSIT = "random", "spatial", "leave_one_deposit_out"
EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)


def random_folds(labels: xr.DataArray, *, n: int = 5, seed: Seed = None) -> xr.DataArray:
    """Return folds drawn cell by cell: the split that leaks, kept to show how much.

    The cells of one deposit, and interpolated neighbours, fall on both sides of such a split,
    so its metrics measure memory. Each class of label is dealt evenly among the folds.

    Parameters
    ----------
    labels : DataArray
        Labels ``(y, x)``: 1 deposit, 0 background, -1 unlabelled.
    n : int
        Number of folds.
    seed : int or Generator, optional
        Seed of the draw.

    Returns
    -------
    DataArray
        ``cv_fold``, int16 ``(y, x)``; the attr ``kind`` is ``"random"``.

    Raises
    ------
    LabelError
        If ``n`` is below 2, or there are fewer deposit cells than folds.

    Examples
    --------
    >>> labels = xr.DataArray(
    ...     [[1, 1, 0, 0]] * 2, coords={"y": [0.0, 1.0], "x": np.arange(4.0)}, dims=("y", "x")
    ... )
    >>> folds = random_folds(labels, n=2, seed=0)
    >>> [int(((folds == k) & (labels == 1)).sum()) for k in (0, 1)]
    [2, 2]
    """
    ground = northward(labels)
    marks = ground.values
    _check_count(n, int((marks == DEPOSIT).sum()), "cells labelled 1")
    seed = resolve(seed)
    rng = streams(seed, 1)[0]
    folds = np.empty(marks.shape, dtype="int16")
    for mark in np.unique(marks):
        cells = np.nonzero(marks == mark)
        folds[cells] = rng.permutation(np.arange(cells[0].size) % n)
    attrs = provenance("random_folds", seed=seed, n=n)
    return fold_raster(labels, ground, folds, RANDOM, attrs)


def spatial_folds(
    labels: xr.DataArray, *, n: int = 5, block_cells: int, seed: Seed = None
) -> xr.DataArray:
    """Return folds of whole blocks of ground, each with its share of the deposits.

    The grid is cut into squares from its south-west corner. Deposits whose label blocks touch
    count as one site; a site belongs to the square that holds its centre. Squares are dealt to
    the folds at random, the fullest first and each to the fold with the fewest sites. Every
    cell of the map goes with its nearest site, so no fold is without deposits.

    Parameters
    ----------
    labels : DataArray
        Labels ``(y, x)``: 1 deposit, 0 background, -1 unlabelled.
    n : int
        Number of folds.
    block_cells : int
        Side of the squares, in cells.
    seed : int or Generator, optional
        Seed of the dealing.

    Returns
    -------
    DataArray
        ``cv_fold``, int16 ``(y, x)``.

    Raises
    ------
    LabelError
        If ``n`` is below 2 or larger than the number of squares that hold deposits.

    Examples
    --------
    >>> labels = xr.DataArray(
    ...     [[1, -1, -1, -1, 1]] * 2, coords={"y": [0.0, 1.0], "x": np.arange(5.0)},
    ...     dims=("y", "x"),
    ... )
    >>> folds = spatial_folds(labels, n=2, block_cells=2, seed=0)
    >>> bool(folds[0, 0] != folds[0, 4])
    True
    """
    if block_cells < 1 or block_cells != int(block_cells):
        raise LabelError(f"block_cells={block_cells} must be an integer of at least 1")
    ground = northward(labels)
    site = sites_of(ground)
    square = _square_of_sites(site, block_cells)
    squares, sites_in = np.unique(square, return_counts=True)
    _check_count(n, squares.size, f"squares of {block_cells} cells with deposits")
    seed = resolve(seed)
    dealt = deal(sites_in, n, streams(seed, 1)[0])
    folds = _spread(site, dealt[np.searchsorted(squares, square)])
    attrs = provenance("spatial_folds", seed=seed, n=n, block_cells=block_cells)
    return fold_raster(labels, ground, folds, SPATIAL, attrs)


def leave_one_deposit_out(labels: xr.DataArray) -> xr.DataArray:
    """Return one fold per deposit; deposits whose label blocks touch share one.

    Every cell of the map goes with its nearest deposit.

    Parameters
    ----------
    labels : DataArray
        Labels ``(y, x)``: 1 deposit, 0 background, -1 unlabelled.

    Returns
    -------
    DataArray
        ``cv_fold``, int16 ``(y, x)``, numbered by each fold's lowest deposit id.

    Raises
    ------
    LabelError
        If there are fewer than two deposits apart from each other.

    Examples
    --------
    >>> labels = xr.DataArray(
    ...     [[1, -1, -1, -1, 1]] * 2, coords={"y": [0.0, 1.0], "x": np.arange(5.0)},
    ...     dims=("y", "x"),
    ... )
    >>> leave_one_deposit_out(labels).values[0, [0, 1, 3, 4]]
    array([0, 0, 1, 1], dtype=int16)
    """
    ground = northward(labels)
    site = sites_of(ground)
    n_sites = int(site.max()) + 1
    _check_count(2, n_sites, "deposits apart from each other")
    folds = _spread(site, np.arange(n_sites))
    return fold_raster(labels, ground, folds, BY_DEPOSIT, provenance("leave_one_deposit_out"))


def northward(labels: xr.DataArray) -> xr.DataArray:
    """Return ``labels`` with growing coordinates, so that folds do not depend on direction."""
    cell_size(labels)
    return labels.transpose(Y, X).sortby([Y, X]).load()


def fold_raster(
    labels: xr.DataArray, ground: xr.DataArray, folds: np.ndarray, kind: str, attrs: dict[str, Any]
) -> xr.DataArray:
    """Return ``folds``, computed on northward ``ground``, in the direction of ``labels``."""
    folds = ground.copy(data=folds).sel({Y: labels[Y], X: labels[X]}).values.astype("int16")
    attrs = {"kind": kind, **attrs}
    return raster_on(labels, folds, name="cv_fold", long_name="cross-validation fold", attrs=attrs)


def sites_of(labels: xr.DataArray) -> np.ndarray:
    """Return the site ``(y, x)`` of each deposit cell, -1 elsewhere; blocks that touch are one."""
    ids = deposit_ids(labels).values
    held = ids >= 0
    patches, n_patches = ndimage.label(held, structure=EIGHT_NEIGHBOURS)
    # Deposits and patches are the nodes of a graph; each deposit cell links its two.
    start, stop = ids[held].astype(int), patches[held] + int(ids.max())
    n_nodes = int(ids.max()) + 1 + n_patches
    links = coo_array((np.ones(start.size), (start, stop)), shape=(n_nodes, n_nodes))
    component = connected_components(links, directed=False)[1]
    sites = np.full(ids.shape, -1)
    sites[held] = np.unique(component[start], return_inverse=True)[1]
    return sites


def _square_of_sites(site: np.ndarray, block_cells: int) -> np.ndarray:
    """Return the number of the square that holds the centre of each site."""
    centres = ndimage.center_of_mass(site >= 0, site, np.arange(site.max() + 1))
    row, col = (np.rint(np.array(centres)).astype(int) // block_cells).T
    return row * (site.shape[1] // block_cells + 1) + col


def deal(sites_in: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each square: fullest first, to the fold with the fewest sites."""
    order = rng.permutation(sites_in.size)
    order = order[np.argsort(-sites_in[order], kind="stable")]
    held = np.zeros(n, dtype=int)
    folds = np.empty(sites_in.size, dtype=int)
    for square in order:
        folds[square] = held.argmin()
        held[folds[square]] += sites_in[square]
    return folds


def _spread(site: np.ndarray, fold_of_site: np.ndarray) -> np.ndarray:
    """Give every cell the fold of the nearest site."""
    nearest = ndimage.distance_transform_edt(site < 0, return_distances=False, return_indices=True)
    return fold_of_site[site[tuple(nearest)]]


def _check_count(n: int, available: int, what: str) -> None:
    if n < 2 or n != int(n):
        raise LabelError(f"n={n} folds: use an integer of at least 2")
    if available < n:
        raise LabelError(
            f"n={n} folds need as many {what}, there are {available}; use fewer folds, smaller "
            "blocks, or label more deposits"
        )
