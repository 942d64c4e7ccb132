"""The bodies of GK-DCN's networks: their parameters by hand, their layers by formula."""

import pytest
import torch

from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.conv import multiply_adds
from xgeoanom.nets.deform import DeformConv2d
from xgeoanom.nets.patch_cnn import BODIES, Dropout, PatchCNN

# Convolutions: (inputs * 9 + 1) * outputs. Batch normalisation: two numbers a channel.
CONVOLUTIONS = (39 * 9 + 1) * 64 + (64 * 9 + 1) * 64 + (64 * 9 + 1) * 128
NORMS = 2 * (64 + 64 + 128)
# Each deformable convolution: nine points of a row, a column and a modulation.
BRANCHES = 2 * (64 * 9 + 1) * 27
HEADS = {
    "shared": (128 + 1) * 64 + (64 + 1) * 1,
    "archive": (2048 + 1) * 512 + (512 + 1) * 64 + (64 + 1) * 1,
    "linear": 128 + 1,
}


def randomised(*args, **kwargs):
    """Return a network in evaluation mode whose points have moved and whose norms have seen."""
    torch.manual_seed(0)
    network = PatchCNN(*args, **kwargs)
    for layer in network.modules():
        if isinstance(layer, DeformConv2d):
            torch.nn.init.normal_(layer.branches.weight, std=0.1)
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, std=0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    return network.eval()


@pytest.mark.parametrize("deformable", [True, False])
@pytest.mark.parametrize("body", BODIES)
def test_parameters_by_hand(deformable, body):
    network = PatchCNN(39, deformable=deformable, body=body)
    counted = sum(p.numel() for p in network.parameters())
    assert counted == CONVOLUTIONS + NORMS + deformable * BRANCHES + HEADS[body]


def test_parameters_of_the_default_pair():
    counts = [
        sum(p.numel() for p in PatchCNN(39, deformable=deformable).parameters())
        for deformable in (False, True)
    ]
    assert counts == [142_145, 173_303]


def test_multiply_adds_by_hand():
    # 81 cells, 81 cells, 16 cells, one head.
    plain = 81 * 39 * 9 * 64 + 81 * 64 * 9 * 64 + 16 * 64 * 9 * 128 + 128 * 64 + 64
    branches = (81 + 16) * 64 * 9 * 27
    assert multiply_adds(PatchCNN(39, deformable=False).eval(), 39, 9, 9) == plain
    assert multiply_adds(PatchCNN(39, deformable=True).eval(), 39, 9, 9) == plain + branches


def test_names_in_order():
    names = [name for name, _ in PatchCNN(39, deformable=True).named_children()]
    blocks = [f"{kind}{n}" for n in (1, 2, 3) for kind in ("conv", "norm", "relu")]
    head = ["average", "flatten", "hidden", "relu4", "dropout", "logit"]
    assert names == [*blocks[:6], "pool", *blocks[6:], *head]
    network = PatchCNN(39, deformable=True, body="archive")
    assert [name for name, _ in network.named_children()][:3] == ["conv1", "relu1", "norm1"]


@pytest.mark.parametrize("deformable", [True, False])
def test_which_convolutions_deform(deformable):
    network = PatchCNN(5, deformable=deformable)
    kinds = [isinstance(getattr(network, f"conv{n}"), DeformConv2d) for n in (1, 2, 3)]
    assert kinds == [False, deformable, deformable]


def test_shared_body_by_formula():
    network = randomised(5, deformable=True)
    x = torch.randn(4, 5, 9, 9)
    maps = x
    for n in (1, 2, 3):
        norm = getattr(network, f"norm{n}")
        maps = getattr(network, f"conv{n}")(maps)
        mean, var = (v[:, None, None] for v in (norm.running_mean, norm.running_var))
        maps = ((maps - mean) / (var + norm.eps).sqrt()).clamp(min=0)
        if n == 2:
            maps = maps[..., :8, :8].unflatten(3, (4, 2)).unflatten(2, (4, 2)).amax(dim=(3, 5))
    hidden = (maps.mean(dim=(2, 3)) @ network.hidden.weight.T + network.hidden.bias).clamp(min=0)
    expected = hidden @ network.logit.weight[0] + network.logit.bias
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


def test_archive_body_by_formula():
    network = randomised(5, deformable=False, body="archive")
    x = torch.randn(4, 5, 9, 9)
    maps = x
    for n in (1, 2, 3):
        maps = getattr(network, f"norm{n}")(getattr(network, f"conv{n}")(maps).clamp(min=0))
        if n == 2:
            maps = torch.nn.functional.max_pool2d(maps, 2)
    out = maps.reshape(4, 2048)
    for layer in (network.hidden1, network.hidden2, network.logit):
        out = out @ layer.weight.T + layer.bias
    torch.testing.assert_close(network(x), out[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("deformable", [True, False])
@pytest.mark.parametrize("side", [3, 5, 9, 13])
def test_any_window(deformable, side):
    network = randomised(7, deformable=deformable)
    x = torch.randn(6, 7, side, side)
    logits = network(x)
    assert logits.shape == (6,)
    # Batches do not change scores.
    torch.testing.assert_close(logits, torch.cat([network(p) for p in x.split(1)]))


def test_deforming_matters():
    network = randomised(7, deformable=True)
    x = torch.randn(6, 7, 9, 9)
    offset, _ = network.conv2.sampling(network.relu1(network.norm1(network.conv1(x))))
    assert offset.abs().mean() > 0.1
    moved = network(x)
    torch.nn.init.zeros_(network.conv2.branches.weight)
    assert (network(x) - moved).abs().min() > 0


def test_learns_where_not_only_how_much():
    # The order of cells is all that tells the two classes apart.
    torch.manual_seed(0)
    network = PatchCNN(2, deformable=True)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    label = torch.arange(32) % 2
    x = torch.zeros(32, 2, 9, 9)
    x[label == 1, 0, :, 4] = 1  # a column
    x[label == 0, 0, 4, :] = 1  # a row
    x += 0.1 * torch.randn(x.shape)
    for _ in range(15):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(x), label.float())
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        optimizer.step()
    assert loss < 0.2
    assert network.conv2.branches.weight.abs().max() > 0


def test_unknown_body():
    with pytest.raises(XGeoAnomError, match="body='deep' is not one of"):
        PatchCNN(39, deformable=True, body="deep")


def test_dropout_draws_from_its_own_generator():
    dropout, x = Dropout(0.25), torch.ones(200, 200)
    dropout.generator = torch.Generator().manual_seed(3)
    state = torch.get_rng_state()
    dropped = dropout(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert sorted(dropped.unique().tolist()) == pytest.approx([0.0, 4 / 3])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    dropout.generator = torch.Generator().manual_seed(3)
    assert torch.equal(dropout(x), dropped)
    assert torch.equal(dropout.eval()(x), x)
