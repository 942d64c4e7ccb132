"""Log-log plots of the fractal methods, with their segments and breaks."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from xgeoanom.plot.axes import FAINT, PALETTE, new_axes, plain


def concentration_area(result: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the area above each concentration, log-log, as concentration_area found it.

    Parameters
    ----------
    result : Dataset
        What :func:`xgeoanom.classical.concentration_area.concentration_area` returns.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Examples
    --------
    >>> from xgeoanom.classical.concentration_area import concentration_area as classes
    >>> grid = {"y": np.arange(40.0), "x": np.arange(40.0)}
    >>> c = xr.DataArray(np.exp(np.hypot(*np.mgrid[:40, :40]) / 9), grid, dims=("y", "x"))
    >>> concentration_area(classes(c)).get_xlabel()
    'Concentration c'
    """
    unit = result["level"].attrs.get("units", "1")
    name = "Concentration c" if unit == "1" else f"Concentration c ({unit})"
    return _log_log(result, name, "Area with at least c (square CRS units)", ax)


def spectrum_area(result: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the area of the wavenumber plane above each power, log-log.

    Parameters
    ----------
    result : Dataset
        What :func:`xgeoanom.classical.spectrum_area.spectrum_area` returns.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Examples
    --------
    >>> from xgeoanom.classical.spectrum_area import spectrum_area as parts
    >>> grid = {"y": np.arange(24.0), "x": np.arange(30.0)}
    >>> noise = np.random.default_rng(0).normal(size=(24, 30))
    >>> spectrum_area(parts(xr.DataArray(noise, grid, dims=("y", "x")))).get_xlabel()
    'Power E'
    """
    return _log_log(result, "Power E", "Area of wavenumbers with at least E", ax)


def _log_log(result: xr.Dataset, xlabel: str, ylabel: str, ax: Axes | None) -> Axes:
    """Draw dots, a line for each segment with its exponent, and a dashed line at each break."""
    ax = new_axes(ax)
    levels, area = result["level"].values, result["area"].values
    ax.scatter(levels, area, 10, FAINT, linewidth=0)
    edges = [levels[0], *result["breaks"].values, levels[-1]]
    for k, exponent in enumerate(result["exponent"].values):
        ends = np.array(edges[k : k + 2])
        line = 10 ** result["intercept"].values[k] * ends**-exponent
        colour = PALETTE[k % len(PALETTE)]
        ax.plot(ends, line, color=colour, linewidth=2, label=f"exponent {exponent:.2f}")
    for edge in edges[1:-1]:
        ax.axvline(edge, color=FAINT, linewidth=0.8, linestyle="--", zorder=0)
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="lower left", frameon=False)
    plain(ax)
    return ax
