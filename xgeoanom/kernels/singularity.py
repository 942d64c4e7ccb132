"""Means in windows of growing size, and the power law through them."""

import numpy as np

from xgeoanom.kernels.neighbors import jit
from xgeoanom.kernels.window_sums import BAND, integral_images, window_sums

FLAT = 1e-11  # spread of logarithms that is nothing but rounding


@jit
def square_means(plane, sizes, halo, out):
    """Write the means over square windows to ``out`` (size, y, x), of values that are not NaN.

    ``plane`` is wider by ``halo`` on every side. A window without values gives NaN.
    """
    count = np.empty((BAND, out.shape[2]))
    for top in range(0, out.shape[1], BAND):
        part = out[:, top : top + BAND]
        n_rows = part.shape[1]
        sums, counts = integral_images(plane[top : top + n_rows + 2 * halo])
        for k in range(len(sizes)):
            window_sums(sums, sizes[k], part[k])
            window_sums(counts, sizes[k], count[:n_rows])
            part[k] /= count[:n_rows]


def ellipse_rows(
    size: float, ratio: float, bearing: float, height: float, width: float
) -> np.ndarray:
    """Return the rows of cells whose centres lie in an ellipse as large as ``size ** 2`` cells.

    ``ratio`` is its long axis by its short one; ``bearing`` the long one's direction, in degrees
    clockwise from north; ``height`` and ``width`` those of a cell, negative where y or x descends.

    Returns
    -------
    numpy.ndarray
        ``(row, 3)`` integers: row offset, first column offset, and one past the last.
    """
    area = size**2 * abs(height * width)
    long, short = np.sqrt(area * ratio / np.pi), np.sqrt(area / ratio / np.pi)
    reach = np.arange(-int(long / min(abs(height), abs(width))) - 1, 0)
    reach = np.concatenate([reach, [0], -reach[::-1]])
    north, east = height * reach[:, None], width * reach[None, :]
    sin, cos = np.sin(np.radians(bearing)), np.cos(np.radians(bearing))
    along, across = east * sin + north * cos, east * cos - north * sin
    inside = (along / long) ** 2 + (across / short) ** 2 <= 1 + 1e-9
    full = inside.any(axis=1)
    first = inside[full].argmax(axis=1)
    return np.stack([reach[full], reach[first], reach[first] + inside[full].sum(axis=1)], axis=1)


@jit
def running_sums(plane):
    """Return the sums of values and of their number along each row, ``(y, x + 1)``; NaN is none."""
    rows, cols = plane.shape
    sums, counts = np.zeros((rows, cols + 1)), np.zeros((rows, cols + 1))
    for i in range(rows):
        for j in range(cols):
            known = not np.isnan(plane[i, j])
            sums[i, j + 1] = sums[i, j] + (plane[i, j] if known else 0.0)
            counts[i, j + 1] = counts[i, j] + known
    return sums, counts


@jit
def shape_means(sums, counts, shape, halo, out):
    """Write the means over a shape, the rows of :func:`ellipse_rows`, to ``out`` (y, x)."""
    cols = out.shape[1]
    total, count = np.empty(cols), np.empty(cols)
    for i in range(out.shape[0]):
        total[:], count[:] = 0.0, 0.0
        for r in range(len(shape)):
            row, a, b = i + halo + shape[r, 0], halo + shape[r, 1], halo + shape[r, 2]
            for j in range(cols):
                total[j] += sums[row, j + b] - sums[row, j + a]
                count[j] += counts[row, j + b] - counts[row, j + a]
        for j in range(cols):
            out[i, j] = total[j] / count[j]


@jit
def fit_power_law(means, sizes, valid, out):
    """Write alpha, c and r2 of ``log mean = c + (alpha - 2) log size`` to ``out`` (3, y, x).

    ``means`` is (size, y, x). NaN where a cell is not valid or a mean is not positive; r2 is NaN
    where all means are equal.
    """
    x = np.log(sizes)
    centre, n = x.mean(), len(x)
    x = x - centre
    spread = (x * x).sum()
    logs = np.empty(n)
    for i in range(means.shape[1]):
        for j in range(means.shape[2]):
            known, mean, slope, square = valid[i, j], 0.0, 0.0, 0.0
            for k in range(n):
                known = known and means[k, i, j] > 0
                logs[k] = np.log(means[k, i, j]) if known else np.nan
                mean += logs[k] / n
            for k in range(n):
                slope += x[k] * logs[k] / spread
                square += (logs[k] - mean) ** 2
            out[0, i, j] = 2 + slope
            out[1, i, j] = mean - slope * centre
            out[2, i, j] = slope * slope * spread / square if square > n * FLAT**2 else np.nan
