"""Selective transfer: kernels of a trained source network, some of them, in a target network.

Huang et al. 2022, Minerals 12(9), 1112, section 3.3. A convolution's kernel is (eqs. 8 and 9)::

    W = (W_S ⊙ P) ⊙ W_t        multiplicative, the paper's
    W = (W_S ⊙ P) + W_t        additive, ours

with W_S the source's kernel, which stays as it is, P a selection and W_t what is learned. The paper
does not say how P is found; ours is learned: P = 1 where s > 0, and its gradient passes straight
through to s (Mallya et al. 2018, "Piggyback").
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from xgeoanom.nets.resnet import ResNet18

FORMS = ("multiplicative", "additive")
SELECTED = 0.01  # where s starts: all is selected (Mallya et al. 2018, section 4)


class Selection(nn.Module):
    """Makes the kernel of a convolution from W_t, by what it selects of a source's kernel.

    Parameters
    ----------
    source : Tensor
        W_S, a copy of which stays frozen.
    form : {"multiplicative", "additive"}
        How W_t joins what was selected.
    """

    source: Tensor

    def __init__(self, source: Tensor, form: str = "multiplicative") -> None:
        super().__init__()
        self.form = form
        self.register_buffer("source", source.detach().clone())
        self.s = nn.Parameter(torch.full_like(source, SELECTED))

    @property
    def share(self) -> float:
        """Share of the source's weights that are selected."""
        return (self.s > 0).float().mean().item()

    def start(self) -> Tensor:
        """Return the W_t of the source itself: 1 where it multiplies, 0 where it adds."""
        same = torch.ones_like if self.form == "multiplicative" else torch.zeros_like
        return same(self.s)

    def forward(self, learned: Tensor) -> Tensor:
        """Return the kernel."""
        selected = self.source * (self.s + ((self.s > 0).float() - self.s).detach())
        return selected * learned if self.form == "multiplicative" else selected + learned


def select_from(source: ResNet18, target: ResNet18, form: str = "multiplicative") -> None:
    """Give ``target`` the source's kernels to select from, and all else of it to start from.

    Every convolution of ``target`` becomes a transfer convolution that starts at the source's.
    A classifier of other classes stays as it is.
    """
    given = source.state_dict()
    if source.classify.out_features != target.classify.out_features:
        given |= {name: v for name, v in target.state_dict().items() if "classify" in name}
    target.load_state_dict(given)
    for layer in _convolutions(target):
        selection = Selection(layer.weight, form)
        with torch.no_grad():
            layer.weight.copy_(selection.start())
        parametrize.register_parametrization(layer, "weight", selection, unsafe=True)


def selections(network: nn.Module) -> dict[str, Selection]:
    """Return the selections of a network by the names of their layers."""
    return {
        name.removesuffix(".parametrizations.weight.0"): module
        for name, module in network.named_modules()
        if isinstance(module, Selection)
    }


def shares_kept(networks: Iterable[nn.Module]) -> dict[str, list[float]]:
    """Return the share of the source's weights kept in each layer of each network."""
    found = [selections(network) for network in networks]
    return {layer: [one[layer].share for one in found] for layer in found[0]}


def sparsity(network: nn.Module) -> Tensor:
    """Return the mean over all kernels of sigmoid(s): what to punish for selecting much."""
    scores = [selection.s for selection in selections(network).values()]
    total = torch.stack([score.sigmoid().sum() for score in scores]).sum()
    return total / sum(score.numel() for score in scores)


def fold(network: nn.Module) -> None:
    """Make one plain kernel of each transfer convolution: it then costs what others cost."""
    for layer in _convolutions(network):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def _convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
