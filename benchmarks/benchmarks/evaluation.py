"""What a score is worth: measures, nulls, folds, cross-validation and comparison."""

import geopandas as gpd
import numpy as np
import xarray as xr

import xgeoanom as xga
from xgeoanom.evaluation.calibration import calibration_curve
from xgeoanom.evaluation.classify import classify
from xgeoanom.evaluation.folds import random_folds, spatial_folds
from xgeoanom.evaluation.honest import average_precision, honest_auc
from xgeoanom.evaluation.metrics import auc, capture_curve, roc_curve
from xgeoanom.evaluation.prediction_area import prediction_area
from xgeoanom.evaluation.screening import screen_elements
from xgeoanom.evaluation.shift_null import site_shift_null
from xgeoanom.geology.labels import draw_background, label_deposits

REACH = {"min_distance": 5.0, "max_distance": 1.0}


def score(side):
    """Return a random score on unit cells."""
    values = np.random.default_rng(0).random((side, side))
    axis = np.arange(float(side))
    raster = xr.DataArray(values, {"y": -axis, "x": axis}, ("y", "x"), "score")
    return raster.rio.write_crs(32650)


def cube(side):
    """Return a random positive cube on the same cells."""
    values = np.random.default_rng(0).lognormal(size=(6, side, side))
    coords = {"element": ["Au", "As", "Cu", "Pb", "Zn", "Ag"], **score(side).coords}
    return xr.DataArray(values, coords, ("element", "y", "x"), "concentration").assign_coords(
        unit=("element", ["ppm"] * 6)
    )


def deposits(side, n=40):
    x, y = np.random.default_rng(1).uniform(0, side - 1, (2, n))
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, -y), crs=32650)


class Measures:
    """Cells of a score, and forty deposits."""

    params = ([60, 1000],)
    param_names = ("side",)

    def setup(self, side):
        self.score, self.deposits = score(side), deposits(side)
        labels = label_deposits(self.deposits, self.score)
        self.labels = draw_background(labels, n=side**2 // 10, seed=0)

    def time_honest_auc(self, side):
        honest_auc(self.score, self.deposits, **REACH, seed=0)

    def time_average_precision(self, side):
        average_precision(self.score, self.deposits, **REACH)

    def time_capture_curve(self, side):
        capture_curve(self.score, self.deposits)

    def time_prediction_area(self, side):
        prediction_area(self.score, self.deposits)

    def time_auc(self, side):
        auc(self.score, self.labels)

    def time_roc_curve(self, side):
        roc_curve(self.score, self.labels)

    def time_calibration_curve(self, side):
        calibration_curve(self.score, self.labels)

    def time_classify(self, side):
        classify(self.score)


class ShiftNull:
    """Cells, and the pattern of deposits shifted about them."""

    params = ([60, 300],)
    param_names = ("side",)

    def setup(self, side):
        self.score, self.deposits = score(side), deposits(side, 15)
        small = score(40), deposits(40, 5)
        site_shift_null(*small, **REACH, n=9, seed=0)  # compiles

    def time_site_shift_null(self, side):
        site_shift_null(self.score, self.deposits, **REACH, n=199, seed=0)


class Folds:
    """Each cell goes with its nearest deposit's block."""

    params = ([60, 600],)
    param_names = ("side",)

    def setup(self, side):
        self.labels = label_deposits(deposits(side), score(side))

    def time_spatial_folds(self, side):
        spatial_folds(self.labels, block_cells=10, seed=0)

    def time_random_folds(self, side):
        random_folds(self.labels, seed=0)


class CrossValidation:
    """Five folds of a detector that hardly learns."""

    params = ([64, 160],)
    param_names = ("side",)

    def setup(self, side):
        self.ds = xga.clr(cube(side)).to_dataset(name="clr")
        self.ds["labels"] = label_deposits(deposits(side, 12), self.ds)
        self.ds["fold"] = spatial_folds(self.ds["labels"], n=5, block_cells=8, seed=0)
        self.detector = xga.baselines(draws=1, seed=0)["logistic_regression"]

    def time_cross_validate(self, side):
        xga.cross_validate(self.ds, self.detector, "labels", "fold", buffer_cells=1)


class Comparison:
    """The controls, and a method that does nothing, under one protocol."""

    params = ([48, 100],)
    param_names = ("side",)

    def setup(self, side):
        settings = {"target": "Au", **REACH, "buffer_cells": 1}
        self.yardstick = xga.Yardstick(ds=cube(side), deposits=deposits(side, 8), **settings)
        site_shift_null(score(40), deposits(40, 5), **REACH, n=9, seed=0)  # compiles

    def time_compare(self, side):
        xga.compare({"first": first_element}, self.yardstick, n_shifts=19, n_refits=0, seed=0)

    def time_screen_elements(self, side):
        labels = draw_background(self.yardstick.labels, seed=0)
        screen_elements(self.yardstick.ds, labels)


def first_element(cube):
    return cube[0]
