"""A small survey with gold planted at five deposits, and its yardstick."""

import geopandas as gpd
import numpy as np
from surveys import small_cube

import xgeoanom as xga

PLACES = [(3, 3), (4, 15), (12, 9), (19, 3), (20, 16)]


def planted_cube():
    """Return concentrations: gold is high at the deposits."""
    cube = np.exp(small_cube()).assign_attrs(log_ratio="none", units="ppm")
    plant = np.ones((24, 20))
    for row, col in PLACES:
        plant[row, col] = 1e6
    gold = (cube.element == "Au").values[:, None, None]
    return cube.copy(data=cube.values * np.where(gold, plant, 1.0)).rename("concentration")


def planted_deposits(cube):
    """Return the five deposits."""
    rows, cols = np.transpose(PLACES)
    places = gpd.points_from_xy(cube.x.values[cols], cube.y.values[rows])
    return gpd.GeoDataFrame(geometry=places, crs=32650)


def planted_yardstick(cube, deposits):
    """Return a yardstick of short distances: the survey is 12 km high."""
    return xga.Yardstick(
        ds=cube,
        deposits=deposits,
        target="Au",
        pathfinders=["As", "Ag"],
        min_distance=1200.0,
        max_distance=400.0,
        buffer_cells=2,
        radius_cells=0,
    )
