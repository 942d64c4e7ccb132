"""One-dimensional convolutions along the elements of one cell."""

import torch
from torch import Tensor, nn

CHANNELS = (1, 16, 32, 64)


class SpectrumCNN(nn.Module):
    """Three convolutions, a global average and one fully connected layer.

    Parameters
    ----------
    out : int
        Units of the last layer.

    Notes
    -----
    Maps ``(cell, element)`` to ``(cell, out)``, for any number of elements. Each convolution
    spans three elements and is followed by batch normalisation and ReLU. Of Xu and Zuo's network
    only the abstract is public: sizes, maximum pooling and the last ReLU are ours. Pooling halves
    lengths rounded up: a last element without a partner stays, and three elements become two,
    then one.

    Examples
    --------
    >>> SpectrumCNN()(torch.zeros(2, 39)).shape
    torch.Size([2, 64])
    """

    def __init__(self, out: int = 64) -> None:
        super().__init__()
        # 1 x 3 kernels on a height of one: the form whose channels-last kernels are fast on CPUs.
        self.convolutions = nn.Sequential(
            *_block(CHANNELS[0], CHANNELS[1]),
            nn.MaxPool2d((1, 2), ceil_mode=True),
            *_block(CHANNELS[1], CHANNELS[2]),
            nn.MaxPool2d((1, 2), ceil_mode=True),
            *_block(CHANNELS[2], CHANNELS[3]),
        )
        self.hidden = nn.Linear(CHANNELS[3], out)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, values: Tensor) -> Tensor:
        """Return ``out`` numbers for each cell, none below 0."""
        spectra = values[:, None, None].contiguous(memory_format=torch.channels_last)
        return torch.relu(self.hidden(self.convolutions(spectra).mean(dim=(2, 3))))


def _block(before: int, after: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, (1, 3), padding=(0, 1))
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]
