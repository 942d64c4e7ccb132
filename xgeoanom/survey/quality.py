"""What is done to values that the laboratory could not measure."""

from functools import partial

import numpy as np
import xarray as xr

from xgeoanom.conventions import (
    BELOW_LIMIT,
    BELOW_UNKNOWN_LIMIT,
    ELEMENT,
    MEASURED,
    PPM_PER_UNIT,
    SAMPLE,
    provenance,
    units_of,
)
from xgeoanom.errors import CompositionError
from xgeoanom.survey.censoring import impute
from xgeoanom.survey.compositions import WHOLE
from xgeoanom.survey.table import (
    check_choice,
    check_table,
    limits_of,
    smallest_of,
    with_concentration,
)

CENSORED = (BELOW_LIMIT, BELOW_UNKNOWN_LIMIT)
FACTOR = 0.65  # of the limit, where none is given


def replace_censored(
    table: xr.Dataset,
    *,
    method: str = "constant",
    factor: float | None = None,
    denominator: str | None = None,
    unknown_limits: str = "refuse",
) -> xr.Dataset:
    """Replace values below detection, so that log-ratios can be taken.

    The one step that does so. ``state`` and ``detection_limit`` stay as they are: they keep
    telling which values were replaced, and the step can be repeated in another way.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table of :func:`from_points`. ``detection_limit`` is ``(element,)`` or
        ``(sample, element)``.
    method : {"constant", "em"}
        ``"constant"``: ``factor`` times the limit. ``"em"``: what is expected below the limit,
        given the sample's other elements. It assumes that log-ratios are multivariate normal,
        and finds their mean and covariance with an EM algorithm. Better where many values are
        censored: a constant shifts means and bends variances and correlations. Being expectations,
        the new values scatter a little less than what was there.
    factor : float, optional
        For ``"constant"``: the share of the limit, above 0 and at most 1. By default 0.65, the
        customary value (Martín-Fernández, Barceló-Vidal and Pawlowsky-Glahn, 2003, Math. Geol.
        35, 253).
    denominator : str, optional
        For ``"em"``: the part of the log-ratios (alr), measured in every sample, as in the paper.
        By default the rest of the rock, which of trace elements is nearly all of it: then the
        log-ratios are log concentrations but for a constant. A limit is a concentration, so
        that a sample's dilution decides, too, what is censored: another denominator hides it.
    unknown_limits : {"refuse", "smallest"}
        What stands for a limit that is unknown: nothing, or the smallest value measured of the
        element, in the sample's ``batch`` where the table names batches and this one has any.

    Returns
    -------
    xarray.Dataset
        The table with ``concentration`` free of censored values, each below its limit (or at it
        with ``factor=1``). What was not analysed stays NaN. ``attrs["iterations"]`` counts those
        of EM.

    Raises
    ------
    CubeError
        If ``table`` is no survey table.
    CompositionError
        If an argument is out of range or belongs to the other method, a censored value has no
        detection limit, a measured value is not positive or, for ``"em"``, an element has fewer
        than three measured values, ``denominator`` is not measured in every sample or, where
        there is none, a sample's parts exceed 100 %.

    References
    ----------
    Palarea-Albaladejo and Martín-Fernández, 2008, Computers & Geosciences 34, 902. Where several
    elements of a sample are censored, theirs truncates each alone, ours all of them jointly.

    Examples
    --------
    >>> import geopandas as gpd
    >>> from xgeoanom.survey.assays import from_points
    >>> places = gpd.points_from_xy([0.0, 500.0], [0.0, 0.0])
    >>> points = gpd.GeoDataFrame({"Au": [0.0, 3.0]}, geometry=places, crs=32650)
    >>> table = from_points(points, ["Au"], units="ppb", detection_limits={"Au": 2.0})
    >>> replace_censored(table)["concentration"].values
    array([[1.3],
           [3. ]])
    """
    check_choice("method", method, ("constant", "em"))
    check_choice("unknown_limits", unknown_limits, ("refuse", "smallest"))
    _check_method(method, factor, denominator)
    check_table(table)
    _check_measured(table)
    table = table.transpose(SAMPLE, ELEMENT, ...)
    values = table["concentration"].values
    censored = np.isin(table["state"].values, CENSORED)
    limits = _limits(table, unknown_limits, censored)
    record = partial(provenance, "replace_censored", method=method, unknown_limits=unknown_limits)
    if method == "constant":
        factor = FACTOR if factor is None else factor
        new = np.where(censored, factor * limits, values)
        return with_concentration(table, new, record(factor=factor))
    if denominator is None:
        _check_rest(table)
    names = [str(name) for name in table[ELEMENT].values]
    new, iterations = impute(values, censored, limits, names, denominator)
    return with_concentration(
        table, new, record(denominator=denominator) | {"iterations": iterations}
    )


def _check_method(method: str, factor: float | None, denominator: str | None) -> None:
    """Raise CompositionError unless the arguments are those of ``method``."""
    other = {"constant": ("denominator", denominator), "em": ("factor", factor)}
    argument, value = other[method]
    if value is not None:
        raise CompositionError(
            f"{argument}={value!r} has no meaning for method={method!r}; leave it out, or use the "
            "other method"
        )
    number = isinstance(factor, int | float | np.number)
    if factor is not None and not (number and 0 < factor <= 1):
        raise CompositionError(f"factor={factor!r} must be above 0 and at most 1; try 0.65")


def _check_rest(table: xr.Dataset) -> None:
    """Raise unless the parts whose unit is known leave room for the rest of the rock."""
    ppm = np.array([PPM_PER_UNIT.get(unit, 0.0) for unit in units_of(table["concentration"])])
    known = table["concentration"].where(table["state"] == MEASURED, 0.0)
    total = (known.transpose(SAMPLE, ELEMENT).values * ppm).sum(axis=1)
    if wrong := int((total > WHOLE).sum()):
        raise CompositionError(
            f"denominator=None is the rest of the rock, but the parts of {wrong} samples exceed "
            f"100 % (up to {100 * total.max() / WHOLE:.4g} %); check their units, or name an "
            "element that is measured in every sample"
        )


def _check_measured(table: xr.Dataset) -> None:
    wrong = (table["state"] == MEASURED) & ~(table["concentration"] > 0)
    if wrong.any():
        raise CompositionError(
            f"table has measured values that are not positive {_counts(table, wrong)}; a zero is "
            "no measurement: flag it in `state`, as from_points does"
        )


def _counts(table: xr.Dataset, wrong: xr.DataArray) -> dict[str, int]:
    """Return how many values are ``wrong``, by element."""
    counts = wrong.sum(SAMPLE).values
    return {str(name): int(n) for name, n in zip(table[ELEMENT].values, counts, strict=True) if n}


def _limits(table: xr.Dataset, unknown_limits: str, censored: np.ndarray) -> np.ndarray:
    """Return the limit of every value; each censored one has one."""
    limits = limits_of(table)
    # State 2 says that the limit is unknown, whatever the other samples' limit may be.
    limits[table["state"].values == BELOW_UNKNOWN_LIMIT] = np.nan
    if unknown_limits == "smallest":
        measured = table["concentration"].where(table["state"] == MEASURED).values
        limits = np.where(censored & np.isnan(limits), smallest_of(measured, table), limits)
    lacking = censored & ~(limits > 0)
    if lacking.any():
        remedy = (
            "no value of the element was measured: leave it out"
            if unknown_limits == "smallest"
            else "give detection_limits to from_points, or unknown_limits='smallest'"
        )
        found = _counts(table, table["state"].copy(data=lacking))
        raise CompositionError(
            f"table has censored values without a detection limit {found}; {remedy}"
        )
    return limits
