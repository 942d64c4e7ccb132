"""What a survey holds, in numbers: correlations, and what was not measured."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xgeoanom.conventions import (
    BELOW_LIMIT,
    BELOW_UNKNOWN_LIMIT,
    ELEMENT,
    LOG_RATIO,
    MEASURED,
    NOT_ANALYSED,
    SAMPLE,
    UNIT,
    check_elements,
    provenance,
    units_of,
)
from xgeoanom.errors import CubeError
from xgeoanom.survey.compositions import check_array

OTHER = "element_2"
FEWEST_PAIRS = 3  # two points correlate perfectly
SHARES = {
    "measured": MEASURED,
    "below_limit": BELOW_LIMIT,
    "below_unknown_limit": BELOW_UNKNOWN_LIMIT,
    "not_analysed": NOT_ANALYSED,
}
QUANTILES = {"minimum": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
QUANTILES |= {"maximum": 1.0}


def correlation(values: xr.DataArray) -> xr.DataArray:
    """Spearman's rank correlation of each pair of elements.

    Concentrations are parts of a whole: what one gains others lose, so that their correlations
    lean to the negative. Those of :func:`clr` are free of the closure, but depend on which
    elements are there; look at both.

    Parameters
    ----------
    values : DataArray
        Concentrations or a log-ratio with a dim ``element``: a cube, or a survey table's
        ``concentration``. A chunked array is computed.

    Returns
    -------
    DataArray
        ``(element, element_2)``, from -1 to 1, over the places that have both elements; NaN
        where these are fewer than three, or one is constant.

    Raises
    ------
    CubeError
        If ``values`` has no dim ``element``, or an element is repeated.

    Examples
    --------
    >>> values = xr.DataArray(
    ...     [[1.0, 9.0], [2.0, 7.0], [3.0, 8.0]],
    ...     dims=("sample", "element"), coords={"element": ["Au", "Ti"]},
    ... )
    >>> correlation(values).values
    array([[ 1. , -0.5],
           [-0.5,  1. ]])
    """
    check_array(values, "values")
    check_elements(values)
    names = values[ELEMENT].values
    rows = values.transpose(..., ELEMENT).values.reshape(-1, names.size)
    table = pd.DataFrame(rows.astype("float64")).corr("spearman", min_periods=FEWEST_PAIRS)
    return xr.DataArray(
        np.array(table),
        dims=(ELEMENT, OTHER),
        coords={ELEMENT: names, OTHER: names},
        name="correlation",
        attrs={
            "long_name": "Spearman correlation",
            "units": "1",
            LOG_RATIO: values.attrs.get(LOG_RATIO, "none"),
            **provenance("correlation"),
        },
    )


def censoring_summary(table: xr.Dataset, *, by: str | None = None) -> xr.Dataset:
    """Count for each element what was measured, censored and not analysed, with quantiles.

    Parameters
    ----------
    table : Dataset
        Survey table, as reported.
    by : str, optional
        Coord over ``sample``, such as ``"batch"``, for each value of which to count apart.

    Returns
    -------
    Dataset
        Over ``element``, and ``by`` before it: ``n``, the samples; the shares, in %, that are
        ``measured``, ``below_limit``, ``below_unknown_limit`` and ``not_analysed``;
        ``limit_min`` and ``limit_max``, the detection limits, in the element's unit; and
        ``minimum``, ``q05``, ``q25``, ``median``, ``q75``, ``q95``, ``maximum`` of what was
        analysed, interpolated as ``numpy.quantile`` does: the median of an even count is the
        mean of the two middle values. Censored values rank below all others there, and a quantile
        that falls among them, or between them and a measured one, is NaN.
        ``.to_dataframe()`` makes a table of it.

    Raises
    ------
    CubeError
        If ``table`` is no survey table, or has no coord ``by`` over samples.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[0.5], [2.0], [3.0], [np.nan]]),
    ...      "state": (("sample", "element"), [[1], [0], [0], [3]])},
    ...     {"element": ["Au"], "unit": ("element", ["ppb"]),
    ...      "detection_limit": ("element", [0.5])},
    ... )
    >>> summary = censoring_summary(table).sel(element="Au")
    >>> [float(summary[name]) for name in ("measured", "below_limit", "q05", "median")]
    [50.0, 25.0, nan, 2.0]
    """
    _check_table(table)
    attrs = provenance("censoring_summary", by=by)
    if by is None:
        return _summary(table).assign_attrs(attrs)
    if by not in table.coords or table[by].dims != (SAMPLE,):
        found = [name for name, coord in table.coords.items() if coord.dims == (SAMPLE,)]
        raise CubeError(f"by={by!r} is no coord of samples; table has {found}")
    groups = {key: _summary(part) for key, part in table.groupby(by)}
    index = pd.Index(list(groups), name=by)
    return xr.concat(list(groups.values()), dim=index, coords="minimal").assign_attrs(attrs)


def _summary(table: xr.Dataset) -> xr.Dataset:
    """Return the numbers of one group of samples, over ``element``."""
    state = table["state"].transpose(SAMPLE, ELEMENT).values
    values = table["concentration"].transpose(SAMPLE, ELEMENT).values
    units = set(units_of(table["concentration"]))
    unit = units.pop() if len(units) == 1 else "mixed"
    columns = {"n": ("samples", "1", np.full(state.shape[1], len(state)))}
    for name, flag in SHARES.items():
        columns[name] = (name.replace("_", " "), "%", 100 * (state == flag).mean(axis=0))
    for name, limit in zip(("limit_min", "limit_max"), _limits(table), strict=True):
        columns[name] = ("detection limit, " + name[-3:], unit, limit)
    for name, quantile in _quantiles(values, state).items():
        columns[name] = (name, unit, quantile)
    kept: dict[Any, Any] = {ELEMENT: table[ELEMENT].values}
    if UNIT in table.coords:
        kept[UNIT] = (ELEMENT, units_of(table["concentration"]))
    return xr.Dataset(
        {
            name: (ELEMENT, column, {"long_name": long_name, "units": units})
            for name, (long_name, units, column) in columns.items()
        },
        coords=kept,
    )


def _limits(table: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return each element's least and greatest detection limit; NaN where none is known."""
    if "detection_limit" not in table.coords:
        unknown = np.full((2, table.sizes[ELEMENT]), np.nan)
        return unknown[0], unknown[1]
    limits = table["detection_limit"]
    other = [dim for dim in limits.dims if dim != ELEMENT]
    return limits.min(other).values, limits.max(other).values


def _quantiles(values: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
    """Return the quantiles of analysed samples, censored ones ranking lowest."""
    ranked = np.where(np.isin(state, (BELOW_LIMIT, BELOW_UNKNOWN_LIMIT)), -np.inf, values)
    found = {name: np.full(values.shape[1], np.nan) for name in QUANTILES}
    for e, column in enumerate(ranked.T):
        known = column[~np.isnan(column)]
        if known.size == 0:
            continue
        with np.errstate(invalid="ignore"):  # no number lies between two censored ones
            at = np.quantile(known, list(QUANTILES.values()))
        for name, value in zip(QUANTILES, at, strict=True):
            found[name][e] = value if np.isfinite(value) else np.nan
    return found


def _check_table(table: xr.Dataset) -> None:
    if not isinstance(table, xr.Dataset):
        raise CubeError(f"table is a {type(table).__name__}; make a survey table with from_points")
    for name in ("concentration", "state"):
        if name not in table or set(table[name].dims) != {SAMPLE, ELEMENT}:
            raise CubeError(f"table has no {name}(sample, element); make one with from_points")
    if table.sizes[SAMPLE] == 0:
        raise CubeError("table has no samples")
    check_elements(table["concentration"])
