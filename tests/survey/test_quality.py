import geopandas as gpd
import numpy as np
import pytest

from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.assays import from_points
from xgeoanom.survey.quality import replace_censored


def make_table(**limits):
    columns = {"Au": [0.5, 0.0, np.nan, 2.0], "Cu": [10.0, 0.0, 30.0, np.nan]}
    places = gpd.points_from_xy(100.0 * np.arange(4), 50.0 * np.arange(4))
    points = gpd.GeoDataFrame(columns, geometry=places, crs=32650)
    return from_points(points, ["Au", "Cu"], units="ppb", detection_limits=limits)


def test_replace_censored():
    table = make_table(Au=1.0, Cu=4.0)
    before = table.copy(deep=True)
    replaced = replace_censored(table)
    expected = [[0.65, 10.0], [0.65, 2.6], [np.nan, 30.0], [2.0, np.nan]]
    np.testing.assert_allclose(replaced["concentration"], expected)
    np.testing.assert_array_equal(replaced["state"], table["state"])
    assert replaced["concentration"].dims == ("sample", "element")
    assert replaced["concentration"].attrs["method"] == "replace_censored"
    assert '"factor": 0.65' in replaced["concentration"].attrs["parameters"]
    assert table.identical(before)
    again = replace_censored(replaced, factor=0.5)
    assert again.identical(replace_censored(table, factor=0.5))


def test_replace_censored_needs_limits():
    table = make_table(Au=1.0)
    with pytest.raises(CompositionError, match="'Cu': 1.*detection_limits"):
        replace_censored(table)
    no_limit = table.assign_coords(detection_limit=("element", [np.nan, 4.0]))
    with pytest.raises(CompositionError, match="'Au': 2"):
        replace_censored(no_limit)


def test_replace_censored_refuses():
    table = make_table(Au=1.0)
    with pytest.raises(CompositionError, match="factor=0"):
        replace_censored(table, factor=0)
    with pytest.raises(CubeError, match="from_points"):
        replace_censored(table.drop_vars("state"))
