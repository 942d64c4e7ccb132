"""Precision from duplicates: simulated laboratories of known precision, and naive groups."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from xgeoanom.errors import CompositionError, CubeError, XGeoAnomError
from xgeoanom.survey.precision import (
    CHART_LINES,
    SD_OF_MEDIAN,
    duplicate_pairs,
    duplicate_precision,
    group_pairs,
    precision_at,
)


def make_pairs(first, second, elements=("Cu",)):
    dims = ("pair", "element")
    coords = {"element": list(elements), "unit": ("element", ["ppm"] * len(elements))}
    return xr.Dataset({"first": (dims, first), "second": (dims, second)}, coords)


def simulate(n, s0=1.0, k=0.05, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.uniform(10, 100, (n, 1))
    return make_pairs(*(true + rng.normal(size=(n, 1)) * (s0 + k * true) for _ in range(2)))


def make_table(places, ids, values):
    n = len(ids)
    values = np.asarray(values, dtype=float)[:, None]
    return xr.Dataset(
        {
            "concentration": (("sample", "element"), values),
            "state": (("sample", "element"), np.where(np.isnan(values), 3, 0).astype("int8")),
        },
        {
            "element": ["Au"],
            "unit": ("element", ["ppb"]),
            "x": ("sample", np.asarray(places, dtype=float)),
            "y": ("sample", np.zeros(n)),
            "sample_id": ("sample", list(ids)),
        },
    )


def test_constants_are_those_of_the_normal_law():
    np.testing.assert_allclose(SD_OF_MEDIAN, 1.048, atol=5e-4)  # Thompson and Howarth's factor
    for percent, line in CHART_LINES.items():
        share = norm.cdf(line / np.sqrt(2)) - norm.cdf(-line / np.sqrt(2))
        np.testing.assert_allclose(share, percent / 100, atol=1e-4)


def test_pairs_of_field_duplicates():
    table = make_table([0, 0, 0, 5, 5, 5, 5, 9], "AABCDEFG", [1, 2, 3, 4, 5, np.nan, 7, 8])
    pairs = duplicate_pairs(table)
    np.testing.assert_array_equal(pairs["first_sample"], [0, 3])
    np.testing.assert_array_equal(pairs["second_sample"], [2, 4])
    np.testing.assert_array_equal(pairs["first"], [[1], [4]])
    np.testing.assert_array_equal(pairs["second"], [[3], [5]])
    assert pairs["unit"].item() == "ppb"
    assert pairs.attrs["method"] == "duplicate_pairs"


def test_pairs_of_reports_leave_copies_out():
    table = make_table([0, 0, 1, 1, 1], "AABBB", [1.0, 1.0, 2.0, 3.0, 9.0])
    pairs = duplicate_pairs(table, kind="repeated_report")
    np.testing.assert_array_equal(pairs["first"], [[2]])
    np.testing.assert_array_equal(pairs["second"], [[3]])


@given(st.integers(11, 60), st.integers(0, 99))
def test_groups_equal_a_loop(n, seed):
    rng = np.random.default_rng(seed)
    mean, difference = np.sort(rng.random(n)), rng.random(n)
    found = np.transpose(group_pairs(mean, difference))
    expected = [
        (np.mean(mean[i : i + 11]), sorted(difference[i : i + 11])[5]) for i in range(0, n - 10, 11)
    ]
    np.testing.assert_allclose(found, expected)


def test_known_precision_comes_back():
    fits = [duplicate_precision(simulate(2000, seed=seed)) for seed in range(8)]
    np.testing.assert_allclose(np.mean([fit["s0"] for fit in fits]), 1.0, atol=0.15)
    np.testing.assert_allclose(np.mean([fit["k"] for fit in fits]), 0.05, atol=0.005)
    assert fits[0]["form"].item() == 0
    assert fits[0]["n_pairs"].item() == 2000
    np.testing.assert_allclose(precision_at(fits[0], 20.0), 2 * 2.0 / 20, rtol=0.1)


def test_regression_through_exact_medians():
    mean = np.repeat(np.arange(1, 6), 11)[:, None] * 10.0
    half = (2 + 0.1 * mean) / 2
    fit = duplicate_precision(make_pairs(mean - half, mean + half))
    np.testing.assert_allclose(fit["s0"], [2 * SD_OF_MEDIAN])
    np.testing.assert_allclose(fit["k"], [0.1 * SD_OF_MEDIAN])


def test_no_negative_intercept():
    mean = np.repeat(np.arange(1, 6), 11)[:, None] * 10.0
    half = (0.1 * mean - 0.5) / 2
    fit = duplicate_precision(make_pairs(mean - half, mean + half))
    x = np.arange(1, 6) * 10.0
    np.testing.assert_array_equal(fit["s0"], [0])
    expected = SD_OF_MEDIAN * (x @ (0.1 * x - 0.5)) / (x @ x)
    np.testing.assert_allclose(fit["k"], [expected])


def test_control_chart_with_few_pairs():
    fit = duplicate_precision(simulate(40, s0=0.0, k=0.05, seed=1), target=0.1)
    assert fit["form"].item() == 1
    assert fit["s0"].item() == 0
    np.testing.assert_allclose(fit["k"], 0.05, rtol=0.4)
    worse = duplicate_precision(simulate(40, s0=0.0, k=0.2, seed=1), target=0.1)
    assert (worse["share_below"] < fit["share_below"]).all()
    exact = duplicate_precision(simulate(20_000, s0=0.0, k=0.05), target=0.1)
    np.testing.assert_allclose(exact["share_below"], [[0.9, 0.99]], atol=0.005)


def test_too_few_pairs():
    fit = duplicate_precision(simulate(9))
    assert fit["form"].item() == 2
    assert np.isnan(fit["k"]).all()
    assert fit["n_pairs"].item() == 9


def test_elements_on_their_own():
    one, other = simulate(100), simulate(60, seed=5)
    parts = [np.full((100, 2), np.nan) for _ in range(2)]
    for part, name in zip(parts, ("first", "second"), strict=True):
        part[:, 0], part[:60, 1] = one[name][:, 0], other[name][:, 0]
    both = duplicate_precision(make_pairs(*parts, elements=("Cu", "Zn")))
    for name in ("s0", "k", "share_below"):
        np.testing.assert_allclose(both[name][0], duplicate_precision(one)[name][0])
        np.testing.assert_allclose(both[name][1], duplicate_precision(other)[name][0])


def test_precision_at_several_concentrations():
    fit = duplicate_precision(simulate(100))
    at = xr.DataArray([1.0, 10.0, 100.0], dims="concentration")
    found = precision_at(fit, at)
    assert set(found.dims) == {"element", "concentration"}
    expected = 2 * (fit["s0"].item() + fit["k"].item() * at.values) / at.values
    np.testing.assert_allclose(found.isel(element=0), expected)
    listed = precision_at(fit, [1, 10, 100])
    np.testing.assert_allclose(listed, found)
    np.testing.assert_array_equal(listed["concentration"], at)
    by_element = xr.DataArray([10.0], dims="element", coords={"element": ["Cu"]})
    np.testing.assert_allclose(precision_at(fit, by_element), expected[[1]])


def test_errors():
    table = make_table([0, 1], "AB", [1.0, 2.0])
    with pytest.raises(CubeError, match="kind='field_duplicate'.*no such pair"):
        duplicate_pairs(table)
    with pytest.raises(CompositionError, match="kind='pulp'"):
        duplicate_pairs(table, kind="pulp")
    with pytest.raises(CubeError, match="duplicate_pairs"):
        duplicate_precision(table)
    with pytest.raises(XGeoAnomError, match="target=0"):
        duplicate_precision(simulate(20), target=0)
    for percent in (1, 10):
        with pytest.raises(XGeoAnomError, match=f"target={percent} must be a share below 1"):
            duplicate_precision(simulate(20), target=percent)
    fit = duplicate_precision(simulate(20))
    for wrong in (0, "a", None, [10, 0], [[10, 20]], ["a"]):
        with pytest.raises(XGeoAnomError, match="concentration=.* must be a positive number"):
            precision_at(fit, wrong)
    with pytest.raises(CubeError, match="duplicate_precision"):
        precision_at(table, 10)
