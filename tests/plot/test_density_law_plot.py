"""The plot of the law shows what was fitted, and the line with its exponent."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from xgeoanom.errors import XGeoAnomError
from xgeoanom.geology.density_law import DensityLaw
from xgeoanom.plot.evidence import density_law


def make_law(estimator):
    table = {
        "outer": [1000.0, 2000.0, 3000.0, 4000.0],
        "distance": [1000.0, 1500.0, np.nan, 3500.0],
        "density": [2e-6, 0.0, np.nan, 5e-7],
        "cumulative_density": [2e-6, 1e-6, 1e-6, 7e-7],
    }
    columns = {name: ("ring", np.array(column)) for name, column in table.items()}
    table = xr.Dataset(columns)
    table["distance"].attrs["units"] = table["outer"].attrs["units"] = "metre"
    return DensityLaw(-0.8, -1.5, -0.25, 5e-4, 0.9, estimator, table)


@pytest.mark.parametrize("estimator", ["cumulative", "rings", "poisson"])
def test_dots_and_line(estimator):
    law = make_law(estimator)
    given = plt.subplots()[1]
    ax = density_law(law, ax=given)
    assert ax is given
    cumulative = estimator == "cumulative"
    kept = [0, 1, 2, 3] if cumulative else [0, 3]
    names = ("outer", "cumulative_density") if cumulative else ("distance", "density")
    dots = ax.collections[0].get_offsets()
    np.testing.assert_allclose(dots, np.c_[[law.table[name].values[kept] for name in names]].T)
    (x0, x1), (y0, y1) = ax.lines[0].get_data()
    np.testing.assert_allclose(np.log(y1 / y0) / np.log(x1 / x0), -0.8)
    np.testing.assert_allclose([x0, x1, y0], [1000, dots[-1, 0], 5e-4 * 1000**-0.8])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "Distance d (metre)"
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "k = -0.80 (90 %: -1.50 to -0.25)" in texts
    assert ("no deposit" in texts) == (not cumulative)


def test_rings_without_deposits_are_marked():
    ax = density_law(make_law("poisson"))
    np.testing.assert_allclose(ax.collections[1].get_offsets(), [[1500, 0]])
    ax.figure.canvas.draw()


def test_something_else_is_refused():
    with pytest.raises(XGeoAnomError, match="law is a float"):
        density_law(-0.5)
