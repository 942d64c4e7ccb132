"""Empirical variograms, and the variogram that was fitted to them."""

import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from xgeoanom.conventions import ELEMENT
from xgeoanom.errors import XGeoAnomError
from xgeoanom.plot.axes import FAINT, INK, PALETTE, new_axes, plain
from xgeoanom.survey.variogram import Variogram
from xgeoanom.survey.variogram_fit import check_empirical

LARGEST, SMALLEST = 90.0, 10.0  # areas of dots, in square points


def variogram(
    empirical: xr.Dataset, model: Variogram | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw an empirical variogram and, where given, the variogram fitted to it.

    The area of a dot grows with its number of pairs; each direction has a colour, for its dots
    and its curve. Dashed lines mark the sill and the effective ranges.

    Parameters
    ----------
    empirical : Dataset
        ``gamma``, ``distance`` and ``n_pairs`` over ``lag``, and maybe ``azimuth``, as
        :func:`xgeoanom.empirical_variogram` gives.
    model : Variogram, optional
        Drawn as a line for each direction.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    XGeoAnomError
        If ``empirical`` or ``model`` is something else.

    Examples
    --------
    >>> h = np.array([100.0, 200.0, 300.0])
    >>> model = Variogram.spherical(1.0, 250.0)
    >>> empirical = xr.Dataset({
    ...     "gamma": ("lag", model.gamma(h)), "distance": ("lag", h),
    ...     "n_pairs": ("lag", np.array([20, 40, 60])),
    ... })
    >>> variogram(empirical, model).get_ylabel()
    'Semivariance'
    """
    check_empirical(empirical)
    if not isinstance(model, Variogram | None):
        raise XGeoAnomError(f"model={model!r} is no Variogram; see fit_variogram")
    ax = new_axes(ax)
    gamma, distance, n_pairs = (
        np.atleast_2d(empirical[name].transpose(..., "lag").values)
        for name in ("gamma", "distance", "n_pairs")
    )
    azimuths = np.atleast_1d(empirical["azimuth"].values) if "azimuth" in empirical else [None]
    far = np.nanmax(distance) * 1.05
    for row, azimuth in enumerate(azimuths):
        colour = PALETTE[row % len(PALETTE)]
        area = SMALLEST + (LARGEST - SMALLEST) * n_pairs[row] / n_pairs.max()
        label = None if azimuth is None else f"{azimuth:g}°"
        ax.scatter(distance[row], gamma[row], area, colour, label=label, linewidth=0, alpha=0.8)
        if model is not None:
            ax.plot(*_curve(model, azimuth, far), color=colour, linewidth=1.5)
    _mark(ax, model, far)
    _frame(ax, empirical, far)
    return ax


def _curve(model: Variogram, azimuth: float | None, far: float) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and semivariances in a direction; without one, along the longest range."""
    if azimuth is None and model.structures:
        azimuth = max(model.structures, key=lambda part: part.effective_range).azimuth
    angle = math.radians(azimuth or 0.0)
    h = np.linspace(far / 1000, far, 400)  # from the nugget on, not from 0
    return h, model.gamma(h * math.sin(angle), h * math.cos(angle))


def _mark(ax: Axes, model: Variogram | None, far: float) -> None:
    """Mark the sill and those effective ranges that lie in the figure."""
    if model is None:
        return
    style: dict[str, Any] = {"color": FAINT, "linewidth": 0.8, "linestyle": "--", "zorder": 0}
    ax.axhline(model.sill, **style)
    for part in model.structures:
        if part.effective_range < far:
            ax.axvline(part.effective_range, **style)


def _frame(ax: Axes, empirical: xr.Dataset, far: float) -> None:
    units = empirical["gamma"].attrs.get("units", "1")
    ax.set(xlim=(0, far), ylim=(0, None), xlabel="Distance (CRS units)")
    ax.set_ylabel("Semivariance" if units == "1" else f"Semivariance ({units})")
    if ELEMENT in empirical.coords:
        ax.set_title(str(empirical[ELEMENT].item()), loc="left", fontweight="bold", color=INK)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(title="Azimuth", frameon=False, fontsize="small")
    plain(ax)
