"""Lazy arrays block by block: each where it lies, to be written or looked at."""

from collections.abc import Callable, Mapping
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.array.optimization import optimize
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph

from xgeoanom.blocks.chunking import Array
from xgeoanom.blocks.running import compute

Block = tuple[str, tuple[int, ...]]  # name of the array, and number of the block along each dim
Region = tuple[slice, ...]


def blocks_of(arrays: Mapping[str, Array]) -> dict[Block, Region]:
    """Return each block of some dask arrays, and which part of its array it is."""
    found = {}
    for name, array in arrays.items():
        edges = [np.cumsum([0, *sizes]).tolist() for sizes in array.chunks]
        for index in np.ndindex(array.numblocks):
            ends = zip(edges, index, strict=True)
            found[name, index] = tuple(slice(along[k], along[k + 1]) for along, k in ends)
    return found


def block_at(arrays: Mapping[str, Array], block: Block) -> np.ndarray:
    """Compute one block."""
    name, index = block
    values: np.ndarray = arrays[name].to_delayed()[index].compute()
    return values


def map_blocks_of(
    func: Callable[[str, Region, np.ndarray], Any],
    arrays: Mapping[str, Array],
    blocks: Mapping[Block, Region],
) -> list[Any]:
    """Return ``func(name, region, values)`` of some ``blocks`` of dask arrays.

    What several arrays are made from is computed once.
    """
    values = {
        name: array.to_delayed(optimize_graph=False) for name, array in _together(arrays).items()
    }
    job = dask.delayed(func, pure=False)
    return compute(
        [job(name, region, values[name][index]) for (name, index), region in blocks.items()]
    )


def _together(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the same arrays over one optimised graph.

    ``dask.optimize`` fuses what they share into each of them, where it is computed again.
    """
    keys = list(flatten([array.__dask_keys__() for array in arrays.values()]))
    graph = optimize(HighLevelGraph.merge(*(array.dask for array in arrays.values())), keys)
    return {
        name: da.Array(graph, array.name, array.chunks, dtype=array.dtype)
        for name, array in arrays.items()
    }
