"""The windows of a block, and what a network makes of them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

BATCH = 512  # windows at a time


def windows_of(block: np.ndarray, side: int) -> np.ndarray:
    """Return a view ``(row, column, y, x, element)`` of all windows of ``(y, x, element)``."""
    windows = np.lib.stride_tricks.sliding_window_view(block, (side, side), axis=(0, 1))
    return np.moveaxis(windows, 2, -1)


def map_windows(block: np.ndarray, side: int, func: Callable[[Tensor], np.ndarray]) -> np.ndarray:
    """Return ``func`` of the window around each known cell of a block; NaN where one is missing.

    ``block`` is ``(element, y, x)`` with a halo of half a window, NaN where missing. ``func`` maps
    windows ``(b, element, side, side)`` to ``(b,)`` or ``(b, k)``; the result is ``(y, x)`` or
    ``(k, y, x)``, without the halo.

    >>> block = np.arange(12.0, dtype="float32").reshape(1, 3, 4)
    >>> map_windows(block, 3, lambda x: x.mean(dim=(1, 2, 3)).numpy())
    array([[5., 6.]], dtype=float32)
    """
    halo = side // 2
    inside = tuple(slice(halo, size - halo) for size in block.shape[1:])
    known = ~np.isnan(block).any(axis=0)[inside]
    rows, cols = np.nonzero(known)
    # Elements last: a window is then copied row by row.
    windows = windows_of(np.ascontiguousarray(np.moveaxis(block, 0, -1)), side)
    found = []
    for start in range(0, max(len(rows), 1), BATCH):  # once without cells too, to learn k
        at = rows[start : start + BATCH], cols[start : start + BATCH]
        found.append(func(torch.from_numpy(windows[at]).permute(0, 3, 1, 2)))
    values = np.concatenate(found)
    result = np.full((*values.shape[1:], *known.shape), np.nan, dtype=values.dtype)
    result[..., rows, cols] = values.T
    return result
