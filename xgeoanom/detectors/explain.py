"""Explanations as arrays with places: which elements made the scores there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xgeoanom.blocks import gather
from xgeoanom.conventions import ELEMENT, X, Y, cells_at, cube_of, north_up
from xgeoanom.errors import GridError, XGeoAnomError

if TYPE_CHECKING:
    from xgeoanom.detectors.base import Detector


def explain_at(
    detector: "Detector", cube: xr.DataArray, at: Sequence[tuple[float, float]], how: str
) -> xr.DataArray:
    """Return the explanation ``how`` of the cells that hold the places ``at``.

    ``(location, element)``, the mean over the detector's networks.
    """
    if how not in detector.explanations:
        raise XGeoAnomError(f"how={how!r} is not one of {list(detector.explanations)}")
    rows, cols = known_cells(cube, at)
    given = detector.around(cube, rows, cols)
    explanation = detector.explanations[how]
    shares = np.mean([explanation(detector, net, given) for net in detector.networks_], axis=0)
    coords = {name: cube.coords[name] for name in (ELEMENT, "spatial_ref") if name in cube.coords}
    result = xr.DataArray(shares, dims=("location", ELEMENT), coords=coords, name=how)
    long_name = f"{detector.name} {how.replace('_', ' ')}"
    result.attrs = {"long_name": long_name, "units": "1", **detector.provenance()}
    return result.assign_coords(
        {X: ("location", cube[X].values[cols]), Y: ("location", cube[Y].values[rows])}
    )


def checked_for(
    detector: "Detector", cube: xr.DataArray, kind: type
) -> tuple[xr.DataArray, dict[str, slice]]:
    """Return the cube north up, and what turns it back; the detector must be a fitted ``kind``."""
    check_kind(detector, kind)
    cube = cube_of(cube)
    detector._check_fitted(cube)
    turn = north_up(cube)
    return cube.isel(turn), turn


def check_kind(detector: "Detector", kind: type) -> None:
    """Raise XGeoAnomError unless ``detector`` is a ``kind``."""
    if not isinstance(detector, kind):
        raise XGeoAnomError(
            f"detector is a {type(detector).__name__}; these explanations are {kind.__name__}'s"
        )


def known_cells(
    cube: xr.DataArray, at: Sequence[tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the cells that hold the places ``at``.

    GridError where a place lies outside the survey or on a missing cell.
    """
    rows, cols = cells_at(cube, at)
    if np.isnan(gather(cube.data, rows, cols)).any():
        raise GridError(f"at={list(at)} holds a missing cell; choose cells that have a score")
    return rows, cols


def shares_of_squares(residual: np.ndarray) -> np.ndarray:
    """Return the share of each element in the squared error ``(location, element)``."""
    squares = np.square(residual)
    total = np.maximum(squares.sum(axis=1, keepdims=True), np.finfo("float32").tiny)
    shares: np.ndarray = squares / total
    return shares


def patches_around(
    detector: "Detector", cube: xr.DataArray, rows: np.ndarray, cols: np.ndarray
) -> np.ndarray:
    """Return the standardised patches ``(location, element, dy, dx)`` that make some scores."""
    return detector.standardise(gather(cube.data, rows, cols, halo=detector.footprint.halo))
