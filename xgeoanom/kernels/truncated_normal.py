"""Moments of normal vectors that lie below ceilings, as values below detection limits do."""

import math

import numpy as np
from numba import njit

SWEEPS = 50  # three to ten suffice mostly
TOLERANCE = 1e-6  # of a mean, in standard deviations
TAIL, TERMS = -5.0, 40  # from where on, and how long, the continued fraction is


@njit(nogil=True)
def truncated_moments(mean, cov, ceiling):
    """Return expectations of normal vectors below ceilings, and their summed covariance.

    Expectation propagation: each coordinate in turn gets mean and variance of its truncated
    normal, and the others follow by regression. Exact for one coordinate or independent ones;
    else means are right to some hundredths of a standard deviation, and variances, of coordinates
    with a correlation of 0.9, to a sixth.

    Parameters
    ----------
    mean, ceiling : (n, d) float64 array
        Each vector's mean before truncation, and its finite ceilings.
    cov : (d, d) float64 array
        Covariance before truncation, shared by all; positive definite.

    Returns
    -------
    (n, d) array, (d, d) array
        Means of the truncated vectors, all below their ceilings; the sum of their covariances.

    References
    ----------
    Cunningham, Hennig and Lacoste-Julien 2011, arXiv:1111.6832, section 3.
    """
    n, d = mean.shape
    expected = np.empty((n, d))
    total = np.zeros((d, d))
    for row in range(n):
        total += _one_vector(mean[row], cov, ceiling[row], expected[row])
    return expected, total


@njit(nogil=True)
def _one_vector(mean, cov, ceiling, expected):
    """Write one vector's expectation to ``expected``; return its covariance."""
    d = len(mean)
    centre, spread = mean.copy(), cov.copy()
    # What the ceiling of each coordinate adds: precision, and precision times mean.
    precision, shift = np.zeros(d), np.zeros(d)
    for _ in range(SWEEPS):
        change = 0.0
        for i in range(d):
            marginal = spread[i, i]
            free = marginal / (1.0 - precision[i] * marginal)
            free_mean = (centre[i] / marginal - shift[i]) * free
            expected[i], variance = below(free_mean, free, ceiling[i])
            precision[i] = 1.0 / variance - 1.0 / free
            shift[i] = expected[i] / variance - free_mean / free
            change = max(change, abs(expected[i] - centre[i]) / math.sqrt(cov[i, i]))
            _give_moments(centre, spread, i, expected[i], variance)
        if change < TOLERANCE or d == 1:
            break
    return spread


@njit(nogil=True)
def _give_moments(mean, cov, i, new_mean, new_variance):
    """Give coordinate ``i`` another mean and variance; the others follow by regression."""
    step, lost = new_mean - mean[i], cov[i, i] - new_variance
    slope = cov[i] / cov[i, i]
    for j in range(len(mean)):
        mean[j] += slope[j] * step
        for k in range(len(mean)):
            cov[j, k] -= slope[j] * slope[k] * lost


@njit(nogil=True)
def below(mean, variance, ceiling):
    """Return mean and variance of a normal below a ceiling (Johnson, Kotz, Balakrishnan 1994).

    >>> [round(moment, 4) for moment in below(0.0, 1.0, 0.0)]
    [-0.7979, 0.3634]
    """
    sd = math.sqrt(variance)
    alpha = (ceiling - mean) / sd
    if alpha < TAIL:
        # Mills' ratio as a continued fraction: no digits are lost, however deep the tail.
        outer = 0.0
        for k in range(TERMS, 1, -1):
            outer = k / (outer - alpha)
        gap = 1.0 / (outer - alpha)
        return ceiling - sd * gap, variance * gap * (outer - gap)
    density = math.exp(-0.5 * alpha * alpha) / math.sqrt(2.0 * math.pi)
    ratio = density / (0.5 * math.erfc(-alpha / math.sqrt(2.0)))
    return mean - sd * ratio, variance * (1.0 - ratio * (ratio + alpha))
