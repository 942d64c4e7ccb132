"""The density-distance law: how deposits thin out with distance from what controls them."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import xarray as xr

from xgeoanom.conventions import (
    X,
    Y,
    cell_size,
    cells_at,
    check_same_crs,
    check_same_grid,
    provenance,
    raster_on,
)
from xgeoanom.errors import EvidenceError, LabelError
from xgeoanom.geology.labels import NO_DEPOSIT, deposit_ids
from xgeoanom.geology.power_law import PowerLaw, by_least_squares, by_likelihood
from xgeoanom.seeding import Seed, streams

ESTIMATORS = ("cumulative", "rings", "poisson")


@dataclass(frozen=True, eq=False)
class DensityLaw:
    """Density of deposits as a power of distance: ``density = coefficient * distance**exponent``.

    Attributes
    ----------
    exponent, low, high : float
        Exponent k and the bounds of its interval; negative where deposits gather near.
    coefficient : float
        N, in deposits per square CRS unit at a distance of one CRS unit.
    level : float
        Level of the interval.
    estimator : str
        ``"cumulative"``, ``"rings"`` or ``"poisson"``.
    table : xarray.Dataset
        Over ``ring``: ``inner`` and ``outer`` distance, mean ``distance``, ``n_deposits``,
        ``area`` of valid cells, ``density``, and ``cumulative_density`` up to ``outer``. NaN
        where a ring has no valid cell.
    """

    exponent: float
    low: float
    high: float
    coefficient: float
    level: float
    estimator: str
    table: xr.Dataset = field(repr=False)

    def weight(self, distance: xr.DataArray) -> xr.DataArray:
        """Return the density relative to its maximum, the paper's ``w``.

        ``w(d) = (max(d, d0) / d0)**k``, with d0 the width of the first ring: 1 in the first
        ring, and falling. Where deposits shun what distance is measured from (k > 0), the density
        is greatest far away, and w is 1 from the end of the last ring on.

        Parameters
        ----------
        distance : xarray.DataArray
            ``(y, x)``, in the unit of the distances that the law was fitted to.

        Returns
        -------
        xarray.DataArray
            ``fault_weight`` ``(y, x)`` in (0, 1], NaN where ``distance`` is, lazy where it is.

        Raises
        ------
        EvidenceError
            If ``distance`` is no raster.

        Warns
        -----
        UserWarning
            If k is not negative.

        Notes
        -----
        Zhang, Xiong and Chen (2026), Geosci. Model Dev. 19, 2219, section 3.2, eq. 7:
        ``w = N d**k / m_max``. Their N cancels, for ``m_max = N d0**k``.

        Examples
        --------
        >>> law = DensityLaw(-0.5, -0.8, -0.2, 1.0, 0.9, "rings", xr.Dataset({"outer": [100.0]}))
        >>> grid = {"y": [100.0, 0.0], "x": [0.0, 100.0]}
        >>> distance = xr.DataArray([[0.0, 100.0], [400.0, 900.0]], grid, dims=("y", "x"))
        >>> law.weight(distance).values.round(3)
        array([[1.   , 1.   ],
               [0.5  , 0.333]])
        """
        _check_raster(distance)
        if self.exponent >= 0:
            warnings.warn(
                f"exponent={self.exponent:.2f} is not negative: deposits do not gather near what "
                "distance is measured from, and w is high far from it",
                stacklevel=2,
            )
        distance = distance.transpose(Y, X).astype("float64")
        width, end = (float(self.table["outer"][k]) for k in (0, -1))
        densest = width if self.exponent <= 0 else end
        weights = ((distance.clip(min=width) / densest) ** self.exponent).clip(max=1.0)
        attrs = provenance(
            "density_law.weight", exponent=self.exponent, estimator=self.estimator, width=width
        )
        return raster_on(
            distance, weights.data, name="fault_weight", long_name="fault weight", attrs=attrs
        )


def density_law(
    distance: xr.DataArray,
    deposits: gpd.GeoDataFrame | xr.DataArray,
    *,
    rings: int | Sequence[float] = 12,
    estimator: str = "poisson",
    level: float = 0.9,
    n_boot: int = 2000,
    seed: Seed = None,
) -> DensityLaw:
    """Fit how the density of deposits falls off with distance, as a power law.

    Give the training deposits only: a law that knows the deposits it is tested on leaks them.

    Parameters
    ----------
    distance : xarray.DataArray
        ``(y, x)``, as :func:`distance_to` gives; NaN where ground does not count, so mask it by
        the survey, e.g. ``distance.where(cube.notnull().all("element"))``. Computed if lazy.
    deposits : geopandas.GeoDataFrame or xarray.DataArray
        Points, each of which is as far as the cell that holds it; or labels, of which
        each deposit (see :func:`deposit_ids`) is as far as the median cell of its block.
    rings : int or sequence of float
        Rings of even width from 0 to the largest distance, or their edges, from 0 on, in CRS
        units. An edge belongs to the ring within. What lies beyond the last edge does not count.
    estimator : str
        ``"cumulative"``: least squares of log density up to d, ``n(<= d) / A(<= d)``, on log d,
        at outer edges. ``"rings"``: of the densities ``n_j / A_j`` of rings that hold deposits.
        ``"poisson"``: maximum likelihood of ``n_j ~ Poisson(A_j N d_j**k)``. Only the last one is
        unbiased; see Notes.
    level : float
        Level of the interval of k. Of ``"poisson"`` it is that of the profile likelihood; of
        the other two, percentiles of a bootstrap over deposits.
    n_boot : int
        Bootstrap draws.
    seed : int, numpy.random.Generator or None
        Seed of the bootstrap; the exponent itself needs none.

    Returns
    -------
    DensityLaw
        Its ``weight(distance)`` makes ``fault_weight``.

    Warns
    -----
    UserWarning
        If deposits lie where the distance is NaN, or beyond the last ring; they are left out.

    Raises
    ------
    EvidenceError
        If ``distance`` is no raster of distances, an argument is wrong, or fewer than two rings
        hold deposits.
    LabelError
        If deposits are no points, or labels are wrong.
    GridError, CRSError
        If labels lie on another grid, or deposits have another CRS.

    Notes
    -----
    After Zuo (2016) as used by Zhang, Xiong and Chen (2026), Geosci. Model Dev. 19, 2219, section
    3.2 and Fig. 7; their text does not tell how it counts, hence three estimators. A_j counts
    valid cells only. d_j is the geometric mean distance of the ring's valid cells, those of the
    first ring at its outer edge d0: so ``N d_j**k`` is the mean density of a ring, to second
    order, where the density is that of :meth:`DensityLaw.weight`.

    The least-squares estimators describe, they do not estimate. Densities up to d carry the first
    ring's outwards, and leaving out empty rings lifts the far ones: both come out flatter than
    the law that made the deposits, and the bootstrap knows nothing of that. Of k = -1 and 40
    simulated deposits ``"cumulative"`` makes -0.5, with no interval that holds -1; of 10 deposits
    ``"rings"`` makes -0.3. ``"poisson"`` is right on average, and nine in ten of its 90 %
    intervals hold the truth (``tests/geology/test_density_law.py``).

    Examples
    --------
    >>> import xgeoanom.conventions
    >>> coords = {"y": [100.0, 0.0], "x": np.arange(100.0, 900.0, 100.0)}
    >>> distance = xr.DataArray(np.tile(coords["x"], (2, 1)), coords, ("y", "x"))
    >>> distance = distance.rio.write_crs(32650)
    >>> places = gpd.points_from_xy([100, 100, 100, 200, 400], [0, 0, 100, 0, 100])
    >>> deposits = gpd.GeoDataFrame(geometry=places, crs=32650)
    >>> law = density_law(distance, deposits, rings=8, estimator="poisson")
    >>> round(law.exponent, 2), round(law.low, 2), round(law.high, 2)
    (-1.87, -3.34, -0.77)
    """
    _check_raster(distance)
    _check_arguments(estimator, level, n_boot)
    distance = distance.transpose(Y, X)
    values = _checked_values(distance)
    edges = _edges(rings, values)
    table = _tally(distance, values, _distances_of(deposits, distance, values), edges)
    fit = _fit(table, estimator, level, n_boot, seed)
    return DensityLaw(
        fit.exponent, fit.low, fit.high, math.exp(fit.log_coefficient), level, estimator, table
    )


# ------------------------------------------------------------------------------------ checks


def _check_raster(distance: xr.DataArray) -> None:
    if not isinstance(distance, xr.DataArray) or set(distance.dims) != {Y, X}:
        found = getattr(distance, "dims", type(distance).__name__)
        raise EvidenceError(f"distance is {found}, not a raster ('y', 'x'); see distance_to")
    cell_size(distance)


def _check_arguments(estimator: str, level: float, n_boot: int) -> None:
    if estimator not in ESTIMATORS:
        raise EvidenceError(f"estimator={estimator!r} is none of {ESTIMATORS}")
    if not 0 < level < 1:
        raise EvidenceError(f"level={level!r} must lie between 0 and 1; try 0.9")
    if n_boot != int(n_boot) or n_boot < 1:
        raise EvidenceError(f"n_boot={n_boot!r} must be a positive integer; try 2000")


def _checked_values(distance: xr.DataArray) -> np.ndarray:
    values = np.asarray(distance.values, dtype="float64")
    if (values < 0).any() or np.isinf(values).any():
        raise EvidenceError("distance holds negative or infinite values; see distance_to")
    if not (values > 0).any():
        raise EvidenceError("distance is NaN or 0 everywhere; give some ground off the faults")
    return values


def _edges(rings: int | Sequence[float], values: np.ndarray) -> np.ndarray:
    if isinstance(rings, int | np.integer):
        if rings < 2:
            raise EvidenceError(f"rings={rings} must be at least 2; try 12")
        return np.linspace(0, np.nanmax(values), rings + 1)
    try:
        edges = np.asarray(rings, dtype="float64")
    except (TypeError, ValueError):
        edges = np.empty(0)
    rising = edges.ndim == 1 and edges.size > 2 and edges[0] == 0 and (np.diff(edges) > 0).all()
    if not rising or np.isinf(edges).any():
        raise EvidenceError(
            f"rings={rings!r} must be a number of rings, or the edges of two rings or more that "
            "rise from 0; try 12"
        )
    return edges


# ---------------------------------------------------------------------------------- counting


def _distances_of(
    deposits: gpd.GeoDataFrame | xr.DataArray, distance: xr.DataArray, values: np.ndarray
) -> np.ndarray:
    """Return the distance of each deposit, NaN where it is unknown."""
    if isinstance(deposits, xr.DataArray):
        check_same_grid(deposits, distance, "deposits")
        ids = deposit_ids(deposits).values
        return np.array([_lower_median(values[ids == k]) for k in np.unique(ids[ids > NO_DEPOSIT])])
    if not isinstance(deposits, gpd.GeoDataFrame | gpd.GeoSeries):
        raise LabelError(f"deposits is a {type(deposits).__name__}; give points, or labels")
    check_same_crs(deposits, distance, "deposits")
    if len(deposits) == 0 or not (deposits.geom_type == "Point").all():
        raise LabelError("deposits is empty, or holds geometries that are no points")
    places = np.column_stack([deposits.geometry.x, deposits.geometry.y])
    found = np.full(len(places), np.nan)
    inside = _inside(places, distance)
    found[inside] = values[cells_at(distance, places[inside])]
    return found


def _lower_median(block: np.ndarray) -> float:
    """Return the median of a block's known distances, one that occurs; NaN where none is."""
    known = np.sort(block[~np.isnan(block)])
    return float(known[(known.size - 1) // 2]) if known.size else math.nan


def _inside(places: np.ndarray, grid: xr.DataArray) -> np.ndarray:
    """Return which places ``(x, y)`` lie on a cell of the grid."""
    inside = np.isfinite(places).all(axis=1)
    for dim, at in ((X, places[:, 0]), (Y, places[:, 1])):
        index = (at - float(grid[dim][0])) / cell_size(grid)[dim == X] + 0.5
        inside &= (index >= 0) & (index < grid.sizes[dim])
    return inside


def _tally(
    distance: xr.DataArray, values: np.ndarray, found: np.ndarray, edges: np.ndarray
) -> xr.Dataset:
    """Return the table of rings: deposits, valid area, mean distance and densities."""
    counts = _counts(found, edges)
    valid = values[np.isfinite(values) & (values <= edges[-1])]
    ring, n_rings = _ring_of(valid, edges), edges.size - 1
    n_cells = np.bincount(ring, minlength=n_rings)
    height, width = cell_size(distance)
    area = abs(height * width) * n_cells
    sums = np.bincount(ring, np.log(np.maximum(valid, edges[1])), minlength=n_rings)
    with np.errstate(invalid="ignore", divide="ignore"):  # rings without cells
        columns = {
            "inner": edges[:-1],
            "outer": edges[1:],
            "distance": np.exp(sums / n_cells),
            "n_deposits": counts,
            "area": area,
            "density": counts / area,
            "cumulative_density": counts.cumsum() / area.cumsum(),
        }
    unit = distance.attrs.get("units", "CRS units")
    units = {"inner": unit, "outer": unit, "distance": unit, "n_deposits": "1"}
    square = {"area": f"{unit}2", "density": f"{unit}-2", "cumulative_density": f"{unit}-2"}
    return xr.Dataset(
        {
            name: ("ring", column, {"units": (units | square)[name]})
            for name, column in columns.items()
        }
    )


def _counts(found: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the deposits of each ring; at least two rings must have some."""
    kept = found[found <= edges[-1]]
    if kept.size < found.size:
        warnings.warn(
            f"{found.size - kept.size} of {found.size} deposits lie off valid ground or beyond the "
            "last ring and are left out",
            stacklevel=4,
        )
    counts = np.bincount(_ring_of(kept, edges), minlength=edges.size - 1)
    if (counts > 0).sum() < 2:
        raise EvidenceError(
            f"{kept.size} deposits lie in {int((counts > 0).sum())} of the {counts.size} rings; a "
            "law needs two rings with deposits: give more deposits, or narrower rings"
        )
    return counts


def _ring_of(distances: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the ring that holds each distance: above its inner edge, up to its outer edge."""
    return np.maximum(np.searchsorted(edges, distances) - 1, 0)


def _fit(table: xr.Dataset, estimator: str, level: float, n_boot: int, seed: Seed) -> PowerLaw:
    """Return the law of the rings that have valid cells."""
    known = table.isel(ring=table["area"].values > 0)
    counts, area = known["n_deposits"].values, known["area"].values
    if estimator == "poisson":
        return by_likelihood(known["distance"].values, counts, area, level)
    cumulative = estimator == "cumulative"
    distance = known["outer" if cumulative else "distance"].values
    rng = streams(seed, 1)[0]
    return by_least_squares(distance, counts, area, cumulative, level, n_boot, rng)
