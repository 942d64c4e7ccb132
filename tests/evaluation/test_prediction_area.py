"""Capture bands and the prediction-area curve against naive counts and published tables."""

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from xgeoanom.errors import LabelError
from xgeoanom.evaluation.metrics import capture_at, capture_curve
from xgeoanom.evaluation.prediction_area import capture_band, prediction_area, wilson_interval

CRS = 32650


def raster(values):
    y, x = (500.0 * np.arange(n) for n in np.shape(values))
    coords = {"y": y[::-1], "x": x}
    return xr.DataArray(values, coords=coords, dims=("y", "x"), name="score").rio.write_crs(CRS)


def points(xy, crs=CRS):
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(*np.transpose(xy)), crs=crs)


def example(seed=0, levels=None):
    rng = np.random.default_rng(seed)
    values = rng.random((20, 20)) if levels is None else rng.integers(0, levels, (20, 20)) / levels
    values[rng.random((20, 20)) < 0.1] = np.nan
    values[0, 0] = 0.5
    return raster(values), points([(0.0, 9500.0), *rng.uniform(0, 9500, (11, 2))])


def samples_of(score):
    table = score.to_series().rename("score").reset_index().sample(frac=1, random_state=0)
    return points(table[["x", "y"]].to_numpy()).assign(score=table["score"].to_numpy())


@given(st.integers(0, 40), st.integers(1, 40), st.sampled_from([0.8, 0.9, 0.99]))
def test_wilson_is_that_of_scipy(k, n, level):
    k = min(k, n)
    wanted = binomtest(k, n).proportion_ci(level, method="wilson")
    assert wilson_interval(np.array(k / n), n, level) == pytest.approx(tuple(wanted), abs=1e-12)


def test_band_holds_the_capture_and_narrows_with_deposits():
    score, deposits = example()
    areas = [0.05, 0.15, 0.3, 1.0]
    band = capture_band(score, deposits, areas, cluster_distance=1.0)
    np.testing.assert_array_equal(band["capture"], capture_at(score, deposits, areas))
    assert (band["low"] <= band["capture"]).all()
    assert band["high"][-1] == 1
    assert 0.7 < band["low"][-1] < 1  # all captured, and still not certain
    n = band.attrs["n_clusters"]
    assert n == band.attrs["n_deposits"]
    wanted = binomtest(round(float(band["capture"][2]) * n), n).proportion_ci(0.9, "wilson")
    assert (band["low"][2], band["high"][2]) == pytest.approx(tuple(wanted))


def test_deposits_of_a_cluster_are_one_target():
    score = raster(np.arange(400.0).reshape(20, 20))
    spread = [(0.0, 0.0), (3000.0, 0.0), (6000.0, 9000.0)]
    thrice = [(x + dx, y) for x, y in spread for dx in (0.0, 1.0, 2.0)]
    want = capture_band(score, points(spread), cluster_distance=100.0)
    found = capture_band(score, points(thrice), cluster_distance=100.0)
    xr.testing.assert_allclose(found, want)
    assert (found.attrs["n_deposits"], found.attrs["n_clusters"]) == (9, 3)
    alone = capture_band(score, points(thrice), cluster_distance=0.0)
    assert ((alone["high"] - alone["low"]) < (found["high"] - found["low"])).all()
    # Clusters of 1 and 3 are worth (1 + 3)**2 / (1 + 9) targets.
    uneven = capture_band(score, points(thrice[2:6]), cluster_distance=100.0)
    low, _ = wilson_interval(uneven["capture"].values, 1.6, 0.9)
    np.testing.assert_allclose(uneven["low"], low)


def test_coverage_is_about_the_level():
    rng, truth, hits = np.random.default_rng(0), 0.3, 0
    score = raster(np.arange(400.0).reshape(20, 20))
    for _ in range(200):
        inside = rng.random(12) < truth  # of the 30 % of area that score highest
        row = np.where(inside, rng.integers(0, 6, 12), rng.integers(6, 20, 12))
        deposits = points(np.column_stack([500.0 * rng.integers(0, 20, 12), 500.0 * row]))
        band = capture_band(score, deposits, [0.3], cluster_distance=0.0)
        hits += bool(band["low"][0] <= truth <= band["high"][0])
    assert 0.84 <= hits / 200 <= 0.97


@pytest.mark.parametrize("levels", [None, 4])
def test_prediction_area_equals_a_naive_count(levels):
    score, deposits = example(1, levels)
    curve = prediction_area(score, deposits)
    at = [float(score.sel(x=p.x, y=p.y, method="nearest")) for p in deposits.geometry]
    at = np.array(at)[~np.isnan(at)]
    cells = score.values[~np.isnan(score.values)]
    for threshold, rate in curve["prediction_rate"].to_series().items():
        assert rate == pytest.approx(np.mean(at >= threshold))
        area = float(curve["occupied_area"].sel(threshold=threshold))
        assert area == pytest.approx(np.mean(cells >= threshold))
    assert (curve["threshold"].diff("threshold") < 0).all()
    met = curve.sel(threshold=curve.attrs["threshold"])
    assert met["prediction_rate"] + met["occupied_area"] >= 1
    before = curve.sel(threshold=curve["threshold"] > curve.attrs["threshold"])
    assert (before["prediction_rate"] + before["occupied_area"] < 1).all()
    density = curve.attrs["prediction_rate"] / curve.attrs["occupied_area"]
    assert curve.attrs["normalized_density"] == pytest.approx(density)
    assert curve.attrs["weight"] == pytest.approx(np.log(density))


def test_a_map_that_misses_all_deposits_has_no_finite_weight():
    score = raster(np.arange(400.0).reshape(20, 20))
    curve = prediction_area(score, points([(0.0, 9500.0)]))  # the least of all cells
    assert curve.attrs["occupied_area"] == 1
    assert curve.attrs["weight"] == 0
    assert prediction_area(score, points([(9500.0, 0.0)])).attrs["weight"] == np.log(400)


def test_samples_are_worth_what_the_raster_is():
    score, deposits = example(2)
    samples, near = samples_of(score), {"max_distance": 600.0}
    xr.testing.assert_equal(
        capture_curve(samples, deposits, **near), capture_curve(score, deposits, **near)
    )
    for function in (capture_at, prediction_area):
        xr.testing.assert_equal(
            function(samples, deposits, **near), function(score, deposits, **near)
        )
    band = capture_band(samples, deposits, cluster_distance=1.0, **near)
    assert band.attrs["n_unscored"] == 0
    with pytest.raises(LabelError, match="max_distance=None suits only a raster"):
        capture_curve(samples, deposits)
    with pytest.raises(LabelError, match="as points"):
        capture_curve(samples, xr.full_like(score, 1, dtype="int8"), **near)


def test_nearest_scored_cell_within_reach():
    values = np.arange(16.0).reshape(4, 4)
    values[3, 0] = np.nan
    deposits = points([(100.0, 0.0), (9000.0, 0.0)])  # on the hole; beside the map
    curve = capture_curve(raster(values), deposits, max_distance=600.0)
    assert curve.attrs["n_deposits"] == 1
    assert curve.attrs["n_unscored"] == 1
    assert curve["area"].values[1] == 3 / 15  # the cell to its east scores 13
    with pytest.raises(LabelError, match="max_distance=-1"):
        capture_curve(raster(values), deposits, max_distance=-1)


def test_lazy_scores_and_directions():
    score, deposits = example(3)
    want = prediction_area(score, deposits)
    for other in (score.chunk(y=6), score.sortby("y"), score.transpose("x", "y")):
        xr.testing.assert_identical(prediction_area(other, deposits), want)
    band = capture_band(score, deposits, cluster_distance=100.0)
    xr.testing.assert_identical(
        capture_band(score.chunk(x=6), deposits, cluster_distance=100.0), band
    )
    assert band["low"].attrs == {"long_name": "lower bound of the share captured", "units": "1"}
    assert band.attrs["method"] == "capture_band"


def test_bad_input():
    score, deposits = example()
    with pytest.raises(LabelError, match="level=90"):
        capture_band(score, deposits, cluster_distance=1.0, level=90)
    with pytest.raises(LabelError, match="cluster_distance=-1"):
        capture_band(score, deposits, cluster_distance=-1.0)
    with pytest.raises(LabelError, match=r"areas=\[5\]"):
        capture_band(score, deposits, [5], cluster_distance=1.0)
