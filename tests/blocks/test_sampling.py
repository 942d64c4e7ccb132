"""What is told of all blocks from some of them."""

import threading
import time
from types import SimpleNamespace

import dask.array as da
import numpy as np
import psutil
import pytest

from xgeoanom.blocks import sample, sampling
from xgeoanom.blocks.sampling import peak_memory

CHUNK = 4


def slow(n, seconds):
    """A raster of ``n`` blocks of so many seconds each, and the list of those computed."""
    read, lock = [], threading.Lock()

    def block(block_info=None):
        with lock:
            read.append(block_info[None]["chunk-location"][1])
        time.sleep(seconds)
        return np.zeros((CHUNK, CHUNK))

    return da.map_blocks(block, chunks=((CHUNK,), (CHUNK,) * n), dtype=float), read


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(sampling, "n_threads", lambda: 2)


def test_few_blocks_speak_for_all(two_threads):
    raster, read = slow(100, 0.0)
    assert sample({"raster": raster}).n_places == 100
    assert sorted(read[:2]) == sorted(read[2:4]) == [0, 99]
    assert sorted(read[4:]) == [0, 33, 66, 99]


def test_of_few_blocks_all_are_computed(two_threads):
    raster, read = slow(3, 0.0)
    assert sample({"raster": raster}).n_places == 3
    assert sorted(read[:2]) == [0, 2]
    assert sorted(read[2:]) == [0, 1, 2]


def test_seconds_of_a_known_sleep():
    raster, _ = slow(50, 0.1)
    told = sample({"raster": raster})
    expected = 50 * 0.1 / told.n_threads
    assert expected / 2 < told.seconds < 2 * expected + 0.2


def test_what_is_spent_once_counts_once(two_threads, monkeypatch):
    clock = iter([0.0, 9.0, 0.0, 6.0, 0.0, 8.0])  # 9 s to compile, 4 s once, 2 s a round
    fake = SimpleNamespace(perf_counter=lambda: next(clock))
    monkeypatch.setattr(sampling, "time", fake)
    raster, _ = slow(100, 0.0)
    assert sample({"raster": raster}).seconds == 4 + 50 * 2


def test_a_place_is_a_chunk_of_all_arrays(two_threads):
    raster, read = slow(10, 0.0)
    arrays = {"a": raster + 1, "cube": da.stack([raster, raster]), "b": raster * 2}
    assert sample(arrays).n_places == 10
    # 2 + 2 + 4 places: what the arrays share is computed once.
    assert len(read) == 8


def test_peak_memory_is_what_was_held():
    held = np.ones(40_000_000)
    now = psutil.Process().memory_info().rss
    assert now > held.nbytes
    del held
    assert 0.99 * now <= peak_memory() < psutil.virtual_memory().total
    raster, _ = slow(3, 0.0)
    assert sample({"raster": raster}).memory == pytest.approx(peak_memory(), rel=0.5)
