"""Maps of the survey itself: the samples, before any gridding."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from xgeoanom.conventions import (
    ELEMENT,
    MEASURED,
    NOT_ANALYSED,
    UNIT,
    X,
    Y,
)
from xgeoanom.errors import CubeError
from xgeoanom.plot.axes import (
    FAINT,
    MAP_SIZE,
    add_colourbar,
    frame_map,
    length_unit,
    new_axes,
    robust_norm,
)
from xgeoanom.plot.maps import ELEMENT_COLOURS


def samples(table: xr.Dataset, element: str, *, ax: Axes | None = None) -> Axes:
    """Draw the samples of a survey, coloured by the concentration of one element.

    Rings are samples below a detection limit, crosses those not analysed. The colours run from
    the 2nd to the 98th percentile of measured values, on a log scale; high values lie on top.

    Parameters
    ----------
    table : Dataset
        Survey table: ``concentration`` and, if known, ``state`` over ``(sample, element)``.
    element : str
        Which element.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    CubeError
        If the table lacks ``element``.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [2.0], [5.0]])},
    ...     coords={"element": ["Au"], "unit": ("element", ["ppb"]),
    ...             "x": ("sample", [0.0, 1.0, 2.0]), "y": ("sample", [0.0, 2.0, 1.0])},
    ... )
    >>> samples(table, "Au").get_title(loc="left")
    'Au'
    """
    if element not in table[ELEMENT].values:
        raise CubeError(f"element={element!r} is not in the table: {list(table[ELEMENT].values)}")
    one = table.sel({ELEMENT: element}).compute()
    ax = new_axes(ax, MAP_SIZE)
    values = one["concentration"].values
    state = one["state"].values if "state" in one else np.where(np.isnan(values), NOT_ANALYSED, 0)
    factor, unit = length_unit(one)
    places = one[X].values * factor, one[Y].values * factor
    _draw_unmeasured(ax, *places, state)
    _draw_measured(ax, *places, np.where(state == MEASURED, values, np.nan), _unit(one))
    frame_map(ax, unit)
    ax.set_title(element, loc="left", fontweight="bold")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize="small"
        )
    return ax


def _unit(one: xr.Dataset) -> str:
    return str(one[UNIT].item()) if UNIT in one.coords else ""


def _draw_unmeasured(ax: Axes, x: np.ndarray, y: np.ndarray, state: np.ndarray) -> None:
    size, lost = _marker_size(x.size), state == NOT_ANALYSED
    below = ~lost & (state != MEASURED)
    if below.any():
        rings = ax.scatter(x[below], y[below], size, "none", edgecolor=FAINT, linewidth=0.6)
        rings.set_label("below detection limit")
    if lost.any():
        crosses = ax.scatter(x[lost], y[lost], size, FAINT, marker="x", linewidth=0.6)
        crosses.set_label("not analysed")


def _draw_measured(ax: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, unit: str) -> None:
    """Draw measured samples, the highest last."""
    order = np.argsort(values)
    order = order[: np.isfinite(values).sum()]
    norm, extend = robust_norm(values, log=True)
    dots = ax.scatter(
        x[order],
        y[order],
        c=values[order],
        s=_marker_size(x.size),
        norm=norm,
        cmap=ELEMENT_COLOURS,
        linewidth=0,
    )
    add_colourbar(ax, dots, unit, extend)


def _marker_size(n: int) -> float:
    """Return an area in points that shrinks with the number of samples."""
    return float(np.clip(16_000 / max(n, 1), 3, 40))
