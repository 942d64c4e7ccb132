"""A masked autoencoder's windows drawn: what was there, what was seen and what was rebuilt."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap

from xgeoanom.conventions import ELEMENT, X, Y
from xgeoanom.errors import XGeoAnomError
from xgeoanom.plot.axes import SMALL_PANEL, draw_raster, length_unit, outer_labels, robust_norm
from xgeoanom.plot.maps import ELEMENT_COLOURS

PARTS = ("original", "seen", "rebuilt")
HIDDEN_COLOUR = "#bfbfbf"  # grey, which the colours of values have not
FEW = 4  # rows by default


def reconstructions(
    ds: xr.Dataset, *, elements: Sequence[str] | str | None = None, location: int = 0
) -> np.ndarray:
    """Draw how a window is rebuilt: a row for each element, north up; return the axes.

    From left to right: the original, what was seen of it, with hidden cells grey, and the window
    rebuilt, in which seen cells stay as they were. Each row has its own colour scale, from the 2nd
    to the 98th percentile. White is missing or outside of the survey.

    Parameters
    ----------
    ds : Dataset
        What :func:`~xgeoanom.reconstructions` returns.
    elements : sequence of str, optional
        Which to draw; by default the first four.
    location : int
        Which of the places, by number.

    Returns
    -------
    numpy.ndarray
        Axes ``(element, 3)``.

    Raises
    ------
    XGeoAnomError
        If ``ds`` holds no reconstructions, or none of these elements or of this place.

    Notes
    -----
    He et al. 2022, Fig. 2.

    Examples
    --------
    >>> dims, reach = ("location", "element", "dy", "dx"), [-500.0, 0.0, 500.0]
    >>> values = xr.DataArray(
    ...     np.arange(9.0).reshape(1, 1, 3, 3), {"element": ["Cu"], "dy": reach, "dx": reach}, dims
    ... )
    >>> seen = values.where(values > 6)
    >>> windows = xr.Dataset({"original": values, "seen": seen, "rebuilt": 0.9 * values})
    >>> [ax.get_title() for ax in reconstructions(windows)[0]]
    ['Original', 'Seen', 'Rebuilt']
    """
    one = _chosen(ds, elements, location)
    panels = _grid(one.sizes[ELEMENT])
    for row, name in zip(panels, one[ELEMENT].values, strict=True):
        _draw_row(row, one.sel({ELEMENT: name}))
        row[0].set_ylabel(f"{name}\n{row[0].get_ylabel()}")
    for part, ax in zip(PARTS, panels[0], strict=True):
        ax.set_title(part.capitalize(), fontsize="medium")
    outer_labels(panels.ravel())
    return panels


def _chosen(ds: xr.Dataset, elements: Sequence[str] | str | None, location: int) -> xr.Dataset:
    """Return some elements of one window, as rasters over ``y`` and ``x``."""
    if not isinstance(ds, xr.Dataset) or not set(PARTS) <= set(ds.data_vars):
        raise XGeoAnomError(f"ds lacks {PARTS}; give what reconstructions returns")
    if location not in range(ds.sizes["location"]):
        raise XGeoAnomError(f"location={location!r} is not one of {ds.sizes['location']} places")
    known = ds[ELEMENT].values.tolist()
    chosen = known[:FEW] if elements is None else elements
    names = [chosen] if isinstance(chosen, str) else list(chosen)
    if lacking := [name for name in names if name not in known]:
        raise XGeoAnomError(f"elements={lacking} are not among {known}")
    if not names or len(set(names)) < len(names):
        raise XGeoAnomError(f"elements={names} must name some, each once")
    one = ds[list(PARTS)].isel(location=location).sel({ELEMENT: names})
    return one.drop_vars([X, Y], errors="ignore").rename(dx=X, dy=Y)


def _grid(n_rows: int) -> np.ndarray:
    size = SMALL_PANEL * len(PARTS) + 1.4, SMALL_PANEL * n_rows + 0.5
    figure = plt.figure(figsize=size, layout="compressed")
    panels: np.ndarray = figure.subplots(n_rows, len(PARTS), squeeze=False)
    return panels


def _draw_row(row: np.ndarray, one: xr.Dataset) -> None:
    original, seen = one["original"], one["seen"]
    hidden = original.notnull() & seen.isnull()
    # Networks need not learn to rebuild what they see, nor what is not known.
    rebuilt = seen.fillna(one["rebuilt"]).where(original.notnull())
    shown = {"original": original, "seen": seen, "rebuilt": rebuilt}
    norm, extend = robust_norm(np.stack([original, rebuilt]), log=False)
    unit = length_unit(one)[1]
    for part, ax in zip(PARTS, row, strict=True):
        image = draw_raster(ax, shown[part], cmap=ELEMENT_COLOURS, norm=norm)
        ax.set(xlabel=f"East of place ({unit})", ylabel=f"North of place ({unit})")
        ax.locator_params(axis="x", nbins=4)
    grey = ListedColormap([HIDDEN_COLOUR])
    row[PARTS.index("seen")].imshow(
        hidden.where(hidden).transpose(Y, X).sortby([Y, X]),
        cmap=grey,
        origin="lower",
        extent=image.get_extent(),
    )
    bar = row[-1].figure.colorbar(
        image, ax=list(row), label="Standardised", extend=extend, shrink=0.85, aspect=16
    )
    bar.outline.set_visible(False)
