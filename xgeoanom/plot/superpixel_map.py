"""Outlines of superpixels over a map."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from xgeoanom.conventions import ELEMENT, LOG_RATIO, X, Y, cell_size, check_same_grid
from xgeoanom.plot.axes import (
    INK,
    MAP_SIZE,
    add_colourbar,
    draw_raster,
    frame_map,
    length_unit,
    new_axes,
    robust_norm,
)
from xgeoanom.plot.maps import ELEMENT_COLOURS


def superpixel_boundaries(
    superpixels: xr.DataArray,
    raster: xr.DataArray | None = None,
    *,
    ax: Axes | None = None,
    colour: str = "white",
    linewidth: float = 0.5,
) -> Axes:
    """Draw the outlines of superpixels, over a raster or over the map that ``ax`` shows.

    The colours of the raster run from the 2nd to the 98th percentile.

    Parameters
    ----------
    superpixels : DataArray
        Ids ``(y, x)``, -1 where missing.
    raster : DataArray, optional
        What to draw below, on the same grid: an element, a component, a score.
    ax : Axes, optional
        Where to draw, such as the axes of :func:`class_map`; by default a new figure.
    colour : str
        Colour of the outlines.
    linewidth : float
        Their width in points.

    Raises
    ------
    GridError
        If the grids differ.

    Examples
    --------
    >>> grid = {"y": [2.0, 1.0, 0.0], "x": [0.0, 1.0, 2.0]}
    >>> ids = xr.DataArray([[0, 0, 1]] * 3, grid, dims=("y", "x"))
    >>> len(superpixel_boundaries(ids).collections[0].get_segments())
    1
    """
    lone = raster is None and ax is None
    ax = new_axes(ax, MAP_SIZE)
    if raster is not None:
        check_same_grid(superpixels, raster, "superpixels")
        _draw_below(ax, raster.compute())
    lines = list(outlines(superpixels))
    # Nothing lies below outlines that stand alone.
    ax.add_collection(LineCollection(lines, colors=INK if lone else colour, linewidths=linewidth))
    if lone:
        _frame(ax, superpixels)
    return ax


def outlines(superpixels: xr.DataArray) -> np.ndarray:
    """Return the lines between superpixels ``(line, 2, 2)``, x and y of both ends as plotted."""
    factor, _ = length_unit(superpixels)
    height, width = (step * factor for step in cell_size(superpixels))
    ids = superpixels.transpose(Y, X)
    west, north = ids[X].values[0] * factor - width / 2, ids[Y].values[0] * factor - height / 2
    upright = _runs(ids.values[:, :-1] != ids.values[:, 1:])
    level = _runs((ids.values[:-1] != ids.values[1:]).T)[..., ::-1]
    corners = np.concatenate([upright, level])
    return np.stack([west + corners[..., 1] * width, north + corners[..., 0] * height], axis=-1)


def _runs(apart: np.ndarray) -> np.ndarray:
    """Return row and column of both ends of each run of True down a column, as cell corners."""
    rim = np.zeros((1, apart.shape[1]), dtype="int8")
    change = np.diff(apart.astype("int8"), axis=0, prepend=rim, append=rim).T
    ends = []
    for sign in (1, -1):
        col, row = np.nonzero(change == sign)
        ends.append(np.stack([row, col + 1], axis=-1))
    return np.stack(ends, axis=1)


def _draw_below(ax: Axes, raster: xr.DataArray) -> None:
    norm, extend = robust_norm(raster.values, log=raster.attrs.get(LOG_RATIO) == "none")
    image = draw_raster(ax, raster, cmap=ELEMENT_COLOURS, norm=norm)
    add_colourbar(ax, image, str(raster.attrs.get("long_name", raster.name or "")), extend)
    if ELEMENT in raster.coords:
        ax.set_title(str(raster[ELEMENT].item()), loc="left", fontweight="bold")


def _frame(ax: Axes, superpixels: xr.DataArray) -> None:
    """Show the whole grid, with its units."""
    factor, unit = length_unit(superpixels)
    for dim, limits in ((X, ax.set_xlim), (Y, ax.set_ylim)):
        values = superpixels[dim].values * factor
        half = abs(values[1] - values[0]) / 2
        limits(values.min() - half, values.max() + half)
    frame_map(ax, unit)
