"""The kriging kernel against dense systems solved by numpy, and its search against sorting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gamma, kv

from xgeoanom.kernels.kriging import LANES, krige_at
from xgeoanom.kernels.neighbors import build_tree, nearest, stretch_of
from xgeoanom.survey.variogram import Structure, Variogram

VARIOGRAMS = [
    Variogram.spherical(1.0, 40.0),
    Variogram.spherical(1.0, 40.0, nugget=0.3),
    Variogram.exponential(2.0, 60.0, nugget=0.1),
    Variogram.gaussian(1.0, 30.0, nugget=0.05),
    Variogram.matern(1.0, 50.0, nu=1.5, nugget=0.01),
    Variogram.spherical(1.0, 60.0, nugget=0.1, ratio=0.4, azimuth=30.0),
    Variogram.spherical(1.0, 15.0, ratio=0.5, azimuth=100.0)
    + Variogram.exponential(3.0, 90.0, nugget=0.2, ratio=0.7, azimuth=20.0),
    Variogram(0.7),
]


def samples(n=60, n_elements=2, seed=0, extent=100.0):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, extent, (2, n))
    return x, y, rng.normal(10, 1, (n, n_elements))


def krige(variogram, x, y, values, at_x, at_y, k=16, max_distance=np.inf, stretch=None):
    """Return estimates (element, place), variances and Lagrange multipliers (place,)."""
    stretch = variogram.stretch if stretch is None else stretch
    tree = build_tree(x, y, values, stretch)
    layers = np.arange(values.shape[1])
    out = np.full((len(layers), len(at_x)), -1.0)
    variance, multiplier = np.full((2, len(at_x)), -1.0)
    covariance = variogram.in_space(stretch)
    krige_at(tree, covariance, at_y, at_x, layers, out, variance, multiplier, k, max_distance)
    return out, variance, multiplier


def krige_dense(variogram, x, y, values, at_x, at_y, k=16, max_distance=np.inf):
    """Solve each place's system in semivariances, with its Lagrange multiplier."""
    out = np.full((values.shape[1] + 2, len(at_x)), np.nan)
    for p in range(len(at_x)):
        dx, dy = x - at_x[p], y - at_y[p]
        h = np.hypot(*(variogram.stretch @ [dx, dy]))
        near = np.argsort(h, kind="stable")[:k]
        near = near[h[near] <= max_distance]
        n = len(near)
        if n == 0:
            continue
        apart = x[near, None] - x[near], y[near, None] - y[near]
        system = np.zeros((n + 1, n + 1))
        # Two samples at one place still differ by their nuggets.
        system[:n, :n] = variogram.sill - structured(variogram, *apart)
        np.fill_diagonal(system, 0)
        system[n, :n] = system[:n, n] = 1
        right = np.append(variogram.sill - structured(variogram, dx[near], dy[near]), 1)
        solution = np.linalg.solve(system, right)
        out[:-2, p] = solution[:n] @ values[near]
        out[-2:, p] = solution @ right, solution[n]
    return out[:-2], out[-2], out[-1]


def structured(variogram, dx, dy):
    """Covariance without the nugget, by the textbook, in numpy and scipy."""
    total = np.zeros(np.shape(dx))
    for part in variogram.structures:
        sin, cos = np.sin(np.radians(part.azimuth)), np.cos(np.radians(part.azimuth))
        along, across = dx * sin + dy * cos, (dx * cos - dy * sin) / part.ratio
        total += part.partial_sill * correlation(part, np.hypot(along, across))
    return total


def correlation(part, distance):
    h = distance / part.effective_range
    if part.model == "spherical":
        return np.where(h < 1, 1 - 1.5 * h + 0.5 * h**3, 0)
    if part.model == "exponential":
        return 0.05**h
    if part.model == "gaussian":
        return 0.05 ** (h**2)
    # 4.743864518390576: where the Matérn correlation of nu = 1.5, (1 + h) exp(-h), is 0.05.
    assert part.nu == 1.5
    h = np.maximum(4.743864518390576 * h, 1e-12)
    return 2**-0.5 / gamma(1.5) * h**1.5 * kv(1.5, h)


def assert_same(found, expected, rtol=1e-9):
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-10)


@pytest.mark.parametrize("variogram", VARIOGRAMS, ids=str)
@pytest.mark.parametrize("k", [1, 2, 7, 16, 60])
def test_equals_dense_system(variogram, k):
    x, y, values = samples()
    rng = np.random.default_rng(1)
    at = rng.uniform(-20, 120, (2, 2 * LANES + 3))
    assert_same(
        krige(variogram, x, y, values, *at, k), krige_dense(variogram, x, y, values, *at, k)
    )


@given(
    n=st.integers(1, 30),
    k=st.integers(1, 30),
    n_places=st.integers(1, 2 * LANES + 1),
    max_distance=st.sampled_from([np.inf, 3.0, 20.0]),
    variogram=st.sampled_from(VARIOGRAMS),
    seed=st.integers(0, 99),
)
def test_few_samples_and_short_reach(n, k, n_places, max_distance, variogram, seed):
    x, y, values = samples(n, seed=seed)
    at = np.random.default_rng(seed + 1).uniform(0, 100, (2, n_places))
    args = (variogram, x, y, values, *at, k, max_distance)
    assert_same(krige(*args), krige_dense(*args), rtol=1e-7)


@given(
    variogram=st.sampled_from([v for v in VARIOGRAMS if v.nugget == 0]),
    n=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_exact_at_samples_without_nugget(variogram, n, seed):
    x, y, values = samples(n, seed=seed)
    found, variance, multiplier = krige(variogram, x, y, values, x, y)
    np.testing.assert_allclose(found, values.T, rtol=1e-9)
    np.testing.assert_allclose(variance, 0, atol=1e-10)
    np.testing.assert_allclose(multiplier, 0, atol=1e-10)


def test_nugget_makes_the_limit_of_surroundings_at_samples():
    x, y, values = samples()
    variogram = Variogram.spherical(1.0, 40.0, nugget=0.3)
    on, variance, _ = krige(variogram, x, y, values, x, y)
    beside, its_variance, _ = krige(variogram, x, y, values, x + 1e-7, y)
    np.testing.assert_allclose(on, beside, rtol=1e-6)
    np.testing.assert_allclose(variance, its_variance, rtol=1e-6)
    assert (variance > 0.3).all()
    assert abs(on - values.T).max() > 0.1


@given(
    variogram=st.sampled_from(VARIOGRAMS),
    level=st.floats(-1e6, 1e6, allow_subnormal=False),
    seed=st.integers(0, 99),
)
def test_constants_are_reproduced(variogram, level, seed):
    x, y, values = samples(seed=seed)
    at = np.random.default_rng(seed).uniform(-50, 150, (2, 9))
    found, variance, _ = krige(variogram, x, y, np.full_like(values, level), *at)
    np.testing.assert_allclose(found, level, rtol=1e-9)
    assert (variance >= 0).all()


@given(
    variogram=st.sampled_from(VARIOGRAMS),
    east=st.integers(-500_000, 500_000),
    north=st.integers(0, 9_000_000),
)
def test_translation_changes_nothing(variogram, east, north):
    x, y, values = (column.round(3) for column in samples())
    at = np.arange(3.0, 90.0, 7.0), np.arange(90.0, 3.0, -7.0)
    here = krige(variogram, x, y, values, *at)
    there = krige(variogram, x + east, y + north, values, at[0] + east, at[1] + north)
    assert_same(there, here, rtol=1e-6)


def test_places_in_any_order_give_the_same():
    x, y, values = (column.round(-1) for column in samples(200))  # ties and coincidence
    variogram = Variogram.spherical(1.0, 40.0, nugget=0.3)
    at = np.random.default_rng(2).integers(0, 10, (2, 100)) * 10.0
    whole = krige(variogram, x, y, values, *at)
    order = np.random.default_rng(3).permutation(100)
    for one, other in zip(krige(variogram, x, y, values, *at[:, order]), whole):
        np.testing.assert_array_equal(one, other[..., order])
    for one, other in zip(krige(variogram, x, y, values, *at[:, 5:16]), whole):
        np.testing.assert_array_equal(one, other[..., 5:16])


@pytest.mark.parametrize("nugget", [0.0, 1e-14])
def test_coincident_samples_without_nugget_count_once(nugget):
    x, y, values = samples(20)
    twice = np.repeat(x, 2), np.repeat(y, 2), np.repeat(values, 2, axis=0)
    variogram = Variogram.spherical(1.0, 40.0, nugget=nugget)
    at = np.random.default_rng(1).uniform(0, 100, (2, 9))
    assert_same(krige(variogram, *twice, *at, 40), krige(variogram, x, y, values, *at, 20), 1e-6)


def test_smooth_variogram_of_dense_samples_stays_stable():
    x, y = np.meshgrid(np.arange(0.0, 10), np.arange(0.0, 10))
    x, y = x.ravel(), y.ravel()
    values = np.column_stack([x + y, np.sin(x / 5)])
    at = np.random.default_rng(0).uniform(2, 7, (2, 50))
    found, variance, _ = krige(Variogram.gaussian(1.0, 500.0), x, y, values, *at)
    np.testing.assert_allclose(found, [at.sum(axis=0), np.sin(at[0] / 5)], atol=0.02)
    assert (variance >= 0).all()


def test_samples_on_one_line():
    x, _, values = samples(30)
    variogram = Variogram.exponential(2.0, 60.0, nugget=0.1)
    at = np.random.default_rng(1).uniform(0, 100, (2, 9))
    args = (variogram, x, np.zeros(30), values, *at)
    assert_same(krige(*args), krige_dense(*args))


def test_nothing_in_reach_is_nan():
    x, y, values = np.zeros(1), np.zeros(1), np.array([[5.0]])
    variogram = Variogram.spherical(1.0, 40.0, nugget=0.3)
    at = np.array([0.0, 3.0, 4.0]), np.array([3.0, 0.0, 0.0])
    found, variance, multiplier = krige(variogram, x, y, values, *at, 16, 3.0)
    np.testing.assert_array_equal(found, [[5.0, 5.0, np.nan]])
    # Of a single sample, the variance is twice the semivariance.
    twice = 2 * variogram.gamma(3.0)
    np.testing.assert_allclose(variance, [twice, twice, np.nan])
    assert np.isnan(multiplier[2])


def test_only_named_layers_are_written():
    x, y, values = samples(20)
    variogram = VARIOGRAMS[0]
    tree = build_tree(x, y, values)
    out, variance = np.full((4, 3), -1.0), np.empty((2, 3))
    at = np.arange(3.0), np.arange(3.0)
    krige_at(tree, variogram.in_space(np.eye(2)), *at, np.array([3, 1]), out, *variance, 16, np.inf)
    assert (out[[0, 2]] == -1).all()
    np.testing.assert_array_equal(out[[3, 1]], krige(variogram, x, y, values, *at)[0])


@given(
    n=st.integers(1, 80),
    k=st.integers(1, 20),
    within=st.sampled_from([np.inf, 4.0, 0.0]),
    stretched=st.booleans(),
    seed=st.integers(0, 99),
)
def test_nearest_equals_sorting(n, k, within, stretched, seed):
    x, y = np.random.default_rng(seed).integers(0, 7, (2, n)).astype(float)  # ties
    stretch = stretch_of(2.0, 30.0) if stretched else np.eye(2)
    tree = build_tree(x, y, np.zeros((n, 1)), stretch)
    found, distances = np.empty(k, dtype=int), np.empty(k)
    for place in ((0.0, 0.0), (1.5, -0.5)):
        nearest(tree, *place, within, found, distances)
        squared = (tree.x - place[0]) ** 2 + (tree.y - place[1]) ** 2
        order = np.lexsort((np.arange(n), squared))
        order = order[squared[order] <= within][:k]
        np.testing.assert_array_equal(found[: len(order)], order)
        np.testing.assert_array_equal(distances[: len(order)], squared[order])
        assert (found[len(order) :] == n).all()


def test_structure_is_what_the_covariance_is_made_of():
    variogram = Variogram(0.1, [Structure("matern", 2.0, 100.0, 0.5, 70.0, 1.5)])
    dx, dy = np.random.default_rng(0).uniform(-100, 100, (2, 50))
    np.testing.assert_allclose(
        variogram.covariance(dx, dy), structured(variogram, dx, dy), rtol=1e-9, atol=1e-11
    )
