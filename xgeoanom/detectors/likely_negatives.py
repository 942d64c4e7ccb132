"""Cells that are probably no deposits: neither like the known ones nor unlike all the rest."""

import numpy as np
from scipy.spatial.distance import cdist

ROWS = 4096  # cells whose distances are held at a time


def likely_negatives(
    candidates: np.ndarray, deposits: np.ndarray, band: tuple[float, float]
) -> np.ndarray:
    """Return which cells lie in a quantile band of dissimilarity to deposits.

    The dissimilarity of a cell is the sum of its Euclidean distances to all deposit cells
    (Daruna et al. 2024). Cells of low dissimilarity may be unknown deposits; those of high are
    told from deposits too easily to teach anything.

    Parameters
    ----------
    candidates : numpy.ndarray
        Standardised bands ``(cell, band)``.
    deposits : numpy.ndarray
        The same of deposit cells, of training alone.
    band : tuple of float
        Lowest and highest quantile.

    Returns
    -------
    numpy.ndarray
        Mask over candidates.

    Examples
    --------
    >>> cells = np.arange(11.0)[:, None]
    >>> np.flatnonzero(likely_negatives(cells, np.zeros((1, 1)), (0.3, 0.6)))
    array([3, 4, 5, 6])
    """
    parts = [candidates[k : k + ROWS] for k in range(0, len(candidates), ROWS)]
    far = np.concatenate([cdist(part, deposits).sum(axis=1) for part in parts])
    low, high = np.quantile(far, band)
    mask: np.ndarray = (low <= far) & (far <= high)
    return mask
