"""Maps of scores, anomaly classes and elements, with north up and axes in km."""

import json
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch

from xgeoanom.conventions import ELEMENT, LOG_RATIO, UNIT, X, Y, cell_size, cube_of
from xgeoanom.errors import CubeError
from xgeoanom.evaluation.classify import HIGH, LOW, MISSING, MODERATE, REST, classify
from xgeoanom.plot.axes import (
    FAINT,
    MAP_SIZE,
    add_colourbar,
    draw_deposits,
    draw_raster,
    new_axes,
    new_panels,
    outer_labels,
    raster_label,
    robust_norm,
)

SCORE_COLOURS, ELEMENT_COLOURS = "magma_r", "viridis"
# High red, moderate yellow, low blue: Zhang, Zuo, Xiong (2021), Fig. 8.
CLASS_COLOURS = {
    HIGH: "#d7301f",
    MODERATE: "#fdd049",
    LOW: "#4a90c9",
    REST: "#e9e9e9",
    MISSING: "#ffffff",
}
CLASS_NAMES = {HIGH: "High", MODERATE: "Moderate", LOW: "Low", REST: "Rest", MISSING: "Missing"}


def score_map(
    score: xr.DataArray, *, deposits: gpd.GeoDataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a score; dark is anomalous, white is missing.

    The colours run from the 2nd to the 98th percentile.

    Parameters
    ----------
    score : DataArray
        Score ``(y, x)``; computed if chunked.
    deposits : GeoDataFrame, optional
        Points to mark, in the CRS of ``score``.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Examples
    --------
    >>> score = xr.DataArray(
    ...     np.eye(3), coords={"y": [2.0, 1, 0], "x": [0.0, 1, 2]}, dims=("y", "x"), name="score"
    ... )
    >>> score_map(score).get_xlabel()
    'x'
    """
    ax = new_axes(ax, MAP_SIZE)
    score = score.compute()
    norm, extend = robust_norm(score.values, log=False)
    image = draw_raster(ax, score, cmap=SCORE_COLOURS, norm=norm)
    draw_deposits(ax, deposits, score)
    add_colourbar(ax, image, raster_label(score), extend)
    if deposits is not None:
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            frameon=False,
            borderpad=0.2,
            handletextpad=0.2,
            fontsize="small",
        )
    return ax


def class_map(
    classes: xr.DataArray, *, deposits: gpd.GeoDataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """Draw anomaly classes: high red, moderate yellow, low blue, rest grey, missing white.

    The colours are those of Zhang, Zuo, Xiong (2021), Fig. 8.

    Parameters
    ----------
    classes : DataArray
        What :func:`classify` returns, ``(y, x)``.
    deposits : GeoDataFrame, optional
        Points to mark, in the CRS of ``classes``.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Examples
    --------
    >>> score = xr.DataArray(
    ...     np.eye(3), coords={"y": [2.0, 1, 0], "x": [0.0, 1, 2]}, dims=("y", "x")
    ... )
    >>> [text.get_text() for text in class_map(classify(score)).get_legend().texts][:2]
    ['High (top 5 %)', 'Moderate (5–15 %)']
    """
    ax = new_axes(ax, MAP_SIZE)
    _draw_classes(ax, classes.compute())
    draw_deposits(ax, deposits, classes)
    patches = _class_patches(classes) + ax.get_legend_handles_labels()[0]
    ax.legend(
        handles=patches, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, fontsize="small"
    )
    return ax


def element_map(
    cube: xr.Dataset | xr.DataArray,
    elements: Sequence[str] | str | None = None,
    *,
    deposits: gpd.GeoDataFrame | None = None,
    axes: Sequence[Axes] | None = None,
) -> np.ndarray:
    """Draw one map per element; return the array of their axes.

    The colours run from the 2nd to the 98th percentile, on a log scale for concentrations and a
    linear one for log-ratios.

    Parameters
    ----------
    cube : Dataset or DataArray
        Elements, as for :attr:`Dataset.anom.cube`; only those drawn are computed.
    elements : sequence of str, optional
        Which ones; by default all.
    deposits : GeoDataFrame, optional
        Points to mark, in the CRS of ``cube``.
    axes : sequence of Axes, optional
        One per element; by default a new figure.

    Raises
    ------
    CubeError
        If the cube lacks one of ``elements``.

    Examples
    --------
    >>> cube = xr.DataArray(
    ...     np.ones((2, 3, 3)), dims=("element", "y", "x"),
    ...     coords={"element": ["Au", "Cu"], "y": [2.0, 1, 0], "x": [0.0, 1, 2]},
    ... )
    >>> [ax.get_title(loc="left") for ax in element_map(cube)]
    ['Au', 'Cu']
    """
    cube = _selected(cube_of(cube), elements).compute()
    panels = new_panels(axes, cube.sizes[ELEMENT], _aspect(cube))
    for ax, element in zip(panels, cube[ELEMENT].values, strict=True):
        _draw_element(ax, cube.sel({ELEMENT: element}), deposits)
    if axes is None:
        outer_labels(panels)
    return panels


def window_maps(
    sweep: xr.Dataset,
    *,
    deposits: gpd.GeoDataFrame | None = None,
    axes: Sequence[Axes] | None = None,
) -> np.ndarray:
    """Draw the anomaly classes of each dual window; return the array of their axes.

    The figure is that of Zhang, Zuo, Xiong (2021), Fig. 8.

    Parameters
    ----------
    sweep : Dataset
        ``score`` (window, y, x) with coords ``inner`` and ``outer``, and ``auc`` (window) if
        known: what :func:`window_sweep` returns.
    deposits : GeoDataFrame, optional
        Points to mark, in the CRS of ``sweep``.
    axes : sequence of Axes, optional
        One per window; by default a new figure.

    Examples
    --------
    >>> sweep = xr.Dataset(
    ...     {"score": (("window", "y", "x"), [np.eye(3)])},
    ...     coords={"inner": ("window", [3]), "outer": ("window", [5]),
    ...             "y": [2.0, 1, 0], "x": [0.0, 1, 2]},
    ... )
    >>> window_maps(sweep)[0].get_title(loc="left")
    '(3, 5)'
    """
    panels = new_panels(axes, sweep.sizes["window"], _aspect(sweep))
    for k, ax in enumerate(panels):
        one = sweep.isel(window=k).compute()
        classes = classify(one["score"])
        _draw_classes(ax, classes)
        draw_deposits(ax, deposits, classes, size=16)
        ax.set_title(_window_title(one), loc="left", fontsize="medium")
    if axes is None:
        outer_labels(panels)
        handles = _class_patches(classes) + panels[0].get_legend_handles_labels()[0]
        panels[0].figure.legend(
            handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize="small"
        )
    return panels


def _window_title(one: xr.Dataset) -> str:
    title = f"({int(one['inner'])}, {int(one['outer'])})"
    return f"{title}   AUC {float(one['auc']):.3f}" if "auc" in one else title


def _aspect(grid: xr.DataArray | xr.Dataset) -> float:
    height, width = cell_size(grid)
    return abs(grid.sizes[Y] * height / (grid.sizes[X] * width))


def _draw_classes(ax: Axes, classes: xr.DataArray) -> None:
    values = sorted(CLASS_COLOURS)
    norm = BoundaryNorm(np.arange(values[0], values[-1] + 2) - 0.5, len(values))
    draw_raster(ax, classes, cmap=ListedColormap([CLASS_COLOURS[v] for v in values]), norm=norm)


def _class_patches(classes: xr.DataArray) -> list[Patch]:
    """Return a legend entry per class, missing only where there is any."""
    names = CLASS_NAMES | _shares(classes)
    return [
        Patch(facecolor=colour, edgecolor=FAINT, linewidth=0.5, label=names[value])
        for value, colour in CLASS_COLOURS.items()
        if value != MISSING or (classes == MISSING).any()
    ]


def _shares(classes: xr.DataArray) -> dict[int, str]:
    """Return class names with the shares of area that ``classify`` recorded, if it did."""
    areas = json.loads(classes.attrs.get("parameters", "{}")).get("areas")
    if areas is None:
        return {}
    high, moderate, low = (f"{100 * area:g}" for area in areas)
    return {
        HIGH: f"High (top {high} %)",
        MODERATE: f"Moderate ({high}–{moderate} %)",
        LOW: f"Low ({moderate}–{low} %)",
    }


def _selected(cube: xr.DataArray, elements: Sequence[str] | str | None) -> xr.DataArray:
    if elements is None:
        return cube
    elements = [elements] if isinstance(elements, str) else list(elements)
    lacking = [name for name in elements if name not in cube[ELEMENT].values]
    if lacking or not elements:
        raise CubeError(f"elements={lacking} are not in the cube: {list(cube[ELEMENT].values)}")
    return cube.sel({ELEMENT: elements})


def _draw_element(ax: Axes, layer: xr.DataArray, deposits: gpd.GeoDataFrame | None) -> None:
    ratio = layer.attrs.get(LOG_RATIO, "none")
    norm, extend = robust_norm(layer.values, log=ratio == "none")
    image = draw_raster(ax, layer, cmap=ELEMENT_COLOURS, norm=norm)
    draw_deposits(ax, deposits, layer, size=16)
    unit = str(layer[UNIT].item()) if UNIT in layer.coords else ""
    add_colourbar(ax, image, unit if ratio == "none" else ratio, extend)
    ax.set_title(str(layer[ELEMENT].item()), loc="left", fontweight="bold")
