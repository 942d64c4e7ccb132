"""What the tests of simulated districts share: places, cells, and an AUC by its definition."""

import geopandas as gpd
import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import mannwhitneyu

from xgeoanom.datasets.synthetic import SyntheticSurvey

SMALL = {"shape": (64, 64), "n_deposits": 6}


def cell_centres(district: SyntheticSurvey) -> np.ndarray:
    x, y = np.meshgrid(district.truth["x"], district.truth["y"])
    return np.column_stack([x.ravel(), y.ravel()])


def places(table: gpd.GeoDataFrame) -> np.ndarray:
    return np.column_stack([table.geometry.x, table.geometry.y])


def cells_of(district: SyntheticSurvey) -> np.ndarray:
    return cKDTree(cell_centres(district)).query(places(district.deposits))[1]


def far_cells(district: SyntheticSurvey) -> np.ndarray:
    return cKDTree(places(district.deposits)).query(cell_centres(district))[0] >= 5000


def honest(district: SyntheticSurvey, score: np.ndarray) -> float:
    """AUC of the cells nearest to deposits against all cells 5 km away, by its definition."""
    positive, negative = score.ravel()[cells_of(district)], score.ravel()[far_cells(district)]
    wins = mannwhitneyu(positive, negative).statistic
    return float(wins / (positive.size * negative.size))
