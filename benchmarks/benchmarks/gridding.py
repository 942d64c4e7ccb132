"""Gridding: inverse-distance weighting of many elements."""

import numpy as np
import xarray as xr

from xgeoanom.survey.inverse_distance import idw


def survey(n, n_elements, side, *, clusters=None, missing=0.0):
    """Return ``n`` samples on ``side`` x ``side`` unit cells."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, side, (2, n))
    if clusters:
        centre = rng.integers(0, clusters, n)
        x, y = x[centre] + rng.normal(size=n), y[centre] + rng.normal(size=n)
    values = rng.lognormal(size=(n, n_elements))
    values[rng.random(values.shape) < missing] = np.nan
    return xr.Dataset(
        {"concentration": (("sample", "element"), values)},
        {
            "x": ("sample", x),
            "y": ("sample", y),
            "element": [f"E{i}" for i in range(n_elements)],
            "unit": ("element", ["ppm"] * n_elements),
        },
    ).rio.write_crs(32645)


def grid(table, side):
    return idw(table, spacing=1.0, bounds=(0, 0, side, side))


class Cells:
    """A sample per hundred cells; time per cell should not grow."""

    params = ([40, 316, 1000, 3162], [1, 16])
    param_names = ("side", "n_elements")

    def setup(self, side, n_elements):
        self.table = survey(max(side**2 // 100, 20), n_elements, side)
        grid(self.table, 8).compute()  # compiles

    def time_compute(self, side, n_elements):
        grid(self.table, side).compute()

    def peakmem_compute(self, side, n_elements):
        grid(self.table, side).compute()

    def time_call(self, side, n_elements):
        grid(self.table, side)


class Samples:
    """A fixed grid and ever more samples, up to two in a cell, even or in clusters."""

    params = ([100, 10_000, 2_000_000], [None, 100])
    param_names = ("n", "clusters")

    def setup(self, n, clusters):
        self.side = 40 if n == 100 else 1000
        self.table = survey(n, 1, self.side, clusters=clusters)
        grid(self.table, 8).compute()

    def time_compute(self, n, clusters):
        grid(self.table, self.side).compute()


class MissingValues:
    """Every element lacks other samples, so that each needs its own search."""

    params = ([40, 500],)
    param_names = ("side",)

    def setup(self, side):
        self.table = survey(2000, 16, side, missing=0.1)
        grid(self.table, 8).compute()

    def time_compute(self, side):
        grid(self.table, side).compute()
