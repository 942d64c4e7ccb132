"""Batches of one survey brought to one level: leaches, laboratories, years."""

import json
import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.stats import CensoredData, ecdf

from xgeoanom.conventions import (
    BELOW_LIMIT,
    ELEMENT,
    MEASURED,
    NOT_ANALYSED,
    SAMPLE,
    provenance,
)
from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.table import (
    check_choice,
    check_table,
    column_of,
    limits_of,
    positive,
    with_concentration,
)

MEDIAN = np.array([0.5])
# Daneshfar and Cameron (1998) leave out the tails: few values, and anomalies.
QUANTILES = np.linspace(0.05, 0.95, 19)
METHODS = {"median": MEDIAN, "quantiles": QUANTILES}
SAME_SHARE = 1e-9  # shares that differ by less differ by rounding
FEWEST_QUANTILES = 5  # above the limits of both sides, from which a line is fitted

Line = tuple[float, float]


def level_batches(
    table: xr.Dataset,
    *,
    by: str = "batch",
    reference: str | None = None,
    method: str = "median",
    min_samples: int = 30,
) -> xr.Dataset:
    """Bring each element of each batch to the level of a reference.

    It is assumed that the batches sample the same population: then a difference between them is
    the laboratory's. Where batches cover different ground, the difference is geology, and
    levelling removes it. Level before duplicates are collapsed and censored values replaced.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table of :func:`from_points`.
    by : str
        Column of the samples that names the batch.
    reference : str, optional
        The batch that stays as it is. By default the level is that of all samples together.
    method : {"median", "quantiles"}
        ``"median"``: a factor makes the medians equal. ``"quantiles"``: a line between logarithms,
        ``levelled = factor * value**exponent``, fitted to the quantiles from 5 % to 95 %.
    min_samples : int
        A batch with fewer analyses of an element stays as it is in this element.

    Returns
    -------
    xarray.Dataset
        The table with levelled ``concentration`` and ``detection_limit(sample, element)``; states
        stay. ``attrs["levelling"]`` of ``concentration`` holds factor and exponent by batch and
        element (JSON).

    Raises
    ------
    CubeError
        If ``table`` is no survey table, has no column ``by``, or only one batch.
    CompositionError
        If ``reference`` is no batch, ``method`` is unknown, or nothing can be levelled.
    XGeoAnomError
        If ``min_samples`` is not positive.

    Warns
    -----
    UserWarning
        If an element of a batch stays as it is: it has too few analyses, or its median is censored.

    Notes
    -----
    The median of an even count is the mean of its two middle values, as usual; in the line
    between logarithms, their geometric mean. Quantiles of censored values are those of Kaplan and
    Meier (Helsel, 2012, Statistics for Censored Environmental Data, chapter 6), so limits may
    differ from batch to batch; none lies between a censored and a measured value.

    References
    ----------
    Daneshfar and Cameron, 1998, J. Geochem. Explor. 63, 189.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [2.0], [3.0], [5.0], [10.0], [15.0]]),
    ...      "state": (("sample", "element"), np.zeros((6, 1), dtype="int8"))},
    ...     {"element": ["Au"], "batch": ("sample", list("aaabbb"))},
    ... )
    >>> level_batches(table, reference="a", min_samples=3)["concentration"].values.ravel()
    array([1., 2., 3., 1., 2., 3.])
    """
    check_choice("method", method, tuple(METHODS))
    positive("min_samples", min_samples)
    check_table(table)
    batch = column_of(table, by)
    _check_batches(batch, by, reference)
    table = table.transpose(SAMPLE, ELEMENT, ...)
    lines = _lines(table, batch, reference, METHODS[method], min_samples)
    factor, power = np.ones((2, *table["concentration"].shape))
    for (name, k), line in lines.items():
        factor[batch == name, k], power[batch == name, k] = line
    values = factor * table["concentration"].values ** power
    attrs = provenance(
        "level_batches", by=by, reference=reference, method=method, min_samples=min_samples
    )
    attrs["levelling"] = json.dumps(_record(lines, table))
    if "detection_limit" in table.coords:
        limits = factor * limits_of(table) ** power
        table = table.assign_coords(detection_limit=((SAMPLE, ELEMENT), limits))
    return with_concentration(table, values, attrs)


def _check_batches(batch: np.ndarray, by: str, reference: str | None) -> None:
    names = sorted(set(batch))
    if len(names) < 2:
        raise CubeError(f"by={by!r} names the one batch {names}; levelling needs two or more")
    if reference is not None and reference not in names:
        raise CompositionError(f"reference={reference!r} is no batch; {by!r} names {names}")


def _lines(
    table: xr.Dataset,
    batch: np.ndarray,
    reference: str | None,
    probabilities: np.ndarray,
    min_samples: int,
) -> dict[tuple[str, int], Line]:
    """Return factor and exponent by batch and position of the element; warn of what has none."""
    lines, left = {}, []
    rows = {str(name): batch == name for name in np.unique(batch)}
    goal_rows = np.full(batch.size, True) if reference is None else rows.pop(reference)
    parts = table["concentration"].values, table["state"].values, limits_of(table)
    for k, element in enumerate(table[ELEMENT].values):
        column = [part[:, k] for part in parts]
        goal = _log_quantiles(column, goal_rows, probabilities, min_samples)
        for name, chosen in rows.items():
            line = _line(_log_quantiles(column, chosen, probabilities, min_samples), goal)
            if line is None:
                left.append(f"{element} in {name!r}")
            else:
                lines[name, k] = line
    if left:
        _warn_of(left, min_samples, any_levelled=bool(lines))
    return lines


def _warn_of(left: list[str], min_samples: int, *, any_levelled: bool) -> None:
    why = (
        f"fewer than {min_samples} analyses, or too many below detection, there or in the reference"
    )
    if not any_levelled:
        raise CompositionError(
            f"min_samples={min_samples}: no element of any batch can be levelled ({why}); join "
            "batches into larger ones"
        )
    warnings.warn(
        f"{len(left)} elements of batches stay as they are ({why}): {', '.join(left[:8])}"
        f"{' ...' if len(left) > 8 else ''}",
        stacklevel=4,
    )


def _log_quantiles(
    column: Sequence[np.ndarray], rows: np.ndarray, probabilities: np.ndarray, min_samples: int
) -> np.ndarray:
    """Return quantiles of an element's logarithms; NaN where censored or too few."""
    values, state, limits = (part[rows] for part in column)
    measured, analysed = state == MEASURED, state != NOT_ANALYSED
    if analysed.sum() < min_samples or not (values[measured] > 0).any():
        return np.full(probabilities.size, np.nan)
    # A value below an unknown limit is taken as lower than all that was measured.
    limits = np.where(state == BELOW_LIMIT, limits, values[measured].min())
    # Turned round, what lies below a limit is censored on the right, as Kaplan and Meier have it.
    turned = -np.log(np.where(measured, values, limits))[analysed]
    law = ecdf(CensoredData.right_censored(turned, ~measured[analysed])).cdf
    low, high = (
        _where_reached(1 - probabilities + shift, law.probabilities, -law.quantiles)
        for shift in (SAME_SHARE, -SAME_SHARE)
    )
    if probabilities is MEDIAN:
        # Of an even count two values are in the middle: their mean, not that of their logarithms.
        return np.log((np.exp(low) + np.exp(high)) / 2)
    return (low + high) / 2


def _where_reached(wanted: np.ndarray, shares: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Return the logarithm at which rising ``shares`` reach those wanted; NaN where they do not."""
    at = np.searchsorted(shares, wanted)
    return np.append(logs, np.nan)[at]


def _line(found: np.ndarray, goal: np.ndarray) -> Line | None:
    """Return factor and exponent that bring quantiles to the goal, or None where too few exist."""
    both = np.isfinite(found) & np.isfinite(goal)
    found, goal = found[both], goal[both]
    if both.size == 1:
        return (float(np.exp(goal[0] - found[0])), 1.0) if found.size else None
    if found.size < FEWEST_QUANTILES or np.ptp(found) == 0 or np.ptp(goal) == 0:
        return None
    exponent, shift = np.polyfit(found, goal, 1)
    return float(np.exp(shift)), float(exponent)


def _record(lines: dict[tuple[str, int], Line], table: xr.Dataset) -> dict[str, dict[str, Line]]:
    """Return factor and exponent by batch and element."""
    record: dict[str, dict[str, Line]] = {}
    for (name, k), line in lines.items():
        record.setdefault(name, {})[str(table[ELEMENT].values[k])] = line
    return record
