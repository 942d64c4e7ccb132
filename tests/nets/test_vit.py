"""Windows as tokens, and codes that missing values leave alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xgeoanom.nets.vit import Block, Encoder, patchify, unpatchify

NAN = float("nan")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def encoder(n_bands=2, window=3, patch=1, width=8, depth=2, heads=2):
    """A small encoder in which missing values have a say, as after training."""
    network = Encoder(n_bands, window, patch, width, depth, heads)
    torch.nn.init.normal_(network.missing.weight)
    return network


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_patches_go_together_again(b, bands, n, patch):
    x = torch.randn(b, bands, n * patch, n * patch)
    tokens = patchify(x, patch)
    assert tokens.shape == (b, n * n, bands * patch**2)
    assert torch.equal(unpatchify(tokens, patch), x)
    assert torch.equal(patchify(unpatchify(tokens, patch), patch), tokens)


def test_tokens_hold_what_they_say():
    x = torch.arange(2 * 3 * 6 * 6.0).reshape(2, 3, 6, 6)
    tokens = patchify(x, 2)
    for b, row, col in np.ndindex(2, 3, 3):
        part = x[b, :, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
        assert torch.equal(tokens[b, 3 * row + col], part.flatten())


def test_block_is_attention_by_hand():
    block, x = Block(8, 2).double(), torch.randn(1, 5, 8, dtype=torch.float64)
    parts = block.query_key_value(block.norm1(x))[0].detach().numpy()
    query, key, value = (parts[:, 8 * k : 8 * k + 8] for k in range(3))
    seen = np.zeros((5, 8))
    for head in (slice(0, 4), slice(4, 8)):
        logits = query[:, head] @ key[:, head].T / 2
        weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        seen[:, head] = weights @ value[:, head]
    mixed = x + block.mix(torch.from_numpy(seen))
    expected = mixed + block.dense(block.norm2(mixed))
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("patch", [1, 3])
def test_parameters_by_count(patch):
    bands, window, width, depth = 4, 9, 16, 3
    n_values, n_tokens = bands * patch**2, (window // patch) ** 2
    a_block = 12 * width**2 + 13 * width
    ends = 2 * n_values * width + width + width + n_tokens * width + 2 * width
    network = Encoder(bands, window, patch, width, depth, 4)
    assert sum(p.numel() for p in network.parameters()) == ends + depth * a_block


def test_hidden_tokens_change_no_bit():
    network, x = encoder(), torch.randn(4, 2, 3, 3)
    visible = torch.tensor([[0, 4], [1, 2], [7, 8], [0, 8]])
    codes = network.tokens(x, visible)
    hidden = torch.ones(4, 9, dtype=torch.bool).scatter(1, visible, False)
    for other in (100.0, NAN):
        changed = unpatchify(patchify(x, 1).masked_fill(hidden[..., None], other), 1)
        assert torch.equal(network.tokens(changed, visible), codes)
    assert not torch.equal(network.tokens(x + 1, visible), codes)


def test_all_visible_is_each_token_named():
    network, x = encoder(), torch.randn(3, 2, 3, 3)
    everything = torch.arange(9).expand(3, 9)
    torch.testing.assert_close(network.tokens(x, everything), network.tokens(x))
    assert torch.equal(network(x), network.tokens(x)[:, 0])


def test_place_matters():
    network, x = encoder(), torch.randn(3, 2, 3, 3)
    assert not torch.allclose(network(x), network(x.flip(-1)), atol=1e-4)


def test_missing_starts_as_the_mean_and_need_not_stay():
    network, x = Encoder(2, 3, 1, 8, 1, 2), torch.randn(3, 2, 3, 3)
    zero, unknown = x.clone(), x.clone()
    zero[:, 0, 1, 1], unknown[:, 0, 1, 1] = 0, NAN
    assert torch.equal(network(zero), network(unknown))
    network(unknown)[:, 0].sum().backward()
    moved = network.missing.weight.grad.abs().sum(dim=0)
    assert moved[0] > 0  # of band 0, which is missing
    assert moved[1] == 0
    torch.nn.init.normal_(network.missing.weight)
    assert not torch.allclose(network(zero), network(unknown), atol=1e-3)


def test_a_token_without_values_is_not_attended_to():
    network, x = encoder(window=6, patch=2), torch.randn(2, 2, 6, 6)
    x[:, :, :2, 2:4] = NAN  # token 1
    x[0, :, 4:, 4:] = NAN  # token 8
    x[1, 0, 0, 0] = NAN
    first = network.tokens(x[:1], torch.tensor([[0, 2, 3, 4, 5, 6, 7]]))[0, 0]
    second = network.tokens(x[1:], torch.tensor([[0, 2, 3, 4, 5, 6, 7, 8]]))[0, 0]
    torch.testing.assert_close(network(x), torch.stack([first, second]))


@given(
    arrays(bool, (2, 2, 4, 4), elements=st.booleans()),
    st.sampled_from([1, 2]),
    st.booleans(),
)
def test_what_is_missing_never_leaks(missing, patch, whole):
    missing[1] |= whole  # all of a window
    network = encoder(window=4, patch=patch)
    x = torch.randn(2, 2, 4, 4).masked_fill(torch.from_numpy(missing), NAN).requires_grad_()
    codes = network.tokens(x)
    assert codes.isfinite().all()
    codes.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    assert (x.grad[torch.from_numpy(missing)] == 0).all()
    assert x.grad.isfinite().all()
