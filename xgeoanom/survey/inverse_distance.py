"""Inverse-distance weighting: every element of a survey on an even grid."""

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.blocks import delayed
from xgeoanom.conventions import (
    BELOW_LIMIT,
    BELOW_UNKNOWN_LIMIT,
    ELEMENT,
    SAMPLE,
    provenance,
)
from xgeoanom.kernels.idw import interpolate, interpolate_at
from xgeoanom.kernels.neighbors import Tree, build_tree
from xgeoanom.kernels.octants import interpolate_by_octant
from xgeoanom.survey.gridding import (
    Bounds,
    carried,
    cube_on,
    fill,
    samples_of,
    target_of,
    warn_of_censored,
)
from xgeoanom.survey.search import Radii, Search, check_positive

# Samples that lack the same elements share one tree: it serves these layers of the cube.
Branch = tuple[Tree, np.ndarray]


def idw(
    table: xr.Dataset,
    *,
    spacing: float | None = None,
    bounds: Bounds | None = None,
    like: xr.DataArray | xr.Dataset | None = None,
    power: float = 2.0,
    n_neighbors: int = 12,
    min_neighbors: int = 1,
    max_distance: Radii | None = None,
    azimuth: float = 0.0,
    max_per_octant: int | None = None,
    min_octants: int = 1,
    chunks: int | tuple[int, int] | None = None,
) -> xr.DataArray:
    """Grid every element of a survey by inverse-distance weighting.

    A cell's value is the mean of its ``n_neighbors`` nearest samples weighted by
    ``1 / distance**power`` (distances from the cell's centre); samples as far as the last of
    them count too. On samples, it is their mean. Each element uses the samples that have it.

    Parameters
    ----------
    table : xarray.Dataset
        ``concentration(sample, element)`` with coords ``x``, ``y``, ``unit`` and a projected
        CRS, as :func:`from_points` gives; NaN where missing.
    spacing : float, optional
        Side of the square cells, in CRS units. Give either ``spacing`` or ``like``.
    bounds : tuple of float, optional
        ``(xmin, ymin, xmax, ymax)`` in CRS units, with ``spacing``: cells fill it from the
        north-west corner and reach over the others where it is no multiple of ``spacing``.
        Default: the samples' extent rounded out to multiples of ``spacing``.
    like : xarray.DataArray or xarray.Dataset, optional
        Raster whose ``y``, ``x`` and CRS the cube takes over; or a survey table, at whose samples
        the result is then ``(element, sample)``.
    power : float
        Power of the distance.
    n_neighbors : int
        Samples that make up a cell, at most.
    min_neighbors : int
        Cells with fewer samples in reach are NaN.
    max_distance : float or tuple of float, optional
        Farther samples, in CRS units, do not count. Two radii, along and across ``azimuth``, make
        a search ellipse: distances are then measured in it, so that all samples on its rim
        are as far as the first radius, and as light.
    azimuth : float
        Direction of the first radius, in degrees clockwise from grid north.
    max_per_octant : int, optional
        Samples that may come from one of the eight sectors around a cell (the first one begins
        at the azimuth); needs ``max_distance``.
    min_octants : int
        Cells with samples in fewer sectors are NaN.
    chunks : int or tuple of int, optional
        Cells a block has per side, or its rows and columns. Default: blocks of about 16 MB.

    Returns
    -------
    xarray.DataArray
        Lazy float64 ``concentration(element, y, x)``, one chunk along ``element``, from north
        to south unless ``like`` runs the other way. ``attrs["interpolation_range"]`` is how far
        values are carried (CRS units): the larger ``max_distance``, or else the 95th percentile
        of the samples' distances to their ``n_neighbors``-th neighbour. Where the table's
        ``state`` knows values below detection, the coord ``censored_fraction``
        ``(element, y, x)`` is the share of a cell's weight that such samples have.

    Raises
    ------
    GridError
        If the grid is empty or uneven, a number is not positive, a coordinate is not finite,
        there are fewer samples than ``n_neighbors``, or the search contradicts itself.
    CRSError
        If a CRS is missing or geographic, or ``like`` has another one than ``table``.
    CubeError
        If elements are repeated or have no samples.

    References
    ----------
    Shepard 1968, Proc. 23rd ACM National Conference, 517-524.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [3.0]])},
    ...     {"x": ("sample", [0.0, 200.0]), "y": ("sample", [0.0, 100.0]),
    ...      "element": ["Cu"], "unit": ("element", ["ppm"])},
    ... ).rio.write_crs(32645)
    >>> idw(table, spacing=100.0, n_neighbors=2).values.round(2)
    array([[[1.33, 2.67]]])
    """
    check_positive("power", power)
    search = Search(
        n_neighbors=n_neighbors,
        min_neighbors=min_neighbors,
        max_distance=max_distance,
        azimuth=azimuth,
        max_per_octant=max_per_octant,
        min_octants=min_octants,
    )
    x, y, values = samples_of(table)
    warn_of_censored(table)
    search.check_samples(table, values)
    target = target_of(table, spacing=spacing, bounds=bounds, like=like)
    columns = np.hstack([values, *_censored(table, values)])
    filled = fill(
        target,
        partial(_interpolate_block, search=search, power=float(power)),
        layers=columns.shape[1],
        chunks=chunks,
        shared=delayed(_branches, x, y, columns, search.stretch),
    )
    attrs = provenance("idw", power=power, **asdict(search))
    attrs["interpolation_range"] = search.reach or carried(x, y, values, n_neighbors)
    cube = cube_on(target, table, filled[: values.shape[1]], attrs)
    return _with_censored_fraction(cube, filled[values.shape[1] :])


def _censored(table: xr.Dataset, values: np.ndarray) -> list[np.ndarray]:
    """Return a column for each element, 1 where a sample lies below detection; or none at all."""
    if "state" not in table:
        return []
    state = table["state"].transpose(SAMPLE, ELEMENT).values
    below = np.isin(state, [BELOW_LIMIT, BELOW_UNKNOWN_LIMIT])
    return [np.where(np.isnan(values), np.nan, below)] if below.any() else []


def _with_censored_fraction(cube: xr.DataArray, share: Any) -> xr.DataArray:
    if not len(share):
        return cube
    about = {"long_name": "share of weight from samples below detection", "units": "1"}
    return cube.assign_coords(censored_fraction=(cube.dims, share.astype("float32"), about))


def _branches(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, stretch: np.ndarray
) -> list[Branch]:
    """Return a tree for each set of elements that have the same samples."""
    located, group = np.unique(np.isfinite(values), axis=1, return_inverse=True)
    branches = []
    for g, has in enumerate(located.T):
        layers = np.flatnonzero(group.ravel() == g)
        branches.append((build_tree(x[has], y[has], values[np.ix_(has, layers)], stretch), layers))
    return branches


def _interpolate_block(
    y: np.ndarray,
    x: np.ndarray,
    branches: list[Branch],
    *,
    paired: bool,
    search: Search,
    power: float,
) -> np.ndarray:
    layers = sum(len(elements) for _, elements in branches)
    out = np.empty((layers, len(y)) if paired else (layers, len(y), len(x)))
    rule = search.n_neighbors, search.min_neighbors, power, search.radii[0]
    for tree, elements in branches:
        if search.max_per_octant is not None:
            rows, cols = (y, x) if paired else (np.repeat(y, len(x)), np.tile(x, len(y)))
            octants = search.max_per_octant, search.min_octants
            interpolate_by_octant(
                tree, rows, cols, elements, out.reshape(layers, -1), rule, octants
            )
        elif paired:
            interpolate_at(tree, y, x, elements, out[..., None], rule)
        else:
            interpolate(tree, y, x, elements, out, rule)
    return out
