"""Explanations that are maps of a patch: where the evidence for a deposit lies in it.

In the network rows point down. Here ``dy`` is positive northward and ``dx`` eastward, whichever way
the cube's axes run.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from xgeoanom.conventions import X, Y, cell_size
from xgeoanom.detectors.explain import check_kind, checked_for, known_cells
from xgeoanom.detectors.gk_dcn import GKDCN
from xgeoanom.detectors.training import seeded
from xgeoanom.nets.cam import cam, grad_cam
from xgeoanom.seeding import Seed, resolve, streams

Places = Sequence[tuple[float, float]]


def grad_cam_at(
    detector: GKDCN, cube: xr.DataArray, at: Places, *, layer: str = "conv3"
) -> xr.DataArray:
    """Return where in the patches around some places the evidence for a deposit lies.

    Parameters
    ----------
    detector : GKDCN
        Fitted or loaded.
    cube : xarray.DataArray
        ``(element, y, x)`` as for :meth:`Detector.predict`.
    at : sequence of (x, y)
        Places in CRS units; each is moved to its cell's centre.
    layer : str
        Whose maps are weighed: the last convolution by default, or ``conv1``, ``relu2``, ...

    Returns
    -------
    xarray.DataArray
        ``(location, dy, dx)`` in units of the logit, at least 0, the mean over networks. Coords
        ``x``, ``y`` of the locations; ``dy`` and ``dx`` from a patch's centre, in CRS units.

    Raises
    ------
    NotFittedError, CubeError
    GridError
        If a place lies outside the survey or on a missing cell.
    XGeoAnomError
        If the detector is no GKDCN, or ``layer`` yields no maps.

    References
    ----------
    Selvaraju et al. 2017; Zhang, Xiong and Chen 2026, eqs. 13 and 14.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0))
    >>> labels = xga.label_deposits(district.deposits, like=cube)
    >>> params = {"knowledge": 0, "background": "anywhere", "draws": 1, "epochs": 1, "seed": 0}
    >>> detector = GKDCN(window=5, min_distance=1500.0, **params).fit(cube, labels)
    >>> place = float(cube.x[9]), float(cube.y[9])
    >>> grad_cam_at(detector, cube, [place]).sizes
    Frozen({'location': 1, 'dy': 5, 'dx': 5})
    """

    def draw(network: nn.Module, patches: Tensor) -> Tensor:
        return grad_cam(network, patches, layer)

    return _maps_at(detector, cube, at, draw, "grad_cam")


def cam_at(detector: GKDCN, cube: xr.DataArray, at: Places) -> xr.DataArray:
    """Return class activation maps of the patches around some places.

    Parameters
    ----------
    detector : GKDCN
        Fitted or loaded, of ``body="linear"``: its pooled maps make the logit at once.
    cube : xarray.DataArray
        ``(element, y, x)`` as for :meth:`Detector.predict`.
    at : sequence of (x, y)
        Places in CRS units; each is moved to its cell's centre.

    Returns
    -------
    xarray.DataArray
        ``(location, dy, dx)`` as of :func:`grad_cam_at`, negative where evidence against a
        deposit lies.

    Raises
    ------
    NotFittedError, CubeError
    GridError
        If a place lies outside the survey or on a missing cell.
    XGeoAnomError
        If the detector is no GKDCN, or has another body.

    References
    ----------
    Zhou et al. 2016; Zhang, Xiong and Chen 2026, eq. 12.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0))
    >>> labels = xga.label_deposits(district.deposits, like=cube)
    >>> params = {"knowledge": 0, "background": "anywhere", "draws": 1, "epochs": 1, "seed": 0}
    >>> detector = GKDCN(window=5, body="linear", min_distance=1500.0, **params)
    >>> place = float(cube.x[9]), float(cube.y[9])
    >>> cam_at(detector.fit(cube, labels), cube, [place]).dims
    ('location', 'dy', 'dx')
    """
    return _maps_at(detector, cube, at, cam, "cam")


def randomised(detector: GKDCN, seed: Seed = None) -> GKDCN:
    """Return a copy of a fitted detector whose networks have forgotten all they learned.

    Every layer is drawn anew, as layers are by default, those of offsets and modulation too. An
    explanation that looks the same afterwards tells of the input alone, not of what was learned
    (Adebayo et al. 2018, "Sanity checks for saliency maps").

    Parameters
    ----------
    detector : GKDCN
        Fitted or loaded; stays as it is.
    seed : int, numpy.random.Generator or None
        Of the new parameters.

    Returns
    -------
    GKDCN
        Its scores' attr ``randomised`` holds the seed.

    Raises
    ------
    NotFittedError
    XGeoAnomError
        If the detector is no GKDCN.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0))
    >>> labels = xga.label_deposits(district.deposits, like=cube)
    >>> params = {"knowledge": 0, "background": "anywhere", "draws": 1, "epochs": 1, "seed": 0}
    >>> detector = GKDCN(window=5, min_distance=1500.0, **params).fit(cube, labels)
    >>> learnt, forgotten = (d.predict(cube)["score"] for d in (detector, randomised(detector, 0)))
    >>> bool((learnt == forgotten).any())
    False
    """
    check_kind(detector, GKDCN)
    detector._check_fitted()
    forgetful = copy.copy(detector)
    forgetful.networks_ = copy.deepcopy(detector.networks_)
    seed = resolve(seed)
    forgetful.history_ = [{"randomised": seed} for _ in forgetful.networks_]
    rngs = streams(seed, len(forgetful.networks_))
    for network, rng in zip(forgetful.networks_, rngs, strict=True):
        with seeded(rng):
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
                    layer.reset_parameters()
    return forgetful


def checked(detector: GKDCN, cube: xr.DataArray) -> tuple[xr.DataArray, dict[str, slice]]:
    """Return the cube north up, and what turns it back."""
    return checked_for(detector, cube, GKDCN)


def patch_cnns(detector: GKDCN) -> list[nn.Module]:
    """Return the networks without their constraints, whose layers have names."""
    return [network.get_submodule("patch_cnn") for network in detector.networks_]


def places_of(cube: xr.DataArray, rows: np.ndarray, cols: np.ndarray) -> dict[str, Any]:
    """Return the coords of cells over ``location``."""
    return {X: ("location", cube[X].values[cols]), Y: ("location", cube[Y].values[rows])}


def length_unit(cube: xr.DataArray) -> str:
    """Return the CRS's unit of length."""
    return str(cube.rio.crs.linear_units)


def _maps_at(
    detector: GKDCN,
    cube: xr.DataArray,
    at: Places,
    draw: Callable[[nn.Module, Tensor], Tensor],
    name: str,
) -> xr.DataArray:
    """Return ``draw(network, patches)`` ``(location, dy, dx)``, the mean over networks."""
    cube, _ = checked(detector, cube)
    rows, cols = known_cells(cube, at)
    given = torch.from_numpy(np.nan_to_num(detector.around(cube, rows, cols)))
    maps = np.mean([draw(network, given).numpy() for network in patch_cnns(detector)], axis=0)
    result = on_the_ground(maps, ("location", "dy", "dx"), cube, rows, cols).rename(name)
    long_name = f"{detector.name} {name.replace('_', '-')}"
    result.attrs = {"long_name": long_name, "units": "1", **detector.provenance()}
    return result


def on_the_ground(
    maps: np.ndarray, dims: Sequence[str], cube: xr.DataArray, rows: np.ndarray, cols: np.ndarray
) -> xr.DataArray:
    """Return maps around some cells of a cube north up, with coords in CRS units.

    ``dims`` are ``location``, ``dy``, ``dx`` and maybe more. The cell itself is the middle one, or
    of an even number the first after the middle.
    """
    coords = {"spatial_ref": cube.coords["spatial_ref"], **places_of(cube, rows, cols)}
    height, width = map(abs, cell_size(cube))
    for dim, step in (("dy", -height), ("dx", width)):
        size = maps.shape[dims.index(dim)]
        offsets = (np.arange(size) - size // 2) * step
        coords[dim] = (dim, offsets, {"units": length_unit(cube)})
    return xr.DataArray(maps, dims=dims, coords=coords)
