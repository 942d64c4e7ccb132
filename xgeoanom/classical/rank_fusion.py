"""Rank fusion: one score from several, by the mean of their ranks."""

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from xgeoanom.conventions import X, Y, cell_size, check_same_grid, provenance, raster_on
from xgeoanom.errors import GridError


def rank_fusion(scores: xr.Dataset) -> xr.DataArray:
    """Mean rank of each cell over several scores, since no single method wins everywhere.

    Parameters
    ----------
    scores : Dataset
        Two or more scores ``(y, x)``, each higher where more anomalous, in any units.

    Returns
    -------
    DataArray
        Mean over scores of the share of cells that score lower, ties by half, ``(y, x)`` in
        [0, 1]. Cells are ranked among those that every score has; all others are NaN. Ranks are
        of the whole map: chunked scores are computed.

    Raises
    ------
    GridError
        If there are fewer than two scores, one is no raster, or no cell has all of them.

    Notes
    -----
    Borda's count; Dwork, Kumar, Naor and Sivakumar (2001), WWW 10, 613, section 3.

    Examples
    --------
    >>> grid = {"y": [0.0, 1.0], "x": [0.0, 1.0]}
    >>> one = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], grid, dims=("y", "x"))
    >>> rank_fusion(xr.Dataset({"one": one, "two": -one})).values
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    names = _checked_names(scores)
    values = np.stack([scores[name].transpose(Y, X).values for name in names])
    known = ~np.isnan(values).any(axis=0)
    if known.sum() < 2:
        raise GridError(
            f"scores {names} share {int(known.sum())} cells without NaN; two are needed"
        )
    ranks = rankdata(values[:, known], axis=1) - 1
    fused = np.full(known.shape, np.nan)
    fused[known] = ranks.mean(axis=0) / (known.sum() - 1)
    return raster_on(
        scores[names[0]],
        fused,
        name="rank_fusion",
        long_name="mean rank of scores",
        attrs=provenance("rank_fusion", scores=names),
    )


def _checked_names(scores: xr.Dataset) -> list[str]:
    if not isinstance(scores, xr.Dataset):
        raise GridError(f"scores is a {type(scores).__name__}; give a Dataset of scores")
    names = [str(name) for name in scores.data_vars]
    if len(names) < 2:
        raise GridError(f"scores holds {names}; to fuse, give two or more")
    cell_size(scores)
    for name in names:
        check_same_grid(scores[name], scores, name)  # type: ignore[arg-type]
    return names
