"""Where blocks are cut, and what is said of chunks that are wasteful."""

import re
import warnings

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.blocks import Footprint, chunking, map_halo
from xgeoanom.blocks.chunking import COPIES, LARGE, WASTE, spatial_chunks

GB = 1e9


@pytest.fixture(autouse=True)
def _memory(monkeypatch):
    """As on a worker with 4 GB a thread, wherever the tests run."""
    monkeypatch.setattr(chunking, "memory_each", lambda: 4 * GB)


def survey(side, chunks, n_elements=40):
    """A lazy cube; nothing of it is ever computed."""
    return da.zeros((n_elements, side, side), chunks=(n_elements, *chunks))


def warnings_of(cube, footprint):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows, cols = spatial_chunks(cube, footprint)
    assert (sum(rows), sum(cols)) == cube.shape[1:]
    return [str(warning.message) for warning in caught]


def side_of(message):
    """The side that a warning says to take."""
    y, x = re.search(r"\.chunk\(element=-1, y=(\d+), x=(\d+)\)", message).groups()
    assert y == x
    return int(y)


# ----------------------------------------------------------------------------- where it is cut


def test_blocks_start_on_the_lattice():
    rows, cols = spatial_chunks(da.zeros((1, 50, 50), chunks=(1, 7, 11)), Footprint(0, 4))
    assert len(rows) == 7
    for sizes in (rows, cols):
        assert (np.cumsum((0, *sizes[:-1])) % 4 == 0).all()


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.integers(0, 20),
    st.integers(1, 6),
)
def test_no_block_is_narrower_than_the_halo(sizes, halo, step):
    cube = da.zeros((1, sum(sizes), 1), chunks=(1, tuple(sizes), 1))
    rows, _ = spatial_chunks(cube, Footprint(halo, step))
    assert sum(rows) == sum(sizes)
    assert len(rows) == 1 or min(rows) >= max(halo, step)


@pytest.mark.parametrize("chunks", [(20, 30), ((25, 35), (7, 13, 40)), (60, 60)])
def test_wide_enough_chunks_are_kept(chunks):
    cube = da.zeros((1, 60, 60), chunks=(1, *chunks))
    assert spatial_chunks(cube, Footprint(3)) == cube.chunks[1:]
    result = map_halo(lambda b, s: b[0, 3:-3, 3:-3], cube, footprint=Footprint(3))
    assert result.chunks == cube.chunks[1:]


# --------------------------------------------------------------------------- small chunks


def test_small_chunks_for_a_halo_are_told_of_with_the_remedy():
    [told] = warnings_of(survey(2000, (50, 50)), Footprint(17))
    # 39 seams of two halos along each side: ((2000 + 39 * 34) / 2000) ** 2
    assert "chunks of 50 x 50 cells are small for a halo of 17" in told
    assert "the survey is read 2.8 times" in told
    assert side_of(told) == 136
    assert warnings_of(survey(2000, (136, 136)), Footprint(17)) == []


def test_strips_are_small_too():
    [told] = warnings_of(survey(4000, (2000, 10)), Footprint(10))
    assert "chunks of 2000 x 10 cells are small" in told


def test_chunks_are_kept_in_spite_of_the_warning():
    with pytest.warns(UserWarning, match="small"):
        rows, cols = spatial_chunks(survey(2000, (50, 40)), Footprint(17))
    assert rows == (50,) * 40
    assert cols == (40,) * 50


def test_the_warning_comes_with_the_method():
    with pytest.warns(UserWarning, match=r"\.chunk\("):
        map_halo(lambda b, s: b[0], survey(2000, (50, 50)), footprint=Footprint(17))


def test_without_a_halo_no_chunk_is_small():
    assert warnings_of(survey(2000, (10, 10)), Footprint(0)) == []


# --------------------------------------------------------------------------- large chunks


def test_blocks_that_fill_the_memory_are_told_of_with_the_remedy(monkeypatch):
    monkeypatch.setattr(chunking, "memory_each", lambda: 1 * GB)
    [told] = warnings_of(survey(5000, (5000, 2500)), Footprint(4))
    # (5008 * 2508) cells of 40 float64
    assert "chunks of 5000 x 2500 cells, with a halo of 4, take 4.0 GB for 40 elements" in told
    assert "there are 1.0 GB for each thread" in told
    side = side_of(told)
    assert (side + 8) ** 2 * 40 * 8 * COPIES <= 1 * GB
    assert warnings_of(survey(5000, (side, side)), Footprint(4)) == []


def test_the_same_chunks_are_fine_with_more_memory(monkeypatch):
    cube = survey(5000, (5000, 2500))
    monkeypatch.setattr(chunking, "memory_each", lambda: 17 * GB)
    assert warnings_of(cube, Footprint(4)) == []
    monkeypatch.setattr(chunking, "memory_each", lambda: np.inf)  # a cluster without limits
    assert warnings_of(cube, Footprint(4)) == []


def test_float32_counts_as_what_it_becomes(monkeypatch):
    monkeypatch.setattr(chunking, "memory_each", lambda: 1 * GB)
    cube = survey(1200, (1200, 1200)).astype("int16")
    assert cube.nbytes < LARGE
    assert warnings_of(cube, Footprint(4)) == []
    [told] = warnings_of(survey(2000, (2000, 2000)).astype("float32"), Footprint(4))
    assert "take 1.3 GB" in told


# ------------------------------------------------------------------------------- in general


@pytest.mark.parametrize("chunks", [(50, 50), (500, 10), (790, 790)])
def test_of_small_surveys_nothing_is_said(chunks, monkeypatch):
    monkeypatch.setattr(chunking, "memory_each", lambda: 1e6)
    cube = survey(790, chunks)
    assert cube.nbytes < LARGE
    assert warnings_of(cube, Footprint(17)) == []


def test_eager_surveys_are_cut_without_a_word():
    assert warnings_of(np.empty((40, 1000, 1000)), Footprint(17)) == []


@given(
    side=st.integers(1000, 20_000),
    n_elements=st.integers(20, 60),
    share=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    halo=st.integers(0, 100),
    step=st.integers(1, 16),
    memory=st.floats(2e7, 1e11),
)
def test_who_follows_a_warning_hears_no_more(side, n_elements, share, halo, step, memory):
    footprint = Footprint(halo, step)
    cube = survey(side, [int(s * side) for s in share], n_elements)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunking, "memory_each", lambda: memory)
        for told in warnings_of(cube, footprint):
            better = side_of(told)
            if side / better <= 100:  # else it takes long to make so many chunks
                again = survey(side, (better, better), n_elements)
                assert warnings_of(again, footprint) == []


@given(halo=st.integers(1, 60), chunk=st.integers(10, 300))
def test_the_survey_is_never_read_too_often_unsaid(halo, chunk):
    side = 1500
    cube = survey(side, (chunk, chunk))
    told = warnings_of(cube, Footprint(halo))
    rows, cols = (len(sizes) for sizes in spatial_chunks_quietly(cube, Footprint(halo)))
    read = (1 + 2 * halo * (rows - 1) / side) * (1 + 2 * halo * (cols - 1) / side)
    assert bool(told) == (read > WASTE)


def spatial_chunks_quietly(cube, footprint):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spatial_chunks(cube, footprint)
