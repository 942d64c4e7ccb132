"""Attribution drawn: which elements made the score where, and which weigh most over a map."""

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from xgeoanom.conventions import CUBE_DIMS, ELEMENT, X, Y, cell_size
from xgeoanom.errors import XGeoAnomError
from xgeoanom.plot.axes import (
    FAINT,
    INK,
    PALETTE,
    draw_deposits,
    draw_raster,
    new_axes,
    new_panels,
    outer_labels,
    plain,
)
from xgeoanom.plot.explanations import SIGNED_COLOURS

COLUMNS = ("mean_abs", "mean", "p10", "p90")
WIDTH, ROW_HEIGHT = 5.6, 0.26  # inches


def attributions(
    maps: xr.DataArray, *, n: int = 6, deposits: gpd.GeoDataFrame | None = None
) -> np.ndarray:
    """Draw the maps of the elements that weigh most, the heaviest first; return their axes.

    Red raised the score, blue lowered it. All maps have one scale, even about 0, to the 98th
    percentile of absolute shares.

    Parameters
    ----------
    maps : DataArray
        ``(element, y, x)``: what :func:`attribution_maps` returns; computed if chunked.
    n : int
        How many elements to draw: those of the largest mean absolute share.
    deposits : GeoDataFrame, optional
        Points to mark, in the CRS of ``maps``.

    Raises
    ------
    XGeoAnomError
        If ``maps`` has other dims or only missing cells, or ``n`` is less than 1.
    LabelError, CRSError
        If ``deposits`` are no points in the CRS of ``maps``.

    Examples
    --------
    >>> maps = xr.DataArray(
    ...     np.array([1.0, -3.0, 2.0])[:, None, None] * np.ones((2, 2)),
    ...     {"element": ["Cu", "Au", "As"], "y": [500.0, 0.0], "x": [0.0, 500.0]},
    ...     ("element", "y", "x"),
    ... )
    >>> [ax.get_title(loc="left") for ax in attributions(maps, n=2)]
    ['Au', 'As']
    """
    if not isinstance(maps, xr.DataArray) or set(maps.dims) != set(CUBE_DIMS):
        raise XGeoAnomError("maps is no (element, y, x) array; give what attribution_maps returns")
    _check_count(n)
    heaviest = _heaviest(maps.compute(), n)
    height, width = cell_size(heaviest)
    aspect = abs(heaviest.sizes[Y] * height / (heaviest.sizes[X] * width))
    panels = new_panels(None, heaviest.sizes[ELEMENT], aspect)
    most = float(np.nanquantile(abs(heaviest), 0.98)) or 1.0
    for layer, ax in zip(heaviest, panels, strict=True):
        image = draw_raster(ax, layer, cmap=SIGNED_COLOURS, norm=Normalize(-most, most))
        draw_deposits(ax, deposits, layer, size=16)
        ax.set_title(str(layer[ELEMENT].item()), loc="left", fontweight="bold")
    outer_labels(panels)
    label = str(maps.attrs.get("long_name", maps.name or ""))
    bar = panels[0].figure.colorbar(
        image, ax=list(panels), label=label, extend="both", shrink=0.85, aspect=24
    )
    bar.outline.set_visible(False)
    return panels


def _check_count(n: int) -> None:
    if not isinstance(n, int) or n < 1:
        raise XGeoAnomError(f"n={n!r} must be an integer of at least 1")


def _heaviest(maps: xr.DataArray, n: int) -> xr.DataArray:
    """Return the elements of the largest mean absolute share, the largest first."""
    weight = abs(maps).mean((Y, X), dtype="float64").values
    if np.isnan(weight).all():
        raise XGeoAnomError("maps holds only missing cells; there is nothing to draw")
    return maps.transpose(*CUBE_DIMS).isel({ELEMENT: np.argsort(-weight, kind="stable")[:n]})


def attribution_bars(summary: pd.DataFrame, *, n: int = 12, ax: Axes | None = None) -> Axes:
    """Draw which elements weigh most over a whole map, the heaviest at the top.

    A bar is the mean absolute share, a dot the mean share, above 0 where the element raises the
    score, and a line runs from the 10th to the 90th percentile of shares.

    Parameters
    ----------
    summary : pandas.DataFrame
        What :func:`attribution_summary` returns.
    n : int
        How many elements to draw.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    XGeoAnomError
        If ``summary`` lacks columns, or ``n`` is less than 1.

    Examples
    --------
    >>> columns = {"mean_abs": [2.0, 1.0], "mean": [1.5, -1.0], "p10": [-1, -2], "p90": [3, 0]}
    >>> ax = attribution_bars(pd.DataFrame(columns, index=["Au", "Cu"]))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['Au', 'Cu']
    """
    if not isinstance(summary, pd.DataFrame) or not set(COLUMNS) <= set(summary.columns):
        raise XGeoAnomError(f"summary lacks {COLUMNS}; give what attribution_summary returns")
    _check_count(n)
    heaviest = summary.sort_values("mean_abs", ascending=False, kind="stable")[:n]
    at = np.arange(len(heaviest))
    ax = new_axes(ax, (WIDTH, 1.2 + ROW_HEIGHT * at.size))
    plain(ax)
    ax.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    ax.barh(at, heaviest["mean_abs"], height=0.7, color=PALETTE[4], alpha=0.5)
    ax.hlines(at, heaviest["p10"], heaviest["p90"], colors=PALETTE[0], linewidth=1.6)
    ax.scatter(heaviest["mean"], at, color=PALETTE[0], s=24, zorder=3)
    ax.set_yticks(at, [str(name) for name in heaviest.index])
    ax.set(xlabel="Share in the score", ylim=(at.size - 0.4, -0.6))
    _legend(ax)
    return ax


def _legend(ax: Axes) -> None:
    bar = Patch(facecolor=PALETTE[4], alpha=0.5, label="mean of absolute shares")
    dot = Line2D([], [], color=PALETTE[0], marker="o", markersize=5, linewidth=1.6)
    dot.set_label("mean, 10th to 90th percentile")
    # Above the axes, where it hides no element.
    ax.legend(
        handles=[bar, dot],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        frameon=False,
        fontsize="small",
        labelcolor=INK,
    )
