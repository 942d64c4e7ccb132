"""One path for numpy and dask arrays: halos, grids and gathering. The only dask code."""

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import is_dask_collection
from dask.diagnostics import ProgressBar
from dask.system import CPU_COUNT

Array = Any  # numpy or dask

_THREADS = {"scheduler": "threads"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Footprint:
    """What one output cell reads: ``halo`` cells each way, on a lattice of ``step`` cells."""

    halo: int
    step: int = 1


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
    rows, cols = _spatial_chunks(cube, footprint)
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
    _announce(widened, layers)
    if is_dask_collection(cube):
        return result
    with _progress():
        return result.compute(scheduler="threads")


def collect_halo(
    func: Callable[..., Any], cube: Array, *rasters: Array, footprint: Footprint, shared: Any
) -> list[Any]:
    """Return what ``func`` makes of each block of :func:`map_halo`, to be put together: at once.

    ``func`` may return anything small: sums over the cells of a block, say.
    """
    rows, cols = _spatial_chunks(cube, footprint)
    widened, on_block = _blocks_with_halo(func, cube, rasters, footprint, rows, cols)
    shared = dask.delayed(shared, pure=False, traverse=False)
    blocks = zip(*(array.to_delayed().ravel() for array in widened), strict=True)
    jobs = [dask.delayed(on_block, pure=False)(*block, shared=shared) for block in blocks]
    with _progress():
        return list(dask.compute(*jobs, **({} if is_dask_collection(cube) else _THREADS)))


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
        return func(*(_pad(block, missing) for block in blocks), shared)

    return widened, on_block


def _progress() -> Any:
    return ProgressBar() if sys.stdout.isatty() else nullcontext()


def _announce(widened: Sequence[da.Array], layers: int | None) -> None:
    """Log what the work will take before it starts."""
    block = sum(np.prod(array.chunksize, dtype="int64") * array.itemsize for array in widened)
    logger.info(
        "%d blocks of up to %s cells, about %.0f MB each; %d at a time on this machine",
        widened[0].npartitions,
        " x ".join(map(str, widened[0].chunksize[1:])),
        block * (1 + (layers or 1) / widened[0].chunksize[0]) / 1e6,
        CPU_COUNT,
    )


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


def _spatial_chunks(cube: Array, footprint: Footprint) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return row and column chunks that start on the lattice and are no narrower than the halo."""
    least = max(footprint.halo, footprint.step)
    if is_dask_collection(cube):
        return (
            _merge(cube.chunks[1], least, footprint.step),
            _merge(cube.chunks[2], least, footprint.step),
        )
    # A band of eight halos recomputes little at its edges; more bands show progress.
    rows_each = -(-cube.shape[1] // CPU_COUNT)
    band = min(rows_each, max(-(-rows_each // 4), 8 * footprint.halo))
    rows = _merge(_cut(cube.shape[1], band), least, footprint.step)
    return rows, (cube.shape[2],)


def _cut(length: int, size: int) -> tuple[int, ...]:
    edges = [*range(0, length, max(size, 1)), length]
    return tuple(int(n) for n in np.diff(edges))


def _merge(chunks: Sequence[int], least: int, step: int) -> tuple[int, ...]:
    """Merge and shift chunk edges until each is a multiple of ``step`` and ``least`` apart."""
    length = sum(chunks)
    edges = [0]
    for edge in np.cumsum(chunks)[:-1]:
        snapped = round(edge / step) * step
        if snapped - edges[-1] >= least and length - snapped >= least:
            edges.append(snapped)
    return tuple(int(n) for n in np.diff([*edges, length]))


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


def delayed(func: Callable[..., Any], *args: Any) -> Any:
    """Return ``func(*args)`` to be computed once, when first needed."""
    return dask.delayed(func, pure=False)(*args)


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


def run_all(func: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call ``func`` with each tuple of arguments, on dask's threads, and return the results."""
    jobs = [dask.delayed(func, pure=False)(*task) for task in tasks]
    return list(dask.compute(*jobs, scheduler="threads", num_workers=CPU_COUNT))
