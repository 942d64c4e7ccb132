"""Summaries of a survey: scipy and naive counts as oracles."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from xgeoanom.errors import CubeError
from xgeoanom.survey.coda import clr
from xgeoanom.survey.summaries import censoring_summary, correlation

NAMES = ["Au", "As", "Cu", "Ti"]


def make_values(n=40, seed=0):
    rng = np.random.default_rng(seed)
    values = np.exp(rng.normal(size=(n, 4)) + rng.normal(size=(n, 1)))
    values[:, 2] = np.round(values[:, 2])  # ties
    values[rng.random((n, 4)) < 0.2] = np.nan
    return xr.DataArray(values, dims=("sample", "element"), coords={"element": NAMES})


def make_table():
    nan = np.nan
    values = np.array(
        [
            [0.5, 10.0],
            [1.0, 20.0],
            [2.0, 30.0],
            [0.0, 40.0],
            [nan, 5.0],
            [8.0, nan],
        ]
    )
    states = np.array([[1, 0], [0, 0], [0, 0], [2, 0], [3, 1], [0, 3]], dtype="int8")
    return xr.Dataset(
        {
            "concentration": (("sample", "element"), values),
            "state": (("sample", "element"), states),
        },
        coords={
            "element": ["Au", "Cu"],
            "unit": ("element", ["ppb", "ppm"]),
            "detection_limit": ("element", [0.8, 6.0]),
            "batch": ("sample", ["a", "a", "a", "b", "b", "b"]),
        },
    )


# ---------------------------------------------------------------------------------- correlation


def test_correlation_equals_scipy_pair_by_pair():
    values = make_values()
    found = correlation(values)
    for i, one in enumerate(NAMES):
        for j, other in enumerate(NAMES):
            a, b = values.values[:, i], values.values[:, j]
            both = np.isfinite(a) & np.isfinite(b)
            expected = spearmanr(a[both], b[both]).statistic
            assert float(found.sel(element=one, element_2=other)) == pytest.approx(expected)
    assert found.dims == ("element", "element_2")
    assert found.attrs["units"] == "1"
    assert found.attrs["method"] == "correlation"


def test_correlation_of_cubes_of_any_kind():
    values = make_values().dropna("sample")[:12]
    cube = xr.DataArray(
        values.values.T.reshape(4, 3, -1) + 1, dims=("element", "y", "x"), coords={"element": NAMES}
    )
    before = cube.copy(deep=True)
    found = correlation(cube)
    assert cube.identical(before)
    xr.testing.assert_allclose(found, correlation(values + 1))
    xr.testing.assert_identical(correlation(cube.chunk(y=1)), found)
    ratios = correlation(clr(cube))
    assert ratios.attrs["log_ratio"] == "clr"
    expected = spearmanr(clr(values + 1).values).statistic
    np.testing.assert_allclose(ratios, expected)


@given(power=st.floats(0.1, 3), factor=st.floats(0.1, 10))
def test_ranks_do_not_change_with_the_scale(power, factor):
    values = make_values()
    xr.testing.assert_allclose(correlation(factor * values**power), correlation(values))


def test_too_few_pairs_and_constants_are_unknown():
    values = make_values().dropna("sample")[:6]
    values[2:, 0] = np.nan
    values[:, 3] = 1.0
    found = correlation(values)
    assert np.isnan(found.sel(element="Au")).all()
    assert np.isnan(found.sel(element="Ti", element_2=["Au", "As", "Cu"])).all()
    assert np.isfinite(found.sel(element="As", element_2="Cu"))


def test_correlation_refuses():
    values = make_values()
    with pytest.raises(CubeError, match="'element'"):
        correlation(values.rename(element="band"))
    with pytest.raises(CubeError, match="repeated"):
        correlation(values[:, [0, 0]])
    with pytest.raises(CubeError, match="Dataset"):
        correlation(values.to_dataset(name="concentration"))


# ------------------------------------------------------------------------------------ censoring


def test_censoring_summary():
    table = make_table()
    before = table.copy(deep=True)
    found = censoring_summary(table)
    assert table.identical(before)
    sixth = 100 / 6
    expected = {
        "n": [6, 6],
        "measured": [3 * sixth, 4 * sixth],
        "below_limit": [sixth, sixth],
        "below_unknown_limit": [sixth, 0],
        "not_analysed": [sixth, sixth],
        "limit_min": [0.8, 6.0],
        "limit_max": [0.8, 6.0],
        # Au: < <, 1, 2, 8; Cu: <, 10, 20, 30, 40
        "minimum": [np.nan, np.nan],
        "q25": [np.nan, 10.0],
        "median": [1.0, 20.0],
        "q75": [2.0, 30.0],
        "maximum": [8.0, 40.0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, err_msg=name)
    shares = ["measured", "below_limit", "below_unknown_limit", "not_analysed"]
    np.testing.assert_allclose(sum(found[name] for name in shares), 100)
    assert found["unit"].values.tolist() == ["ppb", "ppm"]
    assert found["measured"].attrs["units"] == "%"
    assert list(found.to_dataframe().index) == ["Au", "Cu"]


def test_quantiles_of_measured_values_are_those_of_numpy():
    table = make_table()
    table["state"][:] = 0
    values = np.random.default_rng(0).normal(size=(6, 2))
    table["concentration"][:] = values
    found = censoring_summary(table)
    for name, q in {"minimum": 0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q95": 0.95}.items():
        np.testing.assert_allclose(found[name], np.quantile(values, q, axis=0))
    table["state"][values[:, 0].argsort()[:3], 0] = 2
    half = censoring_summary(table).sel(element="Au")
    assert np.isnan(half["median"])  # between a censored and a measured value
    np.testing.assert_allclose(half["q75"], np.quantile(values[:, 0], 0.75))


def test_each_batch_by_itself():
    table = make_table()
    limits = np.array([[1.0, 6.0]] * 3 + [[0.5, np.nan]] * 3)
    table = table.assign_coords(detection_limit=(("sample", "element"), limits))
    found = censoring_summary(table, by="batch")
    assert found["measured"].dims == ("batch", "element")
    for batch in ("a", "b"):
        alone = censoring_summary(table.isel(sample=(table["batch"] == batch).values))
        xr.testing.assert_equal(found.sel(batch=batch).drop_vars("batch"), alone)
    assert found["limit_max"].values.tolist()[0] == [1.0, 6.0]
    assert np.isnan(found["limit_max"].sel(batch="b", element="Cu"))
    together = censoring_summary(table)
    assert together["limit_min"].values.tolist() == [0.5, 6.0]
    assert together["limit_max"].values.tolist() == [1.0, 6.0]
    assert (found["n"].sum("batch") == together["n"]).all()
    assert found.to_dataframe().index.names == ["batch", "element"]


def test_what_was_never_measured_has_no_quantiles():
    table = make_table().drop_vars("detection_limit")
    table["state"][:, 0] = 3
    table["concentration"][:, 0] = np.nan
    one = censoring_summary(table).sel(element="Au")
    assert float(one["not_analysed"]) == 100
    assert np.isnan([float(one[name]) for name in ("minimum", "median", "maximum")]).all()
    assert np.isnan(float(one["limit_min"]))


def test_summary_survives_netcdf(tmp_path):
    found = censoring_summary(make_table(), by="batch")
    found.to_netcdf(tmp_path / "summary.nc")
    with xr.open_dataset(tmp_path / "summary.nc") as opened:
        xr.testing.assert_allclose(opened, found)
        assert opened.attrs["method"] == "censoring_summary"


def test_censoring_summary_refuses():
    table = make_table()
    with pytest.raises(CubeError, match=r"no state\(sample, element\)"):
        censoring_summary(table.drop_vars("state"))
    with pytest.raises(CubeError, match=r"by='year' is no coord of samples; table has \['batch'\]"):
        censoring_summary(table, by="year")
    with pytest.raises(CubeError, match="by='unit'"):
        censoring_summary(table, by="unit")
    with pytest.raises(CubeError, match="DataArray"):
        censoring_summary(table["concentration"])
    with pytest.raises(CubeError, match="no samples"):
        censoring_summary(table.isel(sample=[]))
