"""Networks that rebuild what they see from a code of few numbers."""

from itertools import pairwise, product

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DenseAutoencoder(nn.Module):
    """Fully connected layers from the elements of one cell to a code, and back.

    Parameters
    ----------
    n_elements : int
        Elements of a cell.
    hidden : tuple of int
        Units of the layers on the way to the code, mirrored behind it. Without any, the network
        is linear and spans what principal components span.
    code : int
        Numbers that a cell must pass through.

    Notes
    -----
    Maps ``(n, element, y, x)`` to itself, each cell alone. Hidden units are tanh: they saturate,
    so that an extreme cell is not rebuilt by running on along a line.
    """

    usual_error: Tensor

    def __init__(self, n_elements: int, hidden: tuple[int, ...], code: int) -> None:
        super().__init__()
        self.encode = _layers((n_elements, *hidden, code))
        self.decode = _layers((code, *reversed(hidden), n_elements))
        self.register_buffer("usual_error", torch.ones(()))

    def forward(self, blocks: Tensor) -> Tensor:
        """Return what the cells look like after the code."""
        return self.decode(self.encode(blocks.movedim(1, -1))).movedim(-1, 1)

    def rebuild(self, blocks: Tensor) -> Tensor:
        """Return the same: a cell has no surroundings here."""
        return self(blocks)


def _layers(widths: tuple[int, ...]) -> nn.Sequential:
    """Return linear layers with tanh between them, none at the end."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class WindowAutoencoder(nn.Module):
    """Convolutions from a window of cells to a code, and back.

    A 3 x 3 convolution of stride 2 covers the window; a second one, as wide as its output, turns
    all of it into the code. Two transposed convolutions mirror them.

    Parameters
    ----------
    n_elements : int
        Elements of a cell.
    window : int
        Odd, at least 3, in cells.
    channels : int
        Of the first convolution and of its mirror.
    code : int
        Numbers that a window must pass through; fewer than elements, so that its centre alone
        does not fit.

    Notes
    -----
    Maps ``(n, element, window, window)`` to itself. No layer pads, so every window of a block can
    be coded in one pass: with stride 1, the second kernel dilated by 2.
    """

    usual_error: Tensor

    def __init__(self, n_elements: int, window: int, channels: int, code: int) -> None:
        super().__init__()
        half = window // 2
        self.local_in = nn.Conv2d(n_elements, channels, 3, stride=2)
        self.code_in = nn.Conv2d(channels, code, half)
        self.code_out = nn.ConvTranspose2d(code, channels, half)
        self.local_out = nn.ConvTranspose2d(channels, n_elements, 3, stride=2)
        self.register_buffer("usual_error", torch.ones(()))

    def forward(self, windows: Tensor) -> Tensor:
        """Return what the windows look like after the code."""
        codes = self.code_in(torch.tanh(self.local_in(windows)))
        return self.local_out(torch.tanh(self.code_out(codes)))

    def rebuild(self, blocks: Tensor) -> Tensor:
        """Return the rebuilt centre of every window, ``(n, element, y, x)`` without the halo."""
        local = torch.tanh(F.conv2d(blocks, self.local_in.weight, self.local_in.bias))
        codes = F.conv2d(local, self.code_in.weight, self.code_in.bias, dilation=2)
        return self._centres(codes)

    def _centres(self, codes: Tensor) -> Tensor:
        """Decode the centre cell of each window only, from the one or four taps that reach it."""
        half = self.code_out.kernel_size[0]
        taps = range((half - 1) // 2, half // 2 + 1)
        bias: Tensor = self.local_out.bias  # type: ignore[assignment]
        centres = bias[:, None, None]
        for row, col in product(taps, taps):
            to_channels = self.code_out.weight[:, :, row, col].T[..., None, None]
            local = torch.tanh(F.conv2d(codes, to_channels, self.code_out.bias))
            at = half - 2 * row, half - 2 * col
            to_elements = self.local_out.weight[:, :, at[0], at[1]].T[..., None, None]
            centres = centres + F.conv2d(local, to_elements)
        return centres


def window_errors(rebuilt: Tensor, values: Tensor, known: Tensor) -> Tensor:
    """Return the mean squared error ``(n,)`` of each window over its ``known`` values."""
    squares = (rebuilt - values).square() * known
    return squares.flatten(1).sum(dim=1) / known.flatten(1).sum(dim=1)


def trimmed_mean(errors: Tensor, trim: float) -> Tensor:
    """Return the mean of ``errors`` without the largest, a share ``trim`` rounded down.

    >>> trimmed_mean(torch.tensor([9.0, 1.0, 2.0, 3.0]), 0.25)
    tensor(2.)
    """
    n_kept = len(errors) - int(trim * len(errors))
    return errors.topk(n_kept, largest=False).values.mean()
