"""Where blocks are cut: as the user did, on the lattice of the footprint, and not too narrow."""

import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dask.base import is_dask_collection
from dask.system import CPU_COUNT

from xgeoanom.blocks.running import memory_each, n_threads

Array = Any  # numpy or dask

LARGE = 200e6  # bytes; of smaller surveys no chunks are a nuisance
WASTE = 2.0  # times the survey that blocks may read, halos included
COPIES = 4  # of a block that work on it takes, about
LEAST_SIDE = 128  # cells; smaller blocks cost more in calls than in work

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Footprint:
    """What one output cell reads: ``halo`` cells each way, on a lattice of ``step`` cells."""

    halo: int
    step: int = 1


def spatial_chunks(cube: Array, footprint: Footprint) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return row and column chunks that start on the lattice and are no narrower than the halo."""
    least = max(footprint.halo, footprint.step)
    if is_dask_collection(cube):
        rows, cols = (_merge(sizes, least, footprint.step) for sizes in cube.chunks[1:])
        if cube.nbytes > LARGE:
            _warn_of_waste(cube, footprint, rows, cols)
        return rows, cols
    # A band of eight halos recomputes little at its edges; more bands show progress.
    rows_each = -(-cube.shape[1] // CPU_COUNT)
    band = min(rows_each, max(-(-rows_each // 4), 8 * footprint.halo))
    rows = _merge(_cut(cube.shape[1], band), least, footprint.step)
    return rows, (cube.shape[2],)


def _warn_of_waste(
    cube: Array, footprint: Footprint, rows: tuple[int, ...], cols: tuple[int, ...]
) -> None:
    """Warn, with the remedy, where chunks read much of the survey again or may fill the memory."""
    halo, room = 2 * footprint.halo, memory_each() / COPIES
    bytes_a_cell = len(cube) * max(cube.itemsize, 8)
    side = _good_side(footprint, room / bytes_a_cell)
    remedy = f"make them {side} x {side} cells: .chunk(element=-1, y={side}, x={side})"
    block = (max(rows) + halo) * (max(cols) + halo) * bytes_a_cell
    # A chunk may be wider than asked for by a rest that is narrower than the halo or a step.
    if block > room and side + max(footprint.halo, footprint.step) <= max(*rows, *cols):
        warnings.warn(
            f"chunks of {max(rows)} x {max(cols)} cells, with a halo of {footprint.halo}, take "
            f"{block / 1e9:.1f} GB for {len(cube)} elements, and {COPIES} times that at work; "
            f"there are {room * COPIES / 1e9:.1f} GB for each thread; {remedy}",
            stacklevel=2,
        )
    read = [(sum(sizes) + halo * (len(sizes) - 1)) / sum(sizes) for sizes in (rows, cols)]
    cut = [max(sizes) for sizes in (rows, cols) if len(sizes) > 1]
    if read[0] * read[1] > WASTE and side > min(cut):
        warnings.warn(
            f"chunks of {max(rows)} x {max(cols)} cells are small for a halo of {footprint.halo}: "
            f"the survey is read {read[0] * read[1]:.1f} times; {remedy}",
            stacklevel=2,
        )


def _good_side(footprint: Footprint, most_cells: float) -> int:
    """Return the side of a block that reads little twice and fits the memory."""
    wanted = max(8 * footprint.halo, LEAST_SIDE)
    fits = math.sqrt(most_cells) - 2 * footprint.halo
    side = max(min(wanted, fits), footprint.halo, 1)
    return math.ceil(side / footprint.step) * footprint.step


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


def announce(widened: Sequence[Array], layers: int | None) -> None:
    """Log what the work will take before it starts."""
    block = sum(np.prod(array.chunksize, dtype="int64") * array.itemsize for array in widened)
    logger.info(
        "%d blocks of up to %s cells, about %.0f MB each; %d at a time",
        widened[0].npartitions,
        " x ".join(map(str, widened[0].chunksize[1:])),
        block * (1 + (layers or 1) / widened[0].chunksize[0]) / 1e6,
        n_threads(),
    )
