"""Log-log plots: dots, segments and breaks stand where the result says."""

import numpy as np
import xarray as xr
from matplotlib import pyplot as plt
from surveys import small_cube

from xgeoanom.classical.concentration_area import concentration_area as find_classes
from xgeoanom.classical.spectrum_area import spectrum_area as find_components
from xgeoanom.plot.fractal import concentration_area, spectrum_area


def check_plot(ax, result):
    dots = ax.collections[0].get_offsets()
    np.testing.assert_allclose(dots, np.c_[result["level"], result["area"]])
    n = result.sizes["segment"]
    lines, dashes = ax.lines[:n], ax.lines[n:]
    for line, exponent in zip(lines, result["exponent"].values):
        (x0, x1), (y0, y1) = line.get_data()
        np.testing.assert_allclose(-np.log(y1 / y0) / np.log(x1 / x0), exponent)
    np.testing.assert_allclose([dash.get_xdata()[0] for dash in dashes], result["breaks"])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    texts = [text.get_text() for text in ax.get_legend().texts]
    assert texts == [f"exponent {value:.2f}" for value in result["exponent"].values]


def test_concentration_area():
    raster = np.exp(small_cube().sel(element="Au")).assign_attrs(log_ratio="none")
    result = find_classes(raster)
    before = result.copy(deep=True)
    ax = concentration_area(result)
    check_plot(ax, result)
    assert ax.get_xlabel() == "Concentration c (ppm)"
    xr.testing.assert_identical(result, before)


def test_spectrum_area_on_given_axes():
    result = find_components(small_cube().sel(element="Au"))
    ax = plt.subplots()[1]
    assert spectrum_area(result, ax=ax) is ax
    check_plot(ax, result)
