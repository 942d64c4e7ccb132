"""Pictures of gridding errors: what is drawn is what was computed."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from xgeoanom.errors import CubeError
from xgeoanom.plot.gridding_error import gridding_error, predicted_observed


def errors():
    rng = np.random.default_rng(0)
    observed = np.exp(rng.normal(size=(20, 2)))
    observed[3, 0] = np.nan
    prediction = np.stack([observed * 1.5, observed + 0.1, observed * 0.8])
    prediction[1, 5] = np.nan
    return xr.Dataset(
        {
            "rmse": (("gridder", "element"), [[2.0, 3.0], [1.0, 6.0], [4.0, np.nan]]),
            "mae": (("gridder", "element"), [[1.0, 1.0], [1.0, 2.0], [3.0, np.nan]]),
            "prediction": (("gridder", "sample", "element"), prediction),
            "observed": (("sample", "element"), observed),
        },
        coords={
            "gridder": ["IDW", "kriging", "nearest"],
            "element": ["Au", "Cu"],
            "unit": ("element", ["ppb", "ppm"]),
        },
    )


def test_errors_are_drawn_over_the_best_of_each_element():
    ax = gridding_error(errors())
    drawn = {line.get_label(): line.get_xdata() for line in ax.lines[1:]}
    np.testing.assert_array_equal(drawn["IDW"], [2, 1])
    np.testing.assert_array_equal(drawn["kriging"], [1, 2])
    np.testing.assert_array_equal(drawn["nearest"], [4, np.nan])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Au", "Cu"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first element on top
    assert ax.get_xlabel() == "RMSE over that of the best"
    assert gridding_error(errors(), measure="mae").lines[2].get_xdata().tolist() == [1, 2]


@pytest.mark.parametrize("measure", ["bias", "pearson", "spearman"])
def test_only_errors_are_compared(measure):
    with pytest.raises(CubeError, match=f"measure='{measure}' cannot be .*smaller the better"):
        gridding_error(errors(), measure=measure)
    with pytest.raises(CubeError, match="errors has no measure='log_rmse'"):
        gridding_error(errors(), measure="log_rmse")


def test_many_gridders_can_be_told_apart():
    many = xr.concat([errors()[["rmse"]].isel(gridder=[0])] * 15, dim="gridder")
    ax = gridding_error(many.assign_coords(gridder=[f"power {k}" for k in range(15)]))
    looks = {(line.get_marker(), line.get_color()) for line in ax.lines[1:]}
    assert len(looks) == 15


def test_predictions_are_drawn_against_measurements():
    found = errors()
    ax = predicted_observed(found, "Au", gridder="IDW")
    x, y = ax.lines[0].get_data()
    truth = found["observed"].sel(element="Au").values
    np.testing.assert_array_equal(x, truth[np.isfinite(truth)])
    np.testing.assert_allclose(y, 1.5 * x)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Measured (ppb)", "Predicted (ppb)")
    assert ax.get_title(loc="left") == "Au, IDW"
    ax.figure.draw_without_rendering()


def test_the_best_gridder_is_drawn_where_none_is_named():
    assert predicted_observed(errors(), "Au").get_title(loc="left") == "Au, kriging"
    assert predicted_observed(errors(), "Cu").get_title(loc="left") == "Cu, IDW"
    negative = errors().assign(observed=-errors()["observed"])
    assert predicted_observed(negative, "Au").get_xscale() == "linear"


def test_names_are_checked():
    with pytest.raises(CubeError, match=r"element='Zn'.*\['Au', 'Cu'\]"):
        predicted_observed(errors(), "Zn")
    with pytest.raises(CubeError, match=r"gridder='spline'.*\['IDW', 'kriging', 'nearest'\]"):
        predicted_observed(errors(), "Au", gridder="spline")


def test_given_axes_are_used():
    axes = plt.subplots(1, 2)[1]
    before = plt.get_fignums()
    assert gridding_error(errors(), ax=axes[0]) is axes[0]
    assert predicted_observed(errors(), "Au", ax=axes[1]) is axes[1]
    assert plt.get_fignums() == before
