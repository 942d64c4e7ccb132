import geopandas as gpd
import numpy as np
import pytest
import xarray as xr

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
    for factor in (0, 1.1, "a"):
        with pytest.raises(CompositionError, match=f"factor={factor!r} must be above 0"):
            replace_censored(table, factor=factor)
    with pytest.raises(CompositionError, match="factor=0.3 has no meaning for method='em'"):
        replace_censored(table, method="em", factor=0.3)
    with pytest.raises(CompositionError, match="denominator='Cu' has no meaning.*'constant'"):
        replace_censored(table, denominator="Cu")
    with pytest.raises(CubeError, match="from_points"):
        replace_censored(table.drop_vars("state"))


def with_batches():
    """Au below an unknown limit in three batches; nothing of it is measured in the last."""
    table = make_table()
    values = [[0.0, 1.0], [0.4, 1.0], [0.0, 1.0], [0.3, 1.0], [0.0, 1.0], [0.6, 1.0]]
    state = np.where(np.array(values) == 0, 2, 0).astype("int8")
    return xr.Dataset(
        {"concentration": (("sample", "element"), values), "state": (("sample", "element"), state)},
        {
            "element": ["Au", "Cu"],
            "unit": table["unit"],
            "batch": ("sample", list("aabbca")),
            "detection_limit": ("element", [0.1, 0.1]),
        },
    )


def test_smallest_measured_stands_for_an_unknown_limit():
    table = with_batches()
    with pytest.raises(CompositionError, match="'Au': 3.*unknown_limits='smallest'"):
        replace_censored(table)
    replaced = replace_censored(table, unknown_limits="smallest", factor=0.5)
    expected = [0.2, 0.4, 0.15, 0.3, 0.15, 0.6]
    np.testing.assert_allclose(replaced["concentration"].sel(element="Au"), expected)
    np.testing.assert_array_equal(replaced["state"], table["state"])
    assert '"unknown_limits": "smallest"' in replaced["concentration"].attrs["parameters"]
    no_batch = replace_censored(table.drop_vars("batch"), unknown_limits="smallest", factor=0.5)
    expected = [0.15, 0.4, 0.15, 0.3, 0.15, 0.6]
    np.testing.assert_allclose(no_batch["concentration"].sel(element="Au"), expected)


def test_no_measured_value_no_smallest():
    table = with_batches()
    table["state"][:, 0] = 2
    with pytest.raises(CompositionError, match="'Au': 6.*leave it out"):
        replace_censored(table, unknown_limits="smallest")


def test_limits_by_sample():
    table = make_table(Au=1.0, Cu=4.0)
    limits = np.array([[1.0, 4.0], [2.0, 8.0], [1.0, 4.0], [1.0, 4.0]])
    table = table.assign_coords(detection_limit=(("sample", "element"), limits))
    replaced = replace_censored(table.transpose("element", "sample"), factor=0.5)
    expected = [[0.5, 10.0], [1.0, 4.0], [np.nan, 30.0], [2.0, np.nan]]
    np.testing.assert_allclose(replaced["concentration"].transpose("sample", "element"), expected)


def test_unknown_choices():
    table = make_table(Au=1.0, Cu=4.0)
    with pytest.raises(CompositionError, match="method='mice' is unknown.*'em'"):
        replace_censored(table, method="mice")
    with pytest.raises(CompositionError, match="unknown_limits=0"):
        replace_censored(table, unknown_limits=0)
    with pytest.raises(CubeError, match="DataArray"):
        replace_censored(table["concentration"])
