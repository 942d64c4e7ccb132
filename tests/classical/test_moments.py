import dask.array as da
import numpy as np
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.classical.moments import moments_of


def make_cube(values):
    return xr.DataArray(values, dims=("element", "y", "x"))


@given(
    chunks=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 8)),
    offset=st.sampled_from([0.0, 1e6]),
)
def test_equals_numpy(chunks, offset):
    values = np.random.default_rng(0).normal(size=(3, 9, 8)) + offset
    values[1, 2:5, :3] = np.nan
    values[0, 8, 7] = np.inf
    cells = values.reshape(3, -1)
    cells = cells[:, np.isfinite(cells).all(axis=0)]
    for data in (values, da.from_array(values, chunks=chunks)):
        found = moments_of(make_cube(data))
        assert found.n_cells == cells.shape[1] == 9 * 8 - 10
        np.testing.assert_allclose(found.mean, cells.mean(axis=1), rtol=1e-12)
        np.testing.assert_allclose(found.covariance, np.cov(cells), rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(found.least, cells.min(axis=1))
        np.testing.assert_array_equal(found.most, cells.max(axis=1))


def test_blocks_without_cells():
    values = np.random.default_rng(0).normal(size=(2, 4, 6))
    values[:, :, :3] = np.nan
    found = moments_of(make_cube(da.from_array(values, chunks=(2, 2, 3))))
    np.testing.assert_allclose(found.covariance, np.cov(values[:, :, 3:].reshape(2, -1)))
    assert moments_of(make_cube(np.full((2, 3, 3), np.nan))).n_cells == 0


def test_a_chunked_cube_is_read_once():
    read = []

    def note(block):
        if block.size:
            read.append(block.shape)
        return block

    lazy = da.map_blocks(note, da.ones((2, 6, 6), chunks=(2, 3, 2)), dtype="float64")
    read.clear()
    moments_of(make_cube(lazy))
    assert len(read) == lazy.npartitions
