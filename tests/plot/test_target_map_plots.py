"""SKT's explanations drawn: each map in its place, deposits where they lie, shares as given."""

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from xgeoanom.errors import CRSError, LabelError, XGeoAnomError
from xgeoanom.plot.target_maps import element_mask, kept_kernels, target_cam_maps

X0, Y0 = 500_000.0, 4_300_000.0


def maps_of(values):
    """Maps of 4 x 4 cells of 500 m as `target_cam` returns, north first."""
    reach = 500.0 * np.arange(-2, 2)
    coords = {
        "dy": ("dy", -reach, {"units": "metre"}),
        "dx": ("dx", reach, {"units": "metre"}),
        "x": ("location", X0 + 1250 * np.arange(len(values))),
        "y": ("location", np.full(len(values), Y0)),
        "dilation": ("network", 5 * np.arange(values.shape[1]) + 1),
    }
    maps = xr.DataArray(values, coords, ("location", "network", "dy", "dx"), "target_cam")
    return maps.assign_attrs(long_name="skt Grad-CAM").rio.write_crs(32650)


@pytest.fixture
def values():
    values = np.arange(2 * 3 * 16.0).reshape(2, 3, 4, 4)
    values[:, 1, [0, -1]] = np.nan
    return values


def test_a_row_for_each_place_and_a_column_for_each_network(values):
    panels = target_cam_maps(maps_of(values))
    assert panels.shape == (2, 3)
    for (k, v), ax in np.ndenumerate(panels):
        image = ax.images[0]
        assert image.origin == "lower"
        drawn = np.ma.filled(image.get_array(), np.nan)[::-1]
        np.testing.assert_array_equal(drawn, values[k, v])
        np.testing.assert_allclose(image.get_extent(), [-1250, 750, -750, 1250])
        assert image.get_clim() == (0.0, 95.0)
        assert ax.get_title() == (f"Dilation {5 * v + 1}" if k == 0 else "")
        assert bool(ax.get_ylabel()) == (v == 0)
        assert bool(ax.get_xlabel()) == (k == 1)
    assert panels[1, 0].get_ylabel() == "501.25, 4300.00 km\nNorth of centre (m)"
    assert len(panels[0, 0].figure.axes) == 7  # one colour bar


def test_deposits_lie_as_far_from_the_place_as_on_the_ground(values):
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy([X0 + 250], [Y0 - 400]), crs=32650)
    panels = target_cam_maps(maps_of(values), deposits=points)
    for (k, _), ax in np.ndenumerate(panels):
        (marks,) = ax.collections
        np.testing.assert_allclose(marks.get_offsets(), [[250 - 1250 * k, -400]])
        assert ax.get_xlim() == (-1250, 750)


def test_given_axes_are_used(values):
    axes = plt.subplots(2, 3)[1]
    before = plt.get_fignums()
    assert list(target_cam_maps(maps_of(values), axes=axes.ravel()).ravel()) == list(axes.ravel())
    assert plt.get_fignums() == before
    with pytest.raises(XGeoAnomError, match="axes holds 2 axes"):
        target_cam_maps(maps_of(values), axes=axes[0, :2])


def test_wrong_maps_and_deposits(values):
    maps = maps_of(values)
    with pytest.raises(XGeoAnomError, match="location, network, dy, dx"):
        target_cam_maps(maps[0])
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy([X0], [Y0]), crs=32651)
    with pytest.raises(CRSError):
        target_cam_maps(maps, deposits=points)
    with pytest.raises(LabelError):
        target_cam_maps(maps, deposits=[(X0, Y0)])


def test_elements_by_their_mean_weight():
    mask = xr.DataArray(
        [[1.5, 0.9, 1.0], [1.1, 0.5, 1.2]], {"element": ["Au", "Cu", "As"]}, ("draw", "element")
    )
    ax = element_mask(mask)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Cu", "As", "Au"]
    bars, dots = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), [[0.7, 0], [1.1, 1], [1.3, 2]])
    ends = [segment[:, 0] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[0.5, 0.9], [1.0, 1.2], [1.1, 1.5]])
    with pytest.raises(XGeoAnomError, match="draw, element"):
        element_mask(mask[0])


def test_a_line_of_shares_for_each_network():
    shares = np.random.default_rng(0).random((2, 3, 4))
    coords = {"layer": list("abcd"), "dilation": ("network", [1, 6, 12])}
    kept = xr.DataArray(shares, coords, ("draw", "network", "layer"))
    given = plt.subplots()[1]
    ax = kept_kernels(kept, ax=given)
    assert ax is given
    np.testing.assert_allclose([line.get_ydata() for line in ax.lines], shares.mean(axis=0))
    assert [line.get_label() for line in ax.lines] == ["Dilation 1", "Dilation 6", "Dilation 12"]
    assert [label.get_text() for label in ax.get_xticklabels()] == list("abcd")
    with pytest.raises(XGeoAnomError, match="draw, network, layer"):
        kept_kernels(kept[0])
