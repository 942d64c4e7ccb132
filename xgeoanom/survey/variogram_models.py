"""The variogram models, in the three forms that kernels know."""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from xgeoanom.kernels.covariance import EXPONENTIAL, MIXTURE, SPHERICAL

MODELS = ("spherical", "exponential", "gaussian", "matern")
UNREACHED = 0.05  # of the partial sill, at the effective range of a model without end
NEGLIGIBLE = 1e-13  # of the largest weight of a mixture


class Form(NamedTuple):
    """A model as kernels know it, and ``h`` at its effective range."""

    kind: int
    reach: float
    weights: np.ndarray = np.ones(1)
    rates: np.ndarray = np.ones(1)


def form_of(model: str, nu: float | None) -> Form:
    """Return the form of a model of :data:`MODELS`; ``nu`` is the smoothness of the Matérn one."""
    if model == "spherical":
        return Form(SPHERICAL, 1.0)
    if model == "exponential":
        return Form(EXPONENTIAL, -math.log(UNREACHED))
    if nu is None:
        return Form(MIXTURE, math.sqrt(-math.log(UNREACHED)))
    return _matern(nu)


@cache  # a fit asks for it again and again
def _matern(nu: float) -> Form:
    """Return the Matérn model ``h^nu K_nu(h) 2^(1 - nu) / Γ(nu)``."""
    if nu % 1 == 0.5:
        polynomial = _matern_polynomial(int(nu))
        reach = _reach(lambda h: float(math.exp(-h) * np.polyval(polynomial[::-1], h)))
        return Form(EXPONENTIAL, reach, polynomial, np.ones_like(polynomial))
    weights, rates = _matern_gaussians(nu)
    reach = _reach(lambda h: float(weights @ np.exp(-h * h * rates)))
    return Form(MIXTURE, reach, weights, rates)


def _reach(correlation: Callable[[float], float]) -> float:
    return float(brentq(lambda h: correlation(h) - UNREACHED, 0, 100, xtol=1e-13))


def _matern_polynomial(p: int) -> np.ndarray:
    """Return the coefficients, of h**0 first, beside ``exp(-h)`` where nu = p + 1/2.

    From DLMF 10.49.12.
    """
    ways = [math.factorial(2 * p - i) * math.comb(p, i) * 2**i for i in range(p + 1)]
    return np.array([way / math.factorial(2 * p) for way in ways])


def _matern_gaussians(nu: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and rates of the model's Gaussians.

    ``h^nu K_nu(h)`` is, but for a factor, the integral of ``exp(nu w - e^w - h²/(4 e^w))`` over
    all w (DLMF 10.32.10, with t = e^w); the trapezoidal rule is exact but for rounding.
    """
    step = 0.5 / math.sqrt(max(nu, 4.0))
    w = np.arange(math.log(nu + 60), -32 / nu, -step)
    exponent = nu * w - np.exp(w)
    weights = np.exp(exponent - exponent.max())
    weights, rates = weights[weights > NEGLIGIBLE], np.exp(-w[weights > NEGLIGIBLE]) / 4
    return weights / weights.sum(), rates
