"""Windows read block by block, against naive slices; what an epoch visits and memory holds."""

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.detectors import window_stream
from xgeoanom.detectors.window_stream import WindowStream


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(window_stream, "SIDE", 8)
    monkeypatch.setattr(window_stream, "POOL", 2)


def standardise(values):
    return ((values - 1) / 2).astype("float32")


def survey(ny=21, nx=18, *, missing=0.2, seed=0):
    """Return a cube with missing values, and a mask of cells that are known."""
    rng = np.random.default_rng(seed)
    cube = rng.normal(size=(2, ny, nx))
    cube[:, rng.random((ny, nx)) < missing] = np.nan
    return cube, ~np.isnan(cube).any(axis=0)


def stream_of(cube, known, *, halo=1, most=10**6):
    return WindowStream(cube, known, standardise, halo=halo, most=most)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 11),
    st.sampled_from([None, (3, 5), (7, 2), (20, 20)]),
    st.integers(0, 99),
)
def test_windows_are_padded_slices(shape, halo, chunks, seed):
    cube, known = survey(*shape, missing=0.1, seed=seed)
    padded = np.pad(cube, [(0, 0), (halo, halo), (halo, halo)], constant_values=np.nan)
    cells = np.random.default_rng(seed).integers(0, known.size, 9)
    expected = [
        standardise(padded[:, row : row + 2 * halo + 1, col : col + 2 * halo + 1])
        for row, col in zip(*np.divmod(cells, shape[1]))
    ]
    given_cube = cube if chunks is None else da.from_array(cube, chunks=(1, *chunks))
    with stream_of(given_cube, known, halo=halo) as stream:
        windows = stream.windows(torch.from_numpy(cells))
    assert windows.dtype == torch.float32
    np.testing.assert_array_equal(windows, expected)


def test_cubes_of_integers():
    cube = np.arange(2 * 4 * 5).reshape(2, 4, 5).astype("int16")
    with stream_of(cube, np.ones((4, 5), dtype=bool)) as stream:
        window = stream.windows(torch.tensor([0]))[0]
    np.testing.assert_array_equal(window[:, 1:, 1:], standardise(cube[:, :2, :2]))
    assert window[:, 0].isnan().all()


@pytest.mark.parametrize("shape", [(21, 18), (5, 40), (8, 8), (1, 1)])
def test_an_epoch_visits_each_known_cell_once(shape):
    cube, known = survey(*shape, missing=0 if shape == (1, 1) else 0.2)
    with stream_of(cube, known) as stream:
        assert len(stream) == known.sum()
        orders = [stream.order(random) for random in (generator(), generator(), generator(1))]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.flatnonzero(known))
    assert torch.equal(orders[0], orders[1])
    assert shape == (1, 1) or not torch.equal(orders[0], orders[2])


@given(st.integers(1, 2000), st.integers(0, 99))
def test_fewer_cells_come_from_few_blocks(most, seed):
    cube, known = survey(40, 40, seed=seed)
    with stream_of(cube, known, most=most) as stream:
        random = generator(seed)
        order, other = stream.order(random), stream.order(random)
    n = min(most, known.sum())
    assert len(stream) == len(order) == len(set(order.tolist())) == n
    assert known.ravel()[order].all()
    least = min(known[r : r + 8, c : c + 8].sum() for r in range(0, 40, 8) for c in range(0, 40, 8))
    rows, cols = np.divmod(order.numpy(), 40)
    assert len(set(zip(rows // 8, cols // 8))) <= -(-n // least)
    assert n == 1 or not torch.equal(order, other)
    if n < 200:  # of 25 blocks of some 50 cells, two epochs of few see others
        assert set(order.tolist()) != set(other.tolist())


def test_all_blocks_are_visited_in_the_end():
    cube, known = survey(40, 40)
    with stream_of(cube, known, most=150) as stream:
        random = generator()
        seen = {cell for _ in range(60) for cell in stream.order(random).tolist()}
    assert seen == set(np.flatnonzero(known))


@pytest.mark.parametrize("batch", [16, 100])
def test_memory_holds_few_blocks_however_large_the_survey(batch):
    cube, known = survey(96, 96)
    read = []

    def noted(values):
        read.append(values.shape)
        return standardise(values)

    with WindowStream(cube, known, noted, halo=1, most=10**6) as stream:
        stream.some(50, np.random.default_rng(0))
        for _ in range(2):
            for cells in stream.order(generator()).split(batch):
                stream.windows(cells)
                assert len(stream._held) <= 3 * window_stream.POOL + batch
                # A batch touches at most two groups, each with its next.
                assert len(stream._held) <= max(3, 2 + batch // 50) * window_stream.POOL
    # Each of the 144 blocks is read once in an epoch, but for those that stayed from before.
    assert len(read) <= 2 * 144 + 2 * window_stream.POOL
    assert set(read) == {(2, 10, 10)}


def test_small_surveys_are_read_once():
    cube, known = survey(16, 16)
    read = []
    with WindowStream(
        cube, known, lambda values: read.append(1) or standardise(values), halo=1, most=10**6
    ) as stream:
        for _ in range(3):
            for cells in stream.order(generator()).split(32):
                stream.windows(cells)
    assert len(read) == 4


def test_some_windows_are_those_of_known_cells():
    cube, known = survey(40, 40)
    with stream_of(cube, known) as stream:
        some, again = (stream.some(30, np.random.default_rng(0)) for _ in range(2))
        every = stream.some(10**6, np.random.default_rng(0))
    np.testing.assert_array_equal(some, again)
    assert some.shape == (30, 2, 3, 3)
    assert not some[:, :, 1, 1].isnan().any()
    middles = {tuple(middle) for middle in some[:, :, 1, 1].tolist()}
    assert len(middles) == 30
    assert middles <= {tuple(value) for value in standardise(cube[:, known]).T.tolist()}
    assert 50 < len(every) <= 2 * 64  # of as many blocks as are mixed


def test_blocks_without_a_known_cell_are_not_read():
    cube, known = survey(40, 40, missing=0)
    known[8:] = False
    read = []
    with WindowStream(
        cube, known, lambda values: read.append(1) or standardise(values), halo=1, most=10**6
    ) as stream:
        stream.some(10, np.random.default_rng(0))
        for cells in stream.order(generator()).split(32):
            stream.windows(cells)
    assert len(read) == 5


def test_an_error_in_reading_comes_out():
    def broken(values):
        raise KeyError("inside")

    cube, known = survey()
    with (
        WindowStream(cube, known, broken, halo=1, most=9) as stream,
        pytest.raises(KeyError, match="inside"),
    ):
        stream.windows(torch.tensor([5]))
