"""Levelling: factors put into simulated batches come out again."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.errors import CompositionError, CubeError, XGeoAnomError
from xgeoanom.survey.levelling import level_batches
from xgeoanom.survey.summaries import censoring_summary

FACTORS = {"a": (1.0, 1.0), "b": (3.0, 0.5), "c": (0.2, 8.0)}


def simulate(n=200, *, power=None, seed=0, limits=None):
    """Return a table of three batches of one population, and the values before any factor."""
    rng = np.random.default_rng(seed)
    batch = np.repeat(list(FACTORS), n)
    truth = np.tile(np.exp(rng.normal([1.0, 3.0], [0.8, 0.5], (n, 2))), (3, 1))
    truth = truth[rng.permutation(n * 3)] if limits == "shuffled" else truth
    factor = np.array([FACTORS[name] for name in batch])
    exponent = np.array([(power or {}).get(name, 1.0) for name in batch])[:, None]
    return make_table(factor * truth**exponent, batch), truth


def make_table(values, batch, state=None, limits=None):
    dims = ("sample", "element")
    state = np.zeros(values.shape) if state is None else state
    coords = {
        "element": ["Au", "Cu"],
        "unit": ("element", ["ppb", "ppm"]),
        "x": ("sample", np.arange(len(values))),
        "y": ("sample", np.arange(len(values))),
        "batch": ("sample", batch),
    }
    if limits is not None:
        coords["detection_limit"] = (dims[-np.ndim(limits) :], limits)
    data = {"concentration": (dims, values), "state": (dims, state.astype("int8"))}
    return xr.Dataset(data, coords).rio.write_crs(32650)


def test_factors_come_back():
    table, truth = simulate()
    before = table.copy(deep=True)
    levelled = level_batches(table, reference="a")
    np.testing.assert_allclose(levelled["concentration"], truth)
    record = json.loads(levelled["concentration"].attrs["levelling"])
    assert "a" not in record
    np.testing.assert_allclose(record["b"]["Au"], [1 / 3, 1])
    np.testing.assert_allclose(record["c"]["Cu"], [1 / 8, 1])
    assert levelled.rio.crs == table.rio.crs
    assert "detection_limit" not in levelled.coords
    assert table.identical(before)


def test_pooled_samples_set_the_level():
    table, _ = simulate()
    levelled = level_batches(table)["concentration"]
    medians = levelled.groupby(table["batch"]).median()
    np.testing.assert_allclose(medians, np.tile(medians[0], (3, 1)), rtol=0.02)
    pooled = table["concentration"].median("sample")
    np.testing.assert_allclose(medians[0], pooled, rtol=0.05)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 99))
def test_medians_agree_after_levelling(n, m, seed):
    rng = np.random.default_rng(seed)
    table = make_table(np.exp(rng.normal(size=(n + m, 2))), ["a"] * n + ["b"] * m)
    levelled = level_batches(table, reference="a", min_samples=1)
    medians = censoring_summary(levelled, by="batch")["median"].values
    np.testing.assert_allclose(medians[1], medians[0])
    np.testing.assert_allclose(medians[0], np.median(table["concentration"].values[:n], axis=0))


def test_the_median_of_an_even_count_is_in_the_middle():
    values = np.r_[np.ones(40), np.ones(20), np.full(20, 100.0)][:, None].repeat(2, axis=1)
    table = make_table(values, ["a"] * 40 + ["b"] * 40)
    record = json.loads(level_batches(table, reference="a")["concentration"].attrs["levelling"])
    np.testing.assert_allclose(record["b"]["Au"], [1 / 50.5, 1])
    # Half of it below a limit, the middle lies between a censored and a measured value.
    state = np.where(np.arange(80) % 80 >= 60, 0, 1)[:, None].repeat(2, axis=1)
    state[:40] = 0
    censored = make_table(values, ["a"] * 40 + ["b"] * 40, state, values)
    with pytest.raises(CompositionError, match="too many below detection"):
        level_batches(censored, reference="a")


def test_other_samples_of_the_same_population():
    rng = np.random.default_rng(1)
    batch = np.repeat(list("abc"), 400)
    truth = np.exp(rng.normal([1.0, 3.0], [0.8, 0.5], (1200, 2)))
    table = make_table(truth * np.array([FACTORS[name] for name in batch]), batch)
    record = json.loads(level_batches(table, reference="a")["concentration"].attrs["levelling"])
    for name in "bc":
        for k, element in enumerate(("Au", "Cu")):
            np.testing.assert_allclose(record[name][element][0], 1 / FACTORS[name][k], rtol=0.2)


def test_quantiles_bring_back_factor_and_exponent():
    table, truth = simulate(power={"b": 0.7, "c": 1.4})
    levelled = level_batches(table, reference="a", method="quantiles")
    np.testing.assert_allclose(levelled["concentration"], truth, rtol=1e-6)
    exponent = json.loads(levelled["concentration"].attrs["levelling"])["c"]["Au"][1]
    np.testing.assert_allclose(exponent, 1 / 1.4)
    factors_only = level_batches(table, reference="a")["concentration"]
    assert np.abs(np.log(factors_only / truth)).max() > 0.1


@given(st.floats(1e-3, 1e3), st.sampled_from(["median", "quantiles"]), st.integers(0, 99))
def test_units_do_not_matter(unit, method, seed):
    table, _ = simulate(40, power={"b": 0.8}, seed=seed)
    one = level_batches(table, method=method)["concentration"]
    other = table.assign(concentration=unit * table["concentration"])
    np.testing.assert_allclose(level_batches(other, method=method)["concentration"], unit * one)


def test_censored_values_and_limits_are_levelled_too():
    table, truth = simulate()
    values, batch = table["concentration"].values, table["batch"].values
    # Each batch has a limit of its own, below the median of its values.
    shares = {"a": 0.1, "b": 0.4, "c": 0.25}
    limits = np.zeros_like(values)
    for name, share in shares.items():
        limits[batch == name] = np.quantile(values[batch == name], share, axis=0)
    below = values < limits
    state = np.where(below, 1, 0)
    censored = make_table(np.where(below, limits, values), batch, state, limits)
    levelled = level_batches(censored, reference="a")
    factor = np.array([FACTORS[name] for name in batch])
    np.testing.assert_array_equal(levelled["state"], state)
    np.testing.assert_allclose(levelled["detection_limit"], limits / factor)
    np.testing.assert_allclose(levelled["concentration"].values[~below], truth[~below])
    np.testing.assert_allclose(levelled["concentration"].values[below], (limits / factor)[below])


def test_unknown_limits_rank_lowest_and_missing_stays():
    table, truth = simulate()
    values = table["concentration"].values.copy()
    state = np.zeros_like(values)
    low = truth < np.quantile(truth, 0.2, axis=0)
    values[low], state[low] = 0.0, 2
    gone = np.random.default_rng(0).random(values.shape) < 0.0
    gone[::50] = True
    values[gone], state[gone] = np.nan, 3
    levelled = level_batches(make_table(values, table["batch"].values, state), reference="a")
    np.testing.assert_array_equal(levelled["concentration"].values[low & ~gone], 0)
    assert np.isnan(levelled["concentration"].values[gone]).all()
    rest = ~low & ~gone
    np.testing.assert_allclose(levelled["concentration"].values[rest], truth[rest], rtol=1e-9)


def test_small_and_censored_batches_are_left_and_named():
    table, truth = simulate(100)
    few = table.isel(sample=np.r_[0:200, 290:300])
    with pytest.warns(UserWarning, match="2 elements of batches.*30 analyses.*Au in 'c'"):
        levelled = level_batches(few, reference="a")
    np.testing.assert_allclose(levelled["concentration"][:200], truth[:200])
    np.testing.assert_allclose(levelled["concentration"][200:], few["concentration"][200:])
    state = np.zeros((300, 2))
    state[100:170, 0] = 2
    values = np.where(state == 2, 0, table["concentration"])
    with pytest.warns(UserWarning, match="1 elements of batches.*Au in 'b'"):
        level_batches(make_table(values, table["batch"].values, state), reference="a")


def test_errors():
    table, _ = simulate(40)
    with pytest.raises(CubeError, match="by='leach' is no column.*'batch'"):
        level_batches(table, by="leach")
    with pytest.raises(CubeError, match="one batch"):
        level_batches(table.isel(sample=slice(40)))
    with pytest.raises(CompositionError, match="reference='z'"):
        level_batches(table, reference="z")
    with pytest.raises(CompositionError, match="method='mean'"):
        level_batches(table, method="mean")
    with pytest.raises(CompositionError, match="min_samples=500: no element"):
        level_batches(table, min_samples=500)
    with pytest.raises(XGeoAnomError, match="min_samples=0"):
        level_batches(table, min_samples=0)
