"""Attribution drawn: the heaviest elements first, in one scale that is even about 0."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from xgeoanom.errors import CRSError, LabelError, XGeoAnomError
from xgeoanom.plot.attribution_panels import attribution_bars, attributions

X0, Y0 = 300_000.0, 4_000_000.0
WEIGHTS = {"Au": 1.0, "As": 3.0, "Cu": 0.5, "Pb": 2.0}


def maps(*, ascending=False):
    values = np.random.default_rng(0).normal(size=(4, 6, 5))
    values *= np.array(list(WEIGHTS.values()))[:, None, None]
    values[:, 2, 3] = np.nan
    coords = {
        "element": list(WEIGHTS),
        "y": Y0 - 500.0 * np.arange(6),
        "x": X0 + np.arange(5) * 5e2,
    }
    array = xr.DataArray(values, coords, ("element", "y", "x"), "integrated_gradients")
    array = array.assign_attrs(long_name="mim integrated gradients").rio.write_crs(32650)
    return array.sortby("y") if ascending else array


def points(*xy, crs=32650):
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(*zip(*xy, strict=True)), crs=crs)


@pytest.mark.parametrize("ascending", [False, True])
def test_the_heaviest_elements_north_up(ascending):
    panels = attributions(maps(ascending=ascending).chunk(y=2), n=3)
    assert [ax.get_title(loc="left") for ax in panels] == ["As", "Pb", "Au"]
    shown = maps().sel(element=["As", "Pb", "Au"])
    most = np.nanpercentile(np.abs(shown), 98)
    for layer, ax in zip(shown, panels, strict=True):
        image = ax.images[0]
        assert image.origin == "lower"
        np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan)[::-1], layer)
        np.testing.assert_allclose(image.get_clim(), [-most, most])
    figure = panels[0].figure
    assert len(figure.axes) == 4  # one colour bar
    assert figure.axes[-1].get_ylabel() == "mim integrated gradients"


def test_fewer_elements_than_asked_for():
    assert len(attributions(maps())) == 4


def test_deposits():
    panels = attributions(maps(), n=2, deposits=points((X0 + 600, Y0 - 700)))
    for ax in panels:
        (marks,) = ax.collections
        np.testing.assert_allclose(marks.get_offsets(), [[X0 + 600, Y0 - 700]])
    with pytest.raises(CRSError):
        attributions(maps(), deposits=points((X0, Y0), crs=32651))
    with pytest.raises(LabelError):
        attributions(maps(), deposits=[(X0, Y0)])


def test_wrong_maps():
    with pytest.raises(XGeoAnomError, match="element, y, x"):
        attributions(maps()[0])
    with pytest.raises(XGeoAnomError, match="only missing"):
        attributions(maps() * np.nan)
    for n in (0, 1.5):
        with pytest.raises(XGeoAnomError, match=f"n={n}"):
            attributions(maps(), n=n)


@pytest.fixture
def summary():
    columns = {"mean_abs": [1.0, 3.0, 2.0], "mean": [-0.5, 2.0, 1.0]}
    columns |= {"p10": [-2.0, 0.5, -1.0], "p90": [0.25, 5.0, 4.0]}
    return pd.DataFrame(columns, index=["Au", "As", "Cu"])


def test_bars_from_the_heaviest(summary):
    given = plt.subplots()[1]
    ax = attribution_bars(summary, n=2, ax=given)
    assert ax is given
    assert [label.get_text() for label in ax.get_yticklabels()] == ["As", "Cu"]
    assert [bar.get_width() for bar in ax.patches] == [3, 2]
    lines, dots = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), [[2, 0], [1, 1]])
    ends = [segment[:, 0] for segment in lines.get_segments()]
    np.testing.assert_allclose(ends, [[0.5, 5], [-1, 4]])
    assert ax.yaxis_inverted()


def test_wrong_summary(summary):
    with pytest.raises(XGeoAnomError, match="attribution_summary returns"):
        attribution_bars(summary.drop(columns="p10"))
    with pytest.raises(XGeoAnomError, match="attribution_summary returns"):
        attribution_bars(maps())
    with pytest.raises(XGeoAnomError, match="n=0"):
        attribution_bars(summary, n=0)
