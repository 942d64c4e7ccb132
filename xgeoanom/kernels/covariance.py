"""Covariances of nested variogram structures, for arrays of offsets at once.

Structures come scaled: each has a metric in which its model is one of three. Spherical:
``1 - 1.5 h + 0.5 h³`` up to 1. Exponential: ``exp(-h)`` times a polynomial, as Matérn models of
half-integer smoothness are too. Mixture: a weighted mean of Gaussians ``exp(-rate h²)``, as the
Gaussian model itself and all other Matérn models are.
"""

from typing import NamedTuple

import numpy as np

from xgeoanom.kernels.neighbors import jit

SPHERICAL, EXPONENTIAL, MIXTURE = 0, 1, 2
VANISHED = 40.0  # exp(-40) is nothing beside 1


class Covariance(NamedTuple):
    """The nugget, and ``n`` structures that add up."""

    nugget: float
    partial_sills: np.ndarray  # (n,)
    kinds: np.ndarray  # (n,) SPHERICAL, EXPONENTIAL or MIXTURE
    metrics: np.ndarray  # (n, 3): a, b, c of h² = a dx² + 2 b dx dy + c dy²
    starts: np.ndarray  # (n + 1,): structure i has the terms from starts[i] to starts[i + 1]
    weights: np.ndarray  # (term,) of Gaussians; or coefficients of the polynomial, of h**0 first
    rates: np.ndarray  # (term,) of Gaussians, ascending in each structure


@jit
def _spherical(h2):
    h = min(np.sqrt(h2), 1.0)
    return 1 - h * (1.5 - 0.5 * h * h)


@jit
def _exponential(h2, coefficients):
    h = np.sqrt(h2)
    polynomial = 0.0
    for i in range(len(coefficients) - 1, -1, -1):
        polynomial = polynomial * h + coefficients[i]
    return polynomial * np.exp(-h)


@jit
def _mixture(h2, weights, rates):
    """Return the mean of the Gaussians; those that have vanished are the last ones."""
    total = 0.0
    for i in range(len(weights)):
        exponent = h2 * rates[i]
        if exponent > VANISHED:
            break
        total += weights[i] * np.exp(-exponent)
    return total


@jit
def structured(covariance, dx, dy, out):
    """Write the covariances of the structures, without the nugget, at offsets ``(n,)``."""
    out[:] = 0.0
    for s in range(len(covariance.kinds)):
        sill, kind = covariance.partial_sills[s], covariance.kinds[s]
        a, b, c = covariance.metrics[s]
        start, stop = covariance.starts[s], covariance.starts[s + 1]
        weights, rates = covariance.weights[start:stop], covariance.rates[start:stop]
        for i in range(len(out)):
            h2 = max(a * dx[i] * dx[i] + 2 * b * dx[i] * dy[i] + c * dy[i] * dy[i], 0.0)
            if kind == SPHERICAL:
                out[i] += sill * _spherical(h2)
            elif kind == EXPONENTIAL:
                out[i] += sill * _exponential(h2, weights)
            else:
                out[i] += sill * _mixture(h2, weights, rates)
