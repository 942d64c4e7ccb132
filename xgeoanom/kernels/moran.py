"""Local Moran's I and its conditional permutations, the same whatever the block.

The values of the whole map, or ``POOL`` of them, are shuffled beforehand. ``k`` neighbours drawn
without replacement are then ``k`` values in a row, from a random start, and their sum is the
difference of two running sums: a draw costs as much for large windows as for small ones. The start
comes from a hash of seed, cell and draw, so that it does not depend on blocks or on the order of
cells.
"""

from typing import NamedTuple

import numpy as np

from xgeoanom.kernels.neighbors import jit
from xgeoanom.kernels.window_sums import BAND, integral_images, window_sums

SHUFFLED = 2**17  # values, at least: a small map is shuffled repeatedly
POOL = 2**20  # values, at most: more would neither fit a cache nor tell more
TIED = 1e-7  # standard deviations; rounding must not part equal sums
WORD = np.uint64(32)


class Shuffles(NamedTuple):
    """Running sums of ``s`` shuffles of ``m`` values out of ``n``, and where each value went."""

    sums: np.ndarray  # (s, m + 1)
    position: np.ndarray  # (s, n), -1 for values outside the pool


def shuffle(values: np.ndarray, rng: np.random.Generator, pool: int = POOL) -> Shuffles:
    """Return shuffles of ``values`` (n,), as many as make ``SHUFFLED`` values.

    Each holds all of them, or ``pool`` at random.
    """
    n = len(values)
    order = np.stack([rng.permutation(n)[:pool] for _ in range(-(-SHUFFLED // n))])
    sums = np.zeros((len(order), order.shape[1] + 1))
    np.cumsum(values[order], axis=1, out=sums[:, 1:])
    position = np.full((len(order), n), -1, dtype="int32")
    np.put_along_axis(position, order, np.arange(order.shape[1], dtype="int32")[None], axis=1)
    return Shuffles(sums, position)


@jit
def _hash(counter):
    """Return 64 mixed bits of a counter (splitmix64: Steele, Lea and Flood 2014, Fig. 16)."""
    bits = counter * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@jit
def _p_value(total, n_neighbors, value, cell, shuffles, permutations, key):
    """Return the two-sided p-value of the neighbours' sum, the cell's own value held fixed."""
    n_shuffles, n = shuffles.sums.shape[0], shuffles.sums.shape[1] - 1
    counter = key + np.uint64(cell) * np.uint64(permutations)
    above, below = 0, 0
    for s in range(n_shuffles):
        sums, own = shuffles.sums[s], shuffles.position[s, cell]
        for draw in range(s, permutations, n_shuffles):
            bits = _hash(counter + np.uint64(draw)) >> WORD
            start = np.int64((bits * np.uint64(n - n_neighbors)) >> WORD)
            stop = start + n_neighbors
            drawn = sums[stop] - sums[start]
            if start <= own < stop:  # the next value in its place
                drawn = sums[stop + 1] - sums[start] - value
            above += drawn >= total - TIED
            below += drawn <= total + TIED
    return min(2 * (min(above, below) + 1) / (permutations + 1), 1.0)


@jit
def local_moran(plane, cells, window, shuffles, permutations, key, out):
    """Write the neighbours' mean and its p-value to ``out`` (2, y, x).

    ``plane`` holds standard scores, wider by half the window on every side; ``cells`` (y, x) each
    cell's number in the whole map. NaN cells are no neighbours, and have none.
    """
    half = window // 2
    sums, counts = np.empty((BAND, out.shape[2])), np.empty((BAND, out.shape[2]))
    for top in range(0, out.shape[1], BAND):
        n_rows = min(BAND, out.shape[1] - top)
        totals, numbers = integral_images(plane[top : top + n_rows + 2 * half])
        window_sums(totals, window, sums[:n_rows])
        window_sums(numbers, window, counts[:n_rows])
        for i in range(n_rows):
            for j in range(out.shape[2]):
                value, n = plane[top + i + half, j + half], np.int64(counts[i, j]) - 1
                out[:, top + i, j] = np.nan
                if np.isnan(value) or n < 1:
                    continue
                total, cell = sums[i, j] - value, np.int64(cells[top + i, j])
                out[0, top + i, j] = total / n
                out[1, top + i, j] = _p_value(total, n, value, cell, shuffles, permutations, key)
