"""The density-distance law, log-log."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from xgeoanom.errors import XGeoAnomError
from xgeoanom.geology.density_law import DensityLaw
from xgeoanom.plot.axes import FAINT, PALETTE, new_axes, plain


def density_law(law: DensityLaw, *, ax: Axes | None = None) -> Axes:
    """Draw the density of deposits against distance, log-log, with the fitted law.

    Dots are what the law was fitted to: densities up to a distance, or of single rings. Rings
    without deposits, whose density has no logarithm, are marked on the axis below.

    Parameters
    ----------
    law : DensityLaw
        What :func:`xgeoanom.density_law` returns.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    XGeoAnomError
        If ``law`` is something else.

    Notes
    -----
    Fig. 7a of Zhang, Xiong and Chen (2026), Geosci. Model Dev. 19, 2219.

    Examples
    --------
    >>> import xarray as xr
    >>> table = {"outer": ("ring", [1.0, 2.0]), "cumulative_density": ("ring", [0.4, 0.3])}
    >>> law = DensityLaw(-0.42, -0.9, 0.1, 0.4, 0.9, "cumulative", xr.Dataset(table))
    >>> density_law(law).get_legend().get_texts()[-1].get_text()
    'k = -0.42 (90 %: -0.90 to 0.10)'
    """
    if not isinstance(law, DensityLaw):
        raise XGeoAnomError(f"law is a {type(law).__name__}, no DensityLaw; see density_law")
    ax = new_axes(ax)
    cumulative = law.estimator == "cumulative"
    names = ("outer", "cumulative_density") if cumulative else ("distance", "density")
    distance, density = (law.table[name].values for name in names)
    known = np.isfinite(distance)
    some = known & (density > 0)
    ax.scatter(distance[some], density[some], 30, PALETTE[0], linewidth=0, zorder=3)
    _mark_empty(ax, distance[known & (density == 0)])
    ends = distance[known][[0, -1]]
    interval = f"{100 * law.level:g} %: {law.low:.2f} to {law.high:.2f}"
    text = f"k = {law.exponent:.2f} ({interval})"
    ax.plot(ends, law.coefficient * ends**law.exponent, color=PALETTE[1], linewidth=2, label=text)
    ax.set(xscale="log", yscale="log")
    units = law.table[names[0]].attrs.get("units", "1")
    ax.set_xlabel("Distance d" if units == "1" else f"Distance d ({units})")
    ax.set_ylabel(f"Deposits per area {'up to d' if cumulative else 'at d'}")
    ax.legend(frameon=False)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    plain(ax)
    return ax


def _mark_empty(ax: Axes, distance: np.ndarray) -> None:
    """Mark rings without deposits on the lower axis."""
    if distance.size:
        ax.scatter(
            distance,
            np.zeros(distance.size),
            24,
            FAINT,
            marker="v",
            linewidth=0,
            transform=ax.get_xaxis_transform(),
            clip_on=False,
            label="no deposit",
        )
