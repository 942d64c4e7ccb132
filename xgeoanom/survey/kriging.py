"""Ordinary kriging: every element of a survey on an even grid, with its kriging variance."""

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xgeoanom.blocks import delayed
from xgeoanom.conventions import ELEMENT, provenance
from xgeoanom.errors import CubeError, XGeoAnomError
from xgeoanom.kernels.covariance import Covariance
from xgeoanom.kernels.kriging import krige_at
from xgeoanom.kernels.neighbors import Tree, build_tree
from xgeoanom.survey.gridding import (
    BLOCK_BYTES,
    Bounds,
    carried,
    cube_on,
    fill,
    samples_of,
    target_of,
    warn_of_censored,
)
from xgeoanom.survey.search import Search, check_positive
from xgeoanom.survey.variogram import Variogram

NEGLIGIBLE = 1e-9  # a nugget of such a share of the sill cannot tell repeated places apart
BLOCK_SIDE = 64  # cells: a fraction of a second's work, so that every core has some

logger = logging.getLogger(__name__)


class Branch(NamedTuple):
    """Elements of the same samples and variogram: they share all weights."""

    tree: Tree
    covariance: Covariance
    layers: np.ndarray


def krige(
    table: xr.Dataset,
    variogram: Variogram | Mapping[str, Variogram],
    *,
    spacing: float | None = None,
    bounds: Bounds | None = None,
    like: xr.DataArray | xr.Dataset | None = None,
    n_neighbors: int = 16,
    max_distance: float | None = None,
    log: bool = False,
    chunks: int | tuple[int, int] | None = None,
) -> xr.DataArray:
    """Grid every element of a survey by ordinary kriging of points, from the nearest samples.

    Each element uses the samples that have it. Neighbours are the nearest ones along the
    anisotropy of the variogram's longest structure. On a sample the estimate is the limit of its
    surroundings: with a nugget of 0 it is the sample's value, with variance 0; else the map
    passes by it, and the variance is that of a new sample there. With a nugget of 0 samples at
    one place count as one, of their mean value.

    Parameters
    ----------
    table : xarray.Dataset
        ``concentration(sample, element)`` with coords ``x``, ``y``, ``unit`` and a projected
        CRS, as :func:`from_points` gives; NaN where missing.
    variogram : Variogram or mapping of str to Variogram
        One for all elements, or one for each. Elements that share theirs are gridded faster.
    spacing : float, optional
        Side of the square cells, in CRS units. Give either ``spacing`` or ``like``.
    bounds : tuple of float, optional
        ``(xmin, ymin, xmax, ymax)`` in CRS units, with ``spacing``, as for :func:`idw`.
    like : xarray.DataArray or xarray.Dataset, optional
        Raster whose ``y``, ``x`` and CRS the cube takes over; or a survey table, at whose samples
        the result is then ``(element, sample)``.
    n_neighbors : int
        Samples that make up a cell, at most.
    max_distance : float, optional
        Farther samples do not count, and cells without any are NaN. In CRS units, along the
        variogram's azimuth; across it the limit is shorter by its ratio.
    log : bool
        Log-normal kriging: of natural logarithms, in whose units ``variogram`` is, and back by
        ``exp(estimate + variance / 2 - Lagrange multiplier)``, which has no bias where
        logarithms are normal.
    chunks : int or tuple of int, optional
        Cells a block has per side, or its rows and columns. Default: 64, fewer where there are
        many elements.

    Returns
    -------
    xarray.DataArray
        Lazy float64 ``concentration(element, y, x)``, one chunk along ``element``, from north
        to south unless ``like`` runs the other way; with the lazy coord ``kriging_variance`` of
        the same dims (squared units of the values; of their logarithms with ``log``).
        ``attrs["interpolation_range"]`` is how far values are carried (CRS units):
        ``max_distance``, or else the 95th percentile of the samples' distances to their
        ``n_neighbors``-th neighbour.

    Notes
    -----
    Weights may be negative, so that estimates of positive values can be, too; ``log=True`` keeps
    them positive. It takes the variogram at its word: an element that varies less than its
    variogram says comes out too high.

    Raises
    ------
    GridError
        If the grid is empty or uneven, a number is not positive, a coordinate is not finite, or
        there are fewer samples than ``n_neighbors``.
    CRSError
        If a CRS is missing or geographic, or ``like`` has another one than ``table``.
    CubeError
        If elements are repeated, or have no samples, no variogram or values without logarithms.
    XGeoAnomError
        If ``variogram`` is none.

    References
    ----------
    Cressie 1993, Statistics for Spatial Data, sections 3.2 and 3.2.2 (log-normal kriging).

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [3.0]])},
    ...     {"x": ("sample", [50.0, 250.0]), "y": ("sample", [50.0, 50.0]),
    ...      "element": ["Cu"], "unit": ("element", ["ppm"])},
    ... ).rio.write_crs(32645)
    >>> cube = krige(table, Variogram.exponential(1.0, 300.0), spacing=100.0, n_neighbors=2)
    >>> cube.values.round(2), cube["kriging_variance"].values.round(2)
    (array([[[1., 2., 3.]]]), array([[[0.  , 0.83, 0.  ]]]))
    """
    check_positive("max_distance", max_distance)
    search = Search(n_neighbors=n_neighbors, max_distance=max_distance)
    x, y, values = samples_of(table)
    warn_of_censored(table)
    search.check_samples(table, values)
    variograms = _variograms(variogram, table[ELEMENT].values.tolist())
    target = target_of(table, spacing=spacing, bounds=bounds, like=like)
    n_elements = values.shape[1]
    filled = fill(
        target,
        partial(_krige_block, n_neighbors=int(n_neighbors), reach=search.radii[0], log=log),
        layers=2 * n_elements,
        chunks=_side(2 * n_elements) if chunks is None else chunks,
        shared=delayed(_branches, x, y, _logarithms(table, values) if log else values, variograms),
    )
    attrs = provenance(
        "krige",
        variogram=_described(variogram),
        n_neighbors=n_neighbors,
        max_distance=max_distance,
        log=log,
    )
    attrs["interpolation_range"] = search.reach or carried(x, y, values, n_neighbors)
    cube = cube_on(target, table, filled[:n_elements], attrs)
    return _with_variance(cube, filled[n_elements:], log)


def _variograms(
    variogram: Variogram | Mapping[str, Variogram], elements: list[str]
) -> list[Variogram]:
    """Return the variogram of each element."""
    if isinstance(variogram, Variogram):
        return [variogram] * len(elements)
    if not isinstance(variogram, Mapping) or not all(
        isinstance(one, Variogram) for one in variogram.values()
    ):
        raise XGeoAnomError(
            f"variogram={variogram!r} must be a Variogram, or a mapping of elements to Variograms"
        )
    lacking = [element for element in elements if element not in variogram]
    if lacking:
        raise CubeError(
            f"variogram has none for element={lacking}; add it, or drop the element with "
            "table.drop_sel(element=...)"
        )
    return [variogram[element] for element in elements]


def _described(variogram: Variogram | Mapping[str, Variogram]) -> dict[str, Any]:
    if isinstance(variogram, Variogram):
        return asdict(variogram)
    return {element: asdict(one) for element, one in variogram.items()}


def _logarithms(table: xr.Dataset, values: np.ndarray) -> np.ndarray:
    bad = (values <= 0).any(axis=0)
    if bad.any():
        raise CubeError(
            f"log=True, and element={table[ELEMENT].values[bad].tolist()} has values that are not "
            "positive; see replace_censored"
        )
    return np.log(values)


def _side(layers: int) -> int:
    return min(BLOCK_SIDE, int(math.sqrt(BLOCK_BYTES / 8 / layers)))


def _branches(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, variograms: list[Variogram]
) -> list[Branch]:
    """Return a tree for each set of elements that have the same samples and variogram."""
    located = np.isfinite(values)
    groups: dict[tuple[Variogram, bytes], list[int]] = {}
    for e, variogram in enumerate(variograms):
        groups.setdefault((variogram, located[:, e].tobytes()), []).append(e)
    branches = []
    for (variogram, _), layers in groups.items():
        has = located[:, layers[0]]
        exact = variogram.nugget <= NEGLIGIBLE * variogram.sill
        samples = _in_order(x[has], y[has], values[np.ix_(has, layers)], exact)
        stretch = variogram.stretch
        tree = build_tree(*samples, stretch)
        branches.append(Branch(tree, variogram.in_space(stretch), np.array(layers)))
    return branches


def _in_order(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, single: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return samples by x and y, so that no result depends on their order in the table.

    Where ``single``, those at one place become one, of their mean value.
    """
    order = np.argsort(x)
    if (np.diff(x[order]) == 0).any():  # else the slower sort by both would say the same
        order = np.lexsort((y, x))
    x, y, values = x[order], y[order], values[order]
    if not single:
        return x, y, values
    first = np.flatnonzero(np.append(True, (np.diff(x) != 0) | (np.diff(y) != 0)))
    counts = np.diff(np.append(first, len(x)))
    return x[first], y[first], np.add.reduceat(values, first) / counts[:, None]


def _krige_block(
    y: np.ndarray,
    x: np.ndarray,
    branches: list[Branch],
    *,
    paired: bool,
    n_neighbors: int,
    reach: float,
    log: bool,
) -> np.ndarray:
    """Return estimates and, after them, kriging variances."""
    n_elements = sum(len(branch.layers) for branch in branches)
    rows, cols = (y, x) if paired else (np.repeat(y, len(x)), np.tile(x, len(y)))
    out = np.empty((2, n_elements, len(rows)))
    variance, multiplier = np.empty((2, len(rows)))
    for tree, covariance, layers in branches:
        krige_at(
            tree, covariance, rows, cols, layers, out[0], variance, multiplier, n_neighbors, reach
        )
        out[1, layers] = variance
        if log:
            out[0, layers] = np.exp(out[0, layers] + variance / 2 - multiplier)
    return out.reshape(2 * n_elements, *((len(y),) if paired else (len(y), len(x))))


def _with_variance(cube: xr.DataArray, variance: Any, log: bool) -> xr.DataArray:
    units = cube.attrs["units"]
    about = {
        "long_name": "kriging variance of logarithms" if log else "kriging variance",
        "units": units if units == "mixed" else f"({units})²",
    }
    if log or units == "1":
        about["units"] = "1"
    return cube.assign_coords(kriging_variance=(cube.dims, variance, about))
