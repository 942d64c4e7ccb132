"""Weights of evidence against tables computed by hand."""

import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from surveys import small_cube

from xgeoanom.classical.weights_of_evidence import weights_of_evidence
from xgeoanom.errors import EvidenceError, LabelError

NY, NX = 10, 10


def grid(values, dtype="float64"):
    like = small_cube(NY, NX).sel(element="Au", drop=True)
    like = like.copy(data=np.asarray(values, dtype=dtype).reshape(NY, NX))
    return like.assign_attrs(long_name="pattern")


@pytest.fixture
def labels():
    """Ten deposits: eight of the first twenty cells, two of the other eighty."""
    marks = np.full(100, -1)
    marks[[0, 1, 2, 3, 4, 5, 6, 7, 50, 51]] = 1
    return grid(marks, "int8")


@pytest.fixture
def fault():
    return grid(np.arange(100) < 20)


def test_hand_computed_table(fault, labels):
    found = weights_of_evidence(xr.Dataset({"fault": fault}), labels)
    # P(B|D) = 8/10, P(B|not D) = 12/90; P(not B|D) = 2/10, P(not B|not D) = 78/90.
    w_plus, w_minus = np.log(0.8 / (12 / 90)), np.log(0.2 / (78 / 90))
    assert found["w_plus"].item() == pytest.approx(w_plus)
    assert found["w_minus"].item() == pytest.approx(w_minus)
    assert found["w_plus_variance"].item() == pytest.approx(1 / 8 + 1 / 12)
    assert found["w_minus_variance"].item() == pytest.approx(1 / 2 + 1 / 78)
    error = np.sqrt(1 / 8 + 1 / 12 + 1 / 2 + 1 / 78)
    assert found["contrast"].item() == pytest.approx(w_plus - w_minus)
    assert found["studentised_contrast"].item() == pytest.approx((w_plus - w_minus) / error)
    # With one pattern the posterior is the share of deposits in it, 8/20 and 2/80.
    posterior = found["score"].values.ravel()
    np.testing.assert_allclose(posterior[:20], 0.4)
    np.testing.assert_allclose(posterior[20:], 0.025)
    std = found["posterior_std"].values.ravel()
    np.testing.assert_allclose(std[:20], 0.4 * np.sqrt(1 / 10 + 1 / 8 + 1 / 12))
    assert found.attrs == {}
    assert found["score"].attrs["expected_deposits"] == pytest.approx(10)
    assert found["score"].attrs["independence_z"] == pytest.approx(0, abs=1e-9)
    assert_georeferenced(found, fault)


def test_a_repeated_pattern_fails_the_test_of_independence(fault, labels):
    found = weights_of_evidence(xr.Dataset({"one": fault, "two": fault}), labels)["score"]
    odds = [10 / 90 * 6**2, 10 / 90 * (0.2 / (78 / 90)) ** 2]
    inside, outside = (odd / (1 + odd) for odd in odds)
    expected = 20 * inside + 80 * outside
    assert found.attrs["expected_deposits"] == pytest.approx(expected)
    spread = np.hypot(
        20 * inside * np.sqrt(1 / 10 + 2 * (1 / 8 + 1 / 12)),
        80 * outside * np.sqrt(1 / 10 + 2 * (1 / 2 + 1 / 78)),
    )
    assert found.attrs["independence_z"] == pytest.approx((expected - 10) / spread)
    assert found.attrs["independence_p"] < 0.5


def test_unknown_evidence_adds_nothing(fault, labels):
    rock = grid(np.arange(100) % 2)
    rock[9, :5] = np.nan
    found = weights_of_evidence(xr.Dataset({"fault": fault, "rock": rock}), labels)
    logit = np.log(10 / 90) + found["w_minus"].sel(evidence="fault").item()
    np.testing.assert_allclose(found["score"][9, :5], 1 / (1 + np.exp(-logit)))
    # Rock is counted over the 95 cells where it is known: five deposits on odd cells.
    counts = np.array([[5, 43], [5, 42]])
    weight = np.log(counts[0, 0] / 10 / (counts[0, 1] / 85))
    assert found["w_plus"].sel(evidence="rock").item() == pytest.approx(weight)
    both = xr.Dataset({"fault": fault.where(fault["x"] > fault["x"][0]), "rock": rock})
    both["rock"] = both["rock"].where(both["x"] > both["x"][0])
    score = weights_of_evidence(both, labels)["score"]
    assert score[:, 0].isnull().all()
    assert score[:, 1:].notnull().all()
    assert score.attrs["n_deposits"] == 8


def test_empty_counts_are_corrected_and_named(labels):
    always = grid(np.isin(np.arange(100), [*range(20), 50, 51]))
    found = weights_of_evidence(xr.Dataset({"always": always}), labels)
    assert found["score"].attrs["corrected"] == "always"
    assert found["w_minus"].item() == pytest.approx(np.log(0.5 / 11 / (78.5 / 91)))
    assert np.isfinite(found["score"]).all()


def test_lazy_directions_and_inputs(fault, labels):
    patterns = xr.Dataset({"fault": fault, "rock": grid(np.arange(100) % 2)})
    before = patterns.copy(deep=True)
    expected = weights_of_evidence(patterns, labels)
    turned = weights_of_evidence(
        patterns.chunk(y=3).isel(y=slice(None, None, -1)), labels.isel(y=slice(None, None, -1))
    )
    xr.testing.assert_allclose(turned.isel(y=slice(None, None, -1)), expected)
    xr.testing.assert_identical(patterns, before)


def test_errors(fault, labels):
    with pytest.raises(EvidenceError, match="holds .*2.0"):
        weights_of_evidence(xr.Dataset({"fault": 2 * fault}), labels)
    with pytest.raises(EvidenceError, match="tells nothing"):
        weights_of_evidence(xr.Dataset({"fault": 0 * fault}), labels)
    with pytest.raises(EvidenceError, match="no raster"):
        weights_of_evidence(xr.Dataset(coords=fault.coords), labels)
    with pytest.raises(EvidenceError, match="patterns is a DataArray"):
        weights_of_evidence(fault, labels)
    off_deposits = grid(np.arange(100) % 2).where(labels != 1)
    with pytest.raises(LabelError, match="0 of the 90 cells"):
        weights_of_evidence(xr.Dataset({"rock": off_deposits}), labels)
