"""Explanations of SKT: what its mask weighs, what its source gave, and where evidence lies."""

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from xgeoanom.conventions import ELEMENT
from xgeoanom.detectors.explain import check_kind, checked_for, known_cells
from xgeoanom.detectors.patch_maps import Places, on_the_ground
from xgeoanom.detectors.skt import SKT
from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.cam import grad_cam_of_layer
from xgeoanom.nets.resnet import LAYERS

STRIDES = {name: 4 * 2**k for k, name in enumerate(LAYERS)}  # cells from one of its maps' to next
FEWEST = 4  # cells a side of maps that tell places apart


def element_mask(detector: SKT) -> xr.DataArray:
    """Return how the soft mask weighs the elements.

    Parameters
    ----------
    detector : SKT
        Fitted or loaded, with ``mask=True``.

    Returns
    -------
    xarray.DataArray
        ``(draw, element)``. Training started at 1 for all elements.

    Raises
    ------
    NotFittedError
    XGeoAnomError
        If the detector is no SKT, or has no mask.

    References
    ----------
    Huang et al. 2022, eq. 6.

    Notes
    -----
    Layers behind the mask can undo any of its weights; read it beside
    ``detector.explain(cube, at, how="integrated_gradients")``.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0))
    >>> labels = xga.label_deposits(district.deposits, like=cube)
    >>> small = {"window": 8, "step": 4, "crop": 8, "dilations": (1, 2), "width": 2}
    >>> detector = SKT(**small, transfer="none", epochs=1, seed=0).fit(cube, labels)
    >>> element_mask(detector).dims
    ('draw', 'element')
    """
    check_kind(detector, SKT)
    detector._check_fitted()
    if not detector.mask:
        raise XGeoAnomError("mask=False: the detector weighs no elements; fit one with mask=True")
    weights = [network.get_parameter("mask.weight") for network in detector.networks_]
    result = xr.DataArray(
        np.stack([weight.detach().numpy() for weight in weights]),
        dims=("draw", ELEMENT),
        coords={ELEMENT: detector.elements_},
        name="element_mask",
    )
    return _told(result, detector, "soft mask")


def kept_kernels(detector: SKT) -> xr.DataArray:
    """Return the share of the source's kernel weights that each layer kept.

    Parameters
    ----------
    detector : SKT
        Fitted or loaded, with transfer.

    Returns
    -------
    xarray.DataArray
        ``(draw, network, layer)`` in [0, 1]; coord ``dilation`` of the networks in cells. Training
        started at 1 for all layers.

    Raises
    ------
    NotFittedError
    XGeoAnomError
        If the detector is no SKT, or learned without transfer.

    References
    ----------
    Huang et al. 2022, eq. 8; that the selection is learned is ours.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0))
    >>> labels = xga.label_deposits(district.deposits, like=cube)
    >>> small = {"window": 8, "step": 4, "crop": 8, "dilations": (1, 2), "width": 2}
    >>> detector = SKT(**small, epochs=1, source_epochs=1, seed=0).fit(cube, labels)
    >>> kept_kernels(detector).sizes
    Frozen({'draw': 1, 'network': 2, 'layer': 20})
    """
    check_kind(detector, SKT)
    detector._check_fitted()
    if detector.transfer == "none":
        raise XGeoAnomError(
            "transfer='none': the detector selects no kernels; fit one with "
            "transfer='multiplicative' or 'additive'"
        )
    layers = list(detector.history_[0]["kept"])
    shares = np.array([[run["kept"][layer] for layer in layers] for run in detector.history_])
    result = xr.DataArray(
        np.moveaxis(shares, 1, -1),
        dims=("draw", "network", "layer"),
        coords={"layer": layers, **_networks(detector)},
        name="kept_kernels",
    )
    return _told(result, detector, "share of source kernels kept")


def target_cam(
    detector: SKT, cube: xr.DataArray, at: Places, *, layer: str | None = None
) -> xr.DataArray:
    """Return where around some places each target network sees evidence for a deposit.

    Grad-CAM on windows of ``detector.crop`` cells a side, with the places at their centres.

    Parameters
    ----------
    detector : SKT
        Fitted or loaded.
    cube : xarray.DataArray
        ``(element, y, x)`` as for :meth:`Detector.predict`.
    at : sequence of (x, y)
        Places in CRS units; each is moved to its cell's centre.
    layer : {"layer1", "layer2", "layer3", "layer4"}, optional
        Whose maps are weighed. By default, for each network, the deepest whose maps have at least
        4 cells a side, or the first.

    Returns
    -------
    xarray.DataArray
        ``(location, network, dy, dx)`` in units of the logit of deposits less that of background,
        at least 0, the mean over draws. NaN along the edges, where a front of dilation rho takes
        rho cells off each side. Coords ``x``, ``y`` of the locations; ``dy`` and ``dx`` from their
        cells, in CRS units, positive north and east; ``dilation`` and ``layer`` of the networks.

    Raises
    ------
    NotFittedError, CubeError
    GridError
        If a place lies outside the survey or on a missing cell.
    XGeoAnomError
        If the detector is no SKT, or has no such layer.

    Notes
    -----
    What lies outside the survey or is missing enters as the mean. A window of an even number of
    cells reaches one cell farther north and west. Cells of a layer's maps are ``STRIDES`` cells of
    the survey apart; each is drawn where its kernels are centred, and between them by bilinear
    interpolation.

    References
    ----------
    Selvaraju et al. 2017; Huang et al. 2022 explain by no maps.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0))
    >>> labels = xga.label_deposits(district.deposits, like=cube)
    >>> small = {"window": 8, "step": 4, "crop": 8, "dilations": (1, 2), "width": 2}
    >>> detector = SKT(**small, transfer="none", epochs=1, seed=0).fit(cube, labels)
    >>> place = float(cube.x[9]), float(cube.y[9])
    >>> target_cam(detector, cube, [place]).sizes
    Frozen({'location': 1, 'network': 2, 'dy': 8, 'dx': 8})
    """
    cube, _ = checked_for(detector, cube, SKT)
    if layer is not None and layer not in LAYERS:
        raise XGeoAnomError(f"layer={layer!r} is not one of {LAYERS}, or None to choose")
    rows, cols = known_cells(cube, at)
    given = torch.from_numpy(np.nan_to_num(detector.around(cube, rows, cols)))
    layers = [layer or _deepest(detector.crop - 2 * rho) for rho in detector.dilations]
    maps = np.mean([_cams(networks, given, layers) for networks in detector.networks_], axis=0)
    result = on_the_ground(maps, ("location", "network", "dy", "dx"), cube, rows, cols)
    coords = {**_networks(detector), "layer": ("network", layers)}
    return _told(result.assign_coords(coords).rename("target_cam"), detector, "Grad-CAM")


class _DepositLogit(nn.Module):
    """The logit of deposits less that of background, (b,), of what passed a front."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.body(x)
        return logits[:, 1] - logits[:, 0]


def _cams(networks: Any, given: Tensor, layers: list[str]) -> np.ndarray:
    """Return the maps of each target network ``(location, network, dy, dx)``."""
    maps = torch.full((len(given), len(layers), *given.shape[2:]), torch.nan)
    with torch.no_grad():
        seen = [front(networks.mask(given)) for front in networks.fronts]
    for v, (body, layer) in enumerate(zip(networks.bodies, layers, strict=True)):
        heat = grad_cam_of_layer(_DepositLogit(body).eval(), seen[v], f"body.{layer}")
        size, lost = seen[v].shape[-1], (given.shape[-1] - seen[v].shape[-1]) // 2
        part = slice(lost, lost + size)
        maps[:, v, part, part] = _to_cells(heat, size, STRIDES[layer])
    return maps.numpy()


def _deepest(size: int) -> str:
    """Return the deepest layer whose maps of an input of ``size`` have ``FEWEST`` cells a side."""
    wide = [name for name, stride in STRIDES.items() if -(-size // stride) >= FEWEST]
    return wide[-1] if wide else LAYERS[0]


def _to_cells(maps: Tensor, size: int, stride: int) -> Tensor:
    """Interpolate (b, n, n), whose cell j lies at cell ``stride * j`` of ``size``; edges hold."""
    reach = stride * (maps.shape[-1] - 1) + 1
    fine = nn.functional.interpolate(
        maps[:, None], size=(reach, reach), mode="bilinear", align_corners=True
    )
    return nn.functional.pad(fine, (0, size - reach) * 2, mode="replicate")[:, 0]


def _networks(detector: SKT) -> dict[str, Any]:
    """Return coords of the target networks."""
    units = {"long_name": "dilation", "units": "cells"}
    return {"dilation": ("network", list(detector.dilations), units)}


def _told(result: xr.DataArray, detector: SKT, what: str) -> xr.DataArray:
    result.attrs = {"long_name": f"skt {what}", "units": "1", **detector.provenance()}
    return result
