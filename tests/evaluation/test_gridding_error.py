"""Gridding error: naive leave-one-out, no leaks, and what counts."""

import json
from functools import partial

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.stats import pearsonr, spearmanr

from xgeoanom.errors import CRSError, CubeError, GridError
from xgeoanom.evaluation.gridding_error import gridding_error
from xgeoanom.survey.inverse_distance import idw
from xgeoanom.survey.kriging import krige

STATES = {"measured": 0, "below": 1, "unknown": 2, "lost": 3}


def make_table(n=60, *, seed=0, repeats=0):
    """Two elements at random places in 10 km, the last ``repeats`` at places of the first."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 10_000, size=(n, 2))
    places[n - repeats :] = places[:repeats]
    values = np.exp(rng.normal(size=(n, 2)) + places[:, :1] / 5000)
    return xr.Dataset(
        {
            "concentration": (("sample", "element"), values),
            "state": (("sample", "element"), np.zeros((n, 2), dtype="int8")),
        },
        coords={
            "element": ["Au", "Cu"],
            "unit": ("element", ["ppb", "ppm"]),
            "x": ("sample", 300_000 + places[:, 0]),
            "y": ("sample", 4_000_000 + places[:, 1]),
            "sample_id": ("sample", [f"S{k}" for k in range(n)]),
        },
    ).rio.write_crs(32650)


def places_of(table):
    return np.column_stack([table["x"], table["y"]])


def predicted(table, like, values):
    """A gridder's answer (element, sample), with values (sample, element)."""
    return xr.DataArray(
        values.T, dims=("element", "sample"), coords={"element": table["element"].values}
    )


def nearest(table, like):
    _, at = cKDTree(places_of(table)).query(places_of(like))
    return predicted(table, like, table["concentration"].values[at])


def numpy_idw(table, like, *, power=2.0, n_neighbors=12):
    distances = cdist(places_of(like), places_of(table))
    farthest = np.sort(distances, axis=1)[:, [n_neighbors - 1]]
    weights = np.where(distances <= farthest, distances, np.inf) ** -power
    weights /= weights.sum(axis=1, keepdims=True)
    return predicted(table, like, weights @ table["concentration"].values)


class Spy:
    """A gridder that remembers what it was shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, table, like):
        self.seen.append((table, like))
        return nearest(table, like)


# ------------------------------------------------------------------------------------ numbers


def leave_one_out(values, places):
    """The nearest other sample's value, one sample at a time."""
    found = []
    for k in range(len(values)):
        distances = np.hypot(*(places - places[k]).T)
        distances[k] = np.inf
        found.append(values[distances.argmin()])
    return np.array(found)


def test_errors_equal_naive_leave_one_out():
    table = make_table(25)
    before = table.copy(deep=True)
    result = gridding_error(table, {"nearest": nearest}, n_folds=25, seed=0)
    assert table.identical(before)
    for element in ("Au", "Cu"):
        truth = table["concentration"].sel(element=element).values
        guess = leave_one_out(truth, places_of(table))
        one = result.sel(gridder="nearest", element=element)
        np.testing.assert_array_equal(one["prediction"], guess)
        np.testing.assert_array_equal(one["observed"], truth)
        expected = {
            "rmse": sum((g - t) ** 2 for g, t in zip(guess, truth)) ** 0.5 / 25**0.5,
            "mae": sum(abs(g - t) for g, t in zip(guess, truth)) / 25,
            "bias": sum(guess) / 25 - sum(truth) / 25,
            "log_rmse": np.mean((np.log(guess) - np.log(truth)) ** 2) ** 0.5,
            "pearson": pearsonr(guess, truth).statistic,
            "spearman": spearmanr(guess, truth).statistic,
            "n": 25,
            "n_missing": 0,
        }
        for name, value in expected.items():
            assert float(one[name]) == pytest.approx(value), name


def test_a_plane_is_gridded_without_error():
    table = make_table(40)
    plane = 5 + 1e-4 * (table["x"] - 300_000) + 2e-4 * (table["y"] - 4_000_000)
    table["concentration"] = plane.expand_dims(element=table["element"], axis=1)

    def fitted(table, like):
        design = [np.column_stack([np.ones(len(p)), p]) for p in map(places_of, (table, like))]
        values = table["concentration"].values
        return predicted(table, like, design[1] @ np.linalg.lstsq(design[0], values)[0])

    result = gridding_error(table, {"plane": fitted, "nearest": nearest}, n_folds=5, seed=0)
    np.testing.assert_allclose(result["rmse"].sel(gridder="plane"), 0, atol=1e-7)
    np.testing.assert_allclose(result["pearson"].sel(gridder="plane"), 1)
    assert (result["rmse"].sel(gridder="nearest") > 0.01).all()


def test_idw_of_the_package_equals_numpy():
    table = make_table(30)
    gridders = {
        f"{name}, power {power:g}": partial(gridder, power=power, n_neighbors=6)
        for name, gridder in (("numpy", numpy_idw), ("idw", idw))
        for power in (1.0, 3.0)
    }
    result = gridding_error(table, gridders, n_folds=5, seed=1)
    for power in ("power 1", "power 3"):
        np.testing.assert_allclose(
            result["prediction"].sel(gridder=f"idw, {power}"),
            result["prediction"].sel(gridder=f"numpy, {power}"),
            rtol=1e-10,
        )


@given(shift=st.floats(-5, 5))
def test_a_constant_shift_is_bias(shift):
    table = make_table(20)
    gridders = {"plain": nearest, "shifted": lambda t, like: nearest(t, like) + shift}
    result = gridding_error(table, gridders, n_folds=4, seed=0)
    plain, shifted = result.sel(gridder="plain"), result.sel(gridder="shifted")
    np.testing.assert_allclose(shifted["bias"], plain["bias"] + shift, atol=1e-9)
    variance = [one["rmse"] ** 2 - one["bias"] ** 2 for one in (plain, shifted)]
    np.testing.assert_allclose(*variance, atol=1e-8)
    np.testing.assert_allclose(shifted["pearson"], plain["pearson"], atol=1e-9)


# -------------------------------------------------------------------------------------- folds


@pytest.mark.parametrize("how", [{}, {"block_size": 2500.0}, {"buffer": 1500.0}])
def test_a_gridder_never_sees_what_it_is_asked_for(how):
    table, spy = make_table(repeats=15), Spy()
    result = gridding_error(table, {"spy": spy}, n_folds=5, seed=0, **how)
    asked = np.concatenate([like["sample_id"].values for _, like in spy.seen])
    assert sorted(asked) == sorted(table["sample_id"].values)  # each sample once
    for known, like in spy.seen:
        assert np.isnan(like["concentration"].values).all()
        apart = cdist(places_of(known), places_of(like)).min()
        assert apart > how.get("buffer", 0.0)  # repeats at one place share a fold
        ids = like["sample_id"].values
        far = cdist(places_of(table), places_of(like)).min(axis=1) > how.get("buffer", 0.0)
        expected = table["sample_id"].values[far & ~np.isin(table["sample_id"], ids)]
        assert set(known["sample_id"].values) == set(expected)  # and nothing more is dropped
    assert result["fold"].dtype == "int16"


def test_samples_of_a_block_share_a_fold():
    table = make_table(200)
    result = gridding_error(table, {"nearest": nearest}, n_folds=4, block_size=2000.0, seed=0)
    places = places_of(table)
    blocks = {}
    for place, fold in zip(places - places.min(axis=0), result["fold"].values):
        blocks.setdefault(tuple(place // 2000), set()).add(int(fold))
    assert len(blocks) > 20
    assert all(len(folds) == 1 for folds in blocks.values())
    assert np.ptp(np.bincount(result["fold"])) <= 12  # dealt evenly
    random = gridding_error(table, {"nearest": nearest}, n_folds=4, seed=0)
    assert (result["rmse"] > random["rmse"]).all()  # the trend carries farther than the folds


def test_seed():
    table = make_table()
    folds = [
        gridding_error(table, {"nearest": nearest}, n_folds=5, seed=seed)["fold"]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(folds[0], folds[1])
    assert (folds[0] != folds[2]).any()
    assert np.bincount(folds[0]).tolist() == [12] * 5


@given(order=st.permutations(range(16)), block_size=st.sampled_from([None, 2000.0]))
def test_order_of_samples_does_not_matter(order, block_size):
    table = make_table(16, repeats=3)
    results = [
        gridding_error(one, {"idw": numpy_idw}, n_folds=4, block_size=block_size, seed=0)
        for one in (table, table.isel(sample=order))
    ]
    np.testing.assert_array_equal(results[0]["fold"].values[order], results[1]["fold"])
    np.testing.assert_allclose(results[0]["rmse"], results[1]["rmse"])


# ------------------------------------------------------------------------------ what counts


def test_only_measured_samples_count_but_all_train():
    table, spy = make_table(), Spy()
    table["state"][:10, 0] = STATES["below"]
    table["state"][10:13, 0] = STATES["unknown"]
    table["state"][13:20, 0] = STATES["lost"]
    table["concentration"][13:20, 0] = np.nan
    gap = {"filled": lambda t, like: nearest(t, like).fillna(1.0)}
    result = gridding_error(table, {"spy": spy, **gap}, n_folds=6, seed=0)
    counts = (table["state"] == 0) & np.isfinite(result["prediction"]).all("gridder")
    np.testing.assert_array_equal(result["n"].sel(gridder="spy"), counts.sum("sample"))
    assert np.isnan(result["observed"].values[:20, 0]).all()
    assert np.isfinite(result["observed"].values[20:]).all()
    assert np.isfinite(result["prediction"].sel(gridder="filled")).all()
    trained = np.concatenate([known["sample_id"].values for known, _ in spy.seen])
    assert np.isin(table["sample_id"].values[:20], trained).all()


def test_all_gridders_are_judged_by_the_same_samples():
    table = make_table(30)
    table["concentration"][:5, 0] = 1000.0  # hard ones, which the second gridder evades

    def shy(table, like):
        found = nearest(table, like)
        hidden = xr.DataArray(
            np.isin(like["sample_id"], ["S0", "S1", "S2", "S3", "S4"]), dims="sample"
        )
        return found.where(~hidden)

    result = gridding_error(table, {"bold": nearest, "shy": shy}, n_folds=5, seed=0)
    for name in ("rmse", "mae", "spearman", "n"):
        values = result[name].values
        np.testing.assert_array_equal(values[0], values[1], err_msg=name)
    assert result["n_missing"].sel(gridder="shy").values.tolist() == [5, 5]
    assert result["n"].sel(gridder="bold").values.tolist() == [25, 25]


def test_an_element_that_no_one_reaches_has_no_error():
    def blind(table, like):
        return nearest(table, like).where(table["element"] != "Au")

    one = gridding_error(make_table(), {"blind": blind}, n_folds=5, seed=0).isel(gridder=0)
    au = one.sel(element="Au")
    assert np.isnan([float(au[name]) for name in ("rmse", "bias", "pearson")]).all()
    assert (int(au["n"]), int(au["n_missing"])) == (0, 60)
    assert np.isfinite(one["rmse"].sel(element="Cu"))


def test_log_ratios_have_no_logarithms_and_constants_no_correlation():
    table = make_table().drop_vars("state")
    table["concentration"] = np.log(table["concentration"])
    flat = {"flat": lambda t, like: 0 * nearest(t, like)}
    result = gridding_error(table, {"nearest": nearest} | flat, n_folds=5, seed=0)
    assert np.isnan(result["log_rmse"]).all()
    assert np.isnan(result["pearson"].sel(gridder="flat")).all()
    assert (result["n"] == 60).all()
    np.testing.assert_allclose(
        result["rmse"].sel(gridder="flat"), (table["concentration"] ** 2).mean("sample") ** 0.5
    )


# ------------------------------------------------------------------------------------- result


def test_result_is_a_table_and_survives_netcdf(tmp_path):
    table = make_table()
    result = gridding_error(table, {"b": nearest, "a": numpy_idw}, n_folds=5, seed=3)
    frame = result.drop_dims("sample").to_dataframe()
    assert frame.index.names == ["gridder", "element"]
    assert len(frame) == 4
    assert {"rmse", "mae", "bias", "log_rmse", "pearson", "spearman", "n", "unit"} <= set(frame)
    assert result["gridder"].values.tolist() == ["b", "a"]
    assert result.rio.crs == table.rio.crs
    np.testing.assert_array_equal(result["x"], table["x"])
    assert result.attrs["seed"] == 3
    assert json.loads(result.attrs["parameters"])["gridders"] == ["b", "a"]
    units = {name: array.attrs["units"] for name, array in result.data_vars.items()}
    assert units["rmse"] == "mixed"
    assert units["pearson"] == "1"
    result.to_netcdf(tmp_path / "errors.nc")
    with xr.open_dataset(tmp_path / "errors.nc") as opened:
        xr.testing.assert_allclose(opened["rmse"], result["rmse"])


# ------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"n_folds": 1}, "n_folds=1 must be a whole number of at least 2"),
        ({"n_folds": 2.5}, "n_folds=2.5"),
        ({"n_folds": "ten"}, "n_folds='ten'"),
        ({"n_folds": 61}, "n_folds=61 is more than the 60 places"),
        ({"block_size": 50_000.0}, "1 blocks of block_size=50000.*smaller blocks"),
        ({"block_size": 0.0}, "block_size=0.0 must be a finite length.*positive"),
        ({"block_size": "wide"}, "block_size='wide'"),
        ({"buffer": -1.0}, "buffer=-1.0"),
        ({"buffer": float("nan")}, "buffer=nan"),
        ({"buffer": 20_000.0}, r"fold 0 leaves no training sample of \['Au', 'Cu'\].*buffer=20000"),
    ],
)
def test_wrong_folds_are_named_before_any_gridding(how, message):
    spy = Spy()
    with pytest.raises(GridError, match=message):
        gridding_error(make_table(), {"spy": spy}, seed=0, **how)
    assert not spy.seen


def test_an_element_must_be_left_in_every_fold():
    table = make_table()
    table["concentration"][1:, 1] = np.nan
    with pytest.raises(GridError, match=r"no training sample of \['Cu'\].*drop the element"):
        gridding_error(table, {"nearest": nearest}, seed=0)


def test_one_place_is_no_survey():
    with pytest.raises(GridError, match="more than the 1 places"):
        gridding_error(make_table(1), {"nearest": nearest}, seed=0)
    table = make_table(6)
    table["x"][:], table["y"][:] = 300_000, 4_000_000
    with pytest.raises(GridError, match="more than the 1 places"):
        gridding_error(table, {"nearest": nearest}, seed=0)


def test_tables_are_checked():
    table = make_table()
    with pytest.raises(CubeError, match="from_points"):
        gridding_error(table.drop_vars("concentration"), {"nearest": nearest})
    with pytest.raises(CRSError, match="no CRS"):
        gridding_error(table.drop_vars("spatial_ref"), {"nearest": nearest})
    with pytest.raises(GridError, match="finite"):
        gridding_error(
            table.where(table["x"] > 301_000, drop=False).assign_coords(
                x=table["x"].where(table["x"] > 301_000)
            ),
            {"nearest": nearest},
        )


@pytest.mark.parametrize(
    ("gridders", "message"),
    [
        ({}, "gridders is empty"),
        ([nearest], "gridders is a list; name each"),
        (nearest, "gridders is a function; name each"),
        ({"nearest": "nearest"}, r"gridders \['nearest'\] cannot be called"),
        ({"n": nearest, "k": krige}, r"'k' cannot be .*'variogram'; .*functools\.partial\(krige"),
        ({"blind": lambda table: table}, "'blind' cannot be .*'like'"),
    ],
)
def test_gridders_are_named_functions(gridders, message):
    with pytest.raises(GridError, match=message):
        gridding_error(make_table(), gridders)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda t, like: nearest(t, like).isel(sample=slice(1)), r"'sample': 1"),
        (lambda t, like: nearest(t, like).isel(element=0), "must be"),
        (lambda t, like: nearest(t, like).values, "ndarray"),
        (lambda t, like: nearest(t, like)[::-1], r"other elements: \['Cu', 'Au'\]"),
    ],
)
def test_answers_of_gridders_are_checked(wrong, message):
    with pytest.raises(GridError, match=f"'wrong' returned.*{message}"):
        gridding_error(make_table(), {"wrong": wrong}, seed=0)
