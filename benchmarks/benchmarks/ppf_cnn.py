"""PPF-CNN: scoring a map, several windows at once, one epoch of training."""

import numpy as np
import xarray as xr

import xgeoanom  # noqa: F401
from xgeoanom.detectors import PPFCNN

N_ELEMENTS = 39


def survey(side: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Return a random cube of ``side`` cells each way, and labels for it."""
    coords = {"y": -500.0 * np.arange(side), "x": 500.0 * np.arange(side)}
    cube = xr.DataArray(
        np.random.default_rng(0).normal(size=(N_ELEMENTS, side, side)),
        coords={"element": [f"e{k}" for k in range(N_ELEMENTS)], **coords},
        dims=("element", "y", "x"),
        attrs={"log_ratio": "clr"},
    ).rio.write_crs(32650)
    values = np.full((side, side), -1, dtype="int8")
    values[2:5, 2:5] = values[-5:-2, -5:-2] = 1
    labels = xr.DataArray(values, coords=coords, dims=("y", "x")).rio.write_crs(32650)
    return cube, labels


class Score:
    """Cells of a map and its windows; memory must not follow the number of pairs."""

    params = ([16, 64, 128], [(3, 5), (5, 9)])
    param_names = ("side", "windows")

    def setup(self, side, windows):
        self.cube, labels = survey(side)
        detector = PPFCNN(inner=windows[0], outer=windows[1], draws=1, epochs=1, seed=0)
        self.detector = detector.fit(self.cube, labels)

    def time_predict(self, side, windows):
        self.detector.predict(self.cube)

    def peakmem_predict(self, side, windows):
        self.detector.predict(self.cube)


class Fit:
    """One epoch over all pairs of two deposits and as much background."""

    params = ([16, 64],)
    param_names = ("side",)

    def setup(self, side):
        self.cube, self.labels = survey(side)

    def time_one_epoch(self, side):
        PPFCNN(inner=3, outer=5, draws=2, epochs=1, seed=0).fit(self.cube, self.labels)
