"""Duplicates: groups against naive loops, the rule of each state, the real file's 828 samples."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.errors import CompositionError, CubeError, GridError, XGeoAnomError
from xgeoanom.survey.duplicates import collapse_duplicates, find_duplicates


def make_table(values, states, *, x=None, ids=None, limits=None, elements=("Au", "Cu")):
    n = len(values)
    coords = {
        "element": list(elements),
        "unit": ("element", ["ppm"] * len(elements)),
        "x": ("sample", np.zeros(n) if x is None else np.asarray(x, dtype=float)),
        "y": ("sample", np.zeros(n)),
    }
    if ids is not None:
        coords["sample_id"] = ("sample", list(ids))
    if limits is not None:
        dims = ("element",) if np.ndim(limits) == 1 else ("sample", "element")
        coords["detection_limit"] = (dims, np.asarray(limits, dtype=float))
    dims = ("sample", "element")
    data = {
        "concentration": (dims, np.asarray(values, dtype=float)),
        "state": (dims, np.asarray(states, dtype="int8")),
    }
    return xr.Dataset(data, coords).rio.write_crs(32650)


def five_rows():
    """A and its second report, B at the same place, C twice elsewhere."""
    values = [[1.0, np.nan], [2.0, 7.0], [5.0, 8.0], [0.5, 0.0], [0.2, 9.0]]
    states = [[0, 3], [0, 0], [0, 0], [1, 2], [1, 0]]
    limits = [[0.1, np.nan], [0.3, 1.0], [0.1, 1.0], [0.5, np.nan], [0.2, 1.0]]
    return make_table(values, states, x=[0, 0, 0, 9, 9], ids="AABCC", limits=limits)


def test_find_by_id():
    table = five_rows()
    found = find_duplicates(table)
    np.testing.assert_array_equal(found["distinct_sample"], [0, 0, 1, 2, 2])
    np.testing.assert_array_equal(found["place"], [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(found["duplicate"], [3, 3, 2, 1, 1])
    assert found["duplicate"].attrs["flag_meanings"].split()[1] == "repeated_report"
    assert found.attrs["method"] == "find_duplicates"
    assert found.rio.crs == table.rio.crs
    np.testing.assert_array_equal(
        find_duplicates(table, by="place")["distinct_sample"], found["place"]
    )


def test_chains_of_equal_values_join():
    values = np.array([[1.0, 2.0], [1.009, 2.0], [1.018, 2.0], [1.1, 2.0]])
    found = find_duplicates(make_table(values, np.zeros((4, 2))), by="values")
    np.testing.assert_array_equal(found["distinct_sample"], [0, 0, 0, 1])


def test_find_by_values():
    values = [[1.0, 2.0], [1.005, np.nan], [1.0, 3.0], [1.0, 2.0], [np.nan, 2.0]]
    states = np.where(np.isnan(values), 3, 0)
    found = find_duplicates(make_table(values, states, x=[0, 0, 0, 1, 0]), by="values")
    # The second agrees with the first and the third, which chains the two.
    np.testing.assert_array_equal(found["distinct_sample"], [0, 0, 0, 1, 0])
    apart = make_table([[1.0, 2.0], [1.0, 3.0], [np.nan, np.nan]], [[0, 0], [0, 0], [3, 3]])
    np.testing.assert_array_equal(find_duplicates(apart, by="values")["distinct_sample"], [0, 1, 2])


@pytest.mark.parametrize(("value", "equal"), [(0.4, True), (0.504, True), (0.6, False)])
def test_a_measured_value_and_a_limit_agree_below_it(value, equal):
    table = make_table([[value], [0.5]], [[0], [1]], limits=[0.5], elements=["Au"])
    found = find_duplicates(table, by="values")["distinct_sample"].values
    assert (found[0] == found[1]) == equal


@given(st.lists(st.integers(0, 12), min_size=2, max_size=12), st.integers(1, 3))
def test_places_are_chains_of_neighbours(x, reach):
    table = make_table(np.ones((len(x), 2)), np.zeros((len(x), 2)), x=x)
    found = find_duplicates(table, by="place", max_distance=reach)["place"].values
    ordered = np.unique(x)
    chain = dict(zip(ordered, np.r_[0, np.cumsum(np.diff(ordered) > reach)], strict=True))
    np.testing.assert_array_equal(found, pd.factorize(np.array([chain[k] for k in x]))[0])


def test_an_id_at_two_places_is_two_samples():
    table = make_table(np.ones((3, 2)), np.zeros((3, 2)), x=[0, 50, 0], ids=["1", "1", "1"])
    with pytest.warns(UserWarning, match="1 entries, such as '1'"):
        found = find_duplicates(table)
    np.testing.assert_array_equal(found["distinct_sample"], [0, 1, 0])
    joined = find_duplicates(table, max_distance=50)
    np.testing.assert_array_equal(joined["distinct_sample"], [0, 0, 0])


def test_empty_ids_stand_alone():
    table = make_table(np.ones((4, 2)), np.zeros((4, 2)), ids=["", "A", " ", "A"])
    np.testing.assert_array_equal(find_duplicates(table)["distinct_sample"], [0, 1, 2, 1])


def test_collapse_keeps_what_is_known_best():
    table = five_rows()
    before = table.copy(deep=True)
    one = collapse_duplicates(table)
    np.testing.assert_allclose(one["concentration"], [[1.5, 7], [5, 8], [0.2, 9]])
    np.testing.assert_array_equal(one["state"], [[0, 0], [0, 0], [1, 0]])
    np.testing.assert_array_equal(one["detection_limit"], [[0.1, 1], [0.1, 1], [0.2, 1]])
    np.testing.assert_array_equal(one["n_reports"], [2, 1, 2])
    np.testing.assert_array_equal(one["n_conflicts"], [1, 0, 0])
    assert json.loads(one["concentration"].attrs["conflicts"]) == {"Au": 1}
    assert '"rule": "median"' in one["concentration"].attrs["parameters"]
    np.testing.assert_array_equal(one["sample_id"], ["A", "B", "C"])
    np.testing.assert_array_equal(one["x"], [0, 0, 9])
    assert one["state"].dtype == "int8"
    assert one.rio.crs == table.rio.crs
    assert table.identical(before)
    assert collapse_duplicates(table, by="place").sizes["sample"] == 2


@pytest.mark.parametrize(
    ("rule", "expected"), [("median", 4.0), ("geometric_mean", 4.0), ("first", 8.0)]
)
def test_rules(rule, expected):
    table = make_table([[8.0], [4.0], [2.0], [0.0]], [[0], [0], [0], [2]], elements=["Au"])
    one = collapse_duplicates(table, by="place", rule=rule)
    np.testing.assert_allclose(one["concentration"], [[expected]])


def test_conflicts_with_a_limit():
    table = make_table([[5.0], [2.0]], [[0], [1]], limits=[2.0], elements=["Au"])
    one = collapse_duplicates(table, by="place")
    np.testing.assert_allclose(one["concentration"], [[5.0]])
    assert one["n_conflicts"].item() == 1


@st.composite
def tables(draw):
    n, d = draw(st.integers(1, 8)), 2
    states = np.array(draw(st.lists(st.integers(0, 3), min_size=n * d, max_size=n * d)))
    states = states.reshape(n, d)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    limits = rng.integers(1, 4, (n, d)).astype(float)
    values = np.select(
        [states == 0, states == 1, states == 2], [rng.integers(1, 9, (n, d)), limits, 0.0], np.nan
    )
    ids = rng.choice(list("ABC"), n)
    limits[states == 2] = np.nan
    return make_table(values, states, ids=ids, limits=limits)


@given(tables())
def test_collapse_equals_a_loop(table):
    one = collapse_duplicates(table)
    ids, state = table["sample_id"].values, table["state"].values
    values, limits = table["concentration"].values, table["detection_limit"].values
    for i, name in enumerate(dict.fromkeys(ids)):
        for k in range(2):
            rows = [r for r in range(len(ids)) if ids[r] == name]
            best = min(state[r, k] for r in rows)
            found = [values[r, k] for r in rows if state[r, k] == best]
            expected = {0: np.median(found), 1: min(found), 2: 0.0, 3: np.nan}[best]
            np.testing.assert_equal(one["state"].values[i, k], best)
            np.testing.assert_allclose(one["concentration"].values[i, k], expected)
            narrow = min(
                (limits[r, k] for r in rows if state[r, k] == best and limits[r, k] > 0),
                default=np.nan,
            )
            np.testing.assert_equal(one["detection_limit"].values[i, k], narrow)


@given(tables(), st.integers(0, 9))
def test_collapse_does_not_depend_on_order(table, seed):
    order = np.random.default_rng(seed).permutation(table.sizes["sample"])
    one = collapse_duplicates(table).sortby("sample_id")
    other = collapse_duplicates(table.isel(sample=order)).sortby("sample_id")
    for name in ("concentration", "state", "n_reports", "n_conflicts"):
        np.testing.assert_allclose(one[name], other[name])


def test_errors():
    table = five_rows()
    with pytest.raises(CubeError, match="by='sample_id'.*assign_coords"):
        find_duplicates(table.drop_vars("sample_id"))
    with pytest.raises(XGeoAnomError, match="max_distance=-1"):
        find_duplicates(table, max_distance=-1)
    with pytest.raises(CompositionError, match="rule='mode'"):
        collapse_duplicates(table, rule="mode")
    with pytest.raises(CubeError, match="from_points"):
        find_duplicates(table.drop_vars("state"))
    with pytest.raises(CubeError, match="DataArray"):
        find_duplicates(table["concentration"])
    broken = table.assign_coords(x=("sample", [0, np.nan, 0, 0, 0]))
    with pytest.raises(GridError, match="1 samples"):
        find_duplicates(broken)


def test_real_file_has_828_samples(real_data):
    path = real_data / "gswa_sed1" / "geochemical" / "area1_sediment_au.csv"
    table = real_table(path)
    assert table.sizes["sample"] == 1392
    found = find_duplicates(table)
    assert found["place"].max() + 1 == 820
    one = collapse_duplicates(table)
    assert one.sizes["sample"] == 828
    assert one["n_reports"].sum() == 1392
    np.testing.assert_array_equal(np.bincount(one["n_reports"])[1:], [303, 486, 39])
    conflicts = json.loads(one["concentration"].attrs["conflicts"])
    # Report 100924 repeats eleven samples of 94616 with Fe, Mn ... a thousand times too low.
    assert conflicts["Mn"] == 11
    assert "Cu" in conflicts


def real_table(path, elements=("Au", "As", "Cu", "Pb", "Mn")):
    rows = pd.read_csv(path, dtype={"COMPSAMPID": str, "WAMEX_A_NO": str})
    values = rows[[f"{name}_ppm" for name in elements]].to_numpy()
    absent, below = values == -9999, (values < 0) & (values > -9999)
    states = np.select([absent, below, values == 0], [3, 1, 2], 0)
    limits = np.where(below, -values, np.nan)
    values = np.where(absent, np.nan, np.abs(values))
    table = make_table(
        values, states, x=rows["X"], ids=rows["COMPSAMPID"], limits=limits, elements=elements
    )
    return table.assign_coords(
        y=("sample", rows["Y"].to_numpy()), batch=("sample", rows["WAMEX_A_NO"].to_numpy())
    )
