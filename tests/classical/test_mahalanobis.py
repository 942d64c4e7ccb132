"""Mahalanobis distances: scikit-learn on the flattened cube as oracle."""

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from pyrolite.comp import codata
from sklearn.covariance import EmpiricalCovariance, MinCovDet
from surveys import small_cube

from xgeoanom.classical.mahalanobis import mahalanobis
from xgeoanom.errors import CompositionError, CubeError


@pytest.fixture
def cube():
    made = np.exp(small_cube(holes=9))
    return made.assign_attrs(log_ratio="none", units="ppm", long_name="concentration")


def flattened(cube):
    known = cube.notnull().all("element").values
    return codata.ILR(cube.values[:, known].T), known


def test_classical_equals_scikit_learn(cube):
    rows, known = flattened(cube)
    found = mahalanobis(cube, robust=False)
    # scikit-learn divides by n, the sample covariance by n - 1.
    squared = EmpiricalCovariance().fit(rows).mahalanobis(rows) * (len(rows) - 1) / len(rows)
    np.testing.assert_allclose(found.values[known], np.sqrt(squared))
    assert np.isnan(found.values[~known]).all()
    assert_georeferenced(found, cube)
    assert "seed" not in found.attrs


def test_robust_equals_scikit_learns_mcd(cube):
    rows, known = flattened(cube)
    mcd = MinCovDet(support_fraction=0.75, random_state=3).fit(rows)
    found = mahalanobis(cube, seed=3)
    np.testing.assert_allclose(found.values[known], np.sqrt(mcd.mahalanobis(rows)), rtol=1e-7)
    assert found.attrs["seed"] == 3
    assert_georeferenced(found, cube)


def test_robust_sees_what_masks_itself(cube):
    spoilt = cube.copy(deep=True)
    spoilt[0, 5:14, 5:14] *= 1e8
    robust, classical = (mahalanobis(spoilt, robust=kind, seed=0) for kind in (True, False))
    block = {"y": slice(5, 14), "x": slice(5, 14)}
    assert float(robust.isel(block).median() / robust.median()) > 4
    assert float(classical.isel(block).median() / classical.median()) < 3


def test_lazy_chunks_directions_and_inputs(cube):
    before = cube.copy(deep=True)
    lazy = cube.chunk(y=7, x=11).isel(y=slice(None, None, -1))
    found = mahalanobis(lazy, robust=False)
    assert found.chunks is not None
    expected = mahalanobis(cube, robust=False)
    xr.testing.assert_allclose(found.compute().isel(y=slice(None, None, -1)), expected)
    xr.testing.assert_identical(cube, before)


def test_errors(cube):
    bound = xr.concat([cube, cube.sel(element=["Au"]).assign_coords(element=["As2"])], "element")
    with pytest.raises(CompositionError, match="singular.*Au.*As2"):
        mahalanobis(bound.assign_attrs(cube.attrs), robust=False)
    few = cube.where(cube["x"] < cube["x"][0] + 1).isel(y=slice(0, 4))
    with pytest.raises(CompositionError, match="singular"):
        mahalanobis(few, robust=False)
    with pytest.raises(CompositionError, match="places without NaN"):
        mahalanobis(few)
    with pytest.raises(CubeError, match="cube is a ndarray"):
        mahalanobis(cube.values)
