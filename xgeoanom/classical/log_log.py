"""Straight segments of a log-log plot of area against value: the fit that fractal methods share."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr

from xgeoanom.errors import GridError, XGeoAnomError
from xgeoanom.survey.search import check_count

LEAST = 4  # points that a segment needs
EXACT = 1e-9  # mean squared misfit, in log10 of area, that counts as none
BOTTOM = 0.01  # share of the smallest values below the first level


@dataclass(frozen=True)
class Segments:
    """Lines log10 A = intercept - exponent * log10 value, from low values to high."""

    breaks: np.ndarray  # values between neighbouring segments
    exponents: np.ndarray
    intercepts: np.ndarray
    bic: float


def check_numbers(n_segments: int | None, n_levels: int) -> None:
    """Raise unless there are at most four segments, and levels enough for them."""
    if n_segments is not None and n_segments not in (2, 3, 4):
        raise XGeoAnomError(f"n_segments={n_segments!r} must be 2, 3 or 4, or None for the best")
    check_count("n_levels", n_levels)
    if n_levels < 4 * LEAST:
        raise XGeoAnomError(f"n_levels={n_levels} must be at least {4 * LEAST}; try 100")


def area_above(values: np.ndarray, cell_area: float, n_levels: int) -> tuple[np.ndarray, ...]:
    """Return levels and the area in which positive ``values`` reach each.

    Levels are values that occur, the first at or above each step of an even scale in log: across
    a gap, as below a single extreme, the area would only repeat itself. The first step leaves
    out the smallest hundredth: the area hardly changes there, and the smallest powers of a
    spectrum stretch over decades.
    """
    values = np.sort(values, axis=None)
    steps = np.geomspace(np.quantile(values, BOTTOM), values[-1], n_levels)
    # Rounding may lift the last step above the largest value.
    first = np.minimum(np.searchsorted(values, steps), values.size - 1)
    levels = np.unique(values[first])
    if levels.size < 4 * LEAST:
        raise GridError(
            f"raster has {levels.size} distinct levels, a log-log plot needs {4 * LEAST}; raise "
            f"n_levels={n_levels}, or give values that are less rounded"
        )
    return levels, cell_area * (values.size - np.searchsorted(values, levels))


def fit_segments(levels: np.ndarray, area: np.ndarray, counts: tuple[int, ...]) -> Segments:
    """Return the least-squares segments; their number among ``counts`` is that of the lowest BIC.

    All places of the breaks are compared, by dynamic programming. Neighbouring levels share most
    of their area, so that BIC takes more segments than independent points would ask for.
    """
    x, y = np.log10(levels), np.log10(area)
    misfit = _misfits(x, y)
    candidates = []
    for count in counts:
        edges = _best_edges(misfit, count)
        total = sum(misfit[i, j] for i, j in pairwise(edges))
        # Two numbers for each line, one for each break.
        penalty = (3 * count - 1) * np.log(len(x))
        candidates.append((len(x) * np.log(max(total / len(x), EXACT)) + penalty, edges))
    bic, edges = min(candidates)
    lines = [np.polyfit(x[i:j], y[i:j], 1) for i, j in pairwise(edges)]
    slopes, intercepts = np.array(lines).T
    inner = np.array(edges[1:-1])
    breaks = 10 ** ((x[inner - 1] + x[inner]) / 2)
    return Segments(breaks, -slopes, intercepts, float(bic))


def _misfits(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the squared misfit ``(i, j)`` of the line through points i to j - 1."""
    x, y = x - x.mean(), y - y.mean()
    sums = np.array([np.ones_like(x), x, y, x * x, x * y, y * y]).cumsum(axis=1)
    sums = np.pad(sums, ((0, 0), (1, 0)))
    n, sx, sy, sxx, sxy, syy = sums[:, None, :] - sums[:, :, None]
    short = n < LEAST
    n = np.where(short, 1, n)
    vxx = np.where(short, 1, sxx - sx * sx / n)
    vxy, vyy = sxy - sx * sy / n, syy - sy * sy / n
    return np.where(short, np.inf, np.maximum(vyy - vxy**2 / vxx, 0))


def _best_edges(misfit: np.ndarray, count: int) -> tuple[int, ...]:
    """Return where ``count`` segments begin, and the end of the last."""
    cost, came_from = misfit[0], []
    for _ in range(count - 1):
        total = cost[:, None] + misfit
        came_from.append(total.argmin(axis=0))
        cost = total.min(axis=0)
    edges = [len(cost) - 1]
    for origin in reversed(came_from):
        edges.append(int(origin[edges[-1]]))
    return (0, *reversed(edges))


def with_plot(
    maps: xr.Dataset,
    levels: np.ndarray,
    area: np.ndarray,
    segments: Segments,
    quantity: str,
    unit: str,
) -> xr.Dataset:
    """Put the log-log plot and its segments beside the maps, as coords."""
    return maps.assign_coords(
        level=("level", levels, {"long_name": quantity, "units": unit}),
        area=("level", area, {"long_name": f"area of at least this {quantity}"}),
        breaks=("break", segments.breaks, {"long_name": f"{quantity} at a break", "units": unit}),
        exponent=("segment", segments.exponents, {"long_name": "fractal exponent"}),
        intercept=("segment", segments.intercepts, {"long_name": "log10 of the area at 1"}),
    )
