"""The IDW kernel against scipy's search and a loop over cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from xgeoanom.kernels.idw import interpolate, interpolate_at
from xgeoanom.kernels.neighbors import LEAF, build_tree, stretch_of


def grid_by_kernel(x, y, values, cell_y, cell_x, k=12, power=2.0, max_distance=np.inf):
    values = values.reshape(len(x), -1)
    out = np.full((values.shape[1], len(cell_y), len(cell_x)), -1.0)
    layers = np.arange(values.shape[1])
    rule = k, 1, power, max_distance
    interpolate(build_tree(x, y, values), cell_y, cell_x, layers, out, rule)
    return out


def grid_by_loop(x, y, values, cell_y, cell_x, k=12, power=2.0, max_distance=np.inf):
    """One cell after the other, all samples each."""
    out = np.full((values.shape[1], len(cell_y), len(cell_x)), np.nan)
    for i, j in np.ndindex(out.shape[1:]):
        distance = np.hypot(x - cell_x[j], y - cell_y[i])
        near = np.flatnonzero(distance <= min(np.sort(distance)[k - 1], max_distance))
        at = near[distance[near] == 0]
        if len(at):
            out[:, i, j] = values[at].mean(axis=0)
        elif len(near):
            weights = distance[near] ** -power
            out[:, i, j] = weights @ values[near] / weights.sum()
    return out


def grid_by_scipy(x, y, values, cell_y, cell_x, k=12, power=2.0):
    cells = np.stack(np.meshgrid(cell_x, cell_y), axis=-1)
    distance, near = cKDTree(np.column_stack([x, y])).query(cells, k=list(range(1, k + 1)))
    weights = distance**-power
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("ijk,ijke->eij", weights, values[near])


def samples(n, n_elements, *, clusters=None, seed=0, extent=100.0):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, extent, (2, n))
    if clusters:
        centre = rng.integers(0, clusters, n)
        x, y = x[centre] + rng.normal(0, 1, n), y[centre] + rng.normal(0, 1, n)
    return x, y, rng.lognormal(size=(n, n_elements))


CELLS = np.arange(0.5, 100, 3.0)[::-1], np.arange(0.25, 100, 2.5)


@pytest.mark.parametrize("n", [2, LEAF, LEAF + 1, 40, 999])
@pytest.mark.parametrize("k", [1, 2, 12])
@pytest.mark.parametrize("power", [2.0, 1.0, 3.5])
def test_equals_scipy(n, k, power):
    x, y, values = samples(n, 3)
    k = min(k, n)
    expected = grid_by_scipy(x, y, values, *CELLS, k, power)
    np.testing.assert_allclose(
        grid_by_kernel(x, y, values, *CELLS, k, power), expected, rtol=1e-10, atol=0
    )


@pytest.mark.parametrize("clusters", [1, 3, 20])
@pytest.mark.parametrize("n", [100, 3000])
def test_clustered_samples(n, clusters):
    x, y, values = samples(n, 2, clusters=clusters)
    expected = grid_by_scipy(x, y, values, *CELLS)
    np.testing.assert_allclose(grid_by_kernel(x, y, values, *CELLS), expected, rtol=1e-10)


def test_dense_samples_split_tiles():
    x, y, values = samples(20_000, 1)
    cells = np.arange(0.0, 100, 7.0), np.arange(0.0, 100, 7.0)
    expected = grid_by_scipy(x, y, values, *cells)
    np.testing.assert_allclose(grid_by_kernel(x, y, values, *cells), expected, rtol=1e-10)


def test_all_samples_as_neighbors():
    x, y, values = samples(30, 2)
    expected = grid_by_scipy(x, y, values, *CELLS, k=30)
    np.testing.assert_allclose(grid_by_kernel(x, y, values, *CELLS, k=30), expected, rtol=1e-10)


@given(
    n=st.integers(1, 40),
    k=st.integers(1, 40),
    shape=st.tuples(st.integers(1, 11), st.integers(1, 11)),
    power=st.sampled_from([2.0, 0.5, 3.0]),
    max_distance=st.sampled_from([np.inf, 0.6, 2.2]),
    step=st.sampled_from([0.25, 1.0, 5.0]),
    seed=st.integers(0, 99),
)
def test_equals_loop_with_ties_and_duplicates(n, k, shape, power, max_distance, step, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, (2, n)).astype(float)  # many coincide, many tie
    values = rng.normal(size=(n, 2))
    cells = step * np.arange(shape[0]), step * np.arange(shape[1])
    args = (x, y, values, *cells, min(k, n), power, max_distance)
    np.testing.assert_allclose(grid_by_kernel(*args), grid_by_loop(*args), rtol=1e-10, atol=1e-12)


def test_value_at_sample_is_exact():
    x, y, values = samples(50, 4)
    out = grid_by_kernel(x, y, values, y[7:8], x[7:8])
    np.testing.assert_array_equal(out[:, 0, 0], values[7])


def test_coincident_samples_give_their_mean():
    x, y = np.zeros(40), np.zeros(40)
    x[30:] = 5.0
    values = np.arange(40.0)[:, None]
    out = grid_by_kernel(x, y, values, np.array([0.0]), np.array([0.0, 5.0]))
    np.testing.assert_allclose(out[0, 0], [np.arange(30).mean(), np.arange(30, 40).mean()])


@pytest.mark.parametrize("power", [2.0, 1.0, 40.0])
def test_power_never_overflows(power):
    x, y = np.array([0.0, 1e-90, 1e6]), np.zeros(3)
    out = grid_by_kernel(
        x - 1e6 / 3, y, np.arange(3.0), y[:1], np.array([1e9, -1e9, 0.0]), 3, power
    )
    assert np.isfinite(out).all()


def test_large_coordinates_lose_no_digits():
    x, y, values = samples(500, 2, extent=1000.0)
    cells = np.arange(0.0, 1000, 50), np.arange(0.0, 1000, 40)
    near = grid_by_kernel(x, y, values, *cells)
    far = grid_by_kernel(x + 5e5, y + 4e6, values, cells[0] + 4e6, cells[1] + 5e5)
    np.testing.assert_allclose(far, near, rtol=1e-7)


def test_order_of_samples_and_place_of_tiles_do_not_matter():
    x, y, values = samples(300, 2)
    x, y = x.round(-1), y.round(-1)  # ties
    whole = grid_by_kernel(x, y, values, *CELLS)
    part = grid_by_kernel(x, y, values, CELLS[0][3:20], CELLS[1][5:11])
    np.testing.assert_array_equal(part, whole[:, 3:20, 5:11])
    order = np.random.default_rng(1).permutation(len(x))
    shuffled = grid_by_kernel(x[order], y[order], values[order], *CELLS)
    np.testing.assert_allclose(shuffled, whole, rtol=1e-9)


def test_only_named_layers_are_written():
    x, y, values = samples(20, 2)
    out = np.full((4, 5, 6), -1.0)
    tree = build_tree(x, y, values)
    interpolate(tree, np.arange(5.0), np.arange(6.0), np.array([3, 1]), out, (4, 1, 2.0, np.inf))
    assert (out[[0, 2]] == -1).all()
    expected = grid_by_kernel(x, y, values, np.arange(5.0), np.arange(6.0), 4)
    np.testing.assert_array_equal(out[[3, 1]], expected)


@pytest.mark.parametrize(("ratio", "azimuth"), [(3.0, 30.0), (0.5, -60.0), (2.0, 0.0)])
@pytest.mark.parametrize("max_distance", [np.inf, 9.0])
@pytest.mark.parametrize("least", [1, 3])
def test_ellipse_and_least_neighbors_equal_a_loop(ratio, azimuth, max_distance, least):
    x, y, values = samples(200, 2)
    out = np.empty((2, len(CELLS[0]), len(CELLS[1])))
    tree = build_tree(x, y, values, stretch_of(ratio, azimuth))
    interpolate(tree, *CELLS, np.arange(2), out, (8, least, 2.0, max_distance))
    along = np.array([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))])
    across = np.array([along[1], -along[0]])
    for i, j in np.ndindex(out.shape[1:]):
        offset = np.stack([x - CELLS[1][j], y - CELLS[0][i]], axis=-1)
        distance = np.hypot(offset @ along, ratio * (offset @ across))
        near = np.argsort(distance)[:8]
        near = near[distance[near] <= max_distance]
        weights = distance[near] ** -2.0
        expected = weights @ values[near] / weights.sum() if len(near) >= least else np.nan
        np.testing.assert_allclose(out[:, i, j], expected, rtol=1e-9)


def test_places_equal_cells():
    x, y, values = samples(150, 2)
    tree, rule = build_tree(x, y, values), (6, 1, 2.0, 12.0)
    cells = np.empty((2, len(CELLS[0]), len(CELLS[1])))
    interpolate(tree, *CELLS, np.arange(2), cells, rule)
    rows, cols = np.meshgrid(*CELLS, indexing="ij")
    places = np.empty((2, rows.size, 1))
    interpolate_at(tree, rows.ravel(), cols.ravel(), np.arange(2), places, rule)
    np.testing.assert_allclose(places.reshape(cells.shape), cells, rtol=1e-12)
