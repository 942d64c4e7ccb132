"""The reconstructed network, counted and compared with plain matrix algebra."""

import numpy as np
import pytest
import torch

from xgeoanom.nets.conv import CHANNELS, STRIDES, PairCNN, multiply_adds


@pytest.mark.parametrize(
    ("tail", "length", "count"),
    [("taper", 39, 595_130), ("taper", 38, 576_440), ("constant", 39, 718_150)],
)
def test_multiply_adds_of_the_built_network(tail, length, count):
    assert multiply_adds(PairCNN(tail=tail), 1, length) == count


def test_parameters_and_layers():
    network = PairCNN()
    assert sum(p.numel() for p in network.parameters()) == 33_491
    assert len(network.convolutions) == len(STRIDES) == 13
    assert all(len(widths) == 13 for widths in CHANNELS.values())


@pytest.mark.parametrize("length", [39, 38, 5, 1])
def test_forward_equals_loops(length):
    torch.manual_seed(0)
    network = PairCNN(n_inputs=2).double()
    x = np.random.default_rng(0).normal(size=(3, 2, length))
    got = network(torch.from_numpy(x)).detach().numpy()
    for layer, stride in zip(network.convolutions, STRIDES, strict=True):
        weight = layer.weight.detach().numpy()[:, :, 0]
        padded = np.pad(x, [(0, 0), (0, 0), (1, 1)])
        centres = range(0, x.shape[2], stride)
        x = np.stack(
            [np.einsum("ncl,ocl->no", padded[:, :, i : i + 3], weight) for i in centres], axis=2
        )
        x = np.maximum(x + layer.bias.detach().numpy()[:, None], 0)
    logits = x.mean(axis=2) @ network.classify.weight.detach().numpy()[0]
    np.testing.assert_allclose(got, logits + network.classify.bias.item(), rtol=1e-10, atol=1e-12)
