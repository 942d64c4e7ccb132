"""``ds.anom`` only delegates, keeps no state and computes nothing."""

import ast
import inspect

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from surveys import small_cube, small_labels

import xgeoanom as xga
from xgeoanom import accessor


@pytest.fixture(scope="module")
def ds():
    cube = small_cube()
    return cube.to_dataset().assign(labels=small_labels(cube))


def test_cube_from_dataset_and_array(ds):
    xr.testing.assert_identical(ds.anom.cube, ds["clr"])
    xr.testing.assert_identical(ds["clr"].anom.cube, ds["clr"])


def test_cube_is_lazy(ds, no_compute):
    lazy = ds.assign(clr=ds["clr"].chunk(y=5))
    with no_compute():
        assert isinstance(lazy.anom.cube.data, da.Array)
        repr(lazy.anom)
        lazy.anom._repr_html_()


def test_no_state_between_objects(ds):
    assert ds.anom.cube.sizes["x"] == 20
    assert ds.isel(x=slice(0, 9)).anom.cube.sizes["x"] == 9
    assert vars(ds.anom).keys() == {"_obj"}


def test_log_ratios_and_labels_delegate():
    cube = np.exp(small_cube()).assign_attrs(log_ratio="none").rename("concentration")
    ds = cube.to_dataset()
    xr.testing.assert_identical(ds.anom.clr(), xga.clr(cube))
    xr.testing.assert_identical(ds.anom.alr(denominator="Cu"), xga.alr(cube, denominator="Cu"))
    xr.testing.assert_identical(ds.anom.ilr(), xga.ilr(cube))
    xr.testing.assert_identical(cube.anom.closure(), xga.closure(cube))


def test_ppf_cnn_is_sugar_for_the_function(ds):
    params = {"inner": 3, "outer": 5, "draws": 1, "epochs": 1, "seed": 0}
    xr.testing.assert_identical(
        ds.anom.ppf_cnn("labels", **params), xga.ppf_cnn(ds, "labels", **params)
    )


def test_classify_delegates(ds):
    score = ds["clr"].isel(element=0, drop=True)
    xr.testing.assert_identical(score.anom.classify(), xga.classify(score))


def test_card_says_what_is_there(ds):
    scored = ds.anom.ppf_cnn("labels", inner=3, outer=5, draws=1, epochs=1, seed=0)
    for card in (repr(scored.anom), scored.anom._repr_html_()):
        for word in ("Au", "ppm", "clr", "EPSG:32650", "24 x 20", "ppf_cnn"):
            assert word in card
    assert "no cube" in repr(xr.Dataset().anom)
    assert "<script>" not in xr.Dataset({"<script>": 1}).anom._repr_html_()


def test_every_method_is_one_return():
    for cls in (accessor.DatasetAccessor, accessor.DataArrayAccessor, accessor._Accessor):
        body = ast.parse(inspect.getsource(cls)).body[0].body
        for method in (node for node in body if isinstance(node, ast.FunctionDef)):
            if method.name.startswith("_"):
                continue
            statements = [n for n in method.body if not isinstance(n, ast.Expr)]
            assert [type(n) for n in statements] == [ast.Return], method.name
