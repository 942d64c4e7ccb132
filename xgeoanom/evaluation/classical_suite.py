"""The label-free methods at one setting each, ready to be compared."""

from collections.abc import Callable

import xarray as xr

from xgeoanom import classical
from xgeoanom.conventions import ELEMENT
from xgeoanom.evaluation.yardstick import LabelFree
from xgeoanom.kernels.dual_window import check_windows
from xgeoanom.seeding import Seed, resolve
from xgeoanom.survey.coda import clr


def classical_suite(
    target: str, *, inner: int = 5, outer: int = 21, seed: Seed = None
) -> dict[str, LabelFree]:
    """Return every label-free method of :mod:`xgeoanom.classical` by name, for :func:`compare`.

    Methods of one map get the target's concentration, methods of many elements the centred
    log-ratio of the cube.

    Parameters
    ----------
    target : str
        Element that the methods of one map look at.
    inner, outer : int
        Dual window of RX; ``outer`` is also the window of the local trend.
    seed : int or Generator, optional
        Of methods that draw at random.

    Returns
    -------
    dict of str to callable
        Functions of the concentrations ``(element, y, x)``.

    Raises
    ------
    WindowError
        If a window is even, or ``inner`` not smaller than ``outer``.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> cube = xga.idw(district.survey, spacing=500.0)
    >>> classical_suite("Au")["singularity"](cube)["score"].dims
    ('y', 'x')
    """
    check_windows(inner, outer)
    seed = resolve(seed)

    def of_map(method: Callable[..., xr.DataArray | xr.Dataset], **params: object) -> LabelFree:
        return lambda cube: method(cube.sel({ELEMENT: target}), **params)

    def of_cube(method: Callable[..., xr.DataArray], **params: object) -> LabelFree:
        return lambda cube: method(clr(cube), **params)

    return {
        "singularity": of_map(classical.singularity),
        "singularity, anisotropic": of_map(classical.singularity, ratio=2.0),
        "spectrum-area": of_map(classical.spectrum_area),
        "trend surface": of_map(classical.trend_surface),
        "trend surface, robust": of_map(classical.trend_surface, robust=True),
        "trend surface, local": of_map(classical.local_trend, window=outer),
        "local Moran": of_map(classical.local_moran, seed=seed),
        "local gap": of_map(classical.local_gap, seed=seed),
        "RX": of_cube(classical.rx),
        "RX, dual window": of_cube(classical.rx, inner=inner, outer=outer),
        "Mahalanobis, robust": of_cube(classical.mahalanobis, seed=seed),
        "PCA": of_cube(classical.pca_reconstruction),
        "PCA, robust": of_cube(classical.pca_reconstruction, robust=True, seed=seed),
        "isolation forest": of_cube(classical.isolation_forest, seed=seed),
        "one-class SVM": of_cube(classical.one_class_svm, seed=seed),
        "kNN distance": of_cube(classical.knn_distance, seed=seed),
    }
