"""The reliability diagram: what is drawn is what was computed."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from xgeoanom.errors import XGeoAnomError
from xgeoanom.evaluation.calibration import calibration_curve
from xgeoanom.plot.reliability import calibration


def example(power=1):
    rng = np.random.default_rng(0)
    coords = {"y": 500.0 * np.arange(30), "x": 500.0 * np.arange(40)}
    values = rng.random((30, 40))
    score = xr.DataArray(values, coords, ("y", "x")).rio.write_crs(32650)
    labels = score.copy(data=(rng.random((30, 40)) < values**power).astype("int8"))
    return calibration_curve(score, labels, n_bins=5)


def texts(ax):
    return [text.get_text() for text in ax.get_legend().texts]


def test_points_and_intervals_are_those_of_the_curve():
    curve = example()
    ax = calibration(curve)
    diagonal, points = ax.lines
    assert diagonal.get_slope() == 1
    np.testing.assert_array_equal(points.get_xdata(), curve["mean_score"])
    np.testing.assert_array_equal(points.get_ydata(), curve["share"])
    segments = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(segments[:, 0, 1], curve["low"])
    np.testing.assert_allclose(segments[:, 1, 1], curve["high"])
    np.testing.assert_array_equal(segments[:, 0, 0], curve["mean_score"])
    assert texts(ax) == [f"score (ECE {curve.attrs['ece']:.3f})"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Mean score", "Share of deposit cells")
    assert ax.get_aspect() == 1


def test_curves_by_name_have_colours_of_their_own():
    before, after = example(power=2), example()
    ax = calibration({"before": before, "after": after})
    assert texts(ax) == [
        f"{name} (ECE {curve.attrs['ece']:.3f})"
        for name, curve in (("before", before), ("after", after))
    ]
    assert ax.lines[1].get_color() != ax.lines[2].get_color()


def test_given_axes_are_used_and_the_diagonal_is_drawn_once():
    given = plt.subplots()[1]
    figures = plt.get_fignums()
    assert calibration({"a": example()}, ax=given) is given
    assert len(calibration({"b": example()}, ax=given).lines) == 3
    assert len(texts(given)) == 2
    assert plt.get_fignums() == figures


@pytest.mark.parametrize("wrong", [{}, {"a": 1}, xr.Dataset(), [1], example().drop_attrs()])
def test_only_calibration_curves_are_drawn(wrong):
    with pytest.raises(XGeoAnomError, match="must be what calibration_curve returns"):
        calibration(wrong)
