"""Reference materials and blanks, against sums by hand."""

import numpy as np
import pytest
import xarray as xr

from xgeoanom.errors import CubeError, XGeoAnomError
from xgeoanom.survey.reference_materials import blank_contamination, reference_bias


def make_table():
    values = [[9.0, 1.0], [11.0, 0.5], [13.0, 4.0], [2.0, 2.0], [0.2, np.nan], [3.0, 8.0]]
    state = [[0, 0], [0, 1], [0, 0], [0, 0], [1, 3], [0, 0]]
    material = ["GBM1", "GBM1", "GBM1", "", "blank", "blank"]
    dims = ("sample", "element")
    return xr.Dataset(
        {"concentration": (dims, values), "state": (dims, np.array(state, dtype="int8"))},
        {
            "element": ["Au", "Cu"],
            "unit": ("element", ["ppb", "ppm"]),
            "material": ("sample", material),
            "detection_limit": ("element", [1.0, 0.5]),
        },
    )


def test_bias_and_rsd():
    table = make_table()
    found = reference_bias(table, {"GBM1": {"Au": 10.0}}).sel(material="GBM1")
    np.testing.assert_array_equal(found["n"], [3, 2])
    np.testing.assert_allclose(found["mean"], [11.0, 2.5])
    np.testing.assert_allclose(found["bias"], [0.1, np.nan])
    np.testing.assert_allclose(found["rsd"], [2 / 11, np.sqrt(4.5) / 2.5])
    assert found["unit"].values.tolist() == ["ppb", "ppm"]
    assert '"GBM1"' in found.attrs["parameters"]
    single = reference_bias(table.isel(sample=[0, 3]), {"GBM1": {"Au": 10.0}})
    assert np.isnan(single["rsd"]).all()


def test_censored_analyses_are_counted():
    table = make_table()
    found = reference_bias(table.transpose("element", "sample"), {"GBM1": {"Cu": 2.0}})
    assert found["n_censored"].dims == ("material", "element")
    np.testing.assert_array_equal(found["n_censored"], [[0, 1]])
    np.testing.assert_array_equal(found["n"] + found["n_censored"], [[3, 3]])


def test_blanks():
    found = blank_contamination(make_table())
    np.testing.assert_array_equal(found["n"], [2, 1])
    np.testing.assert_array_equal(found["n_above"], [1, 1])
    np.testing.assert_allclose(found["share_above"], [0.5, 1.0])
    np.testing.assert_allclose(found["largest"], [3.0, 8.0])
    mild = blank_contamination(make_table(), times=5)
    np.testing.assert_array_equal(mild["n_above"], [0, 1])


def with_limits_by_sample(batch=None):
    """Soils below limits of 1, 2 and 4, and blanks of 1.5 and 2.5 that tell of no limit."""
    values, limits = [1.0, 2.0, 4.0, 1.5, 2.5], [1.0, 2.0, 4.0, np.nan, np.nan]
    dims = ("sample", "element")
    coords = {
        "element": ["Au"],
        "material": ("sample", ["", "", "", "blank", "blank"]),
        "detection_limit": (dims, np.array(limits)[:, None]),
    }
    if batch is not None:
        coords["batch"] = ("sample", batch)
    state = np.array([1, 1, 1, 0, 0], dtype="int8")[:, None]
    return xr.Dataset(
        {"concentration": (dims, np.array(values)[:, None]), "state": (dims, state)}, coords
    )


@pytest.mark.parametrize(
    ("batch", "times", "n_above"),
    [
        (None, 1, 2),
        (None, 2, 1),
        (None, 3, 0),
        (list("abbbb"), 1, 1),  # 2 in batch b
        (list("abcbc"), 1, 0),  # 2 in b, 4 in c
        (list("abcde"), 1, 2),  # no limit in d and e: that of the table
    ],
)
def test_the_smallest_known_limit_stands_for_those_of_measured_blanks(batch, times, n_above):
    found = blank_contamination(with_limits_by_sample(batch), times=times)
    np.testing.assert_array_equal(found["n_above"], [n_above])


def test_a_known_limit_of_the_blank_itself_counts():
    table = with_limits_by_sample()
    table["detection_limit"][3, 0] = 1.6
    np.testing.assert_array_equal(blank_contamination(table)["n_above"], [1])


def test_errors():
    table = make_table()
    with pytest.raises(CubeError, match="by='kind' is no column.*'material'"):
        blank_contamination(table, by="kind")
    with pytest.raises(CubeError, match=r"blank='BLK' is no entry.*\['', 'GBM1', 'blank'\]"):
        blank_contamination(table, blank="BLK")
    with pytest.raises(XGeoAnomError, match="times=0"):
        blank_contamination(table, times=0)
    with pytest.raises(
        CubeError, match=r"certified names \['OREAS'\].*it has \['', 'GBM1', 'blank'\]"
    ):
        reference_bias(table, {np.str_("OREAS"): {"Au": 1.0}})
    for wrong in ({"GBM1": 5.0}, 5.0, [("GBM1", {"Au": 5.0})]):
        with pytest.raises(XGeoAnomError, match="must give values by material and element"):
            reference_bias(table, wrong)
    with pytest.raises(CubeError, match="element='Xe'"):
        reference_bias(table, {"GBM1": {np.str_("Xe"): 1.0}})
    with pytest.raises(XGeoAnomError, match="certified GBM1 Au=-1"):
        reference_bias(table, {"GBM1": {"Au": -1}})
