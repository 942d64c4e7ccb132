"""Which inputs an output came from."""

from collections.abc import Callable

import torch
from torch import Tensor


def integrated_gradients(
    func: Callable[[Tensor], Tensor], start: Tensor, end: Tensor, *, steps: int = 32
) -> Tensor:
    """Return the share of each input in ``func(end) - func(start)``, along a straight path.

    ``start`` and ``end`` are ``(n, ...)``; ``func`` maps them to ``(n,)``. The result has the
    shape of ``end`` and sums, over all but the first axis, to the difference of the outputs
    (completeness), up to the error of ``steps`` midpoints (Sundararajan, Taly and Yan 2017).
    """
    total = torch.zeros_like(end)
    for step in range(steps):
        at = (start + (step + 0.5) / steps * (end - start)).requires_grad_()
        (gradient,) = torch.autograd.grad(func(at).sum(), at)
        total += gradient
    return (end - start) * total / steps
