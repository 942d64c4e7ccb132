"""Target networks: one ResNet-18 for each scale at which a dilated convolution reads a window.

Huang et al. 2022, Minerals 12(9), 1112, section 3.2.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xgeoanom.nets.resnet import ResNet18


class SoftMask(nn.Module):
    """One learned weight for each element (eq. 6); starts at 1, which changes nothing."""

    def __init__(self, n_elements: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_elements))

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the elements of (b, element, h, w)."""
        return x * self.weight[:, None, None]


class DilatedFront(nn.Conv2d):
    """One dilated 3 x 3 kernel for each element, without padding (eq. 7).

    Maps (b, element, h, w) to (b, element, h - 2 rho, w - 2 rho). It starts at the identity, so
    that a network behind it sees at first what it was made for.
    """

    def __init__(self, n_elements: int, rho: int) -> None:
        super().__init__(n_elements, n_elements, 3, dilation=rho, groups=n_elements, bias=False)
        with torch.no_grad():
            self.weight.zero_()[:, :, 1, 1] = 1


class TargetNetworks(nn.Module):
    """Soft mask, dilated fronts and the target networks behind them.

    Parameters
    ----------
    n_elements : int
        Channels of a window.
    dilations : sequence of int
        One target network for each; 0 is a network without a front.
    width : int
        Of :class:`ResNet18`.
    mask : bool
        Weigh elements before the fronts, alike for all networks.

    Notes
    -----
    Maps (b, element, h, w) to logits (network, b, 2): without and with a deposit.
    """

    def __init__(
        self, n_elements: int, dilations: Sequence[int], *, width: int = 64, mask: bool = True
    ) -> None:
        super().__init__()
        self.mask: nn.Module = SoftMask(n_elements) if mask else nn.Identity()
        self.fronts = nn.ModuleList(
            DilatedFront(n_elements, rho) if rho else nn.Identity() for rho in dilations
        )
        self.bodies = nn.ModuleList(ResNet18(n_elements, width=width) for _ in dilations)

    def logits(self, v: int, x: Tensor) -> Tensor:
        """Return the logits (b, 2) of one target network."""
        logits: Tensor = self.bodies[v](self.fronts[v](self.mask(x)))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of all target networks."""
        return torch.stack([self.logits(v, x) for v in range(len(self.bodies))])


def distillation(logits: Tensor, teachers: Sequence[Tensor]) -> Tensor:
    """Return the sum of KL(teacher ‖ student) over teachers, which learn nothing (eq. 10)."""
    student = logits.log_softmax(dim=1)
    losses = [
        nn.functional.kl_div(
            student, teacher.detach().log_softmax(dim=1), reduction="batchmean", log_target=True
        )
        for teacher in teachers
    ]
    return torch.stack(losses).sum() if losses else logits.new_zeros(())
