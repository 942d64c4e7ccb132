"""The biplot: samples and elements in the plane of two principal components."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from xgeoanom.conventions import ELEMENT
from xgeoanom.errors import CubeError
from xgeoanom.plot.axes import FAINT, INK, PALETTE, new_axes, plain

SIZE = (6.0, 6.0)
FEW = 3000  # more points hide each other: they are drawn as density
REACH = 0.9  # of the frame, for the longest arrow


def biplot(components: xr.Dataset, *, pc: tuple[int, int] = (1, 2), ax: Axes | None = None) -> Axes:
    """Draw scores as points and clr loadings as arrows in the plane of two components.

    Arrows that end together are elements in a constant ratio; a link between two ends across the
    plane is their log-ratio. Both axes have one scale, so that angles are true; arrows are
    stretched together to fill the frame, and the axes above and right tell loadings. Of more
    than 3000 points the density is drawn.

    Parameters
    ----------
    components : Dataset
        What :func:`principal_components` returns; chunked scores are computed.
    pc : pair of int
        Which components, counted from 1: across and up.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    CubeError
        If there are no such components, or only one, as of two elements.

    Notes
    -----
    Filzmoser, Hron and Reimann (2009), Environmetrics 20, 621; Aitchison and Greenacre (2002),
    Appl. Statist. 51, 375, on links.

    Examples
    --------
    >>> from xgeoanom.survey.components import principal_components
    >>> parts = xr.DataArray(
    ...     np.exp(np.random.default_rng(0).normal(size=(9, 3))),
    ...     dims=("sample", "element"), coords={"element": ["Ti", "Cu", "Au"]},
    ... )
    >>> ax = biplot(principal_components(parts))
    >>> [text.get_text() for text in ax.texts]
    ['Ti', 'Cu', 'Au']
    """
    _check(components, pc)
    plane = components.isel(component=[k - 1 for k in pc])
    scores = plane["scores"].transpose("component", ...).values.reshape(2, -1)
    scores = scores[:, np.isfinite(scores).all(axis=0)]
    ax = new_axes(ax, SIZE)
    _draw_scores(ax, scores)
    _draw_loadings(ax, plane, float(np.abs(scores).max()))
    share = 100 * plane["explained_variance_ratio"].values
    names = [f"PC{k} ({part:.1f} % of variance)" for k, part in zip(pc, share, strict=True)]
    ax.set(xlabel=names[0], ylabel=names[1])
    return ax


def _check(components: xr.Dataset, pc: tuple[int, int]) -> None:
    wanted = {"scores", "loadings", "explained_variance_ratio"}
    if not isinstance(components, xr.Dataset) or not wanted <= set(components.data_vars):
        raise CubeError("components is no result of principal_components")
    n = components.sizes["component"]
    if n < 2:
        raise CubeError(
            f"components has {n} component; a biplot needs two, of three elements or more, and no "
            "n_components=1"
        )
    pair = isinstance(pc, Sequence) and len(pc) == 2 and pc[0] != pc[1]
    if not pair or not all(k in range(1, n + 1) for k in pc):
        raise CubeError(f"pc={pc!r} must be two different components of 1 to {n}, such as (1, 2)")


def _draw_scores(ax: Axes, scores: np.ndarray) -> None:
    if scores.shape[1] > FEW:
        ax.hexbin(
            scores[0],
            scores[1],
            gridsize=60,
            bins="log",
            mincnt=1,
            cmap="Greys",
            linewidths=0,
            zorder=1,
        )
    else:
        ax.scatter(scores[0], scores[1], s=8, color=FAINT, alpha=0.6, linewidth=0, zorder=1)


def _draw_loadings(ax: Axes, plane: xr.Dataset, frame: float) -> None:
    """Draw an arrow per element, the longest reaching nearly as far as the farthest score."""
    loadings = plane["loadings"].transpose("component", ELEMENT).values
    stretch = REACH * frame / np.hypot(*loadings).max()
    arrows = loadings * stretch
    origin = np.zeros_like(arrows)
    style: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.003}
    ax.quiver(*origin, *arrows, color=PALETTE[1], zorder=2, **style)
    for name, (across, up) in zip(plane[ELEMENT].values, 1.04 * arrows.T, strict=True):
        text = ax.text(across, up, str(name), color=INK, fontsize="small", zorder=3)
        text.set_horizontalalignment("left" if across >= 0 else "right")
        text.set_verticalalignment("bottom" if up >= 0 else "top")
    ax.axhline(0, color=FAINT, linewidth=0.6, zorder=0)
    ax.axvline(0, color=FAINT, linewidth=0.6, zorder=0)
    ax.set(xlim=(-1.1 * frame, 1.1 * frame), ylim=(-1.1 * frame, 1.1 * frame), aspect="equal")
    plain(ax)
    both = (lambda score: score / stretch, lambda loading: loading * stretch)
    for axis in (ax.secondary_xaxis("top", both), ax.secondary_yaxis("right", both)):
        axis.tick_params(color=PALETTE[1], labelcolor=PALETTE[1], labelsize="small")
        axis.spines[:].set_color(FAINT)
    ax.set_title("arrows: clr loadings", loc="right", color=PALETTE[1], fontsize="small")
