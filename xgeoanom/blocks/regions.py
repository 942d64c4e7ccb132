"""Lazy arrays block by block: each where it lies, to be written or looked at."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import dask
import numpy as np
from dask.array.optimization import optimize
from dask.core import flatten, get_dependencies
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.optimization import cull

from xgeoanom.blocks.chunking import Array
from xgeoanom.blocks.running import compute_in_turn, n_threads

Block = tuple[str, tuple[int, ...]]  # name of the array, and number of the block along each dim
Region = tuple[slice, ...]
Graph = dict[Any, Any]

TILE = 8  # blocks each way that are computed before others


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

    What several arrays are made from is computed once, but for what neighbours at the edge of two
    tiles both read; see :func:`_tiles`.
    """
    if not blocks:
        return []
    tiles = _tiles(blocks)
    graph = _together(arrays)
    if len(tiles) > 1:
        graph |= _common(graph, arrays, blocks)
    job = dask.delayed(func, pure=False)
    rounds = []
    for tile in tiles:
        keys = {(name, index): (arrays[name].name, *index) for name, index in tile}
        part, _ = cull(graph, list(keys.values()))
        rounds.append([job(b[0], blocks[b], Delayed(keys[b], part)) for b in tile])
    found = compute_in_turn(rounds)
    results = dict(zip(chain.from_iterable(tiles), chain.from_iterable(found), strict=True))
    return [results[block] for block in blocks]


def _tiles(blocks: Mapping[Block, Region]) -> list[list[Block]]:
    """Group blocks into tiles along the last two dims, to be computed in turn.

    What dask reads for a block and its neighbours it holds until they are done, about two rows of
    blocks or two columns. In tiles of ``TILE`` blocks each way that takes no more memory in a
    larger survey; in exchange blocks at the edge of two tiles are read for both.
    """
    side = max(TILE, 2 * n_threads())
    firsts = [
        _firsts([_start(region, dim) for region in blocks.values()], side) for dim in (-2, -1)
    ]
    tiles: dict[tuple[int, ...], list[Block]] = {}
    for block, region in blocks.items():
        place = (bisect_right(firsts[dim], _start(region, dim)) for dim in (-2, -1))
        tiles.setdefault(tuple(place), []).append(block)
    return [tiles[place] for place in sorted(tiles)]


def _start(region: Region, dim: int) -> int:
    return region[dim].start if len(region) >= -dim else 0


def _firsts(starts: Sequence[int], side: int) -> list[int]:
    """Return where tiles begin that hold at most ``side`` of the starts of blocks, evenly."""
    places = np.unique(starts)
    return [part[0] for part in np.array_split(places, -(-len(places) // side))]


def _together(arrays: Mapping[str, Array]) -> Graph:
    """Return one optimised graph of all arrays.

    ``dask.optimize`` fuses what they share into each of them, where it is computed again.
    """
    keys = list(flatten([array.__dask_keys__() for array in arrays.values()]))
    return dict(optimize(HighLevelGraph.merge(*(array.dask for array in arrays.values())), keys))


def _common(graph: Graph, arrays: Mapping[str, Array], blocks: Mapping[Block, Region]) -> Graph:
    """Compute what all tiles need (networks, samples, a mean), and return it by its keys.

    That is what both the first and the last of an array's ``blocks`` are made from.
    """
    wanted: Graph = {}
    for name, array in arrays.items():
        indices = [index for each, index in blocks if each == name]
        if len(indices) > 1:
            first, last = (_sources(graph, (array.name, *indices[k])) for k in (0, -1))
            both = first & last
            read = {key for each in first - both for key in get_dependencies(graph, each)}
            wanted |= {key: Delayed(key, graph) for key in read & both}
    computed = dask.persist(*wanted.values())
    return {key: each.dask[key] for key, each in zip(wanted, computed, strict=True)}


def _sources(graph: Graph, key: Any) -> set[Any]:
    """Return all keys that ``key`` is made from, itself included."""
    found, left = set(), [key]
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += get_dependencies(graph, each)
    return found
