"""Local Moran's I: esda's maps, classes, draws that no chunk changes, errors."""

import dask.array as da
import esda
import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from libpysal.weights import W
from surveys import small_cube

from xgeoanom.classical.local_moran import local_moran
from xgeoanom.errors import CRSError, CubeError, GridError, WindowError, XGeoAnomError


@pytest.fixture(scope="module")
def raster():
    """Return a smooth raster with holes, a cluster of high values and one of low ones."""
    raster = small_cube(30, 30, elements=("Au",), holes=40)[0]
    raster[4:9, 4:9] += 6.0
    raster[20:25, 18:23] -= 6.0
    return raster


@pytest.fixture(scope="module")
def maps(raster):
    return local_moran(raster, permutations=999, seed=0)


def test_result_sits_on_the_grid(maps, raster):
    assert list(maps) == ["score", "local_i", "p", "q", "cluster"]
    assert_georeferenced(maps, raster)
    assert maps["score"].attrs["seed"] == 0
    missing = raster.isnull().values
    assert all(np.isnan(maps[name].values[missing]).all() for name in ("score", "p", "q"))
    assert (maps["cluster"].values[missing] == -1).all()


def neighbours(raster, window):
    """Return values of the valid cells, and libpysal's weights of their windows."""
    rows, cols = np.nonzero(raster.notnull().values)
    apart = np.maximum(abs(rows[:, None] - rows), abs(cols[:, None] - cols))
    near = (apart > 0) & (apart <= window // 2)
    weights = W({cell: np.flatnonzero(row) for cell, row in enumerate(near)}, silence_warnings=True)
    return raster.values[rows, cols], weights


@pytest.mark.filterwarnings("ignore:The alternative hypothesis:DeprecationWarning")
@pytest.mark.parametrize("window", [3, 5])
def test_maps_are_esdas(raster, window):
    """Local I to rounding; p, which esda gives for one side, up to the chance of either's draws."""
    values, weights = neighbours(raster, window)
    theirs = esda.Moran_Local(values, weights, permutations=1999, seed=0, n_jobs=1)
    ours = local_moran(raster, window=window, permutations=1999, seed=0)
    known = raster.notnull().values
    np.testing.assert_allclose(ours["local_i"].values[known], theirs.Is, atol=1e-10)
    apart = abs(ours["p"].values[known] - np.minimum(2 * theirs.p_sim, 1))
    assert apart.mean() < 0.02
    assert apart.max() < 0.12


def test_clusters_are_found(maps):
    cluster = maps["cluster"].values
    assert np.isin(cluster[5:8, 5:8], (1, -1)).all()
    assert np.isin(cluster[21:24, 19:22], (3, -1)).all()
    assert (cluster[5:8, 5:8] == 1).sum() >= 6
    high, low = maps["score"].values[5:8, 5:8], maps["score"].values[21:24, 19:22]
    assert np.nanmin(high) > 0 > np.nanmax(low)
    assert np.nanmin(maps["local_i"].values[21:24, 19:22]) > 0


def test_lone_values_are_outliers(raster):
    lone = raster.copy()
    lone[6, 6], lone[22, 20] = -8.0, 8.0
    maps = local_moran(lone, permutations=999, seed=0)
    assert maps["cluster"].values[6, 6] == 2  # low among high
    assert maps["cluster"].values[22, 20] == 4  # high among low
    assert maps["score"].values[22, 20] < 0


def test_q_is_benjamini_and_hochbergs(maps):
    p = maps["p"].values
    known = ~np.isnan(p)
    ordered = np.sort(p[known])
    share = ordered * len(ordered) / np.arange(1, len(ordered) + 1)
    expected = [min(share[np.searchsorted(ordered, value) :].min(), 1) for value in p[known]]
    np.testing.assert_allclose(maps["q"].values[known], expected, rtol=1e-12)


def test_pure_noise_has_no_clusters():
    raster = small_cube(40, 40, elements=("Au",))[0]
    noise = raster.copy(data=np.random.default_rng(5).normal(size=(40, 40)))
    assert (local_moran(noise, permutations=999, seed=1)["cluster"] != 0).mean() < 0.01


@pytest.mark.parametrize("chunks", [{"y": 7, "x": 30}, {"y": 11, "x": 13}, {}])
def test_chunks_do_not_matter(raster, chunks):
    """Window sums differ by rounding; p has a tolerance for it, so that the rest is the same."""
    eager, lazy = local_moran(raster, seed=3), local_moran(raster.chunk(chunks), seed=3)
    assert all(isinstance(lazy[name].data, da.Array) for name in eager)
    for name in ("score", "local_i"):
        np.testing.assert_allclose(lazy[name], eager[name], rtol=1e-12, atol=1e-12)
    for name in ("p", "q", "cluster"):
        np.testing.assert_array_equal(lazy[name], eager[name])


def test_nothing_is_computed_early(raster, no_compute):
    with no_compute():
        maps = local_moran(raster.chunk(y=11), seed=3)
    assert dict(maps.chunksizes) == dict(raster.chunk(y=11).chunksizes)
    xr.testing.assert_identical(maps.compute(), maps.compute())  # draws do not move on


def test_seed(raster):
    zero, again = local_moran(raster, seed=0), local_moran(raster, seed=0)
    np.testing.assert_array_equal(zero["p"], again["p"])
    assert (local_moran(raster, seed=1)["p"] != zero["p"]).any()
    drawn = local_moran(raster)
    repeated = local_moran(raster, seed=drawn["p"].attrs["seed"])
    np.testing.assert_array_equal(drawn["p"], repeated["p"])


def test_scale_does_not_matter(raster):
    scaled = local_moran(raster * 1e6 - 3e8, seed=0)
    np.testing.assert_allclose(scaled["score"], local_moran(raster, seed=0)["score"], atol=1e-8)


def test_input_is_untouched(raster):
    before = raster.copy(deep=True)
    local_moran(raster, permutations=9, seed=0)
    assert raster.identical(before)


def test_wrong_arguments(raster):
    with pytest.raises(WindowError, match="window=4 must be an odd"):
        local_moran(raster, window=4)
    with pytest.raises(GridError, match="permutations=0"):
        local_moran(raster, permutations=0)
    with pytest.raises(XGeoAnomError, match="fdr=1.5 must lie"):
        local_moran(raster, fdr=1.5)
    with pytest.raises(GridError, match="raster is a ndarray"):
        local_moran(raster.values)
    with pytest.raises(GridError, match="choose one element"):
        local_moran(small_cube())
    with pytest.raises(CRSError, match="no CRS"):
        local_moran(raster.drop_vars("spatial_ref"))


def test_maps_that_say_nothing(raster):
    with pytest.raises(CubeError, match="raster is 2 in all cells"):
        local_moran(raster * 0 + 2)
    with pytest.raises(GridError, match="0 valid cells"):
        local_moran(raster * np.nan)
    lazy = local_moran((raster * 0 + 2).chunk(y=7))
    with pytest.raises(CubeError, match="raster is 2 in all cells"):
        lazy.compute()
