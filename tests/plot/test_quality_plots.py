"""Figures of quality: what is drawn is what was computed."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes

from xgeoanom.errors import CubeError, XGeoAnomError
from xgeoanom.plot.quality import control_chart, thompson_howarth
from xgeoanom.survey.precision import SD_OF_MEDIAN, duplicate_precision


def make_pairs(n, seed=0):
    rng = np.random.default_rng(seed)
    true = np.exp(rng.normal(3, 1, (n, 1)))
    parts = [true * (1 + 0.05 * rng.normal(size=(n, 1))) for _ in range(2)]
    dims = ("pair", "element")
    coords = {"element": ["Cu"], "unit": ("element", ["ppm"])}
    return xr.Dataset({"first": (dims, parts[0]), "second": (dims, parts[1])}, coords)


def make_table(values, material="GBM1"):
    values = np.asarray(values, dtype=float)[:, None]
    dims = ("sample", "element")
    state = np.zeros(values.shape, dtype="int8")
    state[values[:, 0] == 0] = 2
    return xr.Dataset(
        {"concentration": (dims, values), "state": (dims, state)},
        {
            "element": ["Au"],
            "unit": ("element", ["ppb"]),
            "material": ("sample", [material] * len(values)),
        },
    )


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_regression_is_drawn():
    pairs = make_pairs(80)
    ax = thompson_howarth(pairs, "Cu")
    assert isinstance(ax, Axes)
    drawn = lines(ax)
    mean = np.sort(((pairs["first"] + pairs["second"]) / 2).values.ravel())
    np.testing.assert_allclose(drawn["80 pairs"].get_xdata(), mean)
    assert len(drawn["medians of 11 pairs"].get_xdata()) == 7
    fit = duplicate_precision(pairs)
    fitted = next(line for name, line in drawn.items() if name.startswith("fitted"))
    x, y = fitted.get_data()
    np.testing.assert_allclose(y, (fit["s0"].item() + fit["k"].item() * x) / SD_OF_MEDIAN)
    x, y = drawn["90 % at a precision of 10 %"].get_data()
    np.testing.assert_allclose(y, 1.6449 * np.sqrt(2) * 0.05 * x)
    assert ax.get_xlabel() == "Mean of the pair (ppm)"
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_chart_alone_with_few_pairs_and_equal_ones():
    pairs = make_pairs(20)
    pairs["second"][0, 0] = pairs["first"][0, 0]
    ax = thompson_howarth(pairs, "Cu", target=0.2)
    assert "medians of 11 pairs" not in lines(ax)
    assert "99 % at a precision of 20 %" in lines(ax)
    assert lines(ax)["20 pairs"].get_ydata().min() == ax.get_ylim()[0]
    tiny = thompson_howarth(make_pairs(5), "Cu")
    assert not any(name.startswith("fitted") for name in lines(tiny))


def test_control_chart():
    table = make_table([9.0, 11.0, 0.0, 10.0, 16.0])
    ax = control_chart(table, "GBM1", "Au", certified=10.0, sd=1.0)
    levels = sorted(line.get_ydata()[0] for line in ax.lines[:5])
    np.testing.assert_allclose(levels, [7, 8, 10, 12, 13])
    np.testing.assert_allclose(ax.lines[5].get_ydata(), [9, 11, 10, 16])
    np.testing.assert_allclose(ax.lines[6].get_data(), [[4], [16]])
    assert ax.get_legend().texts[0].get_text() == "1 beyond 3 sd"
    assert ax.get_ylabel() == "Au (ppb)"
    own = control_chart(table, "GBM1", "Au", certified=10.0, ax=None)
    sd = np.std([9, 11, 10, 16], ddof=1)
    np.testing.assert_allclose(max(line.get_ydata()[0] for line in own.lines[:5]), 10 + 3 * sd)


def test_same_axes_are_used():
    ax = thompson_howarth(make_pairs(20), "Cu")
    assert thompson_howarth(make_pairs(20, seed=1), "Cu", ax=ax) is ax


def test_errors():
    pairs = make_pairs(20)
    with pytest.raises(CubeError, match="element='Au'"):
        thompson_howarth(pairs, "Au")
    with pytest.raises(XGeoAnomError, match="target=10"):
        thompson_howarth(pairs, "Cu", target=10)
    with pytest.raises(CubeError, match="no pair that differs"):
        thompson_howarth(pairs.assign(second=pairs["first"]), "Cu")
    with pytest.raises(CubeError, match="material='X' has 0"):
        control_chart(make_table([1.0, 2.0]), "X", "Au", certified=1.0)
    with pytest.raises(XGeoAnomError, match="certified=0"):
        control_chart(make_table([1.0, 2.0]), "GBM1", "Au", certified=0)
    with pytest.raises(XGeoAnomError, match="sd=-1"):
        control_chart(make_table([1.0, 2.0]), "GBM1", "Au", certified=1.0, sd=-1)
