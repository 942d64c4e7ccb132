"""Blocks where they lie: each once, with its region, and what they share computed once."""

import dask
import dask.array as da
import numpy as np
import pytest
from dask.callbacks import Callback
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.blocks import Footprint, block_at, blocks_of, map_blocks_of, map_halo, regions


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


@given(chunked(), chunked((4, 60)))
def test_each_block_comes_with_its_region(cube, raster):
    arrays = {"cube": cube, "raster": raster - raster.mean()}
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


def counted(width=3):
    """A source of 2 x ``width`` blocks, and the list of those that were computed."""
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.ones(block_info[None]["chunk-shape"])

    return da.map_blocks(block, chunks=((5, 5), (4,) * width), dtype=float), read


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


def sums_of(arrays):
    """Sum blocks, one at a time, so that their order is known."""
    blocks = blocks_of(arrays)
    with dask.config.set(scheduler="synchronous"):
        return map_blocks_of(lambda name, region, values: values.sum(), arrays, blocks)


def above(block, shared):
    """Add the neighbour above, nothing above the first row, and what is shared."""
    return np.nan_to_num(block[0, :-2, 1:-1]) + block[0, 1:-1, 1:-1] + shared.sum()


def with_neighbours(source, shared):
    return map_halo(above, source[None], footprint=Footprint(1), shared=shared, dtype="float64")


def most_held(n_blocks):
    """The most blocks that were held at a time, in a survey of so many each way."""
    held = []

    def note(key, value, dsk, state, worker):
        arrays = [v for v in state["cache"].values() if isinstance(v, np.ndarray)]
        held.append(sum(array.nbytes for array in arrays) / 800)

    source = da.ones((10 * n_blocks, 10 * n_blocks), chunks=10)
    with Callback(posttask=note):
        sums = sums_of({"score": with_neighbours(source, np.zeros(3))})
    assert sums == [190.0] * n_blocks + [200.0] * (n_blocks * (n_blocks - 1))
    return max(held)


@pytest.fixture
def two_threads(monkeypatch):
    """Tiles of 8 blocks each way, however many cores there are."""
    monkeypatch.setattr(regions, "n_threads", lambda: 2)


def test_a_large_survey_holds_less_than_a_row_of_blocks(two_threads, monkeypatch):
    monkeypatch.setattr(regions, "TILE", 6)
    assert most_held(36) < 36  # of 36 x 36; in one piece 61, where tiles hold 26


def test_edges_of_tiles_are_read_for_both_and_nothing_else_is(two_threads):
    source, read = counted(width=30)  # four tiles, of 8, 8, 7 and 7
    sums_of({"score": with_neighbours(source, np.zeros(3))})
    assert len(read) == 2 * 30 + 2 * 6
    assert sorted(set(read)) == list(np.ndindex(2, 30))
    read.clear()
    sums_of({"double": source * 2, "more": source + 1})
    assert sorted(read) == list(np.ndindex(2, 30))


def test_what_all_tiles_need_is_computed_once(two_threads):
    source, _ = counted(width=30)
    made = []

    def make():
        made.append("network")
        return np.ones(2)

    score = with_neighbours(source, dask.delayed(make, pure=False)())
    # Blocks of 5 x 4 cells, of 1 + 2; of the first row, 16 cells have a neighbour above.
    expected = [20 * 3.0 + 16] * 30 + [20 * 3.0 + 20] * 30
    assert sums_of({"score": score, "more": score + 1}) == [
        *expected,
        *(each + 20 for each in expected),
    ]
    assert made == ["network"]


def test_a_mean_that_all_tiles_need_is_computed_once(two_threads):
    source, read = counted(width=30)
    np.testing.assert_allclose(sums_of({"centred": source - source.mean()}), 0)
    assert sorted(set(read)) == list(np.ndindex(2, 30))
    # For the mean, and again for itself: not all of it is held.
    assert 100 < len(read) <= 120


def test_an_error_in_what_all_tiles_need_comes_out(two_threads):
    def fail():
        raise KeyError("network")

    score = with_neighbours(counted(width=30)[0], dask.delayed(fail, pure=False)())
    with pytest.raises(KeyError, match="network"):
        sums_of({"score": score})
