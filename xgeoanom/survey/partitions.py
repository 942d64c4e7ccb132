"""Sequential binary partitions, and the orthonormal contrasts that they stand for."""

import numpy as np

from xgeoanom.errors import CompositionError

SIGNS = {1: "+", -1: "-", 0: "0"}


def sequential(n: int) -> np.ndarray:
    """Return the partition that sets the first i of ``n`` parts against the next one.

    >>> sequential(3)
    array([[ 1, -1,  0],
           [ 1,  1, -1]])
    """
    signs = np.tri(n - 1, n, dtype=int)
    signs[np.arange(n - 1), np.arange(1, n)] = -1
    return signs


def check(signs: np.ndarray, n: int) -> None:
    """Raise CompositionError unless ``signs`` splits ``n`` parts one by one into single parts."""
    if signs.shape != (n - 1, n) or not np.isin(signs, (-1, 0, 1)).all():
        raise CompositionError(
            f"partition of shape {signs.shape} must be {(n - 1, n)} for {n} parts and hold only "
            "1, -1 and 0"
        )
    groups: set[frozenset[int]] = {frozenset(range(n))}
    # A group comes before what it is split into: it is the larger.
    for row in sorted(signs, key=np.count_nonzero, reverse=True):
        above = frozenset(np.flatnonzero(row > 0).tolist())
        below = frozenset(np.flatnonzero(row < 0).tolist())
        if not above or not below or above | below not in groups:
            raise CompositionError(
                f"partition: row {row.tolist()} does not split one group of parts in two; each "
                "row must divide a group that earlier rows left whole"
            )
        groups = groups - {above | below} | {above, below}


def contrasts(signs: np.ndarray) -> np.ndarray:
    """Return the orthonormal contrast matrix ``(n - 1, n)`` of a partition.

    With r parts above and s below, a balance weighs them by sqrt(rs / (r + s)) / r and
    -sqrt(rs / (r + s)) / s (Egozcue and Pawlowsky-Glahn, 2005, Math. Geol. 37, 795).

    >>> contrasts(sequential(3)).round(3)
    array([[ 0.707, -0.707,  0.   ],
           [ 0.408,  0.408, -0.816]])
    """
    above = np.count_nonzero(signs > 0, axis=1)[:, np.newaxis]
    below = np.count_nonzero(signs < 0, axis=1)[:, np.newaxis]
    size = np.sqrt(above * below / (above + below))
    return np.select([signs > 0, signs < 0], [size / above, -size / below], 0.0)


def encode(signs: np.ndarray) -> list[str]:
    """Write a partition as one text per row.

    >>> encode(sequential(3))
    ['+-0', '++-']
    """
    return ["".join(SIGNS[int(sign)] for sign in row) for row in signs]


def decode(rows: list[str]) -> np.ndarray:
    """Read what :func:`encode` wrote."""
    values = {text: sign for sign, text in SIGNS.items()}
    return np.array([[values[text] for text in row] for row in rows])
