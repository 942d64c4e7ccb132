"""The network of both branches: by hand, in any order, by tiles, and its gradients."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_graphs import randomise_norms, run, survey
from torch import nn

from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets import graph
from xgeoanom.nets.graph import (
    BRANCHES,
    FUSIONS,
    POOLINGS,
    DualBranch,
    Gate,
    propagate,
)
from xgeoanom.nets.patch_cnn import Dropout

EXACT = {"rtol": 1e-10, "atol": 1e-10}
NO_EDGES = torch.zeros(2, 0, dtype=torch.long)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# Both branches


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("branches", BRANCHES)
def test_every_parameter_has_a_gradient(branches, fusion, pooling):
    values, smoothed, superpixel, edges, weights = survey(dtype=torch.float32)
    network = DualBranch(5, branches=branches, fusion=fusion, pooling=pooling, hidden=8)
    embedded = None
    if branches != "spectrum":
        embedded = network.embed(smoothed, superpixel, 4, edges, weights)[superpixel]
    logits = network.branch_logits(values, smoothed, embedded)
    names = {"both": ["both", "spatial", "spectrum"]}.get(branches, [branches])
    assert list(logits) == names
    assert all(logit.shape == (30,) for logit in logits.values())
    sum((logit * torch.randn(30)).sum() for logit in logits.values()).backward()
    # A softmax does not see a constant in its scores.
    blind = {"pool.pool.gate_nn.bias"}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0 or name in blind, name


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradient_is_exact(fusion, pooling):
    values, smoothed, superpixel, edges, weights = survey(3)
    network = DualBranch(3, fusion=fusion, pooling=pooling, hidden=4).double().eval()

    def logits(values, smoothed):
        return run(network, values, smoothed, superpixel, edges, weights)

    inputs = (values.requires_grad_(), smoothed.detach().requires_grad_())
    assert torch.autograd.gradcheck(logits, inputs)


@pytest.mark.parametrize("kept", [0, 1000])
@pytest.mark.parametrize("tile", [1, 7, 13, 1000])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_tiles_change_nothing(monkeypatch, pooling, tile, kept):
    _, smoothed, superpixel, edges, weights = survey()
    order = torch.randperm(30)
    smoothed, superpixel = smoothed[order], superpixel[order]
    monkeypatch.setattr(graph, "TILE", tile)
    monkeypatch.setattr(graph, "KEPT", kept)
    tiled = DualBranch(5, branches="spatial", pooling=pooling, hidden=8).double()
    whole = copy.deepcopy(tiled)
    got = tiled.embed(smoothed, superpixel, 4, edges, weights)
    pooled = whole.pool(whole.internal(smoothed), superpixel, 4)
    expected = whole.external(pooled, edges, weights)
    torch.testing.assert_close(got, expected, **EXACT)
    aim = torch.randn(4, 8, dtype=torch.float64)
    (got * aim).sum().backward()
    (expected * aim).sum().backward()
    for one, other in zip(tiled.parameters(), whole.parameters()):
        torch.testing.assert_close(one.grad, other.grad, **EXACT)
    for one, other in zip(tiled.buffers(), whole.buffers()):  # norms have seen the same, once
        torch.testing.assert_close(one, other, **EXACT)


def by_hand(network, fusion, h, v):
    """Return the logit of both branches' units, by matrices."""
    side_by_side = torch.cat([h, v], dim=1)
    if fusion == "concatenate":
        z = side_by_side @ network.fuse.weight.T + network.fuse.bias
    else:
        first, second, gate = network.fuse.first, network.fuse.second, network.fuse.gate
        share = 1 / (1 + torch.exp(-(side_by_side @ gate.weight.T + gate.bias)))
        z = share * (h @ first.weight.T + first.bias)
        z = z + (1 - share) * (v @ second.weight.T + second.bias)
    last = network.head[-1]
    return z.clamp(min=0) @ last.weight[0] + last.bias


@pytest.mark.parametrize("fusion", FUSIONS)
def test_logits_and_contributions_by_hand(fusion):
    values, smoothed, superpixel, edges, weights = survey()
    network = randomise_norms(DualBranch(5, fusion=fusion, hidden=8).double()).eval()
    embedded = network.embed(smoothed, superpixel, 4, edges, weights)[superpixel]
    inner = (smoothed @ network.internal.weight.T + network.internal.bias).clamp(min=0)
    h, v = torch.cat([inner, embedded], dim=1), network.spectrum(values)
    logits = network.branch_logits(values, smoothed, embedded)
    both = by_hand(network, fusion, h, v)
    torch.testing.assert_close(logits["both"], both, **EXACT)
    torch.testing.assert_close(network(values, smoothed, embedded), both, **EXACT)
    for name, units in {"spatial": h, "spectrum": v}.items():
        head = network.auxiliary[name]
        expected = units @ head.weight[0] + head.bias
        torch.testing.assert_close(logits[name], expected, **EXACT)
    # Shapley: what a branch adds, on average over who comes first.
    none = by_hand(network, fusion, 0 * h, 0 * v)
    only_h, only_v = (by_hand(network, fusion, *pair) for pair in ((h, 0 * v), (0 * h, v)))
    shares = network.contributions(values, smoothed, embedded)
    assert list(shares) == ["spatial", "spectrum"]
    spatial, spectrum = (
        ((only_h - none) + (both - only_v)) / 2,
        ((only_v - none) + (both - only_h)) / 2,
    )
    torch.testing.assert_close(shares["spatial"], spatial, **EXACT)
    torch.testing.assert_close(shares["spectrum"], spectrum, **EXACT)
    torch.testing.assert_close(sum(shares.values()) + none, both, **EXACT)
    torch.testing.assert_close(none, none[:1].expand(30), **EXACT)


@pytest.mark.parametrize("branches", ["spatial", "spectrum"])
def test_one_branch_alone_looks_at_nothing_else(branches):
    values, smoothed, superpixel, edges, weights = survey()
    network = DualBranch(5, branches=branches, fusion="gate", hidden=8).double().eval()
    inputs = (values, None, None)
    if branches == "spatial":
        embedding = network.embed(smoothed, superpixel, 4, edges, weights)
        inputs = (None, smoothed, embedding[superpixel])
    (name, share), *others = network.contributions(*inputs).items()
    assert (name, others) == (branches, [])
    # The whole logit but a constant is its own.
    rest = network(*inputs) - share
    torch.testing.assert_close(rest, rest[:1].expand(30), **EXACT)
    assert share.std() > 0
    assert not network.auxiliary


def test_gate_is_convex():
    gate = Gate([6, 3])
    a, b = torch.randn(50, 6), torch.randn(50, 3)
    ends = torch.stack([gate.first(a), gate.second(b)])
    fused = gate(a, b)
    assert (fused >= ends.amin(dim=0) - 1e-6).all()
    assert (fused <= ends.amax(dim=0) + 1e-6).all()


@given(st.permutations(range(30)), st.permutations(range(4)), st.sampled_from(POOLINGS))
def test_order_of_cells_and_superpixels_does_not_matter(cells, superpixels, pooling):
    values, smoothed, superpixel, edges, weights = survey()
    network = DualBranch(5, pooling=pooling, hidden=8).double().eval()
    expected = run(network, values, smoothed, superpixel, edges, weights)
    cells, renamed = torch.tensor(cells), torch.tensor(superpixels)
    got = run(
        network, values[cells], smoothed[cells], renamed[superpixel[cells]], renamed[edges], weights
    )
    torch.testing.assert_close(got, expected[cells], **EXACT)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_one_superpixel(pooling, training):
    values, smoothed, _, _, _ = survey(dtype=torch.float32)
    network = DualBranch(5, pooling=pooling, hidden=8).train(training)
    all_one = torch.zeros(30, dtype=torch.long)
    logits = run(network, values, smoothed, all_one, NO_EDGES, torch.zeros(0), n_superpixels=1)
    assert logits.isfinite().all()
    assert logits.std() > 0


def test_cells_batch_by_batch():
    values, smoothed, superpixel, edges, weights = survey()
    network = DualBranch(5, hidden=8).double().eval()
    embedded = network.embed(smoothed, superpixel, 4, edges, weights)[superpixel]
    batches = zip(*(x.split(7) for x in (values, smoothed, embedded)))
    one_by_one = torch.cat([network(*batch) for batch in batches])
    torch.testing.assert_close(one_by_one, network(values, smoothed, embedded), **EXACT)


def test_dropout_draws_from_its_own_generator():
    inputs = survey(dtype=torch.float32)
    network = DualBranch(5, hidden=8)
    (dropout,) = (layer for layer in network.modules() if isinstance(layer, Dropout))
    logits = []
    state = torch.get_rng_state()
    for seed in (3, 3, 4):
        dropout.generator = torch.Generator().manual_seed(seed)
        logits.append(run(network, *inputs))
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(logits[0], logits[1])
    assert (logits[0] - logits[2]).abs().max() > 1e-3


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_networks_travel(copied):
    inputs = survey(dtype=torch.float32)
    network = DualBranch(5, pooling="attention", fusion="gate", hidden=8).eval()
    assert torch.equal(run(copied(network), *inputs), run(network, *inputs))


def test_learns_what_only_the_neighbourhood_tells():
    # Each cell alone is noise; its superpixel's mean is not.
    superpixel = torch.arange(20).repeat_interleave(40)
    label = (superpixel % 2).float()
    values = torch.randn(800, 3) + 0.5 * label[:, None]
    path = torch.arange(800).view(20, 40)
    one_way = torch.stack([path[:, :-1].flatten(), path[:, 1:].flatten()])
    smoothed = propagate(values, torch.cat([one_way, one_way.flip(0)], dim=1))
    network = DualBranch(3, branches="spatial", hidden=16)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        logits = run(network, values, smoothed, superpixel, NO_EDGES, torch.zeros(0), 20)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, label)
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"branches": "spectral"}, "branches='spectral' is not one of"),
        ({"pooling": "max"}, "pooling='max' is not one of"),
        ({"fusion": "sum"}, "fusion='sum' is not one of"),
    ],
)
def test_unknown_choices(wrong, match):
    with pytest.raises(XGeoAnomError, match=match):
        DualBranch(5, **wrong)


def test_contributions_need_evaluation_mode():
    values, smoothed, superpixel, edges, weights = survey(dtype=torch.float32)
    network = DualBranch(5, hidden=8)
    embedded = network.embed(smoothed, superpixel, 4, edges, weights)[superpixel]
    with pytest.raises(XGeoAnomError, match=r"call eval\(\) first"):
        network.contributions(values, smoothed, embedded)
