"""How well a map is supported by samples: how near the next one is, and how many are in reach."""

from functools import partial

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from xgeoanom.blocks import delayed
from xgeoanom.conventions import SAMPLE, provenance, raster_on
from xgeoanom.errors import GridError
from xgeoanom.survey.gridding import Bounds, fill, samples_of, target_of
from xgeoanom.survey.search import check_positive


def sample_support(
    table: xr.Dataset,
    *,
    max_distance: float,
    spacing: float | None = None,
    bounds: Bounds | None = None,
    like: xr.DataArray | xr.Dataset | None = None,
) -> xr.Dataset:
    """Map the distance to the nearest sample, and how many samples are in reach.

    Where both say that there is nothing, a gridded value is extrapolated. A sample counts if it
    has any element: for one element's support pass ``table.sel(element=["Au"])``.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table of :func:`from_points` or :func:`read_assays`, in a projected CRS.
    max_distance : float
        How far samples are counted, in CRS units.
    spacing, bounds, like : optional
        The cells, as in :func:`idw`.

    Returns
    -------
    xarray.Dataset
        Lazy rasters ``(y, x)``: ``sample_distance`` (CRS units) and ``sample_count``.

    Raises
    ------
    GridError, CRSError, CubeError
        As in :func:`idw`.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [3.0]])},
    ...     {"x": ("sample", [50.0, 150.0]), "y": ("sample", [50.0, 50.0]), "element": ["Cu"]},
    ... ).rio.write_crs(32645)
    >>> support = sample_support(table, max_distance=100.0, spacing=100.0, bounds=(0, 0, 300, 100))
    >>> support["sample_distance"].values, support["sample_count"].values
    (array([[  0.,   0., 100.]]), array([[2., 2., 1.]]))
    """
    check_positive("max_distance", max_distance)
    x, y, values = samples_of(table)
    located = np.isfinite(values).any(axis=1)
    grid = target_of(table, spacing=spacing, bounds=bounds, like=like)
    if SAMPLE in grid.dims:
        raise GridError("like is a survey table; give a raster, or spacing")
    filled = fill(
        grid,
        partial(_support_block, reach=float(max_distance)),
        layers=2,
        chunks=None,
        shared=delayed(cKDTree, np.column_stack([x, y])[located]),
    )
    attrs = provenance("sample_support", max_distance=max_distance)
    unit = table.rio.crs.linear_units
    layers = {
        "sample_distance": ("distance to the nearest sample", unit),
        "sample_count": (f"samples within {max_distance:g} {unit}", "1"),
    }
    return xr.Dataset(
        {
            name: raster_on(grid, layer, name=name, long_name=about, units=units, attrs=attrs)
            for layer, (name, (about, units)) in zip(filled, layers.items(), strict=True)
        }
    )


def _support_block(
    y: np.ndarray, x: np.ndarray, tree: cKDTree, *, paired: bool, reach: float
) -> np.ndarray:
    cells = np.stack(np.meshgrid(x, y), axis=-1)
    nearest = tree.query(cells)[0]
    return np.stack([nearest, tree.query_ball_point(cells, reach, return_length=True)])
