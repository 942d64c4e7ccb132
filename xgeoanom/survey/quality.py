"""What is done to values that the laboratory could not measure."""

import numpy as np
import xarray as xr

from xgeoanom.conventions import (
    BELOW_LIMIT,
    BELOW_UNKNOWN_LIMIT,
    ELEMENT,
    SAMPLE,
    provenance,
)
from xgeoanom.errors import CompositionError, CubeError


def replace_censored(table: xr.Dataset, *, factor: float = 0.65) -> xr.Dataset:
    """Replace values below detection by ``factor`` times their limit.

    The one step that does so. ``state`` keeps telling which values were replaced, so that it
    can be repeated with another factor.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table of :func:`from_points`.
    factor : float
        Share of the detection limit, above 0 and at most 1. 0.65 is the customary value
        (Martín-Fernández, Barceló-Vidal and Pawlowsky-Glahn, 2003, Math. Geol. 35, 253).

    Returns
    -------
    xarray.Dataset
        The table with ``concentration`` free of censored values; ``state`` is untouched.

    Raises
    ------
    CubeError
        If ``table`` is no survey table.
    CompositionError
        If ``factor`` is out of range, or a censored value has no detection limit.

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
    if not 0 < factor <= 1:
        raise CompositionError(f"factor={factor} must be above 0 and at most 1; try 0.65")
    if missing := [name for name in ("concentration", "state") if name not in table]:
        raise CubeError(f"table has no {missing}; make a survey table with from_points")
    _check_limits(table)
    old = table["concentration"]
    below = table["state"] == BELOW_LIMIT
    new = xr.where(below, factor * table["detection_limit"], old).transpose(*old.dims)
    attrs = {**old.attrs, **provenance("replace_censored", factor=factor)}
    return table.assign(concentration=new.assign_attrs(attrs))


def _check_limits(table: xr.Dataset) -> None:
    unknown = table["state"] == BELOW_UNKNOWN_LIMIT
    below = (table["state"] == BELOW_LIMIT) & np.isnan(table["detection_limit"])
    counts = (unknown | below).sum(SAMPLE).values
    if counts.any():
        found = {
            str(name): int(n) for name, n in zip(table[ELEMENT].values, counts, strict=True) if n
        }
        raise CompositionError(
            f"table has censored values without a detection limit {found}; "
            "give detection_limits to from_points"
        )
