"""Classical methods that see a cell as a vector of elements."""

import numpy as np
import xarray as xr

from xgeoanom.classical.mahalanobis import mahalanobis
from xgeoanom.classical.outliers import isolation_forest, knn_distance, one_class_svm
from xgeoanom.classical.pca import pca_component, pca_reconstruction

ELEMENTS = ["Au", "As", "Cu", "Pb", "Zn", "Ag", "Sb", "Bi"]


def survey(side):
    """Return a random positive cube."""
    axis = 500.0 * np.arange(side)
    values = np.random.default_rng(0).lognormal(size=(8, side, side))
    cube = xr.DataArray(values, {"element": ELEMENTS, "y": -axis, "x": axis}, ("element", "y", "x"))
    return cube.rio.write_crs(32650)


class Distances:
    """Moments of the whole survey, then a distance or a component of each cell."""

    params = ([20, 500],)
    param_names = ("side",)
    robust = False

    def setup(self, side):
        self.cube = survey(side)

    def time_mahalanobis(self, side):
        mahalanobis(self.cube, robust=self.robust, seed=0)

    def time_pca_reconstruction(self, side):
        pca_reconstruction(self.cube, robust=self.robust, seed=0)

    def time_pca_component(self, side):
        pca_component(self.cube, toward=["Au", "As"], robust=self.robust, seed=0)


class RobustDistances(Distances):
    """The same by robust moments, which take nearly all the time."""

    params = ([20, 60],)
    robust = True


class Outliers:
    """Scikit-learn's methods, block by block."""

    params = ([20, 120],)
    param_names = ("side",)

    def setup(self, side):
        self.cube = survey(side)

    def time_isolation_forest(self, side):
        isolation_forest(self.cube, seed=0)

    def time_one_class_svm(self, side):
        one_class_svm(self.cube, seed=0)

    def time_knn_distance(self, side):
        knn_distance(self.cube, seed=0)
