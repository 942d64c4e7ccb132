"""Sums over square windows of any size at four look-ups each: integral images."""

import numpy as np

from xgeoanom.kernels.neighbors import jit

BAND = 64  # rows that share an integral image; a whole map's would lose digits


@jit
def integral_images(plane):
    """Return integral images ``(y + 1, x + 1)`` of a plane's values and of their number.

    Row and column 0 are 0. NaN counts as nothing (Crow 1984, SIGGRAPH 18, 207).
    """
    rows, cols = plane.shape
    sums, counts = np.zeros((rows + 1, cols + 1)), np.zeros((rows + 1, cols + 1))
    for i in range(rows):
        total, count = 0.0, 0.0
        for j in range(cols):
            if not np.isnan(plane[i, j]):
                total += plane[i, j]
                count += 1.0
            sums[i + 1, j + 1] = sums[i, j + 1] + total
            counts[i + 1, j + 1] = counts[i, j + 1] + count
    return sums, counts


@jit
def window_sums(image, size, out):
    """Write the sums over windows of ``size`` cells a side to ``out``, from an integral image.

    ``out[i, j]`` is that of the window in the middle of the image, as far from every edge.
    """
    rows, cols = out.shape
    above, left = (len(image) - rows - size) // 2, (image.shape[1] - cols - size) // 2
    for i in range(rows):
        first, last = image[i + above], image[i + above + size]
        for j in range(cols):
            a, b = j + left, j + left + size
            out[i, j] = (last[b] - last[a]) - (first[b] - first[a])
