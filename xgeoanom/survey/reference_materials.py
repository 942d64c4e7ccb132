"""What a laboratory makes of known samples: reference materials and blanks."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from xgeoanom.conventions import (
    BELOW_LIMIT,
    BELOW_UNKNOWN_LIMIT,
    ELEMENT,
    MEASURED,
    NOT_ANALYSED,
    SAMPLE,
    provenance,
)
from xgeoanom.errors import CubeError, XGeoAnomError
from xgeoanom.survey.table import (
    check_element,
    check_table,
    column_of,
    element_coords,
    limits_of,
    positive,
    smallest_of,
)

MATERIAL = "material"
CENSORED = (BELOW_LIMIT, BELOW_UNKNOWN_LIMIT)


def reference_bias(
    table: xr.Dataset, certified: Mapping[str, Mapping[str, float]], *, by: str = MATERIAL
) -> xr.Dataset:
    """Compare the analyses of reference materials with their certified values.

    Analyses below detection have no value and take no part. Where ``n_censored`` is not 0 the
    lowest analyses are missing, so that mean and bias are too high, and ``rsd`` mostly too low.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table with the analyses of reference materials among its samples.
    certified : mapping of str to mapping of str to float
        Certified values by material and element, in the table's units.
    by : str
        Column of the samples that names the material.

    Returns
    -------
    xarray.Dataset
        ``certified``, ``mean``, ``bias`` (mean over certified value, less 1), ``rsd`` (standard
        deviation over mean; NaN for one analysis), ``n`` (measured values) and ``n_censored``
        (analyses below detection, left out), all ``(material, element)``.

    Raises
    ------
    CubeError
        If the table has no column ``by``, or lacks a material or an element of ``certified``.
    XGeoAnomError
        If ``certified`` gives no values by material and element, or one is not positive.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[9.0], [13.0], [2.0]]),
    ...      "state": (("sample", "element"), np.zeros((3, 1), dtype="int8"))},
    ...     {"element": ["Au"], "material": ("sample", ["GBM1", "GBM1", ""])},
    ... )
    >>> reference_bias(table, {"GBM1": {"Au": 10.0}})["bias"].values.round(2)
    array([[0.1]])
    """
    check_table(table)
    _check_mappings(certified)
    materials = column_of(table, by)
    if missing := [str(name) for name in certified if name not in materials]:
        raise CubeError(
            f"certified names {missing}, which {by!r} lacks; it has {sorted(set(materials))}"
        )
    values = _certified(table, certified)
    measured = pd.DataFrame(_measured(table)).groupby(materials)
    mean, sd, n = (
        measured.agg(how).reindex(list(certified)).to_numpy() for how in ("mean", "std", "count")
    )
    below = table["state"].isin(CENSORED).transpose(SAMPLE, ELEMENT).values
    n_censored = pd.DataFrame(below).groupby(materials).sum().reindex(list(certified)).to_numpy()
    dims = (MATERIAL, ELEMENT)
    return xr.Dataset(
        {
            "certified": (dims, values, {"long_name": "certified value"}),
            "mean": (dims, mean, {"long_name": "mean of analyses"}),
            "bias": (dims, mean / values - 1, {"long_name": "relative bias", "units": "1"}),
            "rsd": (dims, sd / mean, {"long_name": "relative standard deviation", "units": "1"}),
            "n": (dims, n, {"long_name": "measured values"}),
            "n_censored": (dims, n_censored, {"long_name": "analyses below detection, left out"}),
        },
        element_coords(table) | {MATERIAL: list(certified)},
        provenance("reference_bias", by=by, certified=certified),
    )


def blank_contamination(
    table: xr.Dataset, *, by: str = MATERIAL, blank: str = "blank", times: float = 1.0
) -> xr.Dataset:
    """Count the blanks in which an element was found.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table with blanks among its samples.
    by, blank : str
        Column of the samples that names the material, and its entry for blanks.
    times : float
        A blank fails above so many detection limits. Where its own is not known, as of measured
        values often, the smallest known one of the element counts: in its ``batch`` where the
        table names batches and this one has any, else in the table. Where none is known at all,
        a blank fails above 0.

    Returns
    -------
    xarray.Dataset
        By ``element``: ``n`` blanks analysed, ``n_above`` that fail, their ``share_above``, and the
        ``largest`` value measured in a blank.

    Raises
    ------
    CubeError
        If the table has no column ``by``, or no blanks.
    XGeoAnomError
        If ``times`` is not positive.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[0.0], [3.0]]),
    ...      "state": (("sample", "element"), np.array([[1], [0]], dtype="int8"))},
    ...     {"element": ["Au"], "material": ("sample", ["blank", "blank"]),
    ...      "detection_limit": ("element", [1.0])},
    ... )
    >>> blank_contamination(table)["share_above"].values
    array([0.5])
    """
    check_table(table)
    times = positive("times", times)
    chosen = column_of(table, by) == blank
    if not chosen.any():
        found = sorted(set(column_of(table, by)))
        raise CubeError(f"blank={blank!r} is no entry of {by!r}; name the one of blanks: {found}")
    table = table.transpose(SAMPLE, ELEMENT, ...)
    values = _measured(table)[chosen]
    limits = np.nan_to_num(_known_limits(table)[chosen]) * times
    n = (table["state"].values[chosen] != NOT_ANALYSED).sum(axis=0)
    above = (values > limits).sum(axis=0)
    share, largest = above / np.where(n > 0, n, np.nan), np.fmax.reduce(values, axis=0)
    return xr.Dataset(
        {
            "n": (ELEMENT, n, {"long_name": "blanks analysed"}),
            "n_above": (ELEMENT, above, {"long_name": "blanks that fail"}),
            "share_above": (ELEMENT, share, {"long_name": "share that fails", "units": "1"}),
            "largest": (ELEMENT, largest, {"long_name": "largest value in a blank"}),
        },
        element_coords(table),
        provenance("blank_contamination", by=by, blank=blank, times=times),
    )


def _measured(table: xr.Dataset) -> np.ndarray:
    """Return measured concentrations ``(sample, element)``, else NaN."""
    measured = table["concentration"].where(table["state"] == MEASURED)
    return np.asarray(measured.transpose(SAMPLE, ELEMENT).values)


def _known_limits(table: xr.Dataset) -> np.ndarray:
    """Return each value's detection limit, or the smallest known one that may stand for it."""
    limits = limits_of(table)
    return np.where(np.isnan(limits), smallest_of(limits, table), limits)


def _check_mappings(certified: Mapping[str, Mapping[str, float]]) -> None:
    nested = isinstance(certified, Mapping) and all(
        isinstance(by_element, Mapping) for by_element in certified.values()
    )
    if not nested:
        raise XGeoAnomError(
            f"certified={certified!r} must give values by material and element, such as "
            "{'STD1': {'Au': 10.0}}"
        )


def _certified(table: xr.Dataset, certified: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """Return certified values ``(material, element)``, NaN where not given."""
    values = pd.DataFrame(np.nan, index=list(certified), columns=table[ELEMENT].values)
    for material, by_element in certified.items():
        for element, value in by_element.items():
            check_element(table, element)
            values.loc[material, element] = positive(f"certified {material} {element}", value)
    return values.to_numpy()
