"""What is known of the ground: labels and background, distances to faults, the density law."""

import geopandas as gpd
import numpy as np
import shapely
import xarray as xr

from xgeoanom.geology.density_law import density_law
from xgeoanom.geology.deposit_centres import deposit_centres
from xgeoanom.geology.evidence import distance_to, fault_density, hanging_wall
from xgeoanom.geology.evidence_stack import evidence_stack
from xgeoanom.geology.labels import deposit_ids, draw_background, label_deposits

SPACING = 500.0


def grid(side):
    """Return an empty raster, north up."""
    axis = SPACING * np.arange(side)
    return xr.DataArray(np.zeros((side, side)), {"y": -axis, "x": axis}, ("y", "x")).rio.write_crs(
        32650
    )


def points(n, side):
    """Return ``n`` deposits at random places."""
    x, y = np.random.default_rng(0).uniform(0, SPACING * (side - 1), (2, n))
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, -y), crs=32650)


def faults(side, n=20, vertices=50):
    """Return wriggling lines across the survey, west to east."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, SPACING * (side - 1), vertices)
    y = rng.uniform(-x[-1], 0, (n, 1)) + rng.normal(scale=SPACING, size=(n, vertices)).cumsum(1)
    lines = [shapely.LineString(np.stack([x, row], axis=1)) for row in y]
    return gpd.GeoDataFrame(geometry=lines, crs=32650)


class Labels:
    """Cells, a deposit for every thousand of them."""

    params = ([40, 1000],)
    param_names = ("side",)

    def setup(self, side):
        self.grid, self.deposits = grid(side), points(side**2 // 1000 + 2, side)
        self.labels = label_deposits(self.deposits, self.grid)

    def time_label_deposits(self, side):
        label_deposits(self.deposits, self.grid)

    def time_deposit_ids(self, side):
        deposit_ids(self.labels)

    def time_deposit_centres(self, side):
        deposit_centres(self.labels)

    def time_draw_background(self, side):
        draw_background(self.labels, min_distance=5 * SPACING, seed=0)


class Faults:
    """Cells, and twenty lines of fifty vertices."""

    params = ([20, 150],)
    param_names = ("side",)

    def setup(self, side):
        self.grid, self.faults = grid(side), faults(side)

    def time_distance_to(self, side):
        distance_to(self.faults, self.grid)

    def time_fault_density(self, side):
        fault_density(self.faults, self.grid, radius=4 * SPACING)

    def time_hanging_wall(self, side):
        hanging_wall(self.faults, self.grid, dip_direction=180.0)


class Law:
    """The density of deposits by their distance from faults, with its bootstrap."""

    params = ([60, 300], ["poisson", "cumulative"])
    param_names = ("side", "estimator")

    def setup(self, side, estimator):
        y, x = (grid(side)[dim] for dim in ("y", "x"))
        self.distance = (grid(side) + SPACING + abs(y - y[side // 3]) + 0 * x).rio.write_crs(32650)
        self.deposits = points(50, side)

    def time_density_law(self, side, estimator):
        density_law(self.distance, self.deposits, estimator=estimator, seed=0)


class Stack:
    """Twelve continuous rasters and one of classes, stacked."""

    params = ([40, 500],)
    param_names = ("side",)

    def setup(self, side):
        rng, like = np.random.default_rng(0), grid(side)
        layers = {f"layer {k}": like + rng.normal(size=like.shape) for k in range(12)}
        layers["lithology"] = like.astype("int16") + rng.integers(0, 9, like.shape)
        self.rasters = xr.Dataset(layers).rio.write_crs(32650)

    def time_evidence_stack(self, side):
        evidence_stack(self.rasters, kinds={"lithology": "categorical"}).compute()
