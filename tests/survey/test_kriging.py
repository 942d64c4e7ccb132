"""Kriging against pykrige and by its own properties, on the right cells, lazily, described."""

import json
import logging

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given, settings
from hypothesis import strategies as st
from pykrige.ok import OrdinaryKriging
from surveys import EAST, NORTH, random_survey

from xgeoanom.errors import CRSError, CubeError, GridError, XGeoAnomError
from xgeoanom.survey.kriging import BLOCK_BYTES, BLOCK_SIDE, krige
from xgeoanom.survey.variogram import Structure, Variogram

SPHERICAL = Variogram.spherical(1.0, 4000.0, nugget=0.2)
LN20 = np.log(20)  # pykrige's models reach other shares of their sill at their range


def by_pykrige(table, cube, variogram, k=None, backend="vectorized"):
    """Return pykrige's estimates and variances, each element alone over its own samples."""
    part = variogram.structures[0]
    named = {
        "spherical": part.effective_range,
        "exponential": 3 * part.effective_range / LN20,
        "gaussian": 7 / 4 * part.effective_range / np.sqrt(LN20),
    }
    model, parameters, function = "custom", [], lambda _, h: variogram_of_distance(variogram, h)
    if part.model in named and len(variogram.structures) == 1:
        model, function = part.model, None
        parameters = {
            "psill": part.partial_sill,
            "range": named[part.model],
            "nugget": variogram.nugget,
        }
    out = np.empty((2, *cube.shape))
    for e, column in enumerate(table["concentration"].values.T):
        has = np.isfinite(column)
        kriging = OrdinaryKriging(
            *(table[name].values[has] for name in "xy"),
            column[has],
            variogram_model=model,
            variogram_parameters=parameters,
            variogram_function=function,
            anisotropy_scaling=1 / part.ratio,
            anisotropy_angle=90 - part.azimuth,
        )
        axes = cube.x.values, cube.y.values
        out[:, e] = kriging.execute("grid", *axes, backend=backend, n_closest_points=k)
    return out


def variogram_of_distance(variogram, h):
    gamma = variogram.nugget + 0 * h
    for part in variogram.structures:
        isotropic = Variogram(0.0, [Structure(part.model, 1.0, part.effective_range, nu=part.nu)])
        gamma = gamma + part.partial_sill * isotropic.gamma(h)
    return gamma


ORACLES = [
    SPHERICAL,
    Variogram.spherical(1.0, 4000.0),
    Variogram.exponential(1.0, 6000.0, nugget=0.1),
    Variogram.gaussian(1.0, 3000.0, nugget=0.1),
    Variogram.spherical(1.0, 6000.0, nugget=0.1, ratio=0.4, azimuth=30.0),
    Variogram.exponential(1.0, 6000.0, ratio=0.6, azimuth=120.0),
    Variogram.matern(1.0, 5000.0, nu=2.5, nugget=0.1),
    SPHERICAL + Variogram.exponential(2.0, 9000.0),
]


@pytest.mark.parametrize("variogram", ORACLES, ids=str)
@pytest.mark.parametrize("k", [None, 16])
def test_equals_pykrige(variogram, k):
    table = random_survey(elements=["Au", "Cu"], missing=0.0 if k is None else 0.2)
    cube = krige(table, variogram, spacing=900.0, n_neighbors=k or table.sizes["sample"])
    expected = by_pykrige(table, cube, variogram, k, "loop" if k else "vectorized")
    np.testing.assert_allclose(cube.values, expected[0], rtol=1e-6)
    np.testing.assert_allclose(cube["kriging_variance"].values, expected[1], rtol=1e-6)


def test_one_variogram_for_each_element():
    table = random_survey(missing=0.1)
    variograms = {"Zn": ORACLES[2], "Au": SPHERICAL, "Cu": SPHERICAL}
    cube = krige(table, variograms, spacing=700.0)
    for element, variogram in variograms.items():
        alone = krige(table.sel(element=[element]), variogram, spacing=700.0)
        np.testing.assert_allclose(cube.sel(element=[element]), alone, rtol=1e-12)
        np.testing.assert_allclose(
            cube["kriging_variance"].sel(element=[element]), alone["kriging_variance"], rtol=1e-12
        )


def test_missing_samples_spoil_only_their_element():
    table = random_survey()
    holed = table.copy(deep=True)
    holed["concentration"][10:25, 1] = np.nan
    whole, cube = (krige(each, SPHERICAL, spacing=500.0) for each in (table, holed))
    others = {"element": ["Au", "Zn"]}
    np.testing.assert_allclose(cube.sel(others), whole.sel(others), rtol=1e-12)
    alone = krige(holed.isel(element=[1]).dropna("sample"), SPHERICAL, like=whole)
    np.testing.assert_allclose(cube[1], alone[0], rtol=1e-12)


@settings(max_examples=15)
@given(
    chunks=st.one_of(st.integers(1, 30), st.tuples(st.integers(1, 30), st.integers(1, 30))),
    round_to=st.sampled_from([1.0, 2000.0]),
    log=st.booleans(),
)
def test_chunks_and_order_of_samples_do_not_matter(chunks, round_to, log):
    table = random_survey(missing=0.2)
    # Rounded: samples coincide, and ties abound.
    table = table.assign_coords(
        {name: (table[name] / round_to).round() * round_to for name in "xy"}
    )
    variogram = Variogram.spherical(1.0, 4000.0)
    whole = krige(table, variogram, spacing=500.0, log=log, chunks=100)
    cut = krige(table, variogram, spacing=500.0, log=log, chunks=chunks)
    xr.testing.assert_equal(cut.compute(), whole.compute())
    turned = krige(table.isel(sample=slice(None, None, -1)), variogram, spacing=500.0, log=log)
    np.testing.assert_allclose(turned, whole, rtol=1e-7)
    assert cut.chunks[0] == cut["kriging_variance"].chunks[0] == (3,)


@pytest.mark.parametrize("flip", ["y", "x"])
def test_direction_of_like_does_not_matter(flip):
    table = random_survey(missing=0.2)
    cube = krige(table, SPHERICAL, spacing=400.0)
    turned = krige(table, SPHERICAL, like=cube.isel({flip: slice(None, None, -1)}))
    assert turned[flip][0] == cube[flip][-1]
    xr.testing.assert_equal(turned.sortby(["y", "x"]), cube.sortby(["y", "x"], ascending=True))


@pytest.mark.parametrize("ascending", [True, False])
def test_tilted_planes_have_the_right_side_up(ascending):
    table = random_survey(400, ["northing", "easting"])
    table["concentration"][:] = np.column_stack([table["y"] - NORTH, table["x"] - EAST])
    variogram = Variogram.gaussian(1e8, 20_000.0)
    grid = krige(table, variogram, spacing=500.0).sortby("y", ascending=ascending)
    cube = krige(table, variogram, like=grid)
    assert (cube.y[1] > cube.y[0]) == ascending
    inside = cube.sel(
        x=(cube.x > EAST + 500) & (cube.x < EAST + 9500),
        y=(cube.y > NORTH + 500) & (cube.y < NORTH + 9500),
    )
    assert abs(inside.sel(element="northing") - (inside.y - NORTH)).max() < 30
    assert abs(inside.sel(element="easting") - (inside.x - EAST)).max() < 30


@settings(max_examples=10)
@given(seed=st.integers(0, 99), missing=st.sampled_from([0.0, 0.3]))
def test_exact_at_samples_without_nugget(seed, missing):
    table = random_survey(30, missing=missing, seed=seed)
    there = krige(table, Variogram.exponential(1.0, 5000.0), like=table, n_neighbors=8)
    assert there.dims == ("element", "sample")
    values = table["concentration"].values.T
    has = np.isfinite(values)
    np.testing.assert_allclose(there.values[has], values[has], rtol=1e-6)
    np.testing.assert_allclose(there["kriging_variance"].values[has], 0, atol=1e-9)
    assert np.isfinite(there.values).all()


def test_samples_at_one_place_count_as_their_mean_without_nugget():
    table = random_survey(40)
    double = xr.concat([table, table * 3], "sample")
    double["concentration"][45, 1] = np.nan
    mean = table.copy(deep=True)
    mean["concentration"][:] = table["concentration"].values * 2
    mean["concentration"][5, 1] = table["concentration"].values[5, 1]
    variogram = Variogram.spherical(1.0, 4000.0)
    cube = krige(double, variogram, like=krige(table, variogram, spacing=800.0))
    expected = krige(mean, variogram, like=cube)
    np.testing.assert_allclose(cube, expected, rtol=1e-9)
    np.testing.assert_allclose(
        cube["kriging_variance"], expected["kriging_variance"], rtol=1e-9, atol=1e-12
    )


def test_samples_at_one_place_with_nugget_lower_the_variance():
    table = random_survey(40)
    double = xr.concat([table, table], "sample")
    once = krige(table, SPHERICAL, like=table, n_neighbors=40)
    twice = krige(double, SPHERICAL, like=table, n_neighbors=80)
    assert (twice["kriging_variance"] < once["kriging_variance"]).all()


def test_constant_stays_constant():
    table = random_survey()
    table["concentration"][:] = 7.0
    cube = krige(table, SPHERICAL, spacing=500.0)
    np.testing.assert_allclose(cube, 7.0, rtol=1e-12)


def test_log_is_exact_at_samples_without_nugget():
    table = random_survey(30)
    there = krige(table, Variogram.exponential(1.0, 5000.0), like=table, log=True)
    np.testing.assert_allclose(there, table["concentration"].T, rtol=1e-6)


def test_log_has_no_bias():
    """Of many log-normal fields, the mean of the estimates and of the truth at one place."""
    n_fields = 20_000
    table = random_survey(3, [f"E{i}" for i in range(n_fields)])
    variogram = Variogram.exponential(0.8, 5000.0, nugget=0.1)
    place = table.isel(sample=[0]).assign_coords(
        x=("sample", [EAST + 5000.0]), y=("sample", [NORTH + 5000.0])
    )
    x, y = (np.append(table[name], place[name]) for name in "xy")
    covariance = variogram.covariance(x[:, None] - x, y[:, None] - y)
    normal = np.random.default_rng(0).normal(size=(4, n_fields))
    fields = np.exp(np.linalg.cholesky(covariance) @ normal)
    table["concentration"][:] = fields[:-1]
    found = krige(table, variogram, like=place, n_neighbors=3, log=True)
    difference = found.values[:, 0] - fields[-1]
    error = difference.std() / np.sqrt(n_fields)
    assert error < 0.02  # where the Lagrange multiplier alone makes 20 %
    assert abs(difference.mean()) < 4 * error


def test_max_distance_leaves_holes():
    table = random_survey()
    cube = krige(table, SPHERICAL, spacing=200.0, max_distance=600.0)
    apart = np.hypot(
        cube.x.values[None, :, None] - table.x.values, cube.y.values[:, None, None] - table.y.values
    )
    np.testing.assert_array_equal(np.isnan(cube[0]), apart.min(axis=-1) > 600)
    np.testing.assert_array_equal(np.isnan(cube["kriging_variance"]), np.isnan(cube))
    assert cube.attrs["interpolation_range"] == 600.0


def test_nothing_is_computed_at_the_call(no_compute, caplog):
    with no_compute(), caplog.at_level(logging.INFO, "xgeoanom.survey.gridding"):
        cube = krige(random_survey(), SPHERICAL, spacing=10.0)
    assert cube.chunks is not None
    assert cube["kriging_variance"].chunks == cube.chunks
    assert f"{cube.data.npartitions} blocks of up to 64 x 64 cells" in caplog.text
    assert cube.dtype == "float64"


def test_blocks_are_bounded():
    for n_elements in (1, 40):
        cube = krige(
            random_survey(elements=[f"E{i}" for i in range(n_elements)]), SPHERICAL, spacing=2.0
        )
        rows, cols = cube.chunks[1][0], cube.chunks[2][0]
        assert max(rows, cols) <= BLOCK_SIDE
        assert 2 * n_elements * rows * cols * 8 <= 1.1 * BLOCK_BYTES


def test_georeferenced_and_described():
    table = random_survey(missing=0.1)
    like = krige(table, SPHERICAL, spacing=800.0)[0].drop_vars(
        ["element", "unit", "kriging_variance"]
    )
    like.attrs = {"long_name": "else"}
    copies = table.copy(deep=True), like.copy(deep=True)
    cube = krige(table, SPHERICAL, like=like)
    xr.testing.assert_identical(table, copies[0])
    xr.testing.assert_identical(like, copies[1])
    assert_georeferenced(cube, like)
    assert_georeferenced(cube["kriging_variance"], like, provenance=False)
    assert cube.name == "concentration"
    assert cube.dims == cube["kriging_variance"].dims == ("element", "y", "x")
    assert cube.attrs["units"] == "ppm"
    assert cube["kriging_variance"].attrs["units"] == "(ppm)²"
    parameters = json.loads(cube.attrs["parameters"])
    structures = [Structure(**part) for part in parameters["variogram"]["structures"]]
    assert Variogram(parameters["variogram"]["nugget"], structures) == SPHERICAL
    log = krige(table, SPHERICAL, like=like, log=True)
    assert log["kriging_variance"].attrs["units"] == "1"


def test_survives_netcdf(tmp_path):
    cube = krige(random_survey(), dict.fromkeys(("Au", "Cu", "Zn"), SPHERICAL), spacing=900.0)
    cube.to_netcdf(tmp_path / "cube.nc")
    with xr.open_dataarray(tmp_path / "cube.nc", decode_coords="all") as back:
        xr.testing.assert_allclose(back.load(), cube.compute())
        assert back.attrs["parameters"] == cube.attrs["parameters"]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, GridError, "neither spacing nor like"),
        ({"spacing": -5.0}, GridError, "spacing=-5.0"),
        ({"spacing": 500.0, "max_distance": 0.0}, GridError, "max_distance=0.0"),
        ({"spacing": 500.0, "max_distance": (9.0, 5.0)}, GridError, "max_distance"),
        ({"spacing": 500.0, "n_neighbors": 2.5}, GridError, "n_neighbors=2.5"),
        ({"spacing": 500.0, "n_neighbors": 61}, GridError, "try n_neighbors=60"),
        ({"spacing": 500.0, "variogram": "spherical"}, XGeoAnomError, "'spherical' must be"),
        ({"spacing": 500.0, "variogram": {"Au": "x"}}, XGeoAnomError, "must be a Variogram"),
        ({"spacing": 500.0, "variogram": {"Au": SPHERICAL}}, CubeError, r"\['Cu', 'Zn'\]"),
    ],
)
def test_bad_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        krige(random_survey(), **{"variogram": SPHERICAL, **arguments})


def test_log_of_zero():
    table = random_survey()
    table["concentration"][3, 1] = 0.0
    with pytest.raises(CubeError, match="'Cu'.*replace_censored"):
        krige(table, SPHERICAL, spacing=500.0, log=True)


def test_degrees_are_refused():
    with pytest.raises(CRSError, match="degrees"):
        krige(random_survey().rio.write_crs(4326), SPHERICAL, spacing=0.1)
