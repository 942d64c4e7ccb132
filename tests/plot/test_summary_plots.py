"""Pictures of summaries: numbers in their place."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from xgeoanom.errors import CubeError
from xgeoanom.plot.summaries import censoring, correlation
from xgeoanom.survey import summaries


def correlations(n=5):
    """Two groups, whose elements take turns."""
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(60, 2))
    values = sources[:, np.arange(n) % 2] + 0.3 * rng.normal(size=(60, n))
    names = [f"E{k}" for k in range(n)]
    table = xr.DataArray(values, dims=("sample", "element"), coords={"element": names})
    return summaries.correlation(table)


def labels_of(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_correlation_is_drawn_in_the_order_of_clusters():
    found = correlations()
    ax = correlation(found)
    names = labels_of(ax.xaxis)
    assert labels_of(ax.yaxis) == names
    assert sorted(names) == sorted(found["element"].values)
    groups = [int(name[1:]) % 2 for name in names]
    assert np.abs(np.diff(groups)).sum() == 1  # one border between the two
    expected = found.sel(element=names, element_2=names)
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert ax.images[0].get_clim() == (-1, 1)
    assert [text.get_text() for text in ax.texts] == [f"{v:.2f}" for v in expected.values.ravel()]
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "Spearman correlation of concentrations"


def test_large_and_incomplete_correlations():
    ax = correlation(correlations(20))
    assert not ax.texts
    found = correlations().assign_attrs(log_ratio="clr")
    found[2] = found[:, 2] = np.nan
    ax = correlation(found)
    assert len(ax.texts) == 16
    assert ax.figure.axes[1].get_ylabel().endswith("clr")
    assert labels_of(correlation(correlations(2)).xaxis) == ["E0", "E1"]
    with pytest.raises(CubeError, match="element_2"):
        correlation(found[0])


def shares(**by_element):
    names = ("measured", "below_limit", "below_unknown_limit", "not_analysed")
    values = np.array(list(by_element.values()), dtype="float64").T
    return xr.Dataset(
        {name: ("element", row) for name, row in zip(names, values)},
        coords={"element": list(by_element)},
    )


def test_censoring_bars_fill_each_row():
    summary = shares(Au=[20, 50, 0, 30], Cu=[90, 10, 0, 0], As=[60, 0, 0, 40])
    ax = censoring(summary)
    assert labels_of(ax.yaxis) == ["Au", "As", "Cu"]  # the best measured on top
    bars = [[(bar.get_x(), bar.get_width()) for bar in group] for group in ax.containers]
    assert bars[0] == [(0, 20), (0, 60), (0, 90)]
    assert bars[1] == [(20, 50), (60, 0), (90, 10)]
    assert bars[3] == [(70, 30), (60, 40), (100, 0)]
    legend = [text.get_text() for text in ax.get_legend().texts]
    assert legend == ["measured", "below limit", "not analysed"]
    assert ax.get_xlim() == (0, 100)


def test_censoring_draws_one_summary():
    summary = shares(Au=[20, 50, 0, 30])
    with pytest.raises(CubeError, match="batch"):
        censoring(summary.expand_dims(batch=["a", "b"]))
    with pytest.raises(CubeError, match="censoring_summary"):
        censoring(summary.drop_vars("measured"))


def test_given_axes_are_used():
    axes = plt.subplots(1, 2)[1]
    before = plt.get_fignums()
    assert correlation(correlations(), ax=axes[0]) is axes[0]
    assert censoring(shares(Au=[20, 50, 0, 30]), ax=axes[1]) is axes[1]
    assert plt.get_fignums() == before
