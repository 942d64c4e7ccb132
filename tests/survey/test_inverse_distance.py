"""Gridding: each element as if alone, on the right cells, lazily, with its coordinates."""

import json

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from surveys import EAST, NORTH, random_survey

from xgeoanom.errors import CRSError, CubeError, GridError
from xgeoanom.survey.gridding import BLOCK_BYTES
from xgeoanom.survey.inverse_distance import idw
from xgeoanom.survey.rasters import open_cube, save_cube


def by_scipy(table, cube, k=12, power=2.0):
    """Grid each element alone, over its own samples."""
    out = np.empty(cube.shape)
    cells = np.stack(np.meshgrid(cube.x, cube.y), axis=-1)
    for e, column in enumerate(table["concentration"].values.T):
        has = np.isfinite(column)
        points = np.column_stack([table["x"], table["y"]])[has]
        distance, near = cKDTree(points).query(cells, k=list(range(1, k + 1)))
        weights = distance**-power
        out[e] = (weights * column[has][near]).sum(-1) / weights.sum(-1)
    return out


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(("k", "power"), [(12, 2.0), (5, 1.5)])
def test_equals_scipy_element_by_element(missing, k, power):
    table = random_survey(missing=missing)
    cube = idw(table, spacing=300.0, n_neighbors=k, power=power)
    np.testing.assert_allclose(cube.values, by_scipy(table, cube, k, power), rtol=1e-10)


def test_missing_samples_spoil_only_their_element():
    table = random_survey()
    holed = table.copy(deep=True)
    holed["concentration"][10:25, 1] = np.nan
    whole, cube = idw(table, spacing=500.0), idw(holed, spacing=500.0)
    np.testing.assert_array_equal(cube.sel(element=["Au", "Zn"]), whole.sel(element=["Au", "Zn"]))
    alone = idw(holed.isel(element=[1]).dropna("sample"), like=whole)
    np.testing.assert_allclose(cube[1], alone[0], rtol=1e-12)


@settings(max_examples=15)
@given(
    chunks=st.one_of(st.integers(1, 30), st.tuples(st.integers(1, 30), st.integers(1, 30))),
    round_to=st.sampled_from([1.0, 2000.0]),
)
def test_chunks_do_not_matter(chunks, round_to):
    table = random_survey(missing=0.2)
    # Rounded: samples coincide, and ties abound.
    table = table.assign_coords(
        {name: (table[name] / round_to).round() * round_to for name in "xy"}
    )
    whole = idw(table, spacing=500.0, chunks=100)
    cut = idw(table, spacing=500.0, chunks=chunks)
    np.testing.assert_array_equal(cut.values, whole.values)
    rows, cols = chunks if isinstance(chunks, tuple) else (chunks, chunks)
    assert cut.chunks[0] == (3,)
    assert cut.chunks[1][0] == min(rows, cut.sizes["y"])
    assert cut.chunks[2][0] == min(cols, cut.sizes["x"])


@pytest.mark.parametrize("flip", ["y", "x"])
def test_direction_of_like_does_not_matter(flip):
    table = random_survey(missing=0.2)
    cube = idw(table, spacing=400.0)
    turned = idw(table, like=cube.isel({flip: slice(None, None, -1)}))
    assert turned[flip][0] == cube[flip][-1]
    xr.testing.assert_equal(turned.sortby(["y", "x"]), cube.sortby(["y", "x"]))


def test_north_is_up():
    table = random_survey(400, ["northing", "easting"])
    table["concentration"][:] = np.column_stack([table["y"], table["x"]])
    cube = idw(table, spacing=500.0)
    assert (np.diff(cube.y) == -500).all()
    assert (np.diff(cube.x) == 500).all()
    assert np.sqrt(((cube.sel(element="northing") - cube.y) ** 2).mean()) < 500
    assert cube.sel(element="northing")[0].mean() > cube.sel(element="northing")[-1].mean() + 8000
    assert np.sqrt(((cube.sel(element="easting") - cube.x) ** 2).mean()) < 500


def test_cells_of_spacing_and_bounds():
    table = random_survey()
    cube = idw(table, spacing=1000.0, bounds=(EAST, NORTH, EAST + 3000, NORTH + 2500))
    np.testing.assert_array_equal(cube.x, EAST + np.array([500, 1500, 2500]))
    np.testing.assert_array_equal(cube.y, NORTH + np.array([2000, 1000, 0]))


def test_default_bounds_are_multiples_of_spacing():
    table = random_survey()
    cube = idw(table, spacing=700.0)
    west, north = cube.x.values[0] - 350, cube.y.values[0] + 350
    assert west % 700 == 0
    assert north % 700 == 0
    assert west <= table.x.min() < west + 700
    assert north - 700 < table.y.max() <= north


def test_samples_on_one_line_make_one_row_of_cells():
    table = random_survey()
    table["y"][:] = NORTH
    assert idw(table, spacing=500.0).sizes["y"] == 1


def test_value_at_sample_is_exact():
    table = random_survey()
    x, y = table.x.values[3], table.y.values[3]
    cube = idw(table, spacing=1.0, bounds=(x - 0.5, y - 0.5, x + 0.5, y + 0.5))
    np.testing.assert_array_equal(cube[:, 0, 0], table["concentration"][3])


def test_max_distance_leaves_holes():
    table = random_survey()
    cube = idw(table, spacing=200.0, max_distance=600.0)
    cells = np.stack(np.meshgrid(cube.x, cube.y), axis=-1)
    nearest, _ = cKDTree(np.column_stack([table.x, table.y])).query(cells)
    np.testing.assert_array_equal(np.isnan(cube[0]), nearest > 600)
    assert cube.attrs["interpolation_range"] == 600.0


def test_interpolation_range_is_how_far_values_are_carried():
    table = random_survey(200)
    distances = np.hypot(
        table.x.values[:, None] - table.x.values, table.y.values[:, None] - table.y.values
    )
    expected = np.percentile(np.sort(distances, axis=1)[:, 7], 95)
    cube = idw(table, spacing=500.0, n_neighbors=7)
    assert cube.attrs["interpolation_range"] == pytest.approx(expected)


def test_nothing_is_computed_at_the_call(no_compute):
    with no_compute():
        cube = idw(random_survey(), spacing=500.0)
    assert cube.chunks is not None
    assert cube.dtype == cube.compute().dtype == "float64"


def test_default_blocks_are_bounded_and_even():
    cube = idw(random_survey(elements=[f"E{i}" for i in range(39)]), spacing=2.0)
    blocks = [np.prod([sizes[0] for sizes in cube.chunks]) * 8]
    assert max(blocks) <= 1.1 * BLOCK_BYTES
    assert cube.chunks[0] == (39,)
    # Whole tiles, so that the last block alone may fall short.
    assert len(set(cube.chunks[1][:-1])) == 1


def test_georeferenced_and_described():
    table = random_survey(missing=0.1)
    like = idw(table, spacing=800.0)[0].drop_vars(["element", "unit"])
    like.attrs = {"long_name": "else"}
    cube = idw(table, like=like)
    assert_georeferenced(cube, like)
    assert cube.name == "concentration"
    assert cube.dims == ("element", "y", "x")
    assert cube.attrs["units"] == "ppm"
    assert cube.attrs["log_ratio"] == "none"
    assert json.loads(cube.attrs["parameters"])["power"] == 2.0
    xr.testing.assert_identical(
        cube["unit"].drop_vars("spatial_ref"), table["unit"].drop_vars("spatial_ref")
    )


def test_mixed_units_are_said():
    table = random_survey().assign_coords(unit=("element", ["ppb", "ppm", "%"]))
    assert idw(table, spacing=500.0).attrs["units"] == "mixed"


def test_inputs_stay_as_they_are():
    table = random_survey(missing=0.1)
    like = idw(table, spacing=800.0).compute()
    copies = table.copy(deep=True), like.copy(deep=True)
    idw(table, like=like).compute()
    xr.testing.assert_identical(table, copies[0])
    xr.testing.assert_identical(like, copies[1])


def test_float32_table_gives_float64_cube():
    table = random_survey()
    assert idw(table.astype("float32"), spacing=500.0).compute().dtype == "float64"


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, GridError, "neither spacing nor like"),
        ({"spacing": 0.0}, GridError, "spacing=0.0"),
        ({"spacing": -5.0}, GridError, "spacing=-5.0"),
        ({"spacing": np.nan}, GridError, "spacing=nan"),
        ({"spacing": 500.0, "bounds": (0.0, 0.0, 0.0, 10.0)}, GridError, "bounds"),
        ({"spacing": 500.0, "bounds": (0.0, 0.0, np.nan, 10.0)}, GridError, "bounds"),
        ({"spacing": 500.0, "power": 0.0}, GridError, "power=0.0"),
        ({"spacing": 500.0, "max_distance": 0.0}, GridError, "max_distance=0.0"),
        ({"spacing": 500.0, "n_neighbors": 0}, GridError, "n_neighbors=0"),
        ({"spacing": 500.0, "n_neighbors": 2.5}, GridError, "n_neighbors=2.5"),
        ({"spacing": 500.0, "n_neighbors": 61}, GridError, "try n_neighbors=60"),
        ({"spacing": 500.0, "chunks": 0}, GridError, "chunks=0"),
        ({"spacing": 500.0, "chunks": "auto"}, GridError, "chunks='auto'"),
        ({"spacing": 500.0, "chunks": (2,)}, GridError, "rows, columns"),
        ({"spacing": 500.0, "n_neighbors": True}, GridError, "n_neighbors=True"),
        ({"like": np.zeros((3, 3))}, GridError, "like is a ndarray"),
        (
            {"spacing": 500.0, "max_distance": 3e3, "max_per_octant": 1, "min_neighbors": 9},
            GridError,
            "try max_per_octant=2",
        ),
        ({"spacing": 500.0, "power": "2"}, GridError, "power='2'"),
        ({"spacing": 500.0, "min_neighbors": 13}, GridError, "try min_neighbors=12"),
        ({"spacing": 500.0, "max_distance": (1.0, 2.0, 3.0)}, GridError, "along, across"),
        ({"spacing": 500.0, "max_distance": (900.0, 0.0)}, GridError, "max_distance=0.0"),
        ({"spacing": 500.0, "max_distance": 900.0, "azimuth": 30.0}, GridError, "two radii"),
        ({"spacing": 500.0, "max_per_octant": 2}, GridError, "needs max_distance"),
        ({"spacing": 500.0, "min_octants": 2}, GridError, "needs max_per_octant"),
    ],
)
def test_bad_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        idw(random_survey(), **arguments)


def test_spacing_and_like_exclude_each_other():
    like = idw(random_survey(), spacing=500.0)
    with pytest.raises(GridError, match="exclude each other"):
        idw(random_survey(), spacing=500.0, like=like)


def test_uneven_like():
    like = idw(random_survey(), spacing=500.0).isel(x=[0, 1, 3])
    with pytest.raises(GridError, match="unevenly"):
        idw(random_survey(), like=like)


def test_crs_must_be_projected_and_the_same():
    table = random_survey()
    with pytest.raises(CRSError, match="degrees"):
        idw(table.rio.write_crs(4326), spacing=0.1)
    with pytest.raises(CRSError, match="no CRS"):
        idw(table.drop_vars("spatial_ref"), spacing=500.0)
    like = idw(table, spacing=500.0)
    with pytest.raises(CRSError, match="EPSG:32646"):
        idw(table, like=like.rio.write_crs(32646))
    with pytest.raises(CRSError, match="like has no CRS"):
        idw(table, like=like.drop_vars("spatial_ref"))


def holed(value, *at):
    table = random_survey()
    table["concentration"][at] = value
    return table


@pytest.mark.parametrize(
    ("table", "error", "says"),
    [
        (random_survey(1), GridError, "1 samples"),
        (random_survey(elements=["Au", "Au"]), CubeError, "repeated"),
        (holed(np.nan, slice(None), 1), CubeError, "Cu.*no samples"),
        (holed(np.nan, slice(8, None), 1), GridError, "8 samples of Cu; try n_neighbors=8"),
        (holed(np.inf, 4, 1), CubeError, "infinite"),
        (random_survey().drop_vars("concentration"), CubeError, "from_points"),
        (random_survey().assign_coords(x=("sample", np.full(60, np.nan))), GridError, "60 samples"),
        (random_survey().assign_coords(y=("sample", np.full(60, np.inf))), GridError, "finite"),
    ],
)
def test_bad_tables(table, error, says):
    with pytest.raises(error, match=says):
        idw(table, spacing=500.0)


def test_bare_element_without_unit_is_unknown():
    assert idw(random_survey().drop_vars("unit"), spacing=500.0).attrs["units"] == "unknown"


def test_ellipse_turns_clockwise_from_north():
    table = random_survey(2, ["Au"])
    table["concentration"][:] = [[1.0], [3.0]]
    table = table.assign_coords(x=("sample", [0.0, 100.0]), y=("sample", [100.0, 0.0]))
    args = {"spacing": 10.0, "bounds": (-10, -10, 10, 10), "n_neighbors": 1}
    north = idw(table, max_distance=(500.0, 50.0), **args)
    east = idw(table, max_distance=(500.0, 50.0), azimuth=90.0, **args)
    assert (north == 1).all()
    assert (east == 3).all()


def test_a_round_ellipse_is_a_radius():
    table = random_survey(missing=0.2)
    one = idw(table, spacing=500.0, max_distance=1500.0)
    two = idw(table, spacing=500.0, max_distance=(1500.0, 1500.0), azimuth=40.0)
    np.testing.assert_allclose(two, one, rtol=1e-9)


def test_too_few_neighbors_leave_holes():
    table = random_survey()
    cube = idw(table, spacing=500.0, max_distance=1500.0, min_neighbors=4).compute()
    cells = np.stack(np.meshgrid(cube.x, cube.y), axis=-1)
    points = cKDTree(np.column_stack([table["x"], table["y"]]))
    count = points.query_ball_point(cells, 1500.0, return_length=True)
    np.testing.assert_array_equal(np.isnan(cube.values[0]), count < 4)
    assert (count < 4).any()
    assert (count >= 4).any()


@settings(max_examples=10)
@given(chunks=st.integers(3, 30), seed=st.integers(0, 99))
def test_octants_are_independent_of_chunks_and_places(chunks, seed):
    table = random_survey(seed=seed, missing=0.2)
    octants = {"max_distance": 4000.0, "max_per_octant": 1, "min_octants": 3}
    whole = idw(table, spacing=900.0, **octants).compute()
    np.testing.assert_array_equal(idw(table, spacing=900.0, chunks=chunks, **octants), whole)
    places = whole.to_dataset().stack(sample=("y", "x")).reset_index("sample")
    at = idw(table, like=places, **octants)
    np.testing.assert_allclose(at, whole.values.reshape(3, -1), rtol=1e-12)
    assert np.isnan(whole).any()
    assert np.isfinite(whole).any()


def test_at_the_places_of_another_survey():
    table, other = random_survey(missing=0.2), random_survey(17, ["W"], seed=5)
    other = other.assign_coords(batch=("sample", ["a"] * 17))
    at = idw(table, like=other)
    assert at.dims == ("element", "sample")
    assert at.chunks is not None
    np.testing.assert_array_equal(at["x"], other["x"])
    assert list(at["element"].values) == ["Au", "Cu", "Zn"]
    assert (at["batch"] == "a").all()
    assert at.rio.crs == table.rio.crs
    for i in range(17):
        x, y = float(other["x"][i]), float(other["y"][i])
        cell = idw(table, spacing=2.0, bounds=(x - 1, y - 1, x + 1, y + 1))
        np.testing.assert_allclose(at[:, i], cell[:, 0, 0], rtol=1e-9)


def test_places_need_coordinates():
    with pytest.raises(GridError, match="coords x, y"):
        idw(random_survey(), like=random_survey().drop_vars(["x", "y"]))


def censored_survey():
    """Return a survey whose western half is below detection for Au."""
    table = random_survey()
    west = table["x"].values < EAST + 5000
    state = np.zeros(table["concentration"].shape, "int8")
    state[west, 0] = 1
    values = table["concentration"].values.copy()
    values[west, 0] = 0.5
    table["state"] = (("sample", "element"), state)
    table["concentration"] = (("sample", "element"), values, {"method": "replace_censored"})
    return table, west


def test_censored_fraction_is_the_weight_of_censored_samples():
    table, west = censored_survey()
    cube = idw(table, spacing=500.0)
    assert cube["censored_fraction"].chunks == cube.chunks
    cube = cube.compute()
    fraction = cube["censored_fraction"]
    indicator = table["concentration"].copy(data=np.repeat(west[:, None] * 1.0, 3, axis=1))
    expected = by_scipy(table.assign(concentration=indicator), cube)[0]
    np.testing.assert_allclose(fraction.sel(element="Au"), expected, atol=1e-6)
    assert (fraction.sel(element=["Cu", "Zn"]) == 0).all()
    np.testing.assert_allclose(cube, by_scipy(table, cube), rtol=1e-9)
    assert fraction.attrs["units"] == "1"


def test_without_censored_values_there_is_no_such_coord():
    table, _ = censored_survey()
    measured = table.assign(state=table["state"] * 0)
    assert "censored_fraction" not in idw(measured, spacing=500.0).coords


def test_censored_fraction_survives_files(tmp_path):
    table, _ = censored_survey()
    cube = idw(table, spacing=500.0).compute()
    save_cube(cube, tmp_path / "cube.nc")
    xr.testing.assert_allclose(open_cube(tmp_path / "cube.nc").compute(), cube)
