"""SKT: windows to learn, a planted pattern, interruption, score layers and files."""

import copy
import os
from functools import partial

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from safetensors import safe_open
from surveys import small_cube, small_labels

from xgeoanom.detectors.skt import SKT, skt
from xgeoanom.detectors.training_set import window_values, windows_on
from xgeoanom.detectors.transfer_training import Crops, Descent
from xgeoanom.errors import LabelError, WindowError, XGeoAnomError
from xgeoanom.evaluation.metrics import rank_auc
from xgeoanom.geology.labels import deposit_ids

Small = partial(
    SKT,
    window=8,
    step=4,
    crop=6,
    dilations=(0, 1),
    width=2,
    epochs=3,
    source_epochs=2,
    batch_size=16,
    learning_rate=0.05,
    draws=1,
    seed=0,
)


@pytest.fixture(scope="module")
def cube():
    return small_cube(holes=12)


@pytest.fixture(scope="module")
def labels(cube):
    return small_labels(cube)


def assert_same_fit(one, other):
    for networks in zip(one.networks_, other.networks_, strict=True):
        first, second = (network.state_dict() for network in networks)
        assert first.keys() == second.keys()
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name
    assert one.history_ == other.history_


@pytest.mark.parametrize("size", [(24, 7), (7, 20)])
def test_windows_larger_than_the_survey_are_told(cube, labels, size):
    cut = {"y": slice(0, size[0]), "x": slice(0, size[1])}
    part = labels.isel(cut).copy()
    part[3, 3] = 1
    with pytest.raises(WindowError, match=rf"window=8.*{size[0]} x {size[1]} cells"):
        Small().fit(cube.isel(cut), part)
    part = labels.isel(y=slice(0, 8)).copy()
    with pytest.raises(LabelError, match="no window without"):  # the size is no obstacle
        Small(step=8).fit(cube.isel(y=slice(0, 8), x=slice(0, 8)), part.isel(x=slice(0, 8)))


# ------------------------------------------------------------------------------ windows to learn


@pytest.fixture
def runs(monkeypatch):
    """Number of examples of each run, none of which trains."""
    numbers = []

    def run(self, network, loss_of, n_examples, epochs, rng, checkpoint):
        numbers.append(n_examples)
        return [0.0] * epochs

    monkeypatch.setattr(Descent, "run", run)
    return numbers


def test_counts_of_the_paper(runs):
    """437 windows, 78 of them with mines; 2 169 copies (section 2.2), at a 16th of the size."""
    cube = small_cube(160, 192, elements=("Au",))
    marks = np.full((160, 192), -1, dtype="int8")
    inner = [(row, col) for row in (20, 60, 100) for col in range(20, 170, 24)][:19]
    for row, col in inner:
        marks[row, col] = 1  # in two by two windows
    marks[0, 20] = 1  # in two windows
    labels = cube.isel(element=0, drop=True).copy(data=marks)
    paper = SKT.paper(window=16, step=8, crop=14, dilations=(0, 1), width=2, seed=0)
    seen, windows_of = [], paper.training_windows
    paper.training_windows = lambda *args: seen.append(windows_of(*args)) or seen[-1]
    paper.fit(cube, labels)
    assert runs == [437, 2169]
    assert (seen[0]["label"] == 1).sum() == 78
    assert seen[0]["values"].shape == (437, 1, 16, 16)
    runs.clear()
    SKT.paper(window=16, step=8, crop=14, dilations=(0,), width=2, background="drawn", seed=0).fit(
        cube, labels
    )
    assert runs == [156, 78 * 14 + 78 * 3]


def test_windows_are_those_of_the_cube(cube, labels, runs):
    detector = Small()
    seen, draw = [], detector.draw
    detector.draw = lambda *args: seen.append(draw(*args)) or seen[-1]
    detector.fit(cube.isel(y=slice(None, None, -1)), labels.isel(y=slice(None, None, -1)))
    ((windows, source),) = seen
    for k, (row, col) in enumerate(zip(windows["row"].values, windows["col"].values)):
        assert row % 4 == 0 == col % 4
        part = cube.values[:, row : row + 8, col : col + 8]
        expected = (part - detector.mean_[:, None, None]) / detector.scale_[:, None, None]
        missing = np.isnan(part)  # set to the mean in training
        found = windows["values"].values[k]
        np.testing.assert_allclose(found[~missing], expected[~missing], rtol=1e-5, atol=1e-6)
        assert (found[missing] == 0).all()
        held = labels.values[row : row + 8, col : col + 8]
        known = ~missing.any(axis=0)
        assert windows["label"][k] == (1 if (held[known] == 1).any() else 0)
    assert source.classify.out_features == 4


def test_given_background_is_used_whole_and_once(cube, runs):
    labels = small_labels(cube, background=True)
    detector = Small(draws=4).fit(cube, labels)
    assert len(detector.networks_) == 1
    known = cube.notnull().all("element")
    marked = labels.where(known, -1)
    windows = windows_on(marked, known, size=8, step=4)
    assert runs == [(windows["label"] >= 0).sum()] * 2
    assert (windows["label"] == -1).any()


@pytest.mark.parametrize(("row", "col"), [(22, 3), (3, 19)])
def test_deposits_in_no_window_are_told(row, col):
    cube = small_cube(23, 21)  # the last rows and columns lie in no window
    labels = small_labels(cube)
    labels[:] = -1
    labels[row if row > 20 else 22, col if col > 18 else 20] = 1
    with pytest.raises(LabelError, match="no window with deposits"):
        Small(window=10, step=10, crop=6).fit(cube, labels)


# ------------------------------------------------------------------------------------- learning


def planted():
    """Gold up and copper down around each of some deposits, and the deposits as labels."""
    rng = np.random.default_rng(0)
    cube = small_cube(64, 96, elements=("Au", "Cu"), seed=3)
    marks = np.full((64, 96), -1, dtype="int8")
    square = np.arange(-2, 3)[:, None] ** 2 + np.arange(-2, 3) ** 2
    for row in range(6, 60, 17):
        for col in range(6, 92, 15):
            at = row + rng.integers(3), col + rng.integers(3)
            marks[at] = 1
            around = slice(at[0] - 2, at[0] + 3), slice(at[1] - 2, at[1] + 3)
            cube.values[0][around] += 12 * np.exp(-square / 2)
            cube.values[1][around] -= 12 * np.exp(-square / 2)
    return cube, cube.isel(element=0, drop=True).copy(data=marks)


@pytest.fixture(scope="module")
def taught():
    """A detector that learned from the western half, and the eastern half."""
    cube, labels = planted()
    west, east = {"x": slice(0, 48)}, {"x": slice(48, 96)}
    settings = {"crop": 8, "width": 4, "epochs": 12, "source_epochs": 2, "halve_every": 4}
    detector = Small(**settings).fit(cube.isel(west), labels.isel(west))
    return detector, cube.isel(east), labels.isel(east)


def test_a_planted_pattern_is_found_elsewhere(taught):
    detector, cube, labels = taught
    windows = windows_on(labels, cube.notnull().all("element"), size=8, step=4)
    rows, cols = windows["row"].values, windows["col"].values
    values = window_values(cube, rows, cols, detector.standardise, size=8)
    scores = detector.window_scores(values)
    assert scores.shape == (2, len(rows))
    holds = windows["label"].values == 1
    for score in [*scores, scores.mean(axis=0)]:
        assert rank_auc(score[holds], score[~holds]) > 0.9
    mean = detector.predict(cube)["mean"].values
    far = labels.copy(data=labels.values == 1).rolling(y=9, x=9, center=True, min_periods=1).max()
    assert rank_auc(mean[labels.values == 1], mean[far.values == 0]) > 0.9
    (run,) = detector.history_
    assert run["loss"][-1] < run["loss"][0] / 2
    assert len(run["source_loss"]) == 2
    assert any(share < 1 for shares in run["kept"].values() for share in shares)


def test_scores_are_those_of_windows(taught):
    """A cell's score, from probabilities of the windows that cover it."""
    detector, cube, _ = taught
    maps = detector.predict(cube)
    values = detector.standardise(cube.values)
    rows, cols = (np.repeat([12, 16], 2), np.tile([20, 24], 2))
    windows = np.stack([values[:, r : r + 8, c : c + 8] for r, c in zip(rows, cols)])
    found = detector.window_scores(windows)
    for cell in ({"y": 16, "x": 24}, {"y": 19, "x": 27}):
        assert float(maps["mean"].isel(cell)) == pytest.approx(found.mean(), abs=1e-5)
        assert float(maps["score"].isel(cell)) == pytest.approx((found > 0.5).mean(), abs=1e-6)
    (network,) = detector.networks_
    with torch.inference_mode():
        expected = network(torch.from_numpy(windows)).softmax(dim=2)[..., 1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_integrated_gradients_add_up_to_the_logit(taught, masked):
    detector, cube, labels = taught
    detector = copy.deepcopy(detector)
    (network,) = detector.networks_
    if masked:  # an element that nothing looks at has no share
        network.mask.weight.data[1] = 0
    cells = [*np.argwhere(labels.values == 1)[::2], (0, 0), (63, 47), (30, 24)]
    at = [(float(cube.x[col]), float(cube.y[row])) for row, col in cells]
    shares = detector.explain(cube, at)
    assert shares.dims == ("location", "element")
    assert (abs(shares[:, 1]).max() == 0) == masked
    wide = np.pad(detector.standardise(cube.values), [(0, 0), (4, 4), (4, 4)])
    windows = np.stack([wide[:, row : row + 8, col : col + 8] for row, col in cells])
    with torch.inference_mode():
        ends, starts = (
            network(torch.from_numpy(x)).diff(dim=2)[..., 0].mean(dim=0).numpy()
            for x in (windows, np.zeros_like(windows))
        )
    gap = abs(shares.sum("element").values - (ends - starts))
    assert abs(ends - starts).max() > 5
    assert gap.mean() < 0.05 * abs(ends - starts).mean()


@pytest.mark.parametrize("draws", [1, 2])
def test_layers(cube, labels, draws):
    detector = Small(draws=draws).fit(cube, labels)
    maps = detector.predict(cube)
    assert list(maps) == (["score", "mean"] if draws == 1 else ["score", "std", "mean"])
    for name in ("score", "mean"):
        known = maps[name].values[cube.notnull().all("element").values]
        assert maps[name].dtype == "float32"
        assert np.isfinite(known).mean() > 0.9
        assert np.nanmin(known) >= 0
        assert np.nanmax(known) <= 1
    if draws == 2:
        each = []
        for network in detector.networks_:
            one = copy.copy(detector)
            one.networks_ = [network]
            each.append(one.predict(cube))
        for name in ("score", "mean"):
            expected = (each[0][name] + each[1][name]) / 2
            np.testing.assert_allclose(maps[name], expected, atol=1e-6)
        spread = abs(each[0]["score"] - each[1]["score"]) / 2
        np.testing.assert_allclose(maps["std"], spread, atol=1e-6)


def test_draws_do_not_heed_each_other(cube, labels):
    at_once = Small(draws=2).fit(cube, labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "xgeoanom.detectors.base.run_all",
            lambda func, tasks: [func(*task) for task in tasks],
        )
        assert_same_fit(Small(draws=2).fit(cube, labels), at_once)
    first, second = (network.state_dict() for network in at_once.networks_)
    assert not torch.equal(first["bodies.0.conv1.weight"], second["bodies.0.conv1.weight"])
    with dask.config.set(scheduler="synchronous"):
        lazy = at_once.predict(cube.chunk(y=9, x=7)).compute()
    xr.testing.assert_allclose(lazy, at_once.predict(cube), atol=1e-5)


@pytest.mark.parametrize("part", [{"mask": False}, {"transfer": "none"}, {"dilations": (0, 0)}])
def test_parts_switched_off_are_not_there(cube, labels, part):
    (network,) = Small(**part, epochs=1, source_epochs=1).fit(cube, labels).networks_
    names = {name.split(".")[0] for name in network.state_dict()}
    assert ("mask" in names) == (part.get("mask", True))
    assert ("fronts" in names) == ("dilations" not in part)


# ------------------------------------------------------------------------------- interruption


def interrupted(monkeypatch, after):
    """Let training be interrupted after so many batches; return their sizes, as they come."""
    of, batches = Crops.of, []

    def counted(self, members):
        if len(batches) == after:
            raise KeyboardInterrupt
        batches.append(len(members))
        return of(self, members)

    monkeypatch.setattr(Crops, "of", counted)
    return batches


def test_interrupted_training_goes_on(cube, labels, tmp_path, monkeypatch):
    """In the source's second epoch, and in the targets' first and last."""
    with monkeypatch.context() as patch:
        batches = interrupted(patch, None)
        undisturbed = Small().fit(cube, labels)
    expected = undisturbed.predict(cube)
    total = len(batches)
    each = total // 5  # two epochs of the source, three of the targets
    assert total == 5 * each > 5
    for after in (each + 1, 2 * each + 1, 4 * each + 1):
        folder = tmp_path / f"after {after}"
        detector = Small(checkpoint=str(folder))
        with monkeypatch.context() as patch:
            interrupted(patch, after)
            with pytest.raises(KeyboardInterrupt):
                detector.fit(cube, labels)
        with monkeypatch.context() as patch:
            batches = interrupted(patch, None)
            resumed = Small(checkpoint=str(folder)).fit(cube, labels)
            assert len(batches) == total - after // each * each
        assert_same_fit(resumed, undisturbed)
        maps = resumed.predict(cube)
        xr.testing.assert_identical(maps, expected)  # attrs, too: the folder is not in them
        resumed.save(tmp_path / "model.safetensors")
        assert str(tmp_path).encode() not in (tmp_path / "model.safetensors").read_bytes()
        assert "checkpoint" not in resumed.hyperparameters()


def test_several_draws_go_on(cube, labels, tmp_path, monkeypatch):
    undisturbed = Small(draws=2).fit(cube, labels)
    with monkeypatch.context() as patch:
        interrupted(patch, 13)
        with pytest.raises(KeyboardInterrupt):
            Small(draws=2, checkpoint=tmp_path).fit(cube, labels)
    assert os.listdir(tmp_path)
    assert_same_fit(Small(draws=2, checkpoint=tmp_path).fit(cube, labels), undisturbed)


def test_other_labels_settings_and_sources_start_anew(cube, labels, tmp_path, monkeypatch):
    """Nothing of a run is taken over by another that shares its folder."""
    other = labels.roll(x=3, roll_coords=False)
    everything = partial(Small, background="all", checkpoint=tmp_path / "runs")
    everything().fit(cube, labels)
    assert_same_fit(everything().fit(cube, other), Small(background="all").fit(cube, other))
    path = str(tmp_path / "source.safetensors")
    plain = partial(SKT.plain, window=8, step=4, crop=6, width=2, epochs=1, draws=1)
    for seed in (0, 1):
        plain(seed=seed).fit(cube, labels).save(path)
        fresh = Small(source=path).fit(cube, labels)
        assert_same_fit(everything(background="drawn", source=path).fit(cube, labels), fresh)


# ---------------------------------------------------------------------------------------- files


def test_files_hold_folded_networks_and_need_no_source(cube, labels, tmp_path):
    source, path = tmp_path / "source.safetensors", tmp_path / "skt.safetensors"
    plain = SKT.plain(window=8, step=4, crop=6, width=2, epochs=1, draws=1, seed=1)
    plain.fit(cube, labels).save(source)
    detector = Small(source=source).fit(cube, labels)
    detector.save(path)
    with safe_open(path, framework="pt") as file:
        keys = list(file.keys())
    assert not [key for key in keys if "parametrizations" in key or key.endswith((".s", "source"))]
    assert "network0.bodies.1.layer1.0.conv1.weight" in keys
    source.unlink()
    loaded = SKT.load(path)
    xr.testing.assert_identical(loaded.predict(cube), detector.predict(cube))
    assert loaded.history_ == detector.history_
    assert loaded.hyperparameters() == detector.hyperparameters()
    values = np.zeros((3, 6, 8, 8), dtype="float32")
    np.testing.assert_array_equal(loaded.window_scores(values), detector.window_scores(values))


def test_skt_adds_its_layers(cube, labels):
    ds = cube.to_dataset(name="clr").assign(labels=labels)
    small = {"dilations": (0, 1), "width": 2, "epochs": 1, "source_epochs": 1, "seed": 0}
    out = skt(ds, "labels", window=8, step=4, crop=6, **small)
    assert set(out) - set(ds) == {"skt", "skt_mean"}
    assert out["skt"].attrs["method"] == "skt"
    xr.testing.assert_identical(out[["clr", "labels"]], ds)
    named = skt(ds, labels, window=8, step=4, crop=6, name="mine", draws=2, **small)
    assert set(named) - set(ds) == {"mine", "mine_std", "mine_mean"}


def test_deposits_in_no_window_are_warned_of(cube, labels):
    edge = labels.drop_vars("deposit", errors="ignore").copy()
    edge[-1, -1] = 1  # of 24 x 20 cells; windows of 8 every 8 leave four columns
    number = int(deposit_ids(edge)[-1, -1])
    with pytest.warns(UserWarning, match=rf"deposits \[{number}\] lie in no window of 8 cells"):
        Small(step=8, epochs=1, source_epochs=1).fit(cube, edge)


def test_a_checkpoint_needs_a_seed(cube, labels, tmp_path):
    with pytest.raises(XGeoAnomError, match="needs a seed.*seed=0"):
        Small(seed=None, checkpoint=tmp_path).fit(cube, labels)
    assert not list(tmp_path.iterdir())
