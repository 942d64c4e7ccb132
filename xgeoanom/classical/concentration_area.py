"""Concentration-area fractal: classes between the breaks of log area against log concentration."""

from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.classical.cells import checked_raster, natural_unit
from xgeoanom.classical.log_log import area_above, check_numbers, fit_segments, with_plot
from xgeoanom.conventions import cell_size, provenance, raster_on
from xgeoanom.errors import GridError


def concentration_area(
    raster: xr.DataArray, *, n_segments: int | None = None, n_levels: int = 100
) -> xr.Dataset:
    """Classes of concentration, split where the log-log plot of area above it bends.

    Parameters
    ----------
    raster : DataArray
        Positive concentrations ``(y, x)`` of one element.
    n_segments : int, optional
        2, 3 or 4 straight segments; by default the number of the lowest BIC.
    n_levels : int
        Steps, even in log, at which the area is taken; 16 or more. Steps in a gap count once.

    Returns
    -------
    Dataset
        ``score`` ``(y, x)``: 0 below the lowest break, one more above each further one, NaN where
        the raster is. Coords: ``area`` (level), where the concentration reaches ``level``, in
        square CRS units; ``breaks`` (break); ``exponent`` and ``intercept`` (segment) of
        log10 A = intercept - exponent log10 c. They are statistics of the whole map, for which a
        chunked raster is taken into memory once; the score stays lazy.

    Raises
    ------
    GridError
        If the raster is none, holds a value that is not positive, is constant, or has too few
        cells or distinct values.
    XGeoAnomError
        If ``n_segments`` or ``n_levels`` is out of range.

    Notes
    -----
    Cheng, Agterberg and Ballantyne (1994), J. Geochem. Explor. 51, 109, eq. 1-2. Breaks by
    least squares over all their places; their number, and BIC, are ours.

    Examples
    --------
    >>> grid = {"y": np.arange(40.0), "x": np.arange(40.0)}
    >>> c = xr.DataArray(np.exp(np.hypot(*np.mgrid[:40, :40]) / 9), grid, dims=("y", "x"))
    >>> classes = concentration_area(c, n_segments=3)
    >>> classes["breaks"].size, float(classes["score"].max())
    (2, 2.0)
    """
    raster = checked_raster(raster)
    check_numbers(n_segments, n_levels)
    known = _checked_values(raster)
    height, width = cell_size(raster)
    levels, area = area_above(known, abs(height * width), n_levels)
    counts = (2, 3, 4) if n_segments is None else (n_segments,)
    segments = fit_segments(levels, area, counts)
    score = raster_on(
        raster,
        _classes(raster, segments.breaks),
        name="score",
        long_name="concentration-area class",
        attrs=provenance("concentration_area", n_segments=n_segments, n_levels=n_levels),
    )
    unit = natural_unit(raster)
    return with_plot(score.to_dataset(), levels, area, segments, "concentration", unit)


def _checked_values(raster: xr.DataArray) -> np.ndarray:
    values = raster.values
    known = values[np.isfinite(values)].astype("float64")
    if (known <= 0).any():
        raise GridError(
            f"raster has {int((known <= 0).sum())} values that are not positive; give "
            "concentrations, np.exp(...) of a log-ratio, or replace zeros"
        )
    if known.size < 30 or known.min() == known.max():
        raise GridError(
            f"raster has {known.size} valid cells and {np.unique(known).size} distinct values; "
            "a log-log plot needs 30 cells that differ"
        )
    return known


def _classes(raster: xr.DataArray, breaks: np.ndarray) -> Any:
    """Return how many breaks each cell reaches."""
    reached = sum((raster.variable >= edge).astype("float64") for edge in breaks)
    return reached.where(raster.variable.notnull()).data
