"""Masked autoencoders: a step of pretraining and a map; cost per cell must stay flat."""

import time

import numpy as np
import torch
import xarray as xr

from xgeoanom.detectors import MIM, MaskedAutoencoder

N_ELEMENTS = 39


def survey(side):
    """Return a cube of noise, north up, and labels."""
    values = np.random.default_rng(0).normal(size=(N_ELEMENTS, side, side))
    axis = 500.0 * np.arange(side)
    coords = {"element": [f"E{k}" for k in range(N_ELEMENTS)], "y": -axis, "x": axis}
    cube = xr.DataArray(values - values.mean(axis=0), coords, ("element", "y", "x"), "clr")
    cube = cube.assign_attrs(log_ratio="clr").rio.write_crs(32650)
    labels = xr.full_like(cube[0], -1, dtype="int8").drop_vars("element")
    labels[2:4, 2:4], labels[8:10, 8:10] = 1, 1
    return cube, labels


class PretrainingStep:
    """One batch of windows, a part hidden, rebuilt, and back."""

    params = (["default", "paper"], [64, 256])
    param_names = ("sizes", "batch_size")

    def setup(self, sizes, batch_size):
        self.threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        detector = MaskedAutoencoder.paper() if sizes == "paper" else MaskedAutoencoder()
        self.network = detector.autoencoder(N_ELEMENTS).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3)
        self.windows = torch.randn(batch_size, N_ELEMENTS, detector.window, detector.window)
        self.generator = torch.Generator().manual_seed(0)

    def teardown(self, sizes, batch_size):
        torch.set_num_threads(self.threads)

    def time_step(self, sizes, batch_size):
        self.optimizer.zero_grad()
        self.network.loss(self.windows, self.generator).backward()
        self.optimizer.step()

    def peakmem_step(self, sizes, batch_size):
        self.time_step(sizes, batch_size)


class Scoring:
    """A map by the default encoder and its heads, which need not have learned for that."""

    params = ([32, 64, 128],)
    param_names = ("side",)

    def setup(self, side):
        self.threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self.cube, labels = survey(side)
        self.detector = MIM(epochs=0, head_epochs=1, draws=5, seed=0).fit(self.cube, labels)

    def teardown(self, side):
        torch.set_num_threads(self.threads)

    def time_predict(self, side):
        self.detector.predict(self.cube)

    def peakmem_predict(self, side):
        self.detector.predict(self.cube)

    def track_us_per_cell(self, side):
        started = time.perf_counter()
        self.detector.predict(self.cube)
        return 1e6 * (time.perf_counter() - started) / side**2

    track_us_per_cell.unit = "us"
