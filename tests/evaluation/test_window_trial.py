"""The trial by windows: nothing of a fold reaches training, and every count has its window."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage
from surveys import small_cube

from xgeoanom.detectors.skt import SKT
from xgeoanom.detectors.training_set import KNOWN
from xgeoanom.errors import GridError, LabelError, XGeoAnomError
from xgeoanom.evaluation.window_trial import window_trial

CENTRES = [(6, 6), (10, 30), (24, 18), (33, 7), (36, 33), (18, 37)]
SIZE, STEP = 8, 4
TINY = {"window": SIZE, "step": STEP, "crop": 6, "dilations": (1, 2), "width": 2}


@dataclass(kw_only=True)
class Spy(SKT):
    """Looks for the element that marks deposits and keeps what it was shown."""

    seen: ClassVar[list] = []

    def fit(self, cube, labels=None, *, evidence=None):
        type(self).seen.append((cube, labels, self))
        self.mean_, self.scale_ = np.zeros(cube.sizes["element"]), np.ones(cube.sizes["element"])
        self.seed_ = self.seed
        return self

    def window_scores(self, values):
        """Each network asks for more: of two, one sees deposits and one sees nothing."""
        most = np.nanmax(values[:, 0], axis=(1, 2))
        return np.stack([(most > 12 + 20 * k) * 0.9 for k in range(len(self.dilations))])


def example(*, background=False):
    """A survey whose first element is high at six deposits; holes, and folds of left and right."""
    cube = small_cube(44, 44, elements=("Au", "Cu"), holes=30)
    marks, ids = (np.full((44, 44), -1, dtype=kind) for kind in ("int8", "int16"))
    for k, (row, col) in enumerate(CENTRES):
        block = slice(row - 1, row + 2), slice(col - 1, col + 2)
        marks[block], ids[block] = 1, k
        cube.values[0][block] = 20.0
    if background:
        marks[::5, ::3][marks[::5, ::3] < 0] = 0
    raster = cube.isel(element=0, drop=True)
    ds = cube.to_dataset(name="clr").assign(
        labels=raster.copy(data=marks).assign_coords(deposit=(("y", "x"), ids)),
        folds=raster.copy(data=np.where(np.arange(44) < 23, 0, 1) + np.zeros((44, 1), dtype=int)),
    )
    return ds


def trial(ds=None, detector=None, **how):
    Spy.seen.clear()
    ds = example() if ds is None else ds
    how = {"seeds": [0], "ablations": False, "baselines": False, **how}
    return window_trial(ds, "labels", "folds", detector or Spy(**TINY), **how)


def naive_windows(ds):
    """Yield fold, row, col and label of each test window."""
    known = ds["clr"].notnull().all("element").values
    marks = np.where(known, ds["labels"].values, -1)
    for row in range(0, 44 - SIZE + 1, STEP):
        for col in range(0, 44 - SIZE + 1, STEP):
            cut = slice(row, row + SIZE), slice(col, col + SIZE)
            folds = np.unique(ds["folds"].values[cut][known[cut]])
            if known[cut].mean() <= KNOWN or folds.size > 1 or folds[0] < 0:
                continue
            held = marks[cut]
            usual = (held == 0).any() or not (marks == 0).any()
            label = 1 if (held == 1).any() else 0 if usual else -1
            if label >= 0:
                yield folds[0], row, col, label


@pytest.mark.parametrize("background", [False, True])
def test_every_window_is_counted(background):
    ds = example(background=background)
    table = trial(ds)
    label = np.array([label for *_, label in naive_windows(ds)])
    assert label.size > 40
    spy = table.sel(system="SKT rho=1").squeeze(drop=True)
    assert [int(spy[name]) for name in ("tp", "fn", "fp", "tn")] == [
        label.sum(),
        0,
        0,
        (label == 0).sum(),
    ]
    blind = table.sel(system="SKT rho=2").squeeze(drop=True)
    assert [int(blind[name]) for name in ("tp", "fn", "fp", "tn")] == [
        0,
        label.sum(),
        0,
        (label == 0).sum(),
    ]
    assert spy["accuracy"] == spy["recall"] == spy["macro_f1"] == 1
    assert spy["deposit_auc"] == spy["deposit_recall"] == 1
    assert blind["deposit_auc"] == 0.5
    # One vote of two is no majority; the mean score still ranks.
    both = table.sel(system="SKT").squeeze(drop=True)
    assert both["deposit_recall"] == 0
    assert both["deposit_auc"] == 1


def test_ensemble_is_the_mean_of_its_networks():
    table = trial()
    single = table.sel(system="ResNet-18").squeeze(drop=True)
    assert single["deposit_auc"] == 0.75
    assert single["accuracy"] == table["accuracy"].sel(system=["SKT rho=1", "SKT rho=2"]).mean()
    assert table.sel(system="2 ResNet-18")["gain"] == 0
    assert table["gain"].sel(system="SKT rho=2") == -0.5


def test_gain_is_paired_by_deposit():
    table = trial()
    by_deposit = table["placement"].mean("seed")
    gain = (by_deposit - by_deposit.sel(system="2 ResNet-18")).mean("deposit")
    np.testing.assert_allclose(table["gain"], gain)
    np.testing.assert_allclose(table["placement"].mean("deposit"), table["deposit_auc"])
    assert (table["gain_low"] <= table["gain"] + 1e-12).all()
    assert (table["deposit_auc_high"] >= table["deposit_auc"].mean("seed") - 1e-12).all()


@pytest.mark.parametrize("buffer_cells", [0, 3])
def test_training_sees_nothing_of_the_fold(buffer_cells):
    ds = example()
    trial(ds, buffer_cells=buffer_cells)
    assert len(Spy.seen) == 4  # two systems on two folds
    for (cube, labels, _), fold in zip(Spy.seen, (0, 0, 1, 1)):
        away = ndimage.distance_transform_cdt(ds["folds"].values != fold, metric="chessboard")
        open_ground = away > buffer_cells
        assert cube.values[:, ~open_ground].size
        assert np.isnan(cube.values[:, ~open_ground]).all()
        assert (labels.values[~open_ground] == -1).all()
        known = ds["clr"].notnull().all("element").values & open_ground
        np.testing.assert_array_equal(cube.values[:, known], ds["clr"].values[:, known])
        np.testing.assert_array_equal(labels.values[known], ds["labels"].values[known])


def test_one_half_of_the_ground_is_enough():
    ds = example()
    ds["folds"] = ds["folds"].where(ds["folds"] == 1, -1)
    table = trial(ds)
    label = [label for fold, *_, label in naive_windows(ds)]
    assert int(table[["tp", "fn", "fp", "tn"]].sel(system="SKT").to_array().sum()) == len(label)
    assert set(table.fold.values) == {1}


def test_fold_of_each_deposit_is_told():
    table = trial()
    expected = [int(CENTRES[deposit][1] >= 23) for deposit in table.deposit.values]
    np.testing.assert_array_equal(table.fold, expected)
    assert table["n_deposits"] == table.sizes["deposit"] == 6


def test_the_augmented_test_set_stands_beside_the_plain_one():
    table = trial(copies=(7, 3)).sel(system="SKT rho=1", seed=0)
    assert table.test_set.values.tolist() == ["windows", "copies"]
    plain, copied = (table.sel(test_set=name) for name in ("windows", "copies"))
    assert copied["tp"] + copied["fn"] == 7 * (plain["tp"] + plain["fn"])
    assert copied["fp"] + copied["tn"] == 3 * (plain["fp"] + plain["tn"])
    assert copied["deposit_auc"] == 1


def test_same_table_whichever_way_y_runs_and_however_chunked():
    ds = example(background=True)
    expected = trial(ds, baselines=True)
    for other in (ds.isel(y=slice(None, None, -1)), ds.chunk(y=10, x=15)):
        xr.testing.assert_identical(trial(other, baselines=True), expected)


def test_scikit_learn_learns_the_deposits():
    table = trial(baselines=True, detector=Spy(**TINY, background="all", copies=(3, 1)))
    methods = ["SVM", "kNN", "random forest", "decision tree"]
    assert table.system.values.tolist()[:4] == methods
    auc = table["deposit_auc"].sel(system=methods).squeeze(drop=True)
    assert auc.sel(system="SVM") > 0.95
    assert (auc > 0.55).all()


def test_systems_differ_in_what_their_names_say():
    trial(ablations=True, distillations=[0.3], detector=Spy(**TINY, noise=0.5, seed=9))
    fitted = [spy for *_, spy in Spy.seen[:7]]
    assert [spy.seed for spy in fitted] == [0] * 7
    assert [spy.noise for spy in fitted] == [0.5] * 7
    plain, whole, mask, dilation, transfer, distillation, beta = fitted
    assert (plain.mask, plain.dilations, plain.transfer) == (False, (0, 0), "none")
    assert plain.distillation == 0
    for part, change in (
        (mask, {"mask": False}),
        (dilation, {"dilations": (0, 0)}),
        (transfer, {"transfer": "none"}),
        (distillation, {"distillation": 0.0}),
        (beta, {"distillation": 0.3}),
    ):
        assert part == replace(whole, **change)


def test_real_networks_fill_the_table():
    ds = example()
    ds["folds"] = ds["folds"].where(ds["folds"] == 1, -1)
    detector = SKT(**TINY, epochs=1, source_epochs=1)
    table = trial(ds, detector, seeds=[0, 1], ablations=True, distillations=[0.3])
    assert table.system.values.tolist() == [
        "2 ResNet-18",
        "ResNet-18",
        "SKT",
        "SKT rho=1",
        "SKT rho=2",
        "- mask",
        "- dilation",
        "- transfer",
        "- distillation",
        "beta=0.3",
    ]
    assert table["deposit_auc"].dims == ("system", "seed", "test_set")
    assert table["placement"].dims == ("system", "seed", "test_set", "deposit")
    assert table.to_array().notnull().all()
    for variable in table.data_vars.values():
        assert variable.attrs["units"] == "1"
        assert variable.attrs["long_name"]
    again = trial(ds, detector, seeds=[1])["placement"]
    expected = table["placement"].sel(seed=[1], system=again.system)
    xr.testing.assert_identical(again, expected)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"seeds": []}, "seeds"),
        ({"seeds": [-1]}, "seed=-1"),
        ({"seeds": 3}, "seeds=3"),
        ({"copies": (7,)}, "copies"),
        ({"copies": (0, 3)}, "copies"),
        ({"copies": 7}, "copies=7"),
        ({"buffer_cells": -1}, "buffer_cells=-1"),
        ({"distillations": [-0.1]}, "distillation=-0.1"),
        ({"distillations": 0.3}, "distillations=0.3"),
        ({"detector": "SKT"}, "is no SKT"),
        ({"detector": SKT}, "is no SKT"),
    ],
)
def test_wrong_arguments_are_named(how, message):
    with pytest.raises(XGeoAnomError, match=message):
        trial(**how)
    assert not Spy.seen


def test_folds_must_lie_on_the_grid():
    ds = example()
    with pytest.raises(GridError, match="folds"):
        window_trial(ds, "labels", ds["folds"].isel(x=slice(1, None)), Spy(**TINY))


def test_a_deposit_across_the_edge_is_named():
    ds = example()
    ds["folds"] = ds["folds"].copy(data=(np.arange(44) > 18) + np.zeros((44, 1), dtype=int))
    with pytest.raises(LabelError, match=r"deposits \[2\] lie partly in fold 0"):
        trial(ds)


def test_folds_too_small_for_windows_are_refused():
    ds = example()
    ds["folds"] = ds["folds"].copy(data=np.arange(44) // 4 + np.zeros((44, 1), dtype=int))
    ds["labels"] = ds["labels"].where(ds["labels"].deposit == 4, -1).astype("int8")
    with pytest.raises(LabelError, match="none has both windows of 8 cells"):
        trial(ds)


def test_folds_without_deposits_are_left_out_aloud():
    ds = example()
    ds["folds"] = ds["folds"].where(ds.y > ds.y[40], 2)  # a rim of four rows
    with pytest.warns(UserWarning, match=r"folds \[2\] have no windows"):
        table = trial(ds)
    assert set(table.fold.values) == {0, 1}


def test_training_needs_both_classes():
    ds = example()
    ds["labels"] = ds["labels"].where(ds["labels"].deposit.isin([0, 2, 3, -1]), -1).astype("int8")
    ds["folds"] = ds["folds"].where(ds["folds"] == 0, -1)
    with pytest.raises(LabelError, match="fold 0 and its buffer leave no windows"):
        trial(ds)
    assert not Spy.seen
