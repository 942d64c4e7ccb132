"""Seeds give independent, repeatable streams and touch no global state."""

import numpy as np
import torch

from xgeoanom.seeding import resolve, streams, torch_seed


def test_same_seed_same_streams_and_zero_counts():
    draws = {seed: [rng.random() for rng in streams(seed, 3)] for seed in (0, 1)}
    assert draws[0] == [rng.random() for rng in streams(0, 3)]
    assert len({*draws[0], *draws[1]}) == 6


def test_more_streams_leave_the_first_ones_alone():
    assert streams(5, 1)[0].random() == streams(5, 9)[0].random()


def test_a_generator_moves_on():
    rng = np.random.default_rng(0)
    assert resolve(rng) != resolve(rng)


def test_none_differs_from_call_to_call():
    assert resolve(None) != resolve(None)


def test_global_states_stay():
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    torch_seed(streams(0, 1)[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
