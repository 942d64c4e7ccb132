"""Local gap statistic: cells that belong to the richer of two populations around them."""

import numpy as np
import xarray as xr

from xgeoanom.blocks import Footprint, map_halo
from xgeoanom.classical.cells import checked_raster
from xgeoanom.conventions import provenance, raster_on
from xgeoanom.errors import WindowError
from xgeoanom.kernels.gap import local_gap as score_block
from xgeoanom.kernels.gap import reference_gaps
from xgeoanom.seeding import Seed, resolve, streams
from xgeoanom.survey.search import check_count

LEAST = 8  # cells of a window; fewer say nothing of two clusters


def local_gap(
    raster: xr.DataArray, *, window: int = 9, n_references: int = 50, seed: Seed = None
) -> xr.DataArray:
    """Score cells in the upper of two clusters, where the window around them has two.

    Parameters
    ----------
    raster : DataArray
        One element's raster ``(y, x)``, log-ratioed or in logs.
    window : int
        Width of the square window, odd, in cells.
    n_references : int
        Uniform samples that say what one population looks like, for each number of cells.
    seed : int or Generator, optional
        Of these samples.

    Returns
    -------
    DataArray
        ``(y, x)``: Gap(2) - Gap(1) times the place of the cell between the means of the
        clusters, from 0 at the lower to 1 at the upper; 0 where the window is one population.
        NaN where the raster is, and where a window has fewer than 8 valid cells. Lazy where the
        raster is.

    Raises
    ------
    GridError
        If the raster is none, or ``n_references`` no positive integer.
    WindowError
        If ``window`` is even or below 3.

    Notes
    -----
    An adaptation, ours, of the local gap statistic (Wang and Zuo, 2016) from Tibshirani, Walther
    and Hastie (2001), J. R. Stat. Soc. B 63, 411: Gap(k) = E*[log W_k] - log W_k, with W_k the
    dispersion within k clusters; there are two where Gap(2) > Gap(1) + s_1, with s_1 = sd
    sqrt(1 + 1/B) of the reference's log W_1. The best two clusters are found exactly.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(12, 12))
    >>> values[4:7, 4:7] += 20.0
    >>> grid = {"y": np.arange(12.0), "x": np.arange(12.0)}
    >>> score = local_gap(xr.DataArray(values, grid, dims=("y", "x")), seed=0)
    >>> int((score[4:7, 4:7] > 1).sum()), int((score > 1).sum())
    (9, 9)
    """
    raster = checked_raster(raster)
    check_count("n_references", n_references)
    if not isinstance(window, int | np.integer) or window < 3 or window % 2 == 0:
        raise WindowError(f"window={window!r} must be odd and at least 3 cells; try 9")
    seed = resolve(seed)
    values = map_halo(
        _on_block,
        raster.data[None],
        footprint=Footprint(halo=window // 2),
        shared=_references(window**2, n_references, seed),
        dtype="float64",
    )
    return raster_on(
        raster,
        values,
        name="local_gap",
        long_name="local gap statistic",
        attrs=provenance("local_gap", seed=seed, window=window, n_references=n_references),
    )


def _references(most: int, n_references: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean log W1 and log W2, and s_1, by number of cells."""
    rng = streams(seed, 1)[0]
    expected, spread = np.full((most + 1, 2), np.nan), np.full(most + 1, np.nan)
    for n in range(LEAST, most + 1):
        one, two = reference_gaps(np.sort(rng.random((n_references, n)), axis=1))
        expected[n] = one.mean(), two.mean()
        spread[n] = one.std() * np.sqrt(1 + 1 / n_references)
    return expected, spread


def _on_block(block: np.ndarray, shared: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    expected, spread = shared
    padded = block[0].astype("float64")
    halo = int(np.sqrt(len(spread) - 1)) // 2
    return score_block(padded, halo, expected, spread, LEAST)
