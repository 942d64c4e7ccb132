"""The dual window: which neighbours a cell is compared with."""

import numpy as np

from xgeoanom.errors import WindowError

# The window pairs of Zhang, Zuo and Xiong 2021, Fig. 8.
PAPER_WINDOWS = ((5, 7), (5, 9), (5, 11), (5, 13), (7, 35), (9, 35), (11, 35), (13, 35))


def check_windows(inner: int, outer: int) -> None:
    """Raise WindowError unless both windows are odd, positive and ``inner < outer``."""
    for name, size in (("inner", inner), ("outer", outer)):
        if not isinstance(size, int | np.integer) or size < 1 or size % 2 == 0:
            raise WindowError(f"{name}={size!r} must be a positive odd integer of cells; try 5")
    if inner >= outer:
        raise WindowError(f"outer={outer} must be larger than inner={inner}; try {inner + 2}")


def ring_offsets(inner: int, outer: int) -> np.ndarray:
    """Return the row and column offsets inside ``outer``, outside ``inner``.

    Parameters
    ----------
    inner, outer : int
        Window sizes in cells; both odd, ``inner < outer``.

    Returns
    -------
    numpy.ndarray
        ``(outer**2 - inner**2, 2)`` integers, in row-major order.

    Raises
    ------
    WindowError
        If a window is even or the two are crossed.

    References
    ----------
    Zhang, Zuo and Xiong 2021, Appl. Geochem. 130, 104994, section 4.3 and Fig. 7.

    Examples
    --------
    >>> len(ring_offsets(3, 5))
    16
    """
    check_windows(inner, outer)
    reach = np.arange(-(outer // 2), outer // 2 + 1)
    rows, cols = np.meshgrid(reach, reach, indexing="ij")
    outside = np.maximum(abs(rows), abs(cols)) > inner // 2
    return np.stack([rows[outside], cols[outside]], axis=1)


def half_plane(offsets: np.ndarray) -> np.ndarray:
    """Return one offset of each pair ``(d, -d)``: enough where a pair's order does not matter."""
    later = (offsets[:, 0] > 0) | ((offsets[:, 0] == 0) & (offsets[:, 1] > 0))
    return offsets[later]


def window_means(
    total: np.ndarray, count: np.ndarray, inner: int, outer: int, *, least: float = 0.25
) -> np.ndarray:
    """Return ``total / count``; NaN where too few of the window's neighbours are valid.

    ``least`` is the share of neighbours that must exist (ours; the paper leaves borders open).
    """
    enough = count >= max(least * (outer**2 - inner**2), 1)
    return np.where(enough, total / np.maximum(count, 1), np.nan)
