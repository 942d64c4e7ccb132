"""Principal components of compositions: scikit-learn and pyrolite as oracles."""

import json

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyrolite.comp import codata
from sklearn.covariance import MinCovDet
from sklearn.decomposition import PCA

from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.coda import alr, clr, ilr
from xgeoanom.survey.components import principal_components

NAMES = ["Au", "As", "Cu", "Ti", "Zr"]


def make_cube(seed=0, shape=(8, 9), n=5, *, descending=True, missing=3):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n, n))
    logs = np.tensordot(mixing, rng.normal(size=(n, *shape)), axes=1)
    logs.reshape(n, -1)[:, rng.choice(shape[0] * shape[1], missing, replace=False)] = np.nan
    y = 100.0 * np.arange(shape[0])
    coords = {
        "element": NAMES[:n],
        "unit": ("element", ["ppm"] * n),
        "y": y[::-1] if descending else y,
        "x": 100.0 * np.arange(shape[1]),
    }
    cube = xr.DataArray(np.exp(logs), coords, ("element", "y", "x"), name="concentration")
    cube.attrs = {"long_name": "concentration", "log_ratio": "none"}
    return cube.rio.write_crs(32650)


def rows_of(cube):
    rows = cube.values.reshape(cube.sizes["element"], -1).T
    return rows[~np.isnan(rows).any(axis=1)]


def assert_same_up_to_sign(found, expected, **tolerance):
    """Compare rows, each of which may be turned around."""
    signs = np.sign((found * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, signs * expected, **tolerance)


# ----------------------------------------------------------------------------------- classical


def test_classical_equals_scikit_learn_on_pyrolites_ilr():
    cube = make_cube()
    found = principal_components(cube)
    coordinates = codata.ILR(rows_of(cube))
    pca = PCA().fit(coordinates)
    np.testing.assert_allclose(found["explained_variance"], pca.explained_variance_)
    np.testing.assert_allclose(found["explained_variance_ratio"], pca.explained_variance_ratio_)
    scores = found["scores"].values.reshape(4, -1)
    scores = scores[:, ~np.isnan(scores[0])]
    assert_same_up_to_sign(scores, pca.transform(coordinates).T, atol=1e-9)
    # clr loadings take clr compositions to the scores, whatever the basis of the ilr was.
    pca_of_clr = PCA(n_components=4).fit(codata.CLR(rows_of(cube)))
    assert_same_up_to_sign(found["loadings"].values, pca_of_clr.components_, atol=1e-9)
    np.testing.assert_allclose(found["centre"], pca_of_clr.mean_, atol=1e-12)


@given(
    hnp.arrays(
        "float64", st.tuples(st.integers(3, 12), st.integers(2, 5)), elements=st.floats(0.01, 100)
    )
)
def test_geometry(values):
    table = xr.DataArray(
        values, dims=("sample", "element"), coords={"element": NAMES[: values.shape[1]]}
    )
    spread = np.ptp(np.log(values) - np.log(values).mean(axis=1, keepdims=True), axis=0).max()
    if spread < 1e-6:
        return
    found = principal_components(table)
    loadings = found["loadings"].values
    np.testing.assert_allclose(loadings @ loadings.T, np.eye(len(loadings)), atol=1e-9)
    np.testing.assert_allclose(loadings.sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(loadings.max(axis=1), np.abs(loadings).max(axis=1), rtol=1e-8)
    scores = found["scores"].transpose("sample", "component").values
    covariance = np.atleast_2d(np.cov(scores, rowvar=False))
    np.testing.assert_allclose(covariance, np.diag(found["explained_variance"]), atol=1e-8)
    # All components together give the composition back.
    np.testing.assert_allclose(scores @ loadings + found["centre"].values, clr(table), atol=1e-8)


def test_clr_and_its_subset_are_welcome():
    cube = make_cube()
    xr.testing.assert_allclose(principal_components(clr(cube)), principal_components(cube))
    some = ["Cu", "Au", "Zr"]
    xr.testing.assert_allclose(
        principal_components(clr(cube).sel(element=some))[["scores", "loadings"]],
        principal_components(cube.sel(element=some))[["scores", "loadings"]],
    )


def test_units_do_not_matter():
    cube = make_cube()
    factors = xr.DataArray([1e-3, 1.0, 1.0, 1e4, 1.0], dims="element")
    found = principal_components((cube * factors).assign_attrs(cube.attrs))
    xr.testing.assert_allclose(found["loadings"], principal_components(cube)["loadings"])


# -------------------------------------------------------------------------------------- robust


def test_robust_equals_scikit_learns_mcd():
    cube = make_cube(shape=(12, 12))
    found = principal_components(cube, robust=True, seed=4)
    coordinates = codata.ILR(rows_of(cube))
    mcd = MinCovDet(support_fraction=0.75, random_state=4).fit(coordinates)
    np.testing.assert_allclose(
        found["explained_variance"], np.linalg.eigvalsh(mcd.covariance_)[::-1]
    )
    scores = found["scores"].values.reshape(4, -1)
    scores = scores[:, ~np.isnan(scores[0])]
    # Scores weighted by 1 / eigenvalue are the robust distances, free of signs and of the basis.
    distances = (scores**2 / found["explained_variance"].values[:, None]).sum(axis=0)
    np.testing.assert_allclose(distances, mcd.mahalanobis(coordinates), rtol=1e-8)


def test_robust_withstands_outliers():
    rng = np.random.default_rng(0)
    n = 300
    direction = np.array([1.0, -1.0, 0.0, 0.0, 0.0]) / 2**0.5  # Au against As
    logs = 0.1 * rng.normal(size=(n, 5)) + 2 * rng.normal(size=(n, 1)) * direction
    logs[:45] += np.array([0.0, 0.0, 9.0, -9.0, 0.0])  # far in Cu against Ti
    table = xr.DataArray(np.exp(logs), dims=("sample", "element"), coords={"element": NAMES})
    classical = principal_components(table)["loadings"][0].values
    robust = principal_components(table, robust=True, seed=0)["loadings"][0].values
    assert abs(classical @ direction) < 0.3
    assert abs(robust @ direction) > 0.999


def test_seed():
    cube = make_cube(shape=(12, 12))
    one, same = (principal_components(cube, robust=True, seed=0) for _ in range(2))
    xr.testing.assert_identical(one, same)
    assert one.attrs["seed"] == 0
    assert json.loads(one.attrs["parameters"])["support_fraction"] == 0.75
    assert "seed" not in principal_components(cube).attrs


# -------------------------------------------------------------------------------------- result


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("robust", [True, False])
def test_scores_are_georeferenced(descending, robust):
    cube = make_cube(descending=descending)
    before = cube.copy(deep=True)
    found = principal_components(cube, robust=robust, n_components=2, seed=0)
    assert cube.identical(before)
    assert_georeferenced(found["scores"], cube)
    assert found["scores"].dims == ("component", "y", "x")
    assert found["loadings"].dims == ("component", "element")
    assert found["component"].values.tolist() == ["PC1", "PC2"]
    assert found["element"].values.tolist() == NAMES
    missing = np.broadcast_to(np.isnan(cube.values[0]), (2, 8, 9))
    np.testing.assert_array_equal(np.isnan(found["scores"]), missing)
    every = principal_components(cube, robust=robust, seed=0)
    xr.testing.assert_allclose(found, every.isel(component=[0, 1]))
    assert float(every["explained_variance_ratio"].sum()) == pytest.approx(1)


def test_direction_of_y_does_not_matter():
    cube = make_cube()
    turned = principal_components(cube.isel(y=slice(None, None, -1)))
    xr.testing.assert_allclose(turned.sortby("y"), principal_components(cube).sortby("y"))


@pytest.mark.parametrize("chunks", [{"y": 3}, {"x": 4, "y": 2, "element": 1}])
def test_scores_stay_lazy(chunks):
    cube = make_cube()
    lazy = principal_components(cube.chunk(chunks), n_components=3)
    assert lazy["scores"].chunks is not None
    assert lazy["loadings"].chunks is None
    xr.testing.assert_allclose(lazy.compute(), principal_components(cube, n_components=3))
    robust = principal_components(cube.chunk(chunks), robust=True, seed=0)
    xr.testing.assert_allclose(robust.compute(), principal_components(cube, robust=True, seed=0))


def test_survey_tables():
    cube = make_cube(missing=0)
    table = cube.stack(sample=("y", "x")).transpose("sample", "element").reset_index("sample")
    found = principal_components(table.rename(y="north", x="east"))
    assert found["scores"].dims == ("sample", "component")
    assert {"north", "east", "spatial_ref"} <= set(found["scores"].coords)
    np.testing.assert_allclose(
        found["scores"].values.T.reshape(4, 8, 9), principal_components(cube)["scores"], atol=1e-9
    )


# -------------------------------------------------------------------------------------- errors


def test_refuses():
    cube = make_cube()
    for wrong in (alr(cube), ilr(cube)):
        with pytest.raises(CompositionError, match="give concentrations or their clr"):
            principal_components(wrong)
    with pytest.raises(CompositionError, match="zero or negative"):
        principal_components(cube - cube.min())
    with pytest.raises(CubeError, match="pass a DataArray"):
        principal_components(cube.to_dataset())
    with pytest.raises(CubeError, match="1 part"):
        principal_components(cube[:1])
    with pytest.raises(CompositionError, match="1 part"):
        principal_components(clr(cube)[:1])
    for n in (0, 5, 1.5):
        with pytest.raises(CompositionError, match=f"n_components={n} must be .* from 1 to 4"):
            principal_components(cube, n_components=n)
    for share in (0.5, 1.0, 75, "a"):
        with pytest.raises(CompositionError, match=f"support_fraction={share!r} must"):
            principal_components(cube, robust=True, support_fraction=share)


def test_refuses_too_little():
    cube = make_cube(missing=0)
    with pytest.raises(CompositionError, match="1 places without NaN, 5 elements need 2"):
        principal_components(cube[:, :1, :1])
    with pytest.raises(CompositionError, match="6 places without NaN, 5 elements need 7"):
        principal_components(cube[:, :2, :3], robust=True)
    same = cube.copy()
    same[:, :7] = same[:, :1, :1].values
    with pytest.raises(CompositionError, match="support_fraction=0.75 of the 72 places does not"):
        principal_components(same, robust=True, seed=0)
    assert np.isfinite(principal_components(same)["explained_variance"]).all()
    with pytest.raises(CompositionError, match="0 places"):
        principal_components((cube * np.nan).assign_attrs(cube.attrs))
    with pytest.raises(CompositionError, match="does not vary"):
        principal_components(xr.full_like(cube, 2.0))
