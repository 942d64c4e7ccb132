"""Mahalanobis distance of each cell's composition from the bulk of the survey."""

import xarray as xr

from xgeoanom.classical.cells import checked_cube
from xgeoanom.conventions import X, Y, provenance, raster_on
from xgeoanom.errors import CompositionError
from xgeoanom.seeding import Seed, resolve
from xgeoanom.survey.components import COMPONENT, principal_components

SINGULAR = 1e-10  # least eigenvalue of the covariance, as a share of the largest


def mahalanobis(
    cube: xr.DataArray | xr.Dataset,
    *,
    robust: bool = True,
    support_fraction: float = 0.75,
    seed: Seed = None,
) -> xr.DataArray:
    """Distance of each cell from the centre of all, measured by their covariance in ilr.

    Parameters
    ----------
    cube : DataArray or Dataset
        Positive concentrations ``(element, y, x)``, or their clr.
    robust : bool
        Centre and covariance from the minimum covariance determinant (MCD), which outliers do not
        pull towards themselves; else mean and sample covariance.
    support_fraction : float
        Share of the cells from which the MCD starts, above 0.5 and below 1.
    seed : int or Generator, optional
        Of the MCD's search.

    Returns
    -------
    DataArray
        Distance ``(y, x)``, NaN where an element is missing; were the cells normal, its square
        would follow chi-squared with as many degrees of freedom as elements less one. Centre and
        covariance are statistics of the whole map (the MCD takes it into memory); the distance is
        lazy where the cube is.

    Raises
    ------
    CubeError, CompositionError
        As for :func:`xgeoanom.principal_components`; CompositionError also if the covariance is
        singular.

    Notes
    -----
    Filzmoser, Garrett and Reimann (2005), Comput. Geosci. 31, 579, section 2. In ilr, because the
    covariance of clr is singular; the distance is the same for any basis of the ilr.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.exp(np.random.default_rng(0).normal(size=(3, 5, 6)))
    >>> cube = xr.DataArray(
    ...     values, dims=("element", "y", "x"),
    ...     coords={"element": ["Au", "As", "Cu"], "y": np.arange(5.0), "x": np.arange(6.0)},
    ... ).rio.write_crs(32650)
    >>> distance = mahalanobis(cube, robust=False)
    >>> round(float((distance**2).mean() * 30 / 29), 6)  # the number of ilr coordinates
    2.0
    """
    cube = checked_cube(cube)
    seed = resolve(seed) if robust else None
    found = principal_components(cube, robust=robust, support_fraction=support_fraction, seed=seed)
    variance = found["explained_variance"]
    _check_regular(found)
    # In components the covariance is diagonal, whatever the basis of the ilr was.
    squared = (found["scores"] ** 2 / variance).sum(COMPONENT, skipna=False)
    return raster_on(
        cube,
        (squared**0.5).transpose(Y, X).data,
        name="mahalanobis",
        long_name="robust Mahalanobis distance" if robust else "Mahalanobis distance",
        attrs=provenance(
            "mahalanobis", seed=seed, robust=robust, support_fraction=support_fraction
        ),
    )


def _check_regular(found: xr.Dataset) -> None:
    variance = found["explained_variance"].values
    if variance[-1] > SINGULAR * variance[0]:
        return
    loadings = abs(found["loadings"][-1])
    bound = loadings["element"].values[(loadings > 0.5 * loadings.max()).values].tolist()
    raise CompositionError(
        f"the covariance of the cube is singular: elements {bound} are bound to each other, or the "
        "valid cells are fewer than elements; drop one of them with cube.drop_sel(element=...)"
    )
