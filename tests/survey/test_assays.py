import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from xgeoanom.errors import CompositionError, CRSError, CubeError, GridError
from xgeoanom.survey.assays import from_points


def make_points(columns=None, crs=32650, **kwargs):
    columns = columns or {"Au": [0.5, 0.0, np.nan, 2.0], "Cu": [10.0, 0.0, 30.0, np.nan]}
    n = len(next(iter(columns.values())))
    places = gpd.points_from_xy(100.0 * np.arange(n), 50.0 * np.arange(n))
    return gpd.GeoDataFrame(columns, geometry=places, crs=crs, **kwargs)


def test_table_holds_what_was_given():
    points = make_points()
    table = from_points(
        points,
        ["Au", "Cu"],
        units={"Au": "ppb", "Cu": "ppm", "Zn": "%"},
        detection_limits={"Au": 1.0},
    )
    np.testing.assert_array_equal(table["concentration"], points[["Au", "Cu"]])
    assert table["concentration"].dtype == "float64"
    np.testing.assert_array_equal(table["state"], [[1, 0], [1, 2], [3, 0], [0, 3]])
    assert table["state"].dtype == "int8"
    assert table["state"].attrs["flag_meanings"].split()[3] == "not_analysed"
    assert table["element"].values.tolist() == ["Au", "Cu"]
    assert table["unit"].values.tolist() == ["ppb", "ppm"]
    np.testing.assert_array_equal(table["detection_limit"], [1.0, np.nan])
    np.testing.assert_array_equal(table["x"], [0.0, 100.0, 200.0, 300.0])
    np.testing.assert_array_equal(table["y"], [0.0, 50.0, 100.0, 150.0])
    assert table.rio.crs.to_epsg() == 32650
    assert points.equals(make_points())


def test_mapping_and_one_unit():
    points = make_points({"Au FA (ppb)": [1, 2], "Cu": [3, 4]}, crs=4326)
    table = from_points(points, {"Cu": "Cu", "Au": "Au FA (ppb)"}, units="ppm")
    assert table["element"].values.tolist() == ["Cu", "Au"]
    assert table["unit"].values.tolist() == ["ppm", "ppm"]
    np.testing.assert_array_equal(table["concentration"], [[3, 1], [4, 2]])
    assert table.rio.crs.to_epsg() == 4326


def test_missing_values_of_pandas():
    points = make_points({"Au": pd.array([1, None, 3], dtype="Int64")})
    table = from_points(points, ["Au"], units="ppb")
    np.testing.assert_array_equal(table["concentration"], [[1], [np.nan], [3]])


@pytest.mark.parametrize(
    ("points", "elements", "error", "message"),
    [
        (make_points(crs=None), ["Au"], CRSError, "set_crs"),
        (make_points().iloc[:1], ["Au"], GridError, "1 samples"),
        (make_points().set_geometry(make_points().buffer(1.0)), ["Au"], GridError, "4 geometries"),
        (make_points(), [], CubeError, "empty"),
        (make_points(), ["Au", "Zn"], CubeError, r"\['Zn'\].*\['Au', 'Cu'\]"),
        (make_points(), ["Au", "Cu", "Au"], CubeError, r"\['Au'\].*repeated"),
        (make_points()[["Au", "Au", "geometry"]], ["Au"], CubeError, r"\['Au'\].*one of each"),
        (make_points({"Au": ["<1", "2"]}), ["Au"], CubeError, "to_numeric"),
        (make_points({"Au": [True, False]}), ["Au"], CubeError, "not numbers"),
        (make_points({"Au": [np.nan, np.nan]}), ["Au"], CubeError, "no value"),
        (make_points({"Au": [-1.0, -9999.0]}), ["Au"], CompositionError, "'Au': 2.*NaN"),
        (make_points({"Au": [np.inf, 1.0]}), ["Au"], CompositionError, "infinite.*'Au': 1"),
    ],
)
def test_refuses_bad_points(points, elements, error, message):
    with pytest.raises(error, match=message):
        from_points(points, elements, units="ppb")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"units": "oz"}, CompositionError, "oz.*ppb"),
        ({"units": {"Au": "ppb"}}, CompositionError, r"\['Cu'\]"),
        ({"units": "ppb", "detection_limits": {"Au": 0.0}}, CompositionError, "positive"),
        ({"units": "ppb", "detection_limits": {"Au": np.nan}}, CompositionError, "unknown"),
        ({"units": "ppb", "detection_limits": {"Zn": 1.0}}, CubeError, r"\['Zn'\]"),
    ],
)
def test_refuses_bad_units_and_limits(arguments, error, message):
    with pytest.raises(error, match=message):
        from_points(make_points(), ["Au", "Cu"], **arguments)
