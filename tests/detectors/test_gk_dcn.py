"""GK-DCN: its four settings, its background, its loss and its map against patches one by one."""

import sys
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.ndimage import distance_transform_edt
from surveys import small_cube, small_labels
from torch import nn

from xgeoanom.detectors.gk_dcn import GKDCN, STEPS, gk_dcn
from xgeoanom.detectors.patch_maps import randomised
from xgeoanom.errors import EvidenceError, LabelError, WindowError, XGeoAnomError

Small = partial(GKDCN, window=5, min_distance=1500.0, epochs=1, draws=1, batch_size=16, seed=0)
PLAIN = {"knowledge": 0, "background": "anywhere"}


def faults_on(cube, weight=None):
    """Return a dataset with a fault weight that falls off from west to east, or as given."""
    shape = cube.sizes["y"], cube.sizes["x"]
    values = np.broadcast_to(np.exp(-np.arange(shape[1]) / 8), shape).copy()
    coords = {name: cube.coords[name] for name in ("y", "x", "spatial_ref")}
    raster = xr.DataArray(values if weight is None else weight, coords, ("y", "x"))
    return raster.to_dataset(name="fault_weight")


@pytest.fixture(scope="module")
def cube():
    return small_cube(holes=12)


@pytest.fixture(scope="module")
def labels(cube):
    return small_labels(cube)


@pytest.fixture(scope="module")
def faults(cube):
    return faults_on(cube)


def examples_seen(detector, *args, **kwargs):
    """Return the examples that each network learns from."""
    seen, draw = [], detector.draw
    detector.draw = lambda *args: seen.append(draw(*args)) or seen[-1]
    detector.fit(*args, **kwargs)
    del detector.draw
    return seen


# -------------------------------------------------------------------------------- four settings


# 39 elements: what test_patch_cnn counts by hand, and a and b0.
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"deformable": False, "knowledge": 0}, 142_145),
        ({"deformable": True, "knowledge": 0}, 173_303),
        ({"deformable": False, "knowledge": 1}, 142_145 + 2),
        ({"deformable": True, "knowledge": 1}, 173_303 + 2),
        ({"deformable": True, "knowledge": 1, "constraint": "fixed"}, 173_303),
    ],
)
def test_parameters_of_the_four(settings, expected):
    network = GKDCN(**settings).build(39)
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("deformable", [True, False])
@pytest.mark.parametrize("constraint", [None, "free", "fixed", "unlabelled"])
def test_four_models_and_their_constraints(cube, labels, faults, deformable, constraint):
    options = {"knowledge": 0} if constraint is None else {"constraint": constraint}
    detector = Small(deformable=deformable, **options).fit(cube, labels, evidence=faults)
    maps = detector.predict(cube)
    assert np.isfinite(maps["score"].values[cube.notnull().all("element").values]).all()
    (run,) = detector.history_
    learnt = constraint in ("free", "unlabelled")
    assert {"a", "b0"} & set(run) == ({"a", "b0"} if learnt else set())
    if learnt:
        assert run["a"] != pytest.approx(0.1, abs=1e-6)
        assert (maps["score"].attrs["a"], maps["score"].attrs["b0"]) == (run["a"], run["b0"])


def test_plain_settings_need_no_evidence(cube, labels):
    assert Small(**PLAIN).needs == ()
    assert Small(knowledge=0).needs == Small(background="anywhere").needs == ("fault_weight",)
    assert len(Small(**PLAIN).fit(cube, labels).networks_) == 1


def test_predicting_needs_no_evidence(cube, labels, faults):
    assert Small().fit(cube, labels, evidence=faults).predict(cube)["score"].notnull().any()


def test_evidence_may_be_lazy_and_run_either_way(cube, labels, faults):
    north_south = faults * np.linspace(1, 0.2, faults.sizes["y"])[:, None]
    weights = north_south["fault_weight"].rio.write_crs(cube.rio.crs).to_dataset()
    turn = {"y": slice(None, None, -1)}
    seen = [
        examples_seen(Small(), cube.isel(way), labels.isel(way), evidence=given.isel(way))[0]
        for given, way in ((weights, {}), (weights.chunk(y=5), {}), (weights, turn))
    ]
    for other in seen[1:]:
        xr.testing.assert_allclose(other, seen[0])


def test_constraint_is_saved(cube, labels, faults, tmp_path):
    detector = Small(learning_rate=0.1).fit(cube, labels, evidence=faults)
    detector.save(tmp_path / "d")
    constraint = GKDCN.load(tmp_path / "d").networks_[0].constraint
    assert constraint.a.item() == pytest.approx(detector.history_[0]["a"], rel=1e-6)
    assert constraint.b0.item() == pytest.approx(detector.history_[0]["b0"], rel=1e-6)


def test_function_adds_the_score(cube, labels, faults):
    ds = faults.assign(clr=cube, labels=labels)
    params = {"min_distance": 1500.0, "epochs": 1, "draws": 2, "seed": 0}
    out = gk_dcn(ds, "labels", window=5, knowledge=0.5, name="mine", **params)
    assert set(out) - set(ds) == {"mine", "mine_std"}


# ------------------------------------------------------------------------------------ the loss


@pytest.mark.parametrize("constraint", ["free", "fixed"])
def test_loss_by_hand(cube, faults, constraint):
    labels = small_labels(cube, background=True)
    detector = Small(knowledge=0.3, constraint=constraint)
    (examples,) = examples_seen(detector, cube, labels, evidence=faults)
    network = detector.build(cube.sizes["element"]).eval()
    loss_of, n = detector._loss(network, examples, torch.Generator())
    assert n == examples.sizes["example"] == int((labels >= 0).where(detector_valid(cube)).sum())
    batch = torch.tensor([3, 0, n - 1])
    chosen = examples.isel(example=batch.numpy())
    patches = np.nan_to_num(chosen["values"].values)
    p = network(torch.from_numpy(patches)).sigmoid().detach().numpy().astype("float64")
    y, w = chosen["label"].values, chosen["fault_weight"].values
    np.testing.assert_allclose(w, faults["fault_weight"].values[chosen.row, chosen.col], rtol=1e-6)
    g = w if constraint == "fixed" else 1 / (1 + np.exp(-0.1 * w))
    bce = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert loss_of(batch).item() == pytest.approx(bce + 0.3 * ((p - g) ** 2).mean(), rel=1e-5)


def detector_valid(cube):
    return cube.notnull().all("element")


def test_unlabelled_cells_enter_the_fault_term_alone(cube, labels, faults):
    detector = Small(constraint="unlabelled", knowledge=1.0)
    (examples,) = examples_seen(detector, cube, labels, evidence=faults)
    label = examples["label"].values
    assert (label == 1).sum() == (label == 0).sum() > 0
    drawn = label == -1
    valid = cube.notnull().all("element").values
    assert drawn.sum() == valid.sum() - (label >= 0).sum()  # a small survey: all of them
    network = detector.build(cube.sizes["element"]).eval()
    with torch.no_grad():
        network.patch_cnn.logit.weight.zero_()
        network.patch_cnn.logit.bias.fill_(1.0)
    loss_of, n = detector._loss(network, examples, torch.Generator().manual_seed(0))
    assert n == (label >= 0).sum()
    # P is one number everywhere; g depends on the weights of the cells drawn.
    picks = torch.randint(int(drawn.sum()), (n,), generator=torch.Generator().manual_seed(0))
    w = examples["fault_weight"].values[np.flatnonzero(drawn)[picks.numpy()]]
    p = 1 / (1 + np.exp(-1.0))
    expected = -0.5 * (np.log(p) + np.log(1 - p))
    expected += ((p - 1 / (1 + np.exp(-0.1 * w))) ** 2).mean()
    assert loss_of(torch.arange(n)).item() == pytest.approx(expected, rel=1e-5)


def test_slope_grows_where_labels_follow_faults():
    """Deposits stand on a fault and differ in two elements: a must rise from 0.1."""
    cube = small_cube(30, 30, seed=3)
    labels = small_labels(cube, background=True)
    weight = np.where(labels.values == 1, 1.0, 0.0)
    shown = (labels == 1) & cube.element.isin(["Au", "As"])
    cube = (cube + 4.0 * shown).transpose("element", "y", "x").assign_attrs(cube.attrs)
    fitted = {}
    for name, evidence in (("true", weight), ("wrong", 1 - weight)):
        detector = Small(deformable=False, knowledge=5.0, epochs=25, learning_rate=0.05)
        detector.fit(cube, labels, evidence=faults_on(cube, evidence))
        fitted[name] = detector.history_[0]["a"]
    assert fitted["true"] > 0.5
    assert 0 <= fitted["wrong"] < 0.1


# ---------------------------------------------------------------------------------- background


@pytest.mark.parametrize("background", ["faults", "anywhere"])
@pytest.mark.parametrize("min_distance", [1500.0, None])
def test_background_keeps_the_rules(background, min_distance):
    cube = small_cube(60, 50, holes=40)
    labels, faults = small_labels(cube), faults_on(cube)
    detector = Small(background=background, min_distance=min_distance, draws=3)
    valid = cube.notnull().all("element").values
    weight = faults["fault_weight"].values
    far = distance_transform_edt(labels.values != 1, sampling=500.0)
    places, on_faults = [], []
    for examples in examples_seen(detector, cube, labels, evidence=faults):
        drawn = examples.isel(example=examples["label"].values == 0)
        rows, cols = drawn["row"].values, drawn["col"].values
        assert len(rows) == (examples["label"] == 1).sum()
        assert valid[rows, cols].all()
        assert (far[rows, cols] > (min_distance or (5 + 3) * 500.0)).all()
        on_faults += list(weight[rows, cols] > np.median(weight[valid]))
        gaps = np.abs(rows[:, None] - rows), np.abs(cols[:, None] - cols)
        near = (np.maximum(*gaps) <= 1).sum(axis=1) - 1
        assert near.mean() > 3  # of 8, in clusters
        places.append(set(zip(rows.tolist(), cols.tolist(), strict=True)))
    assert any(on_faults) == (background == "anywhere")
    assert len(set(map(frozenset, places))) == 3


def test_patches_of_background_meet_no_deposits_patch_by_default():
    cube = small_cube(60, 50)
    (examples,) = examples_seen(Small(min_distance=None, **PLAIN), cube, small_labels(cube))
    place = np.column_stack([examples["row"], examples["col"]])
    ore, rest = (place[examples["label"].values == kind] for kind in (1, 0))
    assert np.hypot(*(ore[:, None] - rest).transpose(2, 0, 1)).min() > 5 + 3


def test_too_little_ground_is_told_before_training(cube, labels):
    with pytest.raises(LabelError, match="min_distance=1e\\+06"):
        Small(min_distance=1e6, **PLAIN).fit(cube, labels)


def test_given_background_is_used_as_it_is(cube, faults):
    labels = small_labels(cube, background=True)
    (examples,) = examples_seen(Small(draws=4), cube, labels, evidence=faults)
    marked = (labels.values >= 0) & cube.notnull().all("element").values
    assert sorted(zip(examples.row.values, examples.col.values, strict=True)) == sorted(
        map(tuple, np.argwhere(marked))
    )


# ------------------------------------------------------------------------------------- the map


@pytest.mark.parametrize("settings", [{}, {"deformable": False}, {"window": 9, "body": "archive"}])
def test_map_equals_patches_one_by_one(cube, labels, settings):
    fitted = Small(**{**PLAIN, **settings}).fit(cube, labels)
    detector = randomised(fitted, seed=1)  # moved points, too
    halo = detector.window // 2
    values = (cube.values - detector.mean_[:, None, None]) / detector.scale_[:, None, None]
    padded = np.nan_to_num(np.pad(values, [(0, 0), (halo, halo), (halo, halo)])).astype("float32")
    score = detector.predict(cube)["score"].values
    missing = cube.isnull().any("element").values
    np.testing.assert_array_equal(np.isnan(score), missing)
    network = detector.networks_[0]
    for row, col in [*np.argwhere(~missing)[::29], (0, 0), (23, 19)]:
        if missing[row, col]:
            continue
        patch = padded[:, row : row + detector.window, col : col + detector.window]
        with torch.no_grad():
            expected = network(torch.from_numpy(patch[None])).sigmoid().item()
        assert score[row, col] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("steps", "share"), [(STEPS, 0.03), (1024, 0.006)])
def test_integrated_gradients_are_complete(cube, labels, steps, share, monkeypatch):
    """Up to the error of steps, which falls as their number grows."""
    # The package has a function of the module's name.
    monkeypatch.setattr(sys.modules[GKDCN.__module__], "STEPS", steps)
    detector = Small(**PLAIN, learning_rate=0.01, epochs=3).fit(cube, labels)
    rows, cols = [2, 9, 20], [3, 12, 7]
    at = [(float(cube.x[c]), float(cube.y[r])) for r, c in zip(rows, cols, strict=True)]
    shares = detector.explain(cube, at, how="integrated_gradients")
    score = detector.predict(cube)["score"].values[rows, cols].astype("float64")
    network = detector.networks_[0]
    with torch.no_grad():
        start = network(torch.zeros(1, cube.sizes["element"], 5, 5)).item()
    risen = np.log(score / (1 - score)) - start
    np.testing.assert_allclose(shares.sum("element"), risen, atol=share * np.abs(risen).max())


def test_runs_side_by_side_do_not_share_dropout(cube, labels):
    """Several draws train on threads of their own: their losses must not depend on turns."""
    losses = [
        [run["loss"] for run in Small(**PLAIN, draws=4, epochs=3).fit(cube, labels).history_]
        for _ in range(3)
    ]
    assert losses[0] == losses[1] == losses[2]


def test_no_network_keeps_a_generator(cube, labels):
    (network,) = Small(**PLAIN).fit(cube, labels).networks_
    assert [m.generator for m in network.modules() if isinstance(m, nn.Dropout)] == [None]


def test_a_last_batch_of_one_is_no_obstacle(cube):
    """Behind the pooling of a 3 x 3 patch, batch normalisation has one value a patch."""
    labels = small_labels(cube, background=True).where(cube.notnull().all("element"), -1)
    n = int((labels >= 0).sum())
    detector = Small(window=3, batch_size=n - 1, **PLAIN).fit(cube, labels.astype("int8"))
    assert np.isfinite(detector.history_[0]["loss"]).all()


# -------------------------------------------------------------------------------------- errors


class TestBadInput:
    def test_missing_evidence(self, cube, labels):
        with pytest.raises(EvidenceError, match="'fault_weight'"):
            Small().fit(cube, labels)
        with pytest.raises(EvidenceError, match="'fault_weight'"):
            gk_dcn(cube.to_dataset(name="clr"), labels)

    def test_an_array_is_no_dataset(self, cube, labels, faults):
        with pytest.raises(EvidenceError, match="DataArray, no Dataset"):
            Small().fit(cube, labels, evidence=faults["fault_weight"])

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda faults: faults.isel(y=slice(1, None)),
            lambda faults: faults.isel(y=slice(None, None, -1)),
            lambda faults: faults.assign_coords(x=faults.x + 250),
            lambda faults: faults.rio.write_crs(32651),
            lambda faults: faults.expand_dims("time"),
        ],
        ids=["shape", "order", "shift", "crs", "dims"],
    )
    def test_evidence_on_another_grid(self, cube, labels, faults, spoil):
        with pytest.raises(EvidenceError, match="evidence fault_weight"):
            Small().fit(cube, labels, evidence=spoil(faults))

    def test_evidence_missing_at_a_deposit(self, cube, labels, faults):
        holed = faults.copy(deep=True)
        holed["fault_weight"][4, 4] = np.nan
        with pytest.raises(EvidenceError, match=r"fault_weight is missing in 1 of \d+ labelled"):
            Small().fit(cube, labels, evidence=holed)

    def test_no_background_is_drawn_where_evidence_is_missing(self, cube, labels, faults):
        known = (labels == 1) | (faults["y"] < faults["y"].mean())
        detector = Small(background="anywhere", min_distance=1000.0)
        (examples,) = examples_seen(detector, cube, labels, evidence=faults.where(known))
        assert known.values[examples["row"], examples["col"]].all()

    def test_a_distance_is_no_weight(self, cube, labels, faults):
        with pytest.raises(EvidenceError, match=r"must lie in \[0, 1\]"):
            Small().fit(cube, labels, evidence=faults * 5000)

    @pytest.mark.parametrize(
        ("params", "kind", "match"),
        [
            ({"window": 4}, WindowError, "odd"),
            ({"window": 1}, WindowError, "at least 3"),
            ({"window": 9.0}, WindowError, "odd"),
            ({"window": 7, "body": "archive"}, WindowError, "try 9"),
            ({"body": "resnet"}, XGeoAnomError, "body='resnet'"),
            ({"constraint": "none"}, XGeoAnomError, "constraint='none'"),
            ({"background": "near"}, XGeoAnomError, "background='near'"),
            ({"knowledge": -1}, XGeoAnomError, "knowledge=-1"),
            ({"min_distance": -1.0}, XGeoAnomError, "min_distance=-1"),
            ({"learning_rate": 0}, XGeoAnomError, "learning_rate=0"),
            ({"batch_size": 1}, XGeoAnomError, "batch_size=1"),
            ({"epochs": 1.5}, XGeoAnomError, "epochs=1.5"),
        ],
    )
    def test_wrong_fields(self, params, kind, match):
        with pytest.raises(kind, match=match):
            GKDCN(**params)

    def test_window_larger_than_the_survey(self, cube, labels):
        with pytest.raises(WindowError, match="larger than the survey"):
            Small(window=25, **PLAIN).fit(cube, labels)


def test_unlabelled_cells_must_be_there(cube, labels):
    marked = labels.where(labels == 1, 0).astype("int8")
    with pytest.raises(LabelError, match="unlabelled"):
        Small(constraint="unlabelled").fit(cube, marked, evidence=faults_on(cube))


def test_weights_missing_everywhere_are_told(cube, labels):
    weight = np.full((cube.sizes["y"], cube.sizes["x"]), np.nan)
    with pytest.raises(EvidenceError, match="missing everywhere"):
        Small().fit(cube, labels, evidence=faults_on(cube, weight))


def test_divergence_is_told(cube, labels):
    with pytest.raises(XGeoAnomError, match="learning_rate"):
        Small(**PLAIN, learning_rate=1e18, epochs=3).fit(cube, labels)


def test_device_is_told_before_training(cube, labels):
    with pytest.raises(XGeoAnomError, match="device='gpu'"):
        Small(**PLAIN, device="gpu").fit(cube, labels)
