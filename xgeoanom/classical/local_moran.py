"""Local Moran's I: where high values lie among high ones, low among low, or alone."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.stats import false_discovery_control

from xgeoanom.blocks import Footprint, delayed, map_halo
from xgeoanom.classical.cells import checked_raster
from xgeoanom.conventions import X, Y, check_projected, provenance, raster_on
from xgeoanom.errors import CubeError, GridError, WindowError, XGeoAnomError
from xgeoanom.kernels.moran import Shuffles, shuffle
from xgeoanom.kernels.moran import local_moran as score_block
from xgeoanom.seeding import Seed, resolve, streams
from xgeoanom.survey.search import check_count

REST, HH, LH, LL, HL, MISSING = 0, 1, 2, 3, 4, -1
CLUSTER_FLAGS = {
    "flag_values": np.array([MISSING, REST, HH, LH, LL, HL], dtype="int8"),
    "flag_meanings": "missing not_significant HH LH LL HL",
}
LONG_NAMES = {
    "score": "local Moran's I, negative for low values and for high ones alone",
    "local_i": "local Moran's I",
    "p": "two-sided p-value of conditional permutations",
    "q": "p-value adjusted for the false discovery rate",
}


def local_moran(
    raster: xr.DataArray,
    *,
    window: int = 3,
    permutations: int = 199,
    fdr: float = 0.05,
    seed: Seed = None,
) -> xr.Dataset:
    """Local Moran's I of each cell, ``z_i / m2`` times the mean z of its neighbours.

    z are deviations from the mean of the map, m2 their sample variance. Neighbours are the valid
    cells of a window, the cell itself left out.

    Parameters
    ----------
    raster : DataArray
        One element ``(y, x)``, of any scale.
    window : int
        Window size in cells; odd, 3 or more.
    permutations : int
        Draws per cell: so many other values of the map, without replacement, as it has neighbours.
        No p is less than ``2 / (permutations + 1)``. A map of more than 2^20 cells lends that many
        of its values, chosen at random.
    fdr : float
        False discovery rate up to which a cell is assigned a class, above 0 and below 1.
    seed : int or Generator, optional
        Of the draws, which depend on nothing else: not on chunks.

    Returns
    -------
    Dataset
        ``(y, x)``: ``score``, I for values above the mean and -abs(I) for others, so that high
        values among high ones come first and low among low last; ``local_i``; ``p``, twice the
        share of draws as extreme as the neighbours on their side; ``q``, adjusted after Benjamini
        and Hochberg; ``cluster`` (int8): where q is at most ``fdr``, 1 HH, 2 LH, 3 LL, 4 HL (the
        cell's value, then its neighbours'), else 0, and -1 where the cell is NaN or alone.
        Lazy where the raster is. Mean, draws and q are statistics of the whole map, for which the
        raster, and then p, are put together in memory, once each, when the result is computed.

    Raises
    ------
    CubeError
        If the map is constant (a lazy one: when it is read, as for the number of cells).
    GridError, CRSError
        If fewer cells than a window's are valid, the grid is uneven, has other dims, or is not
        projected; if ``permutations`` is no positive integer.
    WindowError
        If ``window`` is even, or less than 3.
    XGeoAnomError
        If ``fdr`` is out of range.

    Notes
    -----
    Anselin (1995), Geogr. Anal. 27, 93, eq. 12, with m2 as in esda, whose one-sided p is half of
    this one. FDR: Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57, 289; for local statistics
    Caldas de Castro and Singer (2006), Geogr. Anal. 38, 180. With 199 permutations a class needs a
    fifth of the map to reach the least p at ``fdr=0.05``; give more permutations for rare clusters.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(20, 20))
    >>> values[8:12, 8:12] += 6.0
    >>> raster = xr.DataArray(
    ...     values, dims=("y", "x"), coords={"y": np.arange(20.0), "x": np.arange(20.0)}
    ... ).rio.write_crs(32650)
    >>> maps = local_moran(raster, permutations=999, seed=0)
    >>> maps["cluster"].values[9:11, 9:11]
    array([[1, 1],
           [1, 1]], dtype=int8)
    """
    raster = checked_raster(raster)
    check_projected(raster, "raster")
    _check_numbers(window, permutations, fdr)
    seed = resolve(seed)
    standard, lag, p = _scored(raster, window, permutations, seed)
    local_i, q = standard * lag, _adjusted(xr.DataArray(p, dims=(Y, X))).data
    maps = {"score": np.where(standard > 0, local_i, -abs(local_i)), "local_i": local_i}
    attrs = provenance("local_moran", seed=seed, window=window, permutations=permutations, fdr=fdr)
    rasters = {
        name: raster_on(raster, values, name=name, long_name=LONG_NAMES[name], attrs=attrs)
        for name, values in (maps | {"p": p, "q": q}).items()
    }
    rasters["cluster"] = raster_on(
        raster,
        _classes(standard, lag, q <= fdr),
        name="cluster",
        long_name="class of local Moran's I",
        attrs=attrs | CLUSTER_FLAGS,
    )
    return xr.Dataset(rasters, attrs=attrs)


def _check_numbers(window: int, permutations: int, fdr: float) -> None:
    if not isinstance(window, int | np.integer) or window < 3 or window % 2 == 0:
        raise WindowError(f"window={window!r} must be an odd integer of cells, 3 or more; try 3")
    check_count("permutations", permutations)
    if not isinstance(fdr, float) or not 0 < fdr < 1:
        raise XGeoAnomError(f"fdr={fdr!r} must lie between 0 and 1; try 0.05")


class Population(NamedTuple):
    """What a cell is compared with: the whole map."""

    mean: float
    deviation: float
    shuffles: Shuffles


def _population(values: np.ndarray, window: int, seed: int) -> Population:
    known = values[~np.isnan(values)]
    if known.size < window**2:
        raise GridError(
            f"raster has {known.size} valid cells, fewer than window={window} has; grid it finer"
        )
    if known.min() == known.max():
        raise CubeError(f"raster is {known[0]:g} in all cells; a constant map has no clusters")
    mean, deviation = known.mean(), known.std(ddof=1)
    shuffles = shuffle((known - mean) / deviation, streams(seed, 2)[0])
    return Population(mean, deviation, shuffles)


def _scored(raster: xr.DataArray, window: int, permutations: int, seed: int) -> Any:
    """Return standard scores, the neighbours' mean and its p-value, ``(3, y, x)``."""
    key = streams(seed, 2)[1].integers(2**64, dtype=np.uint64)
    values = raster.astype("float64").where(abs(raster) < np.inf)
    halo = window // 2

    def on_block(block: np.ndarray, cells: np.ndarray, population: Population) -> np.ndarray:
        standard = (block[0] - population.mean) / population.deviation
        inside = slice(halo, cells.shape[0] - halo), slice(halo, cells.shape[1] - halo)
        out = np.empty((3, *cells[inside].shape))
        out[0] = standard[inside]
        score_block(
            standard, cells[inside], window, population.shuffles, permutations, key, out[1:]
        )
        return out

    return map_halo(
        on_block,
        values.data[None],
        _numbers(values).data,
        footprint=Footprint(halo=halo),
        shared=delayed(_population, values.data, window, seed),
        layers=3,
        dtype="float64",
    )


def _numbers(values: xr.DataArray) -> xr.DataArray:
    """Return the valid cells' numbers in the whole map, row by row."""
    known = values.notnull()
    in_row = known.sum(X)
    return (in_row.cumsum(Y) - in_row + known.cumsum(X) - 1).transpose(Y, X)


def _adjusted(p: xr.DataArray) -> xr.DataArray:
    """Return p adjusted for the false discovery rate; a lazy p is put together for it."""
    q = xr.apply_ufunc(
        _adjusted_values,
        p,
        input_core_dims=[[Y, X]],
        output_core_dims=[[Y, X]],
        dask="parallelized",
        output_dtypes=["float64"],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    return q if p.chunks is None else q.chunk(p.chunksizes)


def _adjusted_values(p: np.ndarray) -> np.ndarray:
    q = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    q[known] = false_discovery_control(p[known])
    return q


def _classes(standard: Any, lag: Any, significant: Any) -> Any:
    high, high_around = standard > 0, lag > 0
    kind = np.where(high, np.where(high_around, HH, HL), np.where(high_around, LH, LL))
    kind = np.where(significant, kind, REST)
    return np.where(np.isnan(lag), MISSING, kind).astype("int8")
