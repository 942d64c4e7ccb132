"""From a score to the anomaly classes that a geologist reads: high, moderate, low."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from xgeoanom.conventions import X, Y, provenance, raster_on
from xgeoanom.errors import GridError

HIGH, MODERATE, LOW, REST, MISSING = 3, 2, 1, 0, -1
CLASS_FLAGS = {
    "flag_values": np.array([HIGH, MODERATE, LOW, REST, MISSING], dtype="int8"),
    "flag_meanings": "high moderate low rest missing",
}


def classify(score: xr.DataArray, *, areas: Sequence[float] = (0.05, 0.15, 0.30)) -> xr.DataArray:
    """Return high, moderate and low anomaly classes by cumulative share of scored area.

    The threshold of a class is the score of the cell that completes its share of the area, and
    each cell at or above it belongs to the class. Equal scores are never split, so ties at a
    threshold make a class larger than its share; where a cell reaches several thresholds the
    higher class holds.

    Parameters
    ----------
    score : DataArray
        Score ``(y, x)``; higher is more anomalous, NaN is missing. The thresholds are a
        statistic of the whole map, so a chunked score is computed once for them; the classes
        themselves stay lazy.
    areas : sequence of three floats
        Cumulative shares of the scored area: high, high and moderate, all anomalies.
        5, 15 and 30 % are those of Zhang, Zuo, Xiong (2021), section 4.

    Returns
    -------
    DataArray
        int8 ``(y, x)``: 3 high, 2 moderate, 1 low, 0 rest, -1 missing.

    Raises
    ------
    GridError
        If ``score`` is no ``(y, x)`` raster, has no valid cell, or ``areas`` do not grow from
        0 to 1.

    Examples
    --------
    >>> score = xr.DataArray(np.arange(100.0).reshape(10, 10), dims=("y", "x"))
    >>> classes = classify(score)
    >>> [int((classes == value).sum()) for value in (3, 2, 1, 0)]
    [5, 10, 15, 70]
    """
    _check_areas(areas)
    if set(score.dims) != {Y, X}:
        raise GridError(f"score has dims {score.dims}, not ('y', 'x')")
    thresholds = area_thresholds(score, areas)
    reached = sum((score >= threshold).astype("int8") for threshold in thresholds)
    classes = xr.where(score.isnull(), np.int8(MISSING), reached).transpose(Y, X)
    return raster_on(
        score,
        classes.data,
        name=f"{score.name or 'score'}_class",
        long_name="anomaly class",
        attrs=CLASS_FLAGS | provenance("classify", areas=list(areas)),
    )


def area_thresholds(score: xr.DataArray, areas: Sequence[float]) -> list[np.generic]:
    """Return the score that completes each share of the scored area."""
    scored = score.values[~np.isnan(score.values)]
    if scored.size == 0:
        raise GridError("score has no valid cell; check that the cube overlaps the survey")
    order = np.sort(scored)
    return [order[scored.size - cells_in(area, scored.size)] for area in areas]


def cells_in(area: float, n: int) -> int:
    """Return how many of ``n`` cells make up the share ``area``: rounded, at least one."""
    return max(1, int(np.floor(area * n + 0.5)))


def _check_areas(areas: Sequence[float]) -> None:
    edges = [0.0, *areas, 1.0]
    if len(areas) != 3 or not all(low < high for low, high in pairwise(edges)):
        raise GridError(
            f"areas={tuple(areas)} must be three growing shares between 0 and 1; "
            "try areas=(0.05, 0.15, 0.30)"
        )
