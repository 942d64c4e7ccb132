"""The seven metrics of several models: radar and box plots."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.projections.polar import PolarAxes

from xgeoanom.errors import XGeoAnomError
from xgeoanom.plot.axes import FAINT, INK, PALETTE, new_axes, plain

# What `metrics` returns, clockwise from the top, as the field writes them.
NAMES = {
    "accuracy": "Accuracy",
    "auc": "AUC",
    "kappa": "Kappa",
    "mcc": "MCC",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
}
RADAR_SIZE, BOXES_SIZE = (6.0, 5.0), (7.2, 3.8)
FILLED = 0.8  # of the room between two metrics, by boxes


def radar(
    metrics: pd.DataFrame | Mapping[str, Mapping[str, float]], *, ax: Axes | None = None
) -> Axes:
    """Draw the seven metrics of several models, each a line around the circle.

    The centre is 0 or, where kappa or MCC is negative, the tenth below the least value; zero is
    then a dashed circle. The rim is 1. Areas depend on the order of the metrics: compare along
    the spokes.

    Parameters
    ----------
    metrics : DataFrame or mapping
        A row per model, or a mapping from models to what :func:`metrics` returns.
    ax : PolarAxes, optional
        Where to draw, of ``projection="polar"``; by default a new figure.

    Raises
    ------
    XGeoAnomError
        If a metric is not there, or ``ax`` is not polar.

    Notes
    -----
    Zhang, Xiong and Chen 2026, whose models are compared by such a figure.

    Examples
    --------
    >>> good = dict.fromkeys(NAMES, 0.9)
    >>> ax = radar({"CNN": good, "GK-DCN": good | {"mcc": -0.12}})
    >>> float(ax.get_rmin().round(3)), float(ax.get_rmax())
    (-0.2, 1.0)
    """
    if not isinstance(metrics, pd.DataFrame):
        metrics = pd.DataFrame.from_dict(metrics, orient="index")
    _check_metrics(metrics)
    if ax is None:
        ax = plt.figure(figsize=RADAR_SIZE, layout="constrained").add_subplot(projection="polar")
    if not isinstance(ax, PolarAxes):
        raise XGeoAnomError("ax is not polar; make it with projection='polar'")
    low = _least(metrics)
    angles = 2 * np.pi * np.arange(len(NAMES) + 1) / len(NAMES)
    for k, (model, values) in enumerate(metrics[list(NAMES)].iterrows()):
        closed = [*values, values.iloc[0]]
        ax.plot(angles, closed, marker="o", markersize=4, color=_color(k), label=str(model))
    if low < 0:
        ax.plot(np.linspace(0, 2 * np.pi, 181), np.zeros(181), "--", color=FAINT, linewidth=0.8)
    ax.set_theta_zero_location("N")
    ax.set_theta_direction(-1)
    ax.set_xticks(angles[:-1], list(NAMES.values()))
    ax.set_rlim(low, 1)
    ax.tick_params(axis="x", labelcolor=INK, pad=8)
    ax.grid(color=FAINT, alpha=0.4, linewidth=0.6)
    ax.spines["polar"].set_color(FAINT)
    ax.legend(loc="upper left", bbox_to_anchor=(1.05, 1.05), frameon=False, fontsize="small")
    return ax


def metric_boxes(runs: pd.DataFrame, *, by: str = "model", ax: Axes | None = None) -> Axes:
    """Draw a box per metric and model over runs, such as seeds or folds.

    A box spans the quartiles, its line is the median; whiskers reach the farthest run within
    one and a half boxes, and circles are runs beyond. The axis goes below 0 where kappa or MCC
    is negative, and a dashed line is drawn there.

    Parameters
    ----------
    runs : DataFrame
        A row per run: what :func:`metrics` returns, and the column ``by``; NaN is left out.
    by : str
        The column whose values stand side by side: models, or kinds of folds.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    XGeoAnomError
        If a metric or the column ``by`` is not there.

    Notes
    -----
    Zhang, Xiong and Chen 2026, whose models are compared by such a figure.

    Examples
    --------
    >>> run = dict.fromkeys(NAMES, 0.9)
    >>> runs = pd.DataFrame([{"model": name, **run} for name in ("CNN", "CNN", "GK-DCN")])
    >>> [text.get_text() for text in metric_boxes(runs).get_legend().texts]
    ['CNN', 'GK-DCN']
    """
    _check_metrics(runs, by)
    ax = new_axes(ax, BOXES_SIZE)
    plain(ax)
    groups = list(runs.groupby(by, sort=False))
    width = FILLED / len(groups)
    for k, (_, group) in enumerate(groups):
        at = np.arange(len(NAMES)) + width * (k - (len(groups) - 1) / 2)
        _draw_boxes(ax, [group[name].dropna() for name in NAMES], at, 0.85 * width, _color(k))
    low = _least(runs)
    if low < 0:
        ax.axhline(0, color=FAINT, linewidth=0.8, linestyle="--", zorder=0)
    ax.set_xticks(range(len(NAMES)), list(NAMES.values()))
    ax.set(ylim=(low, 1.03), xlim=(-0.5, len(NAMES) - 0.5))
    handles = [Patch(color=_color(k), label=str(name)) for k, (name, _) in enumerate(groups)]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        frameon=False,
        fontsize="small",
    )
    return ax


def _draw_boxes(
    ax: Axes, values: list[pd.Series], at: np.ndarray, width: float, color: str
) -> None:
    boxes = ax.boxplot(
        values,
        positions=at,
        widths=width,
        patch_artist=True,
        boxprops={"facecolor": color, "alpha": 0.7, "edgecolor": INK},
        medianprops={"color": INK},
        flierprops={"marker": "o", "markersize": 3, "markeredgecolor": color},
    )
    for line in boxes["whiskers"] + boxes["caps"]:
        line.set(color=INK, linewidth=0.8)


def _check_metrics(table: pd.DataFrame, *others: str) -> None:
    lacking = [name for name in (*others, *NAMES) if name not in table.columns]
    if lacking or table.empty:
        raise XGeoAnomError(f"{lacking or 'rows'} lacking; give the seven that metrics returns")


def _least(table: pd.DataFrame) -> float:
    """Return 0, or the tenth below the least metric where one is negative."""
    least = float(np.nanmin(table[list(NAMES)].to_numpy(dtype="float64")))
    return min(0.0, np.floor(10 * least) / 10)


def _color(k: int) -> str:
    return PALETTE[k % len(PALETTE)]
