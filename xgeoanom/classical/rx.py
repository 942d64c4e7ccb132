"""RX: the squared Mahalanobis distance of a cell's spectrum from all cells, or from its ring."""

from typing import Any

import numpy as np
import xarray as xr
from scipy.linalg import solve_triangular

from xgeoanom.blocks import Footprint, map_halo
from xgeoanom.classical.cells import checked_cube, score_cells
from xgeoanom.classical.moments import Moments, moments_of
from xgeoanom.conventions import ELEMENT, X, Y, provenance, raster_on
from xgeoanom.errors import CubeError, GridError, WindowError
from xgeoanom.kernels.dual_window import check_windows
from xgeoanom.kernels.rx import score_dual_window, shrinkage


def rx(
    cube: xr.DataArray | xr.Dataset, *, inner: int | None = None, outer: int | None = None
) -> xr.DataArray:
    """RX anomaly score: how unusual a cell's elements are together, ``(x - m)' S^-1 (x - m)``.

    Without windows, m and S are mean and covariance of all valid cells; with them, those of the
    ring around each cell, outside the window ``inner`` and inside ``outer``, so that a cell is
    judged by its surroundings.

    Parameters
    ----------
    cube : DataArray or Dataset
        ``(element, y, x)``, of any scale: the score does not depend on the elements' units.
    inner, outer : int, optional
        Window sizes in cells; both odd, ``inner < outer``; give both or neither.

    Returns
    -------
    DataArray
        Score ``(y, x)``, 0 at the mean, without unit; NaN where an element is missing, or less
        than a quarter of the ring is valid. The ring skips such cells and those outside the
        survey. Dual-window scores are lazy where the cube is; the global mean and covariance are
        computed at the call.

    Raises
    ------
    WindowError
        If one window is given without the other, is even or crossed, or larger than the survey.
    CubeError
        If an element is constant (global RX; in a ring it is left out of that ring's score).
    GridError
        If fewer than two cells are valid, or the grid is uneven.

    Notes
    -----
    Reed and Yu (1990), IEEE Trans. ASSP 38, 1760; dual window: Kwon, Der and Nasrabadi (2003),
    Opt. Eng. 42, 3342. S is always moved towards its diagonal, ``(1 - h) S + h diag(S)`` with
    ``h = max(1 - n / (10 C), 1e-6)`` for n cells and C elements (ours): with fewer than ten cells
    per element a covariance is unreliable, and that of a clr cube is singular. Attr ``shrinkage``
    holds h; for windows that of a full ring.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(3, 9, 9))
    >>> values[:, 4, 4] += 9.0
    >>> cube = xr.DataArray(
    ...     values, dims=("element", "y", "x"),
    ...     coords={"element": ["Au", "As", "Cu"], "y": np.arange(9.0), "x": np.arange(9.0)},
    ... ).rio.write_crs(32650)
    >>> score = rx(cube, inner=3, outer=7)
    >>> bool(score[4, 4] == score.max())
    True
    """
    cube = checked_cube(cube)
    if inner is None and outer is None:
        return _raster(cube, *_global(cube), "global RX score", inner, outer)
    inner, outer = _checked_windows(cube, inner, outer)
    share = shrinkage(outer**2 - inner**2, cube.sizes[ELEMENT])
    return _raster(cube, _local(cube, inner, outer), share, "dual-window RX score", inner, outer)


def _raster(
    cube: xr.DataArray, score: Any, share: float, long_name: str, *windows: int | None
) -> xr.DataArray:
    attrs = provenance("rx", inner=windows[0], outer=windows[1]) | {"shrinkage": float(share)}
    return raster_on(cube, score, name="rx", long_name=long_name, attrs=attrs)


def _checked_windows(cube: xr.DataArray, inner: int | None, outer: int | None) -> tuple[int, int]:
    if inner is None or outer is None:
        raise WindowError(f"inner={inner}, outer={outer}: give both windows, or neither")
    check_windows(inner, outer)
    ny, nx = cube.sizes[Y], cube.sizes[X]
    if outer > min(ny, nx):
        raise WindowError(
            f"outer={outer} is larger than the survey of {ny} x {nx} cells; choose a smaller one, "
            "or no windows"
        )
    return inner, outer


def _local(cube: xr.DataArray, inner: int, outer: int) -> Any:
    def on_block(block: np.ndarray, shared: None) -> np.ndarray:
        halo = outer // 2
        score = np.empty((block.shape[1] - 2 * halo, block.shape[2] - 2 * halo))
        score_dual_window(block.astype("float64"), inner, outer, score)
        return score

    return map_halo(on_block, cube.data, footprint=Footprint(halo=outer // 2), dtype="float64")


def _global(cube: xr.DataArray) -> tuple[Any, float]:
    """Return the score and by how much the covariance was shrunk."""
    found = moments_of(cube)
    _check_varied(cube, found)
    mean, covariance = found.mean, found.covariance
    share = shrinkage(found.n_cells, len(mean))
    covariance = (1 - share) * covariance + share * np.diag(np.diag(covariance))
    # Standard scores first: units that differ by powers of ten would cost digits.
    scale = np.sqrt(np.diag(covariance))
    factor = np.linalg.cholesky(covariance / np.outer(scale, scale))

    def squared_distance(vectors: np.ndarray, shared: None) -> np.ndarray:
        standard = (vectors - mean) / scale
        return (solve_triangular(factor, standard.T, lower=True) ** 2).sum(axis=0)

    return score_cells(squared_distance, cube, shared=None), share


def _check_varied(cube: xr.DataArray, found: Moments) -> None:
    if found.n_cells < 2:
        raise GridError(
            f"cube has {found.n_cells} cells without NaN, RX needs two or more; drop elements that "
            "are often missing"
        )
    constant = cube[ELEMENT].values[found.least == found.most]
    if constant.size:
        raise CubeError(
            f"element={constant.tolist()} is the same in all cells; drop it with "
            "cube.drop_sel(element=...)"
        )
