"""ResNet-18 against the table of He et al. and against functions of torch, layer by layer."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from xgeoanom.nets.resnet import LAYERS, ResidualBlock, ResNet18


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def randomise_norms(network):
    """Let batch normalisation look as if it had seen data."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for tensor in (layer.weight, layer.running_var):
                torch.nn.init.uniform_(tensor, 0.5, 2)
            for tensor in (layer.bias, layer.running_mean):
                torch.nn.init.normal_(tensor)
    return network


def normalised(x, layer):
    """Batch normalisation in evaluation, written out."""
    mean, var, scale, shift = (
        tensor[:, None, None]
        for tensor in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / (var + 1e-5).sqrt() * scale + shift


def naive_block(block, x, stride):
    inner = functional.conv2d(x, block.conv1.weight, stride=stride, padding=1)
    inner = normalised(inner, block.norm1).clamp(min=0)
    inner = normalised(functional.conv2d(inner, block.conv2.weight, padding=1), block.norm2)
    if isinstance(block.shortcut, torch.nn.Sequential):
        conv, norm = block.shortcut
        x = normalised(functional.conv2d(x[:, :, ::stride, ::stride], conv.weight), norm)
    return (inner + x).clamp(min=0)


def test_parameters_of_the_network_for_photographs():
    assert sum(p.numel() for p in ResNet18(3, 1000, 64).parameters()) == 11_689_512


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4))
def test_parameters_by_hand(n_channels, n_classes, width):
    stem = n_channels * 49 * width + 2 * width
    total, before = stem, width
    for k in range(4):
        after = width * 2**k
        total += 9 * before * after + 3 * 9 * after**2 + 4 * 2 * after
        total += before * after + 2 * after if k else 0  # the shortcut
        before = after
    total += before * n_classes + n_classes
    network = ResNet18(n_channels, n_classes, width)
    assert sum(p.numel() for p in network.parameters()) == total


@pytest.mark.parametrize(
    ("size", "maps"),
    [
        (224, [56, 28, 14, 7]),  # table 1
        (222, [56, 28, 14, 7]),
        (212, [53, 27, 14, 7]),
        (200, [50, 25, 13, 7]),
        (188, [47, 24, 12, 6]),
        (176, [44, 22, 11, 6]),
        (18, [5, 3, 2, 1]),
    ],
)
def test_sizes_of_maps(size, maps):
    network, seen = ResNet18(2, width=1).eval(), []
    for name in LAYERS:
        layer = network.get_submodule(name)
        layer.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:])))
    assert network(torch.zeros(1, 2, size, size)).shape == (1, 2)
    assert seen == [(2**k, n, n) for k, n in enumerate(maps)]


@pytest.mark.parametrize(
    ("before", "after", "stride"), [(3, 3, 1), (3, 6, 2), (3, 5, 1), (4, 4, 2)]
)
@pytest.mark.parametrize("size", [7, 8])
def test_a_block_by_hand(before, after, stride, size):
    block = randomise_norms(ResidualBlock(before, after, stride)).eval()
    assert isinstance(block.shortcut, torch.nn.Identity) == (before == after and stride == 1)
    x = torch.randn(2, before, size, size)
    torch.testing.assert_close(block(x), naive_block(block, x, stride), rtol=1e-4, atol=1e-4)


def test_the_network_by_hand():
    network = randomise_norms(ResNet18(5, 3, width=2)).eval()
    x = torch.randn(2, 5, 30, 26)
    maps = functional.conv2d(x, network.conv1.weight, stride=2, padding=3)
    maps = normalised(maps, network.norm1).clamp(min=0)
    maps = functional.max_pool2d(functional.pad(maps, [1] * 4, value=-9e9), 3, stride=2)
    for k in range(1, 5):
        for j, block in enumerate(network.get_submodule(f"layer{k}")):
            maps = naive_block(block, maps, 2 if k > 1 and j == 0 else 1)
    mean = maps.flatten(2).mean(dim=2)
    expected = mean @ network.classify.weight.T + network.classify.bias
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


def test_kernels_start_as_he_et_al_2015_say():
    kernel = ResNet18(3, width=16).layer3[1].conv1.weight
    assert kernel.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert abs(kernel.mean().item()) < 0.001


@pytest.mark.parametrize("n_channels", [1, 7, 39])
def test_any_number_of_channels(n_channels):
    network = ResNet18(n_channels, width=2).eval()
    assert network(torch.randn(3, n_channels, 9, 12)).shape == (3, 2)


def test_a_seed_makes_one_network():
    one, same, other = (
        torch.manual_seed(seed) and ResNet18(2, width=2).eval() for seed in (1, 1, 2)
    )
    x = torch.randn(2, 2, 16, 16)
    assert torch.equal(one(x), same(x))
    assert torch.equal(one(x), one(x))
    assert not torch.equal(one(x), other(x))
