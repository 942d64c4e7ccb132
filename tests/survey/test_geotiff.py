"""GeoTIFFs that a reader over the network finds its way in: header, overviews, then full size."""

import numpy as np
import pytest
import rasterio
import xarray as xr

from xgeoanom.survey.rasters import open_cube, save_cube

SHAPE = NY, NX = 1300, 700
LEVELS = [2, 4]  # until the longer side fits one tile


def smooth(dtype="float32", bands=2):
    """A cube with a corner missing, where it can."""
    y, x = np.meshgrid(np.arange(NY), np.arange(NX), indexing="ij")
    values = np.stack([(band + 1) * (y % 97) + x % 31 for band in range(bands)]).astype(dtype)
    if values.dtype.kind == "f":
        values[:, :3, :3] = np.nan
    coords = {
        "element": [f"E{band}" for band in range(bands)],
        "y": 4_000_000 - 100.0 * np.arange(NY),
        "x": 500_000 + 100.0 * np.arange(NX),
    }
    cube = xr.DataArray(values, coords, ("element", "y", "x"), name="cube")
    return cube.rio.write_crs(32650)


@pytest.fixture(scope="module")
def cube():
    return smooth()


@pytest.fixture(scope="module")
def path(cube, tmp_path_factory):
    path = tmp_path_factory.mktemp("cog") / "cube.tif"
    save_cube(cube, path)
    return path


def position(file, band, name, level=None):
    """Return where in the file a header or block begins, bytes."""
    found = file.get_tag_item(name, "TIFF", bidx=band, **({} if level is None else {"ovr": level}))
    return int(found)


def test_layout(path):
    with rasterio.open(path) as file:
        assert file.profile["tiled"]
        assert file.profile["interleave"] == "band"
        assert set(file.block_shapes) == {(512, 512)}
        assert [file.overviews(band) for band in (1, 2)] == [LEVELS] * 2
    for level in range(len(LEVELS)):
        with rasterio.open(path, overview_level=level) as overview:
            assert set(overview.block_shapes) == {(512, 512)}
            assert overview.shape == tuple(-(-n // LEVELS[level]) for n in SHAPE)


def test_headers_first_then_overviews_then_full_size(path):
    with rasterio.open(path) as file:
        headers = [position(file, 1, "IFD_OFFSET")]
        headers += [position(file, 1, "IFD_OFFSET", level) for level in range(len(LEVELS))]
        full = [position(file, band, "BLOCK_OFFSET_0_0") for band in (1, 2)]
        small = [
            [position(file, band, "BLOCK_OFFSET_0_0", level) for band in (1, 2)]
            for level in range(len(LEVELS))
        ]
    assert headers == sorted(headers)
    assert headers[0] < 1000  # the first request gets it
    assert headers[-1] < min(small[-1])
    assert max(small[1]) < min(small[0])  # smallest first
    assert max(small[0]) < min(full)
    assert full == sorted(full)


def test_bands_lie_one_after_the_other(path):
    last = f"BLOCK_OFFSET_{NX // 512}_{NY // 512}"
    with rasterio.open(path) as file:
        assert position(file, 1, last) < position(file, 2, "BLOCK_OFFSET_0_0")


def test_values_are_those_saved(path, cube):
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(), cube.values)
    xr.testing.assert_allclose(open_cube(path), cube, rtol=1e-15)


def test_a_lazy_cube_makes_the_same_file(path, cube, tmp_path):
    save_cube(cube.chunk(y=500, x=333), tmp_path / "lazy.tif")
    with rasterio.open(tmp_path / "lazy.tif") as file:
        np.testing.assert_array_equal(file.read(), cube.values)
        assert file.overviews(1) == LEVELS
    assert [file.name for file in tmp_path.iterdir()] == ["lazy.tif"]


def test_overviews_of_floats_are_means_of_what_is_there(path, cube):
    with rasterio.open(path, overview_level=0) as overview:
        found = overview.read()
    blocks = cube.values.reshape(2, NY // 2, 2, NX // 2, 2).swapaxes(2, 3)
    whole = ~np.isnan(blocks).all(axis=(3, 4))
    np.testing.assert_array_equal(~np.isnan(found), whole)
    expected = np.nanmean(blocks[whole].reshape(-1, 4), axis=1)
    np.testing.assert_allclose(found[whole], expected, rtol=1e-6)


def test_overviews_of_classes_are_classes(tmp_path):
    classes = (smooth("int16", bands=1)[0] % 5 * 10).astype("int16").drop_vars("element")
    save_cube(classes, tmp_path / "classes.tif")
    with rasterio.open(tmp_path / "classes.tif", overview_level=0) as overview:
        found = overview.read(1)
    blocks = classes.values.reshape(NY // 2, 2, NX // 2, 2).swapaxes(1, 2).reshape(*found.shape, 4)
    assert (found[..., None] == blocks).any(axis=-1).all()


def test_small_rasters_need_no_overviews(cube, tmp_path):
    save_cube(cube[:, :512, :300], tmp_path / "small.tif")
    with rasterio.open(tmp_path / "small.tif") as file:
        assert file.overviews(1) == []
        assert position(file, 1, "IFD_OFFSET") < position(file, 1, "BLOCK_OFFSET_0_0")
    save_cube(cube[:, :513, :300], tmp_path / "larger.tif")
    with rasterio.open(tmp_path / "larger.tif") as file:
        assert file.overviews(1) == [2]


def test_nothing_is_left_beside(path):
    assert [file.name for file in path.parent.iterdir()] == ["cube.tif"]
