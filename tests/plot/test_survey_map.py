"""The survey's points: colours by concentration, rings and crosses where nothing was measured."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm

from xgeoanom.errors import CubeError
from xgeoanom.plot.survey import samples


def table(state=True, n=50):
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(size=(n, 2)))
    flags = np.zeros((n, 2), dtype="int8")
    flags[:5, 0], flags[5:8, 0], flags[8:10, 0] = 1, 2, 3
    values[8:10, 0] = np.nan
    survey = xr.Dataset(
        {"concentration": (("sample", "element"), values)},
        coords={
            "element": ["Au", "Cu"],
            "unit": ("element", ["ppb", "ppm"]),
            "x": ("sample", rng.uniform(500_000, 530_000, n)),
            "y": ("sample", rng.uniform(4_300_000, 4_320_000, n)),
        },
    )
    if state:
        survey["state"] = ("sample", "element"), flags
    return survey.rio.write_crs(32650)


def test_samples_by_state():
    survey = table()
    before = survey.copy(deep=True)
    ax = samples(survey, "Au")
    xr.testing.assert_identical(survey, before)
    counts = [len(points.get_offsets()) for points in ax.collections]
    assert counts == [8, 2, 40]  # rings, crosses, dots
    names = [text.get_text() for text in ax.get_legend().texts]
    assert names == ["below detection limit", "not analysed"]
    dots = ax.collections[2]
    assert isinstance(dots.norm, LogNorm)
    shown = np.asarray(dots.get_array())
    assert (np.diff(shown) >= 0).all()  # the highest on top
    order = np.argsort(survey["concentration"][10:, 0].values)
    np.testing.assert_allclose(dots.get_offsets()[:, 0], survey["x"].values[10:][order] / 1000)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Easting (km)", "Northing (km)")
    assert ax.get_title(loc="left") == "Au"
    assert ax.figure.axes[1].get_ylabel() == "ppb"
    assert ax.get_aspect() == 1


def test_samples_without_states():
    ax = samples(table(state=False), "Au")
    assert [len(points.get_offsets()) for points in ax.collections] == [2, 48]
    assert samples(table(state=False), "Cu").get_legend() is None


def test_given_axes_are_used():
    ax = plt.subplots()[1]
    before = plt.get_fignums()
    assert samples(table(), "Cu", ax=ax) is ax
    assert plt.get_fignums() == before


def test_unknown_element():
    with pytest.raises(CubeError, match="Zz"):
        samples(table(), "Zz")
