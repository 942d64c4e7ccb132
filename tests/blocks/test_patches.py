"""Patches, windows and blocks of a cube against slices of a padded array."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xgeoanom.blocks import gather, gather_windows, read_block


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 4), st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_gather_equals_padded_slices(ny, nx, halo, chunk):
    rng = np.random.default_rng(1)
    cube = rng.random((3, ny, nx))
    rows, cols = rng.integers(0, ny, 5), rng.integers(0, nx, 5)
    padded = np.pad(cube, [(0, 0), (halo, halo), (halo, halo)], constant_values=np.nan)
    expected = [padded[:, r : r + 2 * halo + 1, c : c + 2 * halo + 1] for r, c in zip(rows, cols)]
    for given_cube in (cube, da.from_array(cube, chunks=(3, chunk, chunk))):
        np.testing.assert_array_equal(gather(given_cube, rows, cols, halo=halo), expected)


def test_gather_reads_only_the_chunks_it_needs():
    read = []

    def block(block_info=None):
        where = block_info[None]["chunk-location"]
        read.append(where)
        return np.zeros(block_info[None]["chunk-shape"])

    cube = da.map_blocks(block, chunks=((2,), (5,) * 8, (5,) * 8), dtype=float)
    gather(cube, np.array([2]), np.array([2]), halo=1)
    assert set(read) == {(0, 0, 0)}


@given(st.data(), st.integers(0, 12), st.sampled_from(["float32", "float64", "int16", "bool"]))
@settings(deadline=None, max_examples=30)
def test_a_block_is_a_padded_slice(data, halo, dtype):
    shape = ny, nx = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    parts = []
    for size in shape:
        start = data.draw(st.integers(0, size - 1))
        parts.append(slice(start, data.draw(st.integers(start + 1, size))))
    cube = (10 * np.random.default_rng(0).random((3, ny, nx))).astype(dtype)
    padded = np.pad(
        cube.astype("float64"), [(0, 0), (halo, halo), (halo, halo)], constant_values=np.nan
    )
    expected = padded[(slice(None), *(slice(p.start, p.stop + 2 * halo) for p in parts))]
    chunk = data.draw(st.integers(1, 5))
    for given_cube in (cube, da.from_array(cube, chunks=(2, chunk, chunk))):
        block = read_block(given_cube, *parts, halo=halo)
        np.testing.assert_array_equal(block, expected)
        assert block.dtype == (dtype if dtype.startswith("float") else "float64")


def test_a_block_reads_only_the_chunks_it_needs():
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.zeros(block_info[None]["chunk-shape"])

    cube = da.map_blocks(block, chunks=((2,), (5,) * 8, (5,) * 8), dtype=float)
    read_block(cube, slice(5, 10), slice(36, 40), halo=1)
    assert sorted(read) == [(0, row, 7) for row in (0, 1, 2)]


@pytest.mark.parametrize("chunks", [None, (3, 4, 5), (1, 20, 2)])
def test_windows_are_gathered_as_slices(chunks):
    cube = np.random.default_rng(2).random((3, 11, 13))
    given_cube = cube if chunks is None else da.from_array(cube, chunks=chunks)
    rows, cols = np.array([0, 7, 2]), np.array([9, 0, 3])
    gathered = gather_windows(given_cube, rows, cols, size=4, func=lambda window: -window)
    assert gathered.dtype == "float32"
    expected = [-cube[:, row : row + 4, col : col + 4] for row, col in zip(rows, cols)]
    np.testing.assert_array_equal(gathered, np.float32(expected))
    none = np.array([], dtype=int)
    assert gather_windows(given_cube, none, none, size=4, func=abs).shape == (0, 3, 4, 4)


def test_windows_read_each_chunk_that_they_need_once():
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.zeros(block_info[None]["chunk-shape"])

    cube = da.map_blocks(block, chunks=((2,), (5,) * 8, (5,) * 8), dtype=float)
    gather_windows(cube, np.array([0, 1, 3]), np.array([5, 6, 5]), size=4, func=np.negative)
    assert sorted(read) == [(0, 0, 1), (0, 1, 1)]
