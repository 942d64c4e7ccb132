"""The geology under a simulated district: deposits by faults, haloes, look-alikes, fields."""

import geopandas as gpd
import numpy as np
import pytest
from districts import SMALL, cell_centres, cells_of, far_cells, honest, places
from scipy.spatial import cKDTree
from scipy.stats import mannwhitneyu

from xgeoanom.datasets import simulated_geology as geology
from xgeoanom.datasets.synthetic import SyntheticSurvey, synthetic_survey


@pytest.fixture(scope="module")
def small() -> SyntheticSurvey:
    return synthetic_survey(0, **SMALL)


@pytest.fixture(scope="module")
def districts() -> list[SyntheticSurvey]:
    return [synthetic_survey(seed) for seed in range(8)]


def test_deposits_are_apart_and_inside(districts: list[SyntheticSurvey]) -> None:
    for district in districts:
        assert len(district.deposits) == 10
        points = places(district.deposits)
        assert cKDTree(points).query(points, k=2)[0][:, 1].min() >= 3000
        x, y = district.truth["x"].values, district.truth["y"].values
        assert (points > [x.min() + 500, y.min() + 500]).all()
        assert (points < [x.max() - 500, y.max() - 500]).all()
        assert district.deposits["name"].is_unique


def test_haloes_lie_at_deposits(districts: list[SyntheticSurvey]) -> None:
    for district in districts:
        cells = cells_of(district)
        assert district.truth["halo"].values.ravel()[cells].all()
        assert 0.02 < float(district.truth["halo"].mean()) < 0.2
        enrichment = district.truth["enrichment"].values.ravel()
        assert honest(district, enrichment) > 0.99
        np.testing.assert_array_less(0.5 * district.deposits["strength"], enrichment[cells])


def test_haloes_vary_in_strength(districts: list[SyntheticSurvey]) -> None:
    strength = np.concatenate([d.deposits["strength"] for d in districts])
    assert strength.min() < 0.5
    assert strength.max() > 1.5


def test_haloes_are_drawn_out() -> None:
    grid = geology.make_grid(np.random.default_rng(0), (64, 64), 500.0)
    heart = np.array([grid.x[32], grid.y[32]])
    halo = geology.Halo(heart, np.pi / 2, 3500.0, 1700.0, 1.0, geology.HALO)
    decay = halo.decay(grid)
    assert decay[32, 32] == 1
    assert decay[32 - 7, 32] == pytest.approx(np.exp(-1))  # 7 cells north, along the halo
    assert decay[32, 32 + 7] == pytest.approx(np.exp(-3500 / 1700))  # 7 cells east, across it


def test_many_elements_are_raised_at_once(small: SyntheticSurvey) -> None:
    bare = synthetic_survey(0, **SMALL, halo_strength=0)
    change = np.log(small.truth["concentration"] / bare.truth["concentration"])
    at = change.values.reshape(39, -1)[:, cells_of(small)].mean(axis=1)
    assert (at > 0.15).sum() >= 8
    assert (at < -0.1).sum() >= 2  # leached


def fault_distances(district: SyntheticSurvey, points: np.ndarray) -> np.ndarray:
    geometry = gpd.GeoSeries.from_xy(*points.T, crs=district.faults.crs)
    return geometry.distance(district.faults.union_all()).to_numpy()


def test_deposits_lie_near_faults(districts: list[SyntheticSurvey]) -> None:
    near = np.concatenate([fault_distances(d, places(d.deposits)) for d in districts])
    anywhere = np.concatenate([fault_distances(d, cell_centres(d)[::23]) for d in districts])
    assert np.median(near) < 0.6 * np.median(anywhere)
    assert mannwhitneyu(near, anywhere, alternative="less").pvalue < 1e-6


def test_without_fault_control_deposits_ignore_faults() -> None:
    loose = [synthetic_survey(seed, fault_control=False) for seed in range(8)]
    near = np.concatenate([fault_distances(d, places(d.deposits)) for d in loose])
    anywhere = np.concatenate([fault_distances(d, cell_centres(d)[::23]) for d in loose])
    assert mannwhitneyu(near, anywhere).pvalue > 0.01


def test_faults_prefer_the_strike(districts: list[SyntheticSurvey]) -> None:
    for district in districts:
        ends = np.array(
            [np.subtract(*np.array(f.coords)[[-1, 0]]) for f in district.faults.geometry]
        )
        doubled = 2 * np.arctan2(ends[:, 1], ends[:, 0])
        assert np.hypot(np.cos(doubled).mean(), np.sin(doubled).mean()) > 0.2


def test_lookalikes_are_barren(districts: list[SyntheticSurvey]) -> None:
    for district in districts:
        lookalike = district.truth["lookalike"].values
        assert 0.02 < lookalike.mean() < 0.3
        far = lookalike.ravel() & far_cells(district)
        assert far.any()
        assert district.truth["enrichment"].values.ravel()[far].mean() < 0.2


def test_lookalikes_raise_one_element_each() -> None:
    rng = np.random.default_rng(0)
    grid = geology.make_grid(rng, (64, 64), 500.0)
    faults = geology.draw_faults(rng, grid)
    deposits = geology.draw_deposits(rng, grid, faults, n=5, halo_strength=1.0, fault_control=True)
    lookalikes = geology.draw_lookalikes(rng, grid, deposits)
    hearts = np.array([halo.place for halo in deposits])
    assert len(lookalikes) == 10
    for halo in lookalikes:
        assert np.count_nonzero(halo.signature) == 1
        assert np.hypot(*(hearts - halo.place).T).min() >= 2500


def test_smooth_field_has_unit_variance_and_does_not_wrap() -> None:
    rng = np.random.default_rng(0)
    grid = geology.make_grid(rng, (40, 48), 500.0)
    fields = np.array([geology.smooth_field(rng, grid, (1500.0,)) for _ in range(200)])
    assert fields.shape == (200, 40, 48)
    assert fields.std() == pytest.approx(1, abs=0.05)
    assert abs(np.mean(fields[:, :, 0] * fields[:, :, -1])) < 0.1
    # A Gaussian kernel of scale s gives the covariance exp(-d**2 / 4 s**2).
    expected = np.exp(-(500.0**2) / (4 * 1500.0**2))
    assert np.mean(fields[:, :, :-1] * fields[:, :, 1:]) == pytest.approx(expected, abs=0.05)
