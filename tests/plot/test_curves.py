"""Curves: what is drawn is what was computed."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from xgeoanom.errors import LabelError
from xgeoanom.evaluation.metrics import auc, capture_at, capture_curve, roc_curve
from xgeoanom.plot.curves import capture, roc, training, window_sweep


def grid(values):
    values = np.asarray(values)
    coords = {"y": 500.0 * np.arange(values.shape[0]), "x": 500.0 * np.arange(values.shape[1])}
    return xr.DataArray(values, coords=coords, dims=("y", "x"), name="rx").rio.write_crs(32650)


def example():
    rng = np.random.default_rng(0)
    marks = np.full((20, 20), -1, dtype="int8")
    marks.flat[rng.choice(400, 60, replace=False)] = [1] * 10 + [0] * 50
    return grid(rng.random((20, 20))), grid(marks)


def texts(ax):
    return [text.get_text() for text in ax.get_legend().texts]


def test_roc_draws_the_curve_with_its_auc():
    score, labels = example()
    ax = roc(score, labels)
    assert isinstance(ax, Axes)
    curve = roc_curve(score, labels)
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), curve["false_positive_rate"])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), curve["true_positive_rate"])
    assert texts(ax) == [f"rx (AUC {auc(score, labels):.3f})"]
    assert ax.get_aspect() == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("False positive rate", "True positive rate")


def test_roc_overlays_with_colours_of_their_own():
    score, labels = example()
    ax = roc(roc_curve(score, labels), label="first")
    assert roc(1 - score, labels, label="second", ax=ax) is ax
    assert len(ax.lines) == 3  # one diagonal
    assert ax.lines[1].get_color() != ax.lines[2].get_color()
    assert [text.split()[0] for text in texts(ax)] == ["first", "second"]


def test_capture_draws_steps_and_names_the_classes_capture():
    score, labels = example()
    ax = capture(score, labels)
    curve = capture_curve(score, labels)
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), curve["area"])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), curve)
    assert ax.lines[1].get_drawstyle() == "steps-post"
    shares = ", ".join(f"{100 * share:.0f}" for share in capture_at(score, labels).values)
    assert texts(ax) == [f"rx ({shares} %)"]
    other = capture(curve, label="again", ax=ax)
    assert len(other.lines) == 3
    assert len(other.collections) == 1  # lines at 5, 15, 30 % are drawn once


def test_a_score_alone_is_no_curve():
    score, _ = example()
    with pytest.raises(LabelError, match="labels=None"):
        roc(score)
    with pytest.raises(LabelError, match="deposits=None"):
        capture(score)


def test_training_draws_each_run_and_their_mean():
    runs = [{"loss": [0.8, 0.4, 0.3]}, {"loss": [0.6, 0.4, 0.1]}]
    ax = training(runs)
    assert len(ax.lines) == 3
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(ax.lines[2].get_ydata(), [0.7, 0.4, 0.2])
    assert texts(ax) == ["2 draws", "mean"]
    assert ax.get_ylim()[0] == 0
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", "Training loss")


def test_training_of_one_run_or_of_uneven_runs():
    one = training([{"loss": [0.8, 0.4]}])
    assert len(one.lines) == 1
    assert one.get_legend() is None
    uneven = training([{"loss": [0.8, 0.4]}, {"loss": [0.8, 0.4, 0.3]}])
    assert texts(uneven) == ["2 draws"]


def test_window_sweep_draws_each_auc():
    sweep = xr.Dataset(
        {"auc": ("window", [0.71, 0.42, 0.9])},
        coords={"inner": ("window", [5, 5, 13]), "outer": ("window", [7, 13, 35])},
    )
    ax = window_sweep(sweep)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), sweep["auc"])
    ticks = [tick.get_text() for tick in ax.get_xticklabels()]
    assert ticks == ["(5, 7)", "(5, 13)", "(13, 35)"]
    assert [text.get_text() for text in ax.texts] == ["0.710", "0.420", "0.900"]
    low, high = ax.get_ylim()
    assert low <= 0.42
    assert high > 0.9


def test_given_axes_are_used():
    axes = plt.subplots(2, 2)[1].ravel()
    before = plt.get_fignums()
    score, labels = example()
    sweep = xr.Dataset(
        {"auc": ("window", [0.7])}, coords={"inner": ("window", [3]), "outer": ("window", [5])}
    )
    assert roc(score, labels, ax=axes[0]) is axes[0]
    assert capture(score, labels, ax=axes[1]) is axes[1]
    assert training([{"loss": [1.0]}], ax=axes[2]) is axes[2]
    assert window_sweep(sweep, ax=axes[3]) is axes[3]
    assert plt.get_fignums() == before
