"""Coordinates: found, checked, reprojected."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from xgeoanom.errors import CRSError, CubeError, GridError
from xgeoanom.survey.reading.places import locate

LON, LAT = np.array([117.2, 117.9, 118.2]), np.array([-34.3, -33.9, -33.5])


def degrees(**columns):
    return pd.DataFrame({"lon": LON, "lat": LAT} | columns)


def find(frame, crs=4326, x=None, y=None, to_crs=None):
    return locate(frame, crs=crs, x=x, y=y, to_crs=to_crs)


def kinds(places):
    return [finding.kind for finding in places.findings]


def test_degrees_become_metres_of_the_utm_zone():
    places = find(degrees())
    expected = gpd.GeoSeries(gpd.points_from_xy(LON, LAT), crs=4326).to_crs(32750)
    assert places.crs.to_epsg() == 32750
    np.testing.assert_allclose(places.x, expected.x)
    np.testing.assert_allclose(places.y, expected.y)
    assert places.columns == ["lon", "lat"]
    assert not places.findings
    assert "EPSG:4326 to EPSG:32750" in places.decisions[1]


@pytest.mark.parametrize(("to_crs", "epsg"), [(4326, 4326), ("EPSG:28350", 28350)])
def test_to_crs_is_kept(to_crs, epsg):
    places = find(degrees(), to_crs=to_crs)
    assert places.crs.to_epsg() == epsg
    if epsg == 4326:
        np.testing.assert_array_equal(places.x, LON)


def test_metres_stay():
    frame = pd.DataFrame({"Easting": ["500000", "600000"], "Northing": [6.2e6, 6.3e6]})
    places = find(frame, crs=32750)
    np.testing.assert_array_equal(places.x, [5e5, 6e5])
    assert places.crs.to_epsg() == 32750
    assert len(places.decisions) == 1


def test_geometries_are_places():
    points = gpd.GeoDataFrame({"a": [1, 2, 3]}, geometry=gpd.points_from_xy(LON, LAT), crs=4326)
    places = find(points, crs=None, to_crs=4326)
    np.testing.assert_array_equal(places.y, LAT)
    assert places.columns == ["geometry"]
    with pytest.raises(CubeError, match="leave x and y out"):
        find(points, x="a", y="a")
    with pytest.raises(CRSError, match="EPSG:32750.*EPSG:4326"):
        find(points, crs=32750)
    points.loc[1, "geometry"] = shapely.LineString([(0, 0), (1, 1)])
    with pytest.raises(GridError, match="row 1.*no point; leave"):
        find(points, crs=4326)


@pytest.mark.parametrize(
    ("frame", "arguments", "error", "message"),
    [
        (degrees(), {"crs": None}, CRSError, "crs is missing.*4326"),
        (degrees(), {"crs": "nowhere"}, CRSError, "crs='nowhere' is no CRS"),
        (degrees(), {"to_crs": -1}, CRSError, "to_crs=-1 is no CRS"),
        (degrees(), {"x": "lon"}, CubeError, "y=None.*give both"),
        (degrees(), {"x": "lon", "y": "lon"}, CubeError, "two columns"),
        (degrees(), {"x": "lon", "y": "north"}, CubeError, r"\['north'\] are not in"),
        (degrees().iloc[:1], {}, GridError, "1 sample;"),
        (degrees(lat=["-34", "S 33", "?"]), {}, GridError, "row 1, column 'lat': 'S 33'.*1 more"),
        (degrees(lat=[-34, None, -33]), {}, GridError, "row 1, column 'lat': 'nan'"),
        (degrees(), {"x": "lat", "y": "lon"}, CRSError, "swapped"),
        (degrees(lat=LAT * 1e5), {}, CRSError, "are they metres"),
        (degrees(), {"to_crs": "+proj=gnom +lat_0=60 +lon_0=-60"}, CRSError, "3 places.*none in"),
    ],
)
def test_refuses(frame, arguments, error, message):
    with pytest.raises(error, match=message):
        find(frame, **arguments)


def test_swapped_metres_are_found():
    frame = pd.DataFrame({"a": [6.2e6, 6.3e6, 5e5], "b": [5e5, 6e5, 6.2e6]})
    assert kinds(find(frame, crs=32750, x="a", y="b")) == ["swapped_axes"]
    frame = frame.iloc[:2]
    with pytest.raises(CRSError, match=r"x and y look swapped: exchange x=\.\.\. and y"):
        find(frame, crs=32750, x="a", y="b")
    assert kinds(find(frame, crs=32750, x="b", y="a")) == []


def test_swapped_headers_are_found():
    places = find(degrees(lat=LON - 100, lon=LAT), x="lat", y="lon")
    assert kinds(places) == ["swapped_axes"]


def test_places_outside_the_area_of_the_crs():
    frame = pd.DataFrame({"x": [5e5, 6e5, 6e5], "y": [6.2e6, 6.3e6, 9.99e6]})
    assert kinds(find(frame, crs=32750)) == []
    frame.loc[2, "y"] = 1.5e7
    places = find(frame, crs=32750)
    assert kinds(places) == ["outside_crs_area"]
    assert "1 of 3 places" in places.findings[0].what


@pytest.mark.parametrize(
    ("frame", "crs", "remedy"),
    [
        (degrees(), 32750, "EPSG:32750.*x runs from 117.2 to 118.2.*degrees: try crs=4326"),
        (degrees(), 32650, "114 to 120, latitude 0 to 84.*degrees"),
        (degrees(lon=LON * 4000, lat=LAT * -3.5e5), 32735, "choose crs by the zone"),
        (degrees(lon=LON * 1e7, lat=LAT * 1e8), 32750, "choose crs by the zone"),
        (degrees(lon=-LON), 4283, "EPSG:4283.*choose crs by"),
    ],
)
def test_refuses_a_crs_that_all_places_lie_outside_of(frame, crs, remedy):
    with pytest.raises(CRSError, match=f"all 3 places lie outside.*{remedy}"):
        find(frame, crs=crs, x="lon", y="lat")


def test_a_survey_in_the_neighbours_zone_is_reported_not_refused():
    east = gpd.GeoSeries.from_xy([120.3, 120.4], [-30.0, -30.2], crs=4326).to_crs(32750)
    places = find(pd.DataFrame({"x": east.x, "y": east.y}), crs=32750)
    assert kinds(places) == ["outside_crs_area"]
    assert "2 of 2 places" in places.findings[0].what


def test_decimal_commas():
    frame = degrees(lon=["117,2", "117,9", "118,2"])
    places = locate(frame, crs=4326, x=None, y=None, to_crs=4326, decimal=",")
    np.testing.assert_array_equal(places.x, LON)
    with pytest.raises(GridError, match="'117,2' is no coordinate, nor are 2.*decimal=','"):
        find(frame)


def test_area_across_the_antimeridian():
    frame = pd.DataFrame({"lon": [179.5, -179.5], "lat": [-40.0, -41.0]})
    assert "outside_crs_area" not in kinds(find(frame, crs=4167, to_crs=2193))


def test_filler_and_wide_surveys():
    frame = degrees(lon=[0.0, 117.0, 118.0], lat=[0.0, -30.0, -31.0])
    assert kinds(find(frame)) == ["zero_coordinates", "wide_survey"]
