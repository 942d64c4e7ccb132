"""Figures of variograms: dots where pairs are, curves of the model, its sill and ranges."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from xgeoanom.errors import XGeoAnomError
from xgeoanom.plot.variogram import variogram
from xgeoanom.survey.variogram import Variogram
from xgeoanom.survey.variogram_fit import fit_variogram

H = np.array([100.0, 300.0, 500.0, 700.0])
MODEL = Variogram.spherical(1.0, 600.0, nugget=0.2, ratio=0.5, azimuth=90.0)


def empirical(azimuths=None):
    angles = np.radians([90.0] if azimuths is None else azimuths)[:, None]
    gamma = MODEL.gamma(H * np.sin(angles), H * np.cos(angles))
    pairs = np.tile([10, 20, 0, 40], (len(gamma), 1))
    gamma[:, 2] = np.nan
    distance = np.where(pairs > 0, H, np.nan)
    columns = {"gamma": gamma, "distance": distance, "n_pairs": pairs}
    if azimuths is None:
        dims, coords = ("lag",), {"element": "Au"}
        columns = {name: column[0] for name, column in columns.items()}
    else:
        dims, coords = ("azimuth", "lag"), {"azimuth": azimuths}
    result = xr.Dataset({name: (dims, column) for name, column in columns.items()}, coords)
    result["gamma"].attrs["units"] = "(ppb)²"
    return result


def test_something_else_is_refused():
    with pytest.raises(XGeoAnomError, match="empirical_variogram"):
        variogram(xr.Dataset())
    with pytest.raises(XGeoAnomError, match="empirical_variogram"):
        fit_variogram(xr.DataArray([1.0]))


def test_dots_and_curve():
    table = empirical()
    before = table.copy(deep=True)
    ax = variogram(table, MODEL)
    xr.testing.assert_identical(table, before)
    dots = ax.collections[0]
    np.testing.assert_allclose(dots.get_offsets()[[0, 1, 3]], np.c_[H, MODEL.gamma(H)][[0, 1, 3]])
    areas = dots.get_sizes()
    assert areas[0] < areas[1] < areas[3]
    curve = ax.lines[0].get_xydata()
    np.testing.assert_allclose(curve[:, 1], MODEL.gamma(curve[:, 0], 0.0))
    assert curve[0, 1] == pytest.approx(0.2, abs=0.01)
    assert curve[-1, 0] == pytest.approx(735)
    sill, reach = ax.lines[1:]
    np.testing.assert_allclose(sill.get_ydata(), 1.2)
    np.testing.assert_allclose(reach.get_xdata(), 600.0)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "Distance (CRS units)",
        "Semivariance ((ppb)²)",
    )
    assert ax.get_title(loc="left") == "Au"
    assert ax.get_legend() is None


def test_each_direction_has_its_colour_and_curve():
    ax = variogram(empirical([0.0, 90.0]), MODEL)
    assert [text.get_text() for text in ax.get_legend().texts] == ["0°", "90°"]
    across, along = (line.get_xydata() for line in ax.lines[:2])
    np.testing.assert_allclose(across[:, 1], MODEL.gamma(0.0, across[:, 0]))
    np.testing.assert_allclose(along[:, 1], MODEL.gamma(along[:, 0], 0.0))
    colours = [dots.get_facecolor()[0, :3] for dots in ax.collections]
    assert not np.array_equal(*colours)


def test_without_a_model():
    ax = plt.subplots()[1]
    assert variogram(empirical(), ax=ax) is ax
    assert not ax.lines
    assert ax.get_ylim()[0] == 0
