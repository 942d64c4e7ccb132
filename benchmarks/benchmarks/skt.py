"""Target networks: a step of training and a map; cost per cell must stay flat."""

import time

import numpy as np
import torch
import xarray as xr

from xgeoanom.detectors import SKT
from xgeoanom.detectors.transfer_training import Crops, targets_loss
from xgeoanom.nets.resnet import ResNet18
from xgeoanom.nets.selective_transfer import select_from

N_ELEMENTS = 16  # of the paper


def survey(side):
    """Return a cube of noise, north up."""
    values = np.random.default_rng(0).normal(size=(N_ELEMENTS, side, side))
    axis = 500.0 * np.arange(side)
    coords = {"element": [f"E{k}" for k in range(N_ELEMENTS)], "y": -axis, "x": axis}
    cube = xr.DataArray(values - values.mean(axis=0), coords, ("element", "y", "x"), "clr")
    return cube.assign_attrs(log_ratio="clr").rio.write_crs(32650)


class TrainingStep:
    """One batch through the five target networks and back, at the default size."""

    params = ([8, 32, 128], ["multiplicative", "additive", "none"])
    param_names = ("batch_size", "transfer")

    def setup(self, batch_size, transfer):
        self.threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        detector = SKT(transfer=transfer)
        self.network = detector.build(N_ELEMENTS).train()
        if transfer != "none":
            source = ResNet18(N_ELEMENTS, width=detector.width)
            for body in self.network.bodies:
                select_from(source, body, transfer)
        windows = torch.randn(batch_size, N_ELEMENTS, detector.window, detector.window)
        self.members = torch.arange(batch_size)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)
        self.loss_of = targets_loss(
            self.network,
            Crops(windows, detector.crop, torch.Generator().manual_seed(0)),
            self.members % 2,
            members=self.members,
            noisy=self.members < batch_size // 2,
            noise=detector.noise,
            beta=detector.distillation,
        )

    def teardown(self, batch_size, transfer):
        torch.set_num_threads(self.threads)

    def time_step(self, batch_size, transfer):
        self.optimizer.zero_grad()
        self.loss_of(self.members).backward()
        self.optimizer.step()

    def peakmem_step(self, batch_size, transfer):
        self.time_step(batch_size, transfer)


class Scoring:
    """A map by the default windows and networks, which need not have learned for that."""

    params = ([48, 96, 192],)
    param_names = ("side",)

    def setup(self, side):
        self.threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.cube = survey(side)
        labels = xr.full_like(self.cube[0], -1, dtype="int8").drop_vars("element")
        labels[2, 2] = 1
        few = {"width": 1, "epochs": 1, "source_epochs": 1, "dilations": (0,)}
        self.detector = SKT(**few, seed=0).fit(self.cube, labels)
        whole = SKT(seed=0)
        self.detector.dilations, self.detector.width = whole.dilations, whole.width
        self.detector.networks_ = [whole.build(N_ELEMENTS).eval()]

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
