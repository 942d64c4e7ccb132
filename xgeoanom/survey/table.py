"""What all steps on a survey table share: its checks, columns and limits."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xgeoanom.conventions import ELEMENT, SAMPLE, check_elements
from xgeoanom.errors import CompositionError, CubeError, XGeoAnomError

TABLE = ("concentration", "state")


def with_concentration(
    table: xr.Dataset, values: np.ndarray, attrs: dict[str, Any], **variables: Any
) -> xr.Dataset:
    """Return ``table`` with other concentrations, whose attrs are joined by ``attrs``."""
    old = table["concentration"]
    new = old.copy(data=values).assign_attrs(attrs)
    return table.assign(concentration=new, **variables)


def check_choice(argument: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise CompositionError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise CompositionError(f"{argument}={value!r} is unknown; use one of {list(choices)}")


def check_table(table: Any) -> None:
    """Raise CubeError unless ``table`` is a survey table."""
    if not isinstance(table, xr.Dataset):
        raise CubeError(f"table is a {type(table).__name__}; make a survey table with from_points")
    if missing := [name for name in TABLE if name not in table]:
        raise CubeError(f"table has no {missing}; make a survey table with from_points")
    for name in TABLE:
        if set(table[name].dims) != {SAMPLE, ELEMENT}:
            raise CubeError(
                f"table has {name!r} with dims {table[name].dims}, not ('sample', 'element')"
            )
    check_elements(table["concentration"])


def check_element(names: xr.DataArray | xr.Dataset, element: Any) -> None:
    """Raise CubeError unless ``element`` is one of those of a table."""
    found = [str(name) for name in names[ELEMENT].values]
    if element not in found:
        element = str(element) if isinstance(element, str) else element  # not np.str_('Au')
        raise CubeError(f"element={element!r} is not in the table; it has {found}")


def column_of(table: xr.Dataset, name: str, argument: str = "by") -> np.ndarray:
    """Return the coord ``name`` of the samples as text; ``""`` where there is none."""
    columns = [str(key) for key, coord in table.coords.items() if coord.dims == (SAMPLE,)]
    if name not in columns:
        raise CubeError(
            f"{argument}={name!r} is no column of the samples; the table has {columns}; name one, "
            f"or add it with table.assign_coords({name}=('sample', ...))"
        )
    column = pd.Series(table[name].values)
    return column.astype("string").fillna("").str.strip().to_numpy(dtype=object)


def element_coords(table: xr.Dataset) -> dict[Any, Any]:
    """Return the coords of the elements alone: their names and units."""
    return {name: coord for name, coord in table.coords.items() if coord.dims == (ELEMENT,)}


def limits_of(table: xr.Dataset) -> np.ndarray:
    """Return the detection limit of every value ``(sample, element)``, NaN where unknown."""
    if "detection_limit" not in table.coords:
        return np.full(table["concentration"].shape, np.nan)
    limits = table["detection_limit"].broadcast_like(table["concentration"])
    return np.array(limits.transpose(*table["concentration"].dims).values, dtype="float64")


def smallest_of(values: np.ndarray, table: xr.Dataset) -> np.ndarray:
    """Return each element's smallest value in the sample's batch, else in the table.

    The table may name no batches; NaN where all of an element are.
    """
    rows = pd.DataFrame(values)
    smallest = rows.min()
    if "batch" in table.coords and table["batch"].dims == (SAMPLE,):
        batches = rows.groupby(column_of(table, "batch"))
        return np.asarray(batches.transform("min").fillna(smallest))
    return np.broadcast_to(smallest.to_numpy(), rows.shape)


def positive(argument: str, value: Any, *, zero: bool = False) -> float:
    """Return ``value`` as a float if it is a finite number above (or at) zero."""
    number = isinstance(value, int | float | np.number) and np.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero):
        raise XGeoAnomError(
            f"{argument}={value!r} must be a {'non-negative' if zero else 'positive'} number"
        )
    return float(value)
