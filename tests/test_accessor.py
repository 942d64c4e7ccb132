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


# --------------------------------------------------------------------------------- delegation

ACCESSORS = (accessor.CubeAccessor, accessor.DataArrayAccessor, accessor.DatasetAccessor)
METHODS = [
    pytest.param(cls, name, id=f"{cls.__name__}-{name}")
    for cls in ACCESSORS
    for name, member in vars(cls).items()
    if inspect.isfunction(member) and not name.startswith("_")
]
# What a function is called with stands before the dot of its method.
OBJECTS = {"cube", "composition", "raster", "concentration", "like", "score", "scores", "patterns"}
OBJECTS |= {"ds", "dataset"}


def parameters(func):
    return list(inspect.signature(func).parameters.values())


@pytest.mark.parametrize(("cls", "name"), METHODS)
def test_method_has_the_parameters_of_its_function(cls, name):
    ours = [(p.name, p.kind, p.default) for p in parameters(getattr(cls, name))[1:]]
    theirs = [(p.name, p.kind, p.default) for p in parameters(getattr(xga, name))]
    (missing,) = [p for p in theirs if p not in ours]
    assert missing[0] in OBJECTS
    assert ours == [p for p in theirs if p != missing]


@pytest.mark.parametrize(("cls", "name"), METHODS)
def test_method_hands_on_every_argument(cls, name, ds, monkeypatch):
    """Each argument is an object of its own, so that none can be swapped or left out."""
    function, calls = getattr(xga, name), []
    monkeypatch.setattr(xga, name, lambda *args, **kwargs: calls.append((args, kwargs)))
    method = getattr(cls(ds["clr"]), name)
    given = {p.name: object() for p in parameters(method) if p.kind is not p.VAR_KEYWORD}
    positional = [p.name for p in parameters(method) if p.kind is p.POSITIONAL_OR_KEYWORD]
    method(*(given[p] for p in positional), **{p: given[p] for p in given if p not in positional})
    (args, kwargs) = calls[0]
    received = inspect.signature(function).bind(*args, **kwargs).arguments
    (own,) = received.keys() - given.keys()
    assert ds["clr"].identical(received.pop(own))
    assert received == given


def test_every_classical_method_is_there():
    missing = {
        name for name in xga.classical.__all__ if not hasattr(accessor.DatasetAccessor, name)
    }
    assert missing <= set(vars(accessor.DataArrayAccessor))


def test_scores_of_a_dataset_and_of_an_array_are_one(ds):
    expected = xga.rx(ds["clr"], inner=3, outer=7)
    xr.testing.assert_identical(ds.anom.rx(inner=3, outer=7), expected)
    xr.testing.assert_identical(ds["clr"].anom.rx(inner=3, outer=7), expected)
    gold = ds["clr"].sel(element="Au")
    xr.testing.assert_identical(gold.anom.local_gap(seed=0), xga.local_gap(gold, seed=0))


def test_every_method_is_one_return():
    for cls in ACCESSORS:
        body = ast.parse(inspect.getsource(cls)).body[0].body
        for method in (node for node in body if isinstance(node, ast.FunctionDef)):
            if method.name.startswith("_"):
                continue
            statements = [n for n in method.body if not isinstance(n, ast.Expr)]
            assert [type(n) for n in statements] == [ast.Return], method.name
