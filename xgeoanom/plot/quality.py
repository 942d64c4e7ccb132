"""Figures of a laboratory's quality: precision from duplicates, and reference materials."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from xgeoanom.conventions import MEASURED, UNIT
from xgeoanom.errors import CubeError
from xgeoanom.plot.axes import FAINT, INK, PALETTE, new_axes, plain
from xgeoanom.survey.precision import (
    CHART_LINES,
    REGRESSION,
    SD_OF_MEDIAN,
    check_pairs,
    duplicate_precision,
    group_pairs,
    precision_at,
    sorted_pairs,
)
from xgeoanom.survey.table import check_element, check_table, column_of, positive

CHART_SIZE = (6.0, 3.6)


def thompson_howarth(
    pairs: xr.Dataset, element: str, *, target: float = 0.1, ax: Axes | None = None
) -> Axes:
    """Draw the differences of duplicate pairs against their means, after Thompson and Howarth.

    Solid: the median difference that was fitted, with the groups' medians where there are 50
    pairs. Dashed: below these lines lie 90 % and 99 % of pairs if the precision is ``target``.
    Pairs without a difference stand on the lower edge.

    Parameters
    ----------
    pairs : Dataset
        What :func:`duplicate_pairs` returns.
    element : str
        Which element.
    target : float
        Precision that is asked for, as a share: two standard deviations over concentration.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    CubeError
        If ``pairs`` lacks ``element``, or has no pair of it.
    XGeoAnomError
        If ``target`` is not above 0 and below 1.

    Examples
    --------
    >>> first = np.linspace(10, 100, 60)
    >>> pairs = xr.Dataset(
    ...     {"first": (("pair", "element"), first[:, None]),
    ...      "second": (("pair", "element"), 1.1 * first[:, None])}, {"element": ["Cu"]})
    >>> thompson_howarth(pairs, "Cu").get_title(loc="left")
    'Cu'
    """
    check_pairs(pairs)
    check_element(pairs, element)
    one = pairs.sel(element=[element])
    mean, difference = sorted_pairs(one, element)
    if not (difference > 0).any():
        raise CubeError(f"element={element!r} has no pair that differs; nothing can be drawn")
    fit = duplicate_precision(one, target=target).isel(element=0)
    ax = new_axes(ax)
    plain(ax)
    floor = difference[difference > 0].min() / 2
    ax.plot(mean, np.fmax(difference, floor), ".", color=FAINT, label=f"{mean.size} pairs")
    x = np.geomspace(mean.min(), mean.max(), 50)
    for (percent, line), style in zip(CHART_LINES.items(), ("--", ":"), strict=True):
        label = f"{percent} % at a precision of {100 * target:g} %"
        ax.plot(x, line * target / 2 * x, style, color=INK, linewidth=0.9, label=label)
    _draw_fit(ax, x, mean, difference, fit)
    ax.set(xscale="log", yscale="log", ylim=(floor, None))
    unit = f" ({fit[UNIT].item()})" if UNIT in fit.coords else ""
    ax.set(xlabel=f"Mean of the pair{unit}", ylabel=f"Difference{unit}")
    ax.set_title(element, loc="left", fontweight="bold")
    ax.legend(loc="lower right", frameon=False, fontsize="small")
    return ax


def _draw_fit(
    ax: Axes, x: np.ndarray, mean: np.ndarray, difference: np.ndarray, fit: xr.Dataset
) -> None:
    if not np.isfinite(fit["k"]):
        return
    if fit["form"] == REGRESSION:
        groups = group_pairs(mean, difference)
        ax.plot(*groups, "o", color=PALETTE[1], markersize=4, label="medians of 11 pairs")
    middle = float(np.median(mean))
    share = 100 * float(precision_at(fit, middle))
    s0, k = float(fit["s0"]), float(fit["k"])
    label = f"fitted: precision {share:.2g} % at {middle:.3g}"
    ax.plot(x, (s0 + k * x) / SD_OF_MEDIAN, color=PALETTE[0], label=label)


def control_chart(
    table: xr.Dataset,
    material: str,
    element: str,
    *,
    certified: float,
    sd: float | None = None,
    by: str = "material",
    ax: Axes | None = None,
) -> Axes:
    """Draw the analyses of a reference material in the table's order (Shewhart's chart).

    Lines stand at the certified value, and two and three standard deviations off it; analyses
    beyond three are marked.

    Parameters
    ----------
    table : Dataset
        Survey table with the analyses of the material among its samples.
    material, element : str
        Which material and element.
    certified : float
        Certified value, in the table's unit.
    sd : float, optional
        Standard deviation of the certificate; by default that of the analyses.
    by : str
        Column of the samples that names the material.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    CubeError
        If the table lacks ``by`` or ``element``, or has fewer than two analyses of the material.
    XGeoAnomError
        If ``certified`` or ``sd`` is not positive.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[9.0], [13.0], [2.0]]),
    ...      "state": (("sample", "element"), np.zeros((3, 1), dtype="int8"))},
    ...     {"element": ["Au"], "material": ("sample", ["GBM1", "GBM1", ""])},
    ... )
    >>> control_chart(table, "GBM1", "Au", certified=10.0).get_title(loc="left")
    'Au in GBM1'
    """
    check_table(table)
    check_element(table, element)
    certified = positive("certified", certified)
    one = table.isel(sample=column_of(table, by) == material).sel(element=element)
    values = one["concentration"].where(one["state"] == MEASURED).dropna("sample").values
    if values.size < 2:
        raise CubeError(
            f"material={material!r} has {values.size} measured values of {element} in {by!r}; a "
            "chart needs two"
        )
    spread = float(values.std(ddof=1)) if sd is None else positive("sd", sd)
    ax = new_axes(ax, CHART_SIZE)
    plain(ax)
    _draw_limits(ax, certified, spread)
    order = np.arange(1, values.size + 1)
    off = np.abs(values - certified) > 3 * spread
    ax.plot(order, values, "-o", markersize=4, linewidth=0.8, color=PALETTE[0])
    if off.any():
        ax.plot(order[off], values[off], "o", color=PALETTE[1], label=f"{off.sum()} beyond 3 sd")
        ax.legend(frameon=False, fontsize="small")
    unit = f" ({one[UNIT].item()})" if UNIT in one.coords else ""
    ax.set(xlabel="Analysis", ylabel=f"{element}{unit}")
    ax.set_title(f"{element} in {material}", loc="left", fontweight="bold")
    return ax


def _draw_limits(ax: Axes, certified: float, sd: float) -> None:
    """Draw the certified value, and named lines two and three standard deviations off it."""
    styles = {0: "-", 2: "--", -2: "--", 3: ":", -3: ":"}
    for k, style in styles.items():
        ax.axhline(certified + k * sd, color=FAINT, linestyle=style, linewidth=0.9, zorder=0)
        ax.annotate(
            f"{k:+d} sd" if k else "certified",
            (1, certified + k * sd),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=INK,
        )
