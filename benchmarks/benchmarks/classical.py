"""Map-shaped classical methods: time per cell should grow neither with cells nor with windows."""

import numpy as np
import xarray as xr

from xgeoanom.classical.concentration_area import concentration_area
from xgeoanom.classical.controls import random_smooth_map, target_element
from xgeoanom.classical.local_gap import local_gap
from xgeoanom.classical.local_moran import local_moran
from xgeoanom.classical.rank_fusion import rank_fusion
from xgeoanom.classical.rx import rx
from xgeoanom.classical.singularity import singularity
from xgeoanom.classical.spectrum_area import spectrum_area
from xgeoanom.classical.trend_surface import local_trend, trend_surface
from xgeoanom.classical.weights_of_evidence import weights_of_evidence


def survey(side: int, n_elements: int) -> xr.DataArray:
    """Return a random positive cube of ``side`` cells each way."""
    axis = np.arange(float(side))
    return xr.DataArray(
        np.random.default_rng(0).lognormal(size=(n_elements, side, side)),
        coords={"element": [f"E{k}" for k in range(n_elements)], "y": -axis, "x": axis},
        dims=("element", "y", "x"),
    ).rio.write_crs(32650)


class DualWindowRX:
    """Cells and elements; memory beside the map should be that of a few tiles."""

    params = ([30, 100, 316, 1000], [4, 16])
    param_names = ("side", "n_elements")

    def setup(self, side, n_elements):
        self.cube = survey(side, n_elements)
        rx(survey(30, n_elements), inner=5, outer=21)  # compiles

    def time_score(self, side, n_elements):
        rx(self.cube, inner=5, outer=21)

    def peakmem_score(self, side, n_elements):
        rx(self.cube, inner=5, outer=21)


class Singularity:
    """Cells, and the sizes of five square windows."""

    params = ([50, 316, 1000], [(3, 5, 7, 9, 11), (3, 11, 21, 31, 41)])
    param_names = ("side", "windows")

    def setup(self, side, windows):
        self.raster = survey(side, 1)[0]
        singularity(survey(50, 1)[0])

    def time_squares(self, side, windows):
        singularity(self.raster, windows=windows)

    def peakmem_squares(self, side, windows):
        singularity(self.raster, windows=windows)

    def time_ellipses(self, side, windows):
        singularity(self.raster, windows=windows[:2], ratio=2.0, n_bearings=4)


class LocalMoran:
    """Cells, and the size of the neighbourhood."""

    params = ([30, 316, 1000], [3, 21])
    param_names = ("side", "window")

    def setup(self, side, window):
        self.raster = survey(side, 1)[0]
        local_moran(survey(30, 1)[0], seed=0)

    def time_score(self, side, window):
        local_moran(self.raster, window=window, seed=0)

    def peakmem_score(self, side, window):
        local_moran(self.raster, window=window, seed=0)


class Trend:
    """Cells: the trend of a whole map is fitted in memory, that of a window is not."""

    params = ([30, 316, 1000],)
    param_names = ("side",)

    def setup(self, side):
        self.raster = survey(side, 1)[0].chunk(y=250, x=250)

    def time_surface(self, side):
        trend_surface(self.raster).compute()

    def peakmem_surface(self, side):
        trend_surface(self.raster).compute()

    def time_local(self, side):
        local_trend(self.raster).compute()

    def peakmem_local(self, side):
        local_trend(self.raster).compute()


class LocalGap:
    """Cells, and the size of the window."""

    params = ([30, 316], [5, 21])
    param_names = ("side", "window")

    def setup(self, side, window):
        self.raster = survey(side, 1)[0]
        local_gap(survey(30, 1)[0], seed=0)

    def time_score(self, side, window):
        local_gap(self.raster, window=window, seed=0)


class WholeMap:
    """Methods that rank or transform all cells at once."""

    params = ([30, 500],)
    param_names = ("side",)

    def setup(self, side):
        cube = survey(side, 4)
        self.raster = cube[0]
        self.scores = cube.drop_vars("element").to_dataset("element")
        self.scores = self.scores.rename({k: f"score {k}" for k in self.scores.data_vars})
        self.patterns = xr.where(self.scores > 1, 1.0, 0.0)
        self.labels = xr.full_like(self.raster, -1, dtype="int8").drop_vars("element")
        self.labels[::10, ::10] = 1

    def time_concentration_area(self, side):
        concentration_area(self.raster)

    def time_spectrum_area(self, side):
        spectrum_area(self.raster)

    def time_rank_fusion(self, side):
        rank_fusion(self.scores)

    def time_weights_of_evidence(self, side):
        weights_of_evidence(self.patterns, self.labels)

    def time_smoothed_element(self, side):
        target_element(self.raster, smooth=True)

    def time_random_smooth_map(self, side):
        random_smooth_map(self.raster, length=10.0, seed=0)
