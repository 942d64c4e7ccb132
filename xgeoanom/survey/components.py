"""Principal components of compositions, classical and robust."""

from typing import Any

import numpy as np
import xarray as xr
from sklearn.covariance import MinCovDet

from xgeoanom.conventions import ELEMENT, LOG_RATIO, provenance
from xgeoanom.errors import CompositionError
from xgeoanom.seeding import Seed, resolve
from xgeoanom.survey import partitions
from xgeoanom.survey.coda import clr
from xgeoanom.survey.compositions import along_elements, check_array, names_of

COMPONENT = "component"


def principal_components(
    composition: xr.DataArray,
    *,
    robust: bool = False,
    n_components: int | None = None,
    support_fraction: float = 0.75,
    seed: Seed = None,
) -> xr.Dataset:
    """Principal components of a composition, with loadings of its elements.

    The composition is taken to ilr coordinates z; with their centre T and covariance S = G L G'
    the scores are (z - T) G and the loadings, in clr, V' G, where V are the contrasts of the
    ilr. Outliers pull T and S towards themselves: the robust ones come from the reweighted
    minimum covariance determinant (MCD).

    Parameters
    ----------
    composition : DataArray
        Positive concentrations, or their :func:`clr`, with a dim ``element``: a cube, or a survey
        table's ``concentration``. NaN places stay NaN and take no part.
    robust : bool
        Whether T and S are those of the MCD.
    n_components : int, optional
        How many to return; by default all, one fewer than elements.
    support_fraction : float
        Share of the places from which the MCD starts, above 0.5 and below 1.
    seed : int or Generator, optional
        Seed of the MCD's search.

    Returns
    -------
    Dataset
        ``scores``, shaped as the input with ``component`` for ``element``; ``loadings``
        (component, element); ``centre`` (element), the clr of T; ``explained_variance``
        (component), the eigenvalues; ``explained_variance_ratio``, their share of the trace.
        The largest loading of each component, in size (the first of equal ones), is positive.
        T and S are statistics of the whole survey, so a chunked input is computed once for them
        (the MCD takes it into memory); scores stay lazy.

    Raises
    ------
    CubeError
        If there are fewer than two elements, or one is repeated.
    CompositionError
        If the input is another log-ratio, or no composition (:func:`clr`); if there are too few
        places without NaN, or they (for the MCD, most of them) do not vary; if a number is out of
        range.

    Notes
    -----
    Filzmoser, Hron and Reimann (2009), Environmetrics 20, 621: the MCD needs ilr, since clr has a
    singular covariance. MCD: Rousseeuw and Van Driessen (1999), Technometrics 41, 212, in
    scikit-learn.

    Examples
    --------
    >>> parts = xr.DataArray(
    ...     [[1.0, 2.0, 4.0], [1.0, 3.0, 9.0], [1.0, 4.0, 16.0]],
    ...     dims=("sample", "element"), coords={"element": ["Ti", "Cu", "Au"]},
    ... )
    >>> found = principal_components(parts)
    >>> found["loadings"].sel(component="PC1").values.round(3)
    array([ 0.707,  0.   , -0.707])
    """
    check_array(composition, "composition")
    centred = _centred(composition)
    n_elements = centred.sizes[ELEMENT]
    _check_numbers(n_components, n_elements, support_fraction)
    contrasts = partitions.contrasts(partitions.sequential(n_elements))
    ilr = along_elements(
        lambda parts: parts @ contrasts.T, centred, n_elements - 1, long_name="ilr", attrs={}
    )
    seed = resolve(seed) if robust else None
    if seed is None:
        location, covariance = _classical(ilr)
    else:
        location, covariance = _robust(ilr, support_fraction, seed)
    variance, loadings = _eigen(covariance, contrasts)
    attrs = provenance(
        "principal_components",
        seed=seed,
        robust=robust,
        n_components=n_components,
        support_fraction=support_fraction,
    )
    centre = contrasts.T @ location
    return _components(centred, centre, variance, loadings[:, :n_components], attrs)


def _centred(composition: xr.DataArray) -> xr.DataArray:
    found = composition.attrs.get(LOG_RATIO, "none")
    if found not in ("none", "clr"):
        raise CompositionError(
            f"composition is a log-ratio of kind {found!r}; give concentrations or their clr"
        )
    return composition if found == "clr" else clr(composition)


def _check_numbers(n_components: int | None, n_elements: int, support_fraction: float) -> None:
    if n_elements < 2:
        raise CompositionError(f"composition has {n_elements} part; it needs two or more")
    if n_components is not None and n_components not in range(1, n_elements):
        raise CompositionError(
            f"n_components={n_components} must be a whole number from 1 to {n_elements - 1}, one "
            "fewer than elements"
        )
    number = isinstance(support_fraction, float | np.floating)
    if not number or not 0.5 < support_fraction < 1:
        raise CompositionError(
            f"support_fraction={support_fraction!r} must lie between 0.5 and 1; try 0.75"
        )


# ----------------------------------------------------------------------- centre and covariance


def _classical(ilr: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and covariance over places; a chunked array is read block by block."""
    places = [dim for dim in ilr.dims if dim != ELEMENT]
    known = ilr.notnull().all(ELEMENT).sum()
    mean, n = (one.values for one in xr.broadcast(ilr.mean(places), known))
    _check_count(int(n[0]), 2, ilr)
    rest = (ilr - xr.DataArray(mean, dims=ELEMENT)).fillna(0.0)
    product = xr.dot(rest, rest.rename({ELEMENT: "other"}), dim=places)
    return mean, product.values / (n[0] - 1)


def _robust(ilr: xr.DataArray, support_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the reweighted MCD's location and covariance."""
    rows = np.moveaxis(ilr.values, ilr.dims.index(ELEMENT), -1).reshape(-1, ilr.sizes[ELEMENT])
    rows = rows[np.isfinite(rows).all(axis=1)]
    # The MCD's core of h places needs more of them than coordinates, else it lies on a plane.
    _check_count(len(rows), int(np.ceil((rows.shape[1] + 1) / support_fraction)), ilr)
    try:
        mcd = MinCovDet(support_fraction=support_fraction, random_state=seed).fit(rows)
    except ValueError as error:
        raise CompositionError(
            f"robust=True: a share of support_fraction={support_fraction} of the {len(rows)} "
            "places does not vary; drop places that repeat each other, such as those at the "
            "detection limit, raise support_fraction, or use robust=False"
        ) from error
    return mcd.location_, mcd.covariance_


def _check_count(n: int, least: int, ilr: xr.DataArray) -> None:
    if n < least:
        raise CompositionError(
            f"composition has {n} places without NaN, {ilr.sizes[ELEMENT] + 1} elements need "
            f"{least}; drop elements that are often missing"
        )


def _eigen(covariance: np.ndarray, contrasts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues, largest first, and clr loadings ``(element, component)``."""
    variance, vectors = np.linalg.eigh(covariance)
    if variance[-1] <= 0:
        raise CompositionError("composition does not vary; check that places differ")
    loadings = contrasts.T @ vectors[:, ::-1]
    sizes = np.abs(loadings)
    # Loadings that differ only by rounding are equal: the first of them decides.
    largest = (sizes > (1 - 1e-9) * sizes.max(axis=0)).argmax(axis=0)
    signs = np.sign(loadings[largest, np.arange(loadings.shape[1])])
    return np.maximum(variance[::-1], 0.0), loadings * signs


def _components(
    centred: xr.DataArray,
    centre: np.ndarray,
    variance: np.ndarray,
    loadings: np.ndarray,
    attrs: dict[str, Any],
) -> xr.Dataset:
    n = loadings.shape[1]
    # (z - T) G, written in clr: z = V clr, so that (clr - V'T) V'G is the same.
    scores = along_elements(
        lambda parts: (parts - centre) @ loadings,
        centred,
        n,
        long_name="principal component score",
        attrs=attrs,
    ).rename({ELEMENT: COMPONENT})
    per_component = {
        "explained_variance": ("eigenvalue of the covariance of ilr", variance[:n]),
        "explained_variance_ratio": ("share of the total variance", variance[:n] / variance.sum()),
    }
    result = xr.Dataset({"scores": scores}, attrs=attrs)
    result = result.assign_coords({COMPONENT: [f"PC{k + 1}" for k in range(n)]})
    result = result.assign_coords({ELEMENT: names_of(centred)})
    label = {"long_name": "clr loading", "units": "1"}
    result["loadings"] = ((COMPONENT, ELEMENT), loadings.T, label)
    result["centre"] = (ELEMENT, centre, {"long_name": "clr of the centre", "units": "1"})
    for name, (long_name, values) in per_component.items():
        result[name] = (COMPONENT, values, {"long_name": long_name, "units": "1"})
    return result
