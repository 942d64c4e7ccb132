"""One-dimensional convolutional networks along the elements."""

import torch
from torch import Tensor, nn

# METHODS' reconstruction of PPF-CNN (section 4.2): 13 convolutions, channels and strides. The
# text gives 30 channels for C1-C3, 40 from C4, three strides of two, seven plain layers between;
# the taper 40-30-20 after C6 mirrors the network's ancestor (Li, Wu, Zhang and Du 2017).
STRIDES = (1, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 1)
CHANNELS = {
    "taper": (30,) * 3 + (40,) * 3 + (30,) * 3 + (20,) * 4,
    "constant": (30,) * 3 + (40,) * 10,
}


class PairCNN(nn.Module):
    """Thirteen convolutions, average pooling and one fully connected logit.

    Parameters
    ----------
    n_inputs : int
        Input channels: 1 for a difference of two spectra, 2 for a stack of them.
    tail : {"taper", "constant"}
        Channels after C6.

    Notes
    -----
    Maps ``(pair, n_inputs, element)`` to logits ``(pair,)``: large where a pair is dissimilar.
    """

    def __init__(self, n_inputs: int = 1, tail: str = "taper") -> None:
        super().__init__()
        widths = (n_inputs, *CHANNELS[tail])
        # 1 x 3 kernels on a height of one: the form whose channels-last kernels are fast on CPUs.
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, (1, 3), stride=(1, stride), padding=(0, 1))
            for before, after, stride in zip(widths, widths[1:], STRIDES, strict=False)
        )
        self.classify = nn.Linear(widths[-1], 1)
        self.reset_parameters()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def reset_parameters(self) -> None:
        """Draw weights after He et al. 2015, as the network's ancestor does."""
        for layer in self.convolutions:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, pairs: Tensor) -> Tensor:
        """Return one logit for each pair."""
        x = pairs.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        for layer in self.convolutions:
            x = torch.relu_(layer(x))
        return self.classify(x.mean(dim=(2, 3))).squeeze(1)


def multiply_adds(network: nn.Module, *shape: int) -> int:
    """Count the multiply-adds of convolutions and fully connected layers for one example.

    >>> multiply_adds(PairCNN(), 1, 39)
    595130
    """
    counts: list[int] = []

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        weight: Tensor = layer.weight  # type: ignore[assignment]
        counts.append(output.numel() * weight[0].numel())

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv1d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        network(torch.zeros(1, *shape))
    for handle in handles:
        handle.remove()
    return sum(counts)
