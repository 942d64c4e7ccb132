"""Methods ranked: what is drawn where."""

import numpy as np
import pytest
import xarray as xr

import xgeoanom as xga
from xgeoanom.errors import LabelError


@pytest.fixture
def result():
    dims = ("survey", "score")
    aucs = np.array([[0.6, 0.9, np.nan], [0.7, 0.5, 0.8]])
    return xr.Dataset(
        {
            "auc": (dims, aucs),
            "auc_low": (dims, aucs - 0.1),
            "auc_high": (dims, aucs + 0.1),
            "shift_95": (dims, aucs * 0 + 0.75),
            "random_split_auc": (dims, aucs * 0 + 1.0),
            "error": (dims, [["", "", "too small"], ["", "", ""]]),
        },
        {
            "survey": ["one", "two"],
            "score": ["Au", "RX", "forest"],
            "kind": ("score", ["control", "label-free", "trained"]),
        },
    )


def test_best_at_the_top(result):
    ax = xga.plot.comparison(result, "two")
    assert [text.get_text() for text in ax.get_yticklabels()] == ["RX", "Au", "forest"]
    np.testing.assert_allclose(ax.collections[1].get_offsets()[:, 0], [0.5, 0.7, 0.8])


def test_failures_are_left_out(result):
    ax = xga.plot.comparison(result, "one")
    assert [text.get_text() for text in ax.get_yticklabels()] == ["Au", "RX"]
    labels = [text.get_text() for text in ax.get_legend().texts]
    assert labels[:2] == ["control: honest AUC", "label-free: honest AUC"]


def test_a_survey_must_be_named(result):
    with pytest.raises(LabelError, match="survey=None is not one of"):
        xga.plot.comparison(result)
