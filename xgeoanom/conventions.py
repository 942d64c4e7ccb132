"""Names of dims, coords, attrs and flags, and the checks that every room relies on."""

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr

from xgeoanom.errors import CRSError, CubeError, GridError, LabelError

ELEMENT, Y, X, SAMPLE = "element", "y", "x", "sample"
CUBE_DIMS = (ELEMENT, Y, X)
UNIT, LOG_RATIO = "unit", "log_ratio"
KIND = "kind"  # of a band
CONTINUOUS, BINARY = "continuous", "binary"

DEPOSIT, BACKGROUND, UNLABELLED = 1, 0, -1
LABEL_FLAGS = {
    "flag_values": np.array([DEPOSIT, BACKGROUND, UNLABELLED], dtype="int8"),
    "flag_meanings": "deposit background unlabelled",
}

MEASURED, BELOW_LIMIT, BELOW_UNKNOWN_LIMIT, NOT_ANALYSED = 0, 1, 2, 3
STATE_FLAGS = {
    "flag_values": np.array([0, 1, 2, 3], dtype="int8"),
    "flag_meanings": "measured below_known_limit below_unknown_limit not_analysed",
}

# How many ppm (mass fraction 1e-6) one unit is.
PPM_PER_UNIT = {
    "ppb": 1e-3,
    "ug/kg": 1e-3,
    "ppm": 1.0,
    "mg/kg": 1.0,
    "g/t": 1.0,
    "%": 1e4,
    "pct": 1e4,
    "wt%": 1e4,
}

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb "
    "Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U LOI"
).split()
_PART = re.compile(
    rf"(?P<part>(?:{'|'.join(sorted(_SYMBOLS, key=len, reverse=True))})(?:\d*O\d*)?)"
    rf"(?:_(?P<unit>{'|'.join(map(re.escape, PPM_PER_UNIT))}))?"
)


def parse_element(name: Hashable) -> tuple[str, str | None] | None:
    """Return the element (or oxide) and unit that a variable's name states, else None.

    >>> parse_element("Cu_ppm"), parse_element("SiO2"), parse_element("labels")
    (('Cu', 'ppm'), ('SiO2', None), None)
    """
    match = _PART.fullmatch(str(name))
    return (match["part"], match["unit"]) if match else None


def cube_of(obj: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Return the lazy ``(element, y, x)`` cube of ``obj``; it is what ``ds.anom.cube`` gives."""
    if isinstance(obj, xr.DataArray):
        return obj.transpose(*_cube_dims(obj))
    if not isinstance(obj, xr.Dataset):
        raise CubeError(f"a {type(obj).__name__} is no cube; give a Dataset or a DataArray")
    cubes = [name for name, array in obj.data_vars.items() if set(array.dims) == set(CUBE_DIMS)]
    if len(cubes) > 1:
        raise CubeError(
            f"variables {cubes} all have an 'element' dim; keep the one that is meant, e.g. "
            f"ds.drop_vars({str(cubes[0])!r})"
        )
    return cube_of(obj[cubes[0]]) if cubes else _stack_elements(obj)


def _cube_dims(cube: xr.DataArray) -> tuple[str, str, str]:
    if set(cube.dims) != set(CUBE_DIMS):
        raise CubeError(f"dims={cube.dims} are not {CUBE_DIMS}; rename or stack them first")
    return CUBE_DIMS


def _stack_elements(ds: xr.Dataset) -> xr.DataArray:
    """Stack the 2-D variables whose names are elements, such as ``Au`` or ``Cu_ppm``."""
    found = {
        name: part
        for name, array in ds.data_vars.items()
        if set(array.dims) == {Y, X} and (part := parse_element(name))
    }
    if not found:
        raise CubeError(
            f"no variable of {list(ds.data_vars)} has an 'element' dim or an element's name "
            "with dims ('y', 'x'); name variables like 'Au' or 'Cu_ppm'"
        )
    names = [element for element, _ in found.values()]
    units = [unit or unit_of(ds[name]) for name, (_, unit) in found.items()]
    layers = [ds[name].drop_attrs(deep=False).transpose(Y, X) for name in found]
    cube = xr.concat(layers, dim=ELEMENT, coords="minimal", compat="override", join="exact")
    cube = cube.assign_coords({ELEMENT: names, UNIT: (ELEMENT, units)}).rename("concentration")
    cube.attrs[LOG_RATIO] = "none"
    if cube.chunks is not None:
        cube = cube.chunk({ELEMENT: -1})
    check_elements(cube)
    return cube


def unit_of(layer: xr.DataArray) -> str:
    """Return the unit that a ``(y, x)`` layer states, else ``"unknown"``."""
    unit = layer.coords[UNIT].item() if UNIT in layer.coords else layer.attrs.get("units")
    return str(unit or "unknown")


def check_elements(array: xr.DataArray) -> None:
    """Raise CubeError unless ``array`` names each element once."""
    if ELEMENT not in array.coords:
        raise CubeError("the 'element' dim has no names; assign_coords(element=[...]) first")
    names, counts = np.unique(array[ELEMENT].values, return_counts=True)
    if (counts > 1).any():
        raise CubeError(f"element={names[counts > 1].tolist()} is repeated; keep one of each")


def check_cube(cube: xr.DataArray) -> None:
    """Raise unless ``cube`` is an ``(element, y, x)`` array on an even, projected grid."""
    _cube_dims(cube)
    check_elements(cube)
    check_projected(cube)
    cell_size(cube)


def check_projected(obj: Any, argument: str = "cube") -> None:
    """Raise CRSError unless ``obj`` (xarray or geopandas) has a projected CRS."""
    crs = obj.crs if hasattr(obj, "geometry") else obj.rio.crs
    if crs is None:
        raise CRSError(f"{argument} has no CRS; set it, e.g. .rio.write_crs(32650) or .set_crs()")
    if not crs.is_projected:
        raise CRSError(f"{argument} has CRS {crs.to_string()} in degrees; project it to metres")


def check_same_crs(obj: Any, like: xr.DataArray | xr.Dataset, argument: str) -> None:
    """Raise CRSError unless the GeoDataFrame ``obj`` shares the CRS of ``like``."""
    check_projected(obj, argument)
    check_projected(like, "like")
    if obj.crs != like.rio.crs:
        raise CRSError(
            f"{argument} has CRS {obj.crs.to_string()}, the grid {like.rio.crs.to_string()}; "
            f"convert with {argument}.to_crs(...)"
        )


def cell_size(grid: xr.DataArray | xr.Dataset) -> tuple[float, float]:
    """Return signed cell height and width (CRS units); raise GridError where spacing is uneven."""
    return _step(grid, Y), _step(grid, X)


def north_up(grid: xr.DataArray | xr.Dataset) -> dict[str, slice]:
    """Return what turns ``grid`` by ``isel`` north up and east right, and a second time back.

    >>> grid = xr.Dataset(coords={"y": [0.0, 500.0], "x": [0.0, 500.0]})
    >>> grid.isel(north_up(grid)).y.values
    array([500.,   0.])
    """
    height, width = cell_size(grid)
    steps = {Y: -1 if height > 0 else 1, X: 1 if width > 0 else -1}
    return {dim: slice(None, None, step) for dim, step in steps.items()}


def _step(grid: xr.DataArray | xr.Dataset, dim: str) -> float:
    if dim not in grid.coords or grid.sizes[dim] < 2:
        raise GridError(
            f"{dim!r} needs a coordinate of at least two cells; found dims {dict(grid.sizes)}, "
            "rename them to y and x where they have other names"
        )
    steps = np.diff(grid[dim].values.astype("float64"))
    if not np.allclose(steps, steps[0], rtol=1e-3, atol=0) or steps[0] == 0:
        raise GridError(
            f"{dim!r} is unevenly spaced (steps {steps.min():g} to {steps.max():g}); regrid first"
        )
    return float((grid[dim].values[-1] - grid[dim].values[0]) / (grid.sizes[dim] - 1))


def cells_at(
    grid: xr.DataArray, at: Sequence[tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of the cells that hold the places ``(x, y)``; GridError outside."""
    try:
        places = np.asarray(at, dtype="float64")
    except (TypeError, ValueError):
        places = np.empty(0)
    if places.ndim != 2 or places.shape[1] != 2 or len(places) == 0:
        raise GridError(
            f"at is a {type(at).__name__} and must be (x, y) pairs in CRS units; of points take "
            "list(zip(points.geometry.x, points.geometry.y))"
        )
    found = []
    for dim, wanted in ((Y, places[:, 1]), (X, places[:, 0])):
        coord = grid[dim].values
        index = np.floor((wanted - coord[0]) / _step(grid, dim) + 0.5).astype(int)
        if ((index < 0) | (index >= len(coord))).any():
            raise GridError(
                f"at={list(at)} lies outside the survey along {dim!r} "
                f"({coord.min():g} to {coord.max():g}); give (x, y) in CRS units"
            )
        found.append(index)
    return found[0], found[1]


def units_of(cube: xr.DataArray) -> list[str]:
    """Return the unit of each element; ``"unknown"`` where the cube does not say."""
    if UNIT not in cube.coords:
        return ["unknown"] * cube.sizes[ELEMENT]
    # A coord that xarray's `chunk` made lazy; reading names is no work for a cluster.
    return [str(unit) for unit in cube[UNIT].compute(scheduler="synchronous").values]


def kinds_of(cube: xr.DataArray) -> list[str]:
    """Return the kind of each element; continuous where the cube does not say."""
    if KIND not in cube.coords:
        return [CONTINUOUS] * cube.sizes[ELEMENT]
    kinds = [str(kind) for kind in cube[KIND].compute(scheduler="synchronous").values]
    if wrong := set(kinds) - {CONTINUOUS, BINARY}:
        raise CubeError(f"kind={sorted(wrong)} must be {CONTINUOUS!r} or {BINARY!r}")
    return kinds


def identity_of(cube: xr.DataArray) -> dict[str, Any]:
    """Return what a cube must share with the one that a detector was fitted to."""
    return {
        "elements": [str(name) for name in cube[ELEMENT].values],
        "units": units_of(cube),
        "log_ratio": str(cube.attrs.get(LOG_RATIO, "none")),
    }


def check_same_grid(raster: xr.DataArray, like: xr.DataArray, argument: str) -> None:
    """Raise unless ``raster`` is ``(y, x)`` on the very grid and CRS of ``like``."""
    if not isinstance(raster, xr.DataArray):
        raise GridError(f"{argument} is a {type(raster).__name__}; give a DataArray (y, x)")
    if set(raster.dims) != {Y, X}:
        raise GridError(f"{argument} has dims {raster.dims}, not ('y', 'x')")
    for dim in (Y, X):
        here, there = raster[dim].values, like[dim].values
        tolerance = 1e-6 * abs(_step(like, dim))
        if len(here) == len(there) and np.allclose(here, there, rtol=0, atol=tolerance):
            continue
        if len(here) == len(there) and np.allclose(here[::-1], there, rtol=0, atol=tolerance):
            raise GridError(
                f"{argument} runs the other way along {dim!r}; turn it with "
                f".isel({dim}=slice(None, None, -1))"
            )
        raise GridError(
            f"{argument} lies on another grid along {dim!r}: {_extent(here)} against "
            f"{_extent(there)}; reproject it with .rio.reproject_match"
        )
    ours, theirs = raster.rio.crs, like.rio.crs
    if ours is not None and theirs is not None and ours != theirs:
        raise CRSError(f"{argument} has CRS {ours}, the cube {theirs}; reproject it first")


def _extent(coord: np.ndarray) -> str:
    return f"{len(coord)} cells from {coord[0]:g} to {coord[-1]:g}"


def raster_of(
    ds: xr.Dataset | xr.DataArray, raster: Hashable | xr.DataArray, argument: str
) -> xr.DataArray:
    """Return a ``(y, x)`` raster given as a DataArray or as a variable's name in ``ds``."""
    if not isinstance(raster, xr.DataArray | Hashable):
        raise LabelError(
            f"{argument} is a {type(raster).__name__}; give a DataArray or a variable's name"
        )
    if not isinstance(raster, xr.DataArray):
        names = list(ds.data_vars) if isinstance(ds, xr.Dataset) else []
        if raster not in names:
            raise LabelError(f"{argument}={raster!r} is no variable of the dataset; it has {names}")
        raster = ds[raster]
    check_same_grid(raster, ds, argument)  # type: ignore[arg-type]
    return raster.transpose(Y, X)


def provenance(method: str, /, *, seed: int | None = None, **parameters: Any) -> dict[str, Any]:
    """Return attrs that say how a result came about and survive NetCDF and Zarr."""
    attrs: dict[str, Any] = {"method": method, "parameters": json.dumps(parameters, default=str)}
    if seed is not None:
        attrs["seed"] = seed
    return attrs | {"version": version()}


@cache  # reading it takes milliseconds
def version() -> str:
    """Return the installed version of xgeoanom."""
    return metadata.version("xgeoanom")


def raster_on(
    like: xr.DataArray | xr.Dataset,
    values: Any,
    *,
    name: str,
    long_name: str,
    units: str = "1",
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Return ``values`` ``(..., y, x)`` as a new raster with the grid and CRS of ``like``."""
    coords = {key: like.coords[key] for key in (Y, X, "spatial_ref") if key in like.coords}
    raster = xr.DataArray(values, dims=(Y, X), coords=coords, name=name)
    raster.attrs = {"long_name": long_name, "units": units, **(attrs or {})}
    return raster
