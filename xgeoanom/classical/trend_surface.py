"""Trend surfaces: what is left of an element once its regional trend is taken away."""

import numpy as np
import xarray as xr
from numpy.polynomial import legendre
from scipy.signal import fftconvolve

from xgeoanom.blocks import Footprint, map_halo
from xgeoanom.classical.cells import checked_raster, natural_unit
from xgeoanom.conventions import X, Y, provenance, raster_on
from xgeoanom.errors import GridError, WindowError

HUBER = 1.345  # 95 % efficient for normal residuals: Huber (1964), Ann. Math. Stat. 35, 73
MAD_TO_SIGMA = 1.4826
ROUNDS, TOLERANCE = 100, 1e-10
FLAT = 1e-8  # least eigenvalue of a window's moments, as a share of the largest


def trend_surface(raster: xr.DataArray, *, degree: int = 2, robust: bool = False) -> xr.Dataset:
    """Residual of a polynomial trend fitted to the whole map.

    Parameters
    ----------
    raster : DataArray
        One element's raster ``(y, x)``, log-ratioed or in logs, since concentrations are skewed.
    degree : int
        Of the polynomial in x and y, 0 to 8; all terms up to that total degree.
    robust : bool
        Huber's M-estimate instead of least squares: anomalies then pull the trend less.

    Returns
    -------
    Dataset
        ``score``, the residual, and ``trend``, both ``(y, x)`` in the raster's unit. The
        trend is a statistic of the whole map: a chunked raster is taken into memory once for
        the fit; the maps stay lazy.

    Raises
    ------
    GridError
        If the raster is none, ``degree`` is out of range, or the valid cells are too few, or lie
        so that they do not determine the polynomial.

    Notes
    -----
    Least squares on Legendre polynomials of coordinates scaled to [-1, 1]; Huber's estimate by
    iterated reweighting with tuning constant 1.345 and the scale from the median absolute
    residual (Huber, 1981, Robust Statistics, sections 7.7-7.8).

    Examples
    --------
    >>> plane = xr.DataArray(
    ...     np.add.outer(np.arange(4.0), 2 * np.arange(5.0)), dims=("y", "x"),
    ...     coords={"y": 100.0 * np.arange(4), "x": 100.0 * np.arange(5)},
    ... )
    >>> bool(abs(trend_surface(plane, degree=1)["score"]).max() < 1e-12)
    True
    """
    raster = checked_raster(raster)
    if not isinstance(degree, int | np.integer) or not 0 <= degree <= 8:
        raise GridError(f"degree={degree!r} must be a whole number from 0 to 8; try 2")
    v, u = (_scaled(raster[dim].values) for dim in (Y, X))
    coefficients = _fit(raster.values, v, u, degree, robust)
    trend = raster_on(
        raster,
        legendre.leggrid2d(v, u, coefficients),
        name="trend",
        long_name=f"trend surface of degree {degree}",
        units=natural_unit(raster),
        attrs=provenance("trend_surface", degree=degree, robust=robust),
    )
    if raster.chunks is not None:
        trend = trend.chunk(raster.chunksizes)
    return _residual(raster, trend, "residual of the trend surface")


def _residual(raster: xr.DataArray, trend: xr.DataArray, long_name: str) -> xr.Dataset:
    score = raster_on(
        raster,
        raster.data - trend.data,
        name="score",
        long_name=long_name,
        units=trend.attrs["units"],
        attrs={key: trend.attrs[key] for key in ("method", "parameters", "version")},
    )
    return xr.Dataset({"score": score, "trend": trend})


def _scaled(coord: np.ndarray) -> np.ndarray:
    """Return coordinates from -1 to 1, on which Legendre polynomials are nearly orthogonal."""
    low, high = coord.min(), coord.max()
    return (2 * coord.astype("float64") - low - high) / (high - low)


def _fit(values: np.ndarray, v: np.ndarray, u: np.ndarray, degree: int, robust: bool) -> np.ndarray:
    """Return the coefficients ``(degree in y, degree in x)``."""
    rows, cols = np.nonzero(np.isfinite(values))
    powers = np.add.outer(np.arange(degree + 1), np.arange(degree + 1))
    terms = np.flatnonzero(powers.ravel() <= degree)
    if len(rows) <= len(terms):
        raise GridError(
            f"raster has {len(rows)} valid cells, degree={degree} has {len(terms)} coefficients; "
            "lower degree"
        )
    design = legendre.legvander2d(v[rows], u[cols], [degree, degree])[:, terms]
    known = values[rows, cols].astype("float64")
    solved, _, rank, _ = np.linalg.lstsq(design, known, rcond=1e-9)
    if rank < len(terms):
        raise GridError(
            f"degree={degree}: the raster's valid cells determine {rank} of {len(terms)} "
            "coefficients, for they lie on too few rows or columns; lower degree"
        )
    coefficients = np.zeros(powers.size)
    coefficients[terms] = _huber(design, known, solved) if robust else solved
    return coefficients.reshape(powers.shape)


def _huber(design: np.ndarray, known: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return Huber's M-estimate by iterated reweighting."""
    solved = start
    for _ in range(ROUNDS):
        residual = known - design @ solved
        sigma = MAD_TO_SIGMA * np.median(np.abs(residual))
        # Most cells lie on the trend exactly: nothing is left to weigh.
        if sigma <= 1e-12 * np.abs(known).max():
            return solved
        root = np.sqrt(np.minimum(1, HUBER * sigma / np.maximum(np.abs(residual), 1e-300)))
        before = solved
        solved = np.linalg.lstsq(design * root[:, None], known * root, rcond=None)[0]
        if np.abs(solved - before).max() <= TOLERANCE * sigma:
            break
    return solved


# --------------------------------------------------------------------------------------- local


def local_trend(raster: xr.DataArray, *, window: int = 21, degree: int = 1) -> xr.Dataset:
    """Residual of a trend fitted around each cell: a moving window with tricube weights.

    Parameters
    ----------
    raster : DataArray
        One element's raster ``(y, x)``, log-ratioed or in logs.
    window : int
        Diameter of the window, odd, in cells.
    degree : int
        Of the local polynomial: 0, 1 or 2.

    Returns
    -------
    Dataset
        ``score``, the residual, and ``trend``, both ``(y, x)`` in the raster's unit; lazy where
        the raster is. Both are NaN where the raster is, and where the window's valid cells do
        not determine the polynomial.

    Raises
    ------
    GridError
        If the raster is none.
    WindowError
        If ``window`` is even or too small for ``degree``, or ``degree`` is out of range.

    Notes
    -----
    Weights (1 - (d/h)³)³ with h half a cell more than half the window (Cleveland, 1979, J. Am.
    Stat. Assoc. 74, 829, section 2, here with a window of fixed size). The moments of all windows
    are convolutions by FFT, so that time hardly depends on the window.

    Examples
    --------
    >>> plane = xr.DataArray(
    ...     np.add.outer(np.arange(6.0), 2 * np.arange(7.0)), dims=("y", "x"),
    ...     coords={"y": 100.0 * np.arange(6), "x": 100.0 * np.arange(7)},
    ... )
    >>> bool(abs(local_trend(plane, window=5)["score"]).max() < 1e-9)
    True
    """
    raster = checked_raster(raster)
    _check_window(window, degree)
    values = map_halo(
        _window_trend,
        raster.data[None],
        footprint=Footprint(halo=window // 2),
        shared=(window, degree),
        dtype="float64",
    )
    trend = raster_on(
        raster,
        values,
        name="trend",
        long_name=f"local trend of degree {degree}",
        units=natural_unit(raster),
        attrs=provenance("local_trend", window=window, degree=degree),
    )
    return _residual(raster, trend, "residual of the local trend")


def _check_window(window: int, degree: int) -> None:
    if degree not in (0, 1, 2):
        raise WindowError(f"degree={degree!r} must be 0, 1 or 2; try 1")
    if not isinstance(window, int | np.integer) or window < 3 + 2 * (degree > 1) or window % 2 == 0:
        raise WindowError(
            f"window={window!r} must be odd and at least {3 + 2 * (degree > 1)} cells for "
            f"degree={degree}; try 21"
        )


def _window_trend(block: np.ndarray, shared: tuple[int, int]) -> np.ndarray:
    """Return the local trend of a block with its halo; NaN where a window does not determine it."""
    window, degree = shared
    halo = window // 2
    valid = np.isfinite(block[0])
    filled = np.where(valid, block[0], 0.0)
    powers = [(p, q) for p in range(degree + 1) for q in range(degree + 1 - p)]
    wanted = valid[halo : valid.shape[0] - halo, halo : valid.shape[1] - halo]
    gram, right = _moments(valid, filled, wanted, window, powers)
    eigenvalues = np.linalg.eigvalsh(gram)
    solved = np.full(len(gram), np.nan)
    enough = eigenvalues[:, 0] > FLAT * eigenvalues[:, -1]
    # The polynomial is centred on the cell: its value there is the first coefficient.
    solved[enough] = np.linalg.solve(gram[enough], right[enough, :, None])[:, 0, 0]
    trend = np.full(wanted.shape, np.nan)
    trend[wanted] = solved
    return trend


def _moments(
    valid: np.ndarray,
    filled: np.ndarray,
    wanted: np.ndarray,
    window: int,
    powers: list[tuple[int, int]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the normal equations' matrix and right side for each wanted cell."""
    away = (np.arange(window) - window // 2) / (window / 2 + 0.5)
    dy, dx = away[:, None], away[None, :]
    weight = np.maximum(1 - np.hypot(dy, dx) ** 3, 0) ** 3

    def moment(of: np.ndarray, p: int, q: int) -> np.ndarray:
        kernel = weight * dy**p * dx**q
        return fftconvolve(of, kernel[::-1, ::-1], mode="valid")[wanted]

    pairs = {(a + c, b + d) for a, b in powers for c, d in powers}
    found = {pair: moment(valid.astype("float64"), *pair) for pair in pairs}
    gram = np.stack([[found[a + c, b + d] for a, b in powers] for c, d in powers])
    right = np.stack([moment(filled, *pair) for pair in powers])
    return np.moveaxis(gram, -1, 0), right.T
