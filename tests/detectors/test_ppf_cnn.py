"""PPF-CNN against naive double loops and the counts of the paper."""

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from surveys import small_cube, small_labels

import xgeoanom as xga
from xgeoanom.detectors import PPFCNN
from xgeoanom.detectors.dissimilarity import BATCH
from xgeoanom.errors import LabelError, WindowError, XGeoAnomError
from xgeoanom.kernels.dual_window import ring_offsets
from xgeoanom.nets.conv import PairCNN


def p_dissimilar(network, pair, target, other):
    """p(dissimilar) of one pair, by the definition of METHODS 1."""
    target, other = torch.from_numpy(target), torch.from_numpy(other)
    seen = {
        "abs": (target - other).abs()[None],
        "diff": (target - other)[None],
        "stack": torch.stack([target, other]),
    }[pair]
    with torch.no_grad():
        return torch.sigmoid(network(seen[None])).item()


def naive_dual_window(network, block, pair, inner, outer, halo):
    """Double loop over cells and their neighbours."""
    ny, nx = block.shape[1] - 2 * halo, block.shape[2] - 2 * halo
    score = np.full((ny, nx), np.nan)
    valid = ~np.isnan(block).any(axis=0)
    offsets = ring_offsets(inner, outer)
    for row, col in np.argwhere(valid[halo : halo + ny, halo : halo + nx]):
        at = row + halo, col + halo
        found = [
            p_dissimilar(network, pair, block[:, *at], block[:, at[0] + dy, at[1] + dx])
            for dy, dx in offsets
            if valid[at[0] + dy, at[1] + dx]
        ]
        if len(found) >= 0.25 * len(offsets):
            score[row, col] = np.mean(found)
    return score


def random_block(ny, nx, halo, n_elements=7, seed=0, holes=0.2):
    """A standardised block, NaN around and in holes."""
    rng = np.random.default_rng(seed)
    block = np.full((n_elements, ny + 2 * halo, nx + 2 * halo), np.nan, dtype="float32")
    inside = rng.normal(size=(n_elements, ny, nx)).astype("float32")
    inside[:, rng.random((ny, nx)) < holes] = np.nan
    block[:, halo : halo + ny, halo : halo + nx] = inside
    return block


def random_network(pair, seed=0):
    torch.manual_seed(seed)
    network = PairCNN(2 if pair == "stack" else 1).eval()
    with torch.no_grad():
        network.classify.weight *= 5  # spread the scores over (0, 1)
    return network


@pytest.mark.parametrize("pair", ["abs", "diff", "stack"])
@pytest.mark.parametrize(
    ("shape", "windows"), [((7, 5), (1, 5)), ((3, 9), (1, 5)), ((6, 8), (5, 7))]
)
def test_dual_window_equals_a_double_loop(pair, shape, windows):
    halo = windows[1] // 2
    block, network = random_block(*shape, halo), random_network(pair)
    detector = PPFCNN(inner=windows[0], outer=windows[1], pair=pair)
    expected = naive_dual_window(network, block, pair, *windows, halo)
    got = detector.score_block(network, block, {}, None)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert np.isfinite(expected).any()


def test_several_windows_at_once_equal_each_alone():
    windows = [(1, 3), (3, 7), (1, 7), (5, 7)]
    block, network = random_block(9, 8, 3), random_network("abs")
    together = PPFCNN(inner=1, outer=7).window_scores(network, block, windows)
    for (inner, outer), score in zip(windows, together, strict=True):
        cut = 3 - outer // 2
        inside = block[:, cut : block.shape[1] - cut, cut : block.shape[2] - cut]
        alone = PPFCNN(inner=inner, outer=outer).score_block(network, inside, {}, None)
        np.testing.assert_allclose(score, alone, atol=1e-6)


@pytest.mark.parametrize("pair", ["abs", "diff"])
def test_batch_size_does_not_matter(pair, monkeypatch):
    block, network = random_block(8, 9, 2), random_network(pair)
    detector = PPFCNN(inner=3, outer=5, pair=pair)
    whole = detector.score_block(network, block, {}, None)
    monkeypatch.setitem(BATCH, "cpu", 37)
    np.testing.assert_allclose(detector.score_block(network, block, {}, None), whole, atol=1e-6)


def test_prototype_score_equals_its_definition():
    block, network = random_block(4, 5, 0), random_network("diff")
    rng = np.random.default_rng(1)
    ore, rest = (rng.normal(size=(n, 7)).astype("float32") for n in (3, 4))
    network.register_buffer("mineralised", torch.from_numpy(ore))
    network.register_buffer("background", torch.from_numpy(rest))
    got = PPFCNN(pair="diff", score="prototype").score_block(network, block, {}, None)
    expected = np.full((4, 5), np.nan)
    for row, col in np.argwhere(~np.isnan(block).any(axis=0)):
        to = [
            np.mean([p_dissimilar(network, "diff", block[:, row, col], b) for b in group])
            for group in (rest, ore)
        ]
        expected[row, col] = (1 + to[0] - to[1]) / 2
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_abs_does_not_know_order_and_diff_does():
    block = random_block(5, 5, 1)
    for pair in ("abs", "diff"):
        network = random_network(pair)
        detector = PPFCNN(inner=1, outer=3, pair=pair)
        same = np.allclose(
            detector.score_block(network, block, {}, None),
            detector.score_block(network, -block, {}, None),
            equal_nan=True,
        )
        assert same == (pair == "abs")


@pytest.fixture(scope="module")
def survey():
    """An easy survey: deposits stand out in two elements."""
    cube = small_cube(30, 30, seed=3)
    labels = small_labels(cube)
    return cube + 4.0 * (labels == 1) * (cube.element.isin(["Au", "As"])), labels


@pytest.fixture(scope="module")
def easy(survey):
    cube, labels = survey
    return cube.assign_attrs(log_ratio="clr"), labels


@pytest.fixture(scope="module")
def trained(easy):
    params = {"inner": 5, "outer": 9, "draws": 1, "epochs": 10, "batch_size": 16, "seed": 0}
    return PPFCNN(**params).fit(*easy)


def test_it_learns_what_is_there_to_learn(easy, trained):
    cube, labels = easy
    score = trained.predict(cube)["score"].values
    ore = labels.values == 1
    assert score[ore].mean() > score[~ore].mean() + 0.2
    assert all(run["loss"][-1] < 0.7 * run["loss"][0] for run in trained.history_)


def test_best_keeps_the_draw_of_the_best_accuracy(easy):
    cube, labels = easy
    detector = PPFCNN(inner=3, outer=5, draws=3, epochs=1, combine="best", seed=0)
    detector.fit(cube, labels)
    assert len(detector.history_) == 3
    assert list(detector.predict(cube)) == ["score"]
    best = np.argmax([run["test_accuracy"] for run in detector.history_])
    mean = PPFCNN(inner=3, outer=5, draws=3, epochs=1, seed=0).fit(cube, labels)
    for kept, trained in zip(
        detector.networks_[0].state_dict().values(),
        mean.networks_[best].state_dict().values(),
        strict=True,
    ):
        assert torch.equal(kept, trained)


@pytest.mark.parametrize("options", [{"pair": "diff", "both_orders": True}, {"pair": "stack"}])
@pytest.mark.parametrize("tail", ["taper", "constant"])
def test_other_forms_run_end_to_end(easy, options, tail):
    cube, labels = easy
    detector = PPFCNN(inner=3, outer=5, draws=1, epochs=1, tail=tail, seed=0, **options)
    assert np.isfinite(detector.fit(cube, labels).predict(cube)["score"]).all()


def test_holding_out_deposits_leaves_none_on_both_sides(easy, monkeypatch):
    cube, labels = easy
    seen = []
    split = PPFCNN._split_cells

    def spy(self, examples, rng):
        parts = split(self, examples, rng)
        seen.append([set(examples["deposit"].values[cells[0]].tolist()) for cells in parts])
        return parts

    monkeypatch.setattr(PPFCNN, "_split_cells", spy)
    PPFCNN(inner=3, outer=5, draws=3, epochs=1, holdout="deposits", seed=0).fit(cube, labels)
    for train_deposits, test_deposits in seen:
        assert train_deposits
        assert test_deposits
        assert not train_deposits & test_deposits


def test_attributions_are_complete(easy, trained):
    cube, _ = easy
    detector = copy.copy(trained)
    detector.networks_ = trained.networks_[:1]
    at = [(float(cube.x[4]), float(cube.y[4])), (float(cube.x[15]), float(cube.y[3]))]
    shares = detector.explain(cube, at)
    score = detector.predict(cube)["score"].sel(
        x=xr.DataArray(shares.x.values, dims="location"),
        y=xr.DataArray(shares.y.values, dims="location"),
    )
    zero = torch.zeros(1, 1, cube.sizes["element"])
    with torch.no_grad():
        nothing = torch.sigmoid(detector.networks_[0](zero)).item()
    np.testing.assert_allclose(shares.sum("element"), score - nothing, atol=0.02)
    top = set(shares.element.values[np.argsort(-shares.values[0])[:2]])
    assert top == {"Au", "As"}


def test_bfloat16_ranks_alike(easy):
    cube, labels = easy
    params = {"inner": 3, "outer": 7, "draws": 1, "epochs": 5, "seed": 0}
    scores = [
        PPFCNN(precision=precision, **params).fit(cube, labels).predict(cube)["score"]
        for precision in ("float32", "bfloat16")
    ]
    everywhere = labels.copy(data=np.where(labels == 1, 1, 0).astype("int8"))
    full, half = (xga.auc(score, everywhere) for score in scores)
    assert abs(full - half) < 0.005


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"inner": 4}, WindowError),
        ({"inner": 13, "outer": 11}, WindowError),
        ({"pair": "ratio"}, XGeoAnomError),
        ({"tail": "none"}, XGeoAnomError),
        ({"score": "rx"}, XGeoAnomError),
        ({"combine": "median"}, XGeoAnomError),
        ({"precision": "float16"}, XGeoAnomError),
        ({"draws": 0}, XGeoAnomError),
        ({"draws": 1.5}, XGeoAnomError),
        ({"batch_size": 0}, XGeoAnomError),
        ({"learning_rate": -1.0}, XGeoAnomError),
        ({"momentum": 2.0}, XGeoAnomError),
        ({"inner": 3.0}, WindowError),
        ({"combine": "best", "test_share": 0.0}, XGeoAnomError),
        ({"test_share": 1.0}, XGeoAnomError),
    ],
)
def test_bad_parameters_are_named_at_once(params, error):
    name = next(iter(params))
    with pytest.raises(error, match=name if error is XGeoAnomError else "inner"):
        PPFCNN(**params)


def test_a_loss_that_diverges_is_no_map(easy):
    cube, labels = easy
    with pytest.raises(XGeoAnomError, match="lower learning_rate"):
        PPFCNN(inner=3, outer=5, draws=1, epochs=2, learning_rate=1e9, seed=0).fit(cube, labels)


def test_window_larger_than_the_survey(easy):
    cube, labels = easy
    with pytest.raises(WindowError, match="35 cells is larger than the survey"):
        PPFCNN().fit(cube, labels)


def test_too_few_cells_to_pair(easy):
    cube, labels = easy
    single = labels.copy(data=np.full(labels.shape, -1, dtype="int8"))
    single[4, 4] = 1
    with pytest.raises(LabelError, match="pairs need two"):
        PPFCNN(inner=3, outer=5, draws=1, epochs=1, seed=0).fit(cube, single)
