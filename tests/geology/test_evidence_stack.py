"""Evidence of many kinds becomes one cube; what each band is stands beside it."""

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from surveys import small_cube, small_labels

from xgeoanom.conventions import kinds_of, units_of
from xgeoanom.detectors.sklearn_detector import SklearnDetector
from xgeoanom.errors import CRSError, CubeError, EvidenceError, GridError
from xgeoanom.geology.evidence_stack import evidence_stack

ROCKS = {"flag_values": np.array([1, 2, 4], dtype="int16"), "flag_meanings": "granite schist lime"}


def variables(**rasters):
    """Return a dataset of ``(y, x)`` arrays, or of pairs of array and attrs, on a 500 m grid."""
    pairs = {name: r if isinstance(r, tuple) else (r, {}) for name, r in rasters.items()}
    ny, nx = np.shape(next(iter(pairs.values()))[0])
    coords = {"y": 4_000_000 - 500.0 * np.arange(ny), "x": 300_000 + 500.0 * np.arange(nx)}
    layers = {
        name: (("y", "x"), np.asarray(values), attrs) for name, (values, attrs) in pairs.items()
    }
    return xr.Dataset(layers, coords).rio.write_crs(32650)


def mixed(holes=0):
    """Return a clr cube with gravity, rocks and a mask on its grid."""
    cube = small_cube(holes=holes)
    rng = np.random.default_rng(1)
    ds = cube.to_dataset(name="clr")
    shape = cube.shape[1:]
    ds["gravity"] = ("y", "x"), rng.normal(size=shape), {"units": "mGal"}
    ds["rock"] = ("y", "x"), rng.choice([1, 2, 4], size=shape).astype("int16"), dict(ROCKS)
    ds["mapped"] = ("y", "x"), rng.random(shape) < 0.5
    return ds


KINDS = {"rock": "categorical"}


def test_bands_of_all_kinds_side_by_side():
    ds = mixed(holes=5)
    stack = evidence_stack(ds, kinds=KINDS)
    elements = list(ds.element.values)
    rocks = ["rock=granite", "rock=schist", "rock=lime"]
    assert stack.element.values.tolist() == [*elements, "gravity", *rocks, "mapped"]
    assert units_of(stack) == ["ppm"] * 6 + ["mGal"] + ["1"] * 4
    assert kinds_of(stack) == ["continuous"] * 7 + ["binary"] * 4
    assert (stack.dims, stack.dtype, stack.name) == (("element", "y", "x"), "float32", "evidence")
    assert stack.attrs["log_ratio"] == "mixed"
    assert set(stack.coords) == {"element", "unit", "kind", "y", "x", "spatial_ref"}
    assert_georeferenced(stack, ds["gravity"])
    np.testing.assert_array_equal(stack[:6], ds["clr"].astype("float32"))
    np.testing.assert_array_equal(stack[6], ds["gravity"].astype("float32"))
    for code, name in zip([1, 2, 4], rocks, strict=True):
        np.testing.assert_array_equal(stack.sel(element=name), ds["rock"] == code)
    np.testing.assert_array_equal(stack[-1], ds["mapped"])


def test_input_stays_untouched_and_order_of_dims_is_free():
    ds = mixed()
    before = ds.copy(deep=True)
    stack = evidence_stack(ds, kinds=KINDS)
    xr.testing.assert_identical(ds, before)
    xr.testing.assert_identical(
        evidence_stack(ds.transpose("x", "y", "element"), kinds=KINDS), stack
    )


def test_y_runs_either_way():
    ds = mixed()
    turned = evidence_stack(ds.isel(y=slice(None, None, -1)), kinds=KINDS)
    xr.testing.assert_identical(
        turned.isel(y=slice(None, None, -1)).drop_vars("spatial_ref"),
        evidence_stack(ds, kinds=KINDS).drop_vars("spatial_ref"),
    )


def test_lazy_stays_lazy_in_one_chunk_of_elements(no_compute):
    ds = mixed()
    lazy = ds.chunk(y=7, element=2)
    lazy["mapped"] = ds["mapped"]  # one in memory among lazy ones
    with no_compute():
        stack = evidence_stack(lazy, kinds=KINDS)
    assert len(stack.chunksizes["element"]) == 1
    assert stack.chunksizes["y"] == lazy.chunksizes["y"]
    xr.testing.assert_identical(stack.compute(), evidence_stack(ds, kinds=KINDS))


def test_classes_of_a_lazy_raster_are_found_in_it_alone(no_compute):
    ds = mixed()
    ds["rock"].attrs = {}
    lazy = ds.chunk(y=7)
    with no_compute(), pytest.raises(AssertionError, match="computed early"):
        evidence_stack(lazy, kinds=KINDS)
    lazy["gravity"] = lazy["gravity"].copy(data=lazy["gravity"].data.map_blocks(never, meta=0.0))
    stack = evidence_stack(lazy, kinds=KINDS)
    assert stack.element.values[7:10].tolist() == ["rock=1", "rock=2", "rock=4"]


def never(block):
    raise AssertionError("gravity was read")


codes = arrays("float32", (3, 4), elements=st.sampled_from([np.nan, -1.0, 0.0, 3.0, 70.0]))


@given(codes.filter(lambda values: not np.isnan(values).all()))
def test_one_hot_is_that_of_a_loop(values):
    stack = evidence_stack(variables(rock=values), kinds=KINDS)
    found = sorted({float(value) for value in values.ravel() if value == value})
    assert stack.element.values.tolist() == [f"rock={value:.0f}" for value in found]
    for k, code in enumerate(found):
        for row, col in np.ndindex(values.shape):
            value = values[row, col]
            expected = np.nan if np.isnan(value) else float(value == code)
            np.testing.assert_equal(float(stack[k, row, col]), expected)


def test_fill_values_of_integers_are_missing():
    values = np.array([[1, 2], [-99, 5]], dtype="int16")
    ds = variables(rock=(values, ROCKS | {"_FillValue": -99}), depth=(values, {"_FillValue": -99}))
    ds["rock_too"] = ds["rock"].assign_attrs({})
    ds["rock_too"].attrs = {}
    ds["rock_too"].encoding = {"_FillValue": -99}
    stack = evidence_stack(ds, kinds={"rock": "categorical", "rock_too": "categorical"})
    np.testing.assert_array_equal(stack.sel(element="depth"), [[1, 2], [np.nan, 5]])
    # 5 has no class: it is missing as well.
    np.testing.assert_array_equal(stack.sel(element="rock=granite"), [[1, 0], [np.nan, np.nan]])
    np.testing.assert_array_equal(stack.sel(element="rock=lime"), [[0, 0], [np.nan, np.nan]])
    assert [name for name in stack.element.values if "too" in name] == [
        "rock_too=1", "rock_too=2", "rock_too=5"
    ]  # fmt: skip
    np.testing.assert_array_equal(stack.sel(element="rock_too=5"), [[0, 0], [np.nan, 1]])


def test_flags_without_names_and_names_without_flags():
    values = np.array([[1, 2], [2, 1]])
    ds = variables(a=(values, {"flag_values": [1, 2, 3]}), b=(values, {"flag_meanings": "x y"}))
    ds["a"].encoding = {"_FillValue": None}
    stack = evidence_stack(ds, kinds={"a": "categorical", "b": "categorical"})
    assert stack.element.values.tolist() == ["a=1", "a=2", "a=3", "b=1", "b=2"]
    np.testing.assert_array_equal(stack.sel(element="a=3"), np.zeros((2, 2)))


def test_encoding_of_floats_names_no_missing_value():
    ds = variables(gravity=[[0.0, 1.0], [2.0, np.nan]])
    ds["gravity"].encoding = {"_FillValue": 0, "scale_factor": 0.1}
    np.testing.assert_array_equal(evidence_stack(ds)[0], ds["gravity"])


def test_a_class_that_marks_missing_gives_no_band():
    attrs = {"flag_values": [0, 1], "flag_meanings": "unmapped granite", "_FillValue": 0}
    stack = evidence_stack(variables(rock=(np.array([[0, 1], [1, 1]]), attrs)), kinds=KINDS)
    assert stack.element.values.tolist() == ["rock=granite"]
    np.testing.assert_array_equal(stack[0], [[np.nan, 1], [1, 1]])


def test_a_stack_stacked_again_keeps_kinds():
    stack = evidence_stack(mixed(), kinds=KINDS)
    again = evidence_stack(stack.to_dataset(name="evidence"))
    xr.testing.assert_equal(again, stack)
    assert kinds_of(evidence_stack(stack[7:].to_dataset(name="a"), kinds={"a": "continuous"})) == (
        ["continuous"] * 4
    )


def test_a_band_taken_from_a_cube_keeps_its_unit():
    cube = small_cube()
    stack = evidence_stack(cube.sel(element="Au").to_dataset(name="gold"))
    assert (stack.element.values.tolist(), units_of(stack)) == (["gold"], ["ppm"])
    rocks = xr.ones_like(cube.sel(element="Au")).to_dataset(name="rock")
    assert evidence_stack(rocks, kinds=KINDS).element.values.tolist() == ["rock=1"]


def test_detectors_read_it(recwarn):
    ds = mixed()
    stack = evidence_stack(ds, kinds=KINDS)
    labels = small_labels(ds["clr"], background=True)
    stack = xr.where(stack.element == "mapped", labels == 1, stack, keep_attrs=True)  # a giveaway
    stack = stack.transpose("element", "y", "x").assign_attrs(log_ratio="mixed")
    detector = SklearnDetector(estimator=LogisticRegression(), draws=1, seed=0)
    score = detector.fit(stack, labels).predict(stack)["score"]
    assert float(score.where(labels == 1).min()) > float(score.where(labels == 0).max())
    assert not [w for w in recwarn if "log-ratio" in str(w.message)]


@pytest.mark.parametrize(
    ("rasters", "kinds", "message"),
    [
        ({"a": [[0, 1], [2, 1]]}, {"a": "binary"}, r"'a' is binary and holds \[2.0\]"),
        ({"a": [[0, 1], [1, 1]]}, {"a": "ordinal"}, r"kinds\['a'\]='ordinal' must be one of"),
        ({"a": [[0, 1], [1, 1]]}, {"b": "binary"}, "kinds names 'b', which is no variable"),
        ({"a": [[0, 1], [1, 1]]}, ["a"], r"kinds=\['a'\] must map variables"),
        ({"a": [[0, 0.5], [1, 1]]}, {"a": "categorical"}, "'a' is categorical .* integer codes"),
        (
            {"a": np.full((2, 2), np.nan)},
            {"a": "categorical"},
            r"integer codes of classes; found \[\]",
        ),
        (
            {"a": ([[1, 2], [2, 1]], {"flag_values": [1, 2], "flag_meanings": "granite"})},
            {"a": "categorical"},
            "'a' has 2 flag_values and 1 flag_meanings",
        ),
        ({"a": [["x", "y"], ["x", "y"]]}, None, "'a' holds <U1, not numbers"),
        (
            {"a=1": [[1.0, 2.0], [3.0, 4.0]], "a": [[1, 2], [2, 1]]},
            {"a": "categorical"},
            r"two bands are called \['a=1'\]",
        ),
    ],
)
def test_what_is_refused(rasters, kinds, message):
    with pytest.raises(EvidenceError, match=message):
        evidence_stack(variables(**rasters), kinds=kinds)


def test_no_raster_labels_and_cubes_of_classes_are_refused():
    ds = mixed()
    for nothing in (ds[[]], ds["gravity"]):
        with pytest.raises(EvidenceError, match="without variables"):
            evidence_stack(nothing)
    with pytest.raises(EvidenceError, match=r"kinds\['clr'\]='categorical': .* 'element' dim"):
        evidence_stack(ds, kinds={"clr": "categorical"})
    ds["labels"] = small_labels(ds["clr"]).assign_attrs(
        flag_meanings="deposit background unlabelled"
    )
    with pytest.raises(EvidenceError, match=r"drop_vars\('labels'\)"):
        evidence_stack(ds)


def test_lazy_binary_rasters_are_not_read(no_compute):
    lazy = variables(a=[[0, 1], [2, 1]]).chunk(y=1)
    with no_compute():
        assert kinds_of(evidence_stack(lazy, kinds={"a": "binary"})) == ["binary"]


def test_one_projected_grid_for_all():
    ds = variables(a=[[0.0, 1.0], [2.0, 3.0]])
    with pytest.raises(GridError, match="'lon' has dims"):
        evidence_stack(ds.assign(lon=("x", [1.0, 2.0])))
    with pytest.raises(CRSError, match="no CRS"):
        evidence_stack(ds.drop_vars("spatial_ref"))
    with pytest.raises(CRSError, match="degrees"):
        evidence_stack(ds.drop_vars("spatial_ref").rio.write_crs(4326))
    with pytest.raises(GridError, match="unevenly"):
        evidence_stack(variables(a=np.ones((2, 3))).assign_coords(x=[0.0, 1.0, 5.0]))
    with pytest.raises(CubeError, match="no names"):
        evidence_stack(small_cube().drop_vars("element").to_dataset(name="clr"))


def test_cross_validation_hears_how_far_gridding_carried_values():
    cube = small_cube(6, 5)
    rasters = xr.Dataset({name: cube.isel(element=k, drop=True) for k, name in enumerate("ab")})
    for name, reach in (("a", 500.0), ("b", 2500.0)):
        rasters[name].attrs["interpolation_range"] = reach
    assert evidence_stack(rasters).attrs["interpolation_range"] == 2500
    assert "interpolation_range" not in evidence_stack(mixed()).attrs


def test_concentrations_are_warned_of():
    raw = small_cube(6, 5).assign_attrs(log_ratio="none").to_dataset(name="raw")
    with pytest.warns(UserWarning, match="'raw' holds concentrations"):
        evidence_stack(raw)


def test_coords_of_a_lazy_stack_are_not_lazy():
    stack = evidence_stack(mixed().chunk(y=5))
    assert isinstance(stack["kind"].data, np.ndarray)
    assert isinstance(stack["unit"].data, np.ndarray)
