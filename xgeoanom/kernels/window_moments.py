"""Mean and standard deviation over square windows, the same to the last bit wherever blocks end."""

import numpy as np


def window_moments(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation over windows of ``size`` cells a side; NaN is skipped.

    ``values`` is ``(..., y, x)`` with a halo of ``size // 2`` cells, which the results lack; both
    are float64, and NaN where a window holds no value. The deviation divides by the count.
    """
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0).astype("float64")
    count = window_totals(known.astype("float64"), size)
    with np.errstate(invalid="ignore"):  # 0 / 0 where nothing is known
        mean = window_totals(filled, size) / count
        square = window_totals(filled**2, size) / count
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def window_totals(values: np.ndarray, size: int) -> np.ndarray:
    """Return sums over windows of ``size`` cells a side, by rows and then by columns."""
    half = size // 2
    for _ in range(2):
        values = np.swapaxes(values, -1, -2)
        n = values.shape[-1] - 2 * half
        total = values[..., half : half + n].copy()
        # Integral images round by where their block begins, and a tree's split can tell. Pairs
        # about the middle add up alike whichever way an axis runs.
        for k in range(1, half + 1):
            total += values[..., half - k : half - k + n] + values[..., half + k : half + k + n]
        values = total
    return values
