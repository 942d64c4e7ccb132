"""Cross-validation: nothing of a fold reaches the training that scores it."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from scipy import ndimage

from xgeoanom.blocks import Footprint
from xgeoanom.detectors.skt import SKT
from xgeoanom.errors import EvidenceError, LabelError
from xgeoanom.evaluation.crossval import cross_validate, label_reach
from xgeoanom.evaluation.folds import leave_one_deposit_out, random_folds, spatial_folds
from xgeoanom.evaluation.metrics import auc, rank_auc

SHAPE = (40, 50)
CENTRES = [(5, 5), (6, 30), (20, 42), (33, 8), (34, 25), (20, 20), (35, 45), (7, 46)]


@dataclass(kw_only=True)
class Spy:
    """Scores each cell by its value and keeps what it was trained on."""

    halo: int = 2
    seen: list = field(default_factory=list)
    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def footprint(self):
        return Footprint(halo=self.halo)

    def fit(self, cube, labels, *, evidence=None):
        self.cube_, self.labels_ = cube, labels
        self.seen.append(self)
        return self

    def predict(self, cube, *, evidence=None):
        assert not hasattr(self, "predicted")
        self.predicted = cube
        return xr.Dataset({"score": cube.isel(element=0, drop=True).astype("float32")})


@dataclass(kw_only=True)
class Memory(Spy):
    """Knows where training deposits were, one cell around included; elsewhere it guesses."""

    def predict(self, cube, *, evidence=None):
        near = ndimage.binary_dilation(self.labels_.values == 1, np.ones((3, 3)))
        guess = np.random.default_rng(0).random(near.shape) / 2
        score = xr.DataArray(near / 2 + guess, dims=("y", "x")).astype("float32")
        return xr.Dataset({"score": score})


def grid(values, dims=("y", "x")):
    coords = {"y": 500.0 * np.arange(SHAPE[0])[::-1], "x": 500.0 * np.arange(SHAPE[1])}
    return xr.DataArray(values, coords=coords, dims=dims)


def example(*, background=False, interpolation_range=0.0):
    """A dataset with a two-element cube, labels and deposit ids."""
    rng = np.random.default_rng(0)
    cube = grid(rng.random((2, *SHAPE)), ("element", "y", "x")).assign_coords(element=["Au", "Cu"])
    cube.attrs.update(log_ratio="clr", interpolation_range=interpolation_range)
    marks, ids = np.full(SHAPE, -1, dtype="int8"), np.full(SHAPE, -1, dtype="int16")
    for k, (row, col) in enumerate(CENTRES):
        marks[row - 1 : row + 2, col - 1 : col + 2] = 1
        ids[row - 1 : row + 2, col - 1 : col + 2] = k
    if background:
        free = np.argwhere(~ndimage.binary_dilation(marks == 1, iterations=3))
        marks[tuple(free[rng.permutation(len(free))[:200]].T)] = 0
    labels = grid(marks).assign_coords(deposit=(("y", "x"), ids))
    return xr.Dataset({"clr": cube, "labels": labels}).rio.write_crs(32650)


def chessboard(from_cells):
    return ndimage.distance_transform_cdt(~from_cells, metric="chessboard")


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("split", ["spatial", "leave_one_deposit_out"])
def test_training_stays_clear_of_the_fold(background, split):
    ds = example(background=background, interpolation_range=900.0)  # 1.8 cells: 2
    folds = (
        spatial_folds(ds["labels"], n=3, block_cells=15, seed=0)
        if split == "spatial"
        else leave_one_deposit_out(ds["labels"])
    )
    spy = Spy(halo=2)
    cross_validate(ds, spy, "labels", folds, buffer_cells=4)
    assert len(spy.seen) == len(np.unique(folds))
    for number, fitted in enumerate(spy.seen):
        away = chessboard(folds.values == number)
        labelled = fitted.labels_.values >= 0
        assert labelled.any()
        assert away[labelled].min() > 4
        # Outside the buffer every label is kept, with its deposit id and no other.
        np.testing.assert_array_equal(
            fitted.labels_.values, np.where(away > 4, ds["labels"].values, -1)
        )
        np.testing.assert_array_equal(
            fitted.labels_["deposit"].values,
            np.where(away > 4, ds["labels"]["deposit"].values, -1),
        )
        # No value within the interpolation range of the fold is seen in training ...
        seen = fitted.cube_.notnull().all("element").values
        assert away[seen].min() > 2
        # ... and yet all that the labels look into is.
        halo = ndimage.binary_dilation(labelled, np.ones((5, 5)))
        assert seen[halo].all()
        assert fitted.cube_.attrs == ds["clr"].attrs
        assert fitted.cube_.dims == ds["clr"].dims
        xr.testing.assert_identical(fitted.predicted, ds["clr"])


@dataclass(kw_only=True)
class Background(Spy):
    """Takes all ground without a deposit for background."""

    reads_unlabelled: ClassVar[bool] = True


@pytest.mark.parametrize("background", [True, False])
def test_to_a_detector_that_reads_unlabelled_ground_the_buffer_is_missing(background):
    ds = example(background=background, interpolation_range=900.0)  # 1.8 cells: 2
    folds = leave_one_deposit_out(ds["labels"])
    spy = Background(halo=9)
    cross_validate(ds, spy, "labels", folds, buffer_cells=3)  # narrower than the halo
    for number, fitted in enumerate(spy.seen):
        away = chessboard(folds.values == number)
        seen = fitted.cube_.notnull().all("element").values
        np.testing.assert_array_equal(seen, away > 3)
        np.testing.assert_array_equal(
            fitted.labels_.values, np.where(away > 3, ds["labels"].values, -1)
        )
        # No deposit is left unlabelled on the ground that is seen.
        assert (fitted.labels_.values[seen & (ds["labels"].values == 1)] == 1).all()
        xr.testing.assert_identical(fitted.predicted, ds["clr"])
    with pytest.raises(LabelError, match=r"halo \(0\) plus the interpolation range \(2 cells\)"):
        cross_validate(ds, spy, "labels", folds, buffer_cells=1)
    with pytest.raises(LabelError, match=r"halo \(9\) plus"):
        cross_validate(ds, Spy(halo=9), "labels", folds, buffer_cells=3)


def test_how_far_training_looks_from_a_label():
    assert label_reach(Spy(halo=9)) == 9
    assert label_reach(Background(halo=9)) == 0
    assert label_reach(lambda cube, labels: cube) == 0
    assert label_reach(SKT()) == 0


def test_out_of_fold_map_takes_each_cell_from_its_own_fold():
    ds = example()
    folds = spatial_folds(ds["labels"], n=3, block_cells=15, seed=0)

    @dataclass(kw_only=True)
    class Fold(Spy):
        def predict(self, cube, *, evidence=None):
            score = xr.full_like(cube.isel(element=0, drop=True), len(self.seen) - 1)
            return xr.Dataset({"score": score})

    result = cross_validate(ds, Fold(), "labels", folds, buffer_cells=2)
    np.testing.assert_array_equal(result["oof"], folds)
    assert result["oof"].dtype == "float32"
    xr.testing.assert_identical(
        result["cv_fold"].reset_coords(drop=True), folds.reset_coords(drop=True)
    )


def test_report_against_counting_by_hand():
    ds = example(background=True)
    folds = spatial_folds(ds["labels"], n=3, block_cells=15, seed=0)
    before = ds.copy(deep=True)
    result = cross_validate(ds, Spy(), ds["labels"], folds, buffer_cells=2)
    xr.testing.assert_identical(ds, before)
    np.testing.assert_array_equal(result["oof"], ds["clr"][0].astype("float32"))
    ids = ds["labels"]["deposit"].values
    for k in range(3):
        held = folds.values == k
        inside = ds["labels"].where(folds == k, -1)
        assert float(result["auc"].sel(fold=k)) == auc(result["oof"], inside)
        tested = set(ids[held]) - {-1}
        trained = set(ids[chessboard(held) > 2]) - {-1}
        assert int(result["n_test_deposits"].sel(fold=k)) == len(tested)
        assert int(result["n_train_deposits"].sel(fold=k)) == len(trained)
        assert not tested & trained
    assert int(result["n_test_deposits"].sum()) == len(CENTRES)
    assert_georeferenced(result[["oof", "cv_fold"]], ds["labels"])
    assert result["oof"].attrs["units"] == "1"
    assert result.attrs["method"] == "cross_validate"


def test_without_background_unlabelled_cells_beyond_the_buffer_are_negatives():
    ds = example()
    folds = spatial_folds(ds["labels"], n=2, block_cells=20, seed=0)
    result = cross_validate(ds, Spy(), "labels", folds, buffer_cells=3)
    score, marks = ds["clr"][0].values.astype("float32"), ds["labels"].values
    away = chessboard(marks == 1) > 3
    for k in range(2):
        held = folds.values == k
        want = rank_auc(score[held & (marks == 1)], score[held & away])
        assert float(result["auc"].sel(fold=k)) == want


def test_memory_shines_only_where_the_split_leaks():
    ds = example(background=True)
    leaky = random_folds(ds["labels"], n=5, seed=0)
    found = cross_validate(ds, Memory(), "labels", leaky, buffer_cells=0)
    assert auc(found["oof"], ds["labels"]) == 1.0
    honest = leave_one_deposit_out(ds["labels"])
    found = cross_validate(ds, Memory(), "labels", honest, buffer_cells=2)
    assert auc(found["oof"], ds["labels"]) == pytest.approx(0.5, abs=0.12)


def test_random_folds_hide_labels_only():
    ds = example(background=True, interpolation_range=5000.0)
    folds = random_folds(ds["labels"], n=3, seed=0)
    spy = Spy()
    cross_validate(ds, spy, "labels", folds, buffer_cells=0)
    for k, fitted in enumerate(spy.seen):
        assert fitted.cube_.notnull().all()
        assert (fitted.labels_.values[folds.values == k] == -1).all()


def test_detector_is_copied_for_each_fold():
    ds = example()
    spy = Spy()
    cross_validate(ds, spy, "labels", leave_one_deposit_out(ds["labels"]), buffer_cells=2)
    assert not hasattr(spy, "cube_")
    assert len({id(fitted) for fitted in spy.seen}) == len(CENTRES)


def test_lazy_cube_gives_the_same_map():
    ds = example(background=True)
    folds = spatial_folds(ds["labels"], n=3, block_cells=15, seed=0)
    want = cross_validate(ds, Spy(), "labels", folds, buffer_cells=2)
    lazy = cross_validate(ds.chunk(y=13, x=17), Spy(), "labels", folds.chunk(y=9), buffer_cells=2)
    xr.testing.assert_allclose(lazy.reset_coords(drop=True), want.reset_coords(drop=True))


def test_ascending_grid_gives_the_same_map():
    ds = example(background=True)
    folds = spatial_folds(ds["labels"], n=3, block_cells=15, seed=0)
    want = cross_validate(ds, Spy(), "labels", folds, buffer_cells=2)
    up = cross_validate(ds.sortby("y"), Spy(), "labels", folds.sortby("y"), buffer_cells=2)
    xr.testing.assert_equal(up["oof"].sortby("y", ascending=False), want["oof"])
    xr.testing.assert_equal(up["auc"], want["auc"])


def test_evidence_comes_from_the_dataset():
    ds = example().assign(fault_weight=grid(np.ones(SHAPE)))

    @dataclass(kw_only=True)
    class Needy(Spy):
        def fit(self, cube, labels, *, evidence=None):
            if evidence is None or "fault_weight" not in evidence:
                raise EvidenceError("needs fault_weight")
            return super().fit(cube, labels)

    folds = leave_one_deposit_out(ds["labels"])
    cross_validate(ds, Needy(), "labels", folds, buffer_cells=2)
    with pytest.raises(EvidenceError):
        cross_validate(ds["clr"], Needy(), ds["labels"], folds, buffer_cells=2)
    cross_validate(
        ds["clr"], Needy(), ds["labels"], folds, evidence=ds[["fault_weight"]], buffer_cells=2
    )


def test_evidence_can_be_made_from_the_training_labels():
    ds = example()
    given = []

    def weights(labels):
        given.append(labels)
        return grid(np.full(SHAPE, len(given))).to_dataset(name="fault_weight")

    @dataclass(kw_only=True)
    class Copy(Spy):
        def fit(self, cube, labels, *, evidence=None):
            self.weight = evidence["fault_weight"]
            return self

        def predict(self, cube, *, evidence=None):
            xr.testing.assert_identical(evidence["fault_weight"], self.weight)
            return self.weight.to_dataset(name="score")

    folds = leave_one_deposit_out(ds["labels"])
    result = cross_validate(ds, Copy(), "labels", folds, evidence=weights, buffer_cells=2)
    np.testing.assert_array_equal(result["oof"], folds.values + 1.0)
    for fold, labels in enumerate(given):
        assert not ((labels == 1) & (folds == fold)).any()
        assert (labels == 1).any()


def test_cells_of_no_fold_are_never_scored():
    ds = example()
    folds = leave_one_deposit_out(ds["labels"])
    folds = folds.where(ds["labels"] == 1, -1).astype("int16").assign_attrs(folds.attrs)
    result = cross_validate(ds, Spy(), "labels", folds, buffer_cells=2)
    assert (result["oof"].notnull() == (ds["labels"] == 1)).all()
    assert result["auc"].isnull().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"buffer_cells": 3},
            r"halo \(2\) plus the interpolation range \(2 cells\).*buffer_cells=4",
        ),
        ({"buffer_cells": 40}, "leave no deposit to train on"),
        ({"buffer_cells": -1, "random": True}, "must not be negative"),
        ({"keep": [0]}, "at least 2"),
        ({"empty": True}, "fold 9 of folds holds no deposit"),
    ],
)
def test_refuses_before_any_training(change, message):
    ds = example(interpolation_range=900.0)
    folds = leave_one_deposit_out(ds["labels"])
    if change.get("random"):
        folds = random_folds(ds["labels"], n=3, seed=0)
    if "keep" in change:
        folds = folds.where(folds.isin(change["keep"]), -1).astype("int16")
    if "empty" in change:
        folds[0, 18] = 9
    spy = Spy(halo=2)
    with pytest.raises(LabelError, match=message):
        cross_validate(ds, spy, "labels", folds, buffer_cells=change.get("buffer_cells", 4))
    assert spy.seen == []


def test_refuses_a_fold_that_takes_all_background():
    ds = example()
    ds["labels"].values[0, 0] = 0
    with pytest.raises(LabelError, match="leave no background"):
        cross_validate(ds, Spy(), "labels", leave_one_deposit_out(ds["labels"]), buffer_cells=2)
