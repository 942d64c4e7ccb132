"""Explanations drawn: where deformable convolutions look, and where in a patch evidence lies."""

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.quiver import Quiver

from xgeoanom.conventions import X, Y
from xgeoanom.errors import CRSError, GridError, XGeoAnomError
from xgeoanom.plot.axes import (
    INK,
    MAP_SIZE,
    PALETTE,
    add_colourbar,
    draw_deposits,
    draw_raster,
    frame_map,
    length_unit,
    new_axes,
    new_panels,
    outer_labels,
    raster_label,
    robust_norm,
)
from xgeoanom.plot.maps import SCORE_COLOURS

SIGNED_COLOURS = "RdBu_r"
# Paler than arrows, and darker than what is missing.
BACKGROUND_COLOURS = ListedColormap(colormaps["Greys"](np.linspace(0.12, 0.6, 256)))
REACH = 0.1  # of the map's diagonal, at most, for a long arrow
ROW = 20  # points above the map, for the key and the deposits' legend


def offsets(
    field: xr.Dataset,
    *,
    background: xr.DataArray | None = None,
    deposits: gpd.GeoDataFrame | None = None,
    weighted: bool = True,
    scale: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw whereto the points of deformable convolutions moved, as arrows on a map.

    North is up whichever way y runs. An arrow averages the nine points of a kernel: opposite
    displacements cancel, and a kernel that spreads wide may show no arrow. The points themselves
    are in ``point_east_cells`` and ``point_north_cells``.

    Parameters
    ----------
    field : Dataset
        What :func:`offsets_at` returns, on a lattice or at places.
    background : DataArray, optional
        Raster ``(y, x)`` in the CRS of ``field`` to draw below, such as robust PC1 or a score,
        from its 2nd to its 98th percentile; computed if chunked.
    deposits : GeoDataFrame, optional
        Points to mark, in the CRS of ``field``.
    weighted : bool
        Whether the nine points are weighted by their modulation.
    scale : float, optional
        How many times longer than on the ground arrows are drawn. By default long ones just reach
        their neighbours, be they a metre or a kilometre: read the key, which is in CRS units.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    XGeoAnomError
        If ``field`` holds no offsets, or only missing ones, or ``scale`` is not positive.
    GridError, CRSError
        If ``background`` is no ``(y, x)`` raster in the CRS of ``field``.

    Notes
    -----
    Zhang, Xiong and Chen 2026, Figs. 10 and 11.

    Examples
    --------
    >>> lattice = {"y": [2000.0, 0.0], "x": [0.0, 2000.0]}
    >>> ones = xr.DataArray(np.ones((2, 2)), lattice, dims=("y", "x"))
    >>> field = xr.Dataset({"weighted_east": 300 * ones, "weighted_north": -400 * ones})
    >>> arrows = offsets(field, scale=2).collections[0]
    >>> arrows.U[0], arrows.V[0]
    (np.float64(300.0), np.float64(-400.0))
    """
    prefix = "weighted_" if weighted else ""
    _check_field(field, prefix, scale)
    _check_background(background, field)
    ax = new_axes(ax, MAP_SIZE)
    if background is not None:
        _draw_background(ax, background)
    like = field[f"{prefix}east"] if background is None else background
    factor, unit = length_unit(like)
    quiver = _draw_arrows(ax, field, prefix, scale, factor)
    _draw_key(ax, quiver, field[f"{prefix}east"].attrs.get("units", ""))
    frame_map(ax, unit)
    draw_deposits(ax, deposits, like)
    if deposits is not None:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize="small")
    layer = f" of {field.attrs['layer']}" if "layer" in field.attrs else ""
    kind = "weighted by modulation" if weighted else "plain mean"
    ax.set_title(f"Offsets{layer}, nine points, {kind}", loc="left", fontsize="medium", pad=ROW)
    return ax


def _check_field(field: xr.Dataset, prefix: str, scale: float | None) -> None:
    wanted = {f"{prefix}east", f"{prefix}north"}
    if not isinstance(field, xr.Dataset) or not wanted <= set(field.data_vars):
        raise XGeoAnomError(f"field lacks {sorted(wanted)}; give what offsets_at returns")
    if field[f"{prefix}east"].isnull().all():
        raise XGeoAnomError("field holds only missing offsets; there is nothing to draw")
    if scale is not None and not (isinstance(scale, int | float) and scale > 0):
        raise XGeoAnomError(f"scale={scale!r} must be positive; 1 draws arrows as on the ground")


def _check_background(background: xr.DataArray | None, field: xr.Dataset) -> None:
    if background is None:
        return
    if set(background.dims) != {Y, X}:
        raise GridError(
            f"background has dims {background.dims}, not ('y', 'x'); select one layer of it"
        )
    if background.rio.crs != field.rio.crs:
        raise CRSError(
            f"background has CRS {background.rio.crs}, the offsets {field.rio.crs}; give both the "
            "same"
        )


def _draw_background(ax: Axes, background: xr.DataArray) -> None:
    background = background.compute()
    norm, extend = robust_norm(background.values, log=False)
    image = draw_raster(ax, background, cmap=BACKGROUND_COLOURS, norm=norm)
    add_colourbar(ax, image, raster_label(background), extend)


def _draw_arrows(
    ax: Axes, field: xr.Dataset, prefix: str, scale: float | None, factor: float
) -> Quiver:
    """Draw arrows in CRS units on axes whose units are ``factor`` of these."""
    x, y, east, north = _vectors(field, prefix)
    limits = np.array([ax.get_xlim(), ax.get_ylim()]) if ax.images else None
    starts = np.stack([x, y]) * factor
    if scale is None:
        corners = limits if limits is not None else np.stack([starts.min(1), starts.max(1)], 1)
        scale = _scale(corners / factor, np.hypot(east, north))
    ends = starts + scale * factor * np.stack([east, north])
    style: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1 / (scale * factor)}
    quiver = ax.quiver(*starts, east, north, width=0.003, color=PALETTE[1], zorder=2, **style)
    if limits is None:  # a quiver makes room for the starts alone
        ax.update_datalim(ends.T)
        ax.autoscale_view()
    else:
        ax.set(xlim=limits[0], ylim=limits[1])
    return quiver


def _vectors(field: xr.Dataset, prefix: str) -> np.ndarray:
    """Return x, y, east and north ``(4, arrow)``; missing cells have no arrow."""
    arrays = xr.broadcast(field[X], field[Y], field[f"{prefix}east"], field[f"{prefix}north"])
    vectors = np.stack([array.values.ravel() for array in arrays])
    return vectors[:, np.isfinite(vectors).all(axis=0)]


def _scale(corners: np.ndarray, lengths: np.ndarray) -> float:
    """Return the scale at which a long arrow reaches its neighbour, or crosses a tenth."""
    reach = np.hypot(*np.diff(corners).ravel()) / max(1 / REACH, np.sqrt(lengths.size))
    return float(reach / _long(lengths)) or 1.0  # a single place has no neighbour


def _long(lengths: np.ndarray) -> float:
    """Return the 95th percentile of lengths, which no single long arrow moves; 1 for none."""
    return float(np.quantile(lengths, 0.95)) or 1.0


def _draw_key(ax: Axes, quiver: Quiver, units: str) -> None:
    """Draw an arrow of a round length, 1, 2 or 5 times a power of ten, above the map."""
    long = _long(np.hypot(quiver.U, quiver.V))
    power = 10.0 ** np.floor(np.log10(long))
    length = power * max(digit for digit in (1, 2, 5) if digit * power <= long)
    name = f"{length:g} {'m' if units == 'metre' else units}"
    ax.quiverkey(quiver, 0.85, 1.04, length, name, labelpos="E", labelcolor=INK)


def patch_maps(maps: xr.DataArray, *, axes: Sequence[Axes] | None = None) -> np.ndarray:
    """Draw maps of patches, north up, in one colour scale; return the array of their axes.

    A dot marks the centre of each patch; its title tells the place's x and y. Where maps go below
    0, as those of :func:`cam_at`, evidence for a deposit is red and against one blue.

    Parameters
    ----------
    maps : DataArray
        ``(location, dy, dx)``: what :func:`grad_cam_at` or :func:`cam_at` returns.
    axes : sequence of Axes, optional
        One per location; by default a new figure.

    Raises
    ------
    XGeoAnomError
        If ``maps`` has other dims, or ``axes`` another number.

    Notes
    -----
    Zhang, Xiong and Chen 2026, eqs. 12 to 14.

    Examples
    --------
    >>> maps = xr.DataArray(
    ...     np.eye(3)[None], dims=("location", "dy", "dx"),
    ...     coords={"dy": [500.0, 0.0, -500.0], "dx": ("dx", [-500.0, 0.0, 500.0],
    ...             {"units": "metre"}), "x": ("location", [12e3]), "y": ("location", [7250.0])},
    ... )
    >>> [ax.get_title() for ax in patch_maps(maps)]
    ['12.00, 7.25 km']
    """
    if not isinstance(maps, xr.DataArray) or set(maps.dims) != {"location", "dy", "dx"}:
        raise XGeoAnomError("maps is no (location, dy, dx) array; give what grad_cam_at returns")
    panels = new_panels(axes, maps.sizes["location"], maps.sizes["dy"] / maps.sizes["dx"])
    norm, colours = _common_scale(maps)
    for k, ax in enumerate(panels):
        one = maps.isel(location=k)
        patch = one.drop_vars([X, Y]).rename(dx=X, dy=Y)
        image = draw_raster(ax, patch, cmap=colours, norm=norm)
        ax.plot(0, 0, "o", markersize=4, color="white", markeredgecolor=INK)
        unit = length_unit(patch)[1]
        ax.set(xlabel=f"East of centre ({unit})", ylabel=f"North of centre ({unit})")
        ax.set_title(_place(one), fontsize="medium")
    if axes is None:
        outer_labels(panels)
    label = str(maps.attrs.get("long_name", maps.name or ""))
    bar = panels[0].figure.colorbar(image, ax=list(panels), label=label, shrink=0.85, aspect=24)
    bar.outline.set_visible(False)
    return panels


def _common_scale(maps: xr.DataArray) -> tuple[Normalize, str]:
    """Return a scale from 0, or an even one about 0 where there are values below."""
    most = float(np.abs(maps).max()) or 1.0
    if float(maps.min()) < 0:
        return Normalize(-most, most), SIGNED_COLOURS
    return Normalize(0, most), SCORE_COLOURS


def _place(one: xr.DataArray) -> str:
    x, y, units = float(one[X]), float(one[Y]), one["dx"].attrs.get("units", "")
    if units == "metre":
        return f"{x / 1000:.2f}, {y / 1000:.2f} km"
    return f"{x:g}, {y:g} {units}".strip()
