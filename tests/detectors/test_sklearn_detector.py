"""Estimators as detectors against the same estimators fitted by hand."""

import copy
import dataclasses
import json
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier
from surveys import small_cube, small_labels

from xgeoanom.detectors import load_detector
from xgeoanom.detectors.sklearn_detector import (
    SklearnDetector,
    baselines,
    sklearn_score,
    window_values,
)
from xgeoanom.errors import LabelError, ModelFileError, WindowError, XGeoAnomError


@pytest.fixture(scope="module")
def cube():
    return small_cube(holes=12)


@pytest.fixture(scope="module")
def labels(cube):
    return small_labels(cube, background=True)


def flat(cube):
    """Return standardised vectors (cell, element) in float32, as detectors see them."""
    vectors = cube.values.reshape(cube.sizes["element"], -1).T
    return ((vectors - np.nanmean(vectors, axis=0)) / np.nanstd(vectors, axis=0)).astype("float32")


def known_labels(cube, labels):
    return np.where(cube.notnull().all("element"), labels, -1).ravel()


def score_of(estimator, cube, labels, **params):
    detector = SklearnDetector(estimator=estimator, seed=0, **params).fit(cube, labels)
    return detector, detector.predict(cube)["score"].values.ravel()


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), GaussianNB(), KNeighborsClassifier(3)], ids=str
)
def test_probabilities_are_the_estimators(estimator, cube, labels):
    _, score = score_of(estimator, cube, labels)
    cells, marks = flat(cube).astype("float64"), known_labels(cube, labels)
    estimator.fit(cells[marks >= 0], marks[marks >= 0])
    known = ~np.isnan(cells).any(axis=1)
    assert np.isnan(score[~known]).all()
    expected = estimator.predict_proba(cells[known])[:, 1]
    np.testing.assert_allclose(score[known], expected, atol=1e-5)


@pytest.mark.parametrize("estimator", [SVC(), LinearSVC()], ids=str)
def test_margins_become_their_logistic(estimator, cube, labels):
    detector, score = score_of(estimator, cube, labels)
    cells, marks = flat(cube).astype("float64"), known_labels(cube, labels)
    state = detector.networks_[0].estimator.get_params()["random_state"]
    estimator.set_params(random_state=state).fit(cells[marks >= 0], marks[marks >= 0])
    known = ~np.isnan(cells).any(axis=1)
    expected = 1 / (1 + np.exp(-estimator.decision_function(cells[known])))
    np.testing.assert_allclose(score[known], expected, atol=1e-3)


@pytest.mark.parametrize(
    "estimator",
    [
        IsolationForest(n_estimators=20),
        OneClassSVM(nu=0.1),
        LocalOutlierFactor(n_neighbors=5, novelty=True),
        EllipticEnvelope(support_fraction=0.9),
    ],
    ids=str,
)
def test_outliers_are_those_of_the_estimator(estimator, cube):
    detector, score = score_of(estimator, cube, None)
    assert not detector.supervised
    assert detector.draws == 1
    cells = flat(cube).astype("float64")
    cells = cells[~np.isnan(cells).any(axis=1)]
    if "random_state" in estimator.get_params():
        estimator.set_params(**{"random_state": detector.networks_[0].estimator.random_state})
    raw = -estimator.fit(cells).decision_function(cells)
    expected = 0.5 + np.arctan((raw - raw.mean()) / raw.std()) / np.pi
    np.testing.assert_allclose(score[~np.isnan(score)], expected, atol=1e-5)


def test_far_outliers_keep_their_order():
    cube = small_cube()
    cube[:, 3, 3:8] += 5 * 2.0 ** np.arange(5)
    labels = small_labels(cube)
    labels[3, 3:8] = 1  # none of them is usual ground
    labels = labels.where(cube.x > cube.x[2], -1).astype("int8")
    detector = SklearnDetector(estimator=EllipticEnvelope(), seed=0).fit(cube, labels)
    score = detector.predict(cube)["score"].values
    assert (np.diff(score[3, 3:8]) > 0).all()
    assert score[3, 3] == np.sort(score.ravel())[-5]
    assert score[3, 6] > 0.5 + np.arctan(17) / np.pi  # where a logistic has no digits left


@pytest.mark.parametrize("n_background", [0, 40])
def test_what_outlier_detectors_learn_from(cube, n_background):
    labels = small_labels(cube)
    valid = cube.notnull().all("element").values
    places = np.flatnonzero(valid & (labels.values == -1))[:n_background]
    labels.values.flat[places] = 0
    detector, _ = score_of(OneClassSVM(), cube, labels)
    usual = places if n_background else np.flatnonzero(valid & (labels.values == -1))
    examples = detector.networks_[0].examples.numpy()
    np.testing.assert_allclose(examples, flat(cube)[usual], rtol=1e-5, atol=1e-6)
    assert detector.history_ == [{"n_cells": len(usual), "n_deposit_cells": 0}]
    few, _ = score_of(OneClassSVM(), cube, labels, most=25)
    assert few.history_[0]["n_cells"] == 25


@given(st.integers(1, 3), st.integers(0, 9))
@settings(max_examples=10)
def test_window_values_against_slices(half, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, 4 + 2 * half, 5 + 2 * half)).astype("float32")
    values[rng.random(values.shape) < 0.1] = np.nan
    seen = window_values(values, 2 * half + 1)
    assert seen.shape == (9, 4, 5)
    for k, i, j in np.ndindex(3, 4, 5):
        window = values[k, i : i + 2 * half + 1, j : j + 2 * half + 1].astype("float64")
        expected = [values[k, i + half, j + half], np.nanmean(window), np.nanstd(window)]
        np.testing.assert_allclose(seen[k::3, i, j], expected, rtol=1e-4, atol=1e-5)


def test_estimators_see_windows_in_place(cube, labels):
    detector, score = score_of(DecisionTreeClassifier(max_depth=3), cube, labels, window=5)
    padded = np.pad(cube.values, ((0, 0), (2, 2), (2, 2)), constant_values=np.nan)
    seen = window_values(detector.standardise(padded), 5).reshape(18, -1).T
    marks = known_labels(cube, labels)
    np.testing.assert_array_equal(detector.networks_[0].examples, seen[marks >= 0])
    tree = DecisionTreeClassifier(
        max_depth=3, random_state=detector.networks_[0].estimator.random_state
    ).fit(seen[marks >= 0], marks[marks >= 0])
    known = ~np.isnan(score)
    np.testing.assert_allclose(score[known], tree.predict_proba(seen[known])[:, 1], atol=1e-6)


@given(st.tuples(st.integers(1, 24), st.integers(1, 20)), st.sampled_from([1, 3, 7]))
@settings(max_examples=8)
def test_no_chunk_moves_a_split(chunks, window):
    cube = small_cube(holes=12)
    labels = small_labels(cube, background=True)
    detector, whole = score_of(DecisionTreeClassifier(), cube, labels, window=window)
    parts = detector.predict(cube.chunk(y=chunks[0], x=chunks[1]))["score"]
    np.testing.assert_array_equal(parts.values.ravel(), whole)


def test_every_random_state_comes_from_the_seed(cube, labels):
    forest = CalibratedClassifierCV(RandomForestClassifier(5, random_state=3), cv=2)
    pipeline = make_pipeline(PCA(3, svd_solver="randomized"), forest)
    first, score = score_of(pipeline, cube, labels)
    score_again = score_of(pipeline, cube, labels)[1]
    np.testing.assert_array_equal(score, score_again)
    params = first.networks_[0].estimator.get_params()
    states = [value for key, value in params.items() if key.split("__")[-1] == "random_state"]
    assert len(states) == len(set(states)) == 2
    assert None not in states
    assert forest.estimator.random_state == 3  # the user's own is left alone
    assert not hasattr(forest, "classes_")


def test_draws_on_threads_are_reproducible(cube):
    labels = small_labels(cube)
    scores = [score_of(LinearSVC(max_iter=50), cube, labels, draws=6)[1] for _ in range(2)]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), PCA(2), CalibratedClassifierCV(SVC(C=2.0), cv=2)),
        StackingClassifier(
            [("nb", GaussianNB(priors=np.array([0.3, 0.7]))), ("tree", DecisionTreeClassifier())],
            cv=2,
        ),
        LogisticRegression(class_weight={0: 1.0, 1: 5.0}),
    ],
    ids=["pipeline", "stacking", "class_weight"],
)
def test_nested_estimators_survive_a_file(estimator, cube, labels, tmp_path):
    detector, score = score_of(estimator, cube, labels, window=3)
    detector.save(tmp_path / "d")
    loaded = load_detector(tmp_path / "d")
    np.testing.assert_array_equal(loaded.predict(cube)["score"].values.ravel(), score)
    assert repr(loaded.estimator) == repr(estimator)
    again = SklearnDetector(estimator=loaded.estimator, window=3, seed=0).fit(cube, labels)
    np.testing.assert_array_equal(again.predict(cube)["score"].values.ravel(), score)


class Foreign(ClassifierMixin, BaseEstimator):
    """A classifier from elsewhere."""

    def fit(self, cells, labels):
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, cells):
        return np.full((len(cells), 2), 0.5)


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        (make_pipeline(FunctionTransformer(np.abs), GaussianNB()), "func=.*ufunc"),
        (Foreign(), "Foreign is no estimator of scikit-learn"),
        (make_pipeline(GaussianNB(), memory="cache"), "memory='cache'"),
    ],
    ids=["function", "foreign", "memory"],
)
def test_what_a_file_cannot_hold(estimator, says, cube, labels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    detector, _ = score_of(estimator, cube, labels)
    with pytest.raises(ModelFileError, match=says):
        detector.save(tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_occlusion_is_the_fall_of_the_score(cube, labels):
    detector, score = score_of(LogisticRegression(), cube, labels, window=3)
    row, col = 9, 6
    falls = detector.explain(cube, [(float(cube.x[col]), float(cube.y[row]))])
    here = score[row * 20 + col]
    for k in range(6):
        level = cube.copy(deep=True)
        level[k] = detector.mean_[k]
        expected = here - detector.predict(level)["score"].values[row, col]
        np.testing.assert_allclose(falls[0, k], expected, atol=1e-6)


def test_provenance_copies_and_names(cube, labels):
    forest = RandomForestClassifier(n_estimators=7)
    detector, score = score_of(forest, cube, labels, window=3)
    attrs = detector.predict(cube)["score"].attrs
    assert attrs["method"] == "random_forest_classifier"
    told = json.loads(attrs["parameters"])
    assert told == {"draws": 10, "estimator": str(forest), "window": 3, "most": 10_000}
    twin = copy.deepcopy(detector)
    np.testing.assert_array_equal(twin.predict(cube)["score"].values.ravel(), score)
    other = dataclasses.replace(detector, window=1)
    assert (other.window, other.estimator, detector.window) == (1, forest, 3)
    assert "RandomForestClassifier(n_estimators=7)" in repr(detector)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (SVC(), "svc"),
        (make_pipeline(StandardScaler(), SGDClassifier()), "sgd_classifier"),
        (OneClassSVM(), "one_class_svm"),
        (KNeighborsClassifier(), "k_neighbors_classifier"),
    ],
)
def test_names(estimator, name):
    assert SklearnDetector(estimator=estimator).name == name


def test_sklearn_score_adds_a_variable(cube, labels):
    ds = cube.to_dataset().assign(labels=labels)
    out = sklearn_score(ds, "labels", GaussianNB(), window=3, seed=0)
    assert set(out) - set(ds) == {"gaussian_nb"}
    expected = score_of(GaussianNB(), cube, labels, window=3)[1]
    np.testing.assert_array_equal(out["gaussian_nb"].values.ravel(), expected)
    usual = sklearn_score(ds, None, IsolationForest(), name="forest", seed=0)
    assert set(usual) - set(ds) == {"forest"}
    xr.testing.assert_identical(out[list(ds)], ds)


@pytest.mark.parametrize("name", baselines())
def test_baselines_find_what_is_planted(name):
    cube = small_cube()
    labels = small_labels(cube)
    planted = cube + 3.0 * (labels == 1) * cube.element.isin(["Au", "As"])
    planted = planted.assign_attrs(cube.attrs)
    score = baselines(draws=1, seed=0)[name].fit(planted, labels).predict(planted)
    truth = (labels.values == 1).ravel()
    assert roc_auc_score(truth, score["score"].values.ravel()) > 0.85


@pytest.mark.parametrize(
    ("params", "kind", "says"),
    [
        ({"estimator": SVC}, XGeoAnomError, "is no estimator; give"),
        ({"estimator": "svc"}, XGeoAnomError, "is no estimator; give"),
        ({"estimator": Ridge()}, XGeoAnomError, "another kind; give a classifier or outlier"),
        ({"estimator": LocalOutlierFactor()}, XGeoAnomError, "novelty=True"),
        ({"estimator": SVC(), "window": 4}, WindowError, "window=4"),
        ({"estimator": SVC(), "most": 0}, XGeoAnomError, "most=0"),
        ({"estimator": SVC(), "draws": 0}, XGeoAnomError, "draws=0"),
    ],
)
def test_wrong_parameters(params, kind, says):
    with pytest.raises(kind, match=says):
        SklearnDetector(**params)


def test_too_few_cells_are_told_of(cube):
    labels = small_labels(cube).where(cube.y > cube.y[6], -1).astype("int8")
    with pytest.raises(LabelError, match="18 cells, 9 of them of deposits.*n_neighbors"):
        SklearnDetector(estimator=KNeighborsClassifier(30), draws=1).fit(cube, labels)


def test_forests_on_threads_leave_warnings_alone(recwarn):
    """Each task of a forest resets the warnings of the process, threads or not."""
    cube = small_cube(60, 60)
    before = filters()
    forest = SklearnDetector(estimator=RandomForestClassifier(20), draws=2, seed=0)
    lazy = cube.chunk(y=10, x=10)
    forest.fit(cube, small_labels(cube)).predict(lazy)["score"].compute(scheduler="threads")
    assert not [w for w in recwarn if "sklearn.utils.parallel" in str(w.message)]
    assert filters() == before


def filters():
    """Return the filters of warnings; what matches text may be compiled by now, or not yet."""
    return [
        (action, getattr(text, "pattern", text), kind, getattr(module, "pattern", module), line)
        for action, text, kind, module, line in warnings.filters
    ]
