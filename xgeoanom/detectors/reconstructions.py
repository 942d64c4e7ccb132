"""What a masked autoencoder sees of some windows and rebuilds, and what it takes each band for."""

from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from xgeoanom.conventions import BINARY, CONTINUOUS, ELEMENT
from xgeoanom.detectors.base import Detector
from xgeoanom.detectors.explain import checked_for, known_cells
from xgeoanom.detectors.masked_autoencoder import MaskedAutoencoder
from xgeoanom.detectors.masked_windows import MaskedWindows
from xgeoanom.detectors.patch_maps import Places, on_the_ground
from xgeoanom.detectors.pretraining import masked
from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.mae import hidden_cells
from xgeoanom.seeding import Seed, resolve

DIMS = ("location", ELEMENT, "dy", "dx")


def reconstructions(
    detector: MaskedAutoencoder, cube: xr.DataArray, at: Places, *, seed: Seed = 0
) -> xr.Dataset:
    """Return how the windows around some places are rebuilt from a part of their patches.

    Parameters
    ----------
    detector : MaskedAutoencoder
        Fitted or loaded.
    cube : xarray.DataArray
        ``(element, y, x)`` as for :meth:`Detector.predict`.
    at : sequence of (x, y)
        Places in CRS units; each is moved to its cell's centre.
    seed : int, numpy.random.Generator or None
        Which patches are hidden, a share ``detector.mask_ratio`` of each window's; attr
        ``mask_seed`` keeps it.

    Returns
    -------
    xarray.Dataset
        ``original``, ``seen`` and ``rebuilt``, each ``(location, element, dy, dx)`` float32 and
        standardised, as the network reads it: see :func:`band_table`. ``original`` is NaN where
        missing or outside of the survey, ``seen`` where hidden too. ``rebuilt``, the mean over
        networks, covers the whole window; binary bands are probabilities. Coords ``x``, ``y`` of
        the locations; ``dy`` and ``dx`` from their cells, in CRS units, positive north and east.

    Raises
    ------
    NotFittedError, CubeError
    GridError
        If a place lies outside the survey or on a missing cell.
    XGeoAnomError
        If the detector is no MaskedAutoencoder, or ``seed`` is none.

    Notes
    -----
    With ``loss_on="masked"`` nothing was learnt about rebuilding what is seen: compare ``rebuilt``
    with ``original`` where ``seen`` is NaN.

    References
    ----------
    He et al. 2022, Fig. 2; Daruna et al. 2024, arXiv 2406.12756.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0)).isel(element=slice(3))
    >>> small = {"width": 8, "depth": 1, "decoder_width": 8, "epochs": 1, "seed": 0}
    >>> detector = MaskedAutoencoder(**small).fit(cube)
    >>> place = float(cube.x[9]), float(cube.y[9])
    >>> windows = reconstructions(detector, cube, [place])
    >>> windows["rebuilt"].sizes
    Frozen({'location': 1, 'element': 3, 'dy': 5, 'dx': 5})
    >>> int(windows["seen"].isel(element=0).count()), list(windows)
    (6, ['original', 'seen', 'rebuilt'])
    """
    cube, _ = checked_for(detector, cube, MaskedAutoencoder)
    rows, cols = known_cells(cube, at)
    seed = resolve(seed)
    windows = torch.from_numpy(detector.around(cube, rows, cols))
    seen, rebuilt = _rebuilt(detector, windows, seed)
    told = {"original": windows, "seen": seen, "rebuilt": rebuilt}
    maps = {
        name: on_the_ground(values.numpy(), DIMS, cube, rows, cols) for name, values in told.items()
    }
    attrs = {"mask_seed": seed, **detector.provenance()}
    for name, windows_of in maps.items():
        windows_of.attrs = {"long_name": f"{detector.name} {name}", "units": "1", **attrs}
    result = xr.Dataset(maps, attrs=attrs)
    return result.assign_coords({ELEMENT: cube[ELEMENT].values})


@torch.inference_mode()
def _rebuilt(detector: MaskedAutoencoder, windows: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return what is seen of windows, NaN where hidden, and what networks rebuild: their mean."""
    networks: list[Any] = detector.networks_
    visible = masked(networks[0], windows, detector.mask_ratio, seed)
    hidden = hidden_cells(visible, detector.patch, detector.window)[:, None]
    rebuilt = torch.stack([network.reconstruct(windows, visible) for network in networks])
    return windows.masked_fill(hidden, torch.nan), rebuilt.mean(dim=0)


def band_table(detector: Detector) -> pd.DataFrame:
    """Return what each band of a masked autoencoder or MIM is, and how it is standardised.

    Parameters
    ----------
    detector : MaskedAutoencoder or MIM
        Fitted or loaded.

    Returns
    -------
    pandas.DataFrame
        A row for each band, named by its index ``element``. ``unit``, as the cube says; ``kind``,
        "continuous" or "binary"; then in the cube's values, of a log-ratio those of the log-ratio,
        ``mean`` and ``scale``, and ``lowest`` and ``highest``, the fences to which values beyond
        are drawn, infinite without any: the network reads ``(value - mean) / scale`` of values
        inside the fences. Binary bands are read as they are.

    Raises
    ------
    NotFittedError
    XGeoAnomError
        If the detector is of another kind.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0)).isel(element=slice(2))
    >>> small = {"width": 8, "depth": 1, "decoder_width": 8, "epochs": 1, "seed": 0}
    >>> band_table(MaskedAutoencoder(**small).fit(cube))["kind"].tolist()
    ['continuous', 'continuous']
    """
    if not isinstance(detector, MaskedWindows):
        raise XGeoAnomError(
            f"detector is a {type(detector).__name__}; give a MaskedAutoencoder or MIM"
        )
    detector._check_fitted()
    scaling = {name: getattr(detector, f"{name}_") for name in detector.scaling}
    kinds = np.where(_binary(**scaling), BINARY, CONTINUOUS)
    columns = {"unit": detector.units_, "kind": kinds.tolist(), **scaling}
    return pd.DataFrame(columns, index=pd.Index(detector.elements_, name=ELEMENT))


def _binary(
    mean: np.ndarray, scale: np.ndarray, lowest: np.ndarray, highest: np.ndarray
) -> np.ndarray:
    """Return which bands are kept as they are.

    No other band has such numbers: a mean of 0 above a fence at 0 is that of a constant, whose
    fences are one.
    """
    kept: np.ndarray = (mean == 0) & (scale == 1) & (lowest == 0) & (highest == 1)
    return kept
