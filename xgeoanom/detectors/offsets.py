"""Where deformable convolutions look: learned offsets as vector fields on the survey's grid."""

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from xgeoanom.conventions import X, Y, cell_size
from xgeoanom.detectors.explain import known_cells
from xgeoanom.detectors.gk_dcn import GKDCN
from xgeoanom.detectors.patch_maps import Places, checked, length_unit, patch_cnns, places_of
from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.deform import DeformConv2d

POINTS = ("NW", "N", "NE", "W", "C", "E", "SW", "S", "SE")  # a 3 x 3 kernel, row by row
MOST = 1024  # patches at a time: 13 MB of 9 x 9 x 39


def offsets_at(
    detector: GKDCN,
    cube: xr.DataArray,
    at: Places | None = None,
    *,
    layer: str = "conv3",
    step: int = 4,
) -> xr.Dataset:
    """Return whereto the kernel's points moved, at some places or on a lattice of cells.

    Parameters
    ----------
    detector : GKDCN
        Fitted or loaded, ``deformable``.
    cube : xarray.DataArray
        ``(element, y, x)`` as for :meth:`Detector.predict`.
    at : sequence of (x, y), optional
        Places in CRS units; by default every ``step``-th cell along both axes.
    layer : {"conv2", "conv3"}
        Of which deformable convolution; the last by default.
    step : int
        In cells; read where ``at`` is not given.

    Returns
    -------
    xarray.Dataset
        Over ``location``, or over ``y`` and ``x`` with NaN where the survey is missing, the mean
        over networks. Vectors start at the kernel that holds the patch's centre.

        - ``east``, ``north``: mean over the kernel's points, in CRS units; ``weighted_east``,
          ``weighted_north``: weighed by modulation; each again with ``_cells``, in cells.
        - ``point_east_cells``, ``point_north_cells``, ``modulation``: of each ``point``.

    Raises
    ------
    NotFittedError, CubeError
    GridError
        If a place lies outside the survey or on a missing cell.
    XGeoAnomError
        If the detector is no GKDCN, or ``layer`` is no deformable convolution.

    Notes
    -----
    Zhang, Xiong and Chen 2026, Figs. 10 and 11. ``conv3`` works on maps of half the resolution:
    its offsets are doubled, to be in cells of the survey.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0))
    >>> labels = xga.label_deposits(district.deposits, like=cube)
    >>> params = {"knowledge": 0, "background": "anywhere", "draws": 1, "epochs": 1, "seed": 0}
    >>> detector = GKDCN(window=5, min_distance=1500.0, **params).fit(cube, labels)
    >>> offsets_at(detector, cube, step=8)["east"].shape
    (4, 4)
    """
    cube, turn = checked(detector, cube)
    if at is not None:
        rows, cols = known_cells(cube, at)
        fields = _fields(detector, cube, rows, cols, layer)
        return _dataset(detector, cube, fields, layer).assign_coords(places_of(cube, rows, cols))
    if not isinstance(step, int) or step < 1:
        raise XGeoAnomError(f"step={step!r} must be an integer of at least 1; try 4")
    every = slice(step // 2, None, step)
    lattice = cube.isel({Y: every, X: every})
    rows, cols = (np.arange(cube.sizes[dim])[every] for dim in (Y, X))
    fields = _fields(detector, cube, np.repeat(rows, len(cols)), np.tile(cols, len(rows)), layer)
    fields = {
        name: values.reshape(len(rows), len(cols), *values.shape[1:])
        for name, values in fields.items()
    }
    coords = {Y: lattice[Y], X: lattice[X]}
    return _dataset(detector, cube, fields, layer).assign_coords(coords).isel(turn)


def _fields(
    detector: GKDCN, cube: xr.DataArray, rows: np.ndarray, cols: np.ndarray, layer: str
) -> dict[str, np.ndarray]:
    """Return the vectors and the modulation at cells, NaN where these are missing."""
    batches = [
        _fields_of(detector, cube, rows[start : start + MOST], cols[start : start + MOST], layer)
        for start in range(0, len(rows), MOST)
    ]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _fields_of(
    detector: GKDCN, cube: xr.DataArray, rows: np.ndarray, cols: np.ndarray, layer: str
) -> dict[str, np.ndarray]:
    halo = detector.footprint.halo
    patches = detector.around(cube, rows, cols)
    missing = np.isnan(patches[:, :, halo, halo]).any(axis=1)
    given = torch.from_numpy(np.nan_to_num(patches))
    runs = [_vectors(*_sampling(network, given, layer)) for network in patch_cnns(detector)]
    fields = {}
    for name in runs[0]:
        fields[name] = np.mean([run[name] for run in runs], axis=0)
        fields[name][missing] = np.nan
    height, width = map(abs, cell_size(cube))
    for prefix in ("", "weighted_"):
        for axis, size in (("east", width), ("north", height)):
            fields[f"{prefix}{axis}"] = fields[f"{prefix}{axis}_cells"] * size
    return fields


@torch.inference_mode()
def _sampling(network: nn.Module, patches: Tensor, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return offsets ``(patch, point, 2)``, rows first, in cells, and modulation at the centre."""
    named = {name: m for name, m in network.named_modules() if isinstance(m, DeformConv2d)}
    if layer not in named:
        raise XGeoAnomError(
            f"layer={layer!r} is no deformable convolution of this network; it has {list(named)}"
        )
    inputs: list[Tensor] = []
    handle = named[layer].register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    try:
        network(patches)
    finally:
        handle.remove()
    offset, modulation = named[layer].sampling(inputs[0])
    window = patches.shape[-1]
    wide = 1 if offset.shape[-1] == window else 2  # behind the pooling a cell is two cells wide
    centre = window // 2 // wide
    return wide * offset[..., centre, centre].numpy(), modulation[..., centre, centre].numpy()


def _vectors(offset: np.ndarray, modulation: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean, weighed and single offsets in cells, east and north."""
    share = modulation / modulation.sum(axis=1, keepdims=True)
    means = {"": offset.mean(axis=1), "weighted_": (share[..., None] * offset).sum(axis=1)}
    fields = {"modulation": modulation}
    for prefix, vector in (*means.items(), ("point_", offset)):
        fields[f"{prefix}east_cells"] = vector[..., 1]
        fields[f"{prefix}north_cells"] = -vector[..., 0]
    return fields


def _dataset(
    detector: GKDCN, cube: xr.DataArray, fields: dict[str, np.ndarray], layer: str
) -> xr.Dataset:
    """Return ``fields`` over ``location`` or ``(y, x)``, and ``point`` where they have points."""
    place = ("location",) if fields["east"].ndim == 1 else (Y, X)
    variables = {}
    for name, values in fields.items():
        in_cells = name.endswith("_cells") or name == "modulation"
        attrs = {
            "long_name": f"{detector.name} {layer} {name.replace('_', ' ')}",
            "units": "1" if in_cells else length_unit(cube),
            **detector.provenance(),
        }
        variables[name] = ((*place, "point")[: values.ndim], values, attrs)
    coords = {"point": list(POINTS), "spatial_ref": cube.coords["spatial_ref"]}
    return xr.Dataset(variables, coords, {"layer": layer})
