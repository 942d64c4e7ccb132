import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from xgeoanom.errors import CRSError, GridError, LabelError
from xgeoanom.geology.labels import check_labels, deposit_ids, draw_background, label_deposits
from xgeoanom.seeding import streams

STEP = 100.0


def make_grid(rows=9, cols=12, descending=True):
    y = 1000.0 + STEP * np.arange(rows)
    coords = {"y": y[::-1] if descending else y, "x": 500.0 + STEP * np.arange(cols)}
    grid = xr.DataArray(np.zeros((rows, cols)), coords, ("y", "x"), name="grid")
    grid.attrs = {"long_name": "grid", "units": "ppm"}
    return grid.rio.write_crs(32650)


def make_deposits(*places, crs=32650):
    x, y = np.array(places, dtype=float).reshape(-1, 2).T
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=crs)


def naive_labels(places, grid, radius):
    """Label cell by cell: near in rows and columns to any deposit's cell."""
    x, y = grid["x"].values, grid["y"].values
    labels = np.full((y.size, x.size), -1)
    ids = np.full((y.size, x.size), -1)
    for row in range(y.size):
        for col in range(x.size):
            for place in places:
                at = np.argmin(abs(y - place[1])), np.argmin(abs(x - place[0]))
                if max(abs(row - at[0]), abs(col - at[1])) <= radius:
                    labels[row, col] = 1
            if labels[row, col] == 1:
                ids[row, col] = np.argmin([np.hypot(x[col] - a, y[row] - b) for a, b in places])
    return labels, ids


# ---------------------------------------------------------------------------- label_deposits


@given(
    places=st.lists(st.tuples(st.floats(455, 1645), st.floats(955, 1845)), min_size=1, max_size=4),
    radius=st.integers(0, 3),
    descending=st.booleans(),
)
def test_labels_equal_naive_loop(places, radius, descending):
    grid = make_grid(descending=descending)
    result = label_deposits(make_deposits(*places), grid, radius_cells=radius)
    labels, ids = naive_labels(places, grid, radius)
    np.testing.assert_array_equal(result, labels)
    np.testing.assert_array_equal(result["deposit"], ids)


@pytest.mark.parametrize("descending", [True, False])
def test_labels_are_georeferenced(descending):
    grid = make_grid(descending=descending)
    labels = label_deposits(make_deposits((800, 1300), (1000, 1500)), grid)
    assert_georeferenced(labels, grid)
    assert_georeferenced(labels["deposit"], grid, provenance=False)
    assert labels.dtype == "int8"
    assert labels["deposit"].dtype == "int16"
    assert labels.attrs["units"] == "1"
    assert labels.attrs["flag_meanings"] == "deposit background unlabelled"
    assert int((labels == 1).sum()) == 17  # the blocks share a corner


def test_a_lazy_cube_is_not_computed(no_compute):
    grid = make_grid()
    cube = grid.expand_dims(element=["Au", "Cu"]).chunk(y=4)
    with no_compute():
        labels = label_deposits(make_deposits((800, 1300)), cube)
    assert labels.dims == ("y", "x")
    assert labels.identical(label_deposits(make_deposits((800, 1300)), cube.to_dataset(name="c")))


def test_deposits_outside_are_left_out():
    grid = make_grid()
    deposits = make_deposits((0, 0), (800, 1300))
    with pytest.warns(UserWarning, match="1 of 2 deposits lie outside"):
        labels = label_deposits(deposits, grid)
    assert np.unique(labels["deposit"]).tolist() == [-1, 1]
    with pytest.raises(LabelError, match="none of the 1 deposits"):
        label_deposits(deposits.iloc[:1], grid)


@pytest.mark.parametrize(
    ("deposits", "arguments", "error", "message"),
    [
        (make_deposits((800, 1300), crs=32651), {}, CRSError, "to_crs"),
        (make_deposits((800, 1300), crs=None), {}, CRSError, "no CRS"),
        (make_deposits((8, 13), crs=4326), {}, CRSError, "degrees"),
        (make_deposits((800, 1300)), {"radius_cells": -1}, LabelError, "radius_cells=-1"),
        (make_deposits((800, 1300)), {"radius_cells": 0.5}, LabelError, "radius_cells=0.5"),
        (make_deposits(), {}, LabelError, "none of the 0"),
        (
            gpd.GeoDataFrame(geometry=make_deposits((800, 1300)).buffer(9)),
            {},
            LabelError,
            "1 geometries that are no points",
        ),
    ],
)
def test_label_deposits_refuses(deposits, arguments, error, message):
    with pytest.raises(error, match=message):
        label_deposits(deposits, make_grid(), **arguments)


# --------------------------------------------------------------------------- draw_background


def make_labels(descending=True):
    grid = make_grid(descending=descending)
    return label_deposits(make_deposits((800, 1300), (1400, 1700)), grid)


@given(
    n=st.integers(1, 20),
    min_distance=st.floats(0, 300),
    seed=st.integers(0, 9),
    descending=st.booleans(),
)
def test_background_is_where_it_may_be(n, min_distance, seed, descending):
    labels = make_labels(descending)
    exclude = (labels["x"] < 700) & (labels["y"] > 0)
    drawn = draw_background(labels, n=n, exclude=exclude, min_distance=min_distance, seed=seed)
    rows, cols = np.nonzero(drawn.values == 0)
    assert len(rows) == n
    np.testing.assert_array_equal(drawn == 1, labels == 1)
    assert (labels["x"].values[cols] >= 700).all()
    centres = np.stack(np.broadcast_arrays(labels["x"], labels["y"].values[:, None]), -1)
    distances = cdist(centres[rows, cols], centres[labels.values == 1])
    assert (distances.min(axis=1) > min_distance).all()


def test_background_is_georeferenced():
    labels = make_labels()
    before = labels.copy(deep=True)
    drawn = draw_background(labels, seed=0)
    assert int((drawn == 0).sum()) == int((labels == 1).sum()) == 18
    assert_georeferenced(drawn, make_grid())
    assert drawn.dtype == "int8"
    assert drawn.attrs["seed"] == 0
    assert drawn["deposit"].identical(labels["deposit"])
    assert labels.identical(before)


@given(n=st.integers(1, 40), radius=st.integers(0, 2), seed=st.integers(0, 99))
def test_clusters_equal_a_naive_loop(n, radius, seed):
    labels = make_labels()  # its first row is the northernmost
    exclude = labels.copy(data=np.random.default_rng(seed).random(labels.shape) < 0.2)
    drawn = draw_background(labels, n=n, exclude=exclude, radius_cells=radius, seed=seed)
    free = (labels.values == -1) & ~exclude.values
    expected = []
    for centre in streams(seed, 1)[0].choice(np.flatnonzero(free), size=n, replace=False):
        row, col = divmod(int(centre), free.shape[1])
        for at in np.ndindex(free.shape):
            near = max(abs(at[0] - row), abs(at[1] - col)) <= radius
            if near and free[at] and at not in expected:
                expected.append(at)
    assert {tuple(at) for at in np.argwhere(drawn.values == 0).tolist()} == set(expected[:n])
    assert drawn.attrs["parameters"].count(f'"radius_cells": {radius}') == 1


def test_clusters_do_not_know_which_way_y_runs():
    up, down = (
        draw_background(make_labels(descending), n=12, radius_cells=1, seed=3)
        for descending in (False, True)
    )
    np.testing.assert_array_equal(up.isel(y=slice(None, None, -1)), down)


def test_same_seed_same_background():
    labels = make_labels()
    first = draw_background(labels, seed=0)
    assert first.identical(draw_background(labels, seed=0))
    assert not first.equals(draw_background(labels, seed=1))
    northward = draw_background(make_labels(descending=False), seed=0)
    np.testing.assert_array_equal(northward.sortby("y", ascending=False), first)
    unseeded = draw_background(labels)
    assert unseeded.equals(draw_background(labels, seed=unseeded.attrs["seed"]))
    rng = np.random.default_rng(0)
    assert not draw_background(labels, seed=rng).equals(draw_background(labels, seed=rng))


def test_every_free_cell_can_be_drawn():
    labels = make_labels()
    assert not (draw_background(labels, n=108 - 18, seed=0) == -1).any()
    with pytest.raises(LabelError, match="n=91 .* 90 are available"):
        draw_background(labels, n=91)


def test_background_joins_what_is_there():
    labels = draw_background(make_labels(), n=5, seed=0)
    assert int((draw_background(labels, n=5, seed=0) == 0).sum()) == 10


def test_draw_background_refuses():
    labels = make_labels()
    inside = xr.zeros_like(labels, dtype=bool)
    for arguments, error, message in [
        ({"n": 0}, LabelError, "n=0"),
        ({"n": 2.5}, LabelError, "n=2.5"),
        ({"min_distance": -1.0}, LabelError, "min_distance=-1.0"),
        ({"radius_cells": -1}, LabelError, "radius_cells=-1"),
        ({"min_distance": 1e9}, LabelError, "0 are available"),
        ({"exclude": labels}, LabelError, "int8"),
        ({"exclude": inside[1:]}, GridError, "exclude"),
    ]:
        with pytest.raises(error, match=message):
            draw_background(labels, **arguments)
    with pytest.raises(LabelError, match="no deposit"):
        draw_background(labels.where(labels != 1, -1))


# --------------------------------------------------------------------- deposit_ids and checks


def test_ids_come_from_the_coord():
    labels = make_labels()
    ids = deposit_ids(draw_background(labels, seed=0))
    assert ids.dtype == "int16"
    np.testing.assert_array_equal(ids, labels["deposit"])
    held_out = labels.where(labels["deposit"] != 1, -1).astype("int8")
    assert np.unique(deposit_ids(held_out)).tolist() == [-1, 0]


def test_ids_of_groups():
    marks = np.array([[1, 0, 0, 1], [0, 1, -1, 1], [-1, -1, -1, -1], [1, 1, 0, 0]], dtype="int8")
    labels = make_grid(4, 4).copy(data=marks)
    ids = deposit_ids(labels)
    np.testing.assert_array_equal(
        ids, [[0, -1, -1, 1], [-1, 0, -1, 1], [-1, -1, -1, -1], [2, 2, -1, -1]]
    )
    assert_georeferenced(ids, labels, provenance=False)


def test_ids_that_leave_a_deposit_out():
    labels = make_labels()
    more = xr.where(labels["x"] == 500, 1, labels, keep_attrs=True).assign_coords(labels.coords)
    with pytest.raises(LabelError, match="drop_vars"):
        deposit_ids(more.transpose("y", "x"))


def test_check_labels():
    labels = make_labels()
    cube = make_grid().expand_dims(element=["Au", "Cu"])
    check_labels(labels, cube)
    check_labels(labels.chunk(), cube)
    for wrong, error, message in [
        (labels.where(labels != 1, -1), LabelError, "no deposit"),
        (labels.where(labels != 1, 3), LabelError, r"\[3\]"),
        (labels.where(labels == 1), LabelError, "nan"),
        (labels[1:], GridError, "another grid"),
        (labels.assign_coords(x=labels["x"] + 10), GridError, "another grid"),
        (labels.drop_vars("spatial_ref").rio.write_crs(32651), CRSError, "32651"),
        (labels[0], GridError, "dims"),
    ]:
        with pytest.raises(error, match=message):
            check_labels(wrong, cube)
