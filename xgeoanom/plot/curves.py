"""Curves: ROC, capture, training and the sweep of dual windows."""

from collections.abc import Mapping, Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from xgeoanom.errors import LabelError
from xgeoanom.evaluation.metrics import capture_curve, roc_curve
from xgeoanom.plot.axes import FAINT, INK, new_axes, plain, unit_square

AREAS = (0.05, 0.15, 0.30)  # the anomaly classes of Zhang, Zuo, Xiong (2021)
SWEEP_SIZE = (6.0, 3.6)


def roc(
    score: xr.DataArray | xr.Dataset,
    labels: xr.DataArray | None = None,
    *,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the ROC curve of a score; call again on the same axes to compare.

    Parameters
    ----------
    score : DataArray or Dataset
        Score ``(y, x)`` with ``labels``, or what :func:`roc_curve` returns.
    labels : DataArray, optional
        1 deposit, 0 background, -1 unlabelled.
    label : str, optional
        Name in the legend, before the AUC; by default the score's name.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    LabelError
        If a score comes without labels, or :func:`roc_curve` refuses them.

    Examples
    --------
    >>> grid = {"y": [0.0, 1.0], "x": [0.0, 1.0]}
    >>> score = xr.DataArray([[0.9, 0.5], [0.5, 0.1]], coords=grid, dims=("y", "x"))
    >>> labels = xr.DataArray([[1, 1], [0, 0]], coords=grid, dims=("y", "x"))
    >>> ax = roc(score, labels, label="demo")
    >>> ax.get_legend().texts[0].get_text()
    'demo (AUC 0.875)'
    """
    if isinstance(score, xr.Dataset):
        curve = score
    elif labels is None:
        raise LabelError("labels=None: a score needs labels; or give what roc_curve returns")
    else:
        curve = roc_curve(score, labels)
    name = label or getattr(score, "name", None) or "score"
    ax = unit_square(ax, "False positive rate", "True positive rate")
    ax.plot(
        curve["false_positive_rate"],
        curve["true_positive_rate"],
        label=f"{name} (AUC {curve.attrs['auc']:.3f})",
    )
    ax.legend(loc="lower right", frameon=False)
    return ax


def capture(
    score: xr.DataArray,
    deposits: gpd.GeoDataFrame | xr.DataArray | None = None,
    *,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of deposits captured by share of area; call again to compare.

    Vertical lines stand at 5, 15 and 30 % of the area; the legend gives what is captured there.

    Parameters
    ----------
    score : DataArray
        Score ``(y, x)`` with ``deposits``, or what :func:`capture_curve` returns.
    deposits : GeoDataFrame or DataArray, optional
        Points, or labels with deposit ids.
    label : str, optional
        Name in the legend; by default the score's name.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    LabelError
        If a score comes without deposits, or :func:`capture_curve` refuses them.

    Examples
    --------
    >>> grid = {"y": np.arange(10.0), "x": np.arange(10.0)}
    >>> score = xr.DataArray(np.arange(100.0).reshape(10, 10), coords=grid, dims=("y", "x"))
    >>> labels = xr.full_like(score, -1, dtype="int8")
    >>> labels[9, 9], labels[8, 0] = 1, 1
    >>> capture(score, labels, label="demo").get_legend().texts[0].get_text()
    'demo (50, 50, 100 %)'
    """
    if deposits is None and "area" not in score.dims:
        raise LabelError("deposits=None: a score needs deposits; or give a capture_curve")
    curve = score if deposits is None else capture_curve(score, deposits)
    ax = unit_square(ax, "Share of area", "Deposits captured")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(xmax=1))
    steps = np.searchsorted(curve["area"], AREAS, side="right") - 1
    shares = ", ".join(f"{100 * share:.0f}" for share in curve.values[steps])
    name = label or score.name or "score"
    ax.step(curve["area"], curve, where="post", label=f"{name} ({shares} %)")
    if not ax.collections:
        ax.vlines(AREAS, 0, 1, color=FAINT, linewidth=0.7, linestyle=(0, (1, 3)), zorder=0)
    ax.legend(
        loc="lower right",
        frameon=False,
        title="captured at 5, 15, 30 % of area",
        alignment="left",
        title_fontsize="small",
    )
    return ax


def training(history: Sequence[Mapping[str, Any]], *, ax: Axes | None = None) -> Axes:
    """Draw the loss of each training run by epoch, as Zhang, Zuo, Xiong (2021), Fig. 6.

    Parameters
    ----------
    history : sequence of mappings
        A detector's ``history_``: one mapping per draw of background, with ``loss`` by epoch.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Examples
    --------
    >>> ax = training([{"loss": [0.7, 0.4, 0.3]}, {"loss": [0.6, 0.5, 0.2]}])
    >>> [text.get_text() for text in ax.get_legend().texts]
    ['2 draws', 'mean']
    """
    ax = new_axes(ax)
    plain(ax)
    losses = [np.asarray(run["loss"], dtype="float64") for run in history]
    many = len(losses) > 1
    for k, loss in enumerate(losses):
        style = {"color": FAINT, "linewidth": 0.8} if many else {"linewidth": 1.8}
        ax.plot(
            np.arange(1, loss.size + 1),
            loss,
            **style,
            label=f"{len(losses)} draws" if many and k == 0 else None,
        )
    if many and len({loss.size for loss in losses}) == 1:
        mean = np.mean(losses, axis=0)
        ax.plot(np.arange(1, mean.size + 1), mean, linewidth=2, label="mean")
    ax.set(xlabel="Epoch", ylabel="Training loss", ylim=(0, None))
    ax.margins(x=0.02)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if many:
        ax.legend(frameon=False)
    return ax


def window_sweep(sweep: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the AUC of each dual window, as Zhang, Zuo, Xiong (2021), Fig. 9.

    Choosing a window by this figure fits the figure's labels: choose inside the training folds.

    Parameters
    ----------
    sweep : Dataset
        ``auc`` (window) with coords ``inner`` and ``outer``: what the package's own
        ``window_sweep`` returns.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Examples
    --------
    >>> sweep = xr.Dataset(
    ...     {"auc": ("window", [0.7, 0.8])},
    ...     coords={"inner": ("window", [3, 5]), "outer": ("window", [5, 9])},
    ... )
    >>> [text.get_text() for text in window_sweep(sweep).get_xticklabels()]
    ['(3, 5)', '(5, 9)']
    """
    ax = new_axes(ax, SWEEP_SIZE)
    plain(ax)
    aucs = sweep["auc"].values
    names = [
        f"({inner}, {outer})"
        for inner, outer in zip(sweep["inner"].values, sweep["outer"].values, strict=True)
    ]
    at = np.arange(aucs.size)
    base = min(0.5, np.floor(20 * np.nanmin(aucs)) / 20)
    ax.vlines(at, base, aucs, color=FAINT, linewidth=1)
    ax.plot(at, aucs, "o", markersize=7)
    for x, auc in zip(at, aucs, strict=True):
        ax.annotate(
            f"{auc:.3f}",
            (x, auc),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize="small",
            color=INK,
        )
    ax.set_xticks(at, names)
    ax.set(xlabel="Dual window (inner, outer), cells", ylabel="AUC")
    ax.set(xlim=(-0.6, aucs.size - 0.4), ylim=(base, np.nanmax(aucs) + 0.12 * (1 - base)))
    return ax
