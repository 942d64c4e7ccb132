"""Scores of principal components: scikit-learn on the flattened cube as oracle."""

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from pyrolite.comp import codata
from sklearn.decomposition import PCA
from surveys import small_cube

from xgeoanom.classical.pca import pca_component, pca_reconstruction
from xgeoanom.errors import CompositionError, CubeError


@pytest.fixture
def cube():
    made = np.exp(small_cube(holes=9))
    return made.assign_attrs(log_ratio="none", units="ppm", long_name="concentration")


def flattened(cube):
    known = cube.notnull().all("element").values
    return codata.CLR(cube.values[:, known].T), known


@pytest.mark.parametrize("kept", [1, 3, 4])
def test_reconstruction_equals_scikit_learn(cube, kept):
    rows, known = flattened(cube)
    pca = PCA(kept).fit(rows)
    rebuilt = pca.inverse_transform(pca.transform(rows))
    found = pca_reconstruction(cube, n_components=kept)
    np.testing.assert_allclose(found.values[known], np.linalg.norm(rows - rebuilt, axis=1))
    assert np.isnan(found.values[~known]).all()
    assert_georeferenced(found, cube)


def test_four_fifths_of_the_variance_are_kept(cube):
    shares = PCA().fit(flattened(cube)[0]).explained_variance_ratio_
    kept = int(np.argmax(np.cumsum(shares) >= 0.8)) + 1
    xr.testing.assert_identical(
        pca_reconstruction(cube), pca_reconstruction(cube, n_components=kept)
    )


def test_robust_components_do_not_follow_an_anomaly(cube):
    spoilt = cube.copy(deep=True)
    spoilt[0, 5:10, 5:10] *= 1e4
    block = {"y": slice(5, 10), "x": slice(5, 10)}
    classical, robust = (
        pca_reconstruction(spoilt, n_components=1, robust=kind, seed=0) for kind in (False, True)
    )
    assert float(classical.isel(block).median() / classical.median()) < 1.5
    assert float(robust.isel(block).median() / robust.median()) > 2.5
    assert robust.attrs["seed"] == 0


def test_component_equals_scikit_learn(cube):
    rows, known = flattened(cube)
    pca = PCA().fit(rows)
    for k in (1, 2):
        loading = pca.components_[k - 1]
        sign = np.sign(loading[0] + loading[2])  # Au and Cu
        found = pca_component(cube, toward=["Au", "Cu"], component=k, robust=False)
        np.testing.assert_allclose(
            found.values[known], sign * pca.transform(rows)[:, k - 1], atol=1e-9
        )
        assert found.attrs["component"] == f"PC{k}"
        assert_georeferenced(found, cube)


def test_chosen_component_follows_the_pathfinders(cube):
    rng = np.random.default_rng(1)
    ore, rock = (xr.DataArray(rng.normal(size=(24, 20)), dims=("y", "x")) for _ in range(2))
    logs = 0.1 * np.log(cube)
    for name, part, size in (("Au", ore, 1), ("As", ore, 1), ("Zn", rock, 3), ("Pb", rock, -3)):
        logs.loc[{"element": name}] += size * part
    planted = np.exp(logs).assign_attrs(cube.attrs)
    for robust in (False, True):
        found = pca_component(planted, toward=["Au", "As"], robust=robust, seed=0)
        assert found.attrs["component"] == "PC2"  # rock varies more
        assert float(xr.corr(found, ore)) > 0.95


def test_lazy_chunks_directions_and_inputs(cube):
    before = cube.copy(deep=True)
    lazy = cube.chunk(y=7, x=11).isel(y=slice(None, None, -1))
    for method in (
        pca_reconstruction,
        lambda cube: pca_component(cube, toward=["Au"], robust=False),
    ):
        found = method(lazy)
        assert found.chunks is not None
        xr.testing.assert_allclose(found.compute().isel(y=slice(None, None, -1)), method(cube))
    xr.testing.assert_identical(cube, before)


@pytest.mark.parametrize("n", [0, 5, 2.5])
def test_something_must_be_left_over(cube, n):
    with pytest.raises(CompositionError, match="from 1 to 4"):
        pca_reconstruction(cube, n_components=n)


def test_two_elements_leave_nothing_over(cube):
    with pytest.raises(CompositionError, match="three or more"):
        pca_reconstruction(cube.isel(element=slice(2)))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"toward": ["W"]}, "toward=.*W"),
        ({"toward": "Au"}, "toward='Au'"),
        ({"toward": []}, "toward="),
        ({"toward": ["Au"], "component": 6}, "component=6"),
    ],
)
def test_choices_must_be_there(cube, params, message):
    with pytest.raises(CubeError, match=message):
        pca_component(cube, **params)
