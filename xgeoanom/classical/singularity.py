"""Local singularity: how steeply concentration rises towards a cell."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.blocks import Footprint, map_halo
from xgeoanom.conventions import (
    ELEMENT,
    LOG_RATIO,
    X,
    Y,
    cell_size,
    check_elements,
    check_projected,
    provenance,
)
from xgeoanom.errors import CompositionError, GridError, WindowError, XGeoAnomError
from xgeoanom.kernels.singularity import (
    ellipse_rows,
    fit_power_law,
    running_sums,
    shape_means,
    square_means,
)
from xgeoanom.survey.search import check_count
from xgeoanom.survey.table import positive

MAPS = {
    "score": ("singularity score, 2 - alpha", "1"),
    "alpha": ("singularity index", "1"),
    "c": ("log of the concentration that the fit gives one cell", "1"),
    "r2": ("coefficient of determination of the log-log fit", "1"),
    "bearing": ("bearing of the long axis, clockwise from north", "degree"),
}
Shapes = dict[float, list[np.ndarray]]


def singularity(
    concentration: xr.DataArray,
    *,
    windows: Sequence[int] = (3, 5, 7, 9, 11),
    ratio: float = 1.0,
    n_bearings: int = 12,
) -> xr.Dataset:
    """Local singularity: the power law of mean concentration in windows of growing size.

    ``log mean(e) = c + (alpha - 2) log e`` over windows of e cells a side around each cell. Where
    ore enriches, the mean rises towards the cell and alpha is below 2, however low the
    concentration itself may be.

    Parameters
    ----------
    concentration : DataArray
        Positive concentrations (no log-ratio): one element's raster ``(y, x)``, or a cube.
    windows : sequence of int
        Window sizes in cells; odd, ascending, two or more.
    ratio : float
        Long axis by short axis of the windows: 1 for squares, above 1 for ellipses as large.
    n_bearings : int
        Of ellipses: how many directions of the long axis are tried, evenly over 180 degrees. Each
        cell gets the one of the least alpha.

    Returns
    -------
    Dataset
        Shaped as the input: ``score`` (2 - alpha), ``alpha``, ``c``, ``r2`` of the fit (NaN where
        all means are equal) and, for ellipses, ``bearing`` of the long axis in degrees clockwise
        from north. Means skip NaN cells and those outside the survey; NaN cells, and those around
        which the mean is 0, score NaN. Lazy where the input is.

    Raises
    ------
    CompositionError
        If the input is a log-ratio or, when it is read, negative.
    WindowError
        If a window is even, repeated or descending, or larger than the survey.
    GridError, CRSError
        If the grid is uneven, has other dims, or is not projected.
    XGeoAnomError
        If ``ratio`` is below 1 or ``n_bearings`` no positive integer.

    Notes
    -----
    Cheng (2007), Ore Geol. Rev. 32, 314, eqs. 1-4. Ellipses: Xiao, Chen and others (2018), Ore
    Geol. Rev. 102; their size e is the root of the number of cells in them. The least alpha of
    several directions is below that of squares on average, enriched or not: compare cells, not
    the two maps.

    Examples
    --------
    >>> x = np.arange(-10.0, 11.0)
    >>> distance = np.maximum(np.hypot(x, x[:, None]), 0.5)
    >>> raster = xr.DataArray(
    ...     distance**-1.0, dims=("y", "x"), coords={"y": x, "x": x}
    ... ).rio.write_crs(32650)
    >>> singularity(raster)["alpha"].sel(x=0, y=0).round(1).item()
    1.1
    """
    concentration = _checked(concentration)
    ratio = _check_ratio(ratio)
    check_count("n_bearings", n_bearings)
    windows = _checked_windows(windows, concentration)
    names = [name for name in MAPS if name != "bearing" or ratio > 1]
    shapes = _ellipses(concentration, windows, ratio, n_bearings) if ratio > 1 else None
    cube = concentration if ELEMENT in concentration.dims else concentration.expand_dims(ELEMENT)
    halo = _reach(shapes) if shapes else windows[-1] // 2

    def on_block(block: np.ndarray, shared: None) -> np.ndarray:
        ny, nx = block.shape[1] - 2 * halo, block.shape[2] - 2 * halo
        maps = np.empty((len(names), len(block), ny, nx))
        means = np.empty((len(windows), ny, nx))  # for all elements: what is freed is cleared anew
        for k, plane in enumerate(block.astype("float64")):
            maps[:, k] = _maps_of(plane, windows, shapes, means)
        return maps.reshape(-1, ny, nx)

    layers = len(names) * cube.sizes[ELEMENT]
    footprint = Footprint(halo=halo)
    maps = map_halo(on_block, cube.data, footprint=footprint, layers=layers, dtype="float64")
    attrs = provenance("singularity", windows=windows, ratio=ratio, n_bearings=n_bearings)
    return _dataset(concentration, maps.reshape(len(names), *concentration.shape), names, attrs)


def _dataset(
    like: xr.DataArray, maps: Any, names: Sequence[str], attrs: dict[str, Any]
) -> xr.Dataset:
    coords = {key: like.coords[key] for key in (ELEMENT, Y, X, "spatial_ref") if key in like.coords}
    variables = {}
    for values, name in zip(maps, names, strict=True):
        long_name, units = MAPS[name]
        own = {"long_name": long_name, "units": units, **attrs}
        variables[name] = xr.DataArray(values, coords, like.dims, name, own)
    return xr.Dataset(variables, attrs=attrs)


# -------------------------------------------------------------------------------------- checks


def _checked(concentration: xr.DataArray) -> xr.DataArray:
    if not isinstance(concentration, xr.DataArray):
        raise GridError(
            f"concentration is a {type(concentration).__name__}; give a DataArray, such as a cube"
        )
    if set(concentration.dims) not in ({Y, X}, {ELEMENT, Y, X}):
        raise GridError(
            f"concentration has dims {concentration.dims}, not ('y', 'x') or ('element', 'y', 'x')"
        )
    if ELEMENT in concentration.dims:
        check_elements(concentration)
    check_projected(concentration, "concentration")
    cell_size(concentration)
    kind = concentration.attrs.get(LOG_RATIO, "none")
    if kind != "none":
        raise CompositionError(
            f"concentration is a log-ratio of kind {kind!r}; a power law needs concentrations"
        )
    return concentration.transpose(..., Y, X)


def _check_ratio(ratio: float) -> float:
    if positive("ratio", ratio) < 1:
        raise XGeoAnomError(f"ratio={ratio} must be at least 1: the long axis by the short one")
    return float(ratio)


def _checked_windows(windows: Sequence[int], grid: xr.DataArray) -> tuple[int, ...]:
    odd = all(isinstance(w, int | np.integer) and w > 0 and w % 2 for w in windows)
    if not odd or len(windows) < 2 or list(windows) != sorted(set(windows)):
        raise WindowError(
            f"windows={windows} must be two or more odd integers of cells, ascending; try "
            "(3, 5, 7, 9, 11)"
        )
    ny, nx = grid.sizes[Y], grid.sizes[X]
    if windows[-1] > min(ny, nx):
        raise WindowError(
            f"windows={windows}: the last is larger than the survey of {ny} x {nx} cells"
        )
    return tuple(int(w) for w in windows)


# --------------------------------------------------------------------------------------- blocks


def _ellipses(grid: xr.DataArray, windows: Sequence[int], ratio: float, n_bearings: int) -> Shapes:
    """Return the rows of the ellipses of each bearing."""
    height, width = cell_size(grid)
    bearings = np.arange(n_bearings) * 180 / n_bearings
    return {
        float(bearing): [ellipse_rows(w, ratio, bearing, height, width) for w in windows]
        for bearing in bearings
    }


def _reach(shapes: Shapes) -> int:
    """Return how many cells the ellipses reach to any side."""
    rows = np.concatenate([shape for ellipses in shapes.values() for shape in ellipses])
    return int(max(abs(rows[:, :2]).max(), rows[:, 2].max() - 1))


def _maps_of(
    plane: np.ndarray, windows: Sequence[int], shapes: Shapes | None, means: np.ndarray
) -> np.ndarray:
    """Return the maps of one element, ``(map, y, x)``, from its plane with a halo.

    ``means`` (window, y, x) are written over.
    """
    halo = (len(plane) - means.shape[1]) // 2
    if (plane < 0).any():
        raise CompositionError(
            f"concentration has negative values, such as {np.nanmin(plane):g}; a power law needs "
            "concentrations"
        )
    inside = slice(halo, plane.shape[0] - halo), slice(halo, plane.shape[1] - halo)
    valid = np.isfinite(plane[inside])
    if shapes is None:
        square_means(plane, np.array(windows), halo, means)
        fit = _fit(means, np.array(windows, dtype="float64"), valid)
    else:
        fit = _steepest(plane, shapes, valid, means)
    return np.concatenate([2 - fit[:1], fit])


def _fit(means: np.ndarray, sizes: np.ndarray, valid: np.ndarray) -> np.ndarray:
    fit = np.empty((3, *valid.shape))
    fit_power_law(means, sizes, valid, fit)
    return fit


def _steepest(
    plane: np.ndarray, shapes: Shapes, valid: np.ndarray, means: np.ndarray
) -> np.ndarray:
    """Return alpha, c, r2 and bearing of the direction in which alpha is least."""
    halo = (len(plane) - len(valid)) // 2
    sums, counts = running_sums(plane)
    best = np.full((4, *valid.shape), np.nan)
    for bearing, ellipses in shapes.items():
        for mean, shape in zip(means, ellipses, strict=True):
            shape_means(sums, counts, shape, halo, mean)
        areas = [(shape[:, 2] - shape[:, 1]).sum() for shape in ellipses]
        fit = _fit(means, np.sqrt(areas), valid)
        steeper = (fit[0] < best[0]) | (np.isnan(best[0]) & valid)
        best[:3, steeper], best[3, steeper] = fit[:, steeper], bearing
    best[3, np.isnan(best[0])] = np.nan
    return best
