"""SKT's explanations drawn: where target networks see evidence, what they weigh and keep."""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from xgeoanom.conventions import ELEMENT, X, Y
from xgeoanom.errors import XGeoAnomError
from xgeoanom.evaluation.deposits import deposit_points
from xgeoanom.plot.axes import (
    FAINT,
    INK,
    PALETTE,
    SMALL_PANEL,
    draw_deposits,
    new_axes,
    outer_labels,
    plain,
)
from xgeoanom.plot.explanations import patch_maps

ROW_HEIGHT = 0.23  # inches, of one element
WIDE = (7.2, 4.2)


def target_cam_maps(
    maps: xr.DataArray,
    *,
    deposits: gpd.GeoDataFrame | None = None,
    axes: Sequence[Axes] | None = None,
) -> np.ndarray:
    """Draw Grad-CAM of all target networks: a row per place, a column per network, north up.

    All panels have one colour scale. A dot marks the place. What a network's front does not leave
    along the edges stays white.

    Parameters
    ----------
    maps : DataArray
        What :func:`target_cam` returns.
    deposits : GeoDataFrame, optional
        Points to mark, in the CRS of ``maps``.
    axes : sequence of Axes, optional
        One per place and network, place by place; by default a new figure.

    Returns
    -------
    numpy.ndarray
        Axes ``(location, network)``.

    Raises
    ------
    XGeoAnomError
        If ``maps`` has other dims, or ``axes`` another number.
    LabelError, CRSError
        If ``deposits`` are no points in the CRS of ``maps``.

    Examples
    --------
    >>> maps = xr.DataArray(
    ...     np.ones((1, 2, 3, 3)), dims=("location", "network", "dy", "dx"),
    ...     coords={"dy": [500.0, 0.0, -500.0], "dx": ("dx", [-500.0, 0.0, 500.0],
    ...             {"units": "metre"}), "x": ("location", [12e3]), "y": ("location", [7250.0]),
    ...             "dilation": ("network", [1, 6])},
    ... )
    >>> [ax.get_title() for ax in target_cam_maps(maps)[0]]
    ['Dilation 1', 'Dilation 6']
    """
    dims = {"location", "network", "dy", "dx"}
    if not isinstance(maps, xr.DataArray) or set(maps.dims) != dims:
        raise XGeoAnomError(
            "maps is no (location, network, dy, dx) array; give what target_cam returns"
        )
    points = None if deposits is None else deposit_points(deposits, maps)
    n_rows, n_columns = maps.sizes["location"], maps.sizes["network"]
    each = _one_by_one(maps)
    panels = patch_maps(each, axes=_grid(n_rows, n_columns) if axes is None else axes)
    for k, ax in enumerate(panels):
        one = each.isel(location=k)
        if k % n_columns == 0:
            ax.set_ylabel(f"{ax.get_title()}\n{ax.get_ylabel()}")
        ax.set_title(f"Dilation {one['dilation'].item()}" if k < n_columns else "")
        if points is not None:
            _draw_around(ax, points, one)
    if axes is None:
        outer_labels(panels)
    return panels.reshape(n_rows, n_columns)


def _grid(n_rows: int, n_columns: int) -> Sequence[Axes]:
    size = SMALL_PANEL * n_columns + 1, SMALL_PANEL * n_rows + 0.5
    figure = plt.figure(figsize=size, layout="compressed")
    return list(figure.subplots(n_rows, n_columns, squeeze=False).ravel())


def _one_by_one(maps: xr.DataArray) -> xr.DataArray:
    """Return the maps of all networks at the first place, then at the second, ..."""
    n_rows, n_columns = maps.sizes["location"], maps.sizes["network"]
    rows, columns = (part.ravel() for part in np.indices((n_rows, n_columns)))
    chosen = {"location": ("panel", rows), "network": ("panel", columns)}
    return maps.isel({dim: xr.Variable(*at) for dim, at in chosen.items()}).rename(panel="location")


def _draw_around(ax: Axes, points: np.ndarray, one: xr.DataArray) -> None:
    """Mark the deposits ``(deposit, 2)`` around the place of a map."""
    moved = points - [one[X].item(), one[Y].item()]
    around = gpd.GeoDataFrame(geometry=gpd.points_from_xy(*moved.T), crs=one.rio.crs)
    draw_deposits(ax, around, one.drop_vars([X, Y]).rename(dx=X, dy=Y))


def element_mask(mask: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """Draw how the soft mask weighs the elements, the heaviest at the top.

    A dot is the mean over draws, a bar their range. The line at 1 is where training started.

    Parameters
    ----------
    mask : DataArray
        What :func:`element_mask` of the detectors returns.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    XGeoAnomError
        If ``mask`` has other dims.

    Examples
    --------
    >>> mask = xr.DataArray([[0.9, 1.2]], {"element": ["Cu", "Au"]}, ("draw", "element"))
    >>> [label.get_text() for label in element_mask(mask).get_yticklabels()]
    ['Cu', 'Au']
    """
    if not isinstance(mask, xr.DataArray) or set(mask.dims) != {"draw", ELEMENT}:
        raise XGeoAnomError("mask is no (draw, element) array; give what element_mask returns")
    mask = mask.sortby(mask.mean("draw"))
    at = np.arange(mask.sizes[ELEMENT])
    ax = new_axes(ax, (5.2, 1.0 + ROW_HEIGHT * at.size))
    plain(ax)
    ax.axvline(1, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    ax.hlines(at, mask.min("draw"), mask.max("draw"), colors=PALETTE[0], linewidth=2.2, alpha=0.55)
    ax.scatter(mask.mean("draw"), at, color=PALETTE[0], s=30, zorder=3)
    ax.set_yticks(at, [str(name) for name in mask[ELEMENT].values])
    ax.set(xlabel="Weight of the soft mask", ylim=(-0.7, at.size - 0.3))
    return ax


def kept_kernels(kept: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """Draw the share of the source's kernel weights that each layer kept, a line per network.

    Parameters
    ----------
    kept : DataArray
        What :func:`kept_kernels` of the detectors returns; drawn is the mean over draws.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    XGeoAnomError
        If ``kept`` has other dims.

    Examples
    --------
    >>> coords = {"layer": ["conv1", "layer1.0.conv1"], "dilation": ("network", [1])}
    >>> kept = xr.DataArray([[[1.0, 0.8]]], coords, ("draw", "network", "layer"))
    >>> [line.get_label() for line in kept_kernels(kept).lines]
    ['Dilation 1']
    """
    if not isinstance(kept, xr.DataArray) or set(kept.dims) != {"draw", "network", "layer"}:
        raise XGeoAnomError(
            "kept is no (draw, network, layer) array; give what kept_kernels returns"
        )
    ax = new_axes(ax, WIDE)
    plain(ax)
    at = np.arange(kept.sizes["layer"])
    for k, rho in enumerate(kept["dilation"].values):
        share = kept.isel(network=k).mean("draw")
        ax.plot(at, share, marker="o", markersize=4, label=f"Dilation {rho}")
    ax.set_xticks(at, [str(name) for name in kept["layer"].values], rotation=90)
    ax.set_ylabel("Share of source kernels kept")
    ax.legend(frameon=False, fontsize="small", labelcolor=INK)
    return ax
