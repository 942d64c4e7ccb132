"""The spectrum branch against plain loops over elements."""

import numpy as np
import pytest
import torch

from xgeoanom.nets.conv import multiply_adds
from xgeoanom.nets.spectrum import SpectrumCNN


def randomised(out=64):
    """Return a float64 network in evaluation mode whose norms have seen something."""
    torch.manual_seed(0)
    network = SpectrumCNN(out).double()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, std=0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    return network.eval()


def halved(x):
    """Return the larger of each two neighbours along the last axis, a lone last one as it is."""
    starts = range(0, x.shape[-1], 2)
    return np.stack([x[..., i : i + 2].max(axis=-1) for i in starts], axis=-1)


def loops(network, x):
    """Run the network in numpy: ``(cell, element)`` to ``(cell, out)``."""
    layers = list(network.convolutions)
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    norms = [layer for layer in layers if isinstance(layer, torch.nn.BatchNorm2d)]
    x = x[:, None]
    for number, (conv, norm) in enumerate(zip(convolutions, norms)):
        weight = conv.weight.detach().numpy()[:, :, 0]
        padded = np.pad(x, [(0, 0), (0, 0), (1, 1)])
        x = np.stack(
            [np.einsum("nck,ock->no", padded[:, :, i : i + 3], weight) for i in range(x.shape[2])],
            axis=2,
        )
        x += conv.bias.detach().numpy()[:, None]
        mean, var, scale, shift = (
            v.detach().numpy()[:, None]
            for v in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        x = np.maximum((x - mean) / np.sqrt(var + norm.eps) * scale + shift, 0)
        x = halved(x) if number < 2 else x
    weight, bias = (p.detach().numpy() for p in network.hidden.parameters())
    return np.maximum(x.mean(axis=2) @ weight.T + bias, 0)


@pytest.mark.parametrize("n_elements", [3, 4, 5, 7, 12, 39])
def test_forward_equals_loops(n_elements):
    network = randomised()
    x = np.random.default_rng(0).normal(size=(6, n_elements))
    got = network(torch.from_numpy(x)).detach().numpy()
    assert (got > 0).any()
    np.testing.assert_allclose(got, loops(network, x), rtol=1e-10, atol=1e-12)


def test_size_by_hand():
    network = SpectrumCNN()
    convolutions = (1 * 3 + 1) * 16 + (16 * 3 + 1) * 32 + (32 * 3 + 1) * 64
    counted = sum(p.numel() for p in network.parameters())
    assert counted == convolutions + 2 * (16 + 32 + 64) + (64 + 1) * 64
    # 39, 20 and 10 places.
    by_hand = 39 * 3 * 16 + 20 * 16 * 3 * 32 + 10 * 32 * 3 * 64 + 64 * 64
    assert multiply_adds(network.eval(), 39) == by_hand


@pytest.mark.parametrize("n_elements", [3, 39])
def test_every_parameter_and_element_has_a_gradient(n_elements):
    torch.manual_seed(0)
    network = SpectrumCNN(8)
    x = torch.randn(16, n_elements, requires_grad=True)
    (network(x) * torch.randn(16, 8)).sum().backward()
    assert (x.grad.abs().sum(dim=0) > 0).all()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def test_gradient_is_exact():
    network = randomised(4)
    x = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (x,))


def test_order_of_elements_matters_and_cells_do_not_mix():
    network = randomised()
    x = torch.randn(5, 9, dtype=torch.float64)
    torch.testing.assert_close(network(x), torch.cat([network(cell) for cell in x.split(1)]))
    assert (network(x) - network(x.flip(1))).abs().max() > 1e-3
