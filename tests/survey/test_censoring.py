"""EM on log-ratios: simulated surveys, brute force on a tiny one, and what must not matter."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm

from xgeoanom.errors import CompositionError
from xgeoanom.survey import censoring
from xgeoanom.survey.quality import replace_censored

ELEMENTS = ("Au", "As", "Cu", "Pb", "Zn")


def simulate(n=600, d=5, seed=0, share=0.4, missing=0.0):
    """Return a table of correlated lognormal values, censored but in the first, and the truth."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(d, 2))
    cov = 0.5 * loadings @ loadings.T + 0.1 * np.eye(d)
    truth = np.exp(rng.multivariate_normal(rng.normal(size=d), cov, size=n))
    limits = np.quantile(truth, share, axis=0)
    limits[0] = truth[:, 0].min() / 2
    state = np.where(truth < limits, 1, 0)
    lost = rng.random((n, d)) < missing
    lost[:, 0] = False
    state = np.where(lost, 3, state)
    values = np.select([state == 0, state == 1], [truth, np.broadcast_to(limits, (n, d))], np.nan)
    return make_table(values, state, limits), truth


def make_table(values, state, limits):
    dims = ("sample", "element")
    n, d = np.shape(values)
    coords = {
        "element": list(ELEMENTS[:d]),
        "unit": ("element", ["ppm"] * d),
        "detection_limit": (dims if np.ndim(limits) == 2 else "element", limits),
        "x": ("sample", np.arange(n)),
        "y": ("sample", np.arange(n)),
    }
    return xr.Dataset(
        {"concentration": (dims, values), "state": (dims, np.asarray(state, dtype="int8"))}, coords
    )


def error_of_law(values, truth):
    """Return the errors of mean and covariance of logarithms, relative to the truth's spread."""
    found, true = np.log(values), np.log(truth)
    spread = true.std(axis=0)
    mean = np.abs(found.mean(0) - true.mean(0)) / spread
    cov = (np.cov(found.T) - np.cov(true.T)) / np.outer(spread, spread)
    return mean.max(), np.linalg.norm(cov)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_means_and_covariances_come_back(seed):
    table, truth = simulate(seed=seed)
    em = replace_censored(table, method="em")["concentration"].values
    constant = replace_censored(table)["concentration"].values
    assert error_of_law(em, truth)[0] < 0.07
    assert error_of_law(em, truth)[0] < 0.5 * error_of_law(constant, truth)[0]
    assert error_of_law(em, truth)[1] < 0.5 * error_of_law(constant, truth)[1]
    censored = table["state"].values == 1
    rmse = [np.sqrt(np.mean(np.log(v / truth)[censored] ** 2)) for v in (em, constant)]
    assert rmse[0] < 0.75 * rmse[1]


@pytest.mark.filterwarnings("ignore:EM has not settled")  # of a third of the values, say
@given(st.integers(0, 999), st.floats(0.05, 0.6), st.floats(0.0, 0.3))
def test_below_limits_and_nothing_else_touched(seed, share, missing):
    table, _ = simulate(n=40, d=3, seed=seed, share=share, missing=missing)
    replaced = replace_censored(table, method="em")
    new, state = replaced["concentration"].values, table["state"].values
    limits = np.broadcast_to(table["detection_limit"], new.shape)
    assert (new[state == 1] < limits[state == 1]).all()
    assert (new[state == 1] > 0).all()
    np.testing.assert_array_equal(new[state != 1], table["concentration"].values[state != 1])
    np.testing.assert_array_equal(replaced["state"], table["state"])


@pytest.mark.parametrize("denominator", [None, "Au"])
def test_units_and_order_do_not_matter(denominator):
    table, _ = simulate(n=120, missing=0.1)
    one = replace_censored(table, method="em", denominator=denominator)["concentration"].values
    factors = np.array([1.0, 1e3, 1e-4, 7.0, 1.0])
    values, limits = (table[name].values * factors for name in ("concentration", "detection_limit"))
    other = make_table(values, table["state"].values, limits)
    other = replace_censored(other, method="em", denominator=denominator)["concentration"]
    np.testing.assert_allclose(other / factors, one, rtol=1e-6)
    order = np.random.default_rng(0).permutation(120)
    turned = replace_censored(table.isel(sample=order), method="em", denominator=denominator)
    np.testing.assert_allclose(turned["concentration"], one[order], rtol=1e-6)


def test_limits_by_sample_are_used():
    table, _ = simulate(n=100, d=3)
    limits = np.tile(table["detection_limit"].values, (100, 1))
    same = make_table(table["concentration"].values, table["state"], limits)
    one = replace_censored(table, method="em")["concentration"]
    np.testing.assert_array_equal(replace_censored(same, method="em")["concentration"], one)
    limits[::2] *= 0.5
    lower = replace_censored(make_table(table["concentration"].values, table["state"], limits))
    other = make_table(table["concentration"].values, table["state"], limits)
    other = replace_censored(other, method="em")["concentration"].values
    below = table["state"].values == 1
    assert (other[below] < limits[below]).all()
    assert not np.allclose(other[below], one.values[below])
    np.testing.assert_allclose(lower["concentration"].values[below], 0.65 * limits[below])


def test_tiny_case_against_brute_force():
    """Two elements, one censored: maximise the likelihood itself, then take expectations."""
    table, _ = simulate(n=60, d=2, seed=3)
    x, y = np.log(table["concentration"].values).T
    censored = table["state"].values[:, 1] == 1
    ceiling = np.log(table["detection_limit"].values[1])

    def surprise(theta):
        slope, intercept, log_sd = theta
        expected, sd = intercept + slope * x, np.exp(log_sd)
        seen = norm.logpdf(y, expected, sd)[~censored].sum()
        return -seen - norm.logcdf((ceiling - expected[censored]) / sd).sum()

    fit = minimize(surprise, [0.5, 0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8})
    slope, intercept, log_sd = fit.x
    alpha = (ceiling - intercept - slope * x[censored]) / np.exp(log_sd)
    hazard = np.exp(norm.logpdf(alpha) - norm.logcdf(alpha))
    expected = intercept + slope * x[censored] - np.exp(log_sd) * hazard
    found = replace_censored(table, method="em")["concentration"].values[censored, 1]
    np.testing.assert_allclose(np.log(found), expected, atol=2e-3)


def test_a_sample_below_all_limits_and_one_without_analyses():
    table, _ = simulate(n=80, d=3)
    values, state = table["concentration"].values.copy(), table["state"].values.copy()
    limits = table["detection_limit"].values
    values[0], state[0] = limits, 1
    values[1], state[1] = np.nan, 3
    new = replace_censored(make_table(values, state, limits), method="em")["concentration"].values
    assert (new[0] < limits).all()
    assert np.isnan(new[1]).all()


def test_denominator_must_be_measured():
    table, _ = simulate(n=50, d=3)
    with pytest.raises(CompositionError, match="denominator='As' is not measured in 20"):
        replace_censored(table, method="em", denominator="As")
    with pytest.raises(CompositionError, match="denominator='Xe' is no element"):
        replace_censored(table, method="em", denominator="Xe")


def test_parts_must_leave_a_rest_of_the_rock():
    table, _ = simulate(n=50, d=3)
    percent = table.assign_coords(unit=("element", ["%"] * 3))
    # Scaled so that the fullest sample has 99 % of measured parts, then 101 %.
    fullest = float(table["concentration"].where(table["state"] == 0).sum("element").max())
    small = percent.copy()
    for name in ("concentration", "detection_limit"):
        small[name] = percent[name] * 99 / fullest
    replace_censored(small, method="em")
    for name in ("concentration", "detection_limit"):
        small[name] = percent[name] * 101 / fullest
    with pytest.raises(CompositionError, match=r"of 1 samples exceed 100 % \(up to 101 %\)"):
        replace_censored(small, method="em")
    replace_censored(small, method="em", denominator="Au")


def test_collinear_elements_do_not_break_it():
    """An oxide beside its element."""
    table, _ = simulate(n=80, d=2)
    twice = xr.concat([table, table.isel(element=[1]).assign_coords(element=["As2O3"])], "element")
    new = replace_censored(twice, method="em")["concentration"]
    alone = replace_censored(table, method="em")["concentration"]
    np.testing.assert_allclose(new.sel(element="As"), new.sel(element="As2O3"), rtol=1e-2)
    np.testing.assert_allclose(new.sel(element="As"), alone.sel(element="As"), rtol=0.1)


def test_too_few_measured():
    table, _ = simulate(n=50, d=3)
    few = table.where(table["sample"] < 0, drop=False)
    state = table["state"].copy()
    state[2:, 1] = 1
    few = table.assign(state=state)
    with pytest.raises(CompositionError, match="3 measured values of each element, found.*'As'"):
        replace_censored(few, method="em")
    zero = table.assign(concentration=table["concentration"].where(table["state"] != 0, 0.0))
    with pytest.raises(CompositionError, match="not positive"):
        replace_censored(zero, method="em")


def test_iterations_are_recorded():
    table, _ = simulate(n=50, d=3)
    attrs = replace_censored(table, method="em")["concentration"].attrs
    assert 1 < attrs["iterations"] < 500
    assert '"method": "em"' in attrs["parameters"]


def test_what_does_not_settle_is_named(monkeypatch):
    monkeypatch.setattr(censoring, "MAX_ITERATIONS", 2)
    with pytest.warns(UserWarning, match="2 iterations: too little of .*'As'"):
        replace_censored(simulate(n=50, d=2)[0], method="em")


def test_real_survey(real_data):
    path = real_data / "gswa_sed1" / "geochemical" / "area1_sediment_au.csv"
    elements = ["Au_ppm", "Cu_ppm", "Pb_ppm", "Zn_ppm", "Co_ppm"]
    values = pd.read_csv(path)[elements].to_numpy()
    absent, below = values == -9999, (values < 0) & (values > -9999)
    state = np.select([absent, below, values == 0], [3, 1, 2], 0)
    limits = np.where(below, -values, np.nan)
    values = np.where(absent, np.nan, np.abs(values))
    table = make_table(values, state, limits)
    new = replace_censored(table, method="em", unknown_limits="smallest")["concentration"].values
    assert (new[state == 1] < limits[state == 1]).all()
    smallest = np.nanmin(np.where(state == 0, values, np.nan), axis=0)
    assert (new[state == 2] < np.broadcast_to(smallest, new.shape)[state == 2]).all()
    assert (new[state < 3] > 0).all()
    np.testing.assert_array_equal(new[state == 0], values[state == 0])
