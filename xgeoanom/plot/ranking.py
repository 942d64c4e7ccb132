"""Methods ranked by their honest AUC, with intervals, luck, and what flatters."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from xgeoanom.evaluation.comparison_table import of_survey
from xgeoanom.plot.axes import FAINT, INK, PALETTE, new_axes, plain

COLORS = {"control": PALETTE[5], "label-free": PALETTE[0], "trained": PALETTE[1]}
WIDTH, ROW_HEIGHT = 7.2, 0.23  # inches


def comparison(result: xr.Dataset, survey: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the honest AUC of each method with its interval, best at the top.

    A short grey bar stands at the AUC that 5 % of the site shifts reach, by smoothness and luck
    alone; an open circle at the AUC of a random split by cell, which leaks where there is training.

    Parameters
    ----------
    result : Dataset
        What :func:`xgeoanom.compare` returned.
    survey : str, optional
        Which one; needed only where there are several.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    LabelError
        If the survey is not in the comparison, or not said.

    Examples
    --------
    >>> names = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "shift_95": 0.75}
    >>> numbers = {name: (("survey", "score"), [[value]]) for name, value in names.items()}
    >>> result = xr.Dataset(
    ...     {**numbers, "random_split_auc": (("survey", "score"), [[0.99]])},
    ...     {"survey": [""], "score": ["RX"], "kind": ("score", ["label-free"])},
    ... ).assign(error=(("survey", "score"), [[""]]))
    >>> comparison(result).get_yticklabels()[0].get_text()
    'RX'
    """
    one = of_survey(result, survey)
    one = one.isel(score=one["auc"].notnull().values)
    one = one.isel(score=np.argsort(one["auc"].values, kind="stable"))
    at = np.arange(one.sizes["score"])
    ax = new_axes(ax, (WIDTH, 1.4 + ROW_HEIGHT * at.size))
    plain(ax)
    ax.axvline(0.5, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    colors = [COLORS[str(kind)] for kind in one["kind"].values]
    ax.hlines(at, one["auc_low"], one["auc_high"], colors=colors, linewidth=2.2, alpha=0.55)
    ax.scatter(one["auc"], at, c=colors, s=30, zorder=3)
    ax.scatter(one["random_split_auc"], at, s=26, facecolors="none", edgecolors=INK, linewidths=0.8)
    ax.scatter(one["shift_95"], at, marker="|", s=70, color=FAINT, linewidths=1.6)
    ax.set_yticks(at, [str(name) for name in one["score"].values])
    ax.set(xlabel="AUC", ylim=(-0.7, at.size - 0.3))
    _legend(ax, one)
    return ax


def _legend(ax: Axes, one: xr.Dataset) -> None:
    shown = set(one["kind"].values.tolist())
    handles = [
        Line2D([], [], color=color, marker="o", linewidth=2.2, label=f"{kind}: honest AUC")
        for kind, color in COLORS.items()
        if kind in shown
    ]
    bar = Line2D([], [], linewidth=0, marker="|", markersize=8, color=FAINT, markeredgewidth=1.6)
    circle = Line2D(
        [], [], linewidth=0, marker="o", markersize=5, markerfacecolor="none", color=INK
    )
    bar.set_label("reached by 5 % of shifted sites")
    circle.set_label("random split by cell")
    handles += [bar, circle]
    # Above the axes, where no method can be hidden by it.
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=2,
        frameon=False,
        fontsize="small",
    )
