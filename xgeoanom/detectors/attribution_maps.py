"""Explanations of all cells: which elements made the score, as one map for each."""

from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from xgeoanom.blocks import map_halo
from xgeoanom.conventions import CUBE_DIMS, ELEMENT, X, Y
from xgeoanom.detectors.base import Detector
from xgeoanom.detectors.block_windows import map_windows
from xgeoanom.detectors.explain import checked_for
from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets import device


def attribution_maps(
    detector: Detector, cube: xr.DataArray, *, how: str | None = None
) -> xr.DataArray:
    """Return which elements made the score of each cell: :meth:`Detector.explain` everywhere.

    Parameters
    ----------
    detector : Detector
        Fitted or loaded, one that explains a cell by the window around it. Evidence that it
        learnt with is not needed.
    cube : xarray.DataArray
        ``(element, y, x)`` as for :meth:`Detector.predict`.
    how : str, optional
        A key of the detector's ``explanations``; the first one by default.

    Returns
    -------
    xarray.DataArray
        ``(element, y, x)`` float32, the mean over networks; NaN where a cell is missing. Lazy where
        the cube is.

    Raises
    ------
    NotFittedError, CubeError
    XGeoAnomError
        If the detector explains by something else than windows, or knows no ``how``.

    Notes
    -----
    This is long work, and runs on the CPU: integrated gradients take each network forward and
    back 128 times (MIM) or 256 times (GKDCN) for every cell, hundreds of times as long as its
    score. For a part of the map give the cube in chunks, and take the part of the result::

        maps = attribution_maps(detector, cube.chunk(y=64, x=64))
        part = maps.isel(y=slice(128), x=slice(128)).compute()

    Only chunks of that part are worked on, and cells at its edges still see what lies beyond; a
    cube cut before would hide it.

    References
    ----------
    Sundararajan, Taly and Yan 2017; Daruna et al. 2024, arXiv 2406.12756.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> from xgeoanom.detectors.autoencoder import Autoencoder
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=3)
    >>> cube = xga.clr(xga.idw(district.survey, spacing=500.0))
    >>> detector = Autoencoder(epochs=1, seed=0).fit(cube)
    >>> maps = attribution_maps(detector, cube, how="residual")
    >>> maps.dims, maps.attrs["long_name"]
    (('element', 'y', 'x'), 'autoencoder residual')
    """
    cube, turn = checked_for(detector, cube, Detector)
    how = _checked(detector, how)
    maps = map_halo(
        _explain_block,
        cube.data,
        footprint=detector.footprint,
        shared=(detector, how),
        layers=cube.sizes[ELEMENT],
    )
    kept = [name for name in (*CUBE_DIMS, "spatial_ref") if name in cube.coords]
    coords = {name: cube.coords[name] for name in kept}
    result = xr.DataArray(maps, dims=CUBE_DIMS, coords=coords, name=how)
    result.attrs = {
        "long_name": f"{detector.name} {how.replace('_', ' ')}",
        "units": "1",
        **detector.provenance(),
    }
    return result.isel(turn)


def _checked(detector: Detector, how: str | None) -> str:
    """Return the explanation meant; the detector must give it of windows."""
    name, known = type(detector).__name__, list(detector.explanations)
    if type(detector).around is not Detector.around:
        raise XGeoAnomError(
            f"detector is a {name}, which explains a cell by more than the window of its score; "
            "use detector.explain(cube, at) at some places"
        )
    if not known or (how is not None and how not in known):
        raise XGeoAnomError(f"how={how!r} is not one of {known}, the explanations of {name}")
    return known[0] if how is None else how


def _explain_block(block: np.ndarray, shared: Any) -> np.ndarray:
    """Explain the cells of one block ``(element, y, x)``, on the CPU, where networks rest."""
    detector, how = shared
    side = 2 * detector.footprint.halo + 1
    with device.on(torch.device("cpu")):
        maps = map_windows(detector.standardise(block), side, lambda x: _shares(detector, how, x))
    return maps.astype("float32")


def _shares(detector: Detector, how: str, windows: Tensor) -> np.ndarray:
    """Return the explanation of windows ``(b, element)``, the mean over networks."""
    if not len(windows):  # not every explanation knows what to say of none
        return np.empty(windows.shape[:2])
    explanation = detector.explanations[how]
    patches = windows.numpy()
    shares = [explanation(detector, network, patches) for network in detector.networks_]
    mean: np.ndarray = np.mean(shares, axis=0)
    return mean


def attribution_summary(maps: xr.DataArray) -> pd.DataFrame:
    """Return which elements weigh most over a whole map.

    Parameters
    ----------
    maps : xarray.DataArray
        What :func:`attribution_maps` returns, or a part of it; computed if chunked.

    Returns
    -------
    pandas.DataFrame
        A row for each element, the heaviest first. ``mean_abs``, the mean over cells of the
        absolute share; ``mean``, ``p10`` and ``p90``, the mean and percentiles of the share itself.
        Missing cells do not count.

    Raises
    ------
    XGeoAnomError
        If ``maps`` has other dims, or no value.

    Examples
    --------
    >>> maps = xr.DataArray(
    ...     [[[0.5, -0.5]], [[2.0, np.nan]]], {"element": ["Cu", "Au"]}, ("element", "y", "x")
    ... )
    >>> summary = attribution_summary(maps)
    >>> summary["mean_abs"].to_dict(), summary["mean"].to_dict()
    ({'Au': 2.0, 'Cu': 0.5}, {'Au': 2.0, 'Cu': 0.0})
    """
    if not isinstance(maps, xr.DataArray) or set(maps.dims) != set(CUBE_DIMS):
        raise XGeoAnomError("maps is no (element, y, x) array; give what attribution_maps returns")
    if maps.isnull().all():
        raise XGeoAnomError("maps holds only missing cells; there is nothing to sum up")
    values = maps.transpose(Y, X, ELEMENT).values.astype("float64")
    values = values.reshape(-1, maps.sizes[ELEMENT])
    shares = pd.DataFrame(values, columns=pd.Index(maps[ELEMENT].values, name=ELEMENT))
    summary = pd.DataFrame(
        {
            "mean_abs": shares.abs().mean(),
            "mean": shares.mean(),
            "p10": shares.quantile(0.1),
            "p90": shares.quantile(0.9),
        }
    )
    return summary.sort_values("mean_abs", ascending=False, kind="stable")
