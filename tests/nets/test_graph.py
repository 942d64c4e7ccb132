"""Graph convolutions against dense matrices, and the network that they are half of."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import SGConv

from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets import graph
from xgeoanom.nets.graph import (
    BRANCHES,
    FUSIONS,
    POOLINGS,
    DualBranch,
    ExternalConv,
    Gate,
    InternalConv,
    Pooling,
    propagate,
)
from xgeoanom.nets.patch_cnn import Dropout

EXACT = {"rtol": 1e-10, "atol": 1e-10}
NO_EDGES = torch.zeros(2, 0, dtype=torch.long)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def grid_edges(rows, cols, superpixel):
    """Return the 4-neighbour edges inside superpixels, cell by cell."""
    edges = []
    for row in range(rows):
        for col in range(cols):
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                r, c = row + down, col + right
                cell, other = row * cols + col, r * cols + c
                inside = 0 <= r < rows and 0 <= c < cols
                if inside and superpixel[cell] == superpixel[other]:
                    edges.append((cell, other))
    return torch.tensor(edges).reshape(-1, 2).T


def dense(n, edges, weights):
    """Return A ``(n, n)`` with ``A[target, source]``, edge by edge."""
    matrix = torch.zeros(n, n, dtype=torch.float64)
    for (source, target), weight in zip(edges.T.tolist(), weights):
        matrix[target, source] = weight
    return matrix


def normalised(adjacency):
    """Return ``D^-1/2 (A + I) D^-1/2``."""
    loops = adjacency + torch.eye(len(adjacency), dtype=torch.float64)
    scale = torch.diag(loops.sum(dim=1) ** -0.5)
    return scale @ loops @ scale


def external_graph(n, seed=0, share=0.4):
    """Return edges, both ways, of a random graph between ``n`` superpixels, and weights."""
    random = torch.Generator().manual_seed(seed)
    upper = torch.triu(torch.rand(n, n, generator=random) < share, diagonal=1)
    one_way = upper.nonzero().T
    weights = torch.rand(one_way.shape[1], generator=random, dtype=torch.float64)
    return torch.cat([one_way, one_way.flip(0)], dim=1), weights.repeat(2)


def survey(n_elements=5, dtype=torch.float64):
    """Return all inputs of a network on 5 x 6 cells in four superpixels, one of them isolated."""
    superpixel = torch.tensor([0, 0, 0, 1, 1, 1] * 3 + [2, 2, 2, 3, 3, 3] * 2)
    values = torch.randn(30, n_elements, dtype=dtype)
    smoothed = propagate(values, grid_edges(5, 6, superpixel))
    edges = torch.tensor([[0, 1, 0, 2], [1, 0, 2, 0]])
    weights = torch.tensor([0.5, 0.5, 0.9, 0.9], dtype=dtype)
    return values, smoothed, superpixel, edges, weights


def run(network, values, smoothed, superpixel, edges, weights, n_superpixels=4):
    embedding = network.embed(smoothed, superpixel, n_superpixels, edges, weights)
    return network(values, smoothed, embedding[superpixel])


def randomise_norms(network):
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return network


# Internal convolution


@pytest.mark.parametrize("steps", [1, 3])
def test_propagate_equals_dense_matrix(steps):
    superpixel = torch.tensor([0, 0, 0, 1, 1, 1] * 3 + [2, 0, 0, 3, 3, 3] * 2)  # 2: two cells
    edges = grid_edges(5, 6, superpixel)
    values = torch.randn(30, 4, dtype=torch.float64)
    matrix = normalised(dense(30, edges, torch.ones(edges.shape[1])))
    expected = torch.linalg.matrix_power(matrix, steps) @ values
    torch.testing.assert_close(propagate(values, edges, steps), expected, **EXACT)


def test_order_of_edges_and_of_cells_does_not_matter():
    values, smoothed, superpixel, _, _ = survey()
    edges = grid_edges(5, 6, superpixel)
    shuffled = edges[:, torch.randperm(edges.shape[1])]
    torch.testing.assert_close(propagate(values, shuffled), smoothed, **EXACT)
    order = torch.randperm(30)
    moved = propagate(values[order], order.argsort()[edges])
    torch.testing.assert_close(moved, smoothed[order], **EXACT)


def test_internal_convolution_equals_torch_geometric():
    values, smoothed, superpixel, _, _ = survey()
    ours, theirs = InternalConv(5, 7).double(), SGConv(5, 7, K=3).double()
    with torch.no_grad():
        theirs.lin.weight.copy_(ours.weight)
        theirs.lin.bias.copy_(ours.bias)
    expected = theirs(values, grid_edges(5, 6, superpixel)).relu()
    torch.testing.assert_close(ours(smoothed), expected, **EXACT)


def test_superpixels_do_not_mix_within():
    values, smoothed, superpixel, _, _ = survey()
    values[superpixel == 1] += 100
    moved = propagate(values, grid_edges(5, 6, superpixel))
    torch.testing.assert_close(moved[superpixel != 1], smoothed[superpixel != 1], **EXACT)
    assert (moved != smoothed)[superpixel == 1].all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lone_cells_stay_as_they_are(dtype):
    values = torch.randn(3, 2, dtype=dtype)
    kept = values.clone()
    smoothed = propagate(values, NO_EDGES)
    assert smoothed.dtype == dtype
    torch.testing.assert_close(smoothed, kept)
    assert torch.equal(values, kept)


def test_propagate_has_the_gradient_of_a_linear_map():
    values, _, superpixel, _, _ = survey()
    edges = grid_edges(5, 6, superpixel)
    values.requires_grad_()
    aim = torch.randn(30, 5, dtype=torch.float64)
    (propagate(values, edges) * aim).sum().backward()
    # S is symmetric: its transpose is itself.
    torch.testing.assert_close(values.grad, propagate(aim, edges), **EXACT)


# Pooling


@pytest.mark.parametrize("kind", POOLINGS)
def test_pooling_equals_loop(kind):
    pool = Pooling(6, kind).double()
    cells, superpixel = torch.randn(20, 6, dtype=torch.float64), torch.randint(3, (20,))
    got = pool(cells, superpixel, 3)
    for s in range(3):
        own = cells[superpixel == s]
        share = torch.full((len(own), 1), 1 / len(own), dtype=torch.float64)
        if kind == "attention":
            score = own @ pool.pool.gate_nn.weight.T + pool.pool.gate_nn.bias
            share = score.exp() / score.exp().sum()
        torch.testing.assert_close(got[s], (share * own).sum(dim=0), **EXACT)


# External convolution


def batch_norm(norm, x, training):
    """Normalise by hand the columns of ``x``."""
    norm = norm.module
    mean, var = (
        (x.mean(dim=0), x.var(dim=0, correction=0))
        if training
        else (norm.running_mean, norm.running_var)
    )
    return (x - mean) / (var + norm.eps).sqrt() * norm.weight + norm.bias


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_external_convolution_equals_dense_matrices(training, share):
    external = randomise_norms(ExternalConv(6).double()).train(training)
    edges, weights = external_graph(9, share=share)
    x = torch.randn(9, 6, dtype=torch.float64)
    adjacency = dense(9, edges, weights)
    gcn, own = external.conv1, external.conv2
    normal = batch_norm(external.norm0, x, training)
    h = normalised(adjacency) @ normal @ gcn.lin.weight.T + gcn.bias
    h = batch_norm(external.norm1, h.clamp(min=0), training)
    neighbours = adjacency @ h @ own.lin_rel.weight.T + own.lin_rel.bias
    h = (h @ own.lin_root.weight.T + neighbours).clamp(min=0)
    expected = batch_norm(external.norm2, h, training) + normal
    torch.testing.assert_close(external(x, edges, weights), expected, **EXACT)


@given(st.integers(2, 8), st.integers(0, 10**6))
def test_numbering_of_superpixels_does_not_matter(n, seed):
    random = torch.manual_seed(seed)
    external = ExternalConv(4).double()
    edges, weights = external_graph(n, seed)
    x = torch.randn(n, 4, generator=random, dtype=torch.float64)
    order = torch.randperm(n, generator=random)
    moved = external(x[order], order.argsort()[edges], weights)
    torch.testing.assert_close(moved, external(x, edges, weights)[order], rtol=1e-6, atol=1e-6)


def test_information_travels_two_edges():
    external = ExternalConv(4).double().eval()
    path = torch.tensor([[0, 1, 2], [1, 2, 3]])
    edges, weights = torch.cat([path, path.flip(0)], 1), torch.ones(6, dtype=torch.float64)
    x = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    external(x, edges, weights)[0].sum().backward()
    assert (x.grad[3] == 0).all()
    assert (x.grad[:3] != 0).any(dim=1).all()


def test_single_superpixel_is_normalised_by_running_statistics():
    external = randomise_norms(ExternalConv(4).double())
    x, none = torch.randn(1, 4, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    seen = external.norm0.module.running_mean.clone()
    got = external.train()(x, NO_EDGES, none)
    assert torch.equal(external.norm0.module.running_mean, seen)
    torch.testing.assert_close(got, external.eval()(x, NO_EDGES, none), **EXACT)


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


@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_sums_of_parts_make_the_pooled(kind):
    torch.manual_seed(0)
    pool, cells = Pooling(4, kind), torch.randn(30, 4)
    superpixel = torch.arange(30) % 5
    parts = [slice(0, 7), slice(7, 20), slice(20, 30)]
    total = sum(pool.sums(cells[part], superpixel[part], 5) for part in parts)
    pooled = (total[:, :-1] / total[:, -1:]).float()
    torch.testing.assert_close(pooled, pool(cells, superpixel, 5))
