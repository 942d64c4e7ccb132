"""Systems without a file of their own: a fit of one epoch, and a map."""

import numpy as np
import torch
import xarray as xr
from sklearn.ensemble import RandomForestClassifier

from xgeoanom.detectors import (
    GKDCN,
    SGCN,
    Autoencoder,
    ConvAutoencoder,
    MaskedAutoencoder,
    SklearnDetector,
    WeightedElements,
)

N_ELEMENTS = 8
FEW = {"epochs": 1, "draws": 1, "seed": 0}
SYSTEMS = {
    "autoencoder": lambda: Autoencoder(**FEW),
    "conv_autoencoder": lambda: ConvAutoencoder(most=500, **FEW),
    "gk_dcn": lambda: GKDCN(**FEW),
    "masked_autoencoder": lambda: MaskedAutoencoder(**FEW),
    "random_forest": lambda: SklearnDetector(estimator=RandomForestClassifier(50), draws=1, seed=0),
    "sgcn": lambda: SGCN(size=30.0, **FEW),
    "weighted_elements": lambda: WeightedElements(least_contrast=0.1, seed=0),
}


def survey(side):
    """Return a cube of noise, higher at two deposits, with labels and fault weights."""
    axis = 500.0 * np.arange(side)
    values = np.random.default_rng(0).normal(size=(N_ELEMENTS, side, side))
    values[0, 3:6, 3:6] += 3
    values[0, 12:15, 12:15] += 3
    coords = {"element": [f"E{k}" for k in range(N_ELEMENTS)], "y": -axis, "x": axis}
    cube = xr.DataArray(values - values.mean(axis=0), coords, ("element", "y", "x"), "clr")
    cube = cube.assign_attrs(log_ratio="clr").rio.write_crs(32650)
    labels = xr.full_like(cube[0], -1, dtype="int8").drop_vars("element")
    labels[3:6, 3:6], labels[12:15, 12:15] = 1, 1
    weight = np.exp((cube["y"] - cube["x"]) / 20_000).rio.write_crs(32650)
    return cube, labels, weight.to_dataset(name="fault_weight")


def fitted(system, side):
    cube, labels, evidence = survey(side)
    guided = {"evidence": evidence} if system == "gk_dcn" else {}
    return SYSTEMS[system]().fit(cube, labels, **guided)


class OneThread:
    """torch on one thread, as dask's workers have it."""

    def setup(self, *arguments):
        self.threads = torch.get_num_threads()
        torch.set_num_threads(1)

    def teardown(self, *arguments):
        torch.set_num_threads(self.threads)


class Fit(OneThread):
    """One epoch on a small survey: what surrounds training."""

    params = (sorted(SYSTEMS),)
    param_names = ("system",)

    def time_fit(self, system):
        fitted(system, 24)


class Predict(OneThread):
    """Cells of the map."""

    params = ([24, 48], sorted(SYSTEMS))
    param_names = ("side", "system")

    def setup_cache(self):
        return {system: fitted(system, 24) for system in SYSTEMS}

    def setup(self, detectors, side, system):
        super().setup()
        self.cube, *_ = survey(side)

    def time_predict(self, detectors, side, system):
        detectors[system].predict(self.cube)
