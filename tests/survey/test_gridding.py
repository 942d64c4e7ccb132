"""Gridding: each element as if alone, on the right cells, lazily, with its coordinates."""

import json

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from xgeoanom.errors import CRSError, CubeError, GridError
from xgeoanom.survey.gridding import BLOCK_BYTES
from xgeoanom.survey.inverse_distance import idw

EAST, NORTH = 500_000.0, 4_000_000.0


def survey(n=60, elements=("Au", "Cu", "Zn"), *, missing=0.0, seed=0, crs=32645):
    """Return a survey table of ``n`` random samples on 10 x 10 km."""
    rng = np.random.default_rng(seed)
    values = rng.lognormal(size=(n, len(elements)))
    values[rng.random(values.shape) < missing] = np.nan
    x, y = rng.uniform(0, 10_000, (2, n))
    return xr.Dataset(
        {"concentration": (("sample", "element"), values)},
        {
            "x": ("sample", EAST + x),
            "y": ("sample", NORTH + y),
            "element": list(elements),
            "unit": ("element", ["ppm"] * len(elements)),
        },
    ).rio.write_crs(crs)


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
    table = survey(missing=missing)
    cube = idw(table, spacing=300.0, n_neighbors=k, power=power)
    np.testing.assert_allclose(cube.values, by_scipy(table, cube, k, power), rtol=1e-10)


def test_missing_samples_spoil_only_their_element():
    table = survey()
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
    table = survey(missing=0.2)
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
    table = survey(missing=0.2)
    cube = idw(table, spacing=400.0)
    turned = idw(table, like=cube.isel({flip: slice(None, None, -1)}))
    assert turned[flip][0] == cube[flip][-1]
    xr.testing.assert_equal(turned.sortby(["y", "x"]), cube.sortby(["y", "x"]))


def test_north_is_up():
    table = survey(400, ["northing", "easting"])
    table["concentration"][:] = np.column_stack([table["y"], table["x"]])
    cube = idw(table, spacing=500.0)
    assert (np.diff(cube.y) == -500).all()
    assert (np.diff(cube.x) == 500).all()
    assert np.sqrt(((cube.sel(element="northing") - cube.y) ** 2).mean()) < 500
    assert cube.sel(element="northing")[0].mean() > cube.sel(element="northing")[-1].mean() + 8000
    assert np.sqrt(((cube.sel(element="easting") - cube.x) ** 2).mean()) < 500


def test_cells_of_spacing_and_bounds():
    table = survey()
    cube = idw(table, spacing=1000.0, bounds=(EAST, NORTH, EAST + 3000, NORTH + 2500))
    np.testing.assert_array_equal(cube.x, EAST + np.array([500, 1500, 2500]))
    np.testing.assert_array_equal(cube.y, NORTH + np.array([2000, 1000, 0]))


def test_default_bounds_are_multiples_of_spacing():
    table = survey()
    cube = idw(table, spacing=700.0)
    west, north = cube.x.values[0] - 350, cube.y.values[0] + 350
    assert west % 700 == 0
    assert north % 700 == 0
    assert west <= table.x.min() < west + 700
    assert north - 700 < table.y.max() <= north


def test_samples_on_one_line_make_one_row_of_cells():
    table = survey()
    table["y"][:] = NORTH
    assert idw(table, spacing=500.0).sizes["y"] == 1


def test_value_at_sample_is_exact():
    table = survey()
    x, y = table.x.values[3], table.y.values[3]
    cube = idw(table, spacing=1.0, bounds=(x - 0.5, y - 0.5, x + 0.5, y + 0.5))
    np.testing.assert_array_equal(cube[:, 0, 0], table["concentration"][3])


def test_max_distance_leaves_holes():
    table = survey()
    cube = idw(table, spacing=200.0, max_distance=600.0)
    cells = np.stack(np.meshgrid(cube.x, cube.y), axis=-1)
    nearest, _ = cKDTree(np.column_stack([table.x, table.y])).query(cells)
    np.testing.assert_array_equal(np.isnan(cube[0]), nearest > 600)
    assert cube.attrs["interpolation_range"] == 600.0


def test_interpolation_range_is_how_far_values_are_carried():
    table = survey(200)
    distances = np.hypot(
        table.x.values[:, None] - table.x.values, table.y.values[:, None] - table.y.values
    )
    expected = np.percentile(np.sort(distances, axis=1)[:, 7], 95)
    cube = idw(table, spacing=500.0, n_neighbors=7)
    assert cube.attrs["interpolation_range"] == pytest.approx(expected)


def test_nothing_is_computed_at_the_call(no_compute):
    with no_compute():
        cube = idw(survey(), spacing=500.0)
    assert cube.chunks is not None
    assert cube.dtype == cube.compute().dtype == "float64"


def test_default_blocks_are_bounded_and_even():
    cube = idw(survey(elements=[f"E{i}" for i in range(39)]), spacing=2.0)
    blocks = [np.prod([sizes[0] for sizes in cube.chunks]) * 8]
    assert max(blocks) <= 1.1 * BLOCK_BYTES
    assert cube.chunks[0] == (39,)
    # Whole tiles, so that the last block alone may fall short.
    assert len(set(cube.chunks[1][:-1])) == 1


def test_georeferenced_and_described():
    table = survey(missing=0.1)
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
    table = survey().assign_coords(unit=("element", ["ppb", "ppm", "%"]))
    assert idw(table, spacing=500.0).attrs["units"] == "mixed"


def test_inputs_stay_as_they_are():
    table = survey(missing=0.1)
    like = idw(table, spacing=800.0).compute()
    copies = table.copy(deep=True), like.copy(deep=True)
    idw(table, like=like).compute()
    xr.testing.assert_identical(table, copies[0])
    xr.testing.assert_identical(like, copies[1])


def test_float32_table_gives_float64_cube():
    table = survey()
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
    ],
)
def test_bad_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        idw(survey(), **arguments)


def test_spacing_and_like_exclude_each_other():
    like = idw(survey(), spacing=500.0)
    with pytest.raises(GridError, match="exclude each other"):
        idw(survey(), spacing=500.0, like=like)


def test_uneven_like():
    like = idw(survey(), spacing=500.0).isel(x=[0, 1, 3])
    with pytest.raises(GridError, match="unevenly"):
        idw(survey(), like=like)


def test_crs_must_be_projected_and_the_same():
    table = survey()
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
    table = survey()
    table["concentration"][at] = value
    return table


@pytest.mark.parametrize(
    ("table", "error", "says"),
    [
        (survey(1), GridError, "1 samples"),
        (survey(elements=["Au", "Au"]), CubeError, "repeated"),
        (holed(np.nan, slice(None), 1), CubeError, "Cu.*no samples"),
        (holed(np.nan, slice(8, None), 1), GridError, "8 samples of Cu; try n_neighbors=8"),
        (holed(np.inf, 4, 1), CubeError, "infinite"),
        (survey().drop_vars("concentration"), CubeError, "from_points"),
        (survey().assign_coords(x=("sample", np.full(60, np.nan))), GridError, "60 samples"),
        (survey().assign_coords(y=("sample", np.full(60, np.inf))), GridError, "finite"),
    ],
)
def test_bad_tables(table, error, says):
    with pytest.raises(error, match=says):
        idw(table, spacing=500.0)


def test_bare_element_without_unit_is_unknown():
    assert idw(survey().drop_vars("unit"), spacing=500.0).attrs["units"] == "unknown"
