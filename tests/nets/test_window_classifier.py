"""What a classifier keeps of the windows that it learnt from, against naive loops."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.nets.mim_head import Head
from xgeoanom.nets.vit import Encoder
from xgeoanom.nets.window_classifier import WindowClassifier


def classifier(width=4):
    torch.manual_seed(0)
    return WindowClassifier(Encoder(2, 3, 1, width, 1, 2), Head(width)).eval()


def naive_reach(codes, groups):
    """Largest distance to the nearest code of another group, but for Tukey's outliers."""
    nearest = []
    for code, group in zip(codes, groups):
        apart = [np.linalg.norm(code - b) for b, g in zip(codes, groups) if g != group]
        nearest += [min(apart)] if apart else []
    if not nearest:
        return 1.0
    q1, q3 = np.percentile(nearest, [25, 75])
    return max(d for d in nearest if d <= q3 + 1.5 * (q3 - q1))


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 99))
def test_reach_and_dissimilarity_against_naive_loops(n, n_groups, seed):
    rng = np.random.default_rng(seed)
    seen, codes = rng.normal(size=(n, 4)), rng.normal(size=(5, 4))
    seen[0] *= 10  # an outlier
    groups = rng.integers(0, n_groups, n)
    network = classifier()
    network.remember(torch.from_numpy(seen), torch.from_numpy(groups))
    reach = naive_reach(seen, groups)
    assert network.reach.item() == pytest.approx(reach, rel=1e-6)
    expected = [min(np.linalg.norm(code - other) for other in seen) / reach for code in codes]
    found = network.dissimilarity(torch.from_numpy(codes))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("n", [3, 300])
def test_what_was_seen_is_like_itself(n):
    """Whatever the number of codes: maps must not depend on their blocks."""
    codes = 8 + torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    network = classifier()
    network.remember(codes, torch.arange(n))
    assert network.dissimilarity(codes).max() < 1e-6
    assert network.dissimilarity(codes + 100).min() > 1
    whole = network.dissimilarity(codes + 0.5)
    parts = torch.cat([network.dissimilarity(part) for part in (codes + 0.5).split(2)])
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-6)
    assert network.dissimilarity(codes[:0]).shape == (0,)


def test_cells_of_one_deposit_do_not_set_the_reach():
    codes = torch.tensor([[0.0, 0], [0, 1], [5, 0], [5, 1]])
    network = classifier(2)
    network.remember(codes, torch.tensor([0, 0, 1, 1]))
    assert network.reach.item() == 5
    network.remember(codes, torch.arange(4))
    assert network.reach.item() == 1
    network.remember(codes, torch.zeros(4, dtype=torch.long))
    assert network.reach.item() == 1  # nothing else to be far from


def test_codes_all_alike_are_no_division_by_zero():
    network = classifier()
    network.remember(torch.ones(3, 4), torch.arange(3))
    found = network.dissimilarity(torch.tensor([[1.0] * 4, [2.0] * 4]))
    assert found[0] == 0
    assert found[1] > 1


def test_logits_are_the_heads_and_memory_is_kept():
    network, x = classifier(), torch.randn(5, 2, 3, 3)
    torch.testing.assert_close(network(x), network.head(network.encoder(x)))
    assert "seen" not in network.state_dict()
    network.remember(torch.randn(3, 4), torch.arange(3))
    assert {"seen", "reach"} <= network.state_dict().keys()
    other = copy.deepcopy(network)
    assert torch.equal(
        other.dissimilarity(network.encoder(x)), network.dissimilarity(other.encoder(x))
    )
