"""The simulated district: reproducible, realistic in numbers, and neither hopeless nor a gift."""

import json

import numpy as np
import pytest
import xarray as xr
from districts import SMALL, cell_centres, honest, places
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.stats import skew
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from xgeoanom.datasets import simulated_geology as geology
from xgeoanom.datasets.synthetic import SyntheticSurvey, synthetic_survey
from xgeoanom.errors import GridError, LabelError

ANALYTES = (
    "Ag Al2O3 As Au B Ba Be Bi CaO Cd Co Cr Cu F Fe2O3 Hg K2O La Li MgO Mn Mo Na2O Nb Ni P Pb Sb "
    "SiO2 Sn Sr Th Ti U V W Y Zn Zr"
).split()


@pytest.fixture(scope="module")
def small() -> SyntheticSurvey:
    return synthetic_survey(0, **SMALL)


@pytest.fixture(scope="module")
def districts() -> list[SyntheticSurvey]:
    return [synthetic_survey(seed) for seed in range(8)]


def gridded(district: SyntheticSurvey) -> np.ndarray:
    """Inverse distances, twelve neighbours, written without the package."""
    survey = district.survey
    samples = cKDTree(np.column_stack([survey["x"], survey["y"]]))
    distance, index = samples.query(cell_centres(district), k=12)
    weight = distance**-2.0
    values = np.einsum("ck,cke->ec", weight, survey["concentration"].values[index])
    return values / weight.sum(axis=1)


def standard_clr(concentration: np.ndarray) -> np.ndarray:
    logs = np.log(concentration.reshape(len(concentration), -1))
    clr = logs - logs.mean(axis=0)
    return (clr - clr.mean(axis=1, keepdims=True)) / clr.std(axis=1, keepdims=True)


def nearest_truth(district: SyntheticSurvey) -> np.ndarray:
    at = {name: district.survey[name] for name in ("x", "y")}
    return district.truth["concentration"].sel(at, method="nearest").transpose("sample", ...).values


# Reproducibility


def test_same_seed_same_district_and_seed_zero_counts(small: SyntheticSurvey) -> None:
    again, other = synthetic_survey(0, **SMALL), synthetic_survey(1, **SMALL)
    xr.testing.assert_identical(again.survey, small.survey)
    xr.testing.assert_identical(again.truth, small.truth)
    assert again.deposits.equals(small.deposits)
    assert again.faults.equals(small.faults)
    assert not np.allclose(other.truth["concentration"], small.truth["concentration"])


def test_no_seed_is_random_but_recorded() -> None:
    first, second = (synthetic_survey(shape=(24, 24), n_deposits=1) for _ in range(2))
    assert first.truth.attrs["seed"] != second.truth.attrs["seed"]
    again = synthetic_survey(first.truth.attrs["seed"], shape=(24, 24), n_deposits=1)
    xr.testing.assert_identical(again.survey, first.survey)


def test_generator_is_a_seed() -> None:
    first, second = (
        synthetic_survey(np.random.default_rng(3), shape=(24, 24), n_deposits=1) for _ in range(2)
    )
    xr.testing.assert_identical(first.truth, second.truth)


def test_global_random_state_is_left_alone() -> None:
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    synthetic_survey(0, shape=(24, 24), n_deposits=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_sampling_does_not_change_the_geology(small: SyntheticSurvey) -> None:
    dense = synthetic_survey(0, **SMALL, sample_spacing=1000)
    xr.testing.assert_equal(dense.truth, small.truth)
    assert dense.survey.sizes["sample"] > 3 * small.survey.sizes["sample"]


def test_halo_strength_changes_only_the_haloes(small: SyntheticSurvey) -> None:
    bare = synthetic_survey(0, **SMALL, halo_strength=0)
    assert bare.deposits.geometry.equals(small.deposits.geometry)
    assert (bare.truth["enrichment"] == 0).all()
    xr.testing.assert_equal(bare.truth["lookalike"], small.truth["lookalike"])
    ratio = np.log(small.truth["concentration"] / bare.truth["concentration"]).sel(element="As")
    assert (ratio >= 0).all()
    assert np.corrcoef(ratio.values.ravel(), small.truth["enrichment"].values.ravel())[0, 1] > 0.9


# Form


def test_survey_is_a_survey_table(small: SyntheticSurvey) -> None:
    survey = small.survey
    assert survey["concentration"].dims == survey["state"].dims == ("sample", "element")
    assert survey["concentration"].dtype == "float64"
    assert survey["state"].dtype == "int8"
    assert list(survey["element"].values) == ANALYTES
    units = dict(zip(ANALYTES, survey["unit"].values, strict=True))
    assert {e for e, unit in units.items() if unit == "ppb"} == {"Ag", "Au", "Cd", "Hg"}
    assert {e for e, unit in units.items() if unit == "%"} == {e for e in ANALYTES if "O" in e}
    assert (survey["detection_limit"] > 0).all()
    assert survey.rio.crs.to_epsg() == 32650


def test_truth_lies_on_the_grid(small: SyntheticSurvey) -> None:
    truth = small.truth
    assert truth["concentration"].dims == ("element", "y", "x")
    assert truth["concentration"].shape == (39, 64, 64)
    for name, dtype in {"halo": bool, "lookalike": bool, "lithology": "int8"}.items():
        assert truth[name].dims == ("y", "x")
        assert truth[name].dtype == dtype
    np.testing.assert_allclose(np.diff(truth["x"]), 500)
    np.testing.assert_allclose(np.diff(truth["y"]), -500)
    np.testing.assert_allclose((truth["x"] - 250) % 500, 0)  # edges on multiples of the spacing
    assert truth.rio.crs == small.survey.rio.crs == small.deposits.crs == small.faults.crs
    assert len(truth["lithology"].attrs["flag_meanings"].split()) == 5


def test_provenance_and_repr(small: SyntheticSurvey) -> None:
    for table in (small.survey, small.truth):
        assert table.attrs["seed"] == 0
        assert json.loads(table.attrs["parameters"])["shape"] == [64, 64]
    assert "seed=0" in repr(small)
    assert "64 x 64" in repr(small)


def test_truth_survives_netcdf(small: SyntheticSurvey, tmp_path) -> None:
    small.truth.to_netcdf(tmp_path / "truth.nc")
    with xr.open_dataset(tmp_path / "truth.nc", decode_coords="all") as back:
        assert back.attrs["seed"] == 0
        xr.testing.assert_equal(back["halo"].astype(bool), small.truth["halo"])


def test_paper_size() -> None:
    district = synthetic_survey(0, shape=(251, 310), n_deposits=19)
    assert len(district.deposits) == 19
    assert district.truth["concentration"].shape == (39, 251, 310)
    assert district.survey.sizes["sample"] == pytest.approx(251 * 310 / 16, rel=0.1)


def test_oblong_shape_and_other_spacing() -> None:
    district = synthetic_survey(0, shape=(30, 50), n_deposits=3, spacing=1000)
    assert district.truth["halo"].shape == (30, 50)
    assert float(district.truth["x"].max() - district.truth["x"].min()) == 49_000
    assert district.survey.sizes["sample"] == pytest.approx(1500 / 4, rel=0.1)


# Sampling and laboratory


def test_about_one_sample_per_sixteen_cells(districts: list[SyntheticSurvey]) -> None:
    for district in districts:
        assert district.survey.sizes["sample"] == pytest.approx(96 * 96 / 16, rel=0.1)


def test_samples_are_irregular_and_reach_the_edges(small: SyntheticSurvey) -> None:
    places = np.column_stack([small.survey["x"], small.survey["y"]])
    nearest = cKDTree(places).query(places, k=2)[0][:, 1]
    assert nearest.min() > 0
    assert nearest.std() / nearest.mean() > 0.2
    assert np.ptp(places, axis=0) == pytest.approx(32_000, abs=1500)


def test_values_are_positive_and_follow_the_truth(small: SyntheticSurvey) -> None:
    values, true = small.survey["concentration"].values, nearest_truth(small)
    assert (values > 0).all()
    assert (small.truth["concentration"] > 0).all()
    error = np.log(values / true)
    spread = (np.quantile(error, 0.75, axis=0) - np.quantile(error, 0.25, axis=0)) / 1.349
    by_element = dict(zip(ANALYTES, spread, strict=True))
    assert by_element["SiO2"] < 0.02
    assert 0.2 < by_element["Au"] < 0.5
    assert max(by_element, key=by_element.get) == "Au"


def test_a_few_percent_are_censored(districts: list[SyntheticSurvey]) -> None:
    state = xr.concat([d.survey["state"] for d in districts], "sample")
    share = (state == 1).mean("sample").to_series()
    assert set(np.unique(state)) == {0, 1}
    assert (share[["Au", "Ag", "Sb", "Hg", "Mo", "Cd"]].between(0.005, 0.15)).all()
    assert (share[["SiO2", "Al2O3", "Zr", "Ba"]] < 0.001).all()  # decimal slips at most
    survey = districts[0].survey
    below = survey["concentration"].where(survey["state"] == 1)
    limit = survey["detection_limit"].broadcast_like(below).where(survey["state"] == 1)
    xr.testing.assert_allclose(below, 0.65 * limit)


def test_a_handful_of_gross_errors(districts: list[SyntheticSurvey]) -> None:
    slips = []
    for district in districts:
        error = np.log10(district.survey["concentration"].values / nearest_truth(district))
        gross = (abs(error) > 0.8) & (district.survey["state"].values == 0)
        slips.append(int(gross.sum()))
        assert not gross[:, geology.OXIDES].any()
    assert 2 < np.mean(slips) < 20


# Geology


def test_concentrations_are_realistic(districts: list[SyntheticSurvey]) -> None:
    cube = np.concatenate(
        [d.truth["concentration"].values.reshape(39, -1) for d in districts], axis=1
    )
    typical = dict(zip(ANALYTES, np.median(cube, axis=1), strict=True))
    ranges = {
        "SiO2": (55, 72),
        "Al2O3": (9, 15),
        "CaO": (1, 6),
        "Au": (0.7, 3),
        "As": (5, 18),
        "Cu": (12, 40),
        "Ni": (10, 40),
        "Hg": (15, 60),
        "Zr": (150, 320),
        "Ba": (350, 800),
    }
    for element, (low, high) in ranges.items():
        assert low < typical[element] < high, element
    spread = np.log10(cube).std(axis=1)
    assert (spread > 0.03).all()
    assert (spread < 0.5).all()


def test_oxides_nearly_make_a_whole(districts: list[SyntheticSurvey]) -> None:
    for district in districts:
        oxides = [e for e in ANALYTES if "O" in e]
        total = district.truth["concentration"].sel(element=oxides).sum("element")
        assert float(total.max()) < 100
        assert float(total.quantile(0.05)) > 78
        assert 88 < float(total.median()) < 97


def test_traces_are_closer_to_lognormal_than_normal(districts: list[SyntheticSurvey]) -> None:
    for element in ("Au", "As", "Sb", "Cr", "Cu"):
        values = np.concatenate(
            [d.truth["concentration"].sel(element=element).values.ravel() for d in districts]
        )
        assert skew(values) > 1.5
        assert abs(skew(np.log(values))) < 0.7


def test_elements_keep_their_families(districts: list[SyntheticSurvey]) -> None:
    logs = np.concatenate(
        [np.log(d.truth["concentration"].values.reshape(39, -1)) for d in districts], axis=1
    )
    r = np.corrcoef(logs)

    def between(one: str, other: str) -> float:
        return r[ANALYTES.index(one), ANALYTES.index(other)]

    for one, other in (("Cr", "Ni"), ("Th", "La"), ("Zr", "Nb"), ("As", "Sb"), ("CaO", "Sr")):
        assert between(one, other) > 0.5, (one, other)
    for one, other in (("Cr", "Th"), ("CaO", "SiO2"), ("Ni", "K2O")):
        assert between(one, other) < -0.2, (one, other)


def test_units_differ_and_several_are_present(districts: list[SyntheticSurvey]) -> None:
    nickel: dict[int, list[float]] = {0: [], 1: [], 2: [], 3: [], 4: []}
    for district in districts:
        lithology = district.truth["lithology"].values
        assert len(np.unique(lithology)) >= 3
        for unit in np.unique(lithology):
            logs = np.log(district.truth["concentration"].sel(element="Ni").values)
            nickel[int(unit)].append(float(logs[lithology == unit].mean()))
    names = list(geology.LITHOLOGY)
    mean = {names[unit]: np.mean(values) for unit, values in nickel.items()}
    assert mean["mafic_volcanics"] > mean["sandstone"] > mean["granite"]


# Hardness: docs/experiments/synthetic_hardness.py has the full table


def test_random_smooth_maps_score_one_half(districts: list[SyntheticSurvey]) -> None:
    rng = np.random.default_rng(0)
    aucs = [
        honest(district, gaussian_filter(rng.standard_normal((96, 96)), 8))
        for district in districts
        for _ in range(25)
    ]
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.03)


def test_one_element_falls_short_of_what_the_suite_tells(districts: list[SyntheticSurvey]) -> None:
    cubes = [gridded(district) for district in districts]
    best = [max(honest(d, e) for e in cube) for d, cube in zip(districts, cubes, strict=True)]
    suites = [standard_clr(cube).T for cube in cubes]
    oracle = [
        honest(districts[i], transferred(districts, suites, leave=i)) for i in range(len(districts))
    ]
    assert 0.65 < np.mean(best) < 0.85
    assert np.mean(oracle) > np.mean(best) + 0.05
    assert np.mean(oracle) > 0.85


def transferred(
    districts: list[SyntheticSurvey], suites: list[np.ndarray], leave: int
) -> np.ndarray:
    """Score one district by a linear discriminant of the others."""
    vectors, labels = [], []
    for i in set(range(len(districts))) - {leave}:
        distance = cKDTree(places(districts[i].deposits)).query(cell_centres(districts[i]))[0]
        positive, negative = distance < 1000, np.flatnonzero(distance >= 5000)[::7]
        vectors += [suites[i][positive], suites[i][negative]]
        labels += [np.ones(positive.sum()), np.zeros(negative.size)]
    discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.02, priors=[0.5, 0.5])
    discriminant.fit(np.concatenate(vectors), np.concatenate(labels))
    return discriminant.decision_function(suites[leave])


# Bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shape": (10, 96)}, GridError, r"shape=\(10, 96\).*try shape=\(24, 24\)"),
        ({"shape": (96,)}, GridError, "shape"),
        ({"shape": (96.5, 96)}, GridError, "whole numbers"),
        ({"spacing": 0}, GridError, "spacing=0"),
        ({"spacing": float("nan")}, GridError, "spacing=nan"),
        ({"sample_spacing": -1}, GridError, "sample_spacing=-1"),
        ({"sample_spacing": 1e6}, GridError, "at most 4000"),
        ({"n_deposits": 0}, LabelError, "n_deposits=0 must be a whole number from 1"),
        ({"n_deposits": 2.5}, LabelError, "n_deposits=2.5"),
        ({"n_deposits": 1000}, LabelError, "try fewer"),
        ({"halo_strength": -1}, LabelError, "halo_strength=-1"),
    ],
)
def test_bad_arguments(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        synthetic_survey(0, **arguments)


def test_as_many_deposits_as_allowed_fit() -> None:
    with pytest.raises(LabelError) as refused:
        synthetic_survey(0, shape=(48, 48), n_deposits=500)
    most = int(str(refused.value).split("from 1 to ")[1].split()[0])
    for seed in range(5):
        district = synthetic_survey(seed, shape=(48, 48), n_deposits=most)
        assert len(district.deposits) == most
