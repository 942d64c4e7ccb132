"""Integrated gradients against closed forms."""

import torch

from xgeoanom.nets.attribution import integrated_gradients


def test_exact_on_a_quadratic():
    weight = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    start, end = torch.zeros(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    shares = integrated_gradients(lambda x: (weight * x**2).sum(dim=1), start, end)
    torch.testing.assert_close(shares, weight * end**2)


def test_complete_on_a_network():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    start, end = torch.randn(2, 6, 5)
    shares = integrated_gradients(lambda x: network(x)[:, 0], start, end, steps=200)
    with torch.no_grad():
        difference = (network(end) - network(start))[:, 0]
    torch.testing.assert_close(shares.sum(dim=1), difference, rtol=1e-3, atol=1e-4)
