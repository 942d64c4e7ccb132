"""Deposits as points, where only their labelled cells are known."""

import geopandas as gpd
import numpy as np
import xarray as xr
from scipy import ndimage

from xgeoanom.conventions import X, Y
from xgeoanom.geology.labels import deposit_ids


def deposit_centres(labels: xr.DataArray) -> gpd.GeoDataFrame:
    """Return the middle cell of each deposit's labelled cells as a point.

    Parameters
    ----------
    labels : xarray.DataArray
        ``(y, x)``: 1 deposit, 0 background, -1 unlabelled.

    Returns
    -------
    geopandas.GeoDataFrame
        A point for each deposit, in the order of :func:`deposit_ids`; column ``deposit`` has the
        id. Each is the centre of a cell.

    Raises
    ------
    LabelError
        If there is no deposit cell, or the coord ``deposit`` leaves one out.

    Examples
    --------
    >>> grid = {"y": [30.0, 20.0, 10.0], "x": [10.0, 20.0, 30.0]}
    >>> labels = xr.DataArray([[1, 1, 1], [-1, -1, -1], [-1, 0, 1]], grid, dims=("y", "x"))
    >>> deposit_centres(labels).geometry.to_wkt().tolist()
    ['POINT (20 30)', 'POINT (30 10)']
    """
    ids = deposit_ids(labels).transpose(Y, X).values
    names = np.unique(ids[ids >= 0])
    rows, cols = np.rint(ndimage.center_of_mass(ids >= 0, ids, names)).astype(int).T
    points = gpd.points_from_xy(labels[X].values[cols], labels[Y].values[rows])
    return gpd.GeoDataFrame({"deposit": names}, geometry=points, crs=labels.rio.crs)
