"""Deposits and background on the grid: what is labelled, and which deposit a cell belongs to."""

import warnings

import geopandas as gpd
import numpy as np
import xarray as xr
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from skimage.measure import label as connected_groups

from xgeoanom.conventions import (
    BACKGROUND,
    DEPOSIT,
    LABEL_FLAGS,
    UNLABELLED,
    X,
    Y,
    cell_size,
    check_same_crs,
    check_same_grid,
    provenance,
    raster_on,
)
from xgeoanom.errors import LabelError
from xgeoanom.seeding import Seed, resolve, streams

IDS = "deposit"  # coord of labels
NO_DEPOSIT = -1
MOST = np.iinfo("int16").max


def label_deposits(
    deposits: gpd.GeoDataFrame, like: xr.DataArray | xr.Dataset, *, radius_cells: int = 1
) -> xr.DataArray:
    """Label the cells around deposits 1 and all others -1.

    Parameters
    ----------
    deposits : geopandas.GeoDataFrame
        Points in the grid's CRS.
    like : xarray.DataArray or Dataset
        Cube, dataset or raster whose grid to use; its values are not read.
    radius_cells : int
        Half width of the block around a deposit's cell: 1 labels 3 x 3 cells, as Zhang, Zuo and
        Xiong (2021, Appl. Geochem. 130, 104994) do.

    Returns
    -------
    xarray.DataArray
        ``(y, x)`` int8: 1 deposit, -1 unlabelled; coord ``deposit``, int16: row position in
        ``deposits`` of the point nearest to a labelled cell, -1 elsewhere.

    Warns
    -----
    UserWarning
        If some deposits lie outside the grid; they are left out.

    Raises
    ------
    CRSError, GridError
        If the CRS is missing, geographic or another, or cells are unevenly spaced.
    LabelError
        If no deposit lies on the grid, geometries are no points, or ``radius_cells`` is negative.

    Examples
    --------
    >>> import xgeoanom.conventions
    >>> grid = xr.DataArray(
    ...     np.zeros((4, 5)),
    ...     dims=("y", "x"),
    ...     coords={"y": 1000.0 - 100 * np.arange(4), "x": 100.0 * np.arange(5)},
    ... ).rio.write_crs(32650)
    >>> deposits = gpd.GeoDataFrame(geometry=gpd.points_from_xy([90.0], [920.0]), crs=32650)
    >>> int((label_deposits(deposits, grid) == 1).sum())
    9
    """
    _check_deposits(deposits, like, radius_cells)
    rows, cols = _cells_of(deposits, like)
    shape = like.sizes[Y], like.sizes[X]
    inside = _inside(rows, cols, shape)
    _check_inside(inside)
    marked = _blocks(rows[inside], cols[inside], shape, radius_cells)
    ids = np.full(shape, NO_DEPOSIT, dtype="int16")
    ids[marked] = _nearest(deposits, np.flatnonzero(inside), marked, like)
    values = np.where(marked, DEPOSIT, UNLABELLED).astype("int8")
    attrs = {**LABEL_FLAGS, **provenance("label_deposits", radius_cells=radius_cells)}
    labels = raster_on(like, values, name="labels", long_name="labels", attrs=attrs)
    return labels.assign_coords({IDS: _id_raster(ids, labels)})


def draw_background(
    labels: xr.DataArray,
    *,
    n: int | None = None,
    exclude: xr.DataArray | None = None,
    min_distance: float = 0.0,
    radius_cells: int = 0,
    seed: Seed = None,
) -> xr.DataArray:
    """Label ``n`` random unlabelled cells as background (0).

    Parameters
    ----------
    labels : xarray.DataArray
        ``(y, x)``: 1 deposit, 0 background, -1 unlabelled.
    n : int, optional
        Cells to draw, without replacement; by default as many as there are deposit cells.
    exclude : xarray.DataArray, optional
        Boolean ``(y, x)``, true where nothing may be drawn: for instance where the survey has no
        values, ``cube.isnull().any("element")``, which labels cannot know.
    min_distance : float
        Background cells are farther than this from every deposit cell, centre to centre, in CRS
        units.
    radius_cells : int
        Half width of the block around each cell drawn: 1 labels clusters of 3 x 3 cells, as
        :func:`label_deposits` does. Cells of a block that may not be drawn stay unlabelled, and
        the last block is cut, so that there are ``n`` cells.
    seed : int, numpy.random.Generator or None
        Same seed, same cells, whichever way ``y`` runs.

    Returns
    -------
    xarray.DataArray
        Labels with ``n`` more cells set to 0; coord ``deposit`` is kept.

    Raises
    ------
    LabelError
        If there is no deposit, fewer than ``n`` cells are available, or an argument is wrong.
    GridError, CRSError
        If ``exclude`` lies on another grid.

    Notes
    -----
    :func:`background_distance` tells how far from deposits and faults papers keep, and why
    keeping off faults may deceive.

    Examples
    --------
    >>> import xgeoanom.conventions
    >>> labels = xr.DataArray(
    ...     np.array([[1, -1, -1], [-1, -1, -1]], dtype="int8"),
    ...     dims=("y", "x"),
    ...     coords={"y": [100.0, 0.0], "x": [0.0, 100.0, 200.0]},
    ... )
    >>> draw_background(labels, n=2, min_distance=150.0, seed=0).values
    array([[ 1, -1,  0],
           [-1, -1,  0]], dtype=int8)
    """
    values = _checked_values(labels)
    _check_draw(n, min_distance)
    _check_radius(radius_cells)
    n = int((values == DEPOSIT).sum()) if n is None else n
    free = (values == UNLABELLED) & (_distances(values, labels) > min_distance)
    if exclude is not None:
        free &= ~_checked_mask(exclude, labels)
    if free.sum() < n:
        raise LabelError(
            f"n={n} background cells are wanted but {int(free.sum())} are available; lower n or "
            f"min_distance={min_distance:g}, or exclude less"
        )
    seed = resolve(seed)
    drawn = _draw(free, n, radius_cells, labels, seed)
    result = labels.transpose(Y, X).copy(data=np.where(drawn, BACKGROUND, values).astype("int8"))
    how = {"n": n, "min_distance": min_distance, "radius_cells": radius_cells}
    result.attrs.update(provenance("draw_background", seed=seed, **how))
    return result


def deposit_ids(labels: xr.DataArray) -> xr.DataArray:
    """Say which deposit each deposit cell belongs to.

    Parameters
    ----------
    labels : xarray.DataArray
        ``(y, x)``: 1 deposit, 0 background, -1 unlabelled.

    Returns
    -------
    xarray.DataArray
        ``(y, x)`` int16: the coord ``deposit`` where labels have one, else groups of deposit
        cells that touch, corners included, numbered from 0; -1 off deposit cells.

    Raises
    ------
    LabelError
        If there is no deposit cell, or the coord ``deposit`` leaves one out.

    Examples
    --------
    >>> labels = xr.DataArray([[1, 0, 1], [-1, -1, 1]], dims=("y", "x"))
    >>> deposit_ids(labels).values
    array([[ 0, -1,  1],
           [-1, -1,  1]], dtype=int16)
    """
    marked = _checked_values(labels) == DEPOSIT
    if IDS not in labels.coords:
        return _id_raster(connected_groups(marked, connectivity=2) - 1, labels)
    ids = labels.coords[IDS].transpose(Y, X).values
    if (ids[marked] < 0).any():
        raise LabelError(
            "labels mark deposit cells to which their coord 'deposit' gives no deposit; drop it "
            "with labels.drop_vars('deposit'), or label again"
        )
    return _id_raster(np.where(marked, ids, NO_DEPOSIT), labels)


def check_labels(
    labels: xr.DataArray, like: xr.DataArray | xr.Dataset, *, deposits: bool = True
) -> None:
    """Raise unless ``labels`` mark at least one deposit on the grid of ``like``.

    Parameters
    ----------
    labels : xarray.DataArray
        ``(y, x)``: 1 deposit, 0 background, -1 unlabelled; a lazy one is computed.
    like : xarray.DataArray or Dataset
        Cube, dataset or raster.
    deposits : bool
        Whether there must be one.

    Raises
    ------
    GridError, CRSError
        If the labels lie on another grid.
    LabelError
        If they hold other values, or no deposit.

    Examples
    --------
    >>> grid = {"y": [100.0, 0.0], "x": [0.0, 100.0]}
    >>> labels = xr.DataArray([[1, 0], [-1, -1]], dims=("y", "x"), coords=grid)
    >>> check_labels(labels, labels)
    """
    check_same_grid(labels, like, "labels")  # type: ignore[arg-type]
    _checked_values(labels, deposits)


def _checked_values(labels: xr.DataArray, deposits: bool = True) -> np.ndarray:
    """Return the labels ``(y, x)`` if they are labels and, of ``deposits``, hold one."""
    if set(labels.dims) != {Y, X}:
        raise LabelError(f"labels have dims {labels.dims}, not ('y', 'x')")
    values = np.asarray(labels.transpose(Y, X).values)
    if values.dtype == bool:
        raise LabelError(
            "labels are boolean, which leaves open what False means; use xr.where(mask, 1, -1)"
        )
    wrong = values[~np.isin(values, (DEPOSIT, BACKGROUND, UNLABELLED))]
    if wrong.size:
        raise LabelError(
            f"labels hold {np.unique(wrong)[:5].tolist()}; only 1 (deposit), 0 (background) and "
            "-1 (unlabelled) are allowed"
        )
    if deposits and not (values == DEPOSIT).any():
        raise LabelError("labels hold no deposit cell (1); see label_deposits")
    return values


# --------------------------------------------------------------------------------- deposits


def _check_deposits(
    deposits: gpd.GeoDataFrame, like: xr.DataArray | xr.Dataset, radius_cells: int
) -> None:
    check_same_crs(deposits, like, "deposits")
    _check_radius(radius_cells)
    if len(deposits) > MOST:
        raise LabelError(f"deposits holds {len(deposits)} points; at most {MOST} can be numbered")
    wrong = int(((deposits.geom_type != "Point") | deposits.geometry.is_empty).sum())
    if wrong:
        raise LabelError(
            f"deposits holds {wrong} geometries that are no points; drop them or take centroids"
        )


def _check_radius(radius_cells: int) -> None:
    if radius_cells != int(radius_cells) or radius_cells < 0:
        raise LabelError(f"radius_cells={radius_cells} must be 0 or a positive integer; try 1")


def _cells_of(
    deposits: gpd.GeoDataFrame, like: xr.DataArray | xr.Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and column of the cell that holds each point, inside the grid or not."""
    height, width = cell_size(like)
    rows = (deposits.geometry.y.to_numpy() - float(like[Y][0])) / height
    cols = (deposits.geometry.x.to_numpy() - float(like[X][0])) / width
    return np.floor(rows + 0.5).astype(int), np.floor(cols + 0.5).astype(int)


def _check_inside(inside: np.ndarray) -> None:
    if not inside.any():
        raise LabelError(
            f"none of the {inside.size} deposits lies on the grid; check their coordinates and CRS"
        )
    if not inside.all():
        warnings.warn(
            f"{int((~inside).sum())} of {inside.size} deposits lie outside the grid and are left "
            "out",
            stacklevel=3,
        )


def _inside(rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])


def _blocks(rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int], radius: int) -> np.ndarray:
    """Return where a cell is at most ``radius`` rows and columns from one of those given."""
    marked = np.zeros(shape, dtype=bool)
    for row, col in zip(rows, cols, strict=True):
        marked[max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1] = 1
    return marked


def _nearest(
    deposits: gpd.GeoDataFrame,
    positions: np.ndarray,
    marked: np.ndarray,
    like: xr.DataArray | xr.Dataset,
) -> np.ndarray:
    """Return which of the deposits at ``positions`` is nearest to each marked cell's centre."""
    points = deposits.geometry.iloc[positions]
    rows, cols = np.nonzero(marked)
    centres = np.column_stack([like[X].values[cols], like[Y].values[rows]])
    _, nearest = cKDTree(np.column_stack([points.x, points.y])).query(centres)
    return positions[nearest]


def _id_raster(ids: np.ndarray, like: xr.DataArray) -> xr.DataArray:
    attrs = {"comment": "row position among the deposits, or number of a group; -1 none"}
    values = ids.astype("int16")
    return raster_on(like, values, name=IDS, long_name="nearest deposit", attrs=attrs)


# ------------------------------------------------------------------------------- background


def _check_draw(n: int | None, min_distance: float) -> None:
    if n is not None and (n != int(n) or n < 1):
        raise LabelError(f"n={n} must be a positive integer, or None for as many as deposit cells")
    if not min_distance >= 0:
        raise LabelError(f"min_distance={min_distance} must not be negative; try 0.0")


def _distances(values: np.ndarray, labels: xr.DataArray) -> np.ndarray:
    """Return distances (CRS units) from each cell's centre to the nearest deposit cell's."""
    sampling = [abs(size) for size in cell_size(labels)]
    return distance_transform_edt(values != DEPOSIT, sampling=sampling)


def _checked_mask(exclude: xr.DataArray, labels: xr.DataArray) -> np.ndarray:
    check_same_grid(exclude, labels, "exclude")
    if exclude.dtype != bool:
        raise LabelError(f"exclude has dtype {exclude.dtype}; pass a boolean raster")
    return exclude.transpose(Y, X).values


def _draw(free: np.ndarray, n: int, radius: int, labels: xr.DataArray, seed: int) -> np.ndarray:
    """Return ``n`` of the free cells, in blocks around some; cells are numbered from the north."""
    northward = slice(None, None, -1) if cell_size(labels)[0] > 0 else slice(None)
    free = free[northward]
    # Each block holds its centre, so n centres are always enough.
    centres = streams(seed, 1)[0].choice(np.flatnonzero(free), size=n, replace=False)
    reach = np.arange(-radius, radius + 1)
    row, col = (index[:, None, None] for index in np.divmod(centres, free.shape[1]))
    rows, cols = np.broadcast_arrays(row + reach[:, None], col + reach)
    inside = _inside(rows, cols, free.shape)
    rows, cols = rows[inside], cols[inside]
    cells = np.ravel_multi_index((rows, cols), free.shape)[free[rows, cols]]
    first = np.unique(cells, return_index=True)[1]
    drawn = np.zeros(free.size, dtype=bool)
    drawn[cells[np.sort(first)[:n]]] = True
    return drawn.reshape(free.shape)[northward]
