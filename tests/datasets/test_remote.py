import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced

from xgeoanom.conventions import PPM_PER_UNIT
from xgeoanom.datasets.remote import tianshan
from xgeoanom.errors import CompositionError
from xgeoanom.geology.labels import deposit_ids
from xgeoanom.survey.coda import clr, ilr
from xgeoanom.survey.rasters import open_cube, open_rasters

DEPOSITS = [
    (5, 51),
    (26, 100),
    (36, 126),
    (42, 159),
    (44, 87),
    (45, 87),
    (45, 175),
    (59, 177),
    (70, 232),
    (91, 241),
]


@pytest.fixture(scope="module")
def raw(real_data):
    """Concentrations as a dataset, nothing masked."""
    return tianshan("none", masked=False)


def read(path):
    return open_cube(path).values


def patches(folder, name):
    return np.load(folder / f"{name}_data.npy"), np.load(folder / f"{name}_labels.npy")


def test_grid_units_and_elements(raw, real_data):
    cube = raw["concentration"]
    assert cube.dims == ("element", "y", "x")
    assert cube.shape == (39, 117, 289)
    assert cube.dtype == "float64"
    assert raw.rio.crs.to_epsg() == 32645
    assert float(cube["x"][0]) == 565_821.0
    assert float(cube["y"][0]) == pytest.approx(4_623_525.0)
    assert cube["element"].values.tolist() == sorted(cube["element"].values)
    assert cube.attrs["log_ratio"] == "none"
    units = dict(zip(cube["element"].values, cube["unit"].values, strict=True))
    assert units["SiO2"] == units["Fe2O3"] == "%"
    assert [name for name, unit in units.items() if unit == "ppb"] == ["Ag", "Au", "Cd", "Hg"]
    assert sum(unit == "ppm" for unit in units.values()) == 28
    # Units by magnitude: the parts of a soil sum to most of it, but for faults of the data.
    ppm = xr.DataArray([PPM_PER_UNIT[unit] for unit in cube["unit"].values], dims="element")
    total = (cube * ppm).sum("element").where(raw["support"]) / 1e6
    assert 0.65 < float(total.median()) < 0.75
    assert int((total > 1).sum()) == 126
    gold = read(real_data / "tianshan" / "Geochemical_data" / "Au.tif")
    np.testing.assert_array_equal(cube.sel(element="Au"), gold)
    for array in raw.data_vars.values():
        assert_georeferenced(array, raw)


def test_only_zeros_of_cadmium_are_replaced(raw, real_data):
    before = open_rasters(real_data / "tianshan" / "Geochemical_data").to_array().values
    after = raw["concentration"].values
    changed = before != after
    cadmium = raw["element"].values == "Cd"
    np.testing.assert_array_equal(changed, (before == 0) & cadmium[:, None, None])
    assert changed.sum() == 2557
    smallest = before[cadmium][before[cadmium] > 0].min()
    np.testing.assert_allclose(after[changed], 0.65 * smallest)


def test_labels_are_those_of_the_archive(raw, real_data):
    """Each patch is found at one place; those places are the labels."""
    rasters = open_rasters(real_data / "tianshan" / "Geochemical_data").to_array().values
    stack = np.moveaxis(rasters, 0, -1)
    at = {stack[row, col].tobytes(): (row, col) for row in range(117) for col in range(289)}
    found = np.full((117, 289), -1)
    for name in ("train", "verify"):
        for patch, label in zip(*patches(real_data / "tianshan", name), strict=True):
            row, col = at[patch[4, 4].tobytes()]
            np.testing.assert_array_equal(stack[row - 4 : row + 5, col - 4 : col + 5], patch)
            found[row, col] = label
    np.testing.assert_array_equal(raw["labels"], found)
    assert int((found == 1).sum()) == int((found == 0).sum()) == 84


def test_deposit_ids(raw):
    ids = deposit_ids(raw["labels"])
    np.testing.assert_array_equal(ids, raw["deposit"])
    assert [int(ids[row, col]) for row, col in DEPOSITS] == list(range(10))
    counts = [int((ids == i).sum()) for i in range(10)]
    assert counts == [9, 9, 9, 9, 6, 6, 9, 9, 9, 9]


def test_support(raw, real_data):
    support = raw["support"]
    assert support.dtype == bool
    assert float(support.mean()) == pytest.approx(0.418, abs=0.001)
    assert bool(support.where(raw["labels"] >= 0, True).all())
    folder = real_data / "tianshan" / "coordinate"
    found = np.stack([read(folder / "xx.tif"), read(folder / "yy.tif")])
    true = np.stack(np.broadcast_arrays(raw["x"].values, raw["y"].values[:, None]))
    within = np.linalg.norm(found - true, axis=0) <= 2000.0
    np.testing.assert_array_equal(support, within)


@pytest.mark.parametrize("log_ratio", ["clr", "ilr", "none"])
def test_masked_is_missing_outside_support(raw, log_ratio):
    ds = tianshan(log_ratio)
    name = "concentration" if log_ratio == "none" else log_ratio
    cube = ds[name]
    missing = cube.isnull()
    np.testing.assert_array_equal(missing, np.broadcast_to(~ds["support"], missing.shape))
    assert cube.attrs["log_ratio"] == log_ratio
    transform = {"clr": clr, "ilr": ilr, "none": lambda cube: cube}[log_ratio]
    whole = transform(raw["concentration"])
    np.testing.assert_allclose(cube, whole.where(ds["support"]))
    assert_georeferenced(cube, raw)


def test_fault_weight_is_aligned_by_index(raw, real_data):
    weight = raw["fault_weight"]
    original = read(real_data / "tianshan" / "geology_weights.tif")
    assert original.shape == (117, 292)
    np.testing.assert_array_equal(weight, original[:, :289])
    assert len(np.unique(weight)) == 12
    assert float(weight.min()) == 0.0
    assert float(weight.max()) == 1.0


def test_log_ratio_is_checked_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("XGEOANOM_DATA", str(tmp_path))
    with pytest.raises(CompositionError, match="log_ratio='log'"):
        tianshan("log")
    assert list(tmp_path.iterdir()) == []
