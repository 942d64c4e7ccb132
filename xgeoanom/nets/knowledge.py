"""What is known of the ground as a term of the loss: scores follow the weight of faults."""

import math

import torch
from torch import Tensor, nn

from xgeoanom.errors import XGeoAnomError

INITIAL_SLOPE = 0.1  # the archive's code (Zenodo 18454129)


class FaultConstraint(nn.Module):
    """What fault weights alone say: ``g = sigmoid(a w + b0)`` with ``a >= 0``.

    Zhang, Xiong and Chen 2026, eq. 8, with one control factor. There a is free, and below 0 it
    would favour ground away from faults; here ``a = softplus(alpha)``. Starts at a = 0.1, b0 = 0.

    Examples
    --------
    >>> FaultConstraint()(torch.tensor([0.0, 1.0])).detach()
    tensor([0.5000, 0.5250])
    """

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(math.log(math.expm1(INITIAL_SLOPE))))
        self.b0 = nn.Parameter(torch.tensor(0.0))

    @property
    def a(self) -> Tensor:
        """Slope on the weight, at least 0."""
        return nn.functional.softplus(self.alpha)

    def forward(self, weight: Tensor) -> Tensor:
        """Return g ``(b,)`` of fault weights ``(b,)``."""
        return torch.sigmoid(self.a * weight + self.b0)


class GuidedCNN(nn.Module):
    """A patch network and what its scores are held to; maps patches to logits ``(b,)``.

    Parameters
    ----------
    patch_cnn : nn.Module
        Patches ``(b, element, side, side)`` to logits ``(b,)``.
    constraint : nn.Module
        Fault weights ``(b,)`` to g ``(b,)``: :class:`FaultConstraint`, or ``nn.Identity`` where
        the weight itself is g.
    """

    def __init__(self, patch_cnn: nn.Module, constraint: nn.Module) -> None:
        super().__init__()
        self.patch_cnn = patch_cnn
        self.constraint = constraint

    def forward(self, patches: Tensor) -> Tensor:
        """Return one logit for each patch; the constraint has no say in it."""
        logits: Tensor = self.patch_cnn(patches)
        return logits


def knowledge_loss(score: Tensor, guide: Tensor) -> Tensor:
    """Return ``L_geo = mean (P - g)^2`` of scores and guides, both ``(b,)``.

    Raises
    ------
    XGeoAnomError
        If shapes differ: P ``(b,)`` less g ``(b, 1)``, as in the archive, is ``(b, b)``.

    Examples
    --------
    >>> knowledge_loss(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 1.0]))
    tensor(0.1250)
    """
    if score.ndim != 1 or score.shape != guide.shape:
        raise XGeoAnomError(
            f"score has shape {tuple(score.shape)}, guide {tuple(guide.shape)}; both must be (b,)"
        )
    return torch.square(score - guide).mean()
