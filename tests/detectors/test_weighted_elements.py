"""Weights of evidence over elements against the classical function, loops and hand counts."""

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import roc_auc_score
from surveys import small_cube, small_labels

from xgeoanom.classical.weights_of_evidence import weights_of_evidence
from xgeoanom.detectors.weighted_elements import (
    QUANTILES,
    WeightedElements,
    best_cutoffs,
    middle_cells,
)
from xgeoanom.errors import LabelError, XGeoAnomError


@pytest.fixture(scope="module")
def labels():
    """Labels of eighteen single cells."""
    values = np.full((24, 20), -1, dtype="int8")
    values.flat[np.random.default_rng(7).choice(480, 18, replace=False)] = 1
    grid = small_labels(small_cube()).copy(data=values)
    return grid.assign_coords(deposit=(("y", "x"), np.cumsum(values == 1).reshape(24, 20)))


@pytest.fixture(scope="module")
def cube(labels):
    """Noise in which deposits raise two of six elements."""
    cube = small_cube()
    raised = cube + 2.5 * (labels == 1) * cube.element.isin(["Au", "As"])
    return raised.drop_vars("deposit").assign_attrs(cube.attrs)


@pytest.fixture(scope="module")
def fitted(cube, labels):
    return WeightedElements(seed=0).fit(cube, labels)


def test_the_same_patterns_give_the_classical_posterior(fitted, cube, labels):
    network, (history,) = fitted.networks_[0], fitted.history_
    kept = list(history["elements"])
    assert {"Au", "As"} <= set(kept) < set(cube.element.values)
    above = fitted.standardise(cube.values) > network.cutoff.numpy()[:, None, None]
    patterns = cube.copy(data=above.astype("float64")).to_dataset(dim="element")[kept]
    found = weights_of_evidence(patterns, labels)
    score = fitted.predict(cube)["score"]
    np.testing.assert_allclose(score, found["score"].astype("float32"), rtol=1e-6)
    for name in ("w_plus", "w_minus", "contrast", "studentised_contrast"):
        ours = [history["elements"][element][name] for element in kept]
        np.testing.assert_allclose(ours, found[name])
    for name in ("independence_p", "independence_z", "expected_deposits"):
        assert history[name] == pytest.approx(found["score"].attrs[name])


def test_cutoffs_are_the_best_of_the_quantiles(cube, labels):
    values, deposit = cube.values.reshape(6, -1), labels.values.ravel() == 1
    table = best_cutoffs(values, deposit)
    for k, layer in enumerate(values):
        contrasts = []
        for cutoff in np.quantile(layer, QUANTILES):
            above = layer > cutoff
            b, not_b = deposit & above, deposit & ~above
            c, not_c = ~deposit & above, ~deposit & ~above
            four = np.array([b.sum(), not_b.sum(), c.sum(), not_c.sum()], dtype=float)
            if b.any():
                four += 0.5 * (four == 0).any()
                contrast = np.log(four[0] * four[3] / (four[1] * four[2]))
                contrasts.append(contrast / np.sqrt((1 / four).sum()))
            else:
                contrasts.append(-np.inf)
        best = int(np.argmax(contrasts))
        assert table["quantile"][k] == QUANTILES[best]
        assert table["cutoff"][k] == np.quantile(layer, QUANTILES[best])
        np.testing.assert_allclose(table["studentised_contrast"][k], contrasts[best])


def test_patterns_that_tell_nothing_have_no_contrast():
    deposit = np.arange(100) < 4
    constant, only_others = np.zeros(100), np.where(np.arange(100) == 50, 1.0, 0.0)
    table = best_cutoffs(np.stack([constant, only_others]), deposit)
    np.testing.assert_array_equal(table["studentised_contrast"], -np.inf)


def test_a_deposit_counts_once():
    cube = small_cube()
    labels = small_labels(cube)
    rows, cols = np.nonzero(middle_cells(labels) == 1)
    assert list(zip(rows, cols, strict=True)) == [(4, 4), (12, 15), (19, 6)]
    # Three blocks of nine cells; 24 of the 27 are neither.
    history = WeightedElements(least_contrast=0, seed=0).fit(cube, labels).history_[0]
    assert (history["n_deposits"], history["n_cells"]) == (3, 480 - 24)
    # Two deposits whose blocks touch are two where labels know them.
    south = (labels.y < labels.y[4]).values[:, None]
    ids = labels.copy(data=np.where(labels == 1, south, -1))
    two = labels.where(labels.y > labels.y[8], -1).astype("int8").assign_coords(deposit=ids)
    assert (middle_cells(two) == 1).sum() == 2
    assert (middle_cells(two.drop_vars("deposit")) == 1).sum() == 1


def test_middle_cells_of_what_missing_cells_left():
    values = np.full((5, 5), -1, dtype="int8")
    values[1:4, 1:4] = 1
    values[2, 2] = -1
    labels = small_labels(small_cube()).isel(y=slice(5), x=slice(5)).copy(data=values)
    assert np.argwhere(middle_cells(labels) == 1).tolist() == [[1, 2]]


def test_given_background_is_all_there_is():
    cube = small_cube()
    labels = small_labels(cube, background=True)
    detector = WeightedElements(least_contrast=np.inf, seed=0)
    with pytest.warns(UserWarning, match="no element"):
        detector.fit(cube, labels)
    n_given = int((labels == 0).sum())
    assert detector.history_ == [{"n_deposits": 3, "n_cells": 3 + n_given, "elements": {}}]
    np.testing.assert_allclose(detector.predict(cube)["score"], 3 / (3 + n_given), rtol=1e-6)


def test_the_prior_counts_cells_that_were_not_drawn(cube, labels):
    detector = WeightedElements(least_contrast=np.inf, most=100, seed=0)
    with pytest.warns(UserWarning, match="prior everywhere"):
        detector.fit(cube, labels)
    assert detector.history_[0]["n_cells"] == 118
    score = detector.predict(cube)["score"]
    np.testing.assert_allclose(score, 18 / 480, rtol=1e-6)


def test_weights_sum_to_the_score(fitted, cube):
    at = [(float(cube.x[3]), float(cube.y[7])), (float(cube.x[9]), float(cube.y[2]))]
    shares = fitted.explain(cube, at)
    score = fitted.predict(cube)["score"].values[[7, 2], [3, 9]]
    logit = np.log(18 / 462) + shares.sum("element")
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), score, rtol=1e-5)
    out = set(cube.element.values) - set(fitted.history_[0]["elements"])
    assert (shares.sel(element=list(out)) == 0).all()


def test_history_tells_cutoffs_in_units_of_the_cube(fitted, cube):
    row = fitted.history_[0]["elements"]["Au"]
    gold = cube.sel(element="Au")
    assert row["cutoff"] == pytest.approx(np.quantile(gold, row["quantile"]), rel=1e-5)


def test_planted_deposits_are_found(fitted, cube, labels):
    score = fitted.predict(cube)["score"]
    assert roc_auc_score(labels.values.ravel(), score.values.ravel()) > 0.85


def test_errors(labels):
    for params in ({"least_contrast": -1}, {"most": 0}, {"draws": 1.5}):
        with pytest.raises(XGeoAnomError, match=next(iter(params))):
            WeightedElements(**params)
    with pytest.raises(LabelError, match="no cell without"):
        WeightedElements().fit(small_cube(), xr.ones_like(labels))
