"""Real surveys, made from their files."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import xarray as xr

from xgeoanom.conventions import (
    BACKGROUND,
    DEPOSIT,
    ELEMENT,
    LOG_RATIO,
    UNIT,
    X,
    Y,
    cube_of,
    provenance,
    raster_on,
)
from xgeoanom.datasets.fetching import ADDRESSES, fetch
from xgeoanom.errors import CompositionError
from xgeoanom.geology.labels import label_deposits
from xgeoanom.survey import geotiff
from xgeoanom.survey.coda import clr, ilr
from xgeoanom.survey.rasters import open_rasters

SOURCE = {
    "title": "Southern Tianshan: 39 analytes on a 1 km grid, Au(-Cu) deposits",
    "source": ADDRESSES["tianshan"],
    "references": "Zhang, Xiong and Chen (2026), Geosci. Model Dev. 19, 2219; "
    "https://doi.org/10.5281/zenodo.18454129",
    "license": "GPL-3.0",
}
OXIDES = ("Al2O3", "CaO", "Fe2O3", "K2O", "MgO", "Na2O", "SiO2")
IN_PPB = ("Ag", "Au", "Cd", "Hg")
SAMPLE_SPACING = 2000.0  # m
N_NEGATIVE = 84  # of the 90 cells around the ten negative centres, counted row by row
ZERO_FACTOR = 0.65


def tianshan(log_ratio: str = "clr", masked: bool = True) -> xr.Dataset:
    """Fetch the Southern Tianshan survey: 39 analytes, 117 x 289 cells of 1 km, ten deposits.

    The first call downloads 8 MB into the folder that the environment variable ``XGEOANOM_DATA``
    names, or the system's cache; every file is checked against its sha256.

    Parameters
    ----------
    log_ratio : {"clr", "ilr", "none"}
        Log-ratio of the cube.
    masked : bool
        Whether the cube is NaN outside ``support``.

    Returns
    -------
    xarray.Dataset
        On the grid of the element rasters (EPSG:32645):

        - ``clr`` or ``ilr``, ``(element, y, x)`` float64; ``concentration`` for "none".
        - ``labels``: the archive's 84 deposit cells (1) and 84 background cells (0); coord
          ``deposit`` says which of the ten deposits a deposit cell belongs to.
        - ``fault_weight`` in [0, 1]: falls off with distance from faults, in twelve rings.
        - ``support``: where cells are interpolated, not extrapolated. 42 % of the rectangle.

    Raises
    ------
    CompositionError
        If ``log_ratio`` is none of the three.

    Notes
    -----
    Zhang, Xiong and Chen (2026), Geosci. Model Dev. 19, 2219. What to know of these data:

    - The rasters have no units; they are told by magnitude: oxides %, Ag, Au, Cd and Hg ppb,
      all others ppm.
    - Labels and fault weights have another shape and georeference than the elements, tens of
      kilometres away. As in the authors' own patches, the first cells coincide.
    - A cell is supported where the coordinates that were interpolated along with the elements
      are true within 2 km, the spacing of the real samples. All labelled cells are.
    - Zeros of Cd, 8 % of all cells and 3 % of the supported ones, are set to 0.65 of its smallest
      positive value. That is 2e-25 ppb, an artefact of kriging, and pulls the clr of all other
      elements up by 1.6 there. To do without Cd, start from ``tianshan("none")`` and apply
      ``drop_sel(element="Cd")`` before the log-ratio.
    - Map sheets show as steps: the seven oxides sum to 91, 49 and 81 % in three bands. In 126
      supported cells all parts sum to more than 100 % (up to 112 %), so that
      ``closure(..., filler=...)`` refuses them.

    Examples
    --------
    >>> ds = tianshan()  # doctest: +SKIP
    >>> int((ds["labels"] == 1).sum())  # doctest: +SKIP
    84
    """
    transforms = {"clr": clr, "ilr": ilr, "none": _unchanged}
    if log_ratio not in transforms:
        raise CompositionError(f"log_ratio={log_ratio!r} must be one of {list(transforms)}")
    folder = fetch("tianshan")
    concentration = _concentration(folder)
    support = _support(folder, concentration)
    if masked:
        concentration = concentration.where(support)
    cube = transforms[log_ratio](concentration)
    attrs = provenance("tianshan", log_ratio=log_ratio, masked=masked)
    ds = xr.Dataset({cube.name: cube, "support": support}, attrs={**SOURCE, **attrs})
    return ds.assign(
        labels=_labels(folder, concentration), fault_weight=_fault_weight(folder, concentration)
    )


def _unchanged(cube: xr.DataArray) -> xr.DataArray:
    return cube


def _concentration(folder: Path) -> xr.DataArray:
    """Return the concentrations with units; zeros, which only Cd has, are replaced."""
    cube = cube_of(open_rasters(folder / "Geochemical_data").load()).astype("float64")
    smallest = cube.where(cube > 0).min((Y, X))
    cube = cube.where(cube > 0, ZERO_FACTOR * smallest)
    units = [_unit_of(name) for name in cube[ELEMENT].values]
    cube.attrs = {
        "long_name": "concentration",
        "units": "mixed",
        LOG_RATIO: "none",
        # At the least: the rasters are kriged from a lattice of samples.
        "interpolation_range": SAMPLE_SPACING,
        **provenance("tianshan", zero_factor=ZERO_FACTOR),
    }
    return cube.assign_coords({UNIT: (ELEMENT, units)}).rename("concentration")


def _unit_of(element: str) -> str:
    if element in OXIDES:
        return "%"
    return "ppb" if element in IN_PPB else "ppm"


def _support(folder: Path, like: xr.DataArray) -> xr.DataArray:
    """Return where the interpolated coordinates of cells are true within the sample spacing."""
    x, y = (geotiff.load(folder / "coordinate" / name).values for name in ("xx.tif", "yy.tif"))
    off = np.hypot(x - like[X].values, y - like[Y].values[:, np.newaxis])
    attrs = provenance("tianshan", distance=SAMPLE_SPACING)
    name = "interpolated from samples, not extrapolated"
    return raster_on(like, off <= SAMPLE_SPACING, name="support", long_name=name, attrs=attrs)


def _labels(folder: Path, like: xr.DataArray) -> xr.DataArray:
    """Return the labels of the archive's patches: 3 x 3 cells around the centres."""
    labels = label_deposits(_centres(folder / "label" / "Au_deposits0.tif", DEPOSIT, like), like)
    around = label_deposits(_centres(folder / "label" / "non_deposits.tif", BACKGROUND, like), like)
    negative = np.flatnonzero(around.values == DEPOSIT)[:N_NEGATIVE]
    values = labels.values.copy()
    values.flat[negative] = BACKGROUND
    return labels.copy(data=values).assign_attrs(provenance("tianshan"))


def _centres(path: Path, marked: int, like: xr.DataArray) -> gpd.GeoDataFrame:
    rows, cols = np.nonzero(_aligned(path, like) == marked)
    points = gpd.points_from_xy(like[X].values[cols], like[Y].values[rows])
    return gpd.GeoDataFrame(geometry=points, crs=like.rio.crs)


def _fault_weight(folder: Path, like: xr.DataArray) -> xr.DataArray:
    values = _aligned(folder / "geology_weights.tif", like)
    attrs = provenance("tianshan")
    return raster_on(like, values, name="fault_weight", long_name="fault weight", attrs=attrs)


def _aligned(path: Path, like: xr.DataArray) -> np.ndarray:
    """Return a raster's values by index from its first cell; its own georeference is wrong."""
    return geotiff.load(path).values[: like.sizes[Y], : like.sizes[X]]
