"""From the code of a window to a probability of a deposit, and how sure that is.

Daruna et al. 2024 (arXiv 2406.12756), downstream of masked image modelling.
"""

import copy
import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.patch_cnn import Dropout

COOLEST, HOTTEST = 0.05, 20.0  # beyond, probabilities are all 0 and 1, or all one half


class UnitDropout(Dropout):
    """Dropout that can drop the same units for all examples: one thinned network at a time."""

    alike = False

    def forward(self, x: Tensor) -> Tensor:
        """Set a share ``p`` of ``x``, or of its units, to zero and scale the rest."""
        if not self.training or not self.alike or self.generator is None:
            return super().forward(x)
        where = self.generator.device  # not x's, so that a CPU and a GPU can agree
        drawn = torch.rand(x.shape[1:], generator=self.generator, device=where).to(x.device)
        return x * (drawn >= self.p) / (1 - self.p)


class Head(nn.Sequential):
    """Three dense layers: codes of windows to logits.

    Parameters
    ----------
    width : int
        Numbers of a code.
    dropout : float
        Share of units dropped before each layer.

    Notes
    -----
    Maps ``(b, width)`` to logits ``(b,)``, divided by the buffer ``temperature``, which is 1 until
    it is set to what :func:`fit_temperature` found.

    Examples
    --------
    >>> Head(256).eval()(torch.zeros(2, 256)).shape
    torch.Size([2])
    """

    temperature: Tensor

    def __init__(self, width: int, dropout: float = 0.5) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (before, after) in enumerate([(width, 128), (128, 64)], start=1):
            layers[f"dropout{number}"] = UnitDropout(dropout)
            layers[f"dense{number}"] = nn.Linear(before, after)
            layers[f"norm{number}"] = nn.BatchNorm1d(after)
            layers[f"prelu{number}"] = nn.PReLU()
        layers["dropout3"] = UnitDropout(dropout)
        layers["logit"] = nn.Linear(64, 1)
        super().__init__(layers)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, codes: Tensor) -> Tensor:
        """Return one logit for each code."""
        return super().forward(codes).squeeze(1) / self.temperature


@torch.inference_mode()
def mc_dropout(
    network: nn.Module, x: Tensor, passes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of probabilities over random dropout (Gal 2016).

    A pass drops the same units for all examples. What an example gets then does not depend on
    those beside it: a map in blocks, each with the same seed, is the map in one piece.

    Parameters
    ----------
    network : nn.Module
        With dropout layers such as :class:`Head` has. It is copied, so other threads may use it
        meanwhile; all but its dropout is as in evaluation.
    x : Tensor
        Its input, ``(b, ...)``.
    passes : int
        At least 1; Daruna et al. take 100.
    generator : torch.Generator
        Draws the units to drop.

    Returns
    -------
    mean, std : Tensor
        ``(b,)``; ``std`` divides by ``passes``.
    """
    if passes < 1:
        raise XGeoAnomError(f"passes={passes} must be at least 1; the paper takes 100")
    thinned = copy.deepcopy(network).eval()
    for layer in thinned.modules():
        if isinstance(layer, UnitDropout):
            layer.train()
            layer.generator, layer.alike = generator, True
    # Welford's running moments: a map of millions of cells is held twice, not a hundred times.
    mean = squares = torch.zeros((), dtype=torch.float64, device=x.device)
    for k in range(1, passes + 1):
        p = thinned(x).sigmoid().double()
        before, mean = mean, mean + (p - mean) / k
        squares = squares + (p - before) * (p - mean)
    return mean.float(), (squares / passes).sqrt().float()


def smoothed(target: Tensor, s: float) -> Tensor:
    """Return labels drawn towards one half: ``y (1 - s) + s / 2``.

    >>> smoothed(torch.tensor([0.0, 1.0]), 0.3)
    tensor([0.1500, 0.8500])
    """
    if not 0 <= s < 1:
        raise XGeoAnomError(f"s={s} must lie in [0, 1); the paper takes 0.3")
    return target * (1 - s) + s / 2


def nnpu_loss(logits: Tensor, positive: Tensor, prior: float) -> Tensor:
    """Return the non-negative risk of learning from positive and unlabelled examples.

    Kiryo et al. 2017, "Positive-unlabeled learning with non-negative risk estimator", eq. 6 and
    algorithm 1 with beta = 0 and gamma = 1::

        R = prior R_p(+1) + max(0, R_u(-1) - prior R_p(-1))

    with R_p(t) and R_u(t) the mean over positive and unlabelled examples of the sigmoid loss
    ``1 / (1 + exp(t logit))``. Where the second term is below zero, the network fits the
    unlabelled too well: the value is ``prior R_p(+1)``, and the gradient raises that term.

    Parameters
    ----------
    logits : Tensor
        ``(b,)``.
    positive : Tensor
        ``(b,)``, true for positive examples; all others are unlabelled.
    prior : float
        Share of positives among the unlabelled, between 0 and 1.
    """
    if not 0 < prior < 1:
        raise XGeoAnomError(f"prior={prior} must lie between 0 and 1")
    positive = positive.bool()
    as_positive = prior * _mean(torch.sigmoid(-logits), positive)
    as_negative = torch.sigmoid(logits)
    negatives = _mean(as_negative, ~positive) - prior * _mean(as_negative, positive)
    if negatives >= 0:
        return as_positive + negatives
    return as_positive.detach() - (negatives - negatives.detach())


def fit_temperature(logits: Tensor, target: Tensor) -> float:
    """Return the T > 0 for which ``sigmoid(logits / T)`` has the least negative log-likelihood.

    Guo et al. 2017, "On calibration of modern neural networks", section 4.2. Ranks stay. T lies
    between 0.05 and 20; it ends there where logits part the classes wholly, or not at all.

    Parameters
    ----------
    logits : Tensor
        ``(b,)``, of examples that training did not see.
    target : Tensor
        ``(b,)``, labels 0 and 1, or probabilities between them.

    Raises
    ------
    XGeoAnomError
        If all targets are the same, which no temperature fits.

    Examples
    --------
    >>> logits, target = torch.tensor([8.0, 8.0, 8.0, -8.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    >>> round(fit_temperature(logits, target), 2)
    7.28
    """
    z, y = logits.detach().double(), target.double()
    if not len(y) or (y == y[0]).all():
        raise XGeoAnomError("target holds one class; a temperature needs examples of both")
    # The likelihood is convex in 1 / T: its slope there rises, and is 0 at the best.
    low, high = math.log(1 / HOTTEST), math.log(1 / COOLEST)
    for _ in range(60):
        middle = (low + high) / 2
        slope = (z * (torch.sigmoid(z * math.exp(middle)) - y)).mean()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def _mean(losses: Tensor, members: Tensor) -> Tensor:
    """Return the mean over members; 0 without any."""
    return (losses * members).sum() / members.sum().clamp(min=1)
