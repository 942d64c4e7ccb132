"""Outlier scores: scikit-learn on the flattened cube as oracle."""

from functools import partial

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.ensemble import IsolationForest
from sklearn.svm import OneClassSVM
from surveys import small_cube

from xgeoanom.classical.outliers import isolation_forest, knn_distance, one_class_svm
from xgeoanom.errors import CubeError, GridError, XGeoAnomError

METHODS = {
    "isolation_forest": partial(isolation_forest, n_trees=10, seed=0),
    "one_class_svm": partial(one_class_svm, seed=0),
    "knn_distance": partial(knn_distance, n_neighbors=4, seed=0),
}
every = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@pytest.fixture
def cube():
    return small_cube(holes=9)


def flattened(cube):
    known = cube.notnull().all("element").values
    rows = cube.values[:, known].T
    return rows, (rows - rows.mean(axis=0)) / rows.std(axis=0), known


def test_isolation_forest_equals_scikit_learn(cube):
    rows, _, known = flattened(cube)
    forest = IsolationForest(n_estimators=50, max_samples=64, random_state=7).fit(rows)
    found = isolation_forest(cube, n_trees=50, tree_cells=64, seed=7)
    np.testing.assert_allclose(found.values[known], -forest.score_samples(rows))


def test_one_class_svm_equals_scikit_learn(cube):
    _, scaled, known = flattened(cube)
    svm = OneClassSVM(nu=0.1, gamma=0.2).fit(scaled)
    found = one_class_svm(cube, nu=0.1, gamma=0.2, seed=0)
    np.testing.assert_allclose(found.values[known], -svm.decision_function(scaled), atol=1e-9)
    assert np.mean(found.values[known] > 0) == pytest.approx(0.1, abs=0.02)


def test_knn_distance_equals_all_distances(cube):
    _, scaled, known = flattened(cube)
    distances = np.sort(cdist(scaled, scaled), axis=1)  # the first is the cell itself
    found = knn_distance(cube, n_neighbors=4, seed=0)
    np.testing.assert_allclose(found.values[known], distances[:, 4], atol=1e-6)


def test_knn_of_a_drawn_subset_leaves_out_the_cell_itself(cube):
    known = cube.notnull().all("element").values
    found = knn_distance(cube, n_neighbors=2, max_cells=40, seed=5).values[known]
    again = knn_distance(cube, n_neighbors=2, max_cells=40, seed=5).values[known]
    np.testing.assert_array_equal(found, again)
    assert (found > 0).all()
    other = knn_distance(cube, n_neighbors=2, max_cells=40, seed=6).values[known]
    assert not np.allclose(found, other)


@every
def test_map_is_georeferenced_and_missing_stays_missing(method, cube):
    before = cube.copy(deep=True)
    found = method(cube)
    assert_georeferenced(found, cube)
    np.testing.assert_array_equal(found.isnull(), cube.isnull().any("element"))
    assert found.dtype == "float64"
    assert found.attrs["seed"] == 0
    xr.testing.assert_identical(cube, before)


@every
def test_an_outlier_scores_highest(method, cube):
    planted = cube.where(cube.notnull(), 0.0)
    planted[:, 10, 12] = 6.0 * (-1) ** np.arange(6)
    found = method(planted)
    assert np.unravel_index(found.values.argmax(), found.shape) == (10, 12)


@every
@given(chunks=st.tuples(st.integers(3, 24), st.integers(3, 20)))
@settings(max_examples=4)
def test_chunks_and_directions_do_not_matter(method, chunks):
    cube = small_cube(holes=9)
    lazy = cube.chunk(element=2, y=chunks[0], x=chunks[1]).isel(y=slice(None, None, -1))
    for size in (100, 10_000):
        found = method(lazy, max_cells=size)
        assert found.chunks is not None
        expected = method(cube, max_cells=size)
        back = found.compute().isel(y=slice(None, None, -1))
        xr.testing.assert_allclose(back, expected, atol=1e-7)


@every
def test_bad_cubes(method, cube):
    constant = cube.copy(deep=True)
    constant[2] = 1.0
    with pytest.raises(CubeError, match=r"element=\['Cu'\] is the same"):
        method(constant)
    with pytest.raises(GridError, match="0 cells without NaN"):
        method(cube.where(False))
    with pytest.raises(GridError, match="max_cells=0"):
        method(cube, max_cells=0)
    with pytest.raises(CubeError, match="cube is a ndarray"):
        method(cube.values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(isolation_forest, n_trees=0), "n_trees=0"),
        (partial(isolation_forest, tree_cells=1.5), "tree_cells=1.5"),
        (partial(one_class_svm, nu=0.0), "nu=0.0"),
        (partial(one_class_svm, gamma=-1.0), "gamma=-1.0"),
        (partial(knn_distance, n_neighbors=0), "n_neighbors=0"),
        (partial(knn_distance, n_neighbors=471), "471 cells without NaN, the method needs 472"),
    ],
)
def test_bad_numbers(cube, call, message):
    with pytest.raises(XGeoAnomError, match=message):
        call(cube)
