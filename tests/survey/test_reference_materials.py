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


def test_blanks():
    found = blank_contamination(make_table())
    np.testing.assert_array_equal(found["n"], [2, 1])
    np.testing.assert_array_equal(found["n_above"], [1, 1])
    np.testing.assert_allclose(found["share_above"], [0.5, 1.0])
    np.testing.assert_allclose(found["largest"], [3.0, 8.0])
    mild = blank_contamination(make_table(), times=5)
    np.testing.assert_array_equal(mild["n_above"], [0, 1])


def test_errors():
    table = make_table()
    with pytest.raises(CubeError, match="by='kind' is no column.*'material'"):
        blank_contamination(table, by="kind")
    with pytest.raises(CubeError, match="blank='BLK' is no entry"):
        blank_contamination(table, blank="BLK")
    with pytest.raises(XGeoAnomError, match="times=0"):
        blank_contamination(table, times=0)
    with pytest.raises(CubeError, match=r"certified names \['OREAS'\]"):
        reference_bias(table, {"OREAS": {"Au": 1.0}})
    with pytest.raises(CubeError, match="element='Xe'"):
        reference_bias(table, {"GBM1": {"Xe": 1.0}})
    with pytest.raises(XGeoAnomError, match="certified GBM1 Au=-1"):
        reference_bias(table, {"GBM1": {"Au": -1}})
