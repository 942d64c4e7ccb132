"""Superpixels: a partition into connected parts, of one ground whatever its chunks or direction."""

import importlib

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from surveys import small_cube

from xgeoanom.classical.concentration_area import concentration_area
from xgeoanom.detectors.superpixels import (
    _bands,
    _connected,
    _in_reading_order,
    _merged,
    superpixels,
)
from xgeoanom.errors import CompositionError, CubeError, XGeoAnomError
from xgeoanom.evaluation.boundary_recall import boundary_recall
from xgeoanom.survey.components import principal_components

SHAPES = ["slic", "squares", "watershed"]


def cut(cube, **settings):
    return superpixels(cube, **{"size": 20, "min_size": 4, "seed": 0, **settings})


def two_grounds(ny=24, nx=30, noise=0.05):
    """A clr cube whose two halves meet along a slanting line; and the half of each cell."""
    row, col = np.indices((ny, nx))
    east = col + 0.4 * row > nx / 2 + 3
    cube = small_cube(ny, nx)
    level = np.array([1.0, -1.0, 0.5, -0.5, 0.2, -0.2])[:, None, None]
    values = noise * cube.values + np.where(east, level, -level)
    return cube.copy(data=values - values.mean(axis=0)), east


def islets(valid):
    """The 4-connected parts of the valid ground, numbered from 1."""
    return label(valid, connectivity=1)


def check_partition(ids, valid, min_size):
    """Every superpixel connected, none too small but whole islets, numbered as rows meet them."""
    np.testing.assert_array_equal(ids >= 0, valid)
    ground = islets(valid)
    for k in range(ids.max() + 1):
        mine = ids == k
        assert mine.any()
        assert label(mine, connectivity=1).max() == 1
        if mine.sum() < min_size:
            np.testing.assert_array_equal(mine, ground == ground[mine][0])
    first = np.unique(ids[ids >= 0], return_index=True)[1]
    assert (np.diff(first) > 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_superpixels_are_a_raster_on_the_grid(shape):
    cube = small_cube(holes=25)
    before = cube.copy(deep=True)
    result = cut(cube, shape=shape)
    xr.testing.assert_identical(cube, before)
    assert (result.name, result.dtype, result.dims) == ("superpixel", np.int32, ("y", "x"))
    assert_georeferenced(result, cube)
    assert result.attrs["seed"] == 0
    check_partition(result.values, cube.notnull().all("element").values, 4)


@settings(max_examples=25)
@given(
    st.integers(6, 22),
    st.integers(6, 22),
    st.integers(0, 1000),
    st.floats(0.0, 0.6),
    st.sampled_from(SHAPES),
    st.sampled_from([1, 4, 9]),
    st.floats(0.02, 1.0),
)
def test_any_ground_is_partitioned(ny, nx, seed, lost, shape, min_size, compactness):
    cube = small_cube(ny, nx, elements=("Au", "Cu", "Zn"), seed=seed)
    gone = np.random.default_rng(seed).random((ny, nx)) < lost
    cube = cube.where(xr.DataArray(~gone, dims=("y", "x")))
    ids = cut(cube, shape=shape, min_size=min_size, compactness=compactness).values
    check_partition(ids, ~gone, min_size)


@settings(max_examples=4)
@given(st.integers(4, 24), st.integers(4, 20), st.sampled_from(SHAPES))
def test_chunks_do_not_matter(rows, cols, shape):
    cube = small_cube(holes=30, seed=3)
    chunked = cut(cube.chunk(y=rows, x=cols, element=2), shape=shape)
    xr.testing.assert_identical(chunked, cut(cube, shape=shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("turned", [{"y": -1}, {"x": -1}, {"y": -1, "x": -1}])
def test_direction_does_not_matter(shape, turned):
    cube = small_cube(holes=30, seed=1)
    turn = {dim: slice(None, None, step) for dim, step in turned.items()}
    other = cut(cube.isel(turn), shape=shape)
    xr.testing.assert_identical(other.isel(turn), cut(cube, shape=shape))


def test_order_of_dims_does_not_matter():
    cube = small_cube(seed=2)
    xr.testing.assert_identical(cut(cube.transpose("x", "element", "y")), cut(cube))


def test_seed_is_kept_and_drawn():
    cube = small_cube()
    drawn = cut(cube, seed=None)
    xr.testing.assert_identical(cut(cube, seed=drawn.attrs["seed"]), drawn)


def test_concentrations_and_clr_are_cut_alike():
    clr = small_cube(seed=4)
    clr = clr - clr.mean("element")
    clr.attrs["log_ratio"] = "clr"
    parts = np.exp(clr).assign_attrs(log_ratio="none", units="ppm")
    np.testing.assert_array_equal(cut(parts), cut(clr))


def test_float32_is_cut_like_float64():
    cube, _ = two_grounds()
    single, double = cut(cube.astype("float32")), cut(cube)
    assert single.dtype == np.int32
    assert (single == double).mean() > 0.9


@pytest.mark.parametrize("names", [("Au", "Cu"), ("Au", "Cu", "Zn")])
def test_few_elements_make_few_bands(names):
    cube = small_cube(elements=names)
    valid = np.ones((24, 20), dtype=bool)
    assert _bands(cube, valid, 0).shape == (24, 20, len(names) - 1)
    check_partition(cut(cube).values, valid, 4)


def test_bands_are_robust_components_between_their_quantiles():
    cube = small_cube(40, 30, seed=5)
    bands = _bands(cube, np.ones((40, 30), dtype=bool), 0)
    scores = principal_components(cube, robust=True, n_components=3, seed=0)["scores"].values
    low, high = np.quantile(scores, [0.005, 0.995], axis=(1, 2))[..., None, None]
    np.testing.assert_allclose(
        np.moveaxis(bands, -1, 0), np.clip((scores - low) / (high - low), 0, 1), atol=1e-6
    )
    assert bands.dtype == np.float32


def test_components_of_a_large_survey_come_from_a_lattice(monkeypatch):
    # By its name: the function of the module stands in the package under the same one.
    module = importlib.import_module("xgeoanom.detectors.superpixels")
    monkeypatch.setattr(module, "MOST_FITTED", 100)
    cube = small_cube(24, 20)
    bands = _bands(cube, np.ones((24, 20), dtype=bool), 0)
    lattice = principal_components(cube[:, ::3, ::3], robust=True, n_components=3, seed=0)
    scores = np.moveaxis((cube - lattice["centre"]).values, 0, -1) @ lattice["loadings"].values.T
    order = np.argsort(scores[..., 0], axis=None)
    assert (np.diff(bands[..., 0].ravel()[order]) >= 0).all()


def test_a_gross_error_moves_no_far_boundary():
    cube, _ = two_grounds()
    wrong = cube.copy(deep=True)
    wrong[0, 2, 2] += 1000.0
    assert boundary_recall(cut(wrong), cut(cube)) > 0.9


@pytest.mark.parametrize(("shape", "least"), [("slic", 0.95), ("watershed", 0.85)])
def test_boundaries_follow_the_ground_and_squares_do_not(shape, least):
    cube, east = two_grounds()
    classes = xr.zeros_like(cube[0], dtype=int).copy(data=east.astype(int))
    recall = {
        kind: boundary_recall(cut(cube, size=36, shape=kind), classes, tolerance_cells=0)
        for kind in (shape, "squares")
    }
    assert recall[shape] > least
    assert recall["squares"] < 0.7


def test_squares_are_blocks():
    ids = superpixels(small_cube(20, 20), size=25, shape="squares", seed=0).values
    np.testing.assert_array_equal(ids, np.arange(16).reshape(4, 4).repeat(5, 0).repeat(5, 1))


@pytest.mark.parametrize("shape", SHAPES)
def test_size_and_count_say_the_same(shape):
    cube = small_cube(40, 40)
    cube = cube.copy(data=gaussian_filter(cube.values, 4, axes=(1, 2)))  # as interpolated
    by_size, by_count = cut(cube, size=64, shape=shape), cut(cube, size=None, n=25, shape=shape)
    np.testing.assert_array_equal(by_size, by_count)
    assert 20 <= by_size.max() + 1 <= 35


def test_count_is_of_valid_ground():
    cube = small_cube(40, 40)
    cube[:, :, :20] = np.nan
    assert 20 <= cut(cube, size=None, n=25, shape="squares").max() + 1 <= 35


def test_a_missing_block_is_left_out():
    cube = small_cube(40, 40)
    cube[2, 10:25, 5:30] = np.nan  # one element is enough
    valid = np.ones((40, 40), dtype=bool)
    valid[10:25, 5:30] = False
    check_partition(cut(cube, size=50, min_size=10).values, valid, 10)


def test_one_superpixel():
    assert (cut(small_cube(12, 12), size=1000) == 0).all()


def naive_merge(parts, bands, min_size):
    """The merging rule on sets of cells, all fragments at once in each round."""
    groups = {k: {tuple(cell) for cell in np.argwhere(parts == k)} for k in range(parts.max() + 1)}
    while True:
        mean = {k: np.mean([bands[cell] for cell in sorted(g)], axis=0) for k, g in groups.items()}
        owner = {cell: k for k, cells in groups.items() for cell in cells}
        links = []
        for k, cells in groups.items():
            beside = {
                owner.get((r + dr, c + dc), k)
                for r, c in cells
                for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0))
            } - {k}
            if len(cells) < min_size and beside:
                gap = {j: ((mean[k] - mean[j]) ** 2).sum() for j in beside}
                links.append((k, min(beside, key=lambda j: (gap[j], j))))
        if not links:
            return groups
        name = {k: k for k in groups}
        for _ in groups:
            for k, j in links:
                name[k] = name[j] = min(name[k], name[j])
        joined = {}
        for k, cells in groups.items():
            joined.setdefault(name[k], set()).update(cells)
        groups = joined


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 12), st.floats(0.0, 0.5))
def test_merging_equals_naive_sets(seed, min_size, lost):
    rng = np.random.default_rng(seed)
    patches, valid = rng.integers(0, 5, (9, 11)), rng.random((9, 11)) >= lost
    bands = rng.random((9, 11, 2))
    parts = _connected(patches, valid)
    ids = _in_reading_order(_merged(parts, bands, min_size)) if valid.any() else parts
    want = naive_merge(parts, bands, min_size)
    found = [frozenset(map(tuple, np.argwhere(ids == k))) for k in range(ids.max() + 1)]
    assert set(found) == {frozenset(cells) for cells in want.values()}


def test_fragment_joins_the_most_similar_neighbour():
    parts = np.array([[0, 0, 1, 2, 2], [0, 0, 1, 2, 2]])
    bands = np.array([0.0, 0.6, 1.0])[parts][..., None]
    np.testing.assert_array_equal(
        _in_reading_order(_merged(parts, bands, 3)), [[0, 0, 1, 1, 1]] * 2
    )


def test_an_islet_stays():
    cube = small_cube(20, 20)
    gone = np.zeros((20, 20), dtype=bool)
    gone[5:10, 5:10] = True
    gone[7, 7] = False
    ids = cut(cube.where(xr.DataArray(~gone, dims=("y", "x"))), min_size=10).values
    assert (ids == ids[7, 7]).sum() == 1


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"size": 0}, XGeoAnomError, "size=0 must be a number of at least 1"),
        ({"size": "many"}, XGeoAnomError, "size='many' must be a number"),
        ({"size": None, "n": 0}, XGeoAnomError, "n=0 must be a number of at least 1"),
        ({"n": 5}, XGeoAnomError, "size=20 and n=5 say the same thing twice; give one"),
        ({"min_size": 0}, XGeoAnomError, "min_size=0 must be"),
        ({"min_size": 21}, XGeoAnomError, "min_size=21 exceeds the 20 cells"),
        ({"size": None, "n": 240}, XGeoAnomError, "min_size=4 exceeds the 2 cells"),
        ({"compactness": 0.0}, XGeoAnomError, r"compactness=0.0 must be above 0; try 0.2"),
        ({"shape": "hexagons"}, XGeoAnomError, "shape='hexagons' must be one of"),
        ({"seed": -1}, XGeoAnomError, "seed=-1"),
    ],
)
def test_bad_arguments(settings, error, message):
    with pytest.raises(error, match=message):
        cut(small_cube(), **settings)


def test_bad_cubes():
    cube = small_cube(12, 12)
    with pytest.raises(CubeError, match="rename the one of its parts 'element'"):
        cut(cube[0])
    with pytest.raises(CubeError, match="pass a DataArray"):
        cut(cube.values)
    with pytest.raises(CubeError, match="no cell in which every element is known"):
        cut(cube.where(cube["element"] != xr.where(cube.x > cube.x[5], "Au", "Cu")))
    with pytest.raises(CubeError, match="has no value anywhere; drop it"):
        cut(cube.where(False))
    lone = cube.where((cube.x == cube.x[3]) & (cube.y == cube.y[4]))
    with pytest.raises(CompositionError, match="1 places without NaN"):
        cut(lone)
    with pytest.raises(CompositionError, match="two or more"):
        cut(cube[:1])
    with pytest.raises(CompositionError, match="'ilr'"):
        cut(cube.assign_attrs(log_ratio="ilr"))
    with pytest.raises(CubeError, match="infinite values; set them to NaN"):
        cut(xr.where(cube == cube[2, 3, 3], np.inf, cube).assign_attrs(cube.attrs))


def test_real_survey(real_data):
    from xgeoanom.datasets.remote import tianshan

    ds = tianshan()
    valid = ds["clr"].notnull().all("element").values
    ids = {shape: superpixels(ds["clr"], shape=shape, seed=0) for shape in SHAPES}
    check_partition(ids["slic"].values, valid, 10)
    z = (ds["clr"] - ds["clr"].mean(("y", "x"))) / ds["clr"].std(("y", "x"))
    left = {k: within(z.values[:, valid], one.values[valid]) for k, one in ids.items()}
    # About as many superpixels; what they leave of the elements' variance.
    assert left["slic"] < 0.13 < 0.16 < left["watershed"] < left["squares"]
    gold = concentration_area(tianshan("none")["concentration"].sel(element="Au"))["score"]
    assert boundary_recall(ids["slic"], gold) > boundary_recall(ids["squares"], gold)


def within(values, member):
    """Share of the variance that lies within members."""
    counts = np.bincount(member)
    mean = np.stack([np.bincount(member, one) / counts for one in values])
    return ((values - mean[:, member]) ** 2).mean()
