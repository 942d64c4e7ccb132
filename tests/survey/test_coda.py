import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyrolite.comp import codata

from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.coda import (
    alr,
    closure,
    clr,
    ilr,
    inverse_alr,
    inverse_clr,
    inverse_ilr,
)
from xgeoanom.survey.rasters import open_cube, save_cube

PAIRS = [(clr, inverse_clr), (alr, inverse_alr), (ilr, inverse_ilr)]
UNITS = ["%", "ppm", "ppb", "ppm"]
PPM = np.array([1e4, 1.0, 1e-3, 1.0])

compositions = hnp.arrays(
    "float64",
    st.tuples(st.integers(1, 6), st.integers(2, 7)),
    elements=st.floats(1e-6, 1e6),
)


def make_cube(seed=0, units=UNITS, shape=(3, 5), descending=True):
    values = np.random.default_rng(seed).lognormal(size=(len(units), *shape))
    values[:, 0, 1] = np.nan
    y = 100.0 * np.arange(shape[0])
    coords = {
        "element": [f"E{i}" for i in range(len(units))],
        "unit": ("element", units),
        "y": y[::-1] if descending else y,
        "x": 100.0 * np.arange(shape[1]),
    }
    cube = xr.DataArray(values, coords, ("element", "y", "x"), name="concentration")
    cube.attrs = {"long_name": "concentration", "units": "mixed", "interpolation_range": 900.0}
    return cube.rio.write_crs(32650)


def bare(values):
    return xr.DataArray(values, dims=("sample", "element"))


# ------------------------------------------------------------------------------- formulas


@given(compositions)
def test_log_ratios_equal_pyrolite(values):
    parts = bare(values)
    np.testing.assert_allclose(closure(parts), codata.close(values))
    np.testing.assert_allclose(clr(parts), codata.CLR(values), atol=1e-9)
    np.testing.assert_allclose(alr(parts), codata.ALR(values), atol=1e-9)
    np.testing.assert_allclose(ilr(parts), codata.ILR(values), atol=1e-9)


@pytest.mark.parametrize("transform", [clr, ilr])
@given(values=compositions, factor=st.floats(1e-3, 1e3))
def test_geometry_is_aitchison(transform, values, factor):
    logs = np.log(values)
    pairwise = logs[:, :, None] - logs[:, None, :]
    # Aitchison distance from its definition, over all pairs of log-ratios.
    expected = np.sqrt(((pairwise - pairwise[:1]) ** 2).sum((1, 2)) / (2 * values.shape[1]))
    found = transform(bare(values)).values
    np.testing.assert_allclose(np.linalg.norm(found - found[:1], axis=1), expected, atol=1e-8)
    np.testing.assert_allclose(transform(bare(factor * values)), found, atol=1e-8)


def test_balance_of_two_groups():
    parts = xr.DataArray([1.0, 3.0, 5.0, 2.0], dims="element")
    balances = ilr(parts, partition=[[1, 1, -1, -1], [1, -1, 0, 0], [0, 0, 1, -1]])
    expected = [np.log(np.sqrt(3.0) / np.sqrt(10.0)), np.log(1 / 3) / 2**0.5, np.log(2.5) / 2**0.5]
    np.testing.assert_allclose(balances, expected)


def test_closure_converts_units():
    parts = make_cube()
    fractions = closure(parts)
    raw = parts.values * PPM[:, None, None]
    np.testing.assert_allclose(fractions, raw / raw.sum(axis=0))
    assert fractions["unit"].values.tolist() == ["1"] * 4
    xr.testing.assert_allclose(closure(fractions), fractions)


def test_filler_leaves_parts_as_they_are():
    parts = make_cube()
    filled = closure(parts, filler="Rest")
    np.testing.assert_allclose(filled[:-1], parts.values * PPM[:, None, None] / 1e6)
    np.testing.assert_allclose(filled.sum("element", skipna=False).values[1:], 1.0)
    assert filled["element"].values.tolist() == ["E0", "E1", "E2", "E3", "Rest"]
    assert ilr(filled).sizes["element"] == 4


# --------------------------------------------------------------------------------- inverse


@pytest.mark.parametrize(("transform", "inverse"), PAIRS)
@given(values=compositions)
def test_inverse_is_closure(transform, inverse, values):
    np.testing.assert_allclose(inverse(transform(bare(values))), codata.close(values), rtol=1e-7)


@pytest.mark.parametrize(("transform", "inverse"), PAIRS)
def test_inverse_restores_parts_and_mass(transform, inverse, tmp_path):
    cube = make_cube()
    xr.testing.assert_allclose(inverse(transform(cube)), closure(cube))
    for suffix in (".nc", ".zarr"):
        save_cube(transform(cube), tmp_path / f"cube{suffix}")
        opened = open_cube(tmp_path / f"cube{suffix}")
        xr.testing.assert_allclose(inverse(opened), closure(cube))


@pytest.mark.parametrize(("transform", "inverse"), PAIRS)
def test_inverse_of_unknown_units_keeps_proportions(transform, inverse):
    cube = make_cube(units=["counts", "ppm", "ppb", "ppm"])
    found = inverse(transform(cube))
    np.testing.assert_allclose(found, cube / cube.sum("element", skipna=False))
    assert found["unit"].values.tolist() == ["counts", "ppm", "ppb", "ppm"]


def test_inverse_with_basis():
    cube = make_cube()
    signs = [[-1, 1, 1, -1], [0, 1, -1, 0], [1, 0, 0, -1]]
    xr.testing.assert_allclose(inverse_ilr(ilr(cube, partition=signs)), closure(cube))
    xr.testing.assert_allclose(inverse_alr(alr(cube, denominator="E1")), closure(cube))


def test_inverse_of_large_log_ratios_does_not_overflow():
    large = clr(xr.DataArray([1e-300, 1e300], dims="element"))
    np.testing.assert_allclose(inverse_clr(large), [0.0, 1.0])


def test_inverse_refuses():
    cube = make_cube()
    with pytest.raises(CompositionError, match="'clr' in the attrs is not 'ilr'"):
        inverse_ilr(clr(cube))
    with pytest.raises(CompositionError, match="None in the attrs"):
        inverse_clr(clr(cube).drop_attrs())
    with pytest.raises(CompositionError, match="in order"):
        inverse_clr(clr(cube).isel(element=[1, 0, 2, 3]))
    with pytest.raises(CompositionError, match="ilr3"):
        inverse_ilr(ilr(cube).isel(element=[0, 1]))


# ------------------------------------------------------------------------ labels, laziness


@pytest.mark.parametrize("transform", [closure, clr, alr, ilr])
@pytest.mark.parametrize("descending", [True, False])
def test_result_is_georeferenced(transform, descending):
    cube = make_cube(descending=descending)
    before = cube.copy(deep=True)
    result = transform(cube)
    assert_georeferenced(result, cube)
    assert result.dims == cube.dims
    assert result.dtype == "float64"
    assert result.attrs["units"] == "1"
    assert result.attrs["interpolation_range"] == 900.0
    assert result.attrs["log_ratio"] == ("none" if transform is closure else transform.__name__)
    assert cube.identical(before)
    missing = np.broadcast_to(np.isnan(cube[0]), result.shape)
    np.testing.assert_array_equal(np.isnan(result), missing)


def test_names_and_units():
    cube = make_cube()
    assert clr(cube)["unit"].values.tolist() == UNITS
    assert clr(cube)["element"].values.tolist() == ["E0", "E1", "E2", "E3"]
    ratios = alr(cube, denominator="E1")
    assert ratios["element"].values.tolist() == ["E0", "E2", "E3"]
    assert ratios["unit"].values.tolist() == ["%", "ppb", "ppm"]
    assert ratios.attrs["denominator"] == '"E1"'
    assert ilr(cube)["element"].values.tolist() == ["ilr1", "ilr2", "ilr3"]
    assert "unit" not in ilr(cube).coords


@pytest.mark.parametrize("transform", [closure, clr, alr, ilr])
@given(chunks=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5)))
def test_chunked_equals_eager(transform, chunks):
    cube = make_cube()
    lazy = cube.chunk(dict(zip(cube.dims, chunks, strict=True)))
    result = transform(lazy)
    assert len(result.chunksizes["element"]) == 1
    xr.testing.assert_allclose(result.compute(), transform(cube), rtol=1e-12)
    np.testing.assert_allclose(transform(cube.astype("float32")), transform(cube), atol=1e-5)


@pytest.mark.parametrize(("transform", "inverse"), PAIRS)
def test_nothing_is_computed_early(transform, inverse, no_compute):
    lazy = make_cube().chunk(y=2)
    with no_compute():
        result = inverse(transform(lazy))
        closure(lazy, filler="Rest")
    xr.testing.assert_allclose(result.compute(), closure(make_cube()))


def test_tables_and_any_order_of_dims():
    cube = make_cube()
    np.testing.assert_allclose(
        clr(cube.transpose("y", "element", "x")), clr(cube).transpose("y", ...)
    )
    table = cube.stack(sample=("y", "x")).transpose("sample", "element")
    np.testing.assert_allclose(ilr(table).values.T.reshape(3, 3, 5), ilr(cube))


# ---------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("transform", [closure, clr, alr, ilr])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "missing in some.*'E2': 1"),
        (0.0, "zero or negative.*'E2': 1.*replace_censored"),
        (-1.0, "zero or negative"),
        (np.inf, "infinite"),
    ],
)
def test_parts_must_be_positive(transform, value, message):
    cube = make_cube()
    cube[2, 1, 1] = value
    with pytest.raises(CompositionError, match=message):
        transform(cube)
    lazy = transform(cube.chunk(x=2))
    with pytest.raises(CompositionError, match=message):
        lazy.compute()


@pytest.mark.parametrize("transform", [closure, clr, alr, ilr])
def test_refuses_what_is_no_composition(transform):
    cube = make_cube()
    with pytest.raises(CompositionError, match=r"already \(clr\)"):
        transform(clr(cube))
    with pytest.raises(CubeError, match="1 part"):
        transform(cube[:1])
    with pytest.raises(CubeError, match="'E1'"):
        transform(cube[[0, 1, 1]])
    with pytest.raises(CubeError, match="pass a DataArray"):
        transform(cube.to_dataset())
    with pytest.raises(CubeError, match="'element'"):
        transform(cube.rename(element="band"))


def test_closure_refuses():
    cube = make_cube()
    with pytest.raises(CompositionError, match="counts"):
        closure(cube.assign_coords(unit=("element", ["counts", "ppm", "ppm", "ppm"])))
    with pytest.raises(CompositionError, match="needs units"):
        closure(cube.drop_vars("unit"), filler="Rest")
    with pytest.raises(CubeError, match="'E1' is an element"):
        closure(cube, filler="E1")
    with pytest.raises(CompositionError, match="more than 1e.06 ppm in 1 places"):
        closure(cube.where(cube["x"] < 400, 200.0).isel(y=[2]), filler="Rest")


def test_other_arguments_are_checked():
    cube = make_cube()
    with pytest.raises(CubeError, match="denominator='Cu'"):
        alr(cube, denominator="Cu")
