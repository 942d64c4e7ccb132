"""Ordinary kriging, and the variogram before it."""

import numpy as np
import xarray as xr

from xgeoanom.survey.empirical_variogram import empirical_variogram
from xgeoanom.survey.kriging import krige
from xgeoanom.survey.variogram import Variogram


def survey(n, n_elements, side):
    """Return ``n`` samples at random places on ``side`` x ``side`` unit cells."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, side, (2, n))
    return xr.Dataset(
        {"concentration": (("sample", "element"), rng.lognormal(size=(n, n_elements)))},
        {
            "x": ("sample", x),
            "y": ("sample", y),
            "element": [f"E{i}" for i in range(n_elements)],
            "unit": ("element", ["ppm"] * n_elements),
        },
    ).rio.write_crs(32645)


def grid(table, variogram, side):
    return krige(table, variogram, spacing=1.0, bounds=(0, 0, side, side))


class Cells:
    """A sample per ten cells; time per cell should not grow."""

    params = ([40, 316, 1000, 3162], [1, 16])
    param_names = ("side", "n_elements")

    def setup(self, side, n_elements):
        self.table = survey(side**2 // 10, n_elements, side)
        self.variogram = Variogram.spherical(1.0, side / 5, nugget=0.1)
        grid(self.table, self.variogram, 8).compute()  # compiles

    def time_compute(self, side, n_elements):
        grid(self.table, self.variogram, side).compute()

    def peakmem_compute(self, side, n_elements):
        grid(self.table, self.variogram, side).compute()

    def time_call(self, side, n_elements):
        grid(self.table, self.variogram, side)


class Models:
    """What each model's covariances cost."""

    params = (["spherical", "exponential", "gaussian", "matern"], [40, 300])
    param_names = ("model", "side")

    def setup(self, model, side):
        nu = {"nu": 1.5} if model == "matern" else {}
        self.table = survey(side**2 // 10, 1, side)
        self.variogram = getattr(Variogram, model)(1.0, side / 5, nugget=0.1, **nu)
        grid(self.table, self.variogram, 8).compute()

    def time_compute(self, model, side):
        grid(self.table, self.variogram, side).compute()


class Pairs:
    """Pairs of samples in all directions, and in four."""

    params = ([100, 10_000, 100_000], [None, (0, 45, 90, 135)])
    param_names = ("n", "azimuth")

    def setup(self, n, azimuth):
        self.table = survey(n, 1, 1000)
        empirical_variogram(self.table.isel(sample=slice(9)), "E0", azimuth=azimuth)

    def time_empirical_variogram(self, n, azimuth):
        empirical_variogram(self.table, "E0", azimuth=azimuth)
