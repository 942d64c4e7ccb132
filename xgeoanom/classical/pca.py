"""Principal components of a cell: how far the first miss it, or how high one of them is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.classical.cells import checked_cube
from xgeoanom.conventions import ELEMENT, X, Y, provenance, raster_on
from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.seeding import Seed, resolve
from xgeoanom.survey.components import COMPONENT, principal_components

EXPLAINED = 0.8  # ours: share of the variance that the kept components explain


def pca_reconstruction(
    cube: xr.DataArray | xr.Dataset,
    *,
    n_components: int | None = None,
    robust: bool = False,
    seed: Seed = None,
) -> xr.DataArray:
    """Distance of each cell from its reconstruction by the first principal components.

    Parameters
    ----------
    cube : DataArray or Dataset
        Positive concentrations ``(element, y, x)``, or their clr; three or more elements.
    n_components : int, optional
        How many components rebuild a cell; by default the fewest that explain 80 % of the
        variance, and always fewer than there are.
    robust : bool
        Components of the minimum covariance determinant instead of the sample covariance.
    seed : int or Generator, optional
        Of the MCD's search.

    Returns
    -------
    DataArray
        Aitchison distance ``(y, x)`` between a cell and its reconstruction; NaN where an element
        is missing. The components are a statistic of the whole map; the distance is lazy where
        the cube is.

    Raises
    ------
    CubeError, CompositionError
        As for :func:`xgeoanom.principal_components`; CompositionError also if ``n_components``
        leaves nothing over.

    Notes
    -----
    The orthogonal distance of Hubert, Rousseeuw and Vanden Branden (2005), Technometrics 47, 64,
    eq. 5; components as Filzmoser, Hron and Reimann (2009), Environmetrics 20, 621.

    Examples
    --------
    >>> values = np.exp(np.random.default_rng(0).normal(size=(4, 5, 6)))
    >>> cube = xr.DataArray(
    ...     values, dims=("element", "y", "x"),
    ...     coords={"element": ["Au", "As", "Cu", "Zn"], "y": np.arange(5.0), "x": np.arange(6.0)},
    ... ).rio.write_crs(32650)
    >>> pca_reconstruction(cube, n_components=2).dims
    ('y', 'x')
    """
    cube = checked_cube(cube)
    _check_kept(n_components, cube.sizes[ELEMENT])
    seed = resolve(seed) if robust else None
    found = principal_components(cube, robust=robust, seed=seed)
    kept = n_components or _enough(found["explained_variance_ratio"].values)
    # Components are orthonormal: what the first leave over is the length of the rest.
    rest = found["scores"].isel({COMPONENT: slice(kept, None)})
    distance = (rest**2).sum(COMPONENT, skipna=False) ** 0.5
    return raster_on(
        cube,
        distance.transpose(Y, X).data,
        name="pca_reconstruction",
        long_name=f"distance from {kept} principal components",
        attrs=provenance("pca_reconstruction", seed=seed, n_components=kept, robust=robust),
    )


def pca_component(
    cube: xr.DataArray | xr.Dataset,
    *,
    toward: Sequence[str],
    component: int | None = None,
    robust: bool = True,
    seed: Seed = None,
) -> xr.DataArray:
    """Score of the principal component that stands for some elements, high where they are high.

    Parameters
    ----------
    cube : DataArray or Dataset
        Positive concentrations ``(element, y, x)``, or their clr.
    toward : sequence of str
        The target and its pathfinders: the component is turned so that their loadings sum to a
        positive number.
    component : int, optional
        Which one, from 1; by default the one that explains most of the variance of the sum of
        ``toward`` in clr.
    robust : bool
        Components of the minimum covariance determinant instead of the sample covariance.
    seed : int or Generator, optional
        Of the MCD's search.

    Returns
    -------
    DataArray
        Score ``(y, x)``, NaN where an element is missing; the attr ``component`` names it. The
        components are a statistic of the whole map; the score is lazy where the cube is.

    Raises
    ------
    CubeError, CompositionError
        As for :func:`xgeoanom.principal_components`; CubeError also if ``toward`` or
        ``component`` is not there.

    Notes
    -----
    Filzmoser, Hron and Reimann (2009), Environmetrics 20, 621; the choice and the sign are ours.

    Examples
    --------
    >>> values = np.exp(np.random.default_rng(0).normal(size=(3, 5, 6)))
    >>> cube = xr.DataArray(
    ...     values, dims=("element", "y", "x"),
    ...     coords={"element": ["Au", "As", "Cu"], "y": np.arange(5.0), "x": np.arange(6.0)},
    ... ).rio.write_crs(32650)
    >>> pca_component(cube, toward=["Au", "As"], robust=False).attrs["component"]
    'PC2'
    """
    cube = checked_cube(cube)
    _check_choice(cube, toward, component)
    seed = resolve(seed) if robust else None
    found = principal_components(cube, robust=robust, seed=seed)
    sums = found["loadings"].sel({ELEMENT: list(toward)}).sum(ELEMENT).values
    # The sum's variance is the sum over components of this.
    explained = sums**2 * found["explained_variance"].values
    chosen = int(explained.argmax()) if component is None else component - 1
    score = found["scores"].isel({COMPONENT: chosen}) * (-1.0 if sums[chosen] < 0 else 1.0)
    attrs: dict[str, Any] = provenance(
        "pca_component", seed=seed, toward=list(toward), component=component, robust=robust
    )
    return raster_on(
        cube,
        score.transpose(Y, X).data,
        name="pca_component",
        long_name=f"principal component towards {', '.join(toward)}",
        attrs=attrs | {"component": f"PC{chosen + 1}"},
    )


def _check_kept(n_components: int | None, n_elements: int) -> None:
    most = n_elements - 2
    if most < 1:
        raise CompositionError(
            f"cube has {n_elements} elements, hence {max(n_elements - 1, 0)} components; to leave "
            "one over it needs three or more elements"
        )
    if n_components is not None and n_components not in range(1, most + 1):
        raise CompositionError(
            f"n_components={n_components!r} must be a whole number from 1 to {most}, so that a "
            "component is left over"
        )


def _enough(shares: np.ndarray) -> int:
    kept = int(np.searchsorted(np.cumsum(shares), EXPLAINED)) + 1
    return min(kept, len(shares) - 1)


def _check_choice(cube: xr.DataArray, toward: Sequence[str], component: int | None) -> None:
    names = cube[ELEMENT].values.tolist()
    if isinstance(toward, str) or not toward or not set(toward) <= set(names):
        raise CubeError(f"toward={toward!r} must be a list of some of the elements {names}")
    if component is not None and component not in range(1, len(names)):
        raise CubeError(
            f"component={component!r} must be a whole number from 1 to {len(names) - 1}"
        )
