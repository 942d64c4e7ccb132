"""How a head is taught: what is kept, how often deposits come, temperature and threshold."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from torch.nn import functional as F

from xgeoanom.detectors import head_training
from xgeoanom.detectors.head_training import _balanced, _calibrate, _kept, codes_of, learn_head
from xgeoanom.detectors.mim import MIM
from xgeoanom.nets.mim_head import Head, smoothed
from xgeoanom.nets.vit import Encoder
from xgeoanom.nets.window_classifier import WindowClassifier

SIZES = {"width": 8, "depth": 1, "heads": 2, "decoder_width": 8, "decoder_heads": 2}


def classifier(seed=0):
    torch.manual_seed(seed)
    return WindowClassifier(Encoder(2, 3, 1, 8, 1, 2), Head(8, 0.2)).eval()


def examples(n_deposits=5, n_others=60, *, seed=0):
    """Return windows, labels and deposits: three cells each, whose windows are higher."""
    rng = np.random.default_rng(seed)
    label = np.repeat([1, 0], [3 * n_deposits, n_others]).astype("int8")
    deposit = np.r_[np.repeat(np.arange(n_deposits), 3), np.full(n_others, -1)]
    values = rng.normal(size=(len(label), 2, 3, 3)) + 2.0 * (label == 1)[:, None, None, None]
    places = rng.uniform(0, 10_000, size=(len(label), 2))
    return values.astype("float32"), label, deposit, places


def learnt(network, *given_examples, seed=0, **settings):
    settings = MIM(window=3, **SIZES, **{"head_epochs": 15, "head_learning_rate": 0.01, **settings})
    rng = np.random.default_rng(seed)
    return learn_head(network, *given_examples, settings, rng, threading.Event())


# ----------------------------------------------------------------------------------- what is kept


@given(st.integers(1, 6), st.integers(10, 50), st.floats(0, 0.9), st.integers(0, 99))
def test_deposits_are_kept_whole(n_deposits, n_others, share, seed):
    _, label, deposit, _ = examples(n_deposits, n_others)
    positive = label == 1
    kept = _kept(positive, deposit, share, np.random.default_rng(seed))
    for number in range(n_deposits):
        assert len(set(kept[deposit == number])) == 1
    assert not kept[positive].all()
    if share == 0 or n_deposits == 1:
        assert not kept.any()
    else:
        assert kept[positive].any()
        assert kept[~positive].sum() == n_others - int((1 - share) * n_others)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 99))
def test_both_classes_weigh_the_same(positive, seed):
    positive = np.array([True, False, *positive])
    training = np.r_[True, True, np.random.default_rng(seed).random(len(positive) - 2) < 0.7]
    members = _balanced(training, positive)
    assert set(members) == set(np.flatnonzero(training))
    counts = np.bincount(members, minlength=len(positive))
    others, deposits = counts[training & ~positive], counts[training & positive]
    assert (others == 1).all()
    assert deposits.sum() == max(len(deposits), len(others))
    assert np.ptp(deposits) <= 1


def test_kept_examples_are_not_learnt_from(monkeypatch):
    given_examples = examples()
    network = classifier()
    history = learnt(network, *given_examples)
    kept = _kept_by(given_examples)
    codes = codes_of(network, torch.from_numpy(given_examples[0]))
    others = network.dissimilarity(codes) > 1e-6
    np.testing.assert_array_equal(others.numpy(), kept)
    assert len(history["loss"]) == len(history["kept_loss"])
    monkeypatch.setattr(head_training, "MOST_SEEN", 7)
    again = classifier()
    learnt(again, *given_examples)
    assert again.seen.shape == (7, 8)
    assert {tuple(code) for code in again.seen.tolist()} < {tuple(c) for c in network.seen.tolist()}


def _kept_by(given_examples):
    """The mask of the run above: its generator's first number seeds torch."""
    rng = np.random.default_rng(0)
    head_training.torch_seed(rng)
    _, label, deposit, _ = given_examples
    return _kept(label == 1, deposit, 0.25, rng)


# --------------------------------------------------------------------------------------- learning


def test_the_head_learns_and_a_frozen_encoder_does_not():
    values, label, deposit, places = examples()
    network, before = classifier(), classifier()
    learnt(network, values, label, deposit, places)
    for name, tensor in network.encoder.state_dict().items():
        assert torch.equal(tensor, before.encoder.state_dict()[name]), name
    assert not torch.equal(network.head.dense1.weight, before.head.dense1.weight)
    assert not network.training
    tuned = classifier()
    learnt(tuned, values, label, deposit, places, tuned=True)
    assert not torch.equal(tuned.encoder.embed.weight, before.encoder.embed.weight)
    assert not tuned.encoder.training
    for one in (network, tuned):
        with torch.inference_mode():
            logits = one(torch.from_numpy(values))
        assert logits[label == 1].mean() > logits[label == 0].mean()
        assert all(not t.is_inference() for t in one.state_dict().values())
        one.load_state_dict(one.state_dict())


@pytest.mark.parametrize("tuned", [False, True])
def test_the_same_stream_gives_the_same_head(tuned):
    given_examples = examples()
    networks = [classifier() for _ in range(3)]
    state = torch.get_rng_state()
    histories = [
        learnt(network, *given_examples, seed=seed, tuned=tuned)
        for network, seed in zip(networks, (0, 0, 1))
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert histories[0] == histories[1] != histories[2]
    for name, tensor in networks[0].state_dict().items():
        assert torch.equal(tensor, networks[1].state_dict()[name]), name


@pytest.mark.parametrize("how", [{"kept": 0.0}, {}])
def test_without_kept_deposits_training_runs_to_its_end(how):
    given_examples = examples(1 if not how else 5)
    network = classifier()
    history = learnt(network, *given_examples, head_epochs=4, patience=1, **how)
    assert len(history["loss"]) == 4
    assert "kept_loss" not in history
    assert (history["temperature"], history["threshold"]) == (1.0, 0.5)
    assert network.head.temperature.item() == 1.0
    assert len(network.seen) == len(given_examples[1])


def test_it_ends_without_a_gain():
    history = learnt(classifier(), *examples(), head_epochs=200, patience=2)
    best = int(np.argmin(history["kept_loss"]))
    assert len(history["kept_loss"]) == best + 3 < 200


def test_positives_and_unlabelled_set_no_temperature():
    values, label, deposit, places = examples()
    network = classifier()
    marks = np.where(label == 1, 1, -1)
    history = learnt(network, values, marks, deposit, places, loss="nnpu", prior=0.2)
    assert (history["temperature"], history["threshold"]) == (1.0, 0.5)
    with torch.inference_mode():
        logits = network(torch.from_numpy(values))
    assert logits[label == 1].mean() > logits[label == 0].mean()
    # The sigmoid loss of a fit: deposits above, all others below.
    assert history["loss"][-1] < history["loss"][0]


def test_a_set_flag_stops_it():
    stop = threading.Event()
    stop.set()
    settings = MIM(window=3, **SIZES)
    with pytest.raises(KeyboardInterrupt):
        learn_head(classifier(), *examples(), settings, np.random.default_rng(0), stop)


def test_codes_in_parts_as_at_once(monkeypatch):
    network, windows = classifier(), torch.randn(20, 2, 3, 3)
    with torch.inference_mode():
        whole = network.encoder(windows)
    monkeypatch.setattr(head_training, "BATCH", 7)
    torch.testing.assert_close(codes_of(network, windows), whole)


# ----------------------------------------------------------------------- temperature and threshold


def calibrated(seed, overlap, smoothing=0.3):
    """Return a calibrated classifier, what it learnt that from, and its logits before."""
    values, label, *_ = examples(4, 40, seed=seed)
    values += overlap * np.random.default_rng(seed).normal(size=values.shape).astype("float32")
    network, positive = classifier(seed), label == 1
    windows = torch.from_numpy(values)
    with torch.inference_mode():
        network.head.logit.weight.mul_(20)
        before = network(windows)
    told = _calibrate(network, windows, positive, smoothing)
    return network, windows, positive, before, told


@given(st.integers(0, 20), st.sampled_from([0.0, 3.0]), st.sampled_from([0.0, 0.3]))
def test_temperature_lowers_the_likelihoods_loss_and_leaves_ranks(seed, overlap, smoothing):
    network, windows, positive, before, told = calibrated(seed, overlap, smoothing)
    with torch.inference_mode():
        after = network(windows)
    torch.testing.assert_close(after * told["temperature"], before, rtol=1e-4, atol=1e-5)
    assert network.head.temperature.item() == pytest.approx(told["temperature"])
    target = smoothed(torch.from_numpy(positive).float(), smoothing)
    nll = F.binary_cross_entropy_with_logits
    assert nll(after, target) <= nll(before, target) + 1e-6
    np.testing.assert_array_equal(before.argsort(stable=True), after.argsort(stable=True))


@given(st.integers(0, 20), st.sampled_from([0.0, 3.0]))
def test_the_threshold_has_the_best_f1(seed, overlap):
    network, windows, positive, _, told = calibrated(seed, overlap)
    with torch.inference_mode():
        scores = network(windows).sigmoid().numpy()
    best = max(f1_score(positive, scores >= threshold) for threshold in scores)
    nearest = scores[np.abs(scores - told["threshold"]).argmin()]
    assert nearest == pytest.approx(told["threshold"], rel=1e-5)
    assert f1_score(positive, scores >= nearest) == pytest.approx(best)


def test_the_reach_is_between_parts_of_the_survey(monkeypatch):
    """Examples in five places far apart: each place is a part."""
    values, label, deposit, _ = examples(5, 60)
    corner = np.arange(len(label)) % 5
    rng = np.random.default_rng(1)
    places = np.stack([100_000.0 * corner, 50_000.0 * corner**2], axis=1)
    places += rng.uniform(0, 1000, size=places.shape)
    told = []
    remember = WindowClassifier.remember

    def noted(network, codes, groups):
        told.append(groups.numpy())
        remember(network, codes, groups)

    monkeypatch.setattr(WindowClassifier, "remember", noted)
    learnt(classifier(), values, label, deposit, places, kept=0.0, head_epochs=1)
    pairs = {*zip(corner.tolist(), told[0].tolist(), strict=True)}
    assert len(pairs) == len(set(told[0])) == 5
