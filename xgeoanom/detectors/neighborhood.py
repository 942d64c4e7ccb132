"""The part of a superpixel graph that some cells' scores depend on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from xgeoanom.blocks import gather
from xgeoanom.conventions import X, Y
from xgeoanom.detectors.region_graph import neighbor_edges, region_adjacency

Graph = tuple[Tensor, int, Tensor, Tensor]  # superpixel of cells, their number, edges, weights
STEPS = 3  # two convolutions, and one more for the degrees of the last superpixels they read


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """Cells of all superpixels within three steps of some cells, with their two graphs.

    Attributes
    ----------
    values : numpy.ndarray
        Standardised, ``(cell, element)`` float32.
    rows, cols : numpy.ndarray
        Where the cells lie, ``(cell,)``.
    neighbors : numpy.ndarray
        Internal graph: pairs of cells that share a side and a superpixel, both ways, ``(2, n)``.
    superpixel : numpy.ndarray
        Superpixel of each cell, counted from 0 among those here, ``(cell,)``.
    edges, weights : numpy.ndarray
        External graph: pairs of superpixels that touch, both ways, ``(2, n)``, and ``(n,)``.
    target : numpy.ndarray
        Positions among the cells of those asked for.
    """

    values: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    neighbors: np.ndarray
    superpixel: np.ndarray
    edges: np.ndarray
    weights: np.ndarray
    target: np.ndarray

    @property
    def n_superpixels(self) -> int:
        """How many superpixels there are."""
        return int(self.superpixel.max()) + 1

    def tensors(self, where: torch.device) -> tuple[Tensor, Tensor, Tensor, Graph]:
        """Return values, these smoothed, the target cells, and the graph as ``embed`` takes it."""
        from xgeoanom.nets.graph import propagate

        arrays = (
            self.values,
            self.neighbors,
            self.target,
            self.superpixel,
            self.edges,
            self.weights,
        )
        values, neighbors, target, superpixel, edges, weights = (
            torch.from_numpy(array).to(where) for array in arrays
        )
        graph = (superpixel, self.n_superpixels, edges, weights)
        return values, propagate(values, neighbors), target, graph


class SuperpixelGraph:
    """Superpixels of a survey and which of them touch, from which neighbourhoods are cut."""

    def __init__(self, cube: xr.DataArray, superpixel: xr.DataArray) -> None:
        self.cube = cube
        self.ids = superpixel.transpose(Y, X).values
        regions = region_adjacency(superpixel, cube)
        once = regions["ends"].values.T.astype("int64")
        self.edges = np.concatenate([once, once[::-1]], axis=1)
        self.weights = np.tile(regions["weight"].values, 2).astype("float32")
        self.n_superpixels = regions.sizes["superpixel"]

    def within(self, superpixels: np.ndarray, steps: int) -> np.ndarray:
        """Return a mask over superpixels: those up to ``steps`` from the given ones."""
        reached = np.zeros(self.n_superpixels, dtype=bool)
        reached[superpixels] = True
        for _ in range(steps):
            source, target = self.edges
            reached[target[reached[source]]] = True
        return reached

    def around(
        self, rows: np.ndarray, cols: np.ndarray, standardise: Callable[[np.ndarray], np.ndarray]
    ) -> Neighborhood:
        """Return the neighbourhood of some cells; only its cells are read of a lazy cube."""
        reached = self.within(self.ids[rows, cols], STEPS)
        ids = np.where((self.ids >= 0) & reached[self.ids], self.ids, -1)
        number = np.cumsum(ids.ravel() >= 0) - 1  # of the cells here, row by row
        here = np.nonzero(ids >= 0)
        among = np.cumsum(reached) - 1
        kept = reached[self.edges].all(axis=0)
        values = standardise(gather(self.cube.data, *here))[:, :, 0, 0]
        return Neighborhood(
            values=values,
            rows=here[0],
            cols=here[1],
            neighbors=number[neighbor_edges(ids)],
            superpixel=among[ids[here]],
            edges=among[self.edges[:, kept]],
            weights=self.weights[kept],
            target=number[np.ravel_multi_index((rows, cols), ids.shape)],
        )
