"""Metrics against scikit-learn, naive loops and published numbers."""

import geopandas as gpd
import numpy as np
import pytest
import sklearn.metrics as skm
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xgeoanom.errors import CRSError, GridError, LabelError
from xgeoanom.evaluation.classify import classify
from xgeoanom.evaluation.metrics import (
    auc,
    auc_standard_error,
    capture_at,
    capture_curve,
    metrics,
    roc_curve,
)

CRS = 32650


def raster(values, *, crs=CRS):
    values = np.asarray(values)
    coords = {
        "y": 500.0 * np.arange(values.shape[0])[::-1],
        "x": 500.0 * np.arange(values.shape[1]),
    }
    score = xr.DataArray(values, coords=coords, dims=("y", "x"), name="score")
    return score.rio.write_crs(crs)


def example(seed, shape=(12, 15), levels=None):
    """A score with NaN holes, and labels of all three kinds."""
    rng = np.random.default_rng(seed)
    values = rng.random(shape) if levels is None else rng.integers(0, levels, shape) / levels
    values[rng.random(shape) < 0.1] = np.nan
    marks = rng.choice([1, 0, -1], size=shape, p=[0.2, 0.5, 0.3]).astype("int8")
    values.flat[:2], marks.flat[:2] = 0.5, [1, 0]
    return raster(values), raster(marks)


def flat(score, labels):
    keep = ~np.isnan(score.values) & (labels.values >= 0)
    return labels.values[keep], score.values[keep]


def points(*cells, crs=CRS):
    """Deposits at (x, y)."""
    x, y = zip(*cells, strict=True)
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=crs)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([None, 2, 5]))
def test_auc_is_that_of_scikit_learn(seed, levels):
    score, labels = example(seed, levels=levels)
    assert auc(score, labels) == pytest.approx(skm.roc_auc_score(*flat(score, labels)), abs=1e-12)


def test_auc_computes_lazy_and_ignores_direction():
    score, labels = example(4)
    want = auc(score, labels)
    assert auc(score.chunk(y=5), labels.chunk(x=4)) == want
    assert auc(score.sortby("y"), labels.sortby("y")) == want
    assert auc(score.transpose("x", "y"), labels) == want


def test_auc_refuses_one_class():
    score, labels = example(5)
    with pytest.raises(LabelError, match="draw_background.*honest_auc"):
        auc(score, labels.where(labels == 1, -1))
    with pytest.raises(LabelError, match="no 1"):
        auc(score, labels.where(labels == 0, -1))
    with pytest.raises(GridError, match="another grid"):
        auc(score, labels.isel(y=slice(1, None)))


def test_standard_error_of_hanley_and_mcneil():
    assert auc_standard_error(0.905, 19, 77_810 - 171) == pytest.approx(0.046, abs=5e-4)
    # Hanley and McNeil (1982), Table II: 0.893 with 51 abnormal and 58 normal has 0.032.
    assert auc_standard_error(0.893, 51, 58) == pytest.approx(0.032, abs=1e-3)
    assert auc_standard_error(1.0, 5, 5) == 0
    with pytest.raises(LabelError, match="n_positive=0"):
        auc_standard_error(0.5, 0, 3)


@pytest.mark.parametrize("levels", [None, 4])
def test_roc_curve_is_that_of_scikit_learn(levels):
    score, labels = example(6, levels=levels)
    curve = roc_curve(score, labels)
    fpr, tpr, thresholds = skm.roc_curve(*flat(score, labels), drop_intermediate=False)
    np.testing.assert_allclose(curve["false_positive_rate"], fpr, atol=1e-12)
    np.testing.assert_allclose(curve["true_positive_rate"], tpr, atol=1e-12)
    np.testing.assert_allclose(curve["threshold"], thresholds)
    assert curve.attrs["auc"] == auc(score, labels)
    assert np.trapezoid(tpr, fpr) == pytest.approx(curve.attrs["auc"])


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_seven_metrics_are_those_of_scikit_learn(threshold):
    score, labels = example(7)
    truth, values = flat(score, labels)
    called = values >= threshold
    want = {
        "accuracy": skm.accuracy_score(truth, called),
        "auc": skm.roc_auc_score(truth, values),
        "kappa": skm.cohen_kappa_score(truth, called),
        "mcc": skm.matthews_corrcoef(truth, called),
        "precision": skm.precision_score(truth, called),
        "recall": skm.recall_score(truth, called),
        "f1": skm.f1_score(truth, called),
    }
    assert metrics(score, labels, threshold=threshold) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("threshold", [-1.0, 2.0])
def test_metrics_of_a_single_call(threshold):
    score, labels = example(8)
    found = metrics(score, labels, threshold=threshold)
    truth, values = flat(score, labels)
    called = values >= threshold
    assert found["kappa"] == pytest.approx(skm.cohen_kappa_score(truth, called))
    assert found["mcc"] == skm.matthews_corrcoef(truth, called) == 0
    assert found["precision"] == skm.precision_score(truth, called, zero_division=0)


def test_capture_of_points_counts_each_deposit_once():
    score = raster(np.arange(100.0).reshape(10, 10))  # south-east cell scores 99
    # Two deposits share the best cell; one lies off its centre; one is outside the map.
    deposits = points((4500, 0), (4500, 0), (240, 4500 - 240), (90_000, 0))
    curve = capture_curve(score, deposits)
    assert curve.to_series().to_dict() == {0.0: 0.0, 0.01: pytest.approx(2 / 3), 1.0: 1.0}
    assert curve.attrs["n_deposits"] == 3
    assert curve.attrs["n_unscored"] == 1


def test_capture_of_labels_takes_the_median_of_a_block():
    values = np.full((10, 10), 0.5)
    values[:3, :3] = [[0.9, 0.9, 0.1], [0.6, 0.7, 0.8], [0.2, 0.3, np.nan]]
    marks = np.full((10, 10), -1, dtype="int8")
    marks[:3, :3] = 1
    marks[8, 8] = 1
    deposit = np.where(marks == 1, np.arange(10)[:, None] // 5, -1).astype("int16")
    labels = raster(marks).assign_coords(deposit=(("y", "x"), deposit))
    # The block's median is 0.65; 0.9, 0.9, 0.7 and 0.8 are above it.
    curve = capture_curve(raster(values), labels)
    assert curve["area"].values[1] == pytest.approx(4 / 99)
    assert curve.values[1] == 0.5


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([None, 3]))
def test_capture_curve_equals_a_naive_count(seed, levels):
    score, _ = example(seed, levels=levels)
    rng = np.random.default_rng(seed)
    at = [
        (500.0 * c, 500.0 * r)
        for r, c in zip(rng.integers(0, 12, 7), rng.integers(0, 15, 7), strict=True)
    ]
    at.append((0.0, 500.0 * 11))  # the first cell, which is never missing
    values = [float(score.sel(x=x, y=y)) for x, y in at]
    scored = score.values[~np.isnan(score.values)]
    need = [np.mean(scored >= v) for v in values if not np.isnan(v)]
    curve = capture_curve(score, points(*at))
    for area, captured in curve.to_series().items():
        assert captured == pytest.approx(np.mean([n <= area + 1e-12 for n in need]))


def test_capture_at_agrees_with_classes():
    score = raster(np.random.default_rng(9).permutation(400).reshape(20, 20) / 400)
    cells = np.random.default_rng(10).integers(0, 20, (30, 2)) * 500.0
    found = capture_at(score, points(*map(tuple, cells)))
    classes = classify(score)
    inside = np.array([int(classes.sel(x=x, y=y)) for x, y in cells])
    np.testing.assert_allclose(found, [(inside >= k).mean() for k in (3, 2, 1)])
    assert found["area"].values.tolist() == [0.05, 0.15, 0.30]


def test_a_constant_score_captures_nothing_early():
    curve = capture_curve(raster(np.ones((10, 10))), points((0, 0)))
    assert curve.to_series().to_dict() == {0.0: 0.0, 1.0: 1.0}


def test_capture_names_what_is_wrong():
    score = raster(np.ones((4, 4)))
    with pytest.raises(LabelError, match="none of the 1 deposits"):
        capture_curve(score, points((90_000, 0)))
    with pytest.raises(CRSError, match="to_crs"):
        capture_curve(score, points((0, 0), crs=32651))
    with pytest.raises(LabelError, match="not only points"):
        capture_curve(score, points((0, 0)).buffer(10).to_frame("geometry"))
    with pytest.raises(LabelError, match="empty"):
        capture_curve(score, points((0, 0)).iloc[:0])
    with pytest.raises(LabelError, match="no deposit cell"):
        capture_curve(score, raster(np.zeros((4, 4), dtype="int8")))


def test_capture_wants_shares_not_percentages():
    grid = {"y": np.arange(4.0)[::-1], "x": np.arange(5.0)}
    score = xr.DataArray(np.arange(20.0).reshape(4, 5), coords=grid, dims=("y", "x"))
    labels = xr.where(score == 7, 1, -1).astype("int8")
    with pytest.raises(LabelError, match=r"areas=\[5, 15\]"):
        capture_at(score, labels, areas=(5, 15))
