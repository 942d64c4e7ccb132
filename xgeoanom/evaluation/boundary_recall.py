"""Boundary recall: whether superpixels end where classes of concentration do."""

import numpy as np
import xarray as xr
from scipy import ndimage

from xgeoanom.conventions import X, Y, check_same_grid
from xgeoanom.errors import GridError, XGeoAnomError

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def boundary_recall(
    superpixels: xr.DataArray, classes: xr.DataArray, *, tolerance_cells: int = 1
) -> float:
    """Return the share of the cells at class boundaries that lie near a superpixel boundary.

    A cell is at a boundary where a cell beside it, along its row or column, belongs to another
    class or superpixel; missing cells make no boundary. Recall grows with the number of boundary
    cells whatever they follow, so compare superpixels of one size, and of like compactness.

    Parameters
    ----------
    superpixels : DataArray
        Ids ``(y, x)``, -1 where missing.
    classes : DataArray
        Whole numbers ``(y, x)``, such as the ``score`` of :func:`concentration_area`; negative or
        NaN where missing.
    tolerance_cells : int
        How far a superpixel boundary may lie, in cells along rows, columns and diagonals.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    GridError
        If the grids differ, classes are no whole numbers, or no class meets another on the
        superpixels' ground.
    XGeoAnomError
        If ``tolerance_cells`` is negative or no whole number.

    Notes
    -----
    Achanta et al. (2012), IEEE TPAMI 34, 2274, section 4.1, with two cells of tolerance.

    Examples
    --------
    >>> grid = {"y": [20.0, 10.0, 0.0], "x": [0.0, 10.0, 20.0, 30.0]}
    >>> classes = xr.DataArray([[0, 0, 1, 1]] * 3, grid, dims=("y", "x"))
    >>> boundary_recall(xr.DataArray([[0, 1, 1, 1]] * 3, grid, dims=("y", "x")), classes)
    1.0
    """
    check_same_grid(superpixels, classes, "superpixels")
    if not isinstance(tolerance_cells, int | np.integer) or tolerance_cells < 0:
        raise XGeoAnomError(f"tolerance_cells={tolerance_cells!r} must be an integer of at least 0")
    kinds = classes.transpose(Y, X).values
    if kinds.dtype.kind not in "iufb" or (np.nan_to_num(kinds) % 1 != 0).any():
        raise GridError("classes are no whole numbers; classify first, say by concentration_area")
    ids = superpixels.transpose(Y, X).values
    # Beyond the survey there is nothing to recall.
    wanted = boundary_cells(np.where(ids >= 0, kinds, -1))
    found = boundary_cells(ids)
    if tolerance_cells and found.any():
        found = ndimage.binary_dilation(found, EIGHT_NEIGHBOURS, iterations=tolerance_cells)
    if not wanted.any():
        raise GridError("classes has no boundary on the superpixels' ground; use more classes")
    return float(found[wanted].mean())


def boundary_cells(ids: np.ndarray) -> np.ndarray:
    """Return which cells ``(y, x)`` lie beside a cell of another id; missing ones do not count."""
    boundary = np.zeros(ids.shape, dtype=bool)
    known = ids >= 0  # NaN is not
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        apart = (ids[one] != ids[other]) & known[one] & known[other]
        boundary[one] |= apart
        boundary[other] |= apart
    return boundary
