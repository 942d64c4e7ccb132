"""Functions of a block and its surroundings, over the whole survey."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import is_dask_collection

from xgeoanom.blocks.chunking import Array, Footprint, announce, spatial_chunks
from xgeoanom.blocks.running import compute, on_threads, one_blas_thread


def map_halo(
    func: Callable[..., np.ndarray],
    cube: Array,
    *rasters: Array,
    footprint: Footprint,
    shared: Any = None,
    layers: int | None = None,
    dtype: str = "float32",
) -> Array:
    """Apply ``func(block, *rasters, shared)`` to blocks of ``cube`` widened by a halo of NaN.

    ``cube`` is ``(element, y, x)``, each raster ``(y, x)``. ``func`` receives both with
    ``footprint.halo`` more cells on every side, NaN outside the survey, and returns an array
    over its block without the halo: ``(y, x)``, or ``(layers, y, x)`` where ``layers`` is given.
    A dask cube gives a dask result; a numpy cube is cut into bands that run on dask's threads.
    ``shared`` (networks, say) travels to the workers once.
    """
    rows, cols = spatial_chunks(cube, footprint)
    widened, on_block = _blocks_with_halo(func, cube, rasters, footprint, rows, cols)
    result = da.map_blocks(
        on_block,
        *widened,
        shared=shared if shared is None else dask.delayed(shared, pure=False, traverse=False),
        dtype=dtype,
        chunks=(rows, cols) if layers is None else ((layers,), rows, cols),
        drop_axis=[0] if layers is None else [],
        meta=np.empty((0,) * (2 if layers is None else 3), dtype=dtype),
    )
    announce(widened, layers)
    if is_dask_collection(cube):
        return result
    with on_threads():
        return compute([result])[0]


def collect_halo(
    func: Callable[..., Any], cube: Array, *rasters: Array, footprint: Footprint, shared: Any
) -> list[Any]:
    """Return what ``func`` makes of each block of :func:`map_halo`, to be put together: at once.

    ``func`` may return anything small: sums over the cells of a block, say.
    """
    rows, cols = spatial_chunks(cube, footprint)
    widened, on_block = _blocks_with_halo(func, cube, rasters, footprint, rows, cols)
    shared = dask.delayed(shared, pure=False, traverse=False)
    blocks = zip(*(array.to_delayed().ravel() for array in widened), strict=True)
    jobs = [dask.delayed(on_block, pure=False)(*block, shared=shared) for block in blocks]
    with nullcontext() if is_dask_collection(cube) else on_threads():
        return compute(jobs)


def _blocks_with_halo(
    func: Callable[..., Any],
    cube: Array,
    rasters: Sequence[Array],
    footprint: Footprint,
    rows: tuple[int, ...],
    cols: tuple[int, ...],
) -> tuple[list[da.Array], Callable[..., Any]]:
    """Return cube and rasters in blocks with a halo, and ``func`` to be applied to these."""
    source = da.asarray(cube).rechunk((cube.shape[0], rows, cols))
    halo = min(footprint.halo, cube.shape[1]), min(footprint.halo, cube.shape[2])
    missing = footprint.halo - halo[0], footprint.halo - halo[1]
    widened = [_widen(source, halo)]
    widened += [_widen(da.asarray(raster).rechunk((rows, cols)), halo) for raster in rasters]

    def on_block(*blocks: np.ndarray, shared: Any) -> Any:
        with one_blas_thread():
            return func(*(_pad(block, missing) for block in blocks), shared)

    return widened, on_block


def _widen(array: da.Array, halo: tuple[int, int]) -> da.Array:
    first = array.ndim - 2
    depth = {first: halo[0], first + 1: halo[1]}
    return da.overlap.overlap(
        array.astype("float64" if array.dtype.kind in "iub" else array.dtype),
        depth=depth,
        boundary=dict.fromkeys(depth, np.nan),
        allow_rechunk=False,
    )


def _pad(block: np.ndarray, missing: tuple[int, int]) -> np.ndarray:
    """Widen a block whose halo exceeds the survey by what dask could not give."""
    if missing == (0, 0):
        return block
    edges = [(0, 0)] * (block.ndim - 2) + [(n, n) for n in missing]
    return np.pad(block, edges, constant_values=np.nan)
