"""Map-shaped classical methods: time per cell should grow neither with cells nor with windows."""

import numpy as np
import xarray as xr

from xgeoanom.classical.local_moran import local_moran
from xgeoanom.classical.rx import rx
from xgeoanom.classical.singularity import singularity
from xgeoanom.classical.trend_surface import local_trend, trend_surface


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
