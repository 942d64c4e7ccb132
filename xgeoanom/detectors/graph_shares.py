"""Whose values in a neighbourhood made a cell's logit."""

from typing import Any

import numpy as np
import torch

from xgeoanom.detectors.neighborhood import Neighborhood

STEPS = 128  # of integrated gradients: normalised units bend the path often


def shares_of(network: Any, around: Neighborhood, steps: int = STEPS) -> np.ndarray:
    """Return the share of each element of each cell in the target's logit, ``(cell, element)``.

    Integrated gradients of the path from zeros. Smoothing is linear and its own transpose: the
    gradients of smoothed values are gathered first and smoothed once.
    """
    from xgeoanom.nets.graph import propagate

    values, smoothed, target, graph = around.tensors(torch.device("cpu"))
    direct, indirect = torch.zeros_like(values[target]), torch.zeros_like(smoothed)
    for step in range(steps):
        share = (step + 0.5) / steps
        own = (share * values[target]).requires_grad_()
        mixed = (share * smoothed).requires_grad_()
        embedded = None
        if network.branches != "spectrum":
            embedded = network.embed(mixed, *graph)[graph[0][target]]
        logit = network(own, mixed[target], embedded).sum()
        gradients = torch.autograd.grad(logit, (own, mixed), allow_unused=True)
        for total, gradient in zip((direct, indirect), gradients, strict=True):
            if gradient is not None:
                total += gradient / steps
    shares = values * propagate(indirect, torch.from_numpy(around.neighbors))
    shares[target] += values[target] * direct
    return shares.detach().numpy()
