"""The distance of the background, against all pairs."""

import geopandas as gpd
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from shapely import LineString

from xgeoanom.errors import CRSError, LabelError
from xgeoanom.geology.background import background_distance


def points(places, crs=32650):
    x, y = np.array(places, dtype=float).reshape(-1, 2).T
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=crs)


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=2, max_size=8))
def test_every_deposit_has_a_neighbour_within(places):
    pairs = cdist(places, places) + np.where(np.eye(len(places)), np.inf, 0)
    assert background_distance(points(places)) == pytest.approx(pairs.min(axis=1).max())


def test_it_is_at_least_what_is_asked():
    deposits = points([(0, 0), (300, 400)])
    assert background_distance(deposits, at_least=499.0) == 500.0
    assert background_distance(deposits, at_least=6000) == 6000.0


@pytest.mark.parametrize(
    ("deposits", "at_least", "error", "message"),
    [
        (None, 0.0, LabelError, "NoneType"),
        (points([(0, 0)]), 0.0, LabelError, "1 geometries"),
        (points([(0, 0), (1, 1)], crs=4326), 0.0, CRSError, "degrees"),
        (points([(0, 0), (1, 1)], crs=None), 0.0, CRSError, "no CRS"),
        (points([(0, 0), (1, 1)]), -1.0, LabelError, "at_least=-1.0"),
        (points([(0, 0), (1, 1)]), "far", LabelError, "at_least='far'"),
        (
            gpd.GeoDataFrame(geometry=[LineString([(0, 0), (1, 1)])] * 2, crs=32650),
            0.0,
            LabelError,
            "2 of them no points",
        ),
    ],
)
def test_wrong_arguments_are_refused(deposits, at_least, error, message):
    with pytest.raises(error, match=message):
        background_distance(deposits, at_least=at_least)
