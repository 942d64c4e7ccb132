"""What all figures share: fresh axes, map frames in km, deposits, and robust colour scales."""

import math
from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, MaxNLocator

from xgeoanom.conventions import X, Y, cell_size
from xgeoanom.errors import XGeoAnomError
from xgeoanom.evaluation.deposits import deposit_points

INK, FAINT = "#262626", "#8c8c8c"
# Distinct for colour-blind readers, and in print (after Okabe and Ito).
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MAP_SIZE, CURVE_SIZE = (6.4, 4.6), (5.2, 4.4)
COLUMNS, PANEL, SMALL_PANEL = 3, 3.7, 2.3  # panels a row, and their widths in inches
FEW_PANELS = 12  # more are drawn small, on a page that is about square


def new_axes(ax: Axes | None, size: tuple[float, float] = CURVE_SIZE) -> Axes:
    """Return ``ax``, or the axes of a new figure."""
    if ax is not None:
        return ax
    ax = plt.subplots(figsize=size, layout="constrained")[1]
    ax.set_prop_cycle(color=PALETTE)
    return ax


def new_panels(axes: Sequence[Axes] | None, n: int, aspect: float) -> np.ndarray:
    """Return ``n`` axes: those given, or a new figure's, three a row, more where they are many.

    ``aspect`` is the height of a map over its width.
    """
    if axes is not None:
        given = np.asarray(axes, dtype=object).ravel()
        if given.size != n:
            raise XGeoAnomError(f"axes holds {given.size} axes, the figure needs {n}")
        return given
    few = n <= FEW_PANELS
    columns, width = (min(n, COLUMNS), PANEL) if few else (math.ceil(math.sqrt(n)), SMALL_PANEL)
    rows = -(-n // columns)
    size = width * columns, rows * (0.7 * width * min(max(aspect, 0.4), 2.0) + 0.7)
    grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="compressed")[1]
    for spare in grid.ravel()[n:]:
        spare.remove()
    return grid.ravel()[:n]


def outer_labels(panels: np.ndarray) -> None:
    """Leave the axes' labels only at the left and below the lowest panel of each column."""
    columns = panels[0].get_subplotspec().get_gridspec().ncols
    for k, ax in enumerate(panels):
        if k % columns:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
        if k + columns < len(panels):
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)


def plain(ax: Axes) -> None:
    """Leave only the left and lower spine."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(color=FAINT, labelcolor=INK)


def length_unit(grid: xr.DataArray | xr.Dataset) -> tuple[float, str]:
    """Return the factor from CRS units to the plotted unit, and that unit's name."""
    crs = grid.rio.crs
    if crs is None:
        return 1.0, ""
    if not crs.is_projected:
        return 1.0, "°"
    if crs.linear_units.lower() not in ("metre", "meter", "m"):
        return 1.0, crs.linear_units
    extent = max(float(grid[dim].max() - grid[dim].min()) for dim in (Y, X))
    return (1e-3, "km") if extent >= 5000 else (1.0, "m")


def frame_map(ax: Axes, unit: str) -> None:
    """Label the axes of a map and give both the same scale."""
    names = {"": ("x", "y"), "°": ("Longitude (°)", "Latitude (°)")}
    east, north = names.get(unit, (f"Easting ({unit})", f"Northing ({unit})"))
    ax.set(xlabel=east, ylabel=north, aspect="equal")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.ticklabel_format(useOffset=False, style="plain")
    ax.tick_params(color=FAINT, labelcolor=INK)
    for spine in ax.spines.values():
        spine.set(color=FAINT, linewidth=0.8)


def draw_raster(ax: Axes, raster: xr.DataArray, **style: Any) -> AxesImage:
    """Draw a ``(y, x)`` raster with north up, each cell around its centre; NaN stays white."""
    factor, unit = length_unit(raster)
    height, width = (abs(step) * factor for step in cell_size(raster))
    raster = raster.transpose(Y, X).sortby([Y, X])
    x, y = raster[X].values * factor, raster[Y].values * factor
    edges = (x[0] - width / 2, x[-1] + width / 2, y[0] - height / 2, y[-1] + height / 2)
    style = {"origin": "lower", "interpolation": "nearest", "extent": edges, **style}
    image = ax.imshow(raster.values, **style)
    frame_map(ax, unit)
    return image


def draw_deposits(
    ax: Axes, deposits: gpd.GeoDataFrame | None, like: xr.DataArray, *, size: float = 34
) -> None:
    """Mark deposits with triangles that stand out on any colour."""
    if deposits is None:
        return
    x, y = deposit_points(deposits, like).T * length_unit(like)[0]
    limits = ax.get_xlim(), ax.get_ylim()
    name = f"Deposit (n = {len(x)})"
    ax.scatter(x, y, size, "white", marker="^", edgecolor=INK, zorder=3, label=name)
    ax.set(xlim=limits[0], ylim=limits[1])


def raster_label(raster: xr.DataArray) -> str:
    """Return a raster's long name, after the component it is of, and its unit where it has one."""
    name = str(raster.attrs.get("long_name", raster.name or ""))
    if "component" in raster.coords:
        name = f"{raster.coords['component'].item()}, {name}"
    unit = raster.attrs.get("units", "1")
    return name if unit == "1" else f"{name} ({unit})"


def add_colourbar(ax: Axes, mappable: ScalarMappable, label: str, extend: str) -> None:
    """Add a slim colour bar."""
    bar = ax.figure.colorbar(
        mappable, ax=ax, label=label, extend=extend, shrink=0.85, aspect=24, pad=0.02
    )
    bar.outline.set_visible(False)
    if isinstance(mappable.norm, LogNorm):
        ticks = _log_ticks(*mappable.get_clim())
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks], minor=False)
        bar.minorticks_off()
    bar.ax.tick_params(color=FAINT, labelcolor=INK, labelsize="small")


def _log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2, 5, 10 ... between the limits, or even steps where they are close."""
    even = high / low < 5
    locator = MaxNLocator(4) if even else LogLocator(subs=(1, 2, 5))
    return [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]


def robust_norm(values: np.ndarray, *, log: bool) -> tuple[Normalize, str]:
    """Return a colour scale from the 2nd to the 98th percentile, and which ends run over."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return Normalize(0, 1), "neither"
    low, high = np.quantile(known, [0.02, 0.98])
    if low == high:
        low, high = known.min(), known.max()
    if low == high:
        return Normalize(low - 0.5, low + 0.5), "neither"
    below, above = known.min() < low, known.max() > high
    ends = {(True, True): "both", (True, False): "min", (False, True): "max"}
    norm = LogNorm(low, high) if log and low > 0 else Normalize(low, high)
    return norm, ends.get((bool(below), bool(above)), "neither")


def unit_square(ax: Axes | None, xlabel: str, ylabel: str) -> Axes:
    """Return square axes from 0 to 1 with the diagonal of chance, drawn once."""
    ax = new_axes(ax)
    if not ax.lines:
        ax.axline((0, 0), slope=1, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    plain(ax)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return ax
