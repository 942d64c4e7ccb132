"""An encoder of windows with a head: logits, and how far a window lies from those learnt from."""

import torch
from torch import Tensor, nn

from xgeoanom.nets.mim_head import Head
from xgeoanom.nets.vit import Encoder


class WindowClassifier(nn.Module):
    """Windows ``(b, band, side, side)`` to logits ``(b,)``.

    Parameters
    ----------
    encoder : Encoder
        From a window to its code; it may be shared with other classifiers.
    head : Head
        From a code to a logit.

    Notes
    -----
    The buffers ``seen`` ``(n, width)``, the codes of windows learnt from, and ``reach``, a
    distance, are there once :meth:`remember` was called.
    """

    seen: Tensor
    reach: Tensor

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit for each window."""
        logits: Tensor = self.head(self.encoder(x))
        return logits

    def remember(self, codes: Tensor, groups: Tensor) -> None:
        """Keep the codes of windows learnt from; ``groups`` are the parts of a survey they lie in.

        The reach is the farthest that such a code lies from its nearest of another part, outliers
        (beyond 1.5 interquartile ranges) left out: Meyer and Pebesma 2021, section 2.3. Neighbours
        are alike whatever was learnt, and say nothing of how far that carries.
        """
        apart = torch.cdist(codes, codes)
        apart[groups[:, None] == groups] = torch.inf
        nearest = apart.amin(dim=1)
        nearest = nearest[nearest.isfinite()]
        reach = torch.ones((), device=codes.device)
        if len(nearest):
            q1, q3 = nearest.quantile(0.25), nearest.quantile(0.75)
            reach = nearest[nearest <= q3 + 1.5 * (q3 - q1)].max()
        self.register_buffer("seen", codes)
        self.register_buffer("reach", reach.clamp(min=torch.finfo(codes.dtype).tiny))

    def dissimilarity(self, codes: Tensor) -> Tensor:
        """Return the distance of codes from the nearest seen one, in units of the reach."""
        # By matrix products, as cdist takes them, small distances of float32 are rough.
        nearest = torch.cdist(codes.double(), self.seen.double()).amin(dim=1)
        return (nearest / self.reach).to(codes.dtype)
