"""Arrays built from the places of their cells, against plain numpy."""

import numpy as np

from xgeoanom.blocks import delayed, map_grid, map_places


def test_map_grid_gives_each_block_its_own_centres():
    y, x = np.arange(7.0)[::-1], np.arange(5.0)

    def func(rows, cols, shared):
        return np.stack([rows[:, None] * shared + cols, rows[:, None] - cols])

    lazy = map_grid(func, y, x, layers=2, chunks=(3, 2), shared=delayed(int, "10"))
    np.testing.assert_array_equal(lazy, [y[:, None] * 10 + x, y[:, None] - x])


def test_map_places_gives_each_run_its_own_places():
    y, x = np.arange(7.0), np.arange(7.0)[::-1]

    def func(rows, cols, shared):
        return np.stack([rows * shared + cols, rows - cols])

    lazy = map_places(func, y, x, layers=2, chunk=3, shared=delayed(int, "10"))
    assert lazy.chunks == ((2,), (3, 3, 1))
    np.testing.assert_array_equal(lazy, [y * 10 + x, y - x])


def test_what_is_shared_is_made_once():
    made = []

    def make():
        made.append(1)
        return 2.0

    lazy = map_grid(
        lambda rows, cols, shared: np.full((1, len(rows), len(cols)), shared),
        np.arange(9.0),
        np.arange(9.0),
        layers=1,
        chunks=(3, 3),
        shared=delayed(make),
    )
    assert not made
    np.testing.assert_array_equal(lazy, np.full((1, 9, 9), 2.0))
    assert made == [1]
