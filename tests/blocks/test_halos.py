"""Blocks with a halo against plain numpy: any chunking, any halo, nothing computed early."""

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xgeoanom.blocks import Footprint, collect_halo, map_halo


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
