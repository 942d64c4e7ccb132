import json
import shutil

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xgeoanom.conventions import LABEL_FLAGS, provenance
from xgeoanom.errors import CRSError, CubeError, GridError
from xgeoanom.survey.coda import clr
from xgeoanom.survey.rasters import open_cube, open_rasters, save_cube

SUFFIXES = [".nc", ".zarr", ".tif"]


def make_cube(descending=True, dtype="float64"):
    values = np.random.default_rng(0).lognormal(size=(3, 5, 7)).astype(dtype)
    values[:, 1, 2] = np.nan
    y = 5_000_050.0 + 100.0 * np.arange(5)
    coords = {
        "element": ["Au", "SiO2", "Cu"],
        "unit": ("element", ["ppb", "%", "ppm"]),
        "y": y[::-1] if descending else y,
        "x": 400_025.0 + 50.0 * np.arange(7),
    }
    cube = xr.DataArray(values, coords, ("element", "y", "x"), name="concentration")
    cube.attrs = {"long_name": "concentration", "units": "mixed", "interpolation_range": 900.0}
    cube.attrs |= {"log_ratio": "none", **provenance("idw", power=2.0)}
    return cube.rio.write_crs(32650)


def make_labels(cube):
    values = np.full((5, 7), -1, dtype="int8")
    values[1:3, 2:4] = 1
    labels = xr.DataArray(values, cube[0].drop_vars(["element", "unit"]).coords, ("y", "x"))
    attrs = {"long_name": "labels", "units": "1", **LABEL_FLAGS}
    ids = labels.where(labels == 1, -1).astype("int16")
    return labels.assign_coords(deposit=ids).rename("labels").assign_attrs(attrs)


def make_dataset():
    cube = make_cube()
    ds = clr(cube).to_dataset(name="clr")
    ds["labels"] = make_labels(cube)
    return ds.assign(support=cube[0].notnull().drop_vars(["element", "unit"]))


def assert_same(found, expected):
    """Equal but for which way y runs, with the same types, attrs and CRS."""
    found = found.sortby("y")
    expected = expected.sortby("y")
    xr.testing.assert_allclose(found, expected, rtol=1e-15)
    assert found.rio.crs == expected.rio.crs
    arrays = [(found, expected)]
    if isinstance(found, xr.Dataset):
        arrays = [(found[name], expected[name]) for name in expected.variables]
    for ours, theirs in arrays:
        assert ours.dtype == theirs.dtype
        assert ours.dims == theirs.dims
        assert set(ours.attrs) == set(theirs.attrs)
        for name, value in theirs.attrs.items():
            np.testing.assert_array_equal(ours.attrs[name], value)
            assert np.asarray(ours.attrs[name]).dtype == np.asarray(value).dtype


# -------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cube_round_trip(suffix, descending, dtype, tmp_path):
    cube = make_cube(descending, dtype)
    before = cube.copy(deep=True)
    save_cube(cube, tmp_path / f"cube{suffix}")
    opened = open_cube(tmp_path / f"cube{suffix}")
    assert opened.chunks is not None
    assert len(opened.chunksizes["element"]) == 1
    assert opened.name == cube.name
    assert opened["unit"].values.tolist() == ["ppb", "%", "ppm"]
    assert_same(opened, cube)
    assert cube.identical(before)
    assert [path.name for path in tmp_path.iterdir()] == [f"cube{suffix}"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_lazy_object_is_streamed(suffix, tmp_path):
    cube = make_cube()
    seen = []

    def note(block):
        if block.size:
            seen.append(block.shape)
        return block

    lazy = cube.copy(data=da.map_blocks(note, cube.chunk(y=2, x=(1, 4, 2)).data, dtype="float64"))
    seen.clear()
    save_cube(lazy, tmp_path / f"cube{suffix}")
    assert len(seen) == 9
    assert set(seen) <= {(3, n, m) for n in (1, 2) for m in (1, 2, 4)}
    assert_same(open_cube(tmp_path / f"cube{suffix}"), cube)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@settings(max_examples=6)
@given(chunks=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 7)))
def test_dataset_round_trip(suffix, chunks, tmp_path_factory):
    path = tmp_path_factory.mktemp("cubes") / f"survey{suffix}"
    ds = make_dataset()
    save_cube(ds.chunk(dict(zip(ds["clr"].dims, chunks, strict=True))), path)
    opened = open_cube(path)
    assert opened["clr"].chunks is not None
    assert set(opened.coords) == set(ds.coords)
    assert_same(opened, ds)
    for name, array in opened.data_vars.items():
        assert array.rio.crs == ds.rio.crs, name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_keep_type_and_flags(suffix, tmp_path):
    labels = make_labels(make_cube())
    save_cube(labels, tmp_path / f"labels{suffix}")
    opened = open_cube(tmp_path / f"labels{suffix}")
    kept = labels.drop_vars("deposit") if suffix == ".tif" else labels
    assert_same(opened, kept)
    assert opened.attrs["flag_values"].dtype == "int8"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["bool", "int16", "uint8", "int32"])
def test_types(suffix, dtype, tmp_path):
    raster = make_labels(make_cube()).drop_vars("deposit").drop_attrs(deep=False) == 1
    save_cube(raster.astype(dtype).rename(None), tmp_path / f"raster{suffix}")
    opened = open_cube(tmp_path / f"raster{suffix}")
    assert opened.name is None
    assert_same(opened, raster.astype(dtype))


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_table_round_trip(suffix, tmp_path):
    table = make_cube().stack(sample=("y", "x")).reset_index("sample").to_dataset()
    save_cube(table, tmp_path / f"table{suffix}")
    opened = open_cube(tmp_path / f"table{suffix}")
    xr.testing.assert_equal(opened, table)
    assert opened.rio.crs.to_epsg() == 32650


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_saved_again_from_itself(suffix, tmp_path):
    cube, path = make_cube(), tmp_path / f"cube{suffix}"
    save_cube(cube, path)
    save_cube(open_cube(path).chunk(y=3, x=2) + 1, path)
    np.testing.assert_allclose(open_cube(path).sortby("y"), cube.sortby("y") + 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_interrupted_save_leaves_the_old_file(suffix, tmp_path):
    cube, path = make_cube(), tmp_path / f"cube{suffix}"
    save_cube(cube, path)

    def fail(block, block_info=None):
        if block_info and block_info[0]["chunk-location"][2] == 1:
            raise RuntimeError("power cut")
        return block

    lazy = cube.copy(data=da.map_blocks(fail, cube.chunk(x=4).data, dtype="float64"))
    with pytest.raises(ValueError if suffix == ".zarr" else RuntimeError, match="power cut"):
        save_cube(lazy, path)
    assert_same(open_cube(path), cube)
    left = {".cube.zarr.partial"} if suffix == ".zarr" else set()  # to be gone on with
    assert {found.name for found in tmp_path.iterdir()} == {path.name} | left
    save_cube(cube + 1, path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


# --------------------------------------------------------------------------------- GeoTIFF


def test_tif_is_north_up_with_named_bands(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    cube = make_cube(descending=False)
    save_cube(cube, tmp_path / "cube.tif")
    with rasterio.open(tmp_path / "cube.tif") as file:
        assert file.descriptions == ("Au", "SiO2", "Cu")
        assert file.transform.e == -100.0
        assert file.transform.c == 400_000.0
        assert file.transform.f == 5_000_500.0
        assert np.isnan(file.nodata)
        assert file.crs.to_epsg() == 32650
        np.testing.assert_array_equal(file.read(), cube.values[:, ::-1])
        record = json.loads(file.tags()["xgeoanom"])[0]
    assert record["unit"] == ["ppb", "%", "ppm"]
    assert record["attrs"]["method"] == "idw"


def test_foreign_tif(tmp_path):
    values = np.arange(12, dtype="int16").reshape(2, 2, 3)
    foreign = xr.DataArray(
        values, {"y": [300.0, 100.0], "x": [0.0, 100.0, 200.0]}, ("band", "y", "x")
    )
    foreign.rio.write_crs(32650).rio.write_nodata(5).rio.to_raster(tmp_path / "foreign.tif")
    opened = open_cube(tmp_path / "foreign.tif")
    assert opened["element"].values.tolist() == ["band1", "band2"]
    np.testing.assert_array_equal(opened, np.where(values == 5, np.nan, values))


def test_tif_refuses(tmp_path):
    with pytest.raises(CubeError, match="one array"):
        save_cube(make_dataset(), tmp_path / "cube.tif")
    with pytest.raises(CubeError, match="neither"):
        save_cube(make_cube()[:, 0], tmp_path / "cube.tif")
    with pytest.raises(GridError, match="unevenly"):
        save_cube(make_cube().isel(y=[0, 1, 3]), tmp_path / "cube.tif")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------ open_rasters


def write_folder(folder, names=("Au", "Cu_ppm", "SiO2")):
    cube = make_cube()
    for name, layer in zip(names, cube.drop_vars("unit"), strict=True):
        layer = layer.drop_vars("element").drop_attrs(deep=False)
        layer.rio.write_nodata(-3.4e38).fillna(-3.4e38).rio.to_raster(folder / f"{name}.tif")
    return cube


def test_open_rasters(tmp_path, no_compute):
    cube = write_folder(tmp_path)
    (tmp_path / "readme.txt").write_text("not a raster")
    ds = open_rasters(tmp_path)
    assert list(ds.data_vars) == ["Au", "Cu_ppm", "SiO2"]
    assert all(array.chunks is not None for array in ds.data_vars.values())
    np.testing.assert_allclose(ds.to_array(), cube)
    np.testing.assert_allclose(ds["y"], cube["y"])
    assert ds.rio.crs == cube.rio.crs
    assert ds["Au"].attrs == {"long_name": "concentration"}  # the description of its band
    assert ds["Au"].dims == ("y", "x")


def test_open_rasters_makes_floats(tmp_path):
    counts = make_labels(make_cube()).drop_vars("deposit")
    save_cube(counts, tmp_path / "Au.tif")
    assert open_rasters(str(tmp_path))["Au"].dtype == "float64"


def test_open_rasters_refuses(tmp_path):
    with pytest.raises(CubeError, match="no folder"):
        open_rasters(tmp_path / "nowhere")
    with pytest.raises(CubeError, match=r"no \.tif"):
        open_rasters(tmp_path)
    cube = write_folder(tmp_path)
    raster = cube[0].drop_vars(["element", "unit"])
    for wrong, error, message in [
        (raster.isel(x=slice(1, None)), GridError, "Zn.tif lies on another grid than Au.tif"),
        (raster.drop_vars("spatial_ref").rio.write_crs(32651), CRSError, "Zn.tif"),
        (raster.drop_vars("spatial_ref"), CRSError, "Zn.tif.*no CRS"),
        (cube, GridError, "Zn.tif has 3 bands"),
    ]:
        save_cube(wrong, tmp_path / "Zn.tif")
        with pytest.raises(error, match=message):
            open_rasters(tmp_path)
    (tmp_path / "Zn.tif").write_bytes((tmp_path / "Au.tif").read_bytes()[:100])
    with pytest.raises(CubeError, match="Zn.tif"):
        open_rasters(tmp_path)


# ---------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("suffix", [".nc", ".tif"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.95])
def test_truncated_file(suffix, share, tmp_path):
    path = tmp_path / f"cube{suffix}"
    big = make_cube().pad(x=(0, 300), y=(0, 300), mode="constant")
    big = big.assign_coords(x=50.0 * np.arange(307), y=100.0 * np.arange(305))
    save_cube(big, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CubeError, match="cannot be read"):
        open_cube(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_foreign_and_missing_files(suffix, tmp_path):
    path = tmp_path / f"cube{suffix}"
    with pytest.raises(CubeError, match="does not exist"):
        open_cube(path)
    path.write_text("element,y,x\n")
    with pytest.raises(CubeError, match="cannot be read"):
        open_cube(path)


def test_damaged_zarr(tmp_path):
    path = tmp_path / "cube.zarr"
    save_cube(make_cube(), path)
    for metadata in path.glob(".z*"):
        metadata.write_text("{")
    with pytest.raises(CubeError, match="cannot be read"):
        open_cube(path)
    shutil.rmtree(path)
    path.mkdir()
    with pytest.raises(CubeError, match="cannot be read"):
        open_cube(path)


def test_paths_are_checked(tmp_path):
    with pytest.raises(CubeError, match="must end in one of"):
        save_cube(make_cube(), tmp_path / "cube.grd")
    with pytest.raises(CubeError, match="must end in one of"):
        open_cube(tmp_path / "cube")
    with pytest.raises(CubeError, match="folder does not exist"):
        save_cube(make_cube(), tmp_path / "nowhere" / "cube.nc")
