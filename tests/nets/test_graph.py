"""Graph convolutions and pooling against dense matrices and loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_graphs import dense, external_graph, grid_edges, normalised, randomise_norms, survey
from torch_geometric.nn import SGConv

from xgeoanom.nets.graph import (
    POOLINGS,
    ExternalConv,
    InternalConv,
    Pooling,
    propagate,
)

EXACT = {"rtol": 1e-10, "atol": 1e-10}
NO_EDGES = torch.zeros(2, 0, dtype=torch.long)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


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


@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_sums_of_parts_make_the_pooled(kind):
    torch.manual_seed(0)
    pool, cells = Pooling(4, kind), torch.randn(30, 4)
    superpixel = torch.arange(30) % 5
    parts = [slice(0, 7), slice(7, 20), slice(20, 30)]
    total = sum(pool.sums(cells[part], superpixel[part], 5) for part in parts)
    pooled = (total[:, :-1] / total[:, -1:]).float()
    torch.testing.assert_close(pooled, pool(cells, superpixel, 5))
