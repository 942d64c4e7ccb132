"""Mean and covariance of element vectors, in one pass over the blocks of a survey."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import xarray as xr

from xgeoanom.blocks import Footprint, collect_halo


@dataclass(frozen=True)
class Moments:
    """Of the cells without NaN: their number, mean, scatter, and range of each element."""

    n_cells: int
    mean: np.ndarray
    scatter: np.ndarray  # (element, other): sums of products of what is left of the mean
    least: np.ndarray
    most: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """Sample covariance ``(element, other)``."""
        return self.scatter / (self.n_cells - 1)


def moments_of(cube: xr.DataArray) -> Moments:
    """Return the moments of a cube ``(element, y, x)``; a chunked one is read once."""
    blocks = collect_halo(_of_block, cube.data, footprint=Footprint(halo=0), shared=None)
    return reduce(_joined, blocks)


def _of_block(block: np.ndarray, shared: None) -> Moments:
    vectors = block.reshape(len(block), -1)
    vectors = vectors[:, np.isfinite(vectors).all(axis=0)].astype("float64")
    n_cells = vectors.shape[1]
    mean = vectors.sum(axis=1) / max(n_cells, 1)
    least, most = vectors.min(axis=1, initial=np.inf), vectors.max(axis=1, initial=-np.inf)
    vectors -= mean[:, None]
    return Moments(n_cells, mean, vectors @ vectors.T, least, most)


def _joined(one: Moments, other: Moments) -> Moments:
    """Return the moments of two sets of cells (Chan, Golub and LeVeque 1983, eq. 2.1)."""
    n_cells = one.n_cells + other.n_cells
    apart, share = other.mean - one.mean, other.n_cells / max(n_cells, 1)
    return Moments(
        n_cells,
        one.mean + share * apart,
        one.scatter + other.scatter + one.n_cells * share * np.outer(apart, apart),
        np.minimum(one.least, other.least),
        np.maximum(one.most, other.most),
    )
