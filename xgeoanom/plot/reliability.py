"""Reliability: what a score says against the share of deposits there."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from xgeoanom.errors import XGeoAnomError
from xgeoanom.plot.axes import unit_square

COLUMNS = {"mean_score", "share", "low", "high"}


def calibration(curve: xr.Dataset | Mapping[str, xr.Dataset], *, ax: Axes | None = None) -> Axes:
    """Draw the share of deposit cells over the score, bin by bin, with intervals.

    On the diagonal a score is the share; below it the score promises too much. The legend gives
    the expected calibration error (ECE).

    Parameters
    ----------
    curve : Dataset or mapping of str to Dataset
        What :func:`calibration_curve` returns, or several of them by name, such as before and
        after scaling.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    XGeoAnomError
        If ``curve`` is no such result.

    Notes
    -----
    The reliability diagram of Guo et al. 2017, Fig. 1.

    Examples
    --------
    >>> columns = {"mean_score": [0.2, 0.8], "share": [0.1, 0.7]}
    >>> bounds = {"low": [0.0, 0.5], "high": [0.3, 0.9]}
    >>> curve = xr.Dataset({k: ("bin", v) for k, v in (columns | bounds).items()})
    >>> ax = calibration({"MIM": curve.assign_attrs(ece=0.1)})
    >>> ax.get_legend().texts[0].get_text()
    'MIM (ECE 0.100)'
    """
    curves = curve if not isinstance(curve, xr.Dataset) else {"score": curve}
    _check_curves(curves)
    ax = unit_square(ax, "Mean score", "Share of deposit cells")
    for name, one in curves.items():
        _draw(ax, one, f"{name} (ECE {one.attrs['ece']:.3f})")
    ax.legend(loc="upper left", frameon=False)
    return ax


def _draw(ax: Axes, curve: xr.Dataset, label: str) -> None:
    share = curve["share"].values
    reach = np.stack([share - curve["low"].values, curve["high"].values - share])
    ax.errorbar(
        curve["mean_score"].values,
        share,
        reach,
        marker="o",
        markersize=5,
        linewidth=1,
        elinewidth=0.8,
        label=label,
    )


def _check_curves(curves: Mapping[str, xr.Dataset]) -> None:
    found = list(curves.values()) if isinstance(curves, Mapping) else []
    if not found or not all(
        isinstance(one, xr.Dataset) and set(one) >= COLUMNS and "ece" in one.attrs for one in found
    ):
        raise XGeoAnomError(
            f"curve is a {type(curves).__name__} and must be what calibration_curve returns, or a "
            "mapping of names to such"
        )
