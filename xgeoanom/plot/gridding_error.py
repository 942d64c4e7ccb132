"""Pictures of what cross-validation says of gridders."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from xgeoanom.conventions import ELEMENT, SAMPLE, UNIT
from xgeoanom.errors import CubeError
from xgeoanom.evaluation.gridding_error import GRIDDER
from xgeoanom.plot.axes import FAINT, PALETTE, new_axes, plain

COMPARED = ("rmse", "mae", "log_rmse")  # the smaller the better, and never negative


def gridding_error(errors: xr.Dataset, *, measure: str = "rmse", ax: Axes | None = None) -> Axes:
    """Draw the error of each gridder over that of the best, element by element.

    A dot at 1 is the best gridder of its element; at 1.1 the error is a tenth larger. Elements
    stand as in ``errors``.

    Parameters
    ----------
    errors : Dataset
        What :func:`gridding_error` of the package returns.
    measure : str
        ``"rmse"``, ``"mae"`` or ``"log_rmse"``. Of the others, ratios to the best say nothing.
    ax : Axes, optional
        Where to draw; by default a new figure that grows with the elements.

    Raises
    ------
    CubeError
        If ``errors`` is no such result, or ``measure`` another one.

    Examples
    --------
    >>> errors = xr.Dataset(
    ...     {"rmse": (("gridder", "element"), [[2.0], [3.0]])},
    ...     coords={"gridder": ["IDW", "kriging"], "element": ["Au"]},
    ... )
    >>> [float(line.get_xdata()[0]) for line in gridding_error(errors).lines[-2:]]
    [1.0, 1.5]
    """
    if measure not in COMPARED:
        raise CubeError(
            f"measure={measure!r} cannot be drawn over that of the best, as only what is never "
            f"negative and the smaller the better can; use one of {list(COMPARED)}"
        )
    if measure not in errors:
        raise CubeError(f"errors has no measure={measure!r}; make it with gridding_error")
    values = errors[measure].transpose(GRIDDER, ELEMENT)
    names = [str(name) for name in errors[ELEMENT].values]
    ax = new_axes(ax, (5.6, 1.6 + 0.2 * len(names)))
    ax.axvline(1, color=FAINT, linewidth=0.8, zorder=0)
    for k, gridder in enumerate(errors[GRIDDER].values):
        ratio = values.sel({GRIDDER: gridder}) / values.min(GRIDDER)
        marker, colour = "osD^v<>"[k // len(PALETTE) % 7], PALETTE[k % len(PALETTE)]
        ax.plot(ratio, names, marker, color=colour, alpha=0.8, label=str(gridder))
    plain(ax)
    ax.set(xlabel=f"{measure.upper().replace('_', ' ')} over that of the best")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize="small")
    return ax


def predicted_observed(
    errors: xr.Dataset, element: str, *, gridder: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw what a gridder says of held-out samples against what was measured there.

    Gridding smooths: high values come out too low, low ones too high, so that the cloud lies
    flatter than the diagonal. The scales are logarithmic where all values are positive.

    Parameters
    ----------
    errors : Dataset
        What :func:`gridding_error` of the package returns.
    element : str
        Which element.
    gridder : str, optional
        Whose predictions; by default those of the least RMSE.
    ax : Axes, optional
        Where to draw; by default a new figure.

    Raises
    ------
    CubeError
        If ``errors`` lacks ``element`` or ``gridder``.

    Examples
    --------
    >>> errors = xr.Dataset(
    ...     {"rmse": (("gridder", "element"), [[0.5]]),
    ...      "prediction": (("gridder", "sample", "element"), [[[1.5], [2.5]]]),
    ...      "observed": (("sample", "element"), [[1.0], [3.0]])},
    ...     coords={"gridder": ["IDW"], "element": ["Au"]},
    ... )
    >>> predicted_observed(errors, "Au").get_title(loc="left")
    'Au, IDW'
    """
    gridder = _gridder(errors, element, gridder)
    one = errors.sel({ELEMENT: element, GRIDDER: gridder})
    pair = np.stack([one["observed"].values, one["prediction"].transpose(SAMPLE).values])
    pair = pair[:, np.isfinite(pair).all(axis=0)]
    ax = new_axes(ax)
    ax.plot(*pair, "o", markersize=3, alpha=0.5, markeredgewidth=0)
    if pair.size and pair.min() > 0:
        ax.set(xscale="log", yscale="log")
    ends = [pair.min(initial=np.inf), pair.max(initial=-np.inf)]
    ax.plot(ends, ends, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    plain(ax)
    unit = f" ({one[UNIT].item()})" if UNIT in one.coords else ""
    ax.set(xlabel=f"Measured{unit}", ylabel=f"Predicted{unit}")
    ax.set_title(f"{element}, {gridder}", loc="left")
    return ax


def _gridder(errors: xr.Dataset, element: str, gridder: str | None) -> str:
    """Return the gridder that is named, or the best one."""
    if element not in errors[ELEMENT].values:
        raise CubeError(f"element={element!r} is not in errors: {errors[ELEMENT].values.tolist()}")
    if gridder is None:
        return str(errors["rmse"].sel({ELEMENT: element}).fillna(np.inf).idxmin().item())
    if gridder not in errors[GRIDDER].values:
        raise CubeError(f"gridder={gridder!r} is not in errors: {errors[GRIDDER].values.tolist()}")
    return gridder
