"""Superpixels, their graph and training on it: cost per cell must stay flat."""

import numpy as np
import torch
import xarray as xr
from torch import nn

import xgeoanom as xga
from xgeoanom.detectors.neighborhood import SuperpixelGraph
from xgeoanom.detectors.region_graph import neighbor_edges
from xgeoanom.nets.graph import DualBranch, propagate

N_ELEMENTS, N_LABELLED = 8, 200


def survey(side):
    """Return a smooth clr cube."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(N_ELEMENTS, side // 8 + 1, side // 8 + 1))
    values = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :side, :side]
    values = values + 0.3 * rng.normal(size=values.shape)
    axis = 500.0 * np.arange(side)
    coords = {"element": [f"E{k}" for k in range(N_ELEMENTS)], "y": -axis, "x": axis}
    cube = xr.DataArray(values - values.mean(axis=0), coords, ("element", "y", "x"), "clr")
    return cube.assign_attrs(log_ratio="clr").rio.write_crs(32650)


class Superpixels:
    params = ([64, 128, 256], ["slic", "squares", "watershed"])
    param_names = ("side", "shape")

    def setup(self, side, shape):
        self.cube = survey(side)
        self.ids = xga.superpixels(self.cube, shape=shape, seed=0)

    def time_superpixels(self, side, shape):
        xga.superpixels(self.cube, shape=shape, seed=0)

    def time_region_adjacency(self, side, shape):
        xga.region_adjacency(self.ids, self.cube)


class GraphTraining:
    params = ([64, 128, 256], ["mean", "attention"])
    param_names = ("side", "pooling")

    def setup(self, side, pooling):
        self.threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        cube = survey(side)
        graph = SuperpixelGraph(cube, xga.superpixels(cube, seed=0))
        cells = np.ascontiguousarray(cube.values.reshape(N_ELEMENTS, -1).T, dtype="float32")
        self.values = torch.from_numpy(cells)
        self.neighbors = torch.from_numpy(neighbor_edges(graph.ids))
        self.smoothed = propagate(self.values, self.neighbors)
        self.member = torch.from_numpy(graph.ids.ravel().astype("int64"))
        edges, weights = torch.from_numpy(graph.edges), torch.from_numpy(graph.weights)
        self.graph = (self.member, graph.n_superpixels, edges, weights)
        self.network = DualBranch(N_ELEMENTS, pooling=pooling).train()
        self.labelled = torch.randperm(side**2)[:N_LABELLED]

    def teardown(self, side, pooling):
        torch.set_num_threads(self.threads)

    def time_propagate(self, side, pooling):
        propagate(self.values, self.neighbors)

    def time_epoch(self, side, pooling):
        embedded = self.network.embed(self.smoothed, *self.graph)[self.member[self.labelled]]
        cells = self.values[self.labelled], self.smoothed[self.labelled]
        logits = self.network(*cells, embedded)
        labels = torch.arange(N_LABELLED) % 2.0
        nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()

    def peakmem_epoch(self, side, pooling):
        self.time_epoch(side, pooling)
