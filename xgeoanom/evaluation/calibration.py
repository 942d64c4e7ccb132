"""Calibration: whether a score of 0.3 means three deposit cells in ten."""

from numbers import Integral

import numpy as np
import xarray as xr

from xgeoanom.conventions import BACKGROUND, DEPOSIT, UNLABELLED, X, Y, check_same_grid, provenance
from xgeoanom.errors import GridError, LabelError, XGeoAnomError
from xgeoanom.evaluation.prediction_area import wilson_interval

LEVEL = 0.9


def calibration_curve(score: xr.DataArray, labels: xr.DataArray, *, n_bins: int = 10) -> xr.Dataset:
    """Return the share of deposit cells by score, in bins of about equally many cells.

    Negatives are the background cells (0) or, where labels hold none at all, every unlabelled
    cell (-1). The share depends on how many there are: a score learned against as many drawn
    background cells as deposit cells lies far above the share among all cells of a map. Cells of
    one deposit are neighbours and not independent, so the intervals are too narrow.

    Parameters
    ----------
    score : DataArray
        Score ``(y, x)`` in [0, 1]; cells with NaN take no part. A chunked score is computed.
    labels : DataArray
        Labels ``(y, x)``: 1 deposit, 0 background, -1 unlabelled.
    n_bins : int
        Bins, parted at quantiles of the score. Tied cells stay together, so that there may be
        fewer bins.

    Returns
    -------
    Dataset
        Over ``bin``, scores ascending: ``mean_score``; ``share``, that of deposit cells; ``low``
        and ``high``, its 90 % interval after Wilson; ``n``, the number of cells. Attrs ``ece``,
        the expected calibration error, which is the mean of ``|share - mean_score|`` weighted by
        ``n``, and ``brier``, the mean squared difference of score and label over cells.

    Raises
    ------
    LabelError
        If no scored cell is positive, or none negative.
    XGeoAnomError
        If a score lies outside [0, 1], or ``n_bins`` is no positive integer.
    GridError, CRSError
        If the score is no raster, or labels lie on another grid.

    References
    ----------
    Guo et al. 2017, "On calibration of modern neural networks", section 2, on the expected
    calibration error, there in bins of equal width; Brier 1950, Mon. Weather Rev. 78, 1; Wilson
    1927, J. Am. Stat. Assoc. 22, 209.

    Examples
    --------
    >>> grid = {"y": [0.0, 1.0], "x": [0.0, 1.0, 2.0]}
    >>> score = xr.DataArray([[0.1, 0.2, 0.3], [0.7, 0.8, 0.9]], coords=grid, dims=("y", "x"))
    >>> labels = xr.DataArray([[0, 0, 0], [0, 1, 1]], coords=grid, dims=("y", "x"))
    >>> curve = calibration_curve(score, labels, n_bins=2)
    >>> curve["share"].values.round(2), round(curve.attrs["ece"], 3)
    (array([0.  , 0.67]), 0.167)
    """
    if not isinstance(n_bins, Integral) or isinstance(n_bins, bool) or n_bins < 1:
        raise XGeoAnomError(f"n_bins={n_bins!r} must be a positive integer; try n_bins=10")
    scores, is_deposit = _scored_classes(score, labels)
    edges = np.quantile(scores, np.linspace(0, 1, n_bins + 1)[1:-1])
    bins = np.unique(np.searchsorted(edges, scores), return_inverse=True)[1]
    n = np.bincount(bins)
    mean_score = np.bincount(bins, scores) / n
    share = np.bincount(bins, is_deposit) / n
    attrs = provenance("calibration_curve", n_bins=n_bins) | {
        "ece": float(np.average(np.abs(share - mean_score), weights=n)),
        "brier": float(np.mean((scores - is_deposit) ** 2)),
    }
    return _curve(mean_score, share, n, attrs)


def _curve(mean_score: np.ndarray, share: np.ndarray, n: np.ndarray, attrs: dict) -> xr.Dataset:
    bounds = [wilson_interval(*each, LEVEL) for each in zip(share, n, strict=True)]
    low, high = np.transpose(bounds)
    columns = {
        "mean_score": ("mean score", mean_score),
        "share": ("share of deposit cells", share),
        "low": ("lower bound of the share of deposit cells", low),
        "high": ("upper bound of the share of deposit cells", high),
        "n": ("number of cells", n),
    }
    return xr.Dataset(
        {
            name: ("bin", values, {"long_name": long_name, "units": "1"})
            for name, (long_name, values) in columns.items()
        },
        attrs={"long_name": "calibration curve", "units": "1", **attrs},
    )


def _scored_classes(score: xr.DataArray, labels: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of positive and negative cells, and which are positive."""
    if not isinstance(score, xr.DataArray) or set(score.dims) != {Y, X}:
        raise GridError(f"score must be a DataArray (y, x), not {getattr(score, 'dims', score)}")
    check_same_grid(labels, score, "labels")
    values = score.transpose(Y, X).values.astype("float64")
    marks = labels.transpose(Y, X).values
    negative = BACKGROUND if (marks == BACKGROUND).any() else UNLABELLED
    positives, negatives = (
        values[(marks == mark) & ~np.isnan(values)] for mark in (DEPOSIT, negative)
    )
    if positives.size == 0:
        raise LabelError("labels has no 1 (deposit) on a scored cell; see label_deposits")
    if negatives.size == 0:
        raise LabelError(
            f"labels has no {negative} on a scored cell to stand against deposits; score more "
            "ground, or add background with draw_background"
        )
    scores = np.concatenate([positives, negatives])
    if scores.min() < 0 or scores.max() > 1:
        raise XGeoAnomError(
            f"score runs from {scores.min():g} to {scores.max():g} and must lie in [0, 1] to be "
            "compared with shares; give a detector's score"
        )
    return scores, np.arange(scores.size) < positives.size
