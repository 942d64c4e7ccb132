"""How far from deposits the background lies, by the deposits' own spacing."""

import math
from numbers import Real

import geopandas as gpd
import numpy as np
from scipy.spatial import cKDTree

from xgeoanom.conventions import check_projected
from xgeoanom.errors import LabelError


def background_distance(deposits: gpd.GeoDataFrame, *, at_least: float = 0.0) -> float:
    """Return the distance within which every deposit has a neighbour.

    Farther from all known deposits, another one of their kind would stand out as lonely: ground
    there is fair background.

    Parameters
    ----------
    deposits : geopandas.GeoDataFrame
        Points in a projected CRS: the training deposits only.
    at_least : float
        Result where deposits are closer: a window and a block, say, in CRS units, so that patches
        of background hold no deposit.

    Returns
    -------
    float
        Largest distance from a deposit to its nearest neighbour, in CRS units; to be used as
        ``min_distance`` of :func:`draw_background`.

    Raises
    ------
    LabelError
        If there are fewer than two deposits, some are no points, or ``at_least`` is negative.
    CRSError
        If the CRS is missing or geographic.

    Notes
    -----
    Carranza, Hale and Faassen (2008), Ore Geol. Rev. 33, 536: the distance at which the
    distribution of nearest-neighbour distances reaches 1. Zhang, Xiong and Chen (2026), Geosci.
    Model Dev. 19, 2219, section 4, also keep their background away from faults:
    ``draw_background(..., exclude=fault_distance < fault_distance.median())``. Beware: a detector
    that is then rewarded for scores near faults, as GK-DCN is, finds the label built into its
    constraint. Compare with a background that ignores faults.

    Examples
    --------
    >>> places = gpd.points_from_xy([0.0, 300.0, 1000.0], [0.0, 0.0, 0.0])
    >>> background_distance(gpd.GeoDataFrame(geometry=places, crs=32650))
    700.0
    """
    if not isinstance(deposits, gpd.GeoDataFrame | gpd.GeoSeries):
        raise LabelError(f"deposits is a {type(deposits).__name__}; give points with a CRS")
    check_projected(deposits, "deposits")
    if not (isinstance(at_least, Real) and 0 <= at_least < math.inf):
        raise LabelError(f"at_least={at_least!r} must be a distance in CRS units; try 0.0")
    wrong = (deposits.geom_type != "Point") | deposits.geometry.is_empty
    if wrong.any() or len(deposits) < 2:
        raise LabelError(
            f"deposits holds {len(deposits)} geometries, {int(wrong.sum())} of them no points; "
            "neighbours need two points or more"
        )
    places = np.column_stack([deposits.geometry.x, deposits.geometry.y])
    nearest = cKDTree(places).query(places, k=2)[0][:, 1]
    return max(float(nearest.max()), float(at_least))
