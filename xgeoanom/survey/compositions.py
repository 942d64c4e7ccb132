"""What all log-ratios share: checks of parts, their names and units, and work along elements."""

import json
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.conventions import ELEMENT, LOG_RATIO, PPM_PER_UNIT, UNIT, check_elements, provenance
from xgeoanom.errors import CompositionError, CubeError

WHOLE = 1e6  # ppm
MASS_FRACTION = "1"  # unit of closed parts
PPM = {**PPM_PER_UNIT, MASS_FRACTION: WHOLE}
KEPT_ATTRS = ("interpolation_range",)  # what a log-ratio does not change

Formula = Callable[[np.ndarray], np.ndarray]  # elements are the last axis


def from_parts(
    formula: Formula, composition: xr.DataArray, n: int | None = None, **attrs: Any
) -> xr.DataArray:
    """Apply ``formula`` to positive parts; the result has ``n`` coordinates, without names."""
    names = names_of(composition)

    def on_block(parts: np.ndarray) -> np.ndarray:
        return formula(positive(parts, names))

    return along_elements(on_block, composition, n or len(names), **attrs)


def along_elements(
    formula: Formula, array: xr.DataArray, n: int, *, long_name: str, attrs: dict[str, Any]
) -> xr.DataArray:
    """Apply ``formula``, whose result has ``n`` elements; lazy where ``array`` is."""
    if array.chunks is not None:
        array = array.chunk({ELEMENT: -1})
    result = xr.apply_ufunc(
        formula,
        array,
        input_core_dims=[[ELEMENT]],
        output_core_dims=[[ELEMENT]],
        exclude_dims={ELEMENT},
        dask="parallelized",
        output_dtypes=["float64"],
        dask_gufunc_kwargs={"output_sizes": {ELEMENT: n}},
        keep_attrs=True,
    ).transpose(*array.dims)
    kept = {name: array.attrs[name] for name in KEPT_ATTRS if name in array.attrs}
    result.attrs = {"long_name": long_name, "units": "1", **kept, **attrs}
    return result


def positive(parts: np.ndarray, names: Sequence[Hashable]) -> np.ndarray:
    """Return ``parts`` as float64 if each place has all of them, positive, or none."""
    missing = np.isnan(parts)
    partly = missing & ~missing.all(axis=-1, keepdims=True)
    for what, wrong in (
        ("missing in some elements only", partly),
        ("zero or negative", parts <= 0),
        ("infinite", np.isinf(parts)),
    ):
        if wrong.any():
            counts = wrong.reshape(-1, len(names)).sum(axis=0)
            found = {str(name): int(n) for name, n in zip(names, counts, strict=True) if n}
            raise CompositionError(
                f"composition is {what}, in so many places: {found}; replace values below "
                "detection with replace_censored, and drop or fill what was not analysed"
            )
    return parts.astype("float64", copy=False)


def names_of(array: xr.DataArray) -> list[Hashable]:
    """Return the names of elements, or their positions where they have none."""
    names: list[Hashable] = array[ELEMENT].values.tolist()
    return names


def units_of(composition: xr.DataArray) -> list[str]:
    """Return the unit of each part."""
    # xarray's .chunk() makes coords lazy too; names are no work for a cluster.
    units = composition[UNIT].compute(scheduler="synchronous").values
    return [str(unit) for unit in np.broadcast_to(units, composition.sizes[ELEMENT])]


def ppm_factors(composition: xr.DataArray) -> np.ndarray:
    """Return how many ppm one unit of each part is; all 1 where no units are given."""
    if UNIT not in composition.coords:
        return np.ones(composition.sizes[ELEMENT])
    units = units_of(composition)
    if unknown := sorted({unit for unit in units if unit not in PPM}):
        raise CompositionError(f"unit={unknown} is unknown to closure; use one of {list(PPM)}")
    return np.array([PPM[unit] for unit in units])


def with_parts(
    result: xr.DataArray, source: xr.DataArray, positions: Sequence[int]
) -> xr.DataArray:
    """Give ``result`` the names and units of parts of ``source``."""
    if ELEMENT in source.coords:
        result = result.assign_coords({ELEMENT: source[ELEMENT].values[list(positions)]})
    if UNIT in source.coords:
        units = units_of(source)
        result = result.assign_coords({UNIT: (ELEMENT, [units[i] for i in positions])})
    return result


def record(kind: str, composition: xr.DataArray, **basis: Any) -> dict[str, Any]:
    """Return attrs from which the inverse finds parts, units and basis again."""
    attrs = {
        LOG_RATIO: kind,
        "parts": json.dumps(names_of(composition)),
        **{name: json.dumps(value) for name, value in basis.items()},
        **provenance(kind, **basis),
    }
    if UNIT in composition.coords:
        attrs["part_units"] = json.dumps(units_of(composition))
    return attrs


def recalled(log_ratio: xr.DataArray, name: str) -> Any:
    """Return what :func:`record` wrote as ``name``, or None."""
    return json.loads(log_ratio.attrs.get(name, "null"))


def check_parts(composition: Any) -> None:
    """Raise unless ``composition`` is an array of two or more named parts and no log-ratio."""
    check_array(composition, "composition")
    found = composition.attrs.get(LOG_RATIO, "none")
    if found != "none":
        raise CompositionError(f"composition is a log-ratio already ({found}); invert it first")
    if composition.sizes[ELEMENT] < 2:
        raise CubeError(f"composition has {composition.sizes[ELEMENT]} part; it needs two or more")
    if ELEMENT in composition.coords:
        check_elements(composition)


def check_log_ratio(log_ratio: Any, kind: str) -> None:
    """Raise unless ``log_ratio`` says in its attrs that it is one of ``kind``."""
    check_array(log_ratio, "log_ratio")
    found = log_ratio.attrs.get(LOG_RATIO)
    if found != kind or "parts" not in log_ratio.attrs:
        raise CompositionError(
            f"log_ratio={found!r} in the attrs is not {kind!r}; pass the result of {kind}, with "
            "its attrs"
        )


def check_coordinates(log_ratio: xr.DataArray, expected: Sequence[Hashable]) -> None:
    """Raise CompositionError unless all coordinates are there, in order."""
    found = names_of(log_ratio)
    named = ELEMENT in log_ratio.coords
    if len(found) != len(expected) or (named and found != list(expected)):
        raise CompositionError(
            f"log_ratio has elements {found}, not {list(expected)}; pass all of them, in order"
        )


def check_array(array: Any, argument: str) -> None:
    """Raise CubeError unless ``array`` is a DataArray with a dim ``element``."""
    if not isinstance(array, xr.DataArray):
        raise CubeError(
            f"{argument} is a {type(array).__name__}; pass a DataArray, such as "
            "table['concentration'] or ds.anom.cube"
        )
    if ELEMENT not in array.dims:
        raise CubeError(f"{argument} has dims {array.dims}; rename the one of its parts 'element'")
