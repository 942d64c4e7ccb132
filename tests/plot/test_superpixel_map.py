"""Outlines: every side of a cell between two superpixels once, in its place."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from xgeoanom.errors import GridError
from xgeoanom.plot.maps import score_map
from xgeoanom.plot.superpixel_map import outlines, superpixel_boundaries

STEP = 500.0


def raster(values, name="superpixel", ascending=False):
    values = np.asarray(values)
    y = 4_300_000 + STEP * np.arange(values.shape[0])[::-1]
    x = 500_000 + STEP * np.arange(values.shape[1])
    result = xr.DataArray(values, {"y": y, "x": x}, dims=("y", "x"), name=name)
    result = result.rio.write_crs(32650)
    return result.sortby("y") if ascending else result


def sides(lines):
    """Middles of all cell sides on the lines, in metres, doubled to be whole."""
    found = []
    for start, stop in np.asarray(lines):
        n = int(np.rint(np.abs(stop - start).max() / STEP))
        found += [tuple(np.rint(2 * (start + (stop - start) * (k + 0.5) / n))) for k in range(n)]
    return sorted(found)


def naive_sides(ids):
    values, x, y = ids.values, ids["x"].values, ids["y"].values
    found = []
    for r, c in np.ndindex(values.shape):
        for s, t in ((r + 1, c), (r, c + 1)):
            if s < values.shape[0] and t < values.shape[1] and values[s, t] != values[r, c]:
                found.append((x[c] + x[t], y[r] + y[s]))
    return sorted(found)


@given(st.integers(0, 1000), st.booleans())
def test_outlines_equal_a_naive_loop(seed, ascending):
    ids = raster(np.random.default_rng(seed).integers(-1, 3, (6, 7)), ascending=ascending)
    assert sides(outlines(ids)) == naive_sides(ids)  # below 5 km axes are in metres


def test_straight_outlines_are_one_line():
    lines = outlines(raster([[0, 0, 1]] * 4))
    np.testing.assert_allclose(lines, [[[500_750, 4_301_750], [500_750, 4_299_750]]])


def test_raster_below_in_the_style_of_maps():
    ids = raster(np.arange(20).repeat(15).reshape(20, 15))
    below = raster(np.random.default_rng(0).random((20, 15)), "PC1").assign_attrs(long_name="PC 1")
    before = below.copy(deep=True)
    ax = superpixel_boundaries(ids, below.assign_coords(element="Au"), colour="red", linewidth=2)
    xr.testing.assert_identical(below, before)
    np.testing.assert_allclose(ax.images[0].get_array()[::-1], below)
    assert (ax.get_xlabel(), ax.get_title(loc="left")) == ("Easting (km)", "Au")
    assert ax.figure.axes[1].get_ylabel() == "PC 1"
    lines = ax.collections[0]
    assert to_hex(lines.get_color()[0]) == "#ff0000"
    np.testing.assert_allclose(lines.get_linewidth(), 2)
    assert len(lines.get_segments()) == 19
    np.testing.assert_allclose([*ax.get_xlim()], [499.75, 507.25])  # km, as the map below
    np.testing.assert_allclose(np.ptp([s[:, 0] for s in lines.get_segments()], axis=1), 7.5)


def test_over_a_map_that_is_there():
    ids = raster(np.arange(20).repeat(15).reshape(20, 15))
    ax = score_map(ids.astype(float))
    limits, n_figures = (ax.get_xlim(), ax.get_ylim()), len(plt.get_fignums())
    assert superpixel_boundaries(ids, ax=ax) is ax
    assert (ax.get_xlim(), ax.get_ylim()) == limits
    assert len(ax.images) == 1
    assert len(plt.get_fignums()) == n_figures


def test_alone():
    ax = superpixel_boundaries(raster([[0, 1], [2, -1]]))
    np.testing.assert_allclose(
        [*ax.get_xlim(), *ax.get_ylim()], [499_750, 500_750, 4_299_750, 4_300_750]
    )
    assert (ax.get_xlabel(), ax.get_aspect()) == ("Easting (m)", 1)
    assert to_hex(ax.collections[0].get_color()[0]) != "#ffffff"


def test_other_grid():
    ids = raster([[0, 1], [2, -1]])
    with pytest.raises(GridError, match="superpixels lies on another grid"):
        superpixel_boundaries(ids, raster(np.zeros((2, 3))))
