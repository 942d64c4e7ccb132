"""blocks against plain numpy: any chunking, any halo, nothing computed early."""

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xgeoanom.blocks import (
    Footprint,
    collect_halo,
    delayed,
    gather,
    gather_windows,
    map_grid,
    map_halo,
    read_block,
    run_all,
)


def window_sum(block, *rasters_and_shared):
    """Sum of all values and rasters in a 3 x 5 reach: knows rows from columns."""
    *rasters, halo = rasters_and_shared
    total = np.nansum(block, axis=0) + sum(np.nan_to_num(raster) for raster in rasters)
    ny, nx = (n - 2 * halo for n in total.shape)
    shifts = [
        total[halo + dy : halo + dy + ny, halo + dx : halo + dx + nx]
        for dy in range(-min(halo, 1), min(halo, 1) + 1)
        for dx in range(-min(halo, 2), min(halo, 2) + 1)
    ]
    return np.sum(shifts, axis=0)


@st.composite
def surveys(draw):
    ny, nx = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    halo, step = draw(st.integers(0, 16)), draw(st.integers(1, 4))
    cuts = [
        tuple(np.diff([0, *sorted(draw(st.sets(st.integers(1, n - 1), max_size=5))), n]).tolist())
        if n > 1
        else (1,)
        for n in (ny, nx)
    ]
    return ny, nx, halo, step, cuts


@given(surveys(), st.booleans())
@settings(deadline=None, max_examples=60)
def test_chunked_equals_plain(survey, with_raster):
    ny, nx, halo, step, cuts = survey
    rng = np.random.default_rng(0)
    cube, raster = rng.random((2, ny, nx)), rng.random((ny, nx))
    rasters = (raster,) if with_raster else ()
    padded = [
        np.pad(a, [(0, 0)] * (a.ndim - 2) + [(halo, halo)] * 2, constant_values=np.nan)
        for a in (cube, *rasters)
    ]
    expected = window_sum(*padded, halo)
    footprint = Footprint(halo, step)
    lazy = da.from_array(cube, chunks=(1, *cuts))
    for given_cube in (cube, lazy):
        result = map_halo(
            window_sum, given_cube, *rasters, footprint=footprint, shared=halo, dtype="float64"
        )
        np.testing.assert_allclose(np.asarray(result), expected, rtol=1e-12)
        assert isinstance(result, da.Array) == isinstance(given_cube, da.Array)


def test_blocks_start_on_the_lattice():
    cube = da.zeros((1, 50, 50), chunks=(1, 7, 11))
    result = map_halo(lambda b, s: b[0], cube, footprint=Footprint(0, 4))
    starts = np.cumsum((0, *result.chunks[0][:-1])), np.cumsum((0, *result.chunks[1][:-1]))
    assert all((s % 4 == 0).all() for s in starts)


def test_wide_enough_chunks_are_kept():
    cube = da.zeros((1, 60, 60), chunks=(1, 20, 30))
    result = map_halo(lambda b, s: b[0, 3:-3, 3:-3], cube, footprint=Footprint(3))
    assert result.chunks == ((20, 20, 20), (30, 30))


def test_nothing_is_computed_early():
    def never(*args, **kwargs):
        raise AssertionError("computed")

    cube = da.zeros((2, 20, 20), chunks=(2, 5, 5))
    with dask.config.set(scheduler=never):
        result = map_halo(window_sum, cube, footprint=Footprint(3), shared=3, layers=None)
    assert result.shape == (20, 20)


def test_layers_come_first():
    def two(block, shared):
        return np.stack([block[0], block[1]])

    cube = np.arange(2 * 6 * 5.0).reshape(2, 6, 5)
    np.testing.assert_array_equal(
        map_halo(two, cube, footprint=Footprint(0), layers=2, dtype="float64"), cube
    )


def test_an_error_in_a_block_comes_out():
    def broken(block, shared):
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        map_halo(broken, np.zeros((1, 4, 4)), footprint=Footprint(0))


def test_shared_travels_once():
    cube = da.zeros((1, 40, 40), chunks=(1, 10, 10))
    heavy = np.random.default_rng(0).random(10_000)
    result = map_halo(lambda b, s: b[0], cube, footprint=Footprint(0), shared=heavy)
    sent = sum(len(cloudpickle.dumps(task)) for task in dict(result.dask).values())
    assert heavy.nbytes < sent < 2 * heavy.nbytes


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


def test_map_grid_gives_each_block_its_own_centres():
    y, x = np.arange(7.0)[::-1], np.arange(5.0)

    def func(rows, cols, shared):
        return np.stack([rows[:, None] * shared + cols, rows[:, None] - cols])

    lazy = map_grid(func, y, x, layers=2, chunks=(3, 2), shared=delayed(int, "10"))
    np.testing.assert_array_equal(lazy, [y[:, None] * 10 + x, y[:, None] - x])


def test_run_all_keeps_order():
    assert run_all(lambda a, b: a * b, [(1, 2), (3, 4)]) == [2, 12]


@given(surveys())
@settings(deadline=None, max_examples=30)
def test_collected_blocks_add_up(survey):
    ny, nx, halo, step, cuts = survey
    rng = np.random.default_rng(0)
    cube, raster = rng.random((2, ny, nx)), rng.random((ny, nx))
    footprint = Footprint(halo, step)

    def total(block, raster, shared):
        assert shared == "shared"
        inner = tuple(slice(halo, n - halo) for n in raster.shape)
        return (block[:, *inner] * raster[inner]).sum()

    for given_cube in (cube, da.from_array(cube, chunks=(1, *cuts))):
        parts = collect_halo(total, given_cube, raster, footprint=footprint, shared="shared")
        np.testing.assert_allclose(sum(parts), (cube * raster).sum())
