"""Radar and box plots: each metric on its spoke, and what is negative in sight."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from xgeoanom.errors import XGeoAnomError
from xgeoanom.plot.metrics import NAMES, metric_boxes, radar

CNN = dict(zip(NAMES, [0.9, 0.95, 0.8, 0.7, 0.6, 0.5, 0.4], strict=True))
DCN = {name: value - 0.55 for name, value in CNN.items()}  # down to -0.15


def runs(n=5):
    rng = np.random.default_rng(0)
    rows = [
        {"model": model, **{name: value + 0.01 * rng.normal() for name, value in one.items()}}
        for model, one in (("CNN", CNN), ("DCN", DCN))
        for _ in range(n)
    ]
    return pd.DataFrame(rows)


def test_names_are_those_of_metrics():
    import xarray as xr

    from xgeoanom.evaluation.metrics import metrics

    grid = {"y": [0.0, 1.0], "x": [0.0, 1.0]}
    score = xr.DataArray([[0.9, 0.5], [0.6, 0.1]], coords=grid, dims=("y", "x"))
    labels = xr.DataArray([[1, 1], [0, 0]], coords=grid, dims=("y", "x"))
    assert list(metrics(score, labels)) == list(NAMES)


@pytest.mark.parametrize(
    "table", [{"CNN": CNN, "DCN": DCN}, pd.DataFrame([CNN, DCN], ["CNN", "DCN"])]
)
def test_radar_draws_each_metric_on_its_spoke(table):
    ax = radar(table)
    first, second = ax.lines[:2]
    spokes = 2 * np.pi * np.arange(7) / 7
    np.testing.assert_allclose(first.get_xdata()[:7], spokes)
    np.testing.assert_allclose(first.get_ydata(), [*CNN.values(), 0.9])
    np.testing.assert_allclose(second.get_ydata()[:7], list(DCN.values()))
    np.testing.assert_allclose(ax.get_xticks(), spokes)
    assert [text.get_text() for text in ax.get_xticklabels()] == list(NAMES.values())
    assert [text.get_text() for text in ax.get_legend().texts] == ["CNN", "DCN"]
    up = ax.transData.transform([(0, 0.5), (0, 1.0)])
    assert up[1, 1] > up[0, 1]
    assert up[1, 0] == pytest.approx(up[0, 0])


def test_radar_shows_negative_values_and_where_zero_is():
    ax = radar({"CNN": CNN, "DCN": DCN})
    assert (ax.get_rmin(), ax.get_rmax()) == (-0.2, 1)
    assert set(ax.lines[2].get_ydata()) == {0.0}
    ax = radar({"CNN": CNN})
    assert (ax.get_rmin(), len(ax.lines)) == (0, 1)


def test_metric_boxes_stand_side_by_side():
    table = runs()
    ax = metric_boxes(table)
    assert [text.get_text() for text in ax.get_xticklabels()] == list(NAMES.values())
    assert [text.get_text() for text in ax.get_legend().texts] == ["CNN", "DCN"]
    boxes = [patch.get_path().vertices for patch in ax.patches]
    assert len(boxes) == 14
    for box, (model, metric) in zip(
        boxes, [(m, k) for m in ("CNN", "DCN") for k in enumerate(NAMES)], strict=True
    ):
        values = table.loc[table["model"] == model, metric[1]]
        low, high = box[:5, 1].min(), box[:5, 1].max()
        np.testing.assert_allclose([low, high], np.quantile(values, [0.25, 0.75]))
        middle = (box[:5, 0].min() + box[:5, 0].max()) / 2
        assert middle == pytest.approx(metric[0] + (0.2 if model == "DCN" else -0.2))
    assert ax.get_ylim()[0] <= table[list(NAMES)].min().min() < 0


def test_metric_boxes_by_another_column_leave_missing_runs_out():
    table = runs().assign(folds=["random", "deposit"] * 5)
    table.loc[0, "mcc"] = np.nan
    ax = metric_boxes(table, by="folds", ax=plt.subplots()[1])
    assert [text.get_text() for text in ax.get_legend().texts] == ["random", "deposit"]
    box = ax.patches[list(NAMES).index("mcc")].get_path().vertices[:5, 1]
    want = np.nanquantile(table.loc[table["folds"] == "random", "mcc"], [0.25, 0.75])
    np.testing.assert_allclose([box.min(), box.max()], want)


def test_metric_plots_name_what_is_wrong():
    with pytest.raises(XGeoAnomError, match="kappa"):
        radar({"CNN": {k: v for k, v in CNN.items() if k != "kappa"}})
    with pytest.raises(XGeoAnomError, match="polar"):
        radar({"CNN": CNN}, ax=plt.subplots()[1])
    with pytest.raises(XGeoAnomError, match="'seed'"):
        metric_boxes(runs(), by="seed")
