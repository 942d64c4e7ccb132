"""Masks, losses by naive loops and in closed form, networks that meet other bands."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional as F

from xgeoanom.errors import WindowError, XGeoAnomError
from xgeoanom.nets import mae
from xgeoanom.nets.mae import LOSSES, MaskedAutoencoder, carry_over, random_mask
from xgeoanom.nets.vit import patchify

NAN = float("nan")
SMALL = {
    "width": 8,
    "depth": 1,
    "heads": 2,
    "decoder_width": 4,
    "decoder_depth": 1,
    "decoder_heads": 2,
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(n_bands=2, window=3, **more):
    """A small network in which missing values have a say, as after training."""
    network = MaskedAutoencoder(n_bands, window=window, **SMALL | more)
    torch.nn.init.normal_(network.encoder.missing.weight)
    return network


# --- masks


@pytest.mark.parametrize(("n_tokens", "n_visible"), [(25, 6), (121, 30)])
def test_as_many_visible_as_in_the_paper(n_tokens, n_visible):
    visible = random_mask(64, n_tokens, 0.75, generator())
    assert visible.shape == (64, n_visible)
    assert (visible.diff(dim=1) > 0).all()  # ascending, none twice
    assert visible.min() >= 0
    assert visible.max() < n_tokens


def test_every_token_is_seen_as_often():
    visible = random_mask(20000, 9, 2 / 3, generator())
    shares = torch.bincount(visible.flatten(), minlength=9) / 20000
    torch.testing.assert_close(shares, torch.full((9,), 1 / 3), atol=0.015, rtol=0)


def test_masks_come_from_their_generator_alone():
    state = torch.get_rng_state()
    first, again, other = (random_mask(8, 25, 0.75, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_empty_tokens_are_hidden_first():
    empty = torch.zeros(3, 9, dtype=torch.bool)
    empty[0, :6], empty[1, :8], empty[2] = True, True, True
    visible = random_mask(3, 9, 2 / 3, generator(), empty)
    assert visible[0].tolist() == [6, 7, 8]
    assert 8 in visible[1]
    assert visible.shape == (3, 3)


@pytest.mark.parametrize("ratio", [0.0, 0.99, 1.0, 1.5, -1.0])
def test_a_ratio_must_leave_something_to_see_and_to_guess(ratio):
    with pytest.raises(XGeoAnomError, match=f"ratio={ratio}.*try mask_ratio=0.75"):
        random_mask(2, 25, ratio, generator())


@given(st.integers(2, 200), st.floats(0, 1))
def test_visible_tokens_are_counted(n_tokens, ratio):
    """The nearest whole number to the share that is seen."""
    seen = (1 - ratio) * n_tokens
    if 0.5 < seen < n_tokens - 0.5:
        assert abs(mae.count_visible(n_tokens, ratio) - seen) <= 0.5
    elif seen not in (0.5, n_tokens - 0.5):
        with pytest.raises(XGeoAnomError, match="some must be seen and some hidden"):
            mae.count_visible(n_tokens, ratio)


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_hidden_cells_are_those_of_hidden_tokens(patch):
    visible = random_mask(4, 4, 0.5, generator())
    side = 2 * patch
    hidden = mae.hidden_cells(visible, patch, side)
    assert hidden.shape == (4, side, side)
    for b, row, col in np.ndindex(4, side, side):
        token = row // patch * 2 + col // patch
        assert hidden[b, row, col] == (token not in visible[b])


# --- the network


@pytest.mark.parametrize(("window", "patch"), [(5, 1), (6, 3)])
def test_parameters_by_count(window, patch):
    bands, wide, narrow, depth, shallow = 3, 16, 8, 2, 1
    n_values, n_tokens = bands * patch**2, (window // patch) ** 2
    network = MaskedAutoencoder(
        bands,
        window=window,
        patch=patch,
        width=wide,
        depth=depth,
        heads=4,
        decoder_width=narrow,
        decoder_depth=shallow,
        decoder_heads=2,
    )
    encoder = (2 * n_values + 1 + 1 + n_tokens + 2) * wide + depth * (12 * wide**2 + 13 * wide)
    decoder = (wide + 1) * narrow + (1 + n_tokens + 2) * narrow + (narrow + 1) * n_values
    decoder += shallow * (12 * narrow**2 + 13 * narrow)
    assert sum(p.numel() for p in network.parameters()) == encoder + decoder


def test_shapes():
    network, x = small(3, window=6, patch=2), torch.randn(4, 3, 6, 6)
    assert network.encode(x).shape == (4, 8)
    assert torch.equal(network(x), network.encode(x))
    assert network.tokens(x).shape == (4, 10, 8)
    visible = random_mask(4, 9, 0.75, generator())
    assert network.tokens(x, visible).shape == (4, 3, 8)
    assert network.reconstruct(x, visible).shape == x.shape


def test_hidden_values_change_no_bit_of_a_reconstruction():
    network, x = small(), torch.randn(4, 2, 3, 3)
    visible = torch.tensor([[0, 4]]).expand(4, 2)
    rebuilt = network.reconstruct(x, visible)
    changed = torch.full_like(x, NAN)
    changed[:, :, 0, 0], changed[:, :, 1, 1] = x[:, :, 0, 0], x[:, :, 1, 1]
    assert torch.equal(network.reconstruct(changed, visible), rebuilt)


def test_the_decoder_puts_codes_in_their_places():
    """Without blocks, a token's values depend on its own code and place, or on its place alone."""
    network, x = small(decoder_depth=0, depth=0), torch.randn(2, 2, 3, 3)
    visible = torch.tensor([[1, 5], [0, 8]])
    rebuilt, decoder = patchify(network.reconstruct(x, visible), 1), network.decoder
    codes = decoder.embed(network.tokens(x, visible))
    for b, token in np.ndindex(2, 9):
        code = decoder.hidden
        if token in visible[b]:
            code = codes[b, 1 + visible[b].tolist().index(token)]
        expected = decoder.rebuild(decoder.norm(code + decoder.positions[token]))
        torch.testing.assert_close(rebuilt[b, token], expected)


@given(
    arrays(bool, (2, 2, 4, 4), elements=st.booleans()),
    st.sampled_from([1, 2]),
    st.sampled_from(LOSSES),
    st.booleans(),
)
def test_what_is_missing_never_leaks(missing, patch, loss_on, whole):
    missing[1] |= whole
    network = small(window=4, patch=patch, binary=[1])
    x = torch.rand(2, 2, 4, 4).masked_fill(torch.from_numpy(missing), NAN).requires_grad_()
    visible = random_mask(2, (4 // patch) ** 2, 0.5, generator())
    assert network.reconstruct(x, visible).isfinite().all()
    loss = network.loss(x, generator(), loss_on, ratio=0.5)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert (x.grad[torch.from_numpy(missing)] == 0).all()


# --- the loss


def naive_loss(network, x, visible, loss_on):
    """Mean over known values, one by one."""
    rebuilt = network.reconstruct(x, visible).detach().numpy()
    x, patch, errors = x.numpy(), network.patch, []
    for b, band, row, col in np.ndindex(x.shape):
        token = (row // patch) * (x.shape[-1] // patch) + col // patch
        value, guess = x[b, band, row, col], rebuilt[b, band, row, col]
        if np.isnan(value) or (loss_on == "masked" and token in visible[b]):
            continue
        entropy = -value * np.log(guess) - (1 - value) * np.log(1 - guess) if band == 1 else 0
        errors.append(entropy if band == 1 else (guess - value) ** 2)
    return np.mean(errors)


@given(st.sampled_from(LOSSES), st.sampled_from([1, 2]), st.integers(0, 99))
def test_loss_against_naive_loops(loss_on, patch, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 3, 4, 4))
    x[:, 1] = x[:, 1] > 0
    x[rng.random(x.shape) < 0.2] = np.nan
    network, x = small(3, window=4, patch=patch, binary=[1]).double(), torch.from_numpy(x)
    empty = patchify(x, patch).isnan().all(dim=2)
    visible = random_mask(3, empty.shape[1], 0.5, generator(seed), empty)
    expected = naive_loss(network, x, visible, loss_on)
    assert network.loss_from(x, visible, loss_on).item() == pytest.approx(expected, rel=1e-9)
    drawn = network.loss(x, generator(seed), loss_on, ratio=0.5)
    assert drawn.item() == pytest.approx(expected, rel=1e-9)


def test_binary_bands_against_torch():
    network = small(2, binary=[0, 1])
    x, visible = (torch.rand(4, 2, 3, 3) > 0.5).float(), torch.tensor([[2]]).expand(4, 1)
    p = network.reconstruct(x, visible)
    torch.testing.assert_close(network.loss_from(x, visible, "all"), F.binary_cross_entropy(p, x))


def test_nothing_to_rebuild_is_no_loss():
    network = small()
    loss = network.loss(torch.full((2, 2, 3, 3), NAN), generator())
    assert loss.item() == 0
    loss.backward()
    assert all((p.grad == 0).all() for p in network.parameters())


class LinearDecoder(torch.nn.Module):
    """Rebuilds tokens of one value from the values of the visible ones, linearly."""

    def __init__(self, n_visible, n_tokens):
        super().__init__()
        self.rebuild = torch.nn.Linear(n_visible, n_tokens).double()

    def forward(self, values, visible):
        return self.rebuild(values[..., 0])[..., None]


class Values(torch.nn.Module):
    """The values of visible tokens in place of their codes."""

    def tokens(self, x, visible):
        return patchify(x, 1).take_along_dim(visible[..., None], dim=1)


def correlated(n, covariance):
    """Examples whose mean is 0 and whose sample covariance is exactly what is asked for."""
    noise = torch.randn(n, len(covariance), dtype=torch.float64)
    noise -= noise.mean(dim=0)
    root = torch.linalg.cholesky(noise.T @ noise / n)
    white = torch.linalg.solve_triangular(root, noise.T, upper=False)
    return (torch.linalg.cholesky(covariance) @ white).T


@pytest.mark.parametrize("loss_on", LOSSES)
def test_a_linear_toy_ends_at_its_closed_form(loss_on):
    """The best linear guess misses by the trace of S_hh - S_hv S_vv^-1 S_vh."""
    half = torch.randn(9, 9, dtype=torch.float64)
    covariance = half @ half.T / 9 + 0.1 * torch.eye(9, dtype=torch.float64)
    x = correlated(60, covariance).reshape(-1, 1, 3, 3)
    visible = torch.tensor([[0, 4, 7]]).expand(60, 3)
    seen, unseen = torch.tensor([0, 4, 7]), torch.tensor([1, 2, 3, 5, 6, 8])
    across = covariance[unseen][:, seen]
    left = covariance[unseen][:, unseen] - across @ torch.linalg.solve(
        covariance[seen][:, seen], across.T
    )
    network = MaskedAutoencoder(1, window=3, **SMALL)
    network.encoder, network.decoder = Values(), LinearDecoder(3, 9)
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-12
    )

    def loss():
        optimizer.zero_grad()
        value = network.loss_from(x, visible, loss_on)
        value.backward()
        return value

    optimizer.step(loss)
    expected = left.trace().item() / (6 if loss_on == "masked" else 9)
    assert loss().item() == pytest.approx(expected, rel=1e-6)


def test_learns_as_much_as_there_is_to_learn():
    """Cells share one number and add noise s of their own, so k seen cells leave an error of
    s^2 + s^2 / (s^2 + k) to the best guess, and 1 + s^2 to one that does not look.
    """
    network = MaskedAutoencoder(1, window=3, **SMALL | {"width": 16, "decoder_width": 16})
    rng, optimizer = generator(), torch.optim.Adam(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.01, 160)

    def windows(b):
        shared = torch.randn(b, 1, 1, 1, generator=rng)
        return shared + 0.5 * torch.randn(b, 1, 3, 3, generator=rng)

    for _ in range(160):
        optimizer.zero_grad()
        network.loss(windows(64), rng, ratio=2 / 3).backward()
        optimizer.step()
        schedule.step()
    with torch.inference_mode():
        reached = network.loss(windows(4000), rng, ratio=2 / 3).item()
    best = 0.25 + 0.25 / 3.25
    assert 0.96 * best < reached < 1.1 * best


def test_loss_is_seeded_in_any_thread():
    network, x = small(), torch.randn(8, 2, 3, 3)
    state = torch.get_rng_state()
    expected = [network.loss(x, generator(seed)).item() for seed in range(6)]
    found = [0.0] * 6

    def run(seed):
        found[seed] = network.loss(x, generator(seed)).item()

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected
    assert len(set(expected)) == 6
    assert torch.equal(torch.get_rng_state(), state)


def test_mixed_precision_is_nearly_the_same():
    network, x = small(binary=[1]), torch.rand(4, 2, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network.loss(x, generator())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(network.loss(x, generator()).item(), rel=0.05)


# --- other bands


def test_carried_over_bands_rebuild_alike():
    source, target = small(3, window=4, patch=2, binary=[2]), small(2, window=4, patch=2)
    carry_over(source, target, [1, 0])
    x, visible = torch.randn(4, 3, 4, 4), torch.tensor([[0, 3]]).expand(4, 2)
    x[:, 2] = 0  # what target does not know says nothing
    torch.testing.assert_close(target.encode(x[:, [1, 0]]), source.encode(x))
    expected = source.reconstruct(x, visible)[:, [1, 0]]
    torch.testing.assert_close(target.reconstruct(x[:, [1, 0]], visible), expected)


def test_what_others_keep_beside_it_is_not_carried_over():
    source, target = small(), small()
    source.register_buffer("usual_error", torch.tensor(3.0))
    carry_over(source, target, [0, 1])
    assert "usual_error" not in target.state_dict()
    target.register_buffer("usual_error", torch.tensor(1.0))
    carry_over(source, target, [0, 1])
    assert target.usual_error == 1
    assert torch.equal(target.encoder.cls, source.encoder.cls)


def test_new_bands_stay_as_they_are():
    source, target = small(2), small(3)
    weight = target.encoder.embed.weight.detach().clone()
    carry_over(source, target, [None, 1, None])
    assert torch.equal(target.encoder.embed.weight[:, [0, 2]], weight[:, [0, 2]])
    assert torch.equal(target.encoder.embed.weight[:, 1], source.encoder.embed.weight[:, 1])
    assert torch.equal(target.encoder.cls, source.encoder.cls)
    carry_over(source, target, [None] * 3)


def test_what_cannot_be_carried_over():
    with pytest.raises(XGeoAnomError, match="differ in window"):
        carry_over(small(window=3), small(window=4), [0, 1])
    with pytest.raises(XGeoAnomError, match="heads"):
        carry_over(small(), small(heads=4), [0, 1])
    with pytest.raises(XGeoAnomError, match="bands="):
        carry_over(small(), small(), [0])
    with pytest.raises(XGeoAnomError, match="bands="):
        carry_over(small(), small(), [0, 2])
    with pytest.raises(XGeoAnomError, match="band 1 is binary"):
        carry_over(small(), small(binary=[1]), [0, 1])


# --- errors


def test_sizes_are_checked():
    with pytest.raises(WindowError, match="window=5 must be a multiple of patch=2; try 6"):
        MaskedAutoencoder(2, window=5, patch=2)
    with pytest.raises(WindowError, match="window=5"):
        MaskedAutoencoder(2, patch=0)
    with pytest.raises(XGeoAnomError, match="width=20 must be a multiple of heads=8"):
        MaskedAutoencoder(2, width=20)
    with pytest.raises(XGeoAnomError, match="decoder_width=6 must be a multiple"):
        MaskedAutoencoder(2, decoder_width=6)
    with pytest.raises(XGeoAnomError, match="bands \\[2\\] of 2"):
        MaskedAutoencoder(2, binary=[0, 2])
    with pytest.raises(XGeoAnomError, match="loss_on='visible'"):
        small().loss(torch.zeros(2, 2, 3, 3), generator(), loss_on="visible")
