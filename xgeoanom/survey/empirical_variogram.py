"""The empirical variogram: semivariance of pairs of samples by distance and direction."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.conventions import ELEMENT, LOG_RATIO, provenance, units_of
from xgeoanom.errors import CubeError, GridError, XGeoAnomError
from xgeoanom.kernels.lags import bin_pairs
from xgeoanom.survey.gridding import samples_of, warn_of_censored
from xgeoanom.survey.search import check_count, check_positive
from xgeoanom.survey.variogram import check_number

ESTIMATORS = ("matheron", "cressie")
MOST_PAIRS = 2e8  # looked at: some seconds


def empirical_variogram(
    table: xr.Dataset,
    element: str,
    *,
    lag: float | None = None,
    n_lags: int = 15,
    azimuth: float | Sequence[float] | None = None,
    tolerance: float = 22.5,
    estimator: str = "matheron",
    log: bool = False,
) -> xr.Dataset:
    """Return the semivariance of pairs of samples by their distance and direction.

    Pairs at one place have no direction and do not count. Up to 20 000 samples all pairs are
    looked at; beyond, those of every m-th sample from west to east with all that follow it
    (``attrs["step"]`` is m), about 2e8. Memory is that of the samples alone.

    Parameters
    ----------
    table : xarray.Dataset
        ``concentration(sample, element)`` with coords ``x``, ``y`` and a projected CRS; NaN where
        missing.
    element : str
        Which element.
    lag : float, optional
        Width of a class of distances, in CRS units. Default: ``n_lags`` of them make up a third
        of the diagonal of the samples' extent.
    n_lags : int
        How many classes.
    azimuth : float or sequence of float, optional
        Direction in degrees clockwise from grid north, either way round; several, e.g.
        ``[0, 45, 90, 135]``, show anisotropy. Default: pairs of all directions.
    tolerance : float
        Greatest angle in degrees between a pair and its direction.
    estimator : str
        ``"matheron"``: half the mean squared difference. ``"cressie"``: from roots of absolute
        differences, which single high values spoil less.
    log : bool
        Of the values' natural logarithms.

    Returns
    -------
    xarray.Dataset
        Over ``lag``, the middle of each class, and over ``azimuth`` where that is a sequence:
        ``gamma`` (squared units of the values), mean ``distance`` (CRS units), ``n_pairs``.
        ``gamma`` and ``distance`` are NaN where there is no pair.

    Raises
    ------
    GridError
        If a number is out of bounds.
    CubeError
        If the element is unknown, has fewer than two samples, or values that have no logarithm.
    XGeoAnomError
        If the estimator is unknown.

    References
    ----------
    Matheron 1963, Economic Geology 58, 1246-1266; Cressie, Hawkins 1980, Mathematical Geology 12,
    115-125.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [3.0], [4.0]])},
    ...     {"x": ("sample", [0.0, 100.0, 200.0]), "y": ("sample", [0.0, 0.0, 0.0]),
    ...      "element": ["Cu"], "unit": ("element", ["ppm"])},
    ... ).rio.write_crs(32645)
    >>> empirical_variogram(table, "Cu", lag=150.0, n_lags=2)["gamma"].values
    array([1.25, 4.5 ])
    """
    _check(lag, n_lags, tolerance, estimator)
    x, y, values = _values_of(table, element, log)
    warn_of_censored(table.sel({ELEMENT: [element]}))
    width = lag or math.hypot(np.ptp(x), np.ptp(y)) / 3 / n_lags
    step = math.ceil(len(x) ** 2 / 2 / MOST_PAIRS)
    directions = np.radians(_azimuths(azimuth))
    n_pairs = np.zeros((len(directions), n_lags), dtype="int64")
    distance, spread = np.zeros((2, *n_pairs.shape))
    vectors = np.column_stack([np.sin(directions), np.cos(directions)])
    alignment = 0.0 if azimuth is None else math.cos(math.radians(tolerance))
    robust = estimator == "cressie"
    sums = n_pairs, distance, spread
    bin_pairs(x, y, values, width, vectors, alignment, step, robust, *sums)
    with np.errstate(invalid="ignore"):  # where there is no pair
        columns = _semivariance(spread / n_pairs, n_pairs, robust), distance / n_pairs, n_pairs
    parameters: dict[str, Any] = {"element": element, "lag": width, "n_lags": n_lags}
    parameters |= {"azimuth": azimuth, "tolerance": tolerance, "estimator": estimator, "log": log}
    attrs = provenance("empirical_variogram", **parameters) | {"step": step}
    return _dataset(columns, width, azimuth, tolerance, _unit(table, element, log), attrs)


def _check(lag: float | None, n_lags: int, tolerance: float, estimator: str) -> None:
    if estimator not in ESTIMATORS:
        raise XGeoAnomError(f"estimator={estimator!r} is none of {ESTIMATORS}")
    check_count("n_lags", n_lags)
    check_positive("lag", lag)
    check_number("tolerance", tolerance, lambda t: 0 < t <= 90, "above 0 and at most 90 degrees")


def _values_of(
    table: xr.Dataset, element: str, log: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places and values of the samples that have the element, from west to east."""
    x, y, concentrations = samples_of(table)
    names = table[ELEMENT].values.tolist()
    if element not in names:
        raise CubeError(f"element={element!r} is not in the table: {names}")
    values = concentrations[:, names.index(element)]
    order = np.argsort(x, kind="stable")
    order = order[np.isfinite(values[order])]
    x, y, values = x[order], y[order], values[order]
    if len(x) < 2 or np.ptp(x) == np.ptp(y) == 0:
        raise CubeError(f"element={element!r} has no two samples at different places")
    if log and (values <= 0).any():
        raise CubeError(
            f"log=True, and {(values <= 0).sum()} values of {element!r} are not positive; see "
            "replace_censored"
        )
    return x, y, np.log(values) if log else values


def _azimuths(azimuth: float | Sequence[float] | None) -> np.ndarray:
    azimuths = np.atleast_1d(0.0 if azimuth is None else azimuth)
    if azimuths.dtype.kind not in "iuf" or azimuths.ndim != 1 or not np.isfinite(azimuths).all():
        raise GridError(f"azimuth={azimuth!r} must be degrees clockwise from north")
    if azimuths.size == 0 or len(np.unique(azimuths % 180)) < azimuths.size:
        raise GridError(f"azimuth={azimuth!r} must name directions, each once (180 is 0 again)")
    return azimuths.astype("float64")


def _semivariance(mean: np.ndarray, n_pairs: np.ndarray, robust: bool) -> np.ndarray:
    """Return gamma from mean squared differences or, where robust, mean roots of them."""
    if not robust:
        return mean / 2
    with np.errstate(divide="ignore"):
        return mean**4 / (0.457 + 0.494 / n_pairs) / 2


def _unit(table: xr.Dataset, element: str, log: bool) -> str:
    """Return the unit of the semivariance."""
    if log or table["concentration"].attrs.get(LOG_RATIO, "none") != "none":
        return "1"
    names = table[ELEMENT].values.tolist()
    return f"({units_of(table['concentration'])[names.index(element)]})²"


def _dataset(
    columns: tuple[np.ndarray, ...],
    width: float,
    azimuth: float | Sequence[float] | None,
    tolerance: float,
    unit: str,
    attrs: dict[str, Any],
) -> xr.Dataset:
    several = np.ndim(azimuth) > 0  # type: ignore[arg-type]
    dims = ("azimuth", "lag") if several else ("lag",)
    about = {
        "gamma": {"long_name": "semivariance", "units": unit},
        "distance": {"long_name": "mean distance of pairs", "units": "CRS units"},
        "n_pairs": {"long_name": "pairs of samples", "units": "1"},
    }
    variables = {
        name: (dims, column if several else column[0], about[name])
        for name, column in zip(about, columns, strict=True)
    }
    middles = (np.arange(columns[0].shape[1]) + 0.5) * width
    result = xr.Dataset(variables, {"lag": ("lag", middles, {"units": "CRS units"})}, attrs)
    if azimuth is None:
        return result
    along = ("azimuth" if several else (), _azimuths(azimuth) if several else azimuth)
    return result.assign_coords(azimuth=(*along, {"units": "degrees", "tolerance": tolerance}))
