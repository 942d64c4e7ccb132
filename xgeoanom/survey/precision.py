"""How well a laboratory repeats itself: precision from duplicate pairs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from xgeoanom.conventions import (
    ELEMENT,
    MEASURED,
    SAMPLE,
    provenance,
)
from xgeoanom.errors import CubeError, XGeoAnomError
from xgeoanom.survey.duplicates import find_duplicates
from xgeoanom.survey.table import (
    check_choice,
    element_coords,
    positive,
)

PAIR = "pair"
GROUP, ENOUGH, FEWEST = 11, 50, 10  # pairs: of a group, for the regression, for the chart
REGRESSION, CONTROL_CHART, TOO_FEW = 0, 1, 2
FORM_FLAGS = {
    "flag_values": np.array([REGRESSION, CONTROL_CHART, TOO_FEW], dtype="int8"),
    "flag_meanings": "regression control_chart too_few_pairs",
}
# The difference of two normal values has sqrt(2) their standard deviation, and its size a median
# of 0.6745 and percentiles of 1.6449 and 2.5758 of its own.
SD_OF_MEDIAN = 1 / (0.6745 * np.sqrt(2))
CHART_LINES = {90: 1.6449 * np.sqrt(2), 99: 2.5758 * np.sqrt(2)}


def duplicate_pairs(
    table: xr.Dataset,
    *,
    kind: str = "field_duplicate",
    by: str = "sample_id",
    max_distance: float = 0.0,
) -> xr.Dataset:
    """Pair the values of duplicates.

    Of three or more duplicates the first two make a pair, the next two another, so that no value
    counts twice.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table of :func:`from_points`.
    kind : {"field_duplicate", "repeated_report"}
        Distinct samples of one place (their first rows), or rows of one sample. A file often
        repeats one analysis; such pairs say nothing of precision, and ``"repeated_report"`` leaves
        out those that are equal in all elements.
    by, max_distance
        See :func:`find_duplicates`.

    Returns
    -------
    xarray.Dataset
        ``first`` and ``second`` ``(pair, element)``, NaN unless both are measured; coords of the
        elements, and ``first_sample``, ``second_sample``: positions in ``table``.

    Raises
    ------
    CubeError
        If there are no such duplicates, or :func:`find_duplicates` refuses the table.
    CompositionError
        If ``kind`` is unknown.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [1.5], [4.0]]),
    ...      "state": (("sample", "element"), np.zeros((3, 1), dtype="int8"))},
    ...     coords={"element": ["Au"], "x": ("sample", [0.0, 0.0, 9.0]),
    ...             "y": ("sample", [0.0, 0.0, 0.0]), "sample_id": ("sample", ["A1", "A2", "A3"])},
    ... )
    >>> pairs = duplicate_pairs(table)
    >>> pairs["first"].values, pairs["second"].values
    (array([[1.]]), array([[1.5]]))
    """
    check_choice("kind", kind, ("field_duplicate", "repeated_report"))
    found = find_duplicates(table, by=by, max_distance=max_distance)
    rows, group = np.arange(table.sizes[SAMPLE]), found["distinct_sample"].values
    if kind == "field_duplicate":
        rows = np.unique(group, return_index=True)[1]
        group = found["place"].values[rows]
    both = rows[_in_twos(group)]
    measured = table["concentration"].where(table["state"] == MEASURED)
    values = measured.transpose(SAMPLE, ELEMENT).values[both]
    values[np.isnan(values).any(axis=1)[:, None].repeat(2, axis=1)] = np.nan
    kept = np.isfinite(values).any(axis=(1, 2))
    if kind == "repeated_report":
        kept &= (values[:, 0] != values[:, 1]).any(axis=1, where=np.isfinite(values[:, 0]))
    if not kept.any():
        raise CubeError(
            f"kind={kind!r}: the table has no such pair with by={by!r} and "
            f"max_distance={max_distance}; see find_duplicates"
        )
    return xr.Dataset(
        {
            "first": ((PAIR, ELEMENT), values[kept, 0], {"long_name": "first of the pair"}),
            "second": ((PAIR, ELEMENT), values[kept, 1], {"long_name": "second of the pair"}),
        },
        element_coords(table)
        | {"first_sample": (PAIR, both[kept, 0]), "second_sample": (PAIR, both[kept, 1])},
        provenance("duplicate_pairs", kind=kind, by=by, max_distance=max_distance),
    )


def duplicate_precision(pairs: xr.Dataset, *, target: float = 0.1) -> xr.Dataset:
    """Fit the standard deviation of analyses to duplicate pairs, after Thompson and Howarth.

    The standard deviation grows with concentration, ``s = s0 + k * concentration``. Pairs are
    ordered by their mean and cut into groups of 11; the median difference of each group is
    regressed on its mean, and 1.048 of the line is ``s``. This needs 50 pairs. With 10 to 49 pairs
    the control chart remains: ``s0`` is 0, ``k`` 1.048 of the median relative difference (ours),
    and ``share_below`` shows whether the pairs meet ``target``. An intercept below 0 is set to 0,
    and the line fitted through the origin.

    Parameters
    ----------
    pairs : xarray.Dataset
        Of :func:`duplicate_pairs`.
    target : float
        Precision that is asked for, as a share: two standard deviations over concentration.

    Returns
    -------
    xarray.Dataset
        By ``element``: ``s0`` (in the element's unit), ``k``, ``n_pairs``, ``form`` (0 regression,
        1 control chart, 2 too few pairs), and ``share_below(element, percentile)``: the share of
        differences below the chart's 90 % and 99 % lines of ``target``. It should be no smaller
        than 0.90 and 0.99.

    Raises
    ------
    CubeError
        If ``pairs`` holds no pairs.
    XGeoAnomError
        If ``target`` is not above 0 and below 1.

    References
    ----------
    Thompson and Howarth, 1978, J. Geochem. Explor. 9, 23; the chart: 1973, Analyst 98, 153.

    Examples
    --------
    >>> first = np.linspace(10, 100, 60)
    >>> pairs = xr.Dataset(
    ...     {"first": (("pair", "element"), first[:, None]),
    ...      "second": (("pair", "element"), 1.1 * first[:, None])}, {"element": ["Cu"]})
    >>> fit = duplicate_precision(pairs)
    >>> fit["k"].values.round(3), fit["form"].values
    (array([0.1]), array([0], dtype=int8))
    """
    if positive("target", target) >= 1:
        raise XGeoAnomError(f"target={target!r} must be a share below 1: 10 % is 0.1")
    check_pairs(pairs)
    fits = [_fit(*sorted_pairs(pairs, name), target) for name in pairs[ELEMENT].values]
    s0, k, n, form, shares = (np.array(column) for column in zip(*fits, strict=True))
    long_names = {
        "s0": "standard deviation at zero concentration",
        "k": "growth of the standard deviation with concentration",
        "n_pairs": "pairs",
        "form": "how it was found",
        "share_below": "share of differences below the line of the target",
    }
    fit = xr.Dataset(
        {
            "s0": (ELEMENT, s0),
            "k": (ELEMENT, k),
            "n_pairs": (ELEMENT, n),
            "form": (ELEMENT, form.astype("int8")),
            "share_below": ((ELEMENT, "percentile"), shares),
        },
        {**element_coords(pairs), "percentile": list(CHART_LINES)},
        provenance("duplicate_precision", target=target),
    )
    for name, long_name in long_names.items():
        fit[name].attrs = {"long_name": long_name} | (FORM_FLAGS if name == "form" else {})
    return fit


def precision_at(
    precision: xr.Dataset, concentration: float | Sequence[float] | xr.DataArray
) -> xr.DataArray:
    """Return the relative precision at a concentration: two standard deviations over it.

    Parameters
    ----------
    precision : xarray.Dataset
        Of :func:`duplicate_precision`.
    concentration : float, sequence of float or xarray.DataArray
        In the unit of each element. A sequence makes a new dim ``concentration``; an array over
        ``element`` gives each its own.

    Returns
    -------
    xarray.DataArray
        Over ``element`` and the dims of ``concentration``, as a share: 0.1 is 10 %.

    Raises
    ------
    CubeError
        If ``precision`` is no result of :func:`duplicate_precision`.
    XGeoAnomError
        If ``concentration`` is no positive number, or sequence or array of them.

    Examples
    --------
    >>> fit = xr.Dataset({"s0": ("element", [1.0]), "k": ("element", [0.05])}, {"element": ["Cu"]})
    >>> precision_at(fit, 20.0).values
    array([0.2])
    >>> precision_at(fit, [20.0, 40.0]).values
    array([[0.2 , 0.15]])
    """
    if not isinstance(precision, xr.Dataset) or not {"s0", "k"} <= set(precision.data_vars):
        raise CubeError("precision has no 's0' and 'k'; make it with duplicate_precision")
    share = 2 * (precision["s0"] / _concentrations(concentration) + precision["k"])
    attrs = {"long_name": "relative precision (two standard deviations)", "units": "1"}
    return share.rename("precision").assign_attrs(attrs | provenance("precision_at"))


def _concentrations(concentration: float | Sequence[float] | xr.DataArray) -> xr.DataArray:
    """Return positive concentrations; those of a sequence along a dim of their own."""
    values = np.asarray(concentration)
    numbers = values.dtype.kind in "iuf"
    if not isinstance(concentration, xr.DataArray):
        numbers &= values.ndim <= 1
    if not numbers or not (values > 0).all():
        raise XGeoAnomError(
            f"concentration={concentration!r} must be a positive number, a sequence or a DataArray "
            "of them"
        )
    if isinstance(concentration, xr.DataArray):
        return concentration
    dims = ("concentration",)[: values.ndim]
    return xr.DataArray(values, dims=dims, coords=dict.fromkeys(dims, values))


def sorted_pairs(pairs: xr.Dataset, element: str) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and absolute difference of an element's pairs, ordered by mean."""
    one = pairs.sel({ELEMENT: element})
    first, second = one["first"].values, one["second"].values
    both = np.isfinite(first) & np.isfinite(second)
    mean, difference = (first + second)[both] / 2, np.abs(first - second)[both]
    order = np.argsort(mean, kind="stable")
    return mean[order], difference[order]


def group_pairs(mean: np.ndarray, difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and median difference of each successive 11 pairs; a smaller rest is left out."""
    n = mean.size // GROUP * GROUP
    groups = mean[:n].reshape(-1, GROUP), difference[:n].reshape(-1, GROUP)
    return groups[0].mean(axis=1), np.median(groups[1], axis=1)


def check_pairs(pairs: xr.Dataset) -> None:
    """Raise CubeError unless ``pairs`` are those of :func:`duplicate_pairs`."""
    if not isinstance(pairs, xr.Dataset) or not {"first", "second"} <= set(pairs.data_vars):
        raise CubeError("pairs has no 'first' and 'second'; make it with duplicate_pairs")


def _in_twos(group: np.ndarray) -> np.ndarray:
    """Return the positions ``(k, 2)`` of the first two of each group, the next two, and so on."""
    order = np.argsort(group, kind="stable")
    group = group[order]
    even = pd.Series(group).groupby(group).cumcount().to_numpy() % 2 == 0
    first = np.flatnonzero(even[:-1] & (group[1:] == group[:-1]))
    return np.stack([order[first], order[first + 1]], axis=1)


def _fit(
    mean: np.ndarray, difference: np.ndarray, target: float
) -> tuple[float, float, int, int, list[float]]:
    """Return s0, k, the number of pairs, the form, and shares below the chart's lines."""
    if mean.size < FEWEST:
        return np.nan, np.nan, mean.size, TOO_FEW, [np.nan] * len(CHART_LINES)
    sd = target / 2 * mean
    shares = [float((difference <= line * sd).mean()) for line in CHART_LINES.values()]
    if mean.size < ENOUGH:
        return 0.0, SD_OF_MEDIAN * np.median(difference / mean), mean.size, CONTROL_CHART, shares
    s0, k = _line(*group_pairs(mean, difference))
    return SD_OF_MEDIAN * s0, SD_OF_MEDIAN * k, mean.size, REGRESSION, shares


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return intercept and slope of the regression; the intercept is no less than 0."""
    if np.ptp(x) == 0:
        return 0.0, float(y.mean() / x[0])
    slope, intercept = np.polyfit(x, y, 1)
    if intercept < 0:
        return 0.0, float(x @ y / (x @ x))
    return float(intercept), float(slope)
