"""The honest score against scikit-learn and a naive bootstrap, on rasters and on samples."""

import dataclasses
import warnings

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics.pairwise import haversine_distances

from xgeoanom.errors import CRSError, GridError, LabelError
from xgeoanom.evaluation.honest import HonestAUC, average_precision, honest_auc

# Few clusters keep most of these tests small.
pytestmark = pytest.mark.filterwarnings("ignore:n_clusters=")

CRS = 32650
FAR = {"min_distance": 3000, "max_distance": 800}


def raster(values, *, crs=CRS):
    values = np.asarray(values)
    coords = {
        "y": 500.0 * np.arange(values.shape[0])[::-1],
        "x": 500.0 * np.arange(values.shape[1]),
    }
    return xr.DataArray(values, coords=coords, dims=("y", "x"), name="score").rio.write_crs(crs)


def points(xy, crs=CRS):
    x, y = np.asarray(xy, dtype="float64").T
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=crs)


def example(seed=0, shape=(30, 40), n=9):
    rng = np.random.default_rng(seed)
    values = rng.random(shape)
    values[rng.random(shape) < 0.1] = np.nan
    return raster(values), rng.uniform(0, [500 * shape[1], 500 * shape[0]], (n, 2))


def naive(score, xy, min_distance, max_distance):
    """Positives and negatives, one cell and one deposit at a time."""
    cells = [
        (float(x), float(y), float(score.sel(x=x, y=y)))
        for y in score["y"].values
        for x in score["x"].values
        if not np.isnan(float(score.sel(x=x, y=y)))
    ]
    away = [min(np.hypot(cx - x, cy - y) for x, y in xy) for cx, cy, _ in cells]
    positives = set()
    for x, y in xy:
        gaps = [np.hypot(cx - x, cy - y) for cx, cy, _ in cells]
        if min(gaps) <= max_distance:
            positives.add(int(np.argmin(gaps)))
    negatives = {k for k, gap in enumerate(away) if gap >= min_distance} - positives
    return [cells[k][2] for k in positives], [cells[k][2] for k in negatives]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_equals_the_naive_definition(seed):
    score, xy = example(seed, shape=(9, 11), n=4)
    reach = {"min_distance": 1500, "max_distance": 600}
    positives, negatives = naive(score, xy, **reach)
    if not positives or not negatives:
        return
    found = honest_auc(score, points(xy), **reach, n_boot=5, seed=0)
    truth = [1] * len(positives) + [0] * len(negatives)
    assert found.auc == pytest.approx(roc_auc_score(truth, positives + negatives))
    assert (found.n_positives, found.n_negatives) == (len(positives), len(negatives))
    precision = average_precision(score, points(xy), **reach)
    assert precision == pytest.approx(average_precision_score(truth, positives + negatives))


def samples_of(score):
    """The cells of a raster as samples, in no order."""
    table = score.to_series().rename("score").reset_index()
    table = table.sample(frac=1, random_state=0)
    at = gpd.points_from_xy(table["x"], table["y"])
    return gpd.GeoDataFrame(table[["score"]], geometry=at, crs=CRS)


def test_samples_are_worth_what_the_raster_is():
    score, xy = example(3, n=14)
    samples = samples_of(score)
    assert samples["score"].isna().any()
    want = honest_auc(score, points(xy), **FAR, seed=0)
    assert honest_auc(samples, points(xy), **FAR, seed=0) == want
    assert average_precision(samples, points(xy), **FAR) == average_precision(
        score, points(xy), **FAR
    )


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_degrees_are_measured_by_haversine(seed):
    rng = np.random.default_rng(seed)
    lonlat, at = (rng.uniform([118, 60], [118.5, 60.25], (n, 2)) for n in (150, 5))
    values = rng.random(150)
    samples = points(lonlat, 4326).assign(score=values)
    radians = [np.radians(xy[:, ::-1]) for xy in (at, lonlat)]
    metres = 6_371_000 * haversine_distances(*radians)
    nearest = metres.argmin(axis=1)[metres.min(axis=1) <= 2500]
    if not nearest.size:
        return
    far = np.setdiff1d(np.flatnonzero((metres >= 4000).all(axis=0)), nearest)
    found = honest_auc(
        samples, points(at, 4326), min_distance=4000, max_distance=2500, n_boot=1, seed=0
    )
    positives = np.unique(nearest)
    truth = [1] * positives.size + [0] * far.size
    assert (found.n_positives, found.n_negatives) == (positives.size, far.size)
    assert found.auc == pytest.approx(roc_auc_score(truth, values[[*positives, *far]]))


def test_a_raster_in_degrees():
    score, xy = example(3, n=12)
    degrees = score.assign_coords(x=score["x"] / 60_000 + 118, y=score["y"] / 120_000 + 60)
    degrees = degrees.drop_vars("spatial_ref").rio.write_crs(4326)
    found = honest_auc(degrees, points(xy / [60_000, 120_000] + [118, 60], 4326), **FAR, seed=0)
    # A degree is about 111.2 km, and half of that along the parallel of 60 degrees.
    reach = {"min_distance": 3000 / 0.9266, "max_distance": 800 / 0.9266}
    near = honest_auc(score, points(xy), **reach, seed=0)
    assert found.auc == pytest.approx(near.auc, abs=0.005)
    assert found.n_positives == near.n_positives
    assert found.n_negatives == pytest.approx(near.n_negatives, rel=0.03)


def test_fewer_than_ten_clusters_give_a_warning():
    score = raster(np.random.default_rng(1).random((60, 60)))
    xy = [(x, y) for y in (2000, 8000) for x in range(2000, 27_000, 5000)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert honest_auc(score, points(xy), **FAR, seed=0).n_clusters == 10
    with pytest.warns(UserWarning, match="n_clusters=9: .*too narrow") as caught:
        honest_auc(score, points(xy[:9]), **FAR, seed=0)
    assert caught[0].filename == __file__


def test_deposits_of_one_cell_count_once():
    score, _ = example()
    score = score.fillna(0.3)
    found = honest_auc(score, points([(5000, 5000), (5100, 5010), (15000, 9000)]), **FAR, seed=0)
    assert (found.n_positives, found.n_clusters) == (2, 2)


def test_clusters_chain_by_single_linkage():
    score = raster(np.random.default_rng(1).random((60, 60)))
    chain = [(5000, 5000), (7000, 5000), (9000, 5000), (20000, 20000)]
    for reach, n in ((1999, 4), (2001, 2), (40_000, 1)):
        found = honest_auc(score, points(chain), **FAR, cluster_distance=reach, seed=0)
        assert (found.n_positives, found.n_clusters) == (4, n)
    assert honest_auc(score, points(chain), **FAR, seed=0).n_clusters == 2  # min_distance


def test_one_cluster_has_no_interval():
    score = raster(np.random.default_rng(1).random((60, 60)))
    found = honest_auc(score, points([(5000, 5000)]), **FAR, seed=0)
    assert np.isnan([found.low, found.high]).all()


def test_interval_equals_a_naive_bootstrap():
    score, xy = example(3, n=12)
    found = honest_auc(score, points(xy), **FAR, cluster_distance=1, n_boot=4000, seed=0)
    positives, negatives = (np.array(v) for v in naive(score, xy, **FAR))
    placed = np.array([np.mean(p > negatives) + np.mean(p == negatives) / 2 for p in positives])
    rng = np.random.default_rng(5)
    means = [rng.choice(placed, placed.size).mean() for _ in range(4000)]
    assert found.n_clusters == placed.size
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.05, 0.95]), abs=0.015)
    wide = honest_auc(score, points(xy), **FAR, cluster_distance=1, level=0.99, seed=0)
    assert wide.low < found.low < found.auc < found.high < wide.high


def test_a_perfect_score_and_its_opposite():
    xy = [(5000, 5000), (15000, 9000)]
    grid = raster(np.zeros((30, 40)))
    gaps = [np.hypot(grid["x"] - x, grid["y"] - y) for x, y in xy]
    near = -np.minimum(*gaps).transpose("y", "x").rio.write_crs(CRS)
    assert honest_auc(near, points(xy), **FAR, seed=0).auc == 1
    assert honest_auc(-near, points(xy), **FAR, seed=0).auc == 0
    assert honest_auc(grid, points(xy), **FAR, seed=0).auc == 0.5


def test_seed_counts_and_zero_is_a_seed():
    score, xy = example(3, n=12)
    run = [honest_auc(score, points(xy), **FAR, seed=s) for s in (0, 0, 1)]
    assert run[0] == run[1]
    assert run[0].low != run[2].low
    assert run[0].auc == run[2].auc


def test_direction_chunks_and_dtype_do_not_matter():
    score, xy = example(3, n=12)
    score = score.astype("float32")
    xy[0] = 5250.0, 5250.0  # as near to four cells
    want = honest_auc(score, points(xy), **FAR, seed=0)
    assert honest_auc(score.sortby("y"), points(xy), **FAR, seed=0) == want
    assert honest_auc(score.chunk(y=7), points(xy), **FAR, seed=0) == want
    assert honest_auc(score.transpose("x", "y"), points(xy), **FAR, seed=0) == want


def test_result_is_frozen():
    found = HonestAUC(0.7, 0.6, 0.8, 5, 4, 100)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.auc = 0.9


def test_never_falls_back():
    score, xy = example()
    with pytest.raises(LabelError, match="min_distance=1e\\+06 leaves no cell"):
        honest_auc(score, points(xy), min_distance=1e6, max_distance=800)
    with pytest.raises(LabelError, match="no deposit lies within max_distance=800"):
        honest_auc(score, points(xy + 1e6), **FAR)


def test_bad_input():
    score, xy = example()
    with pytest.raises(LabelError, match="max_distance=0"):
        honest_auc(score, points(xy), min_distance=3000, max_distance=0)
    with pytest.raises(LabelError, match="level=90"):
        honest_auc(score, points(xy), **FAR, level=90)
    with pytest.raises(CRSError, match="no latitude, but the CRS is in degrees"):
        honest_auc(score.rio.write_crs(4326), points(xy, 4326), **FAR)
    with pytest.raises(CRSError, match="to_crs"):
        honest_auc(score, points(xy, 4326), **FAR)
    with pytest.raises(GridError, match="score is a ndarray"):
        average_precision(score.values, points(xy), **FAR)
    with pytest.raises(CRSError, match="no CRS"):
        honest_auc(score, points(xy, None), **FAR)
    with pytest.raises(GridError, match="no valid cell"):
        honest_auc(score * np.nan, points(xy), **FAR)
