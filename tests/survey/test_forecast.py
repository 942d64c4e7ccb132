"""What a lazy result is said to cost, against blocks of a known cost."""

import threading
import time

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from surveys import random_survey

from xgeoanom.errors import CubeError
from xgeoanom.survey.coda import clr
from xgeoanom.survey.forecast import Forecast, forecast
from xgeoanom.survey.inverse_distance import idw


def slow_cube(seconds):
    """A cube of 8 x 6 blocks of so many seconds each, and the list of those computed."""
    read, lock = [], threading.Lock()

    def block(block_info=None):
        with lock:
            read.append(block_info[None]["chunk-location"][1:])
        time.sleep(seconds)
        return np.zeros(block_info[None]["chunk-shape"])

    data = da.map_blocks(block, chunks=((3,), (5,) * 8, (4,) * 6), dtype=float)
    return xr.DataArray(data, dims=("element", "y", "x"), name="cube"), read


def test_numbers_of_a_known_cube():
    cube, read = slow_cube(0.1)
    told = forecast(cube)
    assert told.n_blocks == 48
    assert told.size == 3 * 40 * 24 * 8
    expected = 48 * 0.1 / told.n_threads
    assert expected / 2 < told.seconds < 2 * expected + 0.2
    assert 1e7 < told.memory < 1e12
    n = told.n_threads
    assert len(read) == (4 * n if 2 * n <= 48 else 48 + min(n, 48))


def test_all_lazy_variables_count():
    cube, read = slow_cube(0.0)
    ds = cube.to_dataset().assign(
        score=cube[0].astype("float32"), eager=("y", np.zeros(40)), most=cube.max("element")
    )
    told = forecast(ds)
    assert told.n_blocks == 48
    assert told.size == 40 * 24 * (3 * 8 + 4 + 8)
    n = told.n_threads
    assert len(read) == (4 * n if 2 * n <= 48 else 48 + min(n, 48))


def test_of_a_survey():
    cube = clr(idw(random_survey(), spacing=500.0, chunks=(10, 7)))
    told = forecast(cube)
    assert told.n_blocks == cube.data.npartitions
    assert told.size == cube.nbytes
    assert told.seconds > 0


@pytest.mark.parametrize(
    ("seconds", "size", "text"),
    [
        (7.4, 5e6, "2048 blocks, 8 at a time: 7 s, 0.9 GB in a process, result of 5.0 MB"),
        (2460, 31.2e9, "2048 blocks, 8 at a time: 41 min, 0.9 GB in a process, result of 31.2 GB"),
        (9000, 1e8, "2048 blocks, 8 at a time: 2.5 h, 0.9 GB in a process, result of 0.1 GB"),
    ],
)
def test_it_reads_well(seconds, size, text):
    assert str(Forecast(2048, 8, seconds, 0.9e9, size)) == text


def test_what_costs_nothing_or_is_nothing():
    cube, _ = slow_cube(0.0)
    with pytest.raises(CubeError, match="computed already"):
        forecast(cube.compute())
    with pytest.raises(CubeError, match="obj is a ndarray"):
        forecast(np.zeros(3))
    with pytest.raises(CubeError, match="obj is a Array"):
        forecast(cube.data)
