"""Local gap: scikit-learn's clusters in a loop over cells as oracle."""

import numpy as np
import pytest
from georeferenced import assert_georeferenced
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from surveys import small_cube

from xgeoanom.classical.local_gap import _references, local_gap
from xgeoanom.errors import GridError, WindowError


@pytest.fixture
def raster():
    found = small_cube(14, 12, holes=12).sel(element="Au")
    found[4:8, 4:8] += 8.0
    return found


def naive(values, window, expected, spread):
    half = window // 2
    score = np.full(values.shape, np.nan)
    for i, j in np.argwhere(np.isfinite(values)):
        block = values[max(i - half, 0) : i + half + 1, max(j - half, 0) : j + half + 1]
        block = block[np.isfinite(block)][:, None]
        if len(block) < 8:
            continue
        kmeans = KMeans(2, n_init=50, random_state=0).fit(block)
        w1, w2 = ((block - block.mean()) ** 2).sum(), kmeans.inertia_
        gap = expected[len(block)] - np.log([w1, w2])
        low, high = np.sort(kmeans.cluster_centers_.ravel())
        membership = np.clip((values[i, j] - low) / (high - low), 0, 1)
        two = gap[1] > gap[0] + spread[len(block)]
        score[i, j] = membership * (gap[1] - gap[0]) if two else 0.0
    return score


def test_equals_scikit_learns_clusters(raster):
    found = local_gap(raster, window=5, n_references=20, seed=3)
    expected = naive(raster.values, 5, *_references(25, 20, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert (found > 0).any()
    assert (found == 0).any()
    assert_georeferenced(found, raster)


def test_references_are_those_of_uniform_values():
    expected, spread = _references(9, 4000, 0)
    draws = np.random.default_rng(1).random((4000, 9))
    log_w1 = np.log(9 * draws.var(axis=1))
    assert expected[9, 0] == pytest.approx(log_w1.mean(), abs=0.03)
    assert spread[9] == pytest.approx(log_w1.std(), abs=0.03)


@given(chunks=st.tuples(st.integers(1, 14), st.integers(1, 12)))
@settings(max_examples=5)
def test_lazy_in_any_chunks_and_either_way(chunks):
    raster = small_cube(14, 12, holes=12).sel(element="Au")
    turned = raster.chunk(y=chunks[0], x=chunks[1]).isel(y=slice(None, None, -1))
    found = local_gap(turned, window=5, seed=0)
    assert found.chunks is not None
    expected = local_gap(raster, window=5, seed=0)
    np.testing.assert_allclose(found.compute().isel(y=slice(None, None, -1)), expected)


def test_constant_ground_scores_nothing(raster):
    constant = raster.where(raster.isnull(), 2.0)
    found = local_gap(constant, window=5, seed=0)
    assert (found.values[raster.notnull().values] == 0).all()


def test_errors(raster):
    with pytest.raises(WindowError, match="window=4"):
        local_gap(raster, window=4)
    with pytest.raises(GridError, match="n_references=0"):
        local_gap(raster, n_references=0)
