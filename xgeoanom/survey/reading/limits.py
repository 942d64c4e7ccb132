"""Detection limits: from the entries, by batch, and from the user."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from xgeoanom.conventions import BELOW_LIMIT, BELOW_UNKNOWN_LIMIT, MEASURED
from xgeoanom.errors import CompositionError, CubeError

Limits = Mapping[str, float | Mapping[str, float]]


def apply_limits(
    value: np.ndarray, state: np.ndarray, batch: np.ndarray, given: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the detection limits of a table, and values and states that know of them.

    A censored entry has the limit that it states. All others have the limit given for their batch,
    or the one that the batch's entries state, if it is one. Where ``given`` knows the limit, zeros
    and measured values below it become that limit, below a known limit.

    Parameters
    ----------
    value, state : numpy.ndarray
        ``(sample, element)``.
    batch : numpy.ndarray
        Number of the batch of each sample ``(sample,)``.
    given : numpy.ndarray
        ``(batch, element)``, NaN where unknown.

    Returns
    -------
    limit : numpy.ndarray
        ``(element,)``, or ``(sample, element)`` where an element has several.
    value, state : numpy.ndarray
        ``(sample, element)``, float64 and int8.

    Examples
    --------
    >>> value, state = np.array([[0.5], [0.0], [3.0]]), np.array([[1], [2], [0]], dtype="int8")
    >>> apply_limits(value, state, np.zeros(3, dtype=int), np.array([[np.nan]]))[0]
    array([0.5])
    """
    own = np.where(state == BELOW_LIMIT, value, np.nan)
    by_batch = np.where(np.isnan(given), _single_limits(own, batch, len(given)), given)
    known = given[batch]
    below = (state == BELOW_UNKNOWN_LIMIT) | (state == MEASURED)
    below &= value < known
    value, state = np.where(below, known, value), np.where(below, BELOW_LIMIT, state).astype("int8")
    one = by_batch[0]
    same = (by_batch == one) | (np.isnan(by_batch) & np.isnan(one))
    if same.all() and (np.isnan(own) | (own == one)).all():
        return one, value, state
    return np.where(np.isnan(own), by_batch[batch], own), value, state


def _single_limits(own: np.ndarray, batch: np.ndarray, n: int) -> np.ndarray:
    """Return the limit ``(batch, element)`` that all censored entries of a batch share, or NaN."""
    groups = pd.DataFrame(own).groupby(batch)
    low, high = (spread.reindex(range(n)).to_numpy() for spread in (groups.min(), groups.max()))
    return np.where(low == high, low, np.nan)


def given_limits(
    limits: Limits | None, elements: Sequence[str], batches: Sequence[str]
) -> np.ndarray:
    """Return the limits of the argument ``detection_limits`` as ``(batch, element)``.

    Raises
    ------
    CubeError
        If it names an element or batch that is not there.
    CompositionError
        If a limit is no positive number.

    Examples
    --------
    >>> given_limits({"Au": {"B": 2.0}, "Cu": 5.0}, ["Au", "Cu"], ["A", "B"])
    array([[nan,  5.],
           [ 2.,  5.]])
    """
    table = np.full((len(batches), len(elements)), np.nan)
    known = [str(batch) for batch in batches]
    for element, limit in (limits or {}).items():
        if element not in elements:
            raise CubeError(
                f"detection_limits names {str(element)!r}; the table has {list(elements)}"
            )
        of_batches = limit if isinstance(limit, Mapping) else dict.fromkeys(known, limit)
        for batch, positive in of_batches.items():
            row = _row(str(batch), known, element)
            table[row, list(elements).index(element)] = _positive(element, positive)
    return table


def _row(batch: str, batches: list[str], element: str) -> int:
    """Return the row of a batch; a table without batches has one, without a name."""
    if batch in batches:
        return batches.index(batch)
    if batches == [""]:
        raise CubeError(
            f"detection_limits of {element} name batch {batch!r}, but the table has no batches; "
            "give batch= the column that names them"
        )
    raise CubeError(
        f"detection_limits of {element} name batch {batch!r}; the table has {batches[:20]}"
    )


def _positive(element: str, limit: object) -> float:
    if isinstance(limit, int | float | np.number) and 0 < limit < np.inf:
        return float(limit)
    shown = limit.item() if isinstance(limit, np.generic) else limit
    raise CompositionError(
        f"detection_limits of {element}: {shown!r} is no positive number; leave out those unknown"
    )
