"""Explanations of superpixel networks as maps: what each branch adds, and which ground counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from xgeoanom.blocks import map_halo
from xgeoanom.conventions import ELEMENT, X, Y, raster_on
from xgeoanom.detectors.explain import checked_for, known_cells
from xgeoanom.detectors.graph_blocks import over_block
from xgeoanom.detectors.graph_shares import shares_of
from xgeoanom.detectors.sgcn import SGCN, SUPERPIXEL


def branch_contributions(detector: SGCN, cube: xr.DataArray) -> xr.Dataset:
    """Map what each branch adds to the logit of a cell.

    Parameters
    ----------
    detector : SGCN
        Fitted or loaded.
    cube : xarray.DataArray
        ``(element, y, x)`` as for :meth:`Detector.predict`.

    Returns
    -------
    xarray.Dataset
        ``spatial`` and ``spectrum`` ``(y, x)``, or the one that there is, in units of the logit,
        the mean over networks. For each network their sum is the logit less that of no branch at
        all, which is the same for all cells. Lazy where the cube is.

    Raises
    ------
    NotFittedError, CubeError
    XGeoAnomError
        If the detector is no SGCN.

    Notes
    -----
    Shapley values, where a branch left out passes zeros on; ours.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(48, 48), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0))
    >>> labels = xga.label_deposits(district.deposits, like=cube)
    >>> detector = SGCN(size=36, draws=1, epochs=1, seed=0).fit(cube, labels)
    >>> sorted(branch_contributions(detector, cube))
    ['spatial', 'spectrum']
    """
    cube, turn = checked_for(detector, cube, SGCN)
    superpixel = detector.derive(cube)[SUPERPIXEL]
    context = detector.prepare(cube, {SUPERPIXEL: superpixel})
    names = ["spatial", "spectrum"] if detector.branches == "both" else [detector.branches]
    maps = map_halo(
        _contributions_block,
        cube.data,
        superpixel.data,
        footprint=detector.footprint,
        shared=(detector, context, names),
        layers=len(names),
    )
    attrs = detector.provenance()
    return xr.Dataset(
        {
            name: raster_on(
                cube, maps[k], name=name, long_name=f"{name} branch's share", attrs=attrs
            )
            for k, name in enumerate(names)
        }
    ).isel(turn)


@torch.inference_mode()
def _contributions_block(block: np.ndarray, ids: np.ndarray, shared: Any) -> np.ndarray:
    detector, context, names = shared
    block = detector.standardise(block)
    runs = []
    for network, embedding in zip(detector.networks_, context, strict=True):

        def layers(*cells: Any, network: Any = network) -> torch.Tensor:
            shares = network.contributions(*cells)
            return torch.stack([shares[name] for name in names])

        options = {"halo": detector.footprint.halo, "where": torch.device("cpu")}
        runs.append(over_block(layers, block, ids, embedding, **options, layers=len(names)))
    return np.asarray(np.mean(runs, axis=0), dtype="float32")


def superpixel_importance(
    detector: SGCN, cube: xr.DataArray, at: Sequence[tuple[float, float]]
) -> xr.DataArray:
    """Map which superpixels made the scores at some places.

    Parameters
    ----------
    detector : SGCN
        Fitted or loaded.
    cube : xarray.DataArray
        ``(element, y, x)`` as for :meth:`Detector.predict`.
    at : sequence of (x, y)
        Places in CRS units; each is moved to its cell's centre.

    Returns
    -------
    xarray.DataArray
        ``(location, y, x)`` in units of the logit, the mean over networks: each cell bears what
        its whole superpixel adds, by integrated gradients; 0 where the score does not depend on
        it, NaN where the survey is missing.

    Raises
    ------
    NotFittedError, CubeError
    GridError
        If a place lies outside the survey or on a missing cell.
    XGeoAnomError
        If the detector is no SGCN.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(48, 48), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0))
    >>> labels = xga.label_deposits(district.deposits, like=cube)
    >>> detector = SGCN(size=36, draws=1, epochs=1, seed=0).fit(cube, labels)
    >>> place = float(cube.x[9]), float(cube.y[9])
    >>> superpixel_importance(detector, cube, [place]).dims
    ('location', 'y', 'x')
    """
    cube, turn = checked_for(detector, cube, SGCN)
    rows, cols = known_cells(cube, at)
    known = cube.notnull().all(ELEMENT).transpose(Y, X).values
    neighborhoods = detector.around(cube, rows, cols)
    maps = np.where(known, np.zeros((len(rows), 1, 1), "float32"), np.float32(np.nan))
    for one, around in zip(maps, neighborhoods, strict=True):
        shares = np.mean([shares_of(net, around).sum(axis=1) for net in detector.networks_], axis=0)
        whole = np.bincount(around.superpixel, shares)
        one[around.rows, around.cols] = whole[around.superpixel]
    coords = {name: cube.coords[name] for name in (Y, X, "spatial_ref")}
    result = xr.DataArray(maps, coords, ("location", Y, X), "superpixel_importance")
    long_name = f"{detector.name} importance of superpixels"
    result.attrs = {"long_name": long_name, "units": "1", **detector.provenance()}
    places = {"at_x": cube[X].values[cols], "at_y": cube[Y].values[rows]}
    places = {name: ("location", values) for name, values in places.items()}
    return result.isel(turn).assign_coords(places)
