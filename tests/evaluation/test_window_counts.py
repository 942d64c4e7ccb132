"""Counts by window reproduce the paper's table; counts by deposit agree with naive loops."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from xgeoanom.evaluation.window_counts import bootstrap_interval, judged, window_metrics

PRINTED = [  # Huang et al. 2022, Tables 3 to 5, truncated: accuracy, recall, macro-F1
    ((48, 71, 14, 142), (69.09, 40.33, 65.00)),  # SKT
    ((56, 63, 19, 137), (70.18, 47.05, 67.34)),  # rho = 18
    ((37, 82, 23, 133), (61.81, 31.09, 56.51)),  # GoogLeNet
]


@pytest.mark.parametrize(("counts", "printed"), PRINTED)
def test_the_printed_rows_follow_from_their_counts(counts, printed):
    assert sum(counts) == 275
    found = [int(10_000 * value) / 100 for value in window_metrics(*counts).values()]
    np.testing.assert_allclose(found, printed, atol=0.011)


def test_to_flag_nothing_scores_56_7():
    found = window_metrics(0, 119, 0, 156)
    assert found["accuracy"] == pytest.approx(0.567, abs=5e-4)
    assert found["recall"] == 0


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_metrics_are_those_of_scikit_learn(tp, fn, fp, tn):
    tp, tn = tp + (tp + fn == 0), tn + (tn + fp == 0)  # each class has a window
    truth = np.repeat([1, 1, 0, 0], [tp, fn, fp, tn])
    said = np.repeat([1, 0, 1, 0], [tp, fn, fp, tn])
    found = window_metrics(tp, fn, fp, tn)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert found["recall"] == pytest.approx(recall_score(truth, said))
    assert found["macro_f1"] == pytest.approx(
        f1_score(truth, said, average="macro", labels=[0, 1], zero_division=0)
    )


def example(seed=0, n_windows=30):
    """Verdicts of two judges on windows that hold up to two of three deposits."""
    rng = np.random.default_rng(seed)
    holds = rng.random((n_windows, 3)) < 0.15
    holds[:3] = np.eye(3, dtype=bool)
    holds[3] = False
    score = rng.integers(0, 4, (2, n_windows)) / 5  # many ties
    holds = xr.DataArray(holds, dims=("window", "deposit"), coords={"deposit": [4, 7, 9]})
    return score > 0.4, score, holds.any("deposit").values.astype("int8"), holds


@given(st.integers(0, 50))
def test_deposits_are_placed_among_background(seed):
    flagged, score, label, holds = example(seed)
    result = judged(flagged, score, label, holds)
    np.testing.assert_array_equal(result.deposit, [4, 7, 9])
    for judge in range(2):
        assert result["tp"][judge] == (flagged[judge] & (label == 1)).sum()
        assert result["fn"][judge] == (~flagged[judge] & (label == 1)).sum()
        assert result["fp"][judge] == (flagged[judge] & (label == 0)).sum()
        assert result["tn"][judge] == (~flagged[judge] & (label == 0)).sum()
        usual = score[judge, label == 0]
        for deposit in range(3):
            mine = holds.values[:, deposit]
            mean = score[judge, mine].mean()
            tied = np.isclose(usual, mean, rtol=1e-6)
            place = ((usual < mean) & ~tied).mean() + tied.mean() / 2
            assert result["placement"][judge, deposit] == pytest.approx(place)
            share = flagged[judge, mine].mean()
            assert result["flagged_share"][judge, deposit] == pytest.approx(share)


def test_half_the_windows_are_not_most():
    holds = xr.DataArray(
        np.array([[True]] * 6 + [[False]]), dims=("window", "deposit"), coords={"deposit": [0]}
    )
    flagged = np.array([[True, True, True, False, False, False, False]])
    result = judged(flagged, flagged.astype(float), np.repeat([1, 0], [6, 1]), holds)
    assert not (result["flagged_share"] > 0.5).any()


def test_interval_is_that_of_resampled_deposits():
    rng = np.random.default_rng(0)
    placed = xr.DataArray(rng.random((2, 15)), dims=("system", "deposit"))
    low, high = bootstrap_interval(placed, seed=0)
    drawn = rng.integers(0, 15, (20_000, 15))
    means = placed.values[:, drawn].mean(axis=-1)
    np.testing.assert_allclose(low, np.quantile(means, 0.05, axis=1), atol=0.01)
    np.testing.assert_allclose(high, np.quantile(means, 0.95, axis=1), atol=0.01)


def test_deposits_are_redrawn_alike():
    placed = xr.DataArray(np.random.default_rng(0).random(9), dims="deposit")
    both = xr.concat([placed, placed + 0.1], "system")
    low, high = bootstrap_interval(both - placed, seed=0)
    np.testing.assert_allclose(low, [0, 0.1], atol=1e-12)
    np.testing.assert_allclose(high, [0, 0.1], atol=1e-12)


def test_one_deposit_has_no_interval():
    low, high = bootstrap_interval(xr.DataArray([[0.5]], dims=("system", "deposit")), seed=0)
    assert low.isnull().all()
    assert high.isnull().all()
