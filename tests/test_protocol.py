"""What every detector must do, whatever its method."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given, settings
from hypothesis import strategies as st
from small_detectors import DETECTORS
from surveys import small_cube, small_labels

import xgeoanom as xga
from xgeoanom.detectors import Detector, load_detector

every = pytest.mark.parametrize("make", DETECTORS.values(), ids=DETECTORS)


def those(*, supervised):
    names = [name for name, make in DETECTORS.items() if make().supervised == supervised]
    return pytest.mark.parametrize("make", [DETECTORS[name] for name in names], ids=names)


@pytest.fixture(scope="module")
def cube():
    return small_cube(holes=12)


@pytest.fixture(scope="module")
def labels(cube):
    return small_labels(cube)


@every
def test_scores_sit_on_the_grid(make, cube, labels):
    detector = make().fit(cube, labels)
    maps = detector.predict(cube)
    assert list(maps) == ["score", "std", *detector.extra]
    assert_georeferenced(maps, cube)
    assert maps["score"].dims == ("y", "x")
    assert maps["score"].dtype == np.float32
    assert maps["score"].attrs["seed"] == 0
    scored = maps["score"].values[cube.notnull().all("element").values]
    assert (scored[~np.isnan(scored)] >= 0).all()
    assert (scored[~np.isnan(scored)] <= 1).all()


@every
def test_missing_cells_stay_missing(make, cube, labels):
    score = make().fit(cube, labels).predict(cube)["score"]
    assert np.isnan(score.values[cube.isnull().any("element").values]).all()
    assert score.notnull().mean() > 0.9


@every
def test_lazy_in_lazy_out(make, cube, labels, no_compute):
    detector = make().fit(cube, labels)
    lazy = cube.chunk(y=9, x=7)
    # Rasters of the whole survey are made at once; scores are not.
    reads_all = type(detector).derive is not Detector.derive
    with nullcontext() if reads_all else no_compute():
        maps = detector.predict(lazy)
    assert maps["score"].chunks is not None
    xr.testing.assert_allclose(maps.compute(), detector.predict(cube), rtol=1e-5, atol=1e-5)


@every
def test_fit_on_chunks_equals_fit_in_memory(make, cube, labels):
    eager = make().fit(cube, labels).predict(cube)["score"]
    lazy = make().fit(cube.chunk(element=-1, y=11, x=8), labels).predict(cube)["score"]
    np.testing.assert_allclose(lazy, eager, atol=2e-4)


@every
@given(chunks=st.tuples(st.integers(1, 24), st.integers(1, 20)))
@settings(max_examples=6)
def test_any_chunking_gives_the_same_score(make, cube, labels, chunks):
    detector = fitted(make, cube, labels)
    lazy = detector.predict(cube.chunk(element=2, y=chunks[0], x=chunks[1]))["score"]
    np.testing.assert_allclose(lazy, detector.predict(cube)["score"], rtol=1e-5, atol=1e-6)


_FITTED = {}


def fitted(make, cube, labels):
    if make not in _FITTED:
        _FITTED[make] = make().fit(cube, labels)
    return _FITTED[make]


@every
def test_y_may_ascend(make, cube, labels):
    detector = fitted(make, cube, labels)
    flipped = detector.predict(cube.isel(y=slice(None, None, -1)))["score"]
    assert_georeferenced(flipped, cube.isel(y=slice(None, None, -1)))
    np.testing.assert_allclose(
        flipped.isel(y=slice(None, None, -1)), detector.predict(cube)["score"], atol=1e-5
    )


@every
def test_fit_does_not_know_which_way_y_runs(make, cube, labels):
    up, down = (
        make().fit(cube.isel(y=way), labels.isel(y=way)).predict(cube)["score"]
        for way in (slice(None), slice(None, None, -1))
    )
    np.testing.assert_allclose(down, up, atol=2e-4)


@every
def test_inputs_stay_as_they_were(make, cube, labels):
    before = cube.copy(deep=True), labels.copy(deep=True)
    make().fit(cube, labels).predict(cube)
    xr.testing.assert_identical(cube, before[0])
    xr.testing.assert_identical(labels, before[1])


@every
def test_same_seed_same_score_and_zero_counts(make, cube, labels):
    first, again, other = (
        make(seed=seed).fit(cube, labels).predict(cube)["score"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, equal_nan=True)


@every
def test_no_global_random_state_is_touched(make, cube, labels):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    make().fit(cube, labels).predict(cube)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


@every
def test_given_background_is_used_once(make, cube):
    labels = small_labels(cube, background=True)
    detector = make(draws=5).fit(cube, labels)
    assert len(detector.networks_) == 1
    assert list(detector.predict(cube)) == ["score", *detector.extra]


@every
def test_saved_and_loaded_scores_are_equal_bit_by_bit(make, cube, labels, tmp_path):
    detector = fitted(make, cube, labels)
    detector.save(tmp_path / "detector.safetensors")
    for load in (load_detector, type(detector).load):
        loaded = load(tmp_path / "detector.safetensors")
        xr.testing.assert_identical(loaded.predict(cube), detector.predict(cube))
        assert loaded.history_ == json.loads(json.dumps(detector.history_))
    assert [p.name for p in tmp_path.iterdir()] == ["detector.safetensors"]


@every
@pytest.mark.parametrize(
    "other",
    [
        lambda cube: cube.assign_coords(element=["Sn", *cube.element.values[1:]]),
        lambda cube: cube.isel(element=slice(None, None, -1)),
        lambda cube: cube.isel(element=slice(1, None)),
        lambda cube: cube.assign_attrs(log_ratio="ilr"),
        lambda cube: cube.assign_coords(unit=("element", ["ppb"] * cube.sizes["element"])),
    ],
    ids=["other element", "other order", "fewer", "other log-ratio", "other units"],
)
def test_another_cube_is_refused(make, cube, labels, other):
    with pytest.raises(xga.errors.CubeError, match="differ from the fit"):
        fitted(make, cube, labels).predict(other(cube))


@every
def test_unfitted_detectors_say_so(make, cube, tmp_path):
    for act in (
        lambda d: d.predict(cube),
        lambda d: d.save(tmp_path / "x"),
        lambda d: d.explain(cube, [(0, 0)]),
    ):
        with pytest.raises(xga.errors.NotFittedError, match="fit"):
            act(make())


@those(supervised=False)
def test_what_is_usual_is_learnt_without_deposits(make, cube, labels):
    none = xr.full_like(labels, -1)
    scores = [
        make().fit(cube, given).predict(cube)["score"]
        for given in (None, none, labels.where(cube.isnull().any("element"), -1).astype("int8"))
    ]
    for score in scores[1:]:
        np.testing.assert_array_equal(score, scores[0])
    assert not np.allclose(fitted(make, cube, labels).predict(cube)["score"], scores[0])


@every
def test_explanations_have_places_and_elements(make, cube, labels):
    detector = fitted(make, cube, labels)
    at = [(float(cube.x[6]) + 100, float(cube.y[9]) - 100)]
    for how in detector.explanations:
        shares = detector.explain(cube, at, how=how)
        assert shares.dims == ("location", "element")
        assert list(shares.element.values) == list(cube.element.values)
        assert (shares.x.item(), shares.y.item()) == (cube.x[6].item(), cube.y[9].item())


@every
def test_explaining_what_is_not_there_is_an_error(make, cube, labels):
    with pytest.raises(xga.errors.GridError, match="outside the survey"):
        fitted(make, cube, labels).explain(cube, [(0.0, 0.0)])
    row, col = np.argwhere(cube.isnull().any("element").values)[0]
    with pytest.raises(xga.errors.GridError, match="missing cell"):
        fitted(make, cube, labels).explain(cube, [(cube.x[col].item(), cube.y[row].item())])


@every
def test_detect_adds_variables_and_keeps_the_rest(make, cube, labels):
    ds = cube.to_dataset().assign(labels=labels, other=labels * 2)
    out = ds.anom.detect(make(), "labels", name="mine")
    layers = "std", *make().extra
    assert set(out) - set(ds) == {"mine", *(f"mine_{layer}" for layer in layers)}
    xr.testing.assert_identical(out[list(ds)], ds)
    assert_georeferenced(out["mine"], cube)
    again = ds.anom.predict(fitted(make, cube, labels), name="mine")
    np.testing.assert_array_equal(again["mine"], out["mine"])


@every
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here to compare the CPU with")
def test_cpu_and_gpu_agree(make, cube, labels, tmp_path):
    fitted(make, cube, labels).save(tmp_path / "d")
    cpu, gpu = (load_detector(tmp_path / "d", device=d).predict(cube) for d in ("cpu", "cuda"))
    np.testing.assert_allclose(cpu["score"], gpu["score"], atol=1e-3)


@every
@pytest.mark.parametrize("name", ["labels", "clr", "y"])
def test_only_a_score_is_written_over(make, cube, labels, name):
    ds = cube.to_dataset().assign(labels=labels)
    with pytest.raises(xga.errors.CubeError, match="overwrite"):
        ds.anom.detect(make(), "labels", name=name)
    scored = ds.anom.predict(fitted(make, cube, labels))
    assert set(scored.anom.predict(fitted(make, cube, labels))) == set(scored)


@every
def test_concentrations_are_warned_of(make, cube, labels):
    with pytest.warns(UserWarning, match="not log-ratios"):
        make().fit(np.exp(cube).assign_attrs(log_ratio="none"), labels)


class TestBadInput:
    """Each of these must fail before training starts, with its own kind of error."""

    @those(supervised=True)
    def test_labels_without_deposits(self, make, cube, labels):
        with pytest.raises(xga.errors.LabelError, match="deposit"):
            make().fit(cube, xr.zeros_like(labels))

    @every
    def test_labels_on_another_grid(self, make, cube, labels):
        with pytest.raises(xga.errors.GridError, match="another grid"):
            make().fit(cube, labels.isel(y=slice(1, None)))
        with pytest.raises(xga.errors.GridError, match="another grid"):
            make().fit(cube, labels.assign_coords(y=labels.y + 250))

    @every
    def test_labels_in_another_crs(self, make, cube, labels):
        with pytest.raises(xga.errors.CRSError, match="CRS"):
            make().fit(cube, labels.rio.write_crs(32651))

    @every
    def test_boolean_labels(self, make, cube, labels):
        with pytest.raises(xga.errors.LabelError, match="boolean"):
            make().fit(cube, labels == 1)

    @every
    def test_an_array_where_a_dataset_is_meant(self, make, cube, labels):
        with pytest.raises(xga.errors.CubeError, match="to_dataset"):
            xga.detect(cube, make(), labels)

    @every
    def test_infinite_values(self, make, cube, labels):
        infinite = cube.where((cube.element != "Au") | cube.isnull(), np.inf)
        with pytest.raises(xga.errors.CubeError, match="Au.*infinite"):
            make().fit(infinite, labels)

    @every
    @pytest.mark.parametrize("seed", [-1, "zero"])
    def test_seeds_that_are_none(self, make, cube, labels, seed):
        with pytest.raises(xga.errors.XGeoAnomError, match="seed="):
            make(seed=seed).fit(cube, labels)

    @every
    def test_saving_into_a_folder_that_is_not_there(self, make, cube, labels, tmp_path):
        with pytest.raises(xga.errors.ModelFileError, match="folder"):
            fitted(make, cube, labels).save(tmp_path / "none" / "d")

    @every
    def test_geographic_cube(self, make, cube, labels):
        with pytest.raises(xga.errors.CRSError, match="degrees"):
            make().fit(cube.rio.write_crs(4326), labels.rio.write_crs(4326))

    @every
    def test_repeated_elements(self, make, cube, labels):
        repeated = cube.assign_coords(element=["Au", "Au", *cube.element.values[2:]])
        with pytest.raises(xga.errors.CubeError, match="Au.* repeated"):
            make().fit(repeated, labels)

    @every
    def test_empty_element(self, make, cube, labels):
        empty = cube.where(cube.element != "Cu")
        with pytest.raises(xga.errors.CubeError, match="Cu.*no value"):
            make().fit(empty, labels)

    @those(supervised=True)
    def test_deposits_on_missing_cells_only(self, make, cube, labels):
        with pytest.raises(xga.errors.LabelError, match="missing"):
            make().fit(cube.where(labels != 1), labels)

    @every
    def test_uneven_grid(self, make, cube, labels):
        x = cube.x.values + np.where(np.arange(cube.sizes["x"]) > 9, 100.0, 0.0)
        with pytest.raises(xga.errors.GridError, match="unevenly"):
            make().fit(cube.assign_coords(x=x), labels.assign_coords(x=x))

    @every
    @pytest.mark.parametrize("damage", ["truncated", "foreign", "empty", "missing", "flipped"])
    def test_damaged_files(self, make, cube, labels, damage, tmp_path):
        path = tmp_path / "d.safetensors"
        fitted(make, cube, labels).save(path)
        whole = path.read_bytes()
        if damage == "missing":
            path.unlink()
        else:
            cut = {
                "truncated": whole[: len(whole) // 2],
                "foreign": b"\x80\x04K\x01.",
                "empty": b"",
                "flipped": whole[:-8] + bytes(255 - byte for byte in whole[-8:]),
            }
            path.write_bytes(cut[damage])
        with pytest.raises(xga.errors.ModelFileError, match=r"d\.safetensors"):
            load_detector(path)
