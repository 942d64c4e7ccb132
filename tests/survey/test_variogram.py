"""Variogram models against textbooks and pykrige; empirical ones against a loop; and fits."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pykrige import variogram_models as pykrige
from scipy.special import gamma as gamma_function
from scipy.special import kv

from xgeoanom.errors import CRSError, CubeError, GridError, XGeoAnomError
from xgeoanom.survey.empirical_variogram import empirical_variogram
from xgeoanom.survey.variogram import Structure, Variogram
from xgeoanom.survey.variogram_fit import fit_variogram

H = np.linspace(1.0, 3000.0, 50)
LN20 = np.log(20)
DIRECTIONS = [0, 45, 90, 135]


def test_models_equal_pykrige():
    """Its exponential and Gaussian models reach other shares of the sill at their range."""
    for found, function, reach in [
        (Variogram.spherical(2.0, 1500.0, nugget=0.3), pykrige.spherical_variogram_model, 1),
        (
            Variogram.exponential(2.0, 1500.0, nugget=0.3),
            pykrige.exponential_variogram_model,
            3 / LN20,
        ),
        (
            Variogram.gaussian(2.0, 1500.0, nugget=0.3),
            pykrige.gaussian_variogram_model,
            7 / 4 / np.sqrt(LN20),
        ),
    ]:
        expected = function([2.0, 1500.0 * reach, 0.3], H)
        np.testing.assert_allclose(found.gamma(H), expected, rtol=1e-12)


@pytest.mark.parametrize("nu", [0.1, 0.3, 0.5, 1.0, 1.5, 2.5, 3.7, 9.5, 10.0, 30.0])
def test_matern_equals_bessel_functions(nu):
    covariance = Variogram.matern(1.0, 1000.0, nu=nu).covariance

    def by_scipy(h):
        return 2 ** (1 - nu) / gamma_function(nu) * h**nu * kv(nu, h)

    # Its scale follows from one value; the rest of the curve must follow from that.
    low, high = 1e-9, 100.0
    while high / low > 1 + 1e-13:
        middle = np.sqrt(low * high)
        low, high = (middle, high) if by_scipy(middle) > 0.05 else (low, middle)
    np.testing.assert_allclose(covariance(H), by_scipy(H / 1000 * low), atol=1e-10)


def test_matern_of_one_half_is_exponential_and_of_many_nearly_gaussian():
    exponential, gaussian = Variogram.exponential(1.0, 900.0), Variogram.gaussian(1.0, 900.0)
    half, many = (Variogram.matern(1.0, 900.0, nu=nu) for nu in (0.5, 49.9))
    np.testing.assert_allclose(half.gamma(H), exponential.gamma(H), atol=1e-10)
    np.testing.assert_allclose(many.gamma(H), gaussian.gamma(H), atol=0.01)


@given(
    model=st.sampled_from(["spherical", "exponential", "gaussian", "matern"]),
    sill=st.floats(0.01, 1e4),
    reach=st.floats(1.0, 1e6),
    nugget=st.floats(0.0, 100.0),
    ratio=st.floats(0.05, 1.0),
    azimuth=st.floats(-360.0, 360.0),
)
def test_effective_range_along_and_across(model, sill, reach, nugget, ratio, azimuth):
    nu = 1.3 if model == "matern" else None
    variogram = Variogram(nugget, [Structure(model, sill, reach, ratio, azimuth, nu)])
    sin, cos = np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))
    share = 1.0 if model == "spherical" else 0.95
    expected = nugget + share * sill
    for distance in (reach, -reach):
        along = variogram.gamma(distance * sin, distance * cos)
        across = variogram.gamma(distance * ratio * cos, -distance * ratio * sin)
        np.testing.assert_allclose([along, across], expected, rtol=1e-6)
    assert variogram.gamma(0.0) == 0
    assert variogram.covariance(0.0, 0.0) == variogram.sill
    np.testing.assert_allclose(variogram.gamma(100 * reach), variogram.sill, rtol=1e-6)


def test_nested_structures_add_up():
    parts = Variogram.spherical(1.0, 500.0, nugget=0.2), Variogram.gaussian(2.0, 2000.0, nugget=0.1)
    both = parts[0] + parts[1]
    assert both.nugget == pytest.approx(0.3)
    assert both.sill == pytest.approx(3.3)
    np.testing.assert_allclose(both.gamma(H), parts[0].gamma(H) + parts[1].gamma(H))


def test_offsets_broadcast():
    variogram = Variogram.spherical(1.0, 500.0, ratio=0.5, azimuth=90.0)
    found = variogram.gamma([[100.0], [200.0]], [0.0, 50.0, 100.0])
    assert found.shape == (2, 3)
    assert found[1, 2] == variogram.gamma(200.0, 100.0)


def test_is_a_value():
    one = Variogram(0.1, [Structure("matern", 1.0, 500.0, nu=1.5)])
    assert one == Variogram.matern(1.0, 500.0, nu=1.5, nugget=0.1)
    assert hash(one) == hash(Variogram.matern(1.0, 500.0, nu=1.5, nugget=0.1))
    assert eval(repr(one)) == one
    assert str(one) == "0.1 nugget + 1 matern (nu 1.5) 500"
    assert str(Variogram.spherical(1.0, 800.0, ratio=0.5, azimuth=30.0)) == (
        "1 spherical 800 along 30°, 400 across"
    )
    with pytest.raises(AttributeError):
        one.nugget = 2.0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Variogram(), "no variance"),
        (lambda: Variogram(-1.0), "nugget=-1.0"),
        (lambda: Variogram(np.nan), "nugget=nan"),
        (lambda: Variogram("0.1"), "nugget='0.1'"),
        (lambda: Variogram(0.1, "spherical"), "structures='spherical'"),
        (lambda: Variogram(0.1, [("spherical", 1.0, 5.0)]), "list of Structure"),
        (lambda: Variogram.spherical(0.0, 500.0), "partial_sill=0.0"),
        (lambda: Variogram.spherical(1.0, -500.0), "effective_range=-500.0"),
        (lambda: Variogram.spherical(1.0, 500.0, ratio=2.0), "ratio=2.0.*at most 1"),
        (lambda: Variogram.spherical(1.0, 500.0, azimuth=np.inf), "azimuth=inf"),
        (lambda: Variogram.matern(1.0, 500.0, nu=0.0), "nu=0.0"),
        (lambda: Structure("matern", 1.0, 500.0), "nu=None.*nu=1.5"),
        (lambda: Structure("spherical", 1.0, 500.0, nu=1.5), "nu=1.5"),
        (lambda: Structure("cubic", 1.0, 500.0), "model='cubic' is none of"),
    ],
)
def test_bad_variograms(make, says):
    with pytest.raises(XGeoAnomError, match=says):
        make()


def survey(n=80, seed=0, variogram=None, extent=10_000.0):
    """Return a survey of two elements; with a variogram, the first one is a Gaussian field."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, extent, (2, n))
    values = rng.lognormal(size=(n, 2))
    if variogram is not None:
        covariance = variogram.covariance(x[:, None] - x, y[:, None] - y) + 1e-9 * np.eye(n)
        values[:, 0] = np.linalg.cholesky(covariance) @ rng.normal(size=n)
    return xr.Dataset(
        {"concentration": (("sample", "element"), values)},
        {
            "x": ("sample", 500_000 + x),
            "y": ("sample", 4_000_000 + y),
            "element": ["Au", "Cu"],
            "unit": ("element", ["ppb", "ppm"]),
        },
    ).rio.write_crs(32645)


def by_loop(table, element, lag, n_lags, azimuth=None, tolerance=22.5, robust=False):
    """Return gamma, mean distance and number of pairs, from the matrix of all pairs."""
    one = table.sel(element=element).dropna("sample")
    i, j = np.triu_indices(one.sizes["sample"], 1)
    dx, dy = (one[name].values[i] - one[name].values[j] for name in "xy")
    h = np.hypot(dx, dy)
    difference = abs(one["concentration"].values[i] - one["concentration"].values[j])
    off = np.zeros_like(h)
    if azimuth is not None:
        off = abs((np.degrees(np.arctan2(dx, dy)) - azimuth + 90) % 180 - 90)
    out = np.full((3, n_lags), np.nan)
    for b in range(n_lags):
        at = (h > 0) & (h >= b * lag) & (h < (b + 1) * lag) & (off <= tolerance * (off > 0))
        out[2, b] = n = at.sum()
        if n and robust:
            out[0, b] = np.sqrt(difference[at]).mean() ** 4 / (0.457 + 0.494 / n) / 2
        elif n:
            out[0, b] = (difference[at] ** 2).mean() / 2
        if n:
            out[1, b] = h[at].mean()
    return out


@pytest.mark.parametrize("azimuth", [None, 30.0, 170.0])
@pytest.mark.parametrize("estimator", ["matheron", "cressie"])
def test_empirical_equals_loop(azimuth, estimator):
    table = survey()
    table["concentration"][7:20, 1] = np.nan
    table["x"][3], table["y"][3] = table["x"][5], table["y"][5]  # these do not count
    found = empirical_variogram(
        table, "Cu", lag=400.0, n_lags=12, azimuth=azimuth, estimator=estimator
    )
    expected = by_loop(table, "Cu", 400.0, 12, azimuth, robust=estimator == "cressie")
    for name, column in zip(("gamma", "distance", "n_pairs"), expected):
        assert found[name].dims == ("lag",)
        np.testing.assert_allclose(found[name], column, rtol=1e-9, err_msg=name)
    np.testing.assert_array_equal(found["lag"], 200.0 + 400.0 * np.arange(12))


def test_several_directions_are_each_as_if_alone():
    table = survey()
    found = empirical_variogram(table, "Au", azimuth=DIRECTIONS)
    assert found["gamma"].dims == ("azimuth", "lag")
    for azimuth in DIRECTIONS:
        alone = empirical_variogram(table, "Au", azimuth=azimuth)
        xr.testing.assert_equal(found.sel(azimuth=azimuth), alone)
    # Four directions of 22.5° either way hold every pair once.
    whole = empirical_variogram(table, "Au")
    np.testing.assert_array_equal(found["n_pairs"].sum("azimuth"), whole["n_pairs"])


def test_default_lags_reach_a_third_of_the_diagonal():
    table = survey()
    diagonal = np.hypot(*(np.ptp(table[name].values) for name in "xy"))
    found = empirical_variogram(table, "Au", n_lags=10)
    np.testing.assert_allclose(found["lag"], (np.arange(10) + 0.5) * diagonal / 30)


def test_logarithms():
    table = survey()
    found = empirical_variogram(table, "Cu", log=True)
    logs = table.assign(concentration=np.log(table["concentration"]))
    xr.testing.assert_allclose(found, empirical_variogram(logs, "Cu"))
    assert (found["gamma"].attrs["units"], found["distance"].attrs["units"]) == ("1", "CRS units")
    assert empirical_variogram(table, "Cu")["gamma"].attrs["units"] == "(ppm)²"


def test_many_samples_are_thinned_on_one_side_of_a_pair(monkeypatch):
    table = survey(600, variogram=Variogram.spherical(1.0, 4000.0, nugget=0.1))
    whole = empirical_variogram(table, "Au")
    monkeypatch.setitem(empirical_variogram.__globals__, "MOST_PAIRS", 600**2 / 2 / 4)
    thin = empirical_variogram(table, "Au")
    assert (whole.attrs["step"], thin.attrs["step"]) == (1, 4)
    share = thin["n_pairs"].sum() / whole["n_pairs"].sum()
    assert 0.24 < share < 0.26
    assert abs(thin["gamma"] / whole["gamma"] - 1).mean() < 0.1


def test_values_below_detection_are_warned_of():
    table = survey()
    table["state"] = ("sample", "element"), np.zeros((80, 2), dtype="int8")
    table["state"][4, 1] = 1
    empirical_variogram(table, "Au")
    with pytest.warns(UserWarning, match="1 values below detection"):
        empirical_variogram(table, "Cu")


def test_survives_netcdf_and_leaves_its_input(tmp_path):
    table = survey()
    before = table.copy(deep=True)
    found = empirical_variogram(table, "Au", azimuth=DIRECTIONS)
    xr.testing.assert_identical(table, before)
    found.to_netcdf(tmp_path / "variogram.nc")
    with xr.open_dataset(tmp_path / "variogram.nc") as back:
        xr.testing.assert_equal(back.load(), found)
        assert json.loads(back.attrs["parameters"])["azimuth"] == DIRECTIONS
        assert fit_variogram(back) == fit_variogram(found)


def lonely(**changes):
    return survey().assign_coords({name: ("sample", np.full(80, 5.0)) for name in changes})


@pytest.mark.parametrize(
    ("table", "arguments", "error", "says"),
    [
        (survey(), {"element": "Zz"}, CubeError, "'Zz' is not in the table"),
        (survey(), {"lag": 0.0}, GridError, "lag=0.0"),
        (survey(), {"n_lags": 1.5}, GridError, "n_lags=1.5"),
        (survey(), {"azimuth": "north"}, GridError, "azimuth='north'"),
        (survey(), {"tolerance": 0.0}, XGeoAnomError, "tolerance=0.0"),
        (survey(), {"estimator": "mean"}, XGeoAnomError, "estimator='mean'"),
        (survey(1), {}, CubeError, "no two samples"),
        (lonely(x=5.0, y=5.0), {}, CubeError, "no two samples"),
        (survey().rio.write_crs(4326), {}, CRSError, "degrees"),
        (survey() - 1, {"log": True}, CubeError, "not positive; see replace_censored"),
    ],
)
def test_bad_arguments(table, arguments, error, says):
    with pytest.raises(error, match=says):
        empirical_variogram(table, **{"element": "Au", **arguments})


def curve(variogram, azimuths=None, n_pairs=100):
    """Return an empirical variogram that is its model, at 14 distances."""
    h = np.arange(150.0, 4300.0, 300.0)
    angles = np.radians([0.0] if azimuths is None else azimuths)[:, None]
    gamma = variogram.gamma(h * np.sin(angles), h * np.cos(angles))
    if azimuths is None:
        columns, dims, coords = gamma[0], ("lag",), {"lag": h}
    else:
        columns, dims, coords = gamma, ("azimuth", "lag"), {"lag": h, "azimuth": azimuths}
    gamma = xr.DataArray(columns, coords, dims)
    return xr.Dataset(
        {"gamma": gamma, "distance": xr.ones_like(gamma) * h, "n_pairs": gamma * 0 + n_pairs}
    )


@settings(max_examples=15)
@given(
    model=st.sampled_from(["spherical", "exponential", "gaussian", "matern"]),
    sill=st.floats(0.1, 100.0),
    reach=st.floats(800.0, 4000.0),
    share=st.floats(0.0, 0.6),
)
def test_fit_recovers_its_model(model, sill, reach, share):
    nu = 1.5 if model == "matern" else None
    nugget = share * sill if share > 0.01 else 0.0
    variogram = Variogram(nugget, [Structure(model, sill, reach, nu=nu)])
    found = fit_variogram(curve(variogram), model, nu=nu)
    np.testing.assert_allclose(found.gamma(H), variogram.gamma(H), rtol=1e-3, atol=1e-4 * sill)
    assert found.structures[0].effective_range == pytest.approx(reach, rel=1e-2)


@pytest.mark.parametrize("azimuth", [0.0, 30.0, 80.0, 135.0])
@pytest.mark.parametrize("ratio", [0.3, 0.8])
def test_fit_recovers_anisotropy(azimuth, ratio):
    variogram = Variogram.exponential(2.0, 3000.0, nugget=0.4, ratio=ratio, azimuth=azimuth)
    part = fit_variogram(curve(variogram, DIRECTIONS), "exponential").structures[0]
    turn = (part.azimuth - azimuth + 90) % 180 - 90
    assert abs(turn) < 0.5
    assert part.ratio == pytest.approx(ratio, rel=1e-2)
    assert part.effective_range == pytest.approx(3000.0, rel=1e-2)


def test_fit_recovers_nested_structures():
    variogram = Variogram.spherical(1.0, 700.0, nugget=0.2) + Variogram.spherical(2.0, 3500.0)
    found = fit_variogram(curve(variogram), nested=2)
    assert [part.effective_range for part in found.structures] == pytest.approx(
        [700.0, 3500.0], rel=1e-2
    )
    # A third one finds nothing to add, but nearer than the first class it may pass for nugget.
    again = fit_variogram(curve(variogram), nested=3)
    told = H[H > 150]
    np.testing.assert_allclose(again.gamma(told), variogram.gamma(told), rtol=1e-2)


def test_fit_of_a_simulated_field():
    variogram = Variogram.spherical(1.0, 2000.0, nugget=0.3, ratio=0.4, azimuth=60.0)
    found = []
    for seed in range(4):
        table = survey(900, seed, variogram, 20_000.0)
        found.append(fit_variogram(empirical_variogram(table, "Au", azimuth=DIRECTIONS, lag=300.0)))
    parts = [one.structures[0] for one in found]
    assert np.median([one.sill for one in found]) == pytest.approx(1.3, rel=0.15)
    assert np.median([part.effective_range for part in parts]) == pytest.approx(2000.0, rel=0.25)
    assert np.median([part.ratio for part in parts]) == pytest.approx(0.4, abs=0.15)
    assert np.median([part.azimuth for part in parts]) == pytest.approx(60.0, abs=12)


def test_pairs_weigh_and_empty_classes_do_not_count():
    variogram = Variogram.spherical(1.0, 2000.0, nugget=0.3)
    empirical = curve(variogram)
    spoilt = empirical.copy(deep=True)
    spoilt["gamma"][4], spoilt["n_pairs"][4] = 50.0, 1e-9
    spoilt["gamma"][5], spoilt["n_pairs"][5] = np.nan, 0
    spoilt["distance"][5] = np.nan
    found = fit_variogram(spoilt)
    np.testing.assert_allclose(found.gamma(H), variogram.gamma(H), rtol=1e-2)


def test_nothing_but_nugget():
    found = fit_variogram(curve(Variogram(0.7)))
    np.testing.assert_allclose(found.gamma(H), 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    ("empirical", "arguments", "error", "says"),
    [
        (curve(Variogram(1.0)), {"model": "cubic"}, XGeoAnomError, "model='cubic'"),
        (curve(Variogram(1.0)), {"model": "matern"}, XGeoAnomError, "nu=None"),
        (curve(Variogram(1.0)), {"nested": 0}, GridError, "nested=0"),
        (curve(Variogram(1.0)).isel(lag=[0, 1]), {}, GridError, "2 classes.*3 parameters"),
        (curve(Variogram(1.0), [0, 90]), {}, GridError, "three directions"),
        (curve(Variogram(1.0), n_pairs=0), {}, GridError, "0 classes"),
    ],
)
def test_bad_fits(empirical, arguments, error, says):
    with pytest.raises(error, match=says):
        fit_variogram(empirical, **arguments)


def test_element_that_does_not_vary():
    table = survey()
    table["concentration"][:, 0] = 3.0
    with pytest.raises(XGeoAnomError, match="does not vary"):
        fit_variogram(empirical_variogram(table, "Au"))
