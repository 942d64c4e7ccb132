"""Spectrum-area fractal: background, anomaly and noise told apart by the power of their waves."""

import numpy as np
import xarray as xr

from xgeoanom.classical.cells import checked_raster, natural_unit
from xgeoanom.classical.log_log import (
    Segments,
    area_above,
    check_numbers,
    fit_segments,
    with_plot,
)
from xgeoanom.classical.trend_surface import trend_surface
from xgeoanom.conventions import cell_size, provenance, raster_on
from xgeoanom.errors import GridError, XGeoAnomError

MARGIN = 0.1  # of the longer side, on each side, in which the mirrored map fades out
LEAST_POWER = 1e-20  # of the largest; less is rounding
NAMES = {
    "score": "spectrum-area anomaly",
    "background": "spectrum-area background",
    "noise": "spectrum-area noise",
}


def spectrum_area(
    raster: xr.DataArray, *, degree: int = 1, n_segments: int | None = None, n_levels: int = 100
) -> xr.Dataset:
    """Split a map into background, anomaly and noise where its power spectrum bends.

    Parameters
    ----------
    raster : DataArray
        One element's raster ``(y, x)``, log-ratioed or in logs.
    degree : int
        Of the trend surface that is taken away first.
    n_segments : int, optional
        3 or 4 straight segments of the log-log plot; by default the number of the lowest BIC.
    n_levels : int
        Steps of power, even in log, at which the area is taken; 16 or more.

    Returns
    -------
    Dataset
        ``score``, the waves of middle power; ``background``, those of a power above the highest
        break; ``noise``, those below the lowest; ``trend``; all ``(y, x)`` in the raster's unit.
        The first three sum to the raster less its trend. Coords: ``area`` (level) of the
        wavenumber plane, in CRS units to the power -2, where the power reaches ``level``;
        ``breaks`` (break); ``exponent`` and ``intercept`` (segment). A spectrum is of the whole
        map: a chunked raster is computed and so are the maps.

    Raises
    ------
    GridError
        If the raster is none, or is nothing but its trend, or :func:`trend_surface` refuses it.
    XGeoAnomError
        If ``n_segments`` or ``n_levels`` is out of range.

    Notes
    -----
    Cheng, Xu and Grunsky (2000), Nat. Resour. Res. 9, 43. Missing cells take the trend. Around
    the map lies a margin of its mirror image that fades to zero by a cosine, so that opposite
    edges meet, and the map itself is left as it is.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> grid = {"y": np.arange(24.0), "x": np.arange(30.0)}
    >>> field = xr.DataArray(rng.normal(size=(24, 30)), grid, dims=("y", "x"))
    >>> parts = spectrum_area(field)
    >>> total = parts["score"] + parts["background"] + parts["noise"] + parts["trend"]
    >>> bool(abs(total - field).max() < 1e-9)
    True
    """
    raster = checked_raster(raster).compute()
    check_numbers(n_segments, n_levels)
    if n_segments == 2:
        raise XGeoAnomError("n_segments=2 has one break, three components need two; try 3")
    detrended = trend_surface(raster, degree=degree)
    margin = round(MARGIN * max(raster.shape))
    spectrum = np.fft.fft2(_with_margin(detrended["score"].fillna(0.0).values, margin))
    power = _power(spectrum)
    _check_power(power, raster.values)
    height, width = cell_size(raster)
    levels, area = area_above(
        power[power > LEAST_POWER * power.max()], 1 / (power.size * abs(height * width)), n_levels
    )
    segments = fit_segments(levels, area, (3, 4) if n_segments is None else (n_segments,))
    attrs = provenance("spectrum_area", degree=degree, n_segments=n_segments, n_levels=n_levels)
    maps = {}
    for name, values in _components(spectrum, power, segments, margin).items():
        values = np.where(raster.isnull(), np.nan, values)
        maps[name] = raster_on(
            raster,
            values,
            name=name,
            long_name=NAMES[name],
            units=natural_unit(raster),
            attrs=attrs,
        )
    maps["trend"] = detrended["trend"]
    return with_plot(xr.Dataset(maps), levels, area, segments, "power", "1")


def _with_margin(field: np.ndarray, margin: int) -> np.ndarray:
    """Return the field amid its mirror image, which fades out towards the edges."""
    fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(margin) + 0.5) / margin)
    tapers = [np.concatenate([fade, np.ones(n), fade[::-1]]) for n in field.shape]
    return np.pad(field, margin, mode="symmetric") * np.outer(*tapers)


def _power(spectrum: np.ndarray) -> np.ndarray:
    """Return the power, the same to the last digit for a wave and its opposite."""
    power = np.abs(spectrum) ** 2
    opposite = np.roll(power[::-1, ::-1], 1, axis=(0, 1))
    return (power + opposite) / 2


def _check_power(power: np.ndarray, values: np.ndarray) -> None:
    # Parseval: the mean power is the sum of squares.
    if power.mean() <= 1e-20 * np.nansum(values**2):
        raise GridError("raster is nothing but its trend; there is no spectrum, or lower degree")


def _components(
    spectrum: np.ndarray, power: np.ndarray, segments: Segments, margin: int
) -> dict[str, np.ndarray]:
    """Return the waves of middle, high and low power as fields."""
    noise, background = power < segments.breaks[0], power >= segments.breaks[-1]
    masks = {"score": ~(noise | background), "background": background, "noise": noise}
    inside = (slice(margin, -margin or None),) * 2
    return {
        name: np.fft.ifft2(np.where(mask, spectrum, 0)).real[inside] for name, mask in masks.items()
    }
