"""Autoencoder networks against plain loops: what they rebuild, and what they are scored by."""

import numpy as np
import pytest
import torch

from xgeoanom.nets.autoencoder import (
    DenseAutoencoder,
    WindowAutoencoder,
    trimmed_mean,
    window_errors,
)


def arrays_of(module):
    return {name: tensor.detach().numpy() for name, tensor in module.named_parameters()}


@pytest.mark.parametrize("hidden", [(), (7,), (9, 4)])
def test_dense_forward_equals_matrix_algebra(hidden):
    torch.manual_seed(0)
    network = DenseAutoencoder(6, hidden, 2).double()
    blocks = np.random.default_rng(0).normal(size=(2, 6, 3, 4))
    expected = np.empty_like(blocks)
    for n, row, col in np.ndindex(2, 3, 4):
        cell = blocks[n, :, row, col]
        for half in (network.encode, network.decode):
            layers = [layer for layer in half if hasattr(layer, "weight")]
            for layer in layers:
                cell = layer.weight.detach().numpy() @ cell + layer.bias.detach().numpy()
                cell = cell if layer is layers[-1] else np.tanh(cell)
        expected[n, :, row, col] = cell
    for rebuild in (network, network.rebuild):
        got = rebuild(torch.from_numpy(blocks)).detach().numpy()
        np.testing.assert_allclose(got, expected, atol=1e-12)


def test_dense_widths_narrow_to_the_code_and_widen_again():
    network = DenseAutoencoder(6, (9, 4), 2)
    widths = [tuple(p.shape) for name, p in network.named_parameters() if "weight" in name]
    assert widths == [(9, 6), (4, 9), (2, 4), (4, 2), (9, 4), (6, 9)]


def loops(network, window):
    """Rebuild one window ``(element, y, x)`` by loops over taps."""
    weights, half = arrays_of(network), window.shape[1] // 2
    local = np.empty((len(weights["local_in.bias"]), half, half))
    for row, col in np.ndindex(half, half):
        seen = window[:, 2 * row : 2 * row + 3, 2 * col : 2 * col + 3]
        local[:, row, col] = np.einsum("oeyx,eyx->o", weights["local_in.weight"], seen)
    local = np.tanh(local + weights["local_in.bias"][:, None, None])
    code = np.einsum("ocyx,cyx->o", weights["code_in.weight"], local) + weights["code_in.bias"]
    mirrored = np.einsum("k,kcyx->cyx", code, weights["code_out.weight"])
    mirrored = np.tanh(mirrored + weights["code_out.bias"][:, None, None])
    rebuilt = np.zeros_like(window) + weights["local_out.bias"][:, None, None]
    for row, col in np.ndindex(half, half):
        tap = np.einsum("c,ceyx->eyx", mirrored[:, row, col], weights["local_out.weight"])
        rebuilt[:, 2 * row : 2 * row + 3, 2 * col : 2 * col + 3] += tap
    return rebuilt


@pytest.mark.parametrize("window", [3, 5, 7, 9])
def test_window_forward_equals_loops(window):
    torch.manual_seed(0)
    network = WindowAutoencoder(5, window, 4, 2).double()
    windows = np.random.default_rng(0).normal(size=(3, 5, window, window))
    got = network(torch.from_numpy(windows)).detach().numpy()
    np.testing.assert_allclose(got, [loops(network, one) for one in windows], atol=1e-12)


@pytest.mark.parametrize("window", [3, 5, 7, 9, 11, 13])
def test_a_block_at_once_equals_the_centre_of_each_window(window):
    torch.manual_seed(0)
    network = WindowAutoencoder(6, window, 8, 2).double()
    half, ny, nx = window // 2, 5, 4
    blocks = torch.randn(2, 6, ny + 2 * half, nx + 2 * half, dtype=torch.float64)
    got = network.rebuild(blocks)
    assert got.shape == (2, 6, ny, nx)
    for row, col in np.ndindex(ny, nx):
        alone = network(blocks[:, :, row : row + window, col : col + window])
        torch.testing.assert_close(got[:, :, row, col], alone[:, :, half, half])


def test_errors_count_only_what_is_known():
    rng = np.random.default_rng(0)
    rebuilt, values = rng.normal(size=(2, 4, 3, 5, 5))
    known = rng.random(values.shape) < 0.6
    expected = [np.mean((r - v)[k] ** 2) for r, v, k in zip(rebuilt, values, known, strict=True)]
    got = window_errors(*map(torch.from_numpy, (rebuilt, values, known)))
    np.testing.assert_allclose(got.numpy(), expected)


@pytest.mark.parametrize("trim", [0.0, 0.05, 0.3, 0.99])
@pytest.mark.parametrize("n", [1, 7, 40])
def test_trimmed_mean_equals_sorting(trim, n):
    errors = np.random.default_rng(n).exponential(size=n)
    expected = np.sort(errors)[: n - int(trim * n)].mean()
    assert trimmed_mean(torch.from_numpy(errors), trim).item() == pytest.approx(expected)


def test_what_is_trimmed_has_no_gradient():
    errors = torch.tensor([1.0, 50.0, 2.0, 3.0], requires_grad=True)
    trimmed_mean(errors, 0.25).backward()
    np.testing.assert_allclose(errors.grad, [1 / 3, 0, 1 / 3, 1 / 3])
