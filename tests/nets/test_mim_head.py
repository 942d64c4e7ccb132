"""Head, dropout as uncertainty, and losses against formulas by hand."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit
from torch.nn import functional as F

from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.mim_head import Head, fit_temperature, mc_dropout, nnpu_loss, smoothed


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_parameters_by_count():
    dense = 256 * 128 + 128 + 128 * 64 + 64 + 64 + 1
    norms, slopes = 2 * (128 + 64), 2
    assert sum(p.numel() for p in Head(256).parameters()) == dense + norms + slopes


def test_temperature_divides_logits():
    head, codes = Head(8).eval(), torch.randn(5, 8)
    before = head(codes)
    head.temperature.fill_(2.5)
    torch.testing.assert_close(head(codes), before / 2.5)
    again = Head(8).eval()
    again.load_state_dict(head.state_dict())  # it is saved with the head
    assert torch.equal(again(codes), head(codes))


def test_dropout_in_training_draws_for_each_example():
    head, codes = Head(8).train(), torch.ones(64, 8)
    for layer in head.modules():
        if hasattr(layer, "generator"):
            layer.generator = generator()
    assert head(codes).unique().numel() > 32


# --- Monte Carlo dropout


def test_moments_by_hand():
    """One dropout before one weight of 1: the probability is sigmoid(2) or sigmoid(0)."""
    head = Head(2)
    network = torch.nn.Sequential(head.dropout1, torch.nn.Flatten(0))
    mean, std = mc_dropout(network, torch.ones(3, 1), 400, generator())
    drawn, kept = generator(), []
    for _ in range(400):
        kept.append(torch.rand(1, generator=drawn).item() >= 0.5)
    p = np.where(kept, expit(2), 0.5)
    np.testing.assert_allclose(mean, np.full(3, p.mean()), rtol=1e-6)
    np.testing.assert_allclose(std, np.full(3, p.std()), rtol=1e-6)
    assert 0.4 < np.mean(kept) < 0.6


def test_without_dropout_nothing_spreads():
    head, codes = Head(8, dropout=0.0), torch.randn(5, 8)
    mean, std = mc_dropout(head, codes, 3, generator())
    torch.testing.assert_close(mean, head.eval()(codes).sigmoid())
    torch.testing.assert_close(std, torch.zeros(5), atol=1e-7, rtol=0)


def test_dropout_alone_is_active():
    head, codes = Head(8).train(), torch.randn(5, 8)
    state = {name: v.clone() for name, v in head.state_dict().items()}
    mc_dropout(head, codes, 3, generator())
    assert all(torch.equal(v, state[name]) for name, v in head.state_dict().items())
    assert all(layer.training for layer in head.modules())
    assert not any(getattr(layer, "alike", False) for layer in head.modules())


def test_an_example_does_not_depend_on_its_neighbours():
    head, codes = Head(8), torch.randn(12, 8)
    mean, std = mc_dropout(head, codes, 20, generator())
    assert (std > 0).all()
    parts = [mc_dropout(head, part, 20, generator()) for part in codes.split(5)]
    torch.testing.assert_close(torch.cat([m for m, _ in parts]), mean)
    torch.testing.assert_close(torch.cat([s for _, s in parts]), std)


def test_seeded_in_any_thread():
    head, codes = Head(8), torch.randn(12, 8)
    state = torch.get_rng_state()
    expected = [mc_dropout(head, codes, 10, generator(seed)) for seed in range(6)]
    assert not torch.equal(expected[0][0], expected[1][0])
    found = {}

    def run(seed):
        found[seed] = mc_dropout(head, codes, 10, generator(seed))

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, (mean, std) in enumerate(expected):
        assert torch.equal(found[seed][0], mean)
        assert torch.equal(found[seed][1], std)
    assert torch.equal(torch.get_rng_state(), state)


def test_passes_are_checked():
    with pytest.raises(XGeoAnomError, match="passes=0"):
        mc_dropout(Head(8), torch.zeros(2, 8), 0, generator())


# --- losses


def test_smoothing_by_hand():
    np.testing.assert_allclose(smoothed(torch.tensor([0.0, 1.0, 0.5]), 0.2), [0.1, 0.9, 0.5])
    target = torch.tensor([0.0, 1.0])
    assert torch.equal(smoothed(target, 0.0), target)
    with pytest.raises(XGeoAnomError, match="s=1"):
        smoothed(target, 1)


@given(st.integers(0, 999), st.floats(0.05, 0.95))
def test_nnpu_against_a_naive_formula(seed, prior):
    rng = np.random.default_rng(seed)
    z, positive = 3 * rng.normal(size=12), rng.random(12) < 0.4
    positive[:2] = True, False
    risk = np.mean([prior * expit(-v) for v, is_one in zip(z, positive) if is_one])
    rest = np.mean([expit(v) for v, is_one in zip(z, positive) if not is_one])
    rest -= prior * np.mean([expit(v) for v, is_one in zip(z, positive) if is_one])
    loss = nnpu_loss(torch.from_numpy(z), torch.from_numpy(positive), prior)
    assert loss.item() == pytest.approx(risk + max(0, rest), rel=1e-12)
    assert loss >= 0


@pytest.mark.parametrize("clipped", [False, True])
def test_gradient_of_nnpu(clipped):
    """Below zero, the gradient raises the negative risk and leaves the positive one alone."""
    z = torch.tensor([2.0, 1.0, -3.0 if clipped else 3.0, -4.0], dtype=torch.float64)
    positive, z = torch.tensor([True, True, False, False]), z.requires_grad_()
    nnpu_loss(z, positive, 0.3).backward()
    p = z.detach().sigmoid()
    slope = p * (1 - p)
    of_negatives = torch.where(positive, -0.3 * slope / 2, slope / 2)
    of_positives = torch.where(positive, -0.3 * slope / 2, 0.0)
    expected = -of_negatives if clipped else of_positives + of_negatives
    torch.testing.assert_close(z.grad, expected)


def test_nnpu_of_one_kind_alone():
    z = torch.randn(4, dtype=torch.float64)
    nobody = torch.zeros(4, dtype=torch.bool)
    torch.testing.assert_close(nnpu_loss(z, nobody, 0.3), z.sigmoid().mean())
    torch.testing.assert_close(nnpu_loss(z, ~nobody, 0.3), 0.3 * (-z).sigmoid().mean())
    with pytest.raises(XGeoAnomError, match="prior=1"):
        nnpu_loss(z, nobody, 1)


# --- temperature


def miscalibrated(seed, sharpness=4.0, n=400):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    return torch.from_numpy(sharpness * z), torch.from_numpy((rng.random(n) < expit(z)) * 1.0)


def likelihood(logits, target):
    return F.binary_cross_entropy_with_logits(logits, target).item()


@given(st.integers(0, 99), st.sampled_from([0.3, 1.0, 4.0]))
def test_temperature_is_the_best(seed, sharpness):
    logits, target = miscalibrated(seed, sharpness)
    temperature = fit_temperature(logits, target)
    found = minimize_scalar(
        lambda t: likelihood(logits / np.exp(t), target), bounds=(-3, 3), method="bounded"
    )
    assert temperature == pytest.approx(np.exp(found.x), rel=1e-3)
    assert likelihood(logits / temperature, target) <= likelihood(logits, target)


def test_temperature_cools_what_is_too_sure_and_leaves_ranks():
    logits, target = miscalibrated(0)
    temperature = fit_temperature(logits, target)
    assert 3 < temperature < 5.5
    assert likelihood(logits / temperature, target) < 0.9 * likelihood(logits, target)
    assert torch.equal((logits / temperature).argsort(), logits.argsort())


def test_temperature_has_bounds():
    logits, target = torch.tensor([-1.0, -0.5, 0.5, 2.0]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert fit_temperature(logits, target) == pytest.approx(0.05)
    assert fit_temperature(-logits, target) == pytest.approx(20)
    assert fit_temperature(logits, smoothed(target, 0.3)) > 0.06
    for same in (torch.zeros(4), torch.ones(4), torch.zeros(0)):
        with pytest.raises(XGeoAnomError, match="one class"):
            fit_temperature(logits[: len(same)], same)
