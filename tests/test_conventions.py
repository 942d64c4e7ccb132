"""The cube that a dataset holds, and the checks on grids and CRS."""

import json

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from surveys import small_cube

from xgeoanom import conventions as cv
from xgeoanom.errors import CRSError, CubeError, GridError, LabelError


def layers(names, *, chunks=None):
    like = small_cube(6, 5).isel(element=0, drop=True).drop_vars("unit", errors="ignore")
    ds = xr.Dataset({name: (like + k).assign_attrs(units="ppm") for k, name in enumerate(names)})
    return ds.chunk(chunks) if chunks else ds


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("Au", ("Au", None)),
        ("SiO2", ("SiO2", None)),
        ("Fe2O3", ("Fe2O3", None)),
        ("Cu_ppm", ("Cu", "ppm")),
        ("Au_ppb", ("Au", "ppb")),
        ("CaO_%", ("CaO", "%")),
        ("labels", None),
        ("Snow", None),
        ("Au_score", None),
        ("ppf_cnn", None),
        (3, None),
    ],
)
def test_names_of_elements(name, parsed):
    assert cv.parse_element(name) == parsed


def test_cube_from_two_dimensional_variables():
    ds = layers(["Au_ppb", "SiO2", "fault_distance", "labels"])
    cube = cv.cube_of(ds)
    assert cube.dims == ("element", "y", "x")
    assert list(cube.element.values) == ["Au", "SiO2"]
    assert list(cube.unit.values) == ["ppb", "ppm"]
    np.testing.assert_array_equal(cube.sel(element="SiO2"), ds["SiO2"])
    assert cube.rio.crs == ds.rio.crs


def test_both_forms_give_the_same_cube():
    cube = cv.cube_of(layers(["Au", "Cu"]))
    again = cv.cube_of(cube.to_dataset(name="concentration").assign(Zn=cube[0]))
    xr.testing.assert_identical(again, cube)


def test_cube_is_lazy_and_one_chunk_of_elements(no_compute):
    for ds in (layers(["Au", "Cu"], chunks={"y": 2}), small_cube().chunk(y=5).to_dataset()):
        with no_compute():
            cube = cv.cube_of(ds)
        assert isinstance(cube.data, da.Array)
        assert cube.transpose("element", "y", "x").chunks[0] == (cube.sizes["element"],)


def test_two_cubes_are_one_too_many():
    cube = small_cube()
    ds = xr.Dataset({"clr": cube, "concentration": cube})
    with pytest.raises(CubeError, match=r"clr.*concentration.*drop_vars\('clr'\)"):
        cv.cube_of(ds)
    xr.testing.assert_identical(cv.cube_of(ds.drop_vars("clr")), ds["concentration"])


def test_no_element_at_all():
    with pytest.raises(CubeError, match="Au"):
        cv.cube_of(layers(["score"]))


def test_the_same_element_twice():
    with pytest.raises(CubeError, match=r"Cu.*repeated"):
        cv.cube_of(layers(["Cu", "Cu_ppm"]))


def test_cell_size_keeps_its_sign():
    cube = small_cube()
    assert cv.cell_size(cube) == (-500.0, 500.0)
    assert cv.cell_size(cube.isel(y=slice(None, None, -1))) == (500.0, 500.0)


def test_uneven_and_single_cells_are_refused():
    cube = small_cube()
    with pytest.raises(GridError, match="unevenly"):
        cv.cell_size(cube.isel(x=[0, 1, 3]))
    with pytest.raises(GridError, match="two cells"):
        cv.cell_size(cube.isel(y=[0]))


def test_projected_crs_is_needed():
    cube = small_cube()
    with pytest.raises(CRSError, match="degrees"):
        cv.check_projected(cube.rio.write_crs(4326))
    with pytest.raises(CRSError, match="no CRS"):
        cv.check_projected(cube.drop_vars("spatial_ref"))


def test_rasters_by_name_or_value():
    cube = small_cube()
    ds = cube.to_dataset().assign(labels=cube.isel(element=0, drop=True))
    xr.testing.assert_identical(cv.raster_of(ds, "labels", "labels"), ds["labels"])
    xr.testing.assert_identical(cv.raster_of(ds, ds["labels"].T, "labels"), ds["labels"])
    with pytest.raises(LabelError, match=r"labels='deposits' is no variable"):
        cv.raster_of(ds, "deposits", "labels")
    with pytest.raises(GridError, match="another grid"):
        cv.raster_of(ds, ds["labels"].isel(y=slice(0, -1)), "labels")
    with pytest.raises(GridError, match="other way"):
        cv.raster_of(ds, ds["labels"].isel(y=slice(None, None, -1)), "labels")
    with pytest.raises(LabelError, match="ndarray"):
        cv.raster_of(ds, ds["labels"].values, "labels")


def test_provenance_survives_netcdf_and_zarr(tmp_path):
    attrs = cv.provenance("rx", seed=0, inner=5, windows=[(3, 5)])
    raster = cv.raster_on(small_cube(), np.zeros((24, 20)), name="rx", long_name="RX", attrs=attrs)
    raster.to_netcdf(tmp_path / "r.nc")
    raster.to_dataset().to_zarr(tmp_path / "r.zarr", consolidated=False)
    for opened in (
        xr.open_dataset(tmp_path / "r.nc", decode_coords="all"),
        xr.open_zarr(tmp_path / "r.zarr", decode_coords="all", consolidated=False),
    ):
        found = opened["rx"].attrs
        assert {key: found[key] for key in attrs} == attrs
        assert json.loads(found["parameters"]) == {"inner": 5, "windows": [[3, 5]]}
        assert opened.rio.crs == raster.rio.crs


def test_what_a_cube_must_share_with_the_fit():
    cube = small_cube(6, 5).chunk(y=3)
    expected = {"elements": ["Au", "As", "Cu", "Pb", "Zn", "Ag"], "units": ["ppm"] * 6}
    assert cv.identity_of(cube) == {**expected, "log_ratio": "clr"}
    assert cv.identity_of(cube.drop_vars("unit"))["units"] == ["unknown"] * 6
    assert cv.identity_of(cube.drop_attrs())["log_ratio"] == "none"


def test_kinds_of_bands():
    cube = small_cube(6, 5)
    assert cv.kinds_of(cube) == ["continuous"] * 6
    kinds = ["binary", *["continuous"] * 5]
    assert cv.kinds_of(cube.assign_coords(kind=("element", kinds)).chunk(y=3)) == kinds


def test_a_kind_that_is_none():
    with pytest.raises(CubeError, match=r"kind=\['binray'\] must be 'continuous' or 'binary'"):
        cv.kinds_of(small_cube(6, 5).assign_coords(kind=("element", ["binray"] * 6)))


@pytest.mark.parametrize("what", [None, 3, np.zeros((2, 2))])
def test_what_is_no_xarray_object(what):
    with pytest.raises(CubeError, match="is no cube"):
        cv.cube_of(what)
    with pytest.raises(GridError, match="labels is a .*; give a DataArray"):
        cv.check_same_grid(what, small_cube(6, 5), "labels")
