"""Fits of a power law to counts in rings: least squares of logs, and Poisson likelihood."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import chi2


@dataclass(frozen=True)
class PowerLaw:
    """``density = exp(log_coefficient) * distance**exponent``, and the exponent's interval."""

    exponent: float
    log_coefficient: float
    low: float
    high: float


def by_least_squares(
    distance: np.ndarray,
    counts: np.ndarray,
    area: np.ndarray,
    cumulative: bool,
    level: float,
    n_boot: int,
    rng: np.random.Generator,
) -> PowerLaw:
    """Fit a line to log density, up to each distance or of each ring, with bootstrapped bounds.

    To draw deposits with replacement is to draw their counts from a multinomial.
    """
    draws = rng.multinomial(counts.sum(), counts / counts.sum(), size=n_boot)
    draws = np.concatenate([counts[None], draws])
    if cumulative:
        draws, area = draws.cumsum(axis=1), area.cumsum()
    slopes, intercepts = _lines(np.log(distance), draws, area)
    low, high = np.nanquantile(slopes[1:], [(1 - level) / 2, (1 + level) / 2])
    return PowerLaw(float(slopes[0]), float(intercepts[0]), float(low), float(high))


def _lines(
    log_d: np.ndarray, counts: np.ndarray, area: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes and intercepts ``(draw,)`` of log density on log distance, where positive.

    NaN where a draw has fewer than two points.
    """
    used = counts > 0
    log_density = np.log(np.where(used, counts / area, 1))
    n = used.sum(axis=1)
    mean_d = (used * log_d).sum(axis=1) / n
    off = np.where(used, log_d - mean_d[:, None], 0)
    spread = np.where(n > 1, (off**2).sum(axis=1), np.nan)
    slopes = (off * log_density).sum(axis=1) / spread
    return slopes, log_density.sum(axis=1) / n - slopes * mean_d


def by_likelihood(
    distance: np.ndarray, counts: np.ndarray, area: np.ndarray, level: float
) -> PowerLaw:
    """Fit ``counts ~ Poisson(area N distance**k)``, with bounds of the profile likelihood.

    For each k the best N is the number of deposits over ``sum(area * distance**k)``. What is left
    is concave in k: two rings with deposits make its maximum and both bounds unique.
    """
    log_d, log_area = np.log(distance), np.log(area)
    n, mean = counts.sum(), counts @ log_d / counts.sum()

    def slope(k: float) -> float:
        share = log_area + k * log_d
        return float(mean - np.exp(share - logsumexp(share)) @ log_d)

    def likelihood(k: float) -> float:
        return float(n * (k * mean - logsumexp(log_area + k * log_d)))

    exponent = brentq(slope, 0.0, _beyond(slope, 0.0, 1 if slope(0.0) > 0 else -1))
    least = likelihood(exponent) - chi2.ppf(level, 1) / 2

    def excess(k: float) -> float:
        return likelihood(k) - least

    low, high = (brentq(excess, exponent, _beyond(excess, exponent, side)) for side in (-1, 1))
    log_coefficient = math.log(n) - logsumexp(log_area + exponent * log_d)
    return PowerLaw(float(exponent), float(log_coefficient), float(low), float(high))


def _beyond(func: Callable[[float], float], start: float, side: int) -> float:
    """Return a number on one side of ``start`` where ``func`` has changed its sign."""
    step = 1.0
    while func(start) * func(start + side * step) > 0:
        step *= 2
    return start + side * step
