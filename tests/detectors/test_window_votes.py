"""Votes of windows against a loop over all windows of a survey, however it is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from xgeoanom.detectors import window_votes
from xgeoanom.detectors.window_votes import probabilities, votes_over_block

N_ELEMENTS = 2


class Weighted(nn.Module):
    """Three networks whose logit of a deposit is a weighted sum of a window's cells."""

    def __init__(self, crop):
        super().__init__()
        weight = np.random.default_rng(0).normal(size=(3, N_ELEMENTS, crop, crop))
        self.weight = nn.Parameter(torch.from_numpy(weight))

    def forward(self, x):
        logit = torch.stack([(x * weight).sum(dim=(1, 2, 3)) for weight in self.weight])
        return torch.stack([torch.zeros_like(logit), logit], dim=2)


def survey(ny, nx, *, missing=0.1, seed=0):
    """Return standardised values with single holes and one large one."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(N_ELEMENTS, ny, nx))
    values[:, rng.random((ny, nx)) < missing] = np.nan
    values[0, ny // 2 :, : nx // 2] = np.nan  # one element is enough
    return values


def naive(network, values, size, step, crop):
    """Return share of votes and mean probability, cell by cell and window by window."""
    ny, nx = values.shape[1:]
    halo = size - step
    wide = np.pad(values, [(0, 0), (halo, size), (halo, size)], constant_values=np.nan)
    weight = network.weight.detach().numpy()
    first = (size - crop) // 2
    result = np.full((2, ny, nx), np.nan)
    for y, x in np.argwhere(~np.isnan(values).any(axis=0)):
        votes, probability = [], []
        for row in range(-halo, y + 1, step):
            for col in range(-halo, x + 1, step):
                if row + size <= y or col + size <= x:
                    continue
                top, left = row + halo, col + halo
                window = wide[:, top : top + size, left : left + size]
                if np.isnan(window).any(axis=0).sum() * 2 >= size**2:
                    continue
                part = np.nan_to_num(window[:, first : first + crop, first : first + crop])
                for one in weight:
                    probability.append(1 / (1 + np.exp(-(one * part).sum())))
                    votes.append(probability[-1] > 0.5)
        if votes:
            result[:, y, x] = np.mean(votes), np.mean(probability)
    return result


def scores(network, values, rows, cols, *, size, step, crop):
    """Return the scores of one block, which gets its halo by hand."""
    halo = size - step
    wide = np.pad(values, [(0, 0), (halo, halo), (halo, halo)], constant_values=np.nan)
    block = wide[:, rows.start : rows.stop + 2 * halo, cols.start : cols.stop + 2 * halo]
    return votes_over_block(network, block, size=size, step=step, crop=crop)


@pytest.mark.parametrize(
    ("ny", "nx", "size", "step", "crop"),
    [
        (16, 20, 8, 4, 6),
        (15, 18, 8, 4, 5),  # no whole number of steps; an odd margin
        (13, 11, 6, 2, 6),
        (12, 12, 6, 6, 4),  # windows side by side
        (9, 14, 4, 1, 3),
        (9, 9, 9, 3, 9),  # one window alone lies inside
    ],
)
def test_votes_by_hand(ny, nx, size, step, crop):
    network, values = Weighted(crop), survey(ny, nx)
    how = {"size": size, "step": step, "crop": crop}
    expected = naive(network, values, size, step, crop)
    found = scores(network, values, slice(0, ny), slice(0, nx), **how)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    known = ~np.isnan(values).any(axis=0)
    assert np.isnan(found[:, ~known]).all()
    assert np.isfinite(found[:, known]).any()


@given(
    st.integers(5, 17),
    st.integers(5, 17),
    st.sampled_from([(6, 2, 5), (8, 4, 6), (4, 4, 3), (4, 1, 4)]),
    st.lists(st.integers(0, 16), max_size=2),
    st.lists(st.integers(0, 16), max_size=2),
)
def test_cuts_on_the_lattice_change_nothing(ny, nx, sizes, row_cuts, col_cuts):
    size, step, crop = sizes
    how = {"size": size, "step": step, "crop": crop}
    network, values = Weighted(crop), survey(ny, nx, seed=ny * nx)
    whole = scores(network, values, slice(0, ny), slice(0, nx), **how)
    parts = np.empty_like(whole)
    rows, cols = (
        sorted({0, n} | {cut // step * step for cut in cuts if cut < n})
        for n, cuts in ((ny, row_cuts), (nx, col_cuts))
    )
    for row in map(slice, rows[:-1], rows[1:]):
        for col in map(slice, cols[:-1], cols[1:]):
            parts[:, row, col] = scores(network, values, row, col, **how)
    np.testing.assert_allclose(parts, whole, atol=1e-12)


@pytest.mark.parametrize(("n_known", "counts"), [(8, False), (9, True)])
def test_windows_of_which_half_is_known_do_not_count(n_known, counts):
    values = np.full((N_ELEMENTS, 4, 4), np.nan)
    values.reshape(N_ELEMENTS, -1)[:, :n_known] = 1.0
    found = scores(Weighted(4), values, slice(0, 4), slice(0, 4), size=4, step=4, crop=4)
    known = ~np.isnan(values[0])
    assert np.isnan(found[:, ~known]).all()
    assert (np.isfinite(found[:, known]) == counts).all()


def test_a_block_without_windows():
    values = np.full((N_ELEMENTS, 8, 8), np.nan)
    found = scores(Weighted(3), values, slice(0, 8), slice(0, 8), size=4, step=2, crop=3)
    assert found.shape == (2, 8, 8)
    assert np.isnan(found).all()


@pytest.mark.parametrize(("size", "crop", "first"), [(8, 4, 2), (8, 5, 1), (7, 4, 1), (6, 6, 0)])
def test_middles_of_windows_are_seen(size, crop, first):
    windows = np.random.default_rng(0).normal(size=(N_ELEMENTS, 3, 2, size, size))
    windows[0, 1, 1, size // 2, size // 2] = np.nan
    at = np.array([[0, 1], [1, 1], [2, 0]])
    network = Weighted(crop)
    found = probabilities(network, windows, at, crop)
    assert found.shape == (3, 3)
    for k, (row, col) in enumerate(at):
        part = windows[:, row, col, first : first + crop, first : first + crop]
        logit = (network.weight.detach().numpy() * np.nan_to_num(part)).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(found[:, k], 1 / (1 + np.exp(-logit)))


def test_batches_change_nothing_and_stay_small(monkeypatch):
    windows = np.random.default_rng(0).normal(size=(N_ELEMENTS, 5, 4, 6, 6))
    at = np.argwhere(np.ones((5, 4), dtype=bool))
    network, seen = Weighted(5), []
    network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    whole = probabilities(network, windows, at, 5)
    monkeypatch.setattr(window_votes, "BATCH_CELLS", 3 * 25)
    np.testing.assert_allclose(probabilities(network, windows, at, 5), whole, atol=1e-12)
    assert seen == [20, 3, 3, 3, 3, 3, 3, 2]
    monkeypatch.setattr(window_votes, "BATCH_CELLS", 1)
    np.testing.assert_allclose(probabilities(network, windows, at, 5), whole, atol=1e-12)
