"""Pictures of a survey's summaries: correlations and what was not measured."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from xgeoanom.conventions import ELEMENT, LOG_RATIO
from xgeoanom.errors import CubeError
from xgeoanom.plot.axes import FAINT, add_colourbar, new_axes, plain
from xgeoanom.survey.summaries import OTHER, SHARES

FEW = 16  # up to so many elements the numbers fit into the cells
# From known to unknown.
SHARE_COLOURS = {
    "measured": "#0072b2",
    "below_limit": "#e69f00",
    "below_unknown_limit": "#d55e00",
    "not_analysed": "#e9e9e9",
}


def correlation(correlations: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """Draw correlations of elements, those that go together side by side.

    Elements are ordered by average-linkage clustering of 1 - r; blue is negative, red positive,
    grey unknown.

    Parameters
    ----------
    correlations : DataArray
        What :func:`correlation` of the package returns, ``(element, element_2)``.
    ax : Axes, optional
        Where to draw; by default a new figure that grows with the elements.

    Raises
    ------
    CubeError
        If ``correlations`` has other dims.

    Examples
    --------
    >>> names = ["Au", "Ti", "As"]
    >>> correlations = xr.DataArray(
    ...     [[1.0, -0.6, 0.8], [-0.6, 1.0, -0.5], [0.8, -0.5, 1.0]],
    ...     dims=("element", "element_2"), coords={"element": names, "element_2": names},
    ... )
    >>> [label.get_text() for label in correlation(correlations).get_xticklabels()]
    ['Ti', 'As', 'Au']
    """
    if set(correlations.dims) != {ELEMENT, OTHER}:
        raise CubeError(f"correlations has dims {correlations.dims}, not ('element', 'element_2')")
    matrix = correlations.transpose(ELEMENT, OTHER).values
    order = _clustered(matrix)
    matrix, names = matrix[np.ix_(order, order)], correlations[ELEMENT].values[order]
    side = 2.5 + 0.22 * len(names)
    ax = new_axes(ax, (side + 1, side))
    ax.set_facecolor(FAINT)
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    at = np.arange(len(names))
    ax.set_xticks(at, names, rotation=90 if len(names) > FEW else 0)
    ax.set_yticks(at, names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if len(names) <= FEW:
        _write(ax, matrix)
    add_colourbar(ax, image, _label(correlations), "neither")
    return ax


def censoring(summary: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw for each element a bar of what was measured, censored and not analysed.

    The best measured element is on top.

    Parameters
    ----------
    summary : Dataset
        What :func:`censoring_summary` returns, over ``element``.
    ax : Axes, optional
        Where to draw; by default a new figure that grows with the elements.

    Raises
    ------
    CubeError
        If ``summary`` is no such result, or has more dims than ``element``.

    Examples
    --------
    >>> shares = {"measured": 80.0, "below_limit": 20.0, "below_unknown_limit": 0.0,
    ...           "not_analysed": 0.0}
    >>> summary = xr.Dataset(
    ...     {name: ("element", [share]) for name, share in shares.items()},
    ...     coords={"element": ["Au"]},
    ... )
    >>> [text.get_text() for text in censoring(summary).get_legend().texts]
    ['measured', 'below limit']
    """
    if not set(SHARES) <= set(summary.data_vars) or set(summary["measured"].dims) != {ELEMENT}:
        raise CubeError(
            f"summary has dims {dict(summary.sizes)}; draw one censoring_summary over 'element', "
            "such as summary.sel(batch=...)"
        )
    summary = summary.sortby(list(SHARES))
    names = summary[ELEMENT].values
    ax = new_axes(ax, (5.6, 1.4 + 0.2 * len(names)))
    start = np.zeros(len(names))
    for name, colour in SHARE_COLOURS.items():
        share = summary[name].values
        label = name.replace("_", " ") if share.any() else None
        ax.barh(names, share, left=start, color=colour, height=0.8, label=label)
        start = start + share
    plain(ax)
    ax.set(xlabel="Share of samples (%)", xlim=(0, 100), ylim=(-0.6, len(names) - 0.4))
    ax.legend(loc="lower left", bbox_to_anchor=(-0.08, 1), ncols=2, frameon=False, fontsize="small")
    return ax


def _clustered(matrix: np.ndarray) -> np.ndarray:
    """Return the order of leaves in which neighbours correlate best."""
    if len(matrix) < 3:
        return np.arange(len(matrix))
    distance = 1 - np.nan_to_num(matrix)  # what is unknown counts as no correlation
    np.fill_diagonal(distance, 0)
    tree = hierarchy.linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return hierarchy.leaves_list(tree)


def _write(ax: Axes, matrix: np.ndarray) -> None:
    for (row, col), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 else "black"
            ax.text(col, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)


def _label(correlations: xr.DataArray) -> str:
    ratio = correlations.attrs.get(LOG_RATIO, "none")
    of = "concentrations" if ratio == "none" else ratio
    return f"Spearman correlation of {of}"
