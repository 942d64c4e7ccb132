"""Figures: from a score to pixels."""

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import xarray as xr

mpl.use("Agg")
from matplotlib import pyplot as plt

from xgeoanom.evaluation.classify import classify
from xgeoanom.plot import capture, class_map, score_map


class Maps:
    """Cells of the map; the figure is drawn, too."""

    params = ([30, 1000],)
    param_names = ("side",)

    def setup(self, side):
        rng, axis = np.random.default_rng(0), 500.0 * np.arange(side)
        score = xr.DataArray(rng.random((side, side)), {"y": -axis, "x": axis}, ("y", "x"), "score")
        self.score = score.rio.write_crs(32650)
        self.classes = classify(self.score)
        x, y = rng.uniform(0, axis[-1], (2, 20))
        self.deposits = gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, -y), crs=32650)

    def teardown(self, side):
        plt.close("all")

    def time_score_map(self, side):
        score_map(self.score, deposits=self.deposits).figure.canvas.draw()

    def time_class_map(self, side):
        class_map(self.classes, deposits=self.deposits).figure.canvas.draw()

    def time_capture(self, side):
        capture(self.score, self.deposits).figure.canvas.draw()
