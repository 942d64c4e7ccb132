"""What ``ds.anom`` prints: what a dataset or an array holds, from metadata alone."""

import html

import xarray as xr

from xgeoanom.conventions import ELEMENT, LOG_RATIO, X, Y, cell_size, cube_of, units_of
from xgeoanom.errors import XGeoAnomError


def as_text(obj: xr.Dataset | xr.DataArray) -> str:
    """Return the card, one line for each entry."""
    return "\n".join(["<xgeoanom>", *(f"{key}: {value}" for key, value in _entries(obj))])


def as_html(obj: xr.Dataset | xr.DataArray) -> str:
    """Return the card as a table for notebooks."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{key}</th><td>{html.escape(value)}</td></tr>"
        for key, value in _entries(obj)
    )
    return f"<table><caption>xgeoanom</caption>{rows}</table>"


def _entries(obj: xr.Dataset | xr.DataArray) -> list[tuple[str, str]]:
    try:
        cube = cube_of(obj)
        height, width = cell_size(cube)
    except XGeoAnomError as error:
        return [("no cube", str(error))]
    crs = cube.rio.crs
    names = [str(name) for name in cube[ELEMENT].values]
    entries = [
        ("elements", f"{len(names)}: {_listed(names)}"),
        ("units", _listed(sorted(set(units_of(cube))))),
        ("log-ratio", str(cube.attrs.get(LOG_RATIO, "unknown"))),
        ("grid", f"{cube.sizes[Y]} x {cube.sizes[X]}, {abs(height):g} x {abs(width):g} a cell"),
        ("CRS", crs.to_string() if crs is not None else "none: set it with .rio.write_crs"),
        ("chunks", "in memory" if cube.chunks is None else str(cube.data.chunksize)),
    ]
    return [*entries, ("scores", _listed(_scores(obj)) or "none yet")]


def _scores(obj: xr.Dataset | xr.DataArray) -> list[str]:
    if not isinstance(obj, xr.Dataset):
        return []
    return [
        str(name)
        for name, array in obj.items()
        if "method" in array.attrs and array.dtype == "float32"
    ]


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
