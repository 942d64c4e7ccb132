"""Pixel pairs: which cells are compared, in batches of bounded size, and where results go."""

import numpy as np
from numba import njit


def training_pairs(
    mineralised: np.ndarray, background: np.ndarray, *, both_orders: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return index pairs ``(n, 2)`` and labels (0 similar, 1 dissimilar).

    Similar pairs are the ordered pairs within a class, dissimilar ones the cross product in one
    order (mineralised, background), as the counts of Table 2 imply, or in both.

    >>> pairs, labels = training_pairs(np.arange(136), np.arange(136, 272))
    >>> len(pairs), int(labels.sum())
    (55216, 18496)
    """
    similar = [_within(mineralised), _within(background)]
    dissimilar = [_across(mineralised, background)]
    if both_orders:
        dissimilar.append(dissimilar[0][:, ::-1])
    pairs = np.concatenate(similar + dissimilar)
    labels = np.zeros(len(pairs), dtype="float32")
    labels[sum(map(len, similar)) :] = 1.0
    return pairs, labels


def _across(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack([np.repeat(first, len(second)), np.tile(second, len(first))], axis=1)


def _within(cells: np.ndarray) -> np.ndarray:
    pairs = _across(cells, cells)
    return pairs[pairs[:, 0] != pairs[:, 1]]


@njit(nogil=True)
def next_pairs(valid, halo, offsets, both, cursor, first, second):
    """Fill ``first``, ``second`` with the next pairs of valid cells; return how many.

    ``valid`` is a (rows, cols) mask, its outer ``halo`` cells neighbours only. A pair is a cell
    and the cell at one of ``offsets`` (n, 2); it counts if its first cell lies within the halo's
    frame, or, where ``both`` ends are scored, if either does. ``cursor`` (offset, row, col)
    remembers where to go on, so that memory does not grow with the survey. Cells are flat
    indices.
    """
    rows, cols = valid.shape
    n = 0
    k, row, col = cursor
    while k < len(offsets):
        dy, dx = offsets[k]
        while row < min(rows, rows - dy):
            while col < min(cols, cols - dx):
                if n == len(first):
                    cursor[0], cursor[1], cursor[2] = k, row, col
                    return n
                if valid[row, col] and valid[row + dy, col + dx]:
                    wanted = _framed(row, col, rows, cols, halo)
                    if both and not wanted:
                        wanted = _framed(row + dy, col + dx, rows, cols, halo)
                    if wanted:
                        first[n] = row * cols + col
                        second[n] = (row + dy) * cols + col + dx
                        n += 1
                col += 1
            row += 1
            col = max(0, -dx)
        k += 1
        if k < len(offsets):
            row, col = max(0, -offsets[k, 0]), max(0, -offsets[k, 1])
    cursor[0] = k
    return n


@njit(nogil=True)
def _framed(row, col, rows, cols, halo):
    return halo <= row < rows - halo and halo <= col < cols - halo


def first_cursor(offsets: np.ndarray) -> np.ndarray:
    """Return the cursor from which :func:`next_pairs` starts."""
    return np.array([0, max(0, -offsets[0, 0]), max(0, -offsets[0, 1])], dtype="int64")


@njit(nogil=True)
def add_scores(scores, first, second, cols, both, slot_of_radius, sums, counts):
    """Add each pair's score to its first cell and, where ``both``, to its second.

    ``sums`` and ``counts`` are (slot, cells); ``slot_of_radius`` says where a pair belongs by
    the Chebyshev distance of its cells.
    """
    for n in range(len(scores)):
        i, j = first[n], second[n]
        radius = max(abs(i // cols - j // cols), abs(i % cols - j % cols))
        slot = slot_of_radius[radius]
        sums[slot, i] += scores[n]
        counts[slot, i] += 1
        if both:
            sums[slot, j] += scores[n]
            counts[slot, j] += 1
