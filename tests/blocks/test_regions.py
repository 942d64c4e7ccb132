"""Blocks where they lie: each once, with its region, and what they share computed once."""

import dask.array as da
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.blocks import block_at, blocks_of, map_blocks_of


@st.composite
def chunked(draw, shape=(3, 9, 7)):
    """Numbers that tell their place, in any chunks."""
    cuts = [
        tuple(np.diff([0, *sorted(draw(st.sets(st.integers(1, n - 1)))), n]).tolist())
        for n in shape
    ]
    return da.from_array(np.arange(np.prod(shape)).reshape(shape), chunks=tuple(cuts))


@given(chunked(), chunked((4, 5)))
def test_blocks_cover_each_cell_once(cube, raster):
    arrays = {"cube": cube, "raster": raster}
    blocks = blocks_of(arrays)
    assert len(blocks) == cube.npartitions + raster.npartitions
    for name, array in arrays.items():
        seen = np.zeros(array.shape, dtype=int)
        for (owner, index), region in blocks.items():
            if owner == name:
                seen[region] += 1
                assert array.blocks[index].shape == seen[region].shape
        assert (seen == 1).all()


@given(chunked(), chunked((4, 5)))
def test_each_block_comes_with_its_region(cube, raster):
    arrays = {"cube": cube, "raster": -raster}
    blocks = blocks_of(arrays)
    found = map_blocks_of(lambda name, region, values: (name, region, values), arrays, blocks)
    assert [name for name, *_ in found] == [name for name, _ in blocks]
    assert [region for _, region, _ in found] == list(blocks.values())
    whole = {name: array.compute() for name, array in arrays.items()}
    for name, region, values in found:
        np.testing.assert_array_equal(values, whole[name][region])
    for block, region in blocks.items():
        np.testing.assert_array_equal(block_at(arrays, block), whole[block[0]][region])


def test_a_scalar_is_one_block():
    arrays = {"sum": da.from_array(np.arange(4.0), chunks=2).sum()}
    assert blocks_of(arrays) == {("sum", ()): ()}
    assert map_blocks_of(lambda name, r, values: float(values), arrays, blocks_of(arrays)) == [6]


def counted():
    """A source of 2 x 3 blocks, and the list of those that were computed."""
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.ones(block_info[None]["chunk-shape"])

    return da.map_blocks(block, chunks=((5, 5), (4, 4, 4)), dtype=float), read


def test_what_arrays_share_is_computed_once():
    source, read = counted()
    arrays = {"double": source * 2, "more": source + 1, "layers": da.stack([source, source])}
    blocks = blocks_of(arrays)
    sums = map_blocks_of(lambda name, region, values: values.sum(), arrays, blocks)
    assert sorted(read) == list(np.ndindex(2, 3))
    assert sum(sums) == 120 * (2 + 2 + 2)


def test_only_what_is_asked_for_is_computed():
    source, read = counted()
    arrays = {"double": source * 2, "more": source + 1}
    blocks = blocks_of(arrays)
    some = {block: blocks[block] for block in [("double", (1, 2)), ("more", (0, 1))]}
    assert map_blocks_of(lambda name, r, values: (name, values.max()), arrays, some) == [
        ("double", 2),
        ("more", 2),
    ]
    assert sorted(read) == [(0, 1), (1, 2)]
    read.clear()
    block_at(arrays, ("more", (1, 1)))
    assert read == [(1, 1)]
    assert map_blocks_of(len, arrays, {}) == []
