"""One PPF-CNN under many pairs of windows: the paper's Fig. 8 and 9."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.blocks import map_halo
from xgeoanom.conventions import (
    BACKGROUND,
    DEPOSIT,
    X,
    Y,
    cube_of,
    raster_of,
)
from xgeoanom.detectors import PPFCNN
from xgeoanom.errors import WindowError
from xgeoanom.evaluation.metrics import auc
from xgeoanom.kernels.dual_window import PAPER_WINDOWS, check_windows
from xgeoanom.nets import device


def window_sweep(
    ds: xr.Dataset,
    labels: Hashable | xr.DataArray,
    windows: Sequence[tuple[int, int]] = PAPER_WINDOWS,
    **params: Any,
) -> xr.Dataset:
    """Fit one PPF-CNN and score the survey under several pairs of windows.

    Each offset between two cells is evaluated once for all pairs of windows, so that the sweep
    costs little more than its widest pair. A chunked survey is read block by block; the maps
    themselves come back in memory.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube, log-ratioed.
    labels : str or xarray.DataArray
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled.
    windows : sequence of (inner, outer)
        In cells; by default those of the paper's Fig. 8.
    **params
        Fields of :class:`~xgeoanom.detectors.PPFCNN`, such as ``draws`` and ``seed``.

    Returns
    -------
    xarray.Dataset
        ``score`` ``(window, y, x)``, ``auc`` ``(window,)`` and the coords ``inner`` and
        ``outer``. As in Fig. 9 the AUC sets the deposits' cells, which the network learnt from,
        against all others: it ranks windows and is no measure of what the map is worth.

    Raises
    ------
    WindowError
        If there is no window, or one is even, crossed, or larger than the survey.

    References
    ----------
    Zhang, Zuo and Xiong 2021, Appl. Geochem. 130, 104994, section 4.3, Fig. 8 and 9.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> sweep = window_sweep(ds, "labels", [(3, 5), (3, 7)], draws=1, epochs=1, seed=0)
    >>> sweep["outer"].values
    array([5, 7])
    """
    if len(windows) == 0:
        raise WindowError("windows=[] is empty; give pairs such as [(5, 7), (5, 13)]")
    for inner, outer in windows:
        check_windows(inner, outer)
    cube, labels = cube_of(ds), raster_of(ds, labels, "labels")
    widest = max(windows, key=lambda window: window[1])
    detector = PPFCNN(inner=widest[0], outer=widest[1], **params).fit(cube, labels)
    maps = map_halo(
        _sweep_block,
        cube.data,
        footprint=detector.footprint,
        shared=(detector, list(windows)),
        layers=len(windows),
    )
    score = xr.DataArray(
        maps,
        dims=("window", Y, X),
        coords={name: cube.coords[name] for name in (Y, X, "spatial_ref") if name in cube.coords},
        attrs={"long_name": "ppf_cnn score by windows", "units": "1", **detector.provenance()},
    )
    inner, outer = np.transpose(windows)
    # The AUC ranks whole maps, so that a lazy survey is scored here, block by block, once.
    score = score.assign_coords(inner=("window", inner), outer=("window", outer)).compute()
    others = xr.where(labels == DEPOSIT, DEPOSIT, BACKGROUND)
    aucs = [auc(one, others) for one in score]
    return xr.Dataset({"score": score, "auc": ("window", aucs, {"long_name": "AUC", "units": "1"})})


def _sweep_block(block: np.ndarray, shared: Any) -> np.ndarray:
    """Return the mean score over the detector's networks, ``(window, y, x)``."""
    detector, windows = shared
    block = detector.standardise(block)
    chosen = device.choose(detector.device)
    with device.on(chosen):
        return np.mean(
            [
                detector.window_scores(network.to(chosen), block, windows)
                for network in detector.networks_
            ],
            axis=0,
        ).astype("float32")
