"""Compositional data: closure, log-ratios and their inverses, along ``element``."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.conventions import ELEMENT, LOG_RATIO, UNIT, provenance
from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey import partitions
from xgeoanom.survey.compositions import (
    MASS_FRACTION,
    PPM,
    WHOLE,
    Formula,
    along_elements,
    check_coordinates,
    check_log_ratio,
    check_parts,
    from_parts,
    names_of,
    ppm_factors,
    recalled,
    record,
    with_parts,
)


def closure(composition: xr.DataArray, *, filler: str | None = None) -> xr.DataArray:
    """Convert parts to mass fractions that sum to 1.

    Parameters
    ----------
    composition : xarray.DataArray
        Positive concentrations with a dim ``element`` and its coord ``unit``; without that coord
        all parts are taken to have one unit.
    filler : str, optional
        Name of one more part, what is left of the whole; the others are then not rescaled.

    Returns
    -------
    xarray.DataArray
        Mass fractions, lazy where the input is; ``unit`` is "1".

    Raises
    ------
    CubeError
        If there are fewer than two parts, or a part's name is repeated.
    CompositionError
        If a unit is unknown, a part is not positive or partly missing, or, with ``filler``, the
        parts sum to more than 1e6 ppm. A lazy array is checked block by block, when computed.

    Notes
    -----
    Aitchison (1986), The Statistical Analysis of Compositional Data, section 2.2.

    Examples
    --------
    >>> parts = xr.DataArray(
    ...     [60.0, 2.0, 5000.0],
    ...     dims="element",
    ...     coords={"element": ["SiO2", "Fe", "Cu"], "unit": ("element", ["%", "%", "ppm"])},
    ... )
    >>> closure(parts, filler="Rest").values.round(4)
    array([0.6  , 0.02 , 0.005, 0.375])
    """
    check_parts(composition)
    factors = ppm_factors(composition)
    names = names_of(composition)
    attrs = {LOG_RATIO: "none", **provenance("closure", filler=filler)}
    if filler is None:
        result = from_parts(
            lambda parts: _close(parts * factors),
            composition,
            long_name="mass fraction",
            attrs=attrs,
        )
        result = with_parts(result, composition, range(len(names)))
    else:
        _check_filler(filler, composition)
        names = [*names, filler]
        result = from_parts(
            lambda parts: _fill(parts * factors),
            composition,
            len(names),
            long_name="mass fraction",
            attrs=attrs,
        ).assign_coords({ELEMENT: names})
    return result.assign_coords({UNIT: (ELEMENT, [MASS_FRACTION] * len(names))})


def clr(composition: xr.DataArray) -> xr.DataArray:
    """Centred log-ratio: log of each part over the geometric mean of all.

    Parameters
    ----------
    composition : xarray.DataArray
        Positive concentrations with a dim ``element``; their units may differ.

    Returns
    -------
    xarray.DataArray
        Same shape, lazy where the input is; ``unit`` stays that of the original part.

    Raises
    ------
    CubeError
        If there are fewer than two parts, or a part's name is repeated.
    CompositionError
        If the input is a log-ratio already, or a part is zero, negative or partly missing (in
        a lazy array: when computed).

    Notes
    -----
    Aitchison (1986), The Statistical Analysis of Compositional Data, section 4.6. A cell that is
    NaN in every element stays NaN.

    Examples
    --------
    >>> clr(xr.DataArray([1.0, 2.0, 4.0], dims="element")).values.round(3)
    array([-0.693,  0.   ,  0.693])
    """
    check_parts(composition)
    attrs = record("clr", composition)
    result = from_parts(_clr, composition, long_name="centred log-ratio", attrs=attrs)
    return with_parts(result, composition, range(composition.sizes[ELEMENT])).rename("clr")


def alr(composition: xr.DataArray, *, denominator: Hashable | None = None) -> xr.DataArray:
    """Additive log-ratio: log of each part over one of them.

    Parameters
    ----------
    composition : xarray.DataArray
        As for :func:`clr`.
    denominator : str, optional
        Name (position where elements have no names) of the part to divide by; the last one by
        default.

    Returns
    -------
    xarray.DataArray
        One part fewer: the denominator, which the attr of that name records.

    Raises
    ------
    CubeError, CompositionError
        As for :func:`clr`; CubeError if there is no part ``denominator``.

    Notes
    -----
    Aitchison (1986), The Statistical Analysis of Compositional Data, section 6.2.

    Examples
    --------
    >>> alr(xr.DataArray([1.0, 2.0, 4.0], dims="element")).values.round(3)
    array([-1.386, -0.693])
    """
    check_parts(composition)
    names = names_of(composition)
    chosen = names[-1] if denominator is None else denominator
    if chosen not in names:
        raise CubeError(f"denominator={denominator!r} is not one of the elements {names}")
    last = names.index(chosen)
    others = [i for i in range(len(names)) if i != last]
    result = from_parts(
        lambda parts: np.log(parts[..., others] / parts[..., [last]]),
        composition,
        len(others),
        long_name="additive log-ratio",
        attrs=record("alr", composition, denominator=chosen),
    )
    return with_parts(result, composition, others).rename("alr")


def ilr(composition: xr.DataArray, *, partition: Any = None) -> xr.DataArray:
    """Isometric log-ratio: orthonormal coordinates, named ``ilr1``, ``ilr2``, ...

    Parameters
    ----------
    composition : xarray.DataArray
        As for :func:`clr`.
    partition : array of shape (n - 1, n), optional
        Sequential binary partition of the ``n`` parts: each row splits one group into parts in
        the numerator (1) and in the denominator (-1) of a balance; 0 is not in the group. By
        default row i sets the first i parts against the next one.

    Returns
    -------
    xarray.DataArray
        One coordinate fewer than parts; the attr ``partition`` records the basis.

    Raises
    ------
    CubeError, CompositionError
        As for :func:`clr`; CompositionError if ``partition`` is none.

    Notes
    -----
    Default basis: Egozcue et al. (2003), Math. Geol. 35, 279, eq. 18. Balances: Egozcue and
    Pawlowsky-Glahn (2005), Math. Geol. 37, 795.

    Examples
    --------
    >>> ilr(xr.DataArray([1.0, 2.0, 4.0], dims="element")).values.round(3)
    array([-0.49 , -0.849])
    """
    check_parts(composition)
    n = composition.sizes[ELEMENT]
    signs = partitions.sequential(n) if partition is None else np.asarray(partition)
    partitions.check(signs, n)
    contrasts = partitions.contrasts(signs)
    result = from_parts(
        lambda parts: _combine(np.log(parts), contrasts),
        composition,
        n - 1,
        long_name="isometric log-ratio",
        attrs=record("ilr", composition, partition=partitions.encode(signs)),
    )
    return result.assign_coords({ELEMENT: _ilr_names(n)}).rename("ilr")


def inverse_clr(log_ratio: xr.DataArray) -> xr.DataArray:
    """Return the closed composition of which ``log_ratio`` is the :func:`clr`.

    Parameters
    ----------
    log_ratio : xarray.DataArray
        Result of :func:`clr`, with its attrs.

    Returns
    -------
    xarray.DataArray
        Parts that sum to 1: where all units are known, the mass fractions of :func:`closure`,
        else proportions of the original numbers.

    Raises
    ------
    CompositionError
        If ``log_ratio`` is no clr, or lacks some of its parts.

    Examples
    --------
    >>> inverse_clr(clr(xr.DataArray([1.0, 2.0, 5.0], dims="element"))).values.round(3)
    array([0.125, 0.25 , 0.625])
    """
    check_log_ratio(log_ratio, "clr")
    check_coordinates(log_ratio, recalled(log_ratio, "parts"))
    return _inverse("clr", log_ratio, lambda centred: centred)


def inverse_alr(log_ratio: xr.DataArray) -> xr.DataArray:
    """Return the closed composition of which ``log_ratio`` is the :func:`alr`.

    Parameters, result and errors are those of :func:`inverse_clr`; the denominator is read from
    the attrs.

    Examples
    --------
    >>> inverse_alr(alr(xr.DataArray([1.0, 2.0, 5.0], dims="element"))).values.round(3)
    array([0.125, 0.25 , 0.625])
    """
    check_log_ratio(log_ratio, "alr")
    parts = recalled(log_ratio, "parts")
    last = parts.index(recalled(log_ratio, "denominator"))
    check_coordinates(log_ratio, parts[:last] + parts[last + 1 :])
    return _inverse("alr", log_ratio, lambda ratios: np.insert(ratios, last, 0.0, axis=-1))


def inverse_ilr(log_ratio: xr.DataArray) -> xr.DataArray:
    """Return the closed composition of which ``log_ratio`` is the :func:`ilr`.

    Parameters, result and errors are those of :func:`inverse_clr`; the basis is read from the
    attrs.

    Examples
    --------
    >>> inverse_ilr(ilr(xr.DataArray([1.0, 2.0, 5.0], dims="element"))).values.round(3)
    array([0.125, 0.25 , 0.625])
    """
    check_log_ratio(log_ratio, "ilr")
    check_coordinates(log_ratio, _ilr_names(len(recalled(log_ratio, "parts"))))
    contrasts = partitions.contrasts(partitions.decode(recalled(log_ratio, "partition")))
    return _inverse("ilr", log_ratio, lambda coordinates: _combine(coordinates, contrasts.T))


def _inverse(kind: str, log_ratio: xr.DataArray, logs_of: Formula) -> xr.DataArray:
    """Close the parts whose logs are ``logs_of`` the coordinates, in mass if units are known."""
    parts = recalled(log_ratio, "parts")
    units = recalled(log_ratio, "part_units")
    known = units is not None and all(unit in PPM for unit in units)
    weights = np.array([PPM[unit] for unit in units]) if known else 1.0

    def formula(coordinates: np.ndarray) -> np.ndarray:
        logs = logs_of(coordinates)
        # The largest log is taken out, so that nothing overflows.
        return _close(weights * np.exp(logs - logs.max(axis=-1, keepdims=True)))

    result = along_elements(
        formula,
        log_ratio,
        len(parts),
        long_name="mass fraction" if known else "proportion",
        attrs={LOG_RATIO: "none", **provenance(f"inverse_{kind}")},
    )
    if units is not None:
        units = [MASS_FRACTION] * len(parts) if known else units
        result = result.assign_coords({UNIT: (ELEMENT, units)})
    return result.assign_coords({ELEMENT: parts}).rename("composition")


# ------------------------------------------------------------------ formulas, elements last


def _clr(parts: np.ndarray) -> np.ndarray:
    logs = np.log(parts)
    logs -= logs.mean(axis=-1, keepdims=True)
    return logs


def _combine(values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Multiply by ``matrix``; a cube stays in its order in memory, elements slowest."""
    return np.moveaxis(np.tensordot(matrix, values, axes=(1, -1)), 0, -1)


def _close(parts: np.ndarray) -> np.ndarray:
    return parts / parts.sum(axis=-1, keepdims=True)


def _fill(ppm: np.ndarray) -> np.ndarray:
    """Add what is left of the whole as a last part, and divide by the whole."""
    total = ppm.sum(axis=-1, keepdims=True)
    if (over := total > WHOLE).any():
        raise CompositionError(
            f"composition sums to more than {WHOLE:g} ppm in {int(over.sum())} places (at most "
            f"{np.nanmax(total):g}); check the units, or close without filler"
        )
    return np.concatenate([ppm, WHOLE - total], axis=-1) / WHOLE


def _ilr_names(n: int) -> list[str]:
    return [f"ilr{i}" for i in range(1, n)]


def _check_filler(filler: str, composition: xr.DataArray) -> None:
    if UNIT not in composition.coords:
        raise CompositionError(
            f"filler={filler!r} needs units; set assign_coords(unit=('element', [...]))"
        )
    if filler in names_of(composition):
        raise CubeError(f"filler={filler!r} is an element already; choose another name")
