"""Explanations drawn: arrows in their place and sense, patches north up in one scale."""

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.quiver import QuiverKey

from xgeoanom.errors import CRSError, GridError, XGeoAnomError
from xgeoanom.plot.explanations import offsets, patch_maps

X0, Y0 = 500_000.0, 4_300_000.0
STEP = 2000.0


def lattice(*, ascending=False):
    """Offsets on 3 x 4 cells as `offsets_at` returns; each arrow tells its own cell."""
    y, x = Y0 + STEP * np.arange(3), X0 + STEP * np.arange(4)
    dims, grid = ("y", "x"), {"y": y, "x": x}
    east = 100.0 * (1 + np.arange(4)) + np.zeros((3, 1))
    north = -10.0 * (1 + np.arange(3))[:, None] + np.zeros(4)
    arrays = {"east": east, "north": north, "weighted_east": -east, "weighted_north": 2 * north}
    field = xr.Dataset({name: (dims, v, {"units": "metre"}) for name, v in arrays.items()}, grid)
    field["modulation"] = (("y", "x", "point"), np.ones((3, 4, 9)))
    field = field.rio.write_crs(32650)
    return field if ascending else field.sortby("y", ascending=False)


def places(*xy):
    x, y = np.array(xy).T
    arrays = {
        name: ("location", np.full(x.size, 300.0), {"units": "metre"})
        for name in ("weighted_east", "weighted_north")
    }
    return xr.Dataset(arrays, {"x": ("location", x), "y": ("location", y)}).rio.write_crs(32650)


def raster(*, ascending=False):
    y, x = Y0 - 2000 + 500 * np.arange(20.0), X0 - 2000 + 500 * np.arange(30.0)
    values = np.arange(20.0)[:, None] + np.zeros(30)
    score = xr.DataArray(values, {"y": y, "x": x}, ("y", "x"), "pc1").rio.write_crs(32650)
    return score if ascending else score.sortby("y", ascending=False)


def points(*xy):
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(*zip(*xy, strict=True)), crs=32650)


def arrows_of(ax):
    """Start, end and components of each arrow, as drawn, by its start."""
    quiver = ax.collections[0]
    assert (quiver.angles, quiver.scale_units) == ("xy", "xy")
    starts, parts = np.asarray(quiver.XY), np.column_stack([quiver.U, quiver.V])
    return {
        tuple(np.round(start, 6)): tuple(part) for start, part in zip(starts, parts, strict=True)
    }


def key_of(ax):
    return next(artist for artist in ax.get_children() if isinstance(artist, QuiverKey))


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("with_background", [True, False])
def test_arrows_start_at_their_cells_and_point_as_on_the_ground(ascending, with_background):
    background = raster(ascending=not ascending) if with_background else None
    ax = offsets(lattice(ascending=ascending), background=background, weighted=False)
    want = {
        (500.0 + 2 * col, 4300.0 + 2 * row): (100.0 * (col + 1), -10.0 * (row + 1))
        for row in range(3)
        for col in range(4)
    }
    # Nine and six km across: both are drawn in km.
    assert arrows_of(ax) == want
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Easting (km)", "Northing (km)")
    assert ax.get_ylim()[0] < ax.get_ylim()[1]
    assert ax.get_xlim()[0] < ax.get_xlim()[1]


def test_weighted_arrows_are_the_default_and_missing_cells_have_none():
    field = lattice()
    field["weighted_north"][0, 0] = np.nan  # north-western cell
    before = field.copy(deep=True)
    ax = offsets(field)
    xr.testing.assert_identical(field, before)
    drawn = arrows_of(ax)
    assert len(drawn) == 11
    assert (500.0, 4304.0) not in drawn
    assert drawn[506.0, 4300.0] == (-400.0, -20.0)
    assert "weighted by modulation" in ax.get_title(loc="left")
    assert "plain mean" in offsets(field, weighted=False).get_title(loc="left")


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_scale_is_of_the_ground(scale):
    """An arrow of 300 m east and north at scale 5 spans 1.5 km of both axes."""
    ax = offsets(places((X0, Y0), (X0 + 9000, Y0 + 3000)), scale=scale)
    ax.figure.draw_without_rendering()
    quiver = ax.collections[0]
    outline = quiver.get_transform().transform(quiver.get_paths()[0].vertices)  # dots from start
    start, end = ax.transData.transform([(500.0, 4300.0), (501.0, 4301.0)])
    np.testing.assert_allclose(outline.max(axis=0), 0.3 * scale * (end - start), rtol=0.05)


def test_by_default_long_arrows_reach_a_tenth_of_the_map_at_most():
    ax = offsets(places((X0, Y0), (X0 + 9000, Y0 + 12_000)))
    quiver = ax.collections[0]
    assert np.hypot(300, 300) / quiver.scale == pytest.approx(15.0 / 10)  # km
    many = xr.concat([lattice()] * 30, "x").assign_coords(x=X0 + STEP * np.arange(120))
    quiver = offsets(many).collections[0]
    diagonal = np.hypot(238.0, 4.0)
    long = np.quantile(np.hypot(quiver.U, quiver.V), 0.95)
    assert long / quiver.scale == pytest.approx(diagonal / np.sqrt(360))


def test_one_place_is_drawn_as_on_the_ground():
    ax = offsets(places((X0, Y0)))
    assert ax.collections[0].scale == 1
    assert ax.get_xlabel() == "Easting (m)"
    assert ax.get_xlim()[0] <= X0
    assert ax.get_xlim()[1] >= X0 + 300


def test_arrows_that_did_not_move_are_drawn():
    still = lattice() * 0
    ax = offsets(still)
    ax.figure.draw_without_rendering()
    assert set(arrows_of(ax).values()) == {(0.0, 0.0)}


def test_key_tells_a_round_length_in_metres():
    key = key_of(offsets(places((X0, Y0), (X0 + 9000, Y0))))  # arrows of 424 m
    assert (key.U, key.text.get_text()) == (200.0, "200 m")


def test_background_and_deposits():
    ax = offsets(lattice(), background=raster().chunk(y=5), deposits=points((X0, Y0 + 500)))
    picture = ax.images[0].get_array()
    assert ax.images[0].origin == "lower"
    assert (np.diff(picture[:, 0]) > 0).all()
    np.testing.assert_allclose([*ax.get_xlim(), *ax.get_ylim()], ax.images[0].get_extent())
    np.testing.assert_allclose(ax.collections[1].get_offsets(), [[500.0, 4300.5]])
    assert [text.get_text() for text in ax.get_legend().texts] == ["Deposit (n = 1)"]
    assert ax.figure.axes[1].get_ylabel() == "pc1"
    assert len(offsets(lattice(), deposits=points((X0, Y0))).collections) == 2


def test_offsets_name_what_is_wrong():
    with pytest.raises(XGeoAnomError, match=r"field lacks \['weighted_east'"):
        offsets(lattice().drop_vars("weighted_east"))
    with pytest.raises(XGeoAnomError, match="scale=0"):
        offsets(lattice(), scale=0)
    with pytest.raises(XGeoAnomError, match="only missing"):
        offsets(lattice() * np.nan)
    with pytest.raises(GridError, match="background has dims"):
        offsets(lattice(), background=raster().expand_dims("component"))
    with pytest.raises(CRSError, match="background has CRS"):
        offsets(lattice(), background=raster().rio.write_crs(32651))
    with pytest.raises(XGeoAnomError, match="scale='2'"):
        offsets(lattice(), scale="2")
    assert plt.get_fignums() == []


def patches(values, *, turned=False):
    """Patches of 3 x 3 cells of 500 m as `grad_cam_at` returns: north first, or turned."""
    reach = 500.0 * np.arange(-1, 2)
    n = len(values)
    coords = {
        "dy": ("dy", -reach, {"units": "metre"}),
        "dx": ("dx", reach, {"units": "metre"}),
        "x": ("location", X0 + 1250 * np.arange(n)),
        "y": ("location", np.full(n, Y0)),
    }
    maps = xr.DataArray(values, coords, ("location", "dy", "dx"), "grad_cam")
    maps = maps.assign_attrs(long_name="gk_dcn grad-cam").rio.write_crs(32650)
    return maps.isel(dy=slice(None, None, -1)) if turned else maps


@pytest.mark.parametrize("turned", [True, False])
def test_patches_are_drawn_north_up(turned):
    values = np.arange(18.0).reshape(2, 3, 3)  # the first row is the northern one
    panels = patch_maps(patches(values, turned=turned))
    assert [ax.get_title() for ax in panels] == ["500.00, 4300.00 km", "501.25, 4300.00 km"]
    for ax, value in zip(panels, values, strict=True):
        image = ax.images[0]
        assert image.origin == "lower"
        np.testing.assert_array_equal(image.get_array()[::-1], value)
        np.testing.assert_allclose(image.get_extent(), [-750, 750, -750, 750])
        assert image.get_clim() == (0.0, 17.0)
        assert ax.get_ylim() == (-750, 750)
        assert ax.get_xlabel() == "East of centre (m)"
    assert panels[0].figure.axes[2].get_ylabel() == "gk_dcn grad-cam"


def test_evidence_against_makes_the_scale_even_about_zero():
    values = np.zeros((2, 3, 3))
    values[1, 0, 0] = -4.0
    panels = patch_maps(patches(values))
    assert {ax.images[0].get_clim() for ax in panels} == {(-4.0, 4.0)}
    assert {ax.images[0].cmap.name for ax in panels} == {"RdBu_r"}


def test_empty_patches_are_drawn_on_given_axes():
    axes = plt.subplots(1, 2)[1]
    before = plt.get_fignums()
    panels = patch_maps(patches(np.zeros((2, 3, 3))), axes=axes)
    assert list(panels) == list(axes)
    assert plt.get_fignums() == before
    assert panels[0].images[0].get_clim() == (0.0, 1.0)


def test_patch_maps_name_what_is_wrong():
    maps = patches(np.zeros((2, 3, 3)))
    with pytest.raises(XGeoAnomError, match="location, dy, dx"):
        patch_maps(maps[0])
    with pytest.raises(XGeoAnomError, match="axes holds 1 axes"):
        patch_maps(maps, axes=[plt.subplots()[1]])
