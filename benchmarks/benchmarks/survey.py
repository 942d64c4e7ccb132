"""From the laboratory's file to a cube in a store: reading, quality, log-ratios, files."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from xgeoanom.survey.coda import closure, clr, ilr, inverse_ilr
from xgeoanom.survey.duplicates import collapse_duplicates, find_duplicates
from xgeoanom.survey.levelling import level_batches
from xgeoanom.survey.quality import replace_censored
from xgeoanom.survey.rasters import open_cube, save_cube
from xgeoanom.survey.reading import read_assays
from xgeoanom.survey.summaries import censoring_summary, correlation
from xgeoanom.survey.support import sample_support

ELEMENTS = ["Au", "As", "Cu", "Pb", "Zn", "Ag", "Sb", "Bi"]
LIMIT = 0.5  # in the units of the samples, whose median is 1: a quarter lies below


def cube(side):
    """Return a random positive cube in ppm, in chunks."""
    axis = 500.0 * np.arange(side)
    coords = {"element": ELEMENTS, "unit": ("element", ["ppm"] * 8), "y": -axis, "x": axis}
    values = np.random.default_rng(0).lognormal(size=(8, side, side))
    cube = xr.DataArray(values, coords, ("element", "y", "x"), "concentration")
    return cube.rio.write_crs(32650).chunk(y=250, x=250)


def table(n):
    """Return ``n`` samples of four batches, censored at the limit; each tenth is analysed twice."""
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(n, 8))
    state = (values < LIMIT).astype("int8")
    x, y = rng.uniform(0, 100_000, (2, n))
    first = np.arange(n) - (np.arange(n) % 10 == 9)
    return xr.Dataset(
        {
            "concentration": (("sample", "element"), np.maximum(values, LIMIT)),
            "state": (("sample", "element"), state),
        },
        {
            "x": ("sample", x[first]),
            "y": ("sample", y[first]),
            "element": ELEMENTS,
            "unit": ("element", ["ppm"] * 8),
            "detection_limit": ("element", [LIMIT] * 8),
            "sample_id": ("sample", first.astype(str)),
            "batch": ("sample", (np.arange(n) % 4).astype(str)),
        },
    ).rio.write_crs(32650)


class LogRatio:
    """Cells of a chunked cube."""

    params = ([30, 250, 1000],)
    param_names = ("side",)

    def setup(self, side):
        self.cube = cube(side)

    def time_closure(self, side):
        closure(self.cube).compute()

    def time_clr(self, side):
        clr(self.cube).compute()

    def peakmem_clr(self, side):
        clr(self.cube).compute()

    def time_ilr(self, side):
        ilr(self.cube).compute()

    def time_inverse_ilr(self, side):
        inverse_ilr(ilr(self.cube)).compute()


class Files:
    """Writing a chunked cube, and reading it whole."""

    params = ([30, 500], [".zarr", ".tif", ".nc"])
    param_names = ("side", "suffix")

    def setup(self, side, suffix):
        self.cube = cube(side)
        self.folder = Path(tempfile.mkdtemp())
        save_cube(self.cube, self.folder / f"read{suffix}")

    def teardown(self, side, suffix):
        shutil.rmtree(self.folder)

    def time_save(self, side, suffix):
        save_cube(self.cube, self.folder / f"written{suffix}")

    def peakmem_save(self, side, suffix):
        save_cube(self.cube, self.folder / f"written{suffix}")

    def time_open(self, side, suffix):
        open_cube(self.folder / f"read{suffix}").load()


class Censoring:
    """A quarter of all values lies below its limit."""

    params = ([60, 1000], ["constant", "em"])
    param_names = ("n", "method")

    def setup(self, n, method):
        self.table = table(n)
        replace_censored(table(60), method=method)  # compiles

    def time_replace(self, n, method):
        replace_censored(self.table, method=method)


class Samples:
    """What is done to a table of samples before it is gridded."""

    params = ([200, 20_000],)
    param_names = ("n",)

    def setup(self, n):
        self.table = table(n)

    def time_find_duplicates(self, n):
        find_duplicates(self.table)

    def time_collapse_duplicates(self, n):
        collapse_duplicates(self.table)

    def time_level_batches(self, n):
        level_batches(self.table)

    def time_censoring_summary(self, n):
        censoring_summary(self.table)

    def time_correlation(self, n):
        correlation(self.table["concentration"])

    def time_sample_support(self, n):
        sample_support(self.table, max_distance=5000.0, spacing=1000.0)


class Reading:
    """A laboratory's entries, ``<0.5`` among them."""

    params = ([50, 5000],)
    param_names = ("n",)

    def setup(self, n):
        reported = table(n)
        x, y = reported["x"].values, reported["y"].values
        entries = reported["concentration"].values.round(2).astype(str)
        entries[reported["state"].values == 1] = f"<{LIMIT}"
        columns = {f"{name}_ppm": entries[:, k] for k, name in enumerate(ELEMENTS)}
        self.frame = pd.DataFrame({"Easting": 3e5 + x, "Northing": 4e6 + y, **columns})

    def time_read_assays(self, n):
        read_assays(self.frame, crs=32650)
