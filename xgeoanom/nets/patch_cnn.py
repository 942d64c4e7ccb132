"""One body for the four networks of GK-DCN: ordinary or deformable convolutions on a patch."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.deform import DeformConv2d

BODIES = ("shared", "archive", "linear")


class Dropout(nn.Dropout):
    """Dropout whose numbers may come from a generator of its own.

    Runs on several threads share torch's global one, and none could be repeated.
    """

    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Set a share ``p`` of ``x`` to zero and scale the rest, while training."""
        if not self.training or self.generator is None:
            return super().forward(x)
        drawn = torch.rand(x.shape, generator=self.generator, device=x.device)
        return x * (drawn >= self.p) / (1 - self.p)


class PatchCNN(nn.Sequential):
    """Three convolutions and a small head: patches to logits.

    Parameters
    ----------
    n_elements : int
        Input channels.
    deformable : bool
        Modulated deformable convolutions in place of the second and third ordinary ones.
    body : {"shared", "archive", "linear"}
        ``shared``: batch normalisation before ReLU, global average pooling, 64 hidden units, as
        in the archive's networks with knowledge; for patches of any side from 2. ``archive``: as
        in its networks without knowledge, for sides of 8 and 9: normalises after ReLU, and has
        three fully connected layers with nothing between them. ``linear``: as ``shared``, but the
        pooled maps make the logit at once, as class activation maps need it (section 3.3).

    Notes
    -----
    Maps ``(b, n_elements, side, side)`` to logits ``(b,)``. Layers go by the names ``conv1``,
    ``norm1``, ``relu1``, ``conv2``, ..., ``pool``, ``conv3``, ..., ``logit``. Zhang, Xiong and
    Chen 2026, section 3; sizes from the archive of its code (Zenodo 18454129).

    Examples
    --------
    >>> PatchCNN(39, deformable=False)(torch.zeros(2, 39, 9, 9)).shape
    torch.Size([2])
    """

    def __init__(self, n_elements: int, *, deformable: bool, body: str = "shared") -> None:
        if body not in BODIES:
            raise XGeoAnomError(f"body={body!r} is not one of {BODIES}")
        convolution = DeformConv2d if deformable else nn.Conv2d
        norm_first = body != "archive"
        super().__init__(
            OrderedDict(
                _block(1, nn.Conv2d, n_elements, 64, norm_first)
                | _block(2, convolution, 64, 64, norm_first)
                | {"pool": nn.MaxPool2d(2)}
                | _block(3, convolution, 64, 128, norm_first)
                | _head(body)
            )
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, patches: Tensor) -> Tensor:
        """Return one logit for each patch."""
        return super().forward(patches.contiguous(memory_format=torch.channels_last)).squeeze(1)


def _block(
    number: int, convolution: type[nn.Conv2d], before: int, after: int, norm_first: bool
) -> dict[str, nn.Module]:
    norm, relu = (f"norm{number}", nn.BatchNorm2d(after)), (f"relu{number}", nn.ReLU())
    conv = (f"conv{number}", convolution(before, after, kernel_size=3, padding=1))
    return dict([conv, norm, relu] if norm_first else [conv, relu, norm])


def _head(body: str) -> dict[str, nn.Module]:
    if body == "archive":
        return {
            "flatten": nn.Flatten(),
            "dropout": Dropout(0.5),
            "hidden1": nn.Linear(2048, 512),
            "hidden2": nn.Linear(512, 64),
            "logit": nn.Linear(64, 1),
        }
    pooled = {"average": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    if body == "linear":
        return {**pooled, "logit": nn.Linear(128, 1)}
    return {
        **pooled,
        "hidden": nn.Linear(128, 64),
        "relu4": nn.ReLU(),
        "dropout": Dropout(0.5),
        "logit": nn.Linear(64, 1),
    }
