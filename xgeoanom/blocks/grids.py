"""Arrays built from the places of their cells."""

from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np


def map_grid(
    func: Callable[..., np.ndarray],
    y: np.ndarray,
    x: np.ndarray,
    *,
    layers: int,
    chunks: tuple[int, int],
    shared: Any = None,
    dtype: str = "float64",
) -> da.Array:
    """Build a lazy ``(layers, y, x)`` array from ``func(y, x, shared)`` on blocks of a grid.

    ``y`` and ``x`` are the cell centres (1-D); ``func`` gets those of its block. ``shared`` may
    be a delayed object: an index built once, say.
    """
    rows = da.from_array(y, chunks=chunks[0])[None, :, None]
    cols = da.from_array(x, chunks=chunks[1])[None, None, :]

    def on_block(rows: np.ndarray, cols: np.ndarray, shared: Any) -> np.ndarray:
        return func(rows.ravel(), cols.ravel(), shared)

    return da.map_blocks(
        on_block,
        rows,
        cols,
        shared=shared,
        dtype=dtype,
        chunks=((layers,), rows.chunks[1], cols.chunks[2]),
        meta=np.empty((0, 0, 0), dtype=dtype),
    )


def map_places(
    func: Callable[..., np.ndarray],
    y: np.ndarray,
    x: np.ndarray,
    *,
    layers: int,
    chunk: int,
    shared: Any = None,
    dtype: str = "float64",
) -> da.Array:
    """Build a lazy ``(layers, place)`` array from ``func(y, x, shared)`` on runs of places."""
    rows, cols = (da.from_array(axis, chunks=chunk)[None] for axis in (y, x))

    def on_block(rows: np.ndarray, cols: np.ndarray, shared: Any) -> np.ndarray:
        return func(rows[0], cols[0], shared)

    return da.map_blocks(
        on_block,
        rows,
        cols,
        shared=shared,
        dtype=dtype,
        chunks=((layers,), rows.chunks[1]),
        meta=np.empty((0, 0), dtype=dtype),
    )


def lazily(stored: Any, chunks: tuple[int, ...]) -> da.Array:
    """Return what a file holds, an object with shape and slices of it, as a lazy array."""
    meta = np.empty((0,) * stored.ndim, stored.dtype)
    # Its name is of its own: a file of the same name may be another one next time.
    return da.from_array(stored, chunks=chunks, name=False, meta=meta)


def delayed(func: Callable[..., Any], *args: Any) -> Any:
    """Return ``func(*args)`` to be computed once, when first needed."""
    return dask.delayed(func, pure=False)(*args)
