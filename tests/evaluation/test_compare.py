"""One protocol for all methods: each number against the function that it comes from."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from planted import PLACES, planted_cube, planted_deposits, planted_yardstick
from sklearn.linear_model import LogisticRegression

import xgeoanom as xga
from xgeoanom.detectors import PPFCNN, Autoencoder
from xgeoanom.errors import (
    GridError,
    LabelError,
    WindowError,
    XGeoAnomError,
)
from xgeoanom.evaluation.trial import PROXIMITY

pytestmark = pytest.mark.filterwarnings("ignore:n_clusters=")

FAST = {"n_shifts": 49, "n_refits": 0, "seed": 0}


@pytest.fixture(scope="module")
def cube():
    return planted_cube()


@pytest.fixture(scope="module")
def deposits(cube):
    return planted_deposits(cube)


@pytest.fixture(scope="module")
def yardstick(cube, deposits):
    return planted_yardstick(cube, deposits)


def tiny(**params):
    return PPFCNN(**{"inner": 1, "outer": 3, "draws": 1, "epochs": 1, "test_share": 0.0, **params})


def gold(cube):
    return cube.sel(element="Au")


class TestNumbers:
    def test_a_function_is_measured_as_it_is(self, yardstick, cube, deposits):
        found = xga.compare({"gold": gold}, yardstick, **FAST).sel(survey="", score="gold")
        measures = {"min_distance": 1200.0, "max_distance": 400.0}
        honest = xga.honest_auc(gold(cube), deposits, **measures, seed=0)
        null = xga.site_shift_null(gold(cube), deposits, **measures, n=49, seed=0)
        assert found["auc"] == honest.auc == 1.0
        assert (found["auc_low"], found["auc_high"]) == (honest.low, honest.high)
        assert found["shift_p"] == null.p
        assert found["shift_95"] == np.quantile(null.null_aucs, 0.95)
        assert found["average_precision"] == xga.average_precision(gold(cube), deposits, **measures)
        np.testing.assert_array_equal(
            found["capture"], xga.capture_at(gold(cube), deposits, max_distance=400.0)
        )
        assert found["n_positives"] == 5
        assert found["seconds"] > 0
        assert np.isnan(found["training_auc"])
        assert np.isnan(found["random_site_p"])
        assert found["kind"] == "label-free"

    def test_a_random_split_counts_cells(self, yardstick, cube):
        found = xga.compare({"gold": gold}, yardstick, **FAST).sel(survey="", score="gold")
        assert found["random_split_auc"] == xga.auc(
            gold(cube), yardstick.labels.where(yardstick.labels == 1, 0)
        )

    def test_a_detector_is_scored_out_of_fold(self, yardstick, deposits):
        result = xga.compare({"ppf": tiny()}, yardstick, **FAST).sel(survey="", score="ppf")
        oof = xga.cross_validate(
            yardstick.clr,
            tiny(seed=0),
            yardstick.labels,
            xga.leave_one_deposit_out(yardstick.labels),
            buffer_cells=2,
        )["oof"]
        whole = tiny(seed=0).fit(yardstick.clr, yardstick.labels).predict(yardstick.clr)["score"]
        measures = {"min_distance": 1200.0, "max_distance": 400.0, "seed": 0}
        assert result["auc"] == xga.honest_auc(oof, deposits, **measures).auc
        assert result["training_auc"] == xga.honest_auc(whole, deposits, **measures).auc
        assert result["kind"] == "trained"

    def test_a_detector_that_needs_no_deposit_is_label_free(self, yardstick, deposits):
        result = xga.compare({"code": Autoencoder(epochs=1)}, yardstick, **FAST)
        one = result.sel(survey="", score="code")
        score = Autoencoder(epochs=1, seed=0).fit(yardstick.clr).predict(yardstick.clr)["score"]
        honest = xga.honest_auc(score, deposits, min_distance=1200.0, max_distance=400.0)
        assert one["auc"] == honest.auc
        assert one["kind"] == "label-free"

    def test_proximity_is_to_other_deposits(self, yardstick, cube, deposits):
        """A cell of a fold is as far as the nearest deposit of another fold."""
        labels = yardstick.labels
        score = xga.cross_validate(
            cube, yardstick.proximity, labels, xga.leave_one_deposit_out(labels), buffer_cells=2
        )["oof"]
        places = np.column_stack([deposits.geometry.x, deposits.geometry.y])
        for k, (row, col) in enumerate(PLACES):
            others = np.delete(places, k, axis=0)
            nearest = np.hypot(*(others - places[k]).T).min()
            assert score.values[row, col] == pytest.approx(-nearest)

    def test_refits_compare_with_random_sites(self, yardstick):
        found = xga.compare({"gold": gold}, yardstick, n_shifts=9, n_refits=3, seed=0)
        one = found.sel(survey="", score=PROXIMITY)
        assert one["random_site_p"].item() in (0.25, 0.5, 0.75, 1.0)
        assert 0 <= one["random_site_auc"] <= 1
        assert np.isnan(found.sel(survey="", score="gold")["random_site_p"])

    def test_the_seed_is_the_comparisons(self, yardstick):
        methods = {"ppf": tiny(seed=5)}
        one, again = (xga.compare(methods, yardstick, **FAST) for _ in range(2))
        timing = ["seconds", "memory_mb"]
        xr.testing.assert_identical(one.drop_vars(timing), again.drop_vars(timing))
        assert one.attrs["seed"] == 0


class TestForm:
    def test_controls_are_in_every_table(self, yardstick):
        result = xga.compare({"gold": gold}, yardstick, **FAST)
        controls = result["score"].values[result["kind"].values == "control"].tolist()
        assert controls == [
            "Au",
            "Au, median of 8 neighbours",
            "random smooth map",
            "sum of pathfinders",
            "robust component",
            PROXIMITY,
        ]
        assert result["auc"].notnull().all()

    def test_sampling_density_where_samples_are_given(self, yardstick, cube):
        rng = np.random.default_rng(0)
        x, y = rng.choice(cube.x, 30), rng.choice(cube.y, 30)
        table = xr.Dataset(coords={"x": ("sample", x), "y": ("sample", y)}).rio.write_crs(32650)
        with_samples = dataclasses.replace(yardstick, table=table)
        result = xga.compare({"gold": gold}, with_samples, **FAST)
        assert "sampling density" in result["score"]

    def test_several_surveys(self, yardstick, cube):
        other = dataclasses.replace(yardstick, ds=cube**0.5, pathfinders=[])
        result = xga.compare({"gold": gold}, {"one": yardstick, "two": other}, **FAST)
        assert result["survey"].values.tolist() == ["one", "two"]
        assert result["auc"].sel(score="gold").notnull().all()
        # A control that a survey has no pathfinders for.
        assert np.isnan(result["auc"].sel(survey="two", score="robust component"))
        assert "robust component" not in xga.comparison_table(result, "two").index

    def test_survives_netcdf(self, yardstick, tmp_path):
        result = xga.compare({"gold": gold}, yardstick, **FAST)
        result.to_netcdf(tmp_path / "result.nc")
        with xr.open_dataset(tmp_path / "result.nc") as again:
            xr.testing.assert_allclose(again.load(), result)

    def test_inputs_stay_as_they_were(self, yardstick, cube):
        before = cube.copy(deep=True)
        xga.compare({"gold": gold}, yardstick, **FAST)
        xr.testing.assert_identical(cube, before)


class TestResume:
    def test_goes_on_where_it_stopped(self, yardstick, tmp_path):
        calls = []

        def counted(cube):
            calls.append(1)
            if len(calls) == 1:
                raise KeyboardInterrupt
            return gold(cube)

        methods = {"gold/1": gold, "counted": counted}
        with pytest.raises(KeyboardInterrupt):
            xga.compare(methods, yardstick, **FAST, folder=tmp_path)
        written = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nc")}
        assert "gold%2F1.nc" in written
        assert "counted.nc" not in written
        first = xga.compare(methods, yardstick, **FAST, folder=tmp_path)
        again = xga.compare(methods, yardstick, **FAST, folder=tmp_path)
        xr.testing.assert_identical(first, again)
        assert len(calls) == 2
        for name, time in written.items():
            assert next(tmp_path.rglob(name)).stat().st_mtime_ns == time

    def test_other_arguments_run_again(self, yardstick, tmp_path):
        calls = []

        def counted(cube):
            calls.append(1)
            return gold(cube)

        def run(yardstick, **params):
            xga.compare({"counted": counted}, yardstick, **{**FAST, **params}, folder=tmp_path)
            return len(calls)

        assert run(yardstick) == 1
        assert run(yardstick) == 1
        assert run(yardstick, n_shifts=48) == 2
        assert run(dataclasses.replace(yardstick, buffer_cells=3)) == 3
        fewer = dataclasses.replace(yardstick, deposits=yardstick.deposits.iloc[1:])
        assert run(fewer) == 4

    def test_another_function_runs_again(self, yardstick, tmp_path):
        def auc(method):
            result = xga.compare({"it": method}, yardstick, **FAST, folder=tmp_path)
            return result["auc"].sel(score="it").item()

        def of(element):
            return lambda cube: cube.sel(element=element)

        assert auc(of("Au")) != auc(of("Cu"))
        suite = [xga.classical_suite(element, inner=1, outer=5)["trend surface"]
                 for element in ("Au", "Cu")]  # fmt: skip
        assert auc(suite[0]) != auc(suite[1])

    def test_names_that_look_alike_in_files(self, yardstick, tmp_path):
        methods = {"a b": gold, "a_b": lambda cube: cube.sel(element="Cu"), "a/b": xga.rx}
        apart = xga.compare(methods, yardstick, **FAST)["auc"]
        xr.testing.assert_equal(
            xga.compare(methods, yardstick, **FAST, folder=tmp_path)["auc"], apart
        )
        xr.testing.assert_equal(
            xga.compare(methods, yardstick, **FAST, folder=tmp_path)["auc"], apart
        )

    @pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x"])
    def test_damaged_files_are_measured_again(self, yardstick, tmp_path, damage):
        first = xga.compare({"gold": gold}, yardstick, **FAST, folder=tmp_path)
        path = next(tmp_path.rglob("gold.nc"))
        path.write_bytes(damage(path.read_bytes()))
        again = xga.compare({"gold": gold}, yardstick, **FAST, folder=tmp_path)
        xr.testing.assert_equal(again["auc"], first["auc"])

    def test_what_failed_is_tried_again(self, yardstick, tmp_path):
        calls = []

        def flaky(cube):
            calls.append(1)
            if len(calls) == 1:
                raise OSError("disk full")
            return gold(cube)

        with pytest.warns(UserWarning, match="flaky: OSError: disk full"):
            xga.compare({"flaky": flaky}, yardstick, **FAST, folder=tmp_path)
        result = xga.compare({"flaky": flaky}, yardstick, **FAST, folder=tmp_path)
        assert result["auc"].sel(score="flaky") == 1.0

    def test_a_folder_that_is_a_file(self, yardstick, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(XGeoAnomError, match="folder=.*cannot be written"):
            xga.compare({"gold": gold}, yardstick, **FAST, folder=tmp_path / "file")

    def test_maps_are_kept(self, yardstick, cube, tmp_path):
        xga.compare({"gold": gold}, {"here": yardstick}, **FAST, folder=tmp_path)
        with xr.open_dataset(tmp_path / "here" / "gold.nc") as found:
            np.testing.assert_array_equal(found["score"], gold(cube))


class TestBadInput:
    def test_one_bad_method_does_not_end_the_others(self, yardstick):
        def broken(cube):
            raise GridError("too small")

        with pytest.warns(UserWarning, match="broken: too small"):
            result = xga.compare({"broken": broken, "gold": gold}, yardstick, **FAST)
        assert result["error"].sel(score="broken").item() == "too small"
        assert np.isnan(result["auc"].sel(score="broken"))
        assert result["auc"].sel(score="gold") == 1.0
        assert xga.comparison_table(result).loc["broken", "honest AUC"] == "too small"

    @pytest.mark.parametrize(
        ("method", "message"),
        [
            (lambda cube: gold(cube).values, "returned a ndarray"),
            (lambda cube: None, "returned a NoneType"),
            (lambda cube: cube, "dims"),
            (lambda cube: gold(cube).assign_coords(x=cube.x + 250), "another grid"),
            (lambda cube: gold(cube).isel(x=slice(4, None)), "another grid"),
            (lambda cube: gold(cube).where(cube.x > cube.x[3], np.inf), "infinite"),
            (lambda cube: gold(cube) * np.nan, "no valid cell"),
            (lambda cube: cube.sel(element="Xx"), "KeyError"),
        ],
    )
    def test_what_is_no_score_is_told(self, yardstick, method, message):
        with pytest.warns(UserWarning, match=message):
            result = xga.compare({"bad": method, "gold": gold}, yardstick, **FAST)
        assert message in result["error"].sel(score="bad").item()
        assert result["auc"].sel(score="gold") == 1.0

    def test_methods_that_work_in_place_change_nothing(self, yardstick, cube):
        def in_place(cube):
            cube.values[:] = -cube.values
            return gold(cube)

        before = cube.copy(deep=True)
        result = xga.compare({"in place": in_place, "gold": gold}, yardstick, **FAST)
        assert result["auc"].sel(score="gold") == 1.0
        xr.testing.assert_identical(cube, before)

    def test_fewer_targets_are_told(self, yardstick, deposits):
        east = deposits.geometry.x.max()
        with pytest.warns(UserWarning, match="scores 4 of 5 targets"):
            result = xga.compare(
                {"part": lambda cube: gold(cube).where(cube.x < east)}, yardstick, **FAST
            )
        assert xga.comparison_table(result).loc["part", "targets"] == "4"

    def test_a_buffer_too_narrow_is_told(self, yardstick):
        with pytest.raises(LabelError, match="buffer_cells=2 is narrower"):
            xga.compare({"wide": tiny(outer=7)}, yardstick, **FAST)

    def test_a_buffer_within_reach_of_interpolation(self, yardstick, cube):
        gridded = cube.assign_attrs(interpolation_range=1400.0)
        with pytest.raises(LabelError, match="use buffer_cells=3"):
            dataclasses.replace(yardstick, ds=gridded)

    @pytest.mark.parametrize(
        ("methods", "message"),
        [
            ({}, "methods={} must be a dict"),
            ([gold], "must be a dict"),
            ({"a": 3}, "methods.'a'. is 3"),
            ({"a": PPFCNN}, "give a detector"),
            ({"a": LogisticRegression()}, "SklearnDetector"),
            ({"Au": gold}, "names of controls"),
        ],
    )
    def test_wrong_methods(self, yardstick, methods, message):
        with pytest.raises(LabelError, match=message):
            xga.compare(methods, yardstick, **FAST)

    @pytest.mark.parametrize(
        ("params", "message"),
        [({"n_shifts": 0}, "n=0"), ({"n_refits": 1.5}, "n=1.5"), ({"level": 1.0}, "level=1.0")],
    )
    def test_wrong_numbers(self, yardstick, params, message):
        with pytest.raises(LabelError, match=message):
            xga.compare({"gold": gold}, yardstick, **{**FAST, **params})


def test_suite_runs_on_any_cube(cube):
    for name, method in xga.classical_suite("Au", inner=1, outer=7, seed=0).items():
        found = method(cube)
        score = found["score"] if isinstance(found, xr.Dataset) else found
        assert score.notnull().any(), name
        assert set(score.dims) == {"y", "x"}, name


def test_suite_with_wrong_windows():
    with pytest.raises(WindowError, match="inner=4"):
        xga.classical_suite("Au", inner=4)
