"""How windows on a lattice vote for the cells that they cover."""

import numpy as np
import torch
from torch import nn

from xgeoanom.detectors.training_set import KNOWN
from xgeoanom.errors import WindowError

BATCH_CELLS = 2**20  # cells of all windows that networks see at a time
MOST_WINDOWS = 128


def check_sizes(window: int, step: int, crop: int, dilations: tuple[int, ...]) -> None:
    """Raise WindowError unless windows tile their lattice and all fronts leave something."""
    for field, value in (("window", window), ("crop", crop)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise WindowError(f"{field}={value!r} must be an integer: cells a side; try 32")
    if window % step:
        raise WindowError(f"step={step} must divide window={window}")
    if crop > window:
        raise WindowError(f"crop={crop} must not exceed window={window}")
    if crop <= 2 * max(dilations):
        raise WindowError(
            f"dilations={dilations} leave nothing of crop={crop}: each takes twice its cells; take "
            "smaller ones"
        )


def votes_over_block(
    network: nn.Module, block: np.ndarray, *, size: int, step: int, crop: int
) -> np.ndarray:
    """Return the share of votes and the mean probability ``(2, y, x)`` without the halo.

    ``block`` is ``(element, y, x)`` with a halo of ``size - step``, and begins on the lattice.
    """
    halo = size - step
    shape = [n - 2 * halo for n in block.shape[1:]]
    n_tiles = [-(-n // step) for n in shape]
    over = [(0, t * step - n) for t, n in zip(n_tiles, shape, strict=True)]
    block = np.pad(block, [(0, 0), *over], constant_values=np.nan)
    known = ~np.isnan(block).any(axis=0)
    counted = _windows_of(known, size, step).mean(axis=(2, 3)) > KNOWN
    windows = _windows_of(block, size, step)
    probability = probabilities(network, windows, np.argwhere(counted), crop)
    verdict = np.zeros((3, *counted.shape))
    verdict[0, counted] = (probability > 0.5).mean(axis=0)
    verdict[1, counted] = probability.mean(axis=0)
    verdict[2] = counted
    votes, mean, n_windows = _sums_over_tiles(verdict, size // step, n_tiles)
    with np.errstate(invalid="ignore"):
        tiles = np.stack([votes, mean]) / n_windows
    cells = tiles.repeat(step, axis=1).repeat(step, axis=2)[:, : shape[0], : shape[1]]
    return np.where(known[halo:, halo:][: shape[0], : shape[1]], cells, np.nan)


@torch.inference_mode()
def probabilities(network: nn.Module, windows: np.ndarray, at: np.ndarray, crop: int) -> np.ndarray:
    """Return the probability ``(network, len(at))`` of a deposit in the middles of windows.

    ``windows`` is ``(element, row, col, size, size)``, best a view, NaN where missing; ``at``
    rows and columns of those that are wanted.
    """
    where = next(network.parameters()).device
    first = (windows.shape[-1] - crop) // 2
    middle = slice(first, first + crop)
    found = []
    each = max(1, min(MOST_WINDOWS, BATCH_CELLS // crop**2))
    for start in range(0, max(len(at), 1), each):
        rows, cols = at[start : start + each].T
        values = np.moveaxis(windows[:, rows, cols, middle, middle], 0, 1)
        x = torch.from_numpy(np.nan_to_num(values)).to(where)
        found.append(network(x).softmax(dim=2)[..., 1].cpu().numpy())
    return np.concatenate(found, axis=1)


def _windows_of(array: np.ndarray, size: int, step: int) -> np.ndarray:
    """Return a view ``(..., row, col, size, size)`` of the lattice's windows."""
    axes = array.ndim - 2, array.ndim - 1
    every = np.lib.stride_tricks.sliding_window_view(array, (size, size), axis=axes)
    return every[..., ::step, ::step, :, :]


def _sums_over_tiles(windows: np.ndarray, reach: int, n_tiles: list[int]) -> np.ndarray:
    """Sum ``(layer, row, col)`` of windows over those that cover each tile of the lattice."""
    rows, cols = n_tiles
    total = np.zeros((len(windows), rows, cols))
    for down in range(reach):
        for across in range(reach):
            total += windows[:, down : down + rows, across : across + cols]
    return total
