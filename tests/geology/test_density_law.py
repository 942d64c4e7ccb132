"""The density-distance law against the archive, scikit-learn, polyfit and simulated deposits."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from georeferenced import assert_georeferenced
from scipy.optimize import curve_fit, minimize
from scipy.stats import chi2
from sklearn.linear_model import PoissonRegressor

from xgeoanom.datasets.remote import tianshan
from xgeoanom.errors import CRSError, EvidenceError, GridError, LabelError
from xgeoanom.geology.density_law import DensityLaw, density_law
from xgeoanom.geology.evidence import distance_to
from xgeoanom.geology.labels import draw_background, label_deposits

EDGES = np.arange(0, 12_001, 1000.0)
RINGS = np.arange(1, 13)
DEPOSITS = [  # (row, column) in the archive
    *[(5, 51), (26, 100), (36, 126), (42, 159), (44, 87)],
    *[(45, 87), (45, 175), (59, 177), (70, 232), (91, 241)],
]


@pytest.fixture(scope="module")
def distance():
    """Distance to two faults on 30 x 40 km; a corner is unknown."""
    coords = {"y": 4e6 - 500.0 * np.arange(60), "x": 3e5 + 500.0 * np.arange(80)}
    grid = xr.DataArray(np.zeros((60, 80)), coords, ("y", "x")).rio.write_crs(32650)
    faults = [
        shapely.LineString([(2.9e5, 3.97e6), (3.2e5, 3.99e6), (3.5e5, 3.985e6)]),
        shapely.LineString([(3.3e5, 4e6), (3.31e5, 3.98e6)]),
    ]
    distance = distance_to(gpd.GeoDataFrame(geometry=faults, crs=32650), grid)
    return distance.where((grid["x"] > 302_000) | (grid["y"] < 3_998_000))


def simulate(distance, exponent, n, seed):
    """Draw about ``n`` deposits whose density follows the law, up to the last ring."""
    rng = np.random.default_rng(seed)
    values = distance.values
    density = np.where(values <= EDGES[-1], np.maximum(values, EDGES[1]) ** exponent, 0)
    cells = rng.choice(values.size, rng.poisson(n), p=(density / density.sum()).ravel())
    rows, cols = np.unravel_index(cells, values.shape)
    return points(distance["x"].values[cols], distance["y"].values[rows])


def points(x, y, crs=32650):
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=crs)


# ------------------------------------------------------------------------------ the archive


@pytest.fixture(scope="module")
def archive(real_data):
    """Return the weight map, its ring numbers in place of distances, and the ten deposits."""
    weight = tianshan("none", masked=False)["fault_weight"]
    twelve = np.unique(weight.values)[::-1]
    ring = weight.copy(data=1.0 + np.searchsorted(-twelve, -weight.values))
    rows, cols = np.array(DEPOSITS).T
    deposits = points(ring["x"].values[cols], ring["y"].values[rows], crs=32645)
    return weight, ring, deposits


def scaled_power(ring, exponent):
    """The paper's weight, scaled from the last ring, 0, to the first, 1."""
    last = 12.0**exponent
    return (ring**exponent - last) / (1 - last)


def test_archive_has_exponent_046(archive):
    weight, ring, _ = archive
    twelve = np.unique(weight.values)[::-1].astype(float)
    assert twelve.size == 12
    (exponent,), _ = curve_fit(scaled_power, RINGS, twelve, p0=[-1.0])
    assert round(exponent, 2) == -0.46
    assert abs(scaled_power(RINGS, exponent) - twelve).max() < 1e-7
    law = DensityLaw(exponent, np.nan, np.nan, 1.0, 0.9, "cumulative", ring_table())
    ours = law.weight(ring)
    ours = (ours - ours.min()) / (ours.max() - ours.min())
    np.testing.assert_allclose(ours, weight, atol=1e-7)


def ring_table():
    return xr.Dataset({"outer": ("ring", RINGS.astype(float))})


def test_archive_has_few_deposits_for_a_law(archive):
    _, ring, deposits = archive
    law = density_law(ring, deposits, rings=np.arange(13), estimator="cumulative", seed=0)
    assert law.table["n_deposits"].values.tolist() == [6, 2, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    assert round(law.exponent, 2) == -0.29
    assert law.low < law.exponent < law.high
    np.testing.assert_allclose(law.table["distance"], RINGS)
    assert int(law.table["area"].sum()) == 117 * 289 * 1_000_000
    blocks = density_law(
        ring, label_deposits(deposits, ring), rings=np.arange(13), estimator="cumulative", seed=0
    )
    assert int(blocks.table["n_deposits"].sum()) == 10


def test_ground_without_values_does_not_count(archive):
    _, ring, deposits = archive
    support = tianshan("none")["support"]
    law = density_law(
        ring.where(support), deposits, rings=np.arange(13), estimator="cumulative", seed=0
    )
    np.testing.assert_array_equal(
        law.table["area"], 1e6 * np.bincount(ring.values[support.values].astype(int))[1:]
    )
    assert int(law.table["n_deposits"].sum()) == 10  # all on supported ground


# -------------------------------------------------------------------------------- the table


def test_table_counts_cell_by_cell(distance):
    deposits = simulate(distance, -1.0, 60, 1)
    table = density_law(distance, deposits, rings=EDGES, estimator="poisson").table
    known = distance.values[np.isfinite(distance.values)]
    found = distance.sel(x=deposits.geometry.x.to_xarray(), y=deposits.geometry.y.to_xarray())
    for ring in range(12):
        inner, outer = EDGES[ring], EDGES[ring + 1]
        in_ring = (known <= outer) & ((known > inner) | (ring == 0))
        here = ((found <= outer) & ((found > inner) | (ring == 0))).sum()
        row = table.isel(ring=ring)
        assert (row["inner"], row["outer"]) == (inner, outer)
        assert row["n_deposits"] == here
        assert row["area"] == 250_000 * in_ring.sum()
        mean = np.exp(np.log(np.maximum(known[in_ring], 1000)).mean())
        np.testing.assert_allclose(row["distance"], mean)
        np.testing.assert_allclose(row["density"], here / row["area"])
    assert int(table["n_deposits"].sum()) == len(deposits)
    np.testing.assert_allclose(
        table["cumulative_density"], table["n_deposits"].cumsum() / table["area"].cumsum()
    )


def test_rings_by_number_reach_the_farthest_cell(distance):
    table = density_law(distance, simulate(distance, -1.0, 60, 1), rings=5, seed=0).table
    np.testing.assert_allclose(table["outer"], np.nanmax(distance) * np.arange(1, 6) / 5)
    assert table["area"].sum() == 250_000 * np.isfinite(distance).sum()


def test_a_ring_without_cells_is_left_out(distance):
    bare = distance.where((distance < 3000) | (distance > 5000))
    deposits = simulate(bare.fillna(1e6), -1.0, 60, 1)
    for estimator in ("cumulative", "rings", "poisson"):
        law = density_law(bare, deposits, rings=EDGES, estimator=estimator, seed=0)
        assert np.isfinite([law.exponent, law.low, law.high, law.coefficient]).all()
    assert law.table["area"].values[3] == 0
    assert np.isnan(law.table["distance"].values[3])


def test_deposits_in_labels_count_once(distance):
    deposits = simulate(distance, -1.0, 30, 1).drop_duplicates("geometry")
    law = density_law(distance, deposits, rings=EDGES, estimator="poisson")
    labels = draw_background(label_deposits(deposits, distance, radius_cells=0), seed=0)
    same = density_law(distance, labels, rings=EDGES, estimator="poisson")
    assert same.exponent == law.exponent
    xr.testing.assert_identical(same.table, law.table)
    held_out = labels.where(labels["deposit"] != 0, -1).astype("int8")
    fewer = density_law(distance, held_out, rings=EDGES, estimator="poisson")
    assert int(fewer.table["n_deposits"].sum()) == len(deposits) - 1


def test_deposits_off_the_ground_are_left_out(distance):
    deposits = simulate(distance, -1.0, 30, 1)
    law = density_law(distance, deposits, rings=EDGES, estimator="poisson")
    # Off the grid, on unknown ground, and beyond the last ring.
    far = distance.where(distance > 12_000).stack(cell=("y", "x")).dropna("cell")[0]
    lost = points([0.0, 300_000.0, float(far["x"])], [0.0, 4e6, float(far["y"])])
    more = gpd.GeoDataFrame(geometry=[*deposits.geometry, *lost.geometry], crs=32650)
    with pytest.warns(UserWarning, match=f"3 of {len(more)} deposits") as warned:
        same = density_law(distance, more, rings=EDGES, estimator="poisson")
    assert warned[0].filename == __file__
    xr.testing.assert_identical(same.table, law.table)


# --------------------------------------------------------------------------------- the fits


@pytest.mark.parametrize("n", [8, 30, 200])
def test_least_squares_is_polyfit(distance, n):
    deposits = simulate(distance, -1.0, n, n)
    for estimator in ("cumulative", "rings"):
        law = density_law(distance, deposits, rings=EDGES, estimator=estimator, seed=0)
        names = {"cumulative": ("outer", "cumulative_density"), "rings": ("distance", "density")}
        d, density = (law.table[name].values for name in names[estimator])
        line = np.polyfit(np.log(d[density > 0]), np.log(density[density > 0]), 1)
        np.testing.assert_allclose([law.exponent, np.log(law.coefficient)], line)


@pytest.mark.parametrize("estimator", ["cumulative", "rings"])
def test_bootstrap_draws_deposits(distance, estimator):
    deposits = simulate(distance, -1.0, 40, 3)
    law = density_law(distance, deposits, rings=EDGES, estimator=estimator, seed=0)
    rng = np.random.default_rng(0)
    slopes = [
        density_law(
            distance,
            deposits.iloc[rng.integers(0, len(deposits), len(deposits))],
            rings=EDGES,
            estimator=estimator,
            n_boot=1,
            seed=0,
        ).exponent
        for _ in range(300)
    ]
    off = np.subtract([law.low, law.high], np.quantile(slopes, [0.05, 0.95]))
    assert abs(off).max() < 0.3 * np.std(slopes)
    again = density_law(distance, deposits, rings=EDGES, estimator=estimator, seed=0)
    assert (again.low, again.high) == (law.low, law.high)
    narrow = density_law(distance, deposits, rings=EDGES, estimator=estimator, level=0.5, seed=0)
    assert law.low < narrow.low < narrow.high < law.high


@pytest.mark.parametrize(("n", "exponent"), [(8, -1.0), (30, -0.5), (200, -2.0), (60, 0.7)])
def test_poisson_is_a_generalised_linear_model(distance, n, exponent):
    law = density_law(
        distance, simulate(distance, exponent, n, n), rings=EDGES, estimator="poisson"
    )
    counts, area, d = (law.table[name].values for name in ("n_deposits", "area", "distance"))
    oracle = PoissonRegressor(alpha=0, tol=1e-12, max_iter=10_000)
    log_d = np.log(d / d[0])[:, None]
    oracle.fit(log_d, counts / (area / 1e6), sample_weight=area / 1e6)
    np.testing.assert_allclose(law.exponent, oracle.coef_[0], atol=1e-4)
    at_first = np.log(law.coefficient) + law.exponent * np.log(d[0])
    np.testing.assert_allclose(at_first, oracle.intercept_ - np.log(1e6), atol=1e-4)


def test_poisson_bounds_are_where_the_profile_likelihood_falls(distance):
    law = density_law(distance, simulate(distance, -1.0, 30, 3), rings=EDGES, estimator="poisson")
    counts, area, d = (law.table[name].values for name in ("n_deposits", "area", "distance"))

    def loss(log_n, k):
        expected = area / 1e6 * np.exp(log_n) * (d / 1000) ** k
        return expected.sum() - counts @ np.log(expected)

    best, low, high = (
        minimize(loss, 0.0, args=(k,)).fun for k in (law.exponent, law.low, law.high)
    )
    np.testing.assert_allclose([low - best, high - best], chi2.ppf(0.9, 1) / 2, rtol=1e-4)
    wider = density_law(
        *(distance, simulate(distance, -1.0, 30, 3)), rings=EDGES, estimator="poisson", level=0.99
    )
    assert wider.low < law.low < law.exponent < law.high < wider.high


@pytest.mark.parametrize("exponent", [-1.5, -0.5, 0.0])
def test_poisson_interval_holds_the_truth(distance, exponent):
    laws = [
        density_law(
            distance, simulate(distance, exponent, 40, seed), rings=EDGES, estimator="poisson"
        )
        for seed in range(60)
    ]
    held = sum(law.low <= exponent <= law.high for law in laws)
    assert 47 <= held <= 59  # of a binomial with 0.9: all but 0.4 % and 0.2 %
    error = np.array([law.exponent for law in laws]) - exponent
    assert abs(error.mean()) < 3 * error.std() / np.sqrt(60)


@pytest.mark.parametrize(
    ("estimator", "n", "flat", "most_held"),
    [("cumulative", 40, -0.45, 0), ("rings", 10, -0.25, 20)],
)
def test_least_squares_comes_out_flat(distance, estimator, n, flat, most_held):
    """What the docstring warns of: neither finds the law, k = -1, that made the deposits."""
    options = {"rings": EDGES, "estimator": estimator, "n_boot": 200, "seed": 0}
    laws = [
        density_law(distance, simulate(distance, -1.0, n, seed), **options) for seed in range(40)
    ]
    assert abs(np.mean([law.exponent for law in laws]) - flat) < 0.15
    assert sum(law.low <= -1 <= law.high for law in laws) <= most_held


# ------------------------------------------------------------------------------- the weight


@pytest.mark.parametrize("descending", [True, False])
def test_weight_is_the_density_over_its_maximum(distance, descending, no_compute):
    raster = distance if descending else distance.sortby("y")
    law = density_law(
        distance, simulate(distance, -1.0, 40, 3), rings=EDGES, estimator="cumulative", seed=0
    )
    weight = law.weight(raster)
    assert_georeferenced(weight, raster)
    assert weight.name == "fault_weight"
    d = raster.values
    naive = np.where(d <= 1000, 1.0, (np.where(d > 0, d, 1) / 1000) ** law.exponent)
    np.testing.assert_allclose(weight, np.where(np.isnan(d), np.nan, naive))
    with no_compute():
        lazy = law.weight(raster.chunk(y=20))
    xr.testing.assert_identical(lazy.compute(), weight)
    xr.testing.assert_identical(law.weight(raster.transpose("x", "y")), weight)


def test_weight_rises_where_deposits_shun_faults(distance):
    law = density_law(distance, simulate(distance, 2.0, 60, 3), rings=EDGES, estimator="poisson")
    assert law.low > 0
    with pytest.warns(UserWarning, match="not negative"):
        weight = law.weight(distance).values
    known = np.isfinite(distance.values)
    assert (weight[distance.values >= 12_000] == 1).all()
    assert ((weight > 0) & (weight <= 1) | ~known).all()
    assert weight[known & (distance.values < 1000)].max() < 0.1


# ----------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": "median"}, "estimator='median'"),
        ({"level": 1.0}, "level=1.0"),
        ({"n_boot": 0}, "n_boot=0"),
        ({"rings": 1}, "rings=1"),
        ({"rings": [0, 1000]}, "rings="),
        ({"rings": [500, 1000, 2000]}, "rise from 0"),
        ({"rings": [0, 2000, 1000]}, "rise from 0"),
        ({"rings": [0, 1000, np.inf]}, "rise from 0"),
        ({"rings": "many"}, "rings='many'"),
        ({"rings": [0, 50_000, 60_000]}, "in 1 of the 2 rings"),
    ],
)
def test_wrong_arguments_are_refused(distance, arguments, message):
    with pytest.raises(EvidenceError, match=message):
        density_law(distance, simulate(distance, -1.0, 20, 1), **arguments)


def test_wrong_distances_are_refused(distance):
    deposits = simulate(distance, -1.0, 20, 1)
    for wrong, message in [
        (None, "NoneType"),
        (distance[0], "not a raster"),
        (-distance, "negative"),
        (distance / 0, "infinite"),
        (distance.where(False), "NaN or 0 everywhere"),
        (distance * 0, "NaN or 0 everywhere"),
    ]:
        with pytest.raises(EvidenceError, match=message):
            density_law(wrong, deposits)
    law = density_law(distance, deposits, seed=0)
    with pytest.raises(EvidenceError, match="not a raster"):
        law.weight(distance.expand_dims(element=["Au"]))


def test_wrong_deposits_are_refused(distance):
    deposits = simulate(distance, -1.0, 20, 1)
    labels = label_deposits(deposits, distance)
    for wrong, error, message in [
        (None, LabelError, "NoneType"),
        (deposits.iloc[:0], LabelError, "empty"),
        (deposits.set_geometry(deposits.buffer(9)), LabelError, "no points"),
        (deposits.to_crs(32651), CRSError, "to_crs"),
        (labels[1:], GridError, "another grid"),
        (labels.where(labels != 1, -1), LabelError, "no deposit"),
        (deposits.iloc[:1], EvidenceError, "1 deposits lie in 1 of the 12 rings"),
    ]:
        with pytest.raises(error, match=message):
            density_law(distance, wrong)
