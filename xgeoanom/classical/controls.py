"""Controls: scores that need no method, which every method has to beat."""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from xgeoanom.blocks import Footprint, map_halo
from xgeoanom.classical.cells import checked_cube, checked_raster, natural_unit
from xgeoanom.conventions import (
    ELEMENT,
    LOG_RATIO,
    X,
    Y,
    cell_size,
    check_projected,
    check_same_crs,
    provenance,
    raster_on,
)
from xgeoanom.errors import CubeError, GridError, LabelError
from xgeoanom.seeding import Seed, resolve, streams
from xgeoanom.survey.coda import clr
from xgeoanom.survey.search import check_count, check_positive


def target_element(raster: xr.DataArray, *, smooth: bool = False) -> xr.DataArray:
    """Score a cell by the target element itself, or by the median of its 8 neighbours.

    Parameters
    ----------
    raster : DataArray
        The target's raster ``(y, x)``.
    smooth : bool
        Take the median of the 8 cells around instead of the cell's own value.

    Returns
    -------
    DataArray
        ``(y, x)`` in the raster's unit, NaN where the raster is, and lazy where it is. The median
        skips missing neighbours; a cell without any is NaN.

    Raises
    ------
    GridError
        If the raster is none.

    Examples
    --------
    >>> grid = {"y": np.arange(3.0), "x": np.arange(3.0)}
    >>> gold = xr.DataArray(np.arange(9.0).reshape(3, 3), grid, dims=("y", "x"))
    >>> target_element(gold, smooth=True).values[1]
    array([4., 4., 4.])
    """
    raster = checked_raster(raster)
    values = raster.data
    if smooth:
        values = map_halo(
            _neighbour_median, raster.data[None], footprint=Footprint(halo=1), dtype="float64"
        )
    return raster_on(
        raster,
        values.astype("float64"),
        name="target_element",
        long_name="median of 8 neighbours" if smooth else "target element itself",
        units=natural_unit(raster),
        attrs=provenance("target_element", smooth=smooth),
    )


def _neighbour_median(block: np.ndarray, shared: None) -> np.ndarray:
    padded = block[0]
    centre = padded[1:-1, 1:-1]
    ny, nx = centre.shape
    around = np.stack(
        [padded[i : i + ny, j : j + nx] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    )
    median = np.full(centre.shape, np.nan)
    some = ~np.isnan(centre) & ~np.isnan(around).all(axis=0)
    median[some] = np.nanmedian(around[:, some], axis=0)
    return median


def pathfinder_sum(cube: xr.DataArray | xr.Dataset, elements: Sequence[str]) -> xr.DataArray:
    """Sum of the z-scored clr of pathfinder elements.

    Parameters
    ----------
    cube : DataArray or Dataset
        Positive concentrations ``(element, y, x)``, or their clr.
    elements : sequence of str
        The target and its pathfinders.

    Returns
    -------
    DataArray
        ``(y, x)``, NaN where one of ``elements`` is missing; lazy where the cube is, but mean and
        standard deviation are of the whole map and computed.

    Raises
    ------
    CubeError
        If an element is not in the cube, or constant, or the cube is another log-ratio.

    Examples
    --------
    >>> values = np.exp(np.random.default_rng(0).normal(size=(3, 5, 6)))
    >>> cube = xr.DataArray(
    ...     values, dims=("element", "y", "x"),
    ...     coords={"element": ["Au", "As", "Cu"], "y": np.arange(5.0), "x": np.arange(6.0)},
    ... ).rio.write_crs(32650)
    >>> abs(round(float(pathfinder_sum(cube, ["Au", "As"]).mean()), 9))
    0.0
    """
    cube = checked_cube(cube)
    names = cube[ELEMENT].values.tolist()
    if isinstance(elements, str) or not len(elements) or not set(elements) <= set(names):
        raise CubeError(f"elements={elements!r} must be a list of some of {names}")
    found = cube.attrs.get(LOG_RATIO, "none")
    if found not in ("none", "clr"):
        raise CubeError(f"cube is a log-ratio of kind {found!r}; give concentrations or their clr")
    chosen = (cube if found == "clr" else clr(cube)).sel({ELEMENT: list(elements)})
    mean, spread = chosen.mean([Y, X]).compute(), chosen.std([Y, X]).compute()
    if not (spread > 0).all():
        constant = spread[ELEMENT].values[~(spread > 0).values].tolist()
        raise CubeError(f"elements={constant} do not vary, or have no cells; leave them out")
    total = ((chosen - mean) / spread).sum(ELEMENT, skipna=False)
    return raster_on(
        cube,
        total.transpose(Y, X).data,
        name="pathfinder_sum",
        long_name=f"sum of z-scored clr of {', '.join(map(str, elements))}",
        attrs=provenance("pathfinder_sum", elements=list(elements)),
    )


def deposit_proximity(deposits: gpd.GeoDataFrame, like: xr.DataArray) -> xr.DataArray:
    """Minus the distance to the nearest training deposit.

    Parameters
    ----------
    deposits : GeoDataFrame
        Points of the training deposits alone, in the CRS of ``like``: those held out would score
        themselves.
    like : DataArray
        Raster ``(y, x)``; cells that are NaN in it are NaN.

    Returns
    -------
    DataArray
        ``(y, x)`` in CRS units, 0 at a deposit and below 0 elsewhere.

    Raises
    ------
    CRSError
        If the CRS is missing, geographic or another.
    LabelError
        If there is no deposit, or a geometry is no point.

    Examples
    --------
    >>> grid = {"y": [0.0, 3.0], "x": [0.0, 4.0]}
    >>> like = xr.DataArray(np.zeros((2, 2)), grid, dims=("y", "x")).rio.write_crs(32650)
    >>> site = gpd.GeoDataFrame(geometry=gpd.points_from_xy([0.0], [0.0]), crs=32650)
    >>> deposit_proximity(site, like).values
    array([[-0., -4.],
           [-3., -5.]])
    """
    like = checked_raster(like)
    check_same_crs(deposits, like, "deposits")
    if len(deposits) == 0 or not (deposits.geom_type == "Point").all():
        raise LabelError("deposits must hold one or more points, and nothing else")
    points = np.column_stack([deposits.geometry.x, deposits.geometry.y])
    return raster_on(
        like,
        -_distances(points, like, 1),
        name="deposit_proximity",
        long_name="minus the distance to the nearest training deposit",
        units="CRS units",
        attrs=provenance("deposit_proximity", n_deposits=len(points)),
    )


def sampling_density(table: xr.Dataset, like: xr.DataArray, *, n_nearest: int = 16) -> xr.DataArray:
    """Minus the mean distance to the nearest samples: where it was sampled, not what was found.

    Parameters
    ----------
    table : Dataset
        Survey table with coords ``x`` and ``y`` over ``sample``, in the CRS of ``like``.
    like : DataArray
        Raster ``(y, x)``; cells that are NaN in it are NaN.
    n_nearest : int
        How many samples.

    Returns
    -------
    DataArray
        ``(y, x)`` in CRS units, higher where samples are denser.

    Raises
    ------
    GridError
        If the table has fewer samples, or ``n_nearest`` is no positive integer.
    CRSError
        If a CRS is missing, geographic, or the two differ.

    Examples
    --------
    >>> grid = {"y": [0.0, 3.0], "x": [0.0, 4.0]}
    >>> like = xr.DataArray(np.zeros((2, 2)), grid, dims=("y", "x")).rio.write_crs(32650)
    >>> table = xr.Dataset(
    ...     coords={"x": ("sample", [0.0, 4.0]), "y": ("sample", [0.0, 0.0])}
    ... ).rio.write_crs(32650)
    >>> sampling_density(table, like, n_nearest=2).values
    array([[-2., -2.],
           [-4., -4.]])
    """
    like = checked_raster(like)
    check_count("n_nearest", n_nearest)
    check_projected(table, "table")
    check_projected(like, "like")
    if table.rio.crs != like.rio.crs:
        raise GridError(f"table has CRS {table.rio.crs}, like {like.rio.crs}; reproject one")
    points = np.column_stack([table[X].values, table[Y].values])
    if len(points) < n_nearest:
        raise GridError(f"n_nearest={n_nearest} exceeds the {len(points)} samples of the table")
    return raster_on(
        like,
        -_distances(points, like, n_nearest),
        name="sampling_density",
        long_name=f"minus the mean distance to the {n_nearest} nearest samples",
        units="CRS units",
        attrs=provenance("sampling_density", n_nearest=n_nearest),
    )


def _distances(points: np.ndarray, like: xr.DataArray, n_nearest: int) -> np.ndarray:
    """Return the mean distance from each cell to the nearest points; NaN where ``like`` is."""
    row, col = np.nonzero(like.notnull().values)
    cells = np.column_stack([like[X].values[col], like[Y].values[row]])
    found = cKDTree(points).query(cells, k=list(range(1, n_nearest + 1)))[0]
    distances = np.full(like.shape, np.nan)
    distances[row, col] = found.mean(axis=1)
    return distances


def random_smooth_map(like: xr.DataArray, *, length: float, seed: Seed = None) -> xr.DataArray:
    """Smooth noise that knows nothing: what luck scores at that smoothness.

    Parameters
    ----------
    like : DataArray
        Raster ``(y, x)``; cells that are NaN in it are NaN.
    length : float
        Standard deviation of the Gaussian that smooths white noise, in CRS units.
    seed : int or Generator, optional
        Same seed, same map, whichever way ``y`` runs.

    Returns
    -------
    DataArray
        ``(y, x)``, of variance 1.

    Raises
    ------
    GridError
        If the raster is none, or ``length`` is not positive.

    Examples
    --------
    >>> grid = {"y": np.arange(20.0), "x": np.arange(30.0)}
    >>> like = xr.DataArray(np.zeros((20, 30)), grid, dims=("y", "x"))
    >>> random_smooth_map(like, length=3.0, seed=0).dims
    ('y', 'x')
    """
    like = checked_raster(like)
    if length is None:
        raise GridError("length=None must be a positive number, in CRS units")
    check_positive("length", length)
    seed = resolve(seed)
    height, width = cell_size(like)
    noise = streams(seed, 1)[0].normal(size=like.shape)[:: -1 if height > 0 else 1]
    field = gaussian_filter(noise, (length / abs(height), length / abs(width)), mode="wrap")
    field = np.where(like.isnull(), np.nan, field / field.std())
    return raster_on(
        like,
        field,
        name="random_smooth_map",
        long_name="random smooth map",
        attrs=provenance("random_smooth_map", seed=seed, length=length),
    )
