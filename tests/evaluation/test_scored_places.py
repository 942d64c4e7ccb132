"""Places in metres, against the haversine formula."""

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import haversine_distances

from xgeoanom.errors import CRSError, GridError
from xgeoanom.evaluation.scored_places import coordinates, positions, scored, straight

DEGREES = gpd.GeoSeries([], crs=4326).crs
METRES = gpd.GeoSeries([], crs=32650).crs


@given(st.integers(0, 10_000))
def test_chords_are_those_of_the_haversine_formula(seed):
    rng = np.random.default_rng(seed)
    lonlat = np.column_stack([rng.uniform(-180, 180, 9), rng.uniform(-90, 90, 9)])
    at = positions(lonlat, DEGREES)
    chords = np.linalg.norm(at[:, None] - at, axis=2)
    arcs = 6_371_000 * haversine_distances(np.radians(lonlat[:, ::-1]))
    wanted = [[straight(arc, at) for arc in row] for row in arcs]
    np.testing.assert_allclose(chords, wanted, atol=0.2)  # antipodes lose digits
    np.testing.assert_allclose(coordinates(at), lonlat, atol=1e-9)


def test_short_chords_keep_their_digits():
    at = positions(
        np.array([[118.0, -34.0], [118.0, -34.0 + np.degrees(5000 / 6_371_000)]]), DEGREES
    )
    assert np.linalg.norm(at[1] - at[0]) == pytest.approx(straight(5000.0, at), abs=1e-6)
    assert straight(5000.0, at) == pytest.approx(5000, abs=2e-4)
    assert straight(1e9, at) == 2 * 6_371_000  # no farther than the antipode


def test_the_plane_stays_as_it_is():
    xy = np.array([[3.0, 4.0], [5.0, 6.0]])
    assert positions(xy, METRES) is xy
    assert coordinates(xy) is xy
    assert straight(7.0, xy) == 7.0


def test_metres_taken_for_degrees():
    with pytest.raises(CRSError, match="y=4e\\+06 is no latitude"):
        positions(np.array([[500_000.0, 4e6]]), DEGREES)


def test_raster_and_samples_hold_the_same():
    values = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    raster = xr.DataArray(
        values, coords={"y": [10.0, 0.0], "x": [0.0, 10.0, 20.0]}, dims=("y", "x")
    )
    x, y = np.meshgrid(raster["x"], raster["y"])
    at = gpd.points_from_xy(x.ravel(), y.ravel())
    samples = gpd.GeoDataFrame({"score": values.ravel()}, geometry=at, crs=32650)
    for found in (scored(raster), scored(raster.transpose("x", "y")), scored(samples)):
        np.testing.assert_array_equal(found[0], [1, 3, 4, 5, 6])
        np.testing.assert_array_equal(found[1], [[0, 10], [20, 10], [0, 0], [10, 0], [20, 0]])
    with pytest.raises(GridError, match="columns.*'score'"):
        scored(samples.rename(columns={"score": "rx"}))
    with pytest.raises(GridError, match="no points"):
        scored(samples.set_geometry(samples.buffer(1)))
    with pytest.raises(GridError, match="no valid cell or sample"):
        scored(samples.assign(score=np.nan))
    with pytest.raises(GridError, match="ndarray"):
        scored(values)
    with pytest.raises(GridError, match="dims"):
        scored(raster.expand_dims("element"))
