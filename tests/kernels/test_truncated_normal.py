"""Truncated normals against scipy, and against integrals on a fine grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import truncnorm

from xgeoanom.kernels.truncated_normal import below, truncated_moments


@pytest.mark.parametrize("alpha", [-8.0, -5.001, -4.999, -2.0, 0.0, 1.5, 9.0])
def test_one_coordinate_is_exact(alpha):
    mean, sd = 0.3, 2.0
    law = truncnorm(-np.inf, alpha, loc=mean, scale=sd)
    found = below(mean, sd**2, mean + alpha * sd)
    np.testing.assert_allclose(found, law.stats("mv"), rtol=1e-8)


@pytest.mark.parametrize("alpha", [-5.0, -20.0, -1e3, -1e7])
def test_deep_tail_keeps_its_digits(alpha):
    # Below the ceiling the density falls like exp(-|alpha| t - t^2 / 2).
    weights = [
        quad(lambda u, k=k: u**k * np.exp(-u - 0.5 * (u / alpha) ** 2), 0, 60)[0] for k in range(3)
    ]
    gap = weights[1] / weights[0]
    mean, variance = below(0.0, 1.0, alpha)
    np.testing.assert_allclose(alpha - mean, gap / -alpha, rtol=1e-6, atol=1e-9 * -alpha)
    spread = weights[2] / weights[0] - gap**2
    np.testing.assert_allclose(variance, spread / alpha**2, rtol=1e-6)
    assert mean < alpha


@pytest.mark.parametrize("rho", [-0.8, 0.0, 0.5, 0.9])
def test_two_coordinates_against_an_integral(rho):
    mean, sd = np.array([0.4, -0.2]), np.array([1.0, 2.0])
    cov = np.array([[1.0, 2 * rho], [2 * rho, 4.0]])
    ceiling = np.array([0.1, -1.0])
    axes = [np.linspace(c - 7 * s, c, 1500) for c, s in zip(ceiling, sd, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    deviation = points - mean
    weight = np.exp(-0.5 * np.einsum("ni,ij,nj->n", deviation, np.linalg.inv(cov), deviation))
    expected = np.average(points, axis=0, weights=weight)
    spread = np.cov(points.T, aweights=weight)
    found, total = truncated_moments(np.tile(mean, (3, 1)), cov, np.tile(ceiling, (3, 1)))
    np.testing.assert_allclose(found, np.tile(expected, (3, 1)), atol=0.02)
    assert np.abs(total / 3 - spread).max() < 0.13 * spread.max()


@given(st.integers(1, 6), st.integers(0, 999))
def test_expectations_lie_below_and_spread_shrinks(d, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d))
    cov = root @ root.T + 0.05 * np.eye(d)
    mean, ceiling = 2 * rng.normal(size=(2, 4, d))
    inputs = mean.copy(), cov.copy()
    found, total = truncated_moments(mean, cov, ceiling)
    assert (found < ceiling).all()
    assert (np.diag(total) > 0).all()
    assert (np.diag(total) < 4 * np.diag(cov)).all()
    np.testing.assert_array_equal(mean, inputs[0])
    np.testing.assert_array_equal(cov, inputs[1])


def test_no_coordinate():
    found, total = truncated_moments(np.zeros((3, 0)), np.zeros((0, 0)), np.zeros((3, 0)))
    assert found.shape == (3, 0)
    assert total.shape == (0, 0)
