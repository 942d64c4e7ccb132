"""Windows of a block against naive slices."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.detectors import block_windows
from xgeoanom.detectors.block_windows import map_windows, windows_of


@st.composite
def blocks(draw):
    side = draw(st.sampled_from([1, 3, 5]))
    ny, nx = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    block = rng.normal(size=(2, ny + side - 1, nx + side - 1)).astype("float32")
    block[rng.random(block.shape) < draw(st.sampled_from([0, 0.2, 1]))] = np.nan
    return block, side


def moments(x):
    """Of a window: its sum, and a sum that knows rows from columns and elements."""
    weights = torch.arange(1.0, 1 + x.shape[1:].numel(), dtype=torch.float64).reshape(x.shape[1:])
    x = x.double().nan_to_num()
    return torch.stack([x.sum(dim=(1, 2, 3)), (x * weights).sum(dim=(1, 2, 3))], dim=1).numpy()


@given(blocks(), st.sampled_from([1, 3, 512]))
def test_mapped_windows_against_a_naive_loop(case, batch):
    block, side = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_windows, "BATCH", batch)
        found = map_windows(block, side, moments)
        first = map_windows(block, side, lambda x: moments(x)[:, 0])
    halo, (ny, nx) = side // 2, (n - side + 1 for n in block.shape[1:])
    assert found.shape == (2, ny, nx)
    for row, col in np.ndindex(ny, nx):
        window = block[:, row : row + side, col : col + side]
        if np.isnan(window[:, halo, halo]).any():
            assert np.isnan(found[:, row, col]).all()
        else:
            expected = moments(torch.from_numpy(window.copy())[None])[0]
            np.testing.assert_allclose(found[:, row, col], expected)
    np.testing.assert_array_equal(first, found[0])


def test_without_a_known_cell_there_are_as_many_layers():
    block = np.full((2, 5, 6), np.nan, dtype="float32")
    found = map_windows(block, 3, lambda x: x.new_zeros(len(x), 4).numpy())
    assert found.shape == (4, 3, 4)
    assert np.isnan(found).all()


def test_windows_are_a_view():
    block = np.arange(2 * 5 * 6.0).reshape(5, 6, 2)
    windows = windows_of(block, 3)
    assert windows.shape == (3, 4, 3, 3, 2)
    assert np.shares_memory(windows, block)
    np.testing.assert_array_equal(windows[1, 2], block[1:4, 2:5])
