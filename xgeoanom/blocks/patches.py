"""Parts of a cube: patches around cells, windows and blocks, as numpy arrays."""

from collections.abc import Callable

import dask
import dask.array as da
import numpy as np
from dask.base import is_dask_collection

from xgeoanom.blocks.chunking import Array


def gather(cube: Array, rows: np.ndarray, cols: np.ndarray, *, halo: int = 0) -> np.ndarray:
    """Return the patches ``(example, element, dy, dx)`` around cells; NaN outside the survey.

    Patches are ``2 * halo + 1`` cells a side; only the chunks that hold them are read.
    """
    reach = np.arange(-halo, halo + 1)
    row = np.asarray(rows)[:, None, None] + reach[None, :, None]
    col = np.asarray(cols)[:, None, None] + reach[None, None, :]
    row, col = np.broadcast_arrays(row, col)
    inside = (row >= 0) & (row < cube.shape[1]) & (col >= 0) & (col < cube.shape[2])
    at = np.where(inside, row, 0).ravel(), np.where(inside, col, 0).ravel()
    if is_dask_collection(cube):
        values = cube.vindex[:, at[0], at[1]].compute()
    else:
        values = cube[:, at[0], at[1]].T
    values = np.where(inside.ravel()[:, None], values, np.nan)
    return np.moveaxis(values.reshape(*row.shape, cube.shape[0]), -1, 1)


def read_block(cube: Array, rows: slice, cols: slice, *, halo: int) -> np.ndarray:
    """Return a block of ``cube`` with ``halo`` more cells on every side, NaN outside the survey."""
    reach = [
        (max(part.start - halo, 0), min(part.stop + halo, size))
        for part, size in zip((rows, cols), cube.shape[1:], strict=True)
    ]
    block = cube[:, slice(*reach[0]), slice(*reach[1])]
    block = block.compute() if is_dask_collection(block) else block
    if block.dtype.kind in "iub":  # which know no NaN
        block = block.astype("float64")
    edges = [
        (first - (part.start - halo), part.stop + halo - last)
        for part, (first, last) in zip((rows, cols), reach, strict=True)
    ]
    return np.pad(block, [(0, 0), *edges], constant_values=np.nan)


def gather_windows(
    cube: Array,
    rows: np.ndarray,
    cols: np.ndarray,
    *,
    size: int,
    func: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return ``func`` of each window ``(element, size, size)``, stacked, float32.

    ``rows`` and ``cols`` are a window's first; it lies wholly inside the survey. Only the chunks
    that hold windows are read, each of them once.
    """
    windows = [
        cube[:, row : row + size, col : col + size] for row, col in zip(rows, cols, strict=True)
    ]
    if is_dask_collection(cube):
        how = {"dtype": "float32", "meta": np.empty((0, 0, 0), dtype="float32")}
        whole = (window.rechunk(window.shape) for window in windows)
        windows = dask.compute(*(da.map_blocks(func, window, **how) for window in whole))
        func = np.asarray
    gathered = np.empty((len(windows), cube.shape[0], size, size), dtype="float32")
    for k, window in enumerate(windows):
        gathered[k] = func(window)
    return gathered
