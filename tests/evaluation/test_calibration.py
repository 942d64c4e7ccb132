"""Calibration against scikit-learn, Wilson's formula as printed, and scores of known truth."""

import json
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import calibration as sklearn_calibration
from sklearn.metrics import brier_score_loss

from xgeoanom.errors import GridError, LabelError, XGeoAnomError
from xgeoanom.evaluation.calibration import calibration_curve


def grid(values):
    values = np.asarray(values)
    coords = {"y": 500.0 * np.arange(values.shape[0]), "x": 500.0 * np.arange(values.shape[1])}
    return xr.DataArray(values, coords=coords, dims=("y", "x"), name="score").rio.write_crs(32650)


def example(seed=0, shape=(30, 41), calibrated=True):
    """Return a score and labels, drawn with the score's probability or its square."""
    rng = np.random.default_rng(seed)
    score = rng.random(shape)
    marks = (rng.random(shape) < (score if calibrated else score**2)).astype("int8")
    return grid(score), grid(marks)


@pytest.mark.parametrize("n_bins", [1, 4, 10])
def test_curve_is_that_of_scikit_learn(n_bins):
    score, labels = example()
    curve = calibration_curve(score, labels, n_bins=n_bins)
    truth, scores = labels.values.ravel(), score.values.ravel()
    share, mean_score = sklearn_calibration.calibration_curve(
        truth, scores, n_bins=n_bins, strategy="quantile"
    )
    np.testing.assert_allclose(curve["share"], share, rtol=1e-12)
    np.testing.assert_allclose(curve["mean_score"], mean_score, rtol=1e-12)
    assert curve.attrs["brier"] == pytest.approx(brier_score_loss(truth, scores), rel=1e-12)
    assert np.ptp(curve["n"].values) <= 1
    assert int(curve["n"].sum()) == score.size
    gaps = [abs(s - m) * k for s, m, k in zip(share, mean_score, curve["n"].values, strict=True)]
    assert curve.attrs["ece"] == pytest.approx(sum(gaps) / score.size)


def test_intervals_are_wilsons_at_90_percent():
    curve = calibration_curve(*example(seed=1), n_bins=7)
    z = 1.6448536269514722  # the 95 % quantile of the normal distribution
    for one in (curve.isel(bin=k) for k in range(7)):
        p, n = float(one["share"]), int(one["n"])
        middle, root = p + z * z / (2 * n), z * math.sqrt((p * (1 - p) + z * z / (4 * n)) / n)
        assert float(one["low"]) == pytest.approx((middle - root) / (1 + z * z / n))
        assert float(one["high"]) == pytest.approx((middle + root) / (1 + z * z / n))


def test_a_score_that_is_the_chance_is_calibrated_and_its_square_root_is_not():
    good = calibration_curve(*example(shape=(200, 200)))
    bad = calibration_curve(*example(shape=(200, 200), calibrated=False))
    assert good.attrs["ece"] < 0.02
    assert bad.attrs["ece"] == pytest.approx(1 / 6, abs=0.02)  # the mean of s - s ** 2
    assert (bad["share"] < bad["mean_score"]).all()


def test_unlabelled_cells_are_negatives_only_where_there_is_no_background():
    score, _ = example()
    marks = np.full(score.shape, -1)
    marks[:3] = 1
    curve = calibration_curve(score, grid(marks))
    assert int(curve["n"].sum()) == score.size
    assert float((curve["share"] * curve["n"]).sum()) == pytest.approx(3 * 41)
    marks[10:12] = 0
    assert int(calibration_curve(score, grid(marks))["n"].sum()) == 5 * 41


def test_cells_without_a_score_do_not_count():
    score, labels = example()
    holes = score.where(score.y >= 2000)
    expected = calibration_curve(score[4:], labels[4:])
    xr.testing.assert_identical(calibration_curve(holes, labels), expected)
    xr.testing.assert_identical(calibration_curve(holes.chunk(y=7).T, labels.T), expected)


few = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])


@given(arrays("float32", (4, 5), elements=few), st.integers(1, 12), st.integers(0, 99))
def test_ties_stay_together_and_bins_ascend(values, n_bins, seed):
    marks = np.random.default_rng(seed).permutation([1, 0] * 10).reshape(4, 5)
    curve = calibration_curve(grid(values), grid(marks), n_bins=n_bins)
    assert 1 <= curve.sizes["bin"] <= min(n_bins, np.unique(values).size)
    assert (curve["n"] > 0).all()
    assert (np.diff(curve["mean_score"]) > 0).all()
    assert ((curve["low"] <= curve["share"]) & (curve["share"] <= curve["high"])).all()
    assert 0 <= curve.attrs["ece"] <= 1
    # Bins are runs of whole scores.
    _, counts = np.unique(values, return_counts=True)
    assert set(np.cumsum(curve["n"].values)) <= set(np.cumsum(counts))


def test_result_says_what_it_is():
    curve = calibration_curve(*example(), n_bins=5)
    assert set(curve) == {"mean_score", "share", "low", "high", "n"}
    for array in (curve, *curve.data_vars.values()):
        assert array.attrs["long_name"]
        assert array.attrs["units"] == "1"
    assert curve.attrs["method"] == "calibration_curve"
    assert json.loads(curve.attrs["parameters"]) == {"n_bins": 5}


def test_what_is_refused():
    score, labels = example()
    with pytest.raises(LabelError, match=r"no 1 \(deposit\)"):
        calibration_curve(score, labels * 0)
    with pytest.raises(LabelError, match="no -1 on a scored cell"):
        calibration_curve(score, labels * 0 + 1)
    with pytest.raises(LabelError, match="no 0 on a scored cell"):
        calibration_curve(score.where(labels == 1), labels)
    with pytest.raises(XGeoAnomError, match=r"score runs from -.* must lie in \[0, 1\]"):
        calibration_curve(score - 0.5, labels)
    with pytest.raises(XGeoAnomError, match="to 2"):
        calibration_curve(score.where(score < 0.9, 2.0), labels)
    with pytest.raises(GridError, match="labels lies on another grid"):
        calibration_curve(score, labels[1:])
    for wrong in (score.values, score.expand_dims(element=["Au"]), "score"):
        with pytest.raises(GridError, match="score must be a DataArray"):
            calibration_curve(wrong, labels)
    for n_bins in (0, 2.5, "ten", True):
        with pytest.raises(XGeoAnomError, match="n_bins=.* must be a positive integer"):
            calibration_curve(score, labels, n_bins=n_bins)
