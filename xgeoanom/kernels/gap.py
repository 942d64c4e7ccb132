"""Local gap statistic: is a window one population or two, and which one is its centre in."""

import numpy as np
from numba import njit


@njit(nogil=True)
def split(ordered: np.ndarray) -> tuple[float, float, int]:
    """Return W1, W2 and the size of the lower cluster of ascending values.

    W1 is the sum of squares about the mean, W2 that about the means of the best two clusters,
    which in one dimension always lie on either side of a threshold.
    """
    n = len(ordered)
    total = ordered.sum()
    mean = total / n
    squares = 0.0
    for value in ordered:
        squares += (value - mean) ** 2
    best, size, below = -1.0, 1, 0.0
    for k in range(1, n):
        below += ordered[k - 1] - mean
        # What two means explain more than one: n1 n2 / n times their difference squared.
        gain = below * below * n / (k * (n - k))
        if gain > best:
            best, size = gain, k
    return squares, max(squares - best, 0.0), size


@njit(nogil=True)
def reference_gaps(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log W1 and log W2 of each row of ascending uniform values."""
    one, two = np.empty(len(draws)), np.empty(len(draws))
    for b in range(len(draws)):
        w1, w2, _ = split(draws[b])
        one[b], two[b] = np.log(w1), np.log(w2)
    return one, two


@njit(nogil=True)
def local_gap(
    padded: np.ndarray, halo: int, expected: np.ndarray, spread: np.ndarray, least: int
) -> np.ndarray:
    """Return the score ``(y, x)`` of each cell of a raster with its halo.

    ``expected`` ``(n, 2)`` is the mean of log W1 and log W2 of n uniform values in [0, 1], and
    ``spread`` ``(n,)`` the error of the first. Windows of fewer than ``least``
    valid cells score NaN.
    """
    ny, nx = padded.shape[0] - 2 * halo, padded.shape[1] - 2 * halo
    score = np.full((ny, nx), np.nan)
    window = np.empty((2 * halo + 1) ** 2)
    for i in range(ny):
        for j in range(nx):
            centre = padded[i + halo, j + halo]
            if np.isnan(centre):
                continue
            n = 0
            for row in range(i, i + 2 * halo + 1):
                for col in range(j, j + 2 * halo + 1):
                    if not np.isnan(padded[row, col]):
                        window[n] = padded[row, col]
                        n += 1
            if n >= least:
                score[i, j] = score_window(np.sort(window[:n]), centre, expected[n], spread[n])
    return score


@njit(nogil=True)
def score_window(ordered: np.ndarray, centre: float, expected: np.ndarray, spread: float) -> float:
    """Return the centre's membership in the upper cluster times what two clusters gain."""
    low, high = ordered[0], ordered[-1]
    if low == high:
        return 0.0
    w1, w2, size = split(ordered)
    w2 = max(w2, 1e-12 * w1)  # two values alone: as far apart as can be
    # Uniform references on the window's range would shift log W1 and log W2 alike: that cancels.
    gain = (expected[1] - np.log(w2)) - (expected[0] - np.log(w1))
    if gain <= spread:
        return 0.0
    below, above = ordered[:size].mean(), ordered[size:].mean()
    membership = min(max((centre - below) / (above - below), 0.0), 1.0)
    return membership * gain
