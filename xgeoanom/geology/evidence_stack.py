"""Evidence of many kinds as one cube: geochemistry, distances, lithology and masks in bands."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.conventions import (
    BINARY,
    CONTINUOUS,
    CUBE_DIMS,
    ELEMENT,
    KIND,
    LABEL_FLAGS,
    LOG_RATIO,
    UNIT,
    X,
    Y,
    check_cube,
    check_elements,
    check_same_grid,
    kinds_of,
    provenance,
    unit_of,
    units_of,
)
from xgeoanom.errors import EvidenceError

CATEGORICAL = "categorical"
KINDS = (CONTINUOUS, BINARY, CATEGORICAL)
FILL = "_FillValue"
REACH = "interpolation_range"


def evidence_stack(rasters: xr.Dataset, *, kinds: Mapping[str, str] | None = None) -> xr.DataArray:
    """Stack evidence of many kinds into one cube that detectors read.

    Every variable becomes evidence: leave labels and scores out. What its ``_FillValue`` still
    marks is missing, in integers too.

    Parameters
    ----------
    rasters : xarray.Dataset
        Variables ``(y, x)``, each a band of its name, or ``(element, y, x)``, a band per element.
        Concentrations go in as log-ratios, such as :func:`clr` gives.
    kinds : mapping of str to str, optional
        What a variable holds, where it is not ``"continuous"``: ``"binary"``, 0 and 1, which is
        the default of booleans; or ``"categorical"``, integer codes of classes, which becomes a
        0/1 band ``name=class`` per class. Classes and their names are the attrs ``flag_values``
        and ``flag_meanings``, else the codes found in the raster. A cell of no class is missing
        in all its bands.

    Returns
    -------
    xarray.DataArray
        ``(element, y, x)``, always float32, one chunk along ``element``; lazy where a raster is.
        Coords ``unit`` and ``kind`` (``"continuous"`` or ``"binary"``) say what each band is. Of a
        lazy categorical raster without ``flag_values`` the classes are found at once, which reads
        this raster alone.

    Raises
    ------
    EvidenceError
        If there is no raster, one holds labels or no numbers, ``kinds`` names none of them or no
        kind, classes are no integers, two bands share a name, or a binary raster in memory holds
        something else than 0, 1 and NaN (a lazy one is not read for that).
    CubeError, GridError, CRSError
        If a variable has other dims, grids differ or are uneven, or the CRS is missing,
        geographic or another.

    Examples
    --------
    >>> import xgeoanom.conventions
    >>> coords = {"y": [100.0, 0.0], "x": [0.0, 100.0]}
    >>> rasters = xr.Dataset(
    ...     {
    ...         "gravity": (("y", "x"), [[1.5, 2.5], [3.5, np.nan]], {"units": "mGal"}),
    ...         "lithology": (("y", "x"), [[1, 2], [2, 2]]),
    ...     },
    ...     coords,
    ... ).rio.write_crs(32650)
    >>> stack = evidence_stack(rasters, kinds={"lithology": "categorical"})
    >>> stack.element.values.tolist(), stack.kind.values.tolist()
    (['gravity', 'lithology=1', 'lithology=2'], ['continuous', 'binary', 'binary'])
    >>> stack.sel(element="lithology=2").values
    array([[0., 1.],
           [1., 1.]], dtype=float32)
    """
    _check_rasters(rasters)
    chosen = _checked_kinds(rasters, kinds)
    names = map(str, rasters.data_vars)
    bands = [_bands(rasters[name], name, chosen.get(name)) for name in names]
    cube = xr.concat(bands, ELEMENT, coords="minimal", compat="override", join="exact")
    _check_names(cube)
    grid = [name for name in (Y, X, "spatial_ref") if name in rasters.coords]
    cube = cube.assign_coords({name: rasters.coords[name].variable for name in grid})
    cube.attrs = {
        "long_name": "evidence",
        "units": "1",
        LOG_RATIO: "mixed",
        **_reach(rasters),
        **provenance("evidence_stack", kinds=chosen),
    }
    check_cube(cube)
    if cube.chunks is not None:
        told = {name: cube[name] for name in (UNIT, KIND)}  # `chunk` would make them lazy
        cube = cube.chunk({ELEMENT: -1}).assign_coords(told)
    return cube.rename("evidence")


def _reach(rasters: xr.Dataset) -> dict[str, float]:
    """Return how far gridding carried values, at most: cross-validation must know."""
    found = [float(one.attrs[REACH]) for one in rasters.values() if REACH in one.attrs]
    return {REACH: max(found)} if found else {}


def _bands(raster: xr.DataArray, name: str, kind: str | None) -> xr.DataArray:
    """Return what one variable gives, ``(element, y, x)``, with the unit and kind of each band."""
    if kind == CATEGORICAL:
        return _one_hot(raster, name)
    bands = _known(raster)
    if ELEMENT in raster.dims:
        names = [str(element) for element in raster[ELEMENT].values]
        units, kinds = units_of(raster), kinds_of(raster)
    else:
        names, units, kinds = [name], [unit_of(raster)], [CONTINUOUS]
        bands = bands.expand_dims(ELEMENT)
    if kind is not None or raster.dtype == bool:
        kinds = [kind or BINARY] * len(kinds)
    units = ["1" if each == BINARY else unit for unit, each in zip(units, kinds, strict=True)]
    bands = _described(bands, names, units, kinds)
    _check_binary(bands, name)
    return bands


def _one_hot(raster: xr.DataArray, name: str) -> xr.DataArray:
    """Return a 0/1 band per class, missing where a cell has none of them."""
    known = _known(raster)
    classes = _classes(raster, known, name)
    codes = xr.DataArray(np.array(list(classes)), dims=ELEMENT)
    hot = known == codes
    names = [f"{name}={meaning}" for meaning in classes.values()]
    ones, kinds = ["1"] * len(names), [BINARY] * len(names)
    return _described(hot.where(hot.any(ELEMENT)), names, ones, kinds)


def _classes(raster: xr.DataArray, known: xr.DataArray, name: str) -> dict[float, str]:
    """Return the codes of classes and their names: of the attrs, else as found, in order."""
    if "flag_values" in raster.attrs:
        codes = np.atleast_1d(raster.attrs["flag_values"])
        meanings = str(raster.attrs.get("flag_meanings", "")).split()
    else:
        codes, meanings = np.unique(known.values), []
        codes = codes[~np.isnan(codes)]
    if codes.size == 0 or not (codes == np.round(codes)).all():
        raise EvidenceError(
            f"{name!r} is categorical and must hold integer codes of classes; found "
            f"{codes[:5].tolist()}; make it integers, or leave it continuous"
        )
    meanings = meanings or [f"{code:.0f}" for code in codes]
    if len(meanings) != codes.size:
        raise EvidenceError(
            f"{name!r} has {codes.size} flag_values and {len(meanings)} flag_meanings; give as "
            "many, parted by blanks"
        )
    fill = _fill_value(raster)
    return {code: text for code, text in zip(codes, meanings, strict=True) if code != fill}


def _known(raster: xr.DataArray) -> xr.DataArray:
    """Return the values as numbers without names of elements, NaN where missing."""
    fill = _fill_value(raster)
    raster = raster.drop_vars(ELEMENT, errors="ignore")
    raster = raster.astype("uint8") if raster.dtype == bool else raster
    return raster.where(raster != fill)


def _fill_value(raster: xr.DataArray) -> Any:
    """Return what marks missing cells besides NaN; NaN where nothing does.

    The encoding of floats tells what was masked on reading; integers cannot be masked.
    """
    held = raster.attrs if raster.dtype.kind == "f" else {**raster.encoding, **raster.attrs}
    fill = held.get(FILL)
    return np.nan if fill is None else fill


def _described(
    bands: xr.DataArray, names: list[str], units: list[str], kinds: list[str]
) -> xr.DataArray:
    values = bands.transpose(*CUBE_DIMS).astype("float32").variable
    coords = {ELEMENT: names, UNIT: (ELEMENT, units), KIND: (ELEMENT, kinds)}
    return xr.DataArray(values, coords=coords)


# ------------------------------------------------------------------------------------ checks


def _check_rasters(rasters: xr.Dataset) -> None:
    if not isinstance(rasters, xr.Dataset) or not rasters.data_vars:
        raise EvidenceError(
            f"rasters is a {type(rasters).__name__} without variables; give a Dataset of evidence"
        )
    first = _layer(next(iter(rasters.values())))
    for name, raster in rasters.items():
        if raster.attrs.get(LOG_RATIO) == "none":
            warnings.warn(
                f"{name!r} holds concentrations, not log-ratios; take xga.clr of it first",
                stacklevel=3,
            )
        check_same_grid(_layer(raster), first, repr(name))
        if raster.dtype.kind not in "biuf":
            raise EvidenceError(f"{name!r} holds {raster.dtype}, not numbers; code it by integers")
        if raster.attrs.get("flag_meanings") == LABEL_FLAGS["flag_meanings"]:
            raise EvidenceError(
                f"{name!r} holds labels, which are no evidence; leave them out: "
                f"rasters.drop_vars({name!r})"
            )


def _layer(raster: xr.DataArray) -> xr.DataArray:
    """Return one layer of a raster, which stands for the grid of all."""
    if ELEMENT not in raster.dims:
        return raster
    check_elements(raster)
    return raster.isel({ELEMENT: 0})


def _checked_kinds(rasters: xr.Dataset, kinds: Mapping[str, str] | None) -> dict[str, str]:
    """Return what ``kinds`` says of some variables."""
    kinds = {} if kinds is None else kinds
    if not isinstance(kinds, Mapping):
        raise EvidenceError(f"kinds={kinds!r} must map variables to one of {list(KINDS)}")
    for name, kind in kinds.items():
        if name not in rasters.data_vars:
            raise EvidenceError(
                f"kinds names {name!r}, which is no variable of rasters: {list(rasters.data_vars)}"
            )
        if kind not in KINDS:
            raise EvidenceError(f"kinds[{name!r}]={kind!r} must be one of {list(KINDS)}")
        if kind == CATEGORICAL and ELEMENT in rasters[name].dims:
            raise EvidenceError(
                f"kinds[{name!r}]={kind!r}: classes are read from rasters (y, x), and this one "
                "has an 'element' dim; give each of its bands as a variable"
            )
    return dict(kinds)


def _check_binary(bands: xr.DataArray, name: str) -> None:
    """Refuse other values than 0 and 1 in the binary ones of bands in memory."""
    if bands.chunks is not None:
        return
    found = np.unique(bands.values[bands[KIND].values == BINARY])
    wrong = found[~np.isnan(found) & ~np.isin(found, (0, 1))]
    if wrong.size:
        raise EvidenceError(
            f"{name!r} is binary and holds {wrong[:5].tolist()}; it must hold 0, 1 and NaN alone"
        )


def _check_names(cube: xr.DataArray) -> None:
    names, counts = np.unique(cube[ELEMENT].values, return_counts=True)
    if (counts > 1).any():
        raise EvidenceError(
            f"two bands are called {names[counts > 1].tolist()}; rename one of the variables"
        )
