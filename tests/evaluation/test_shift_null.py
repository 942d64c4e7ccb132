"""Shifted patterns are rigid and land on data; the null is calibrated and finds information."""

import dataclasses

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from scipy.stats import kstest

from xgeoanom.errors import LabelError
from xgeoanom.evaluation.honest import honest_auc
from xgeoanom.evaluation.shift_null import random_site_null, shifted_sites, site_shift_null
from xgeoanom.evaluation.targets import find_targets

REACH = {"min_distance": 2000, "max_distance": 800}
N, STEP = 40, 500.0


def raster(values):
    y, x = (STEP * np.arange(n) for n in np.shape(values))
    return xr.DataArray(values, coords={"y": y, "x": x}, dims=("y", "x")).rio.write_crs(32650)


def smooth(rng, scale=3):
    # Wrapped, so that the field varies as much at the border as inside.
    return gaussian_filter(rng.normal(size=(N, N)), scale, mode="wrap")


def points(xy, crs=32650):
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(*np.transpose(xy)), crs=crs)


def random_pattern(rng, n=8, width=10_000.0):
    corner = rng.uniform(0, STEP * (N - 1) - width, 2)
    return points(corner + rng.uniform(0, width, (n, 2)))


def in_degrees(seed=0, n_samples=400, n_sites=6):
    """Samples and sites at 60 degrees north, where a degree of longitude is half as long."""
    rng = np.random.default_rng(seed)
    samples = points(rng.uniform([10, 60], [10.8, 60.4], (n_samples, 2)), 4326)
    sites = points(rng.uniform([10.2, 60.1], [10.5, 60.3], (n_sites, 2)), 4326)
    return samples.assign(score=rng.normal(size=n_samples)), sites


@pytest.mark.parametrize("geographic", [False, True])
def test_shifts_are_rigid_and_on_data(geographic):
    rng = np.random.default_rng(0)
    score, deposits = in_degrees() if geographic else (raster(smooth(rng)), random_pattern(rng))
    reach = {"min_distance": 2000, "max_distance": 3000} if geographic else REACH
    targets = find_targets(score, deposits, **reach)
    assert (targets.nearest >= 0).all()
    sites, nearest = shifted_sites(targets, reach["max_distance"], 200, rng)
    for moved in sites:
        np.testing.assert_allclose(
            cdist(moved, moved), cdist(targets.sites, targets.sites), atol=1e-3
        )
    if geographic:
        np.testing.assert_allclose(np.linalg.norm(sites, axis=2), 6_371_000)
    gaps = cdist(sites.reshape(-1, sites.shape[2]), targets.places).reshape(200, len(deposits), -1)
    np.testing.assert_array_equal(
        nearest, np.where(gaps.min(2) <= reach["max_distance"], gaps.argmin(2), -1)
    )
    assert ((nearest >= 0).mean(axis=1) >= 0.8).all()
    assert ((nearest < 0).any(axis=1)).any()


def test_half_of_the_shifts_are_mirrored_and_all_bearings_occur():
    rng = np.random.default_rng(1)
    targets = find_targets(
        raster(smooth(rng)), points([(9e3, 9e3), (11e3, 9e3), (9e3, 1e4)]), **REACH
    )
    sites, _ = shifted_sites(targets, 800.0, 2000, rng)
    (ax, ay), (bx, by) = np.moveaxis(sites[:, 1:] - sites[:, :1], 0, 2)
    turns = ax * by - ay * bx  # of the three sites, left or right
    assert np.mean(turns > 0) == pytest.approx(0.5, abs=0.05)
    bearing = np.arctan2(ay, ax) / (2 * np.pi) % 1
    assert kstest(bearing, "uniform").pvalue > 0.001


def test_null_aucs_are_honest_aucs_of_the_shifted_deposits():
    rng = np.random.default_rng(2)
    for score, deposits, reach in (
        (raster(smooth(rng)), random_pattern(rng, n=12), REACH),
        (*in_degrees(n_sites=11), {"min_distance": 5000, "max_distance": 3000}),
    ):
        found = site_shift_null(score, deposits, **reach, n=20, seed=3)
        seen = []

        def refit(moved, score=score, seen=seen):
            seen.append(moved)
            return score

        again = random_site_null(refit, score, deposits, **reach, n=20, seed=3)
        assert again.auc == found.auc
        complete = [k for k, moved in enumerate(seen) if len(moved) == len(deposits)]
        assert len(complete) >= 3
        # Sites that a shift drops beside the survey still keep background away.
        np.testing.assert_array_equal(again.null_aucs[complete], found.null_aucs[complete])
        assert (seen[0].crs, seen[0].columns.tolist()) == (deposits.crs, ["geometry"])


def test_auc_is_that_of_honest_auc():
    rng = np.random.default_rng(4)
    score, deposits = raster(smooth(rng)), random_pattern(rng, n=30, width=19_000.0)
    found = site_shift_null(score, deposits, **REACH, n=19, seed=0)
    assert found.auc == pytest.approx(
        honest_auc(score, deposits, **REACH, cluster_distance=1, n_boot=1).auc
    )
    assert found.p == (np.sum(found.null_aucs >= found.auc) + 1) / 20
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.p = 0.01
    with pytest.raises(ValueError, match="read-only"):
        found.null_aucs[0] = 0


def test_p_values_of_smooth_fields_without_information_are_uniform():
    rng = np.random.default_rng(5)
    p = [
        site_shift_null(raster(smooth(rng)), random_pattern(rng), **REACH, n=99, seed=k).p
        for k in range(200)
    ]
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.06)


def test_a_true_score_is_found_and_a_constant_one_is_not():
    rng = np.random.default_rng(6)
    deposits = random_pattern(rng)
    x, y = np.meshgrid(STEP * np.arange(N), STEP * np.arange(N))
    near = -np.min([np.hypot(x - p.x, y - p.y) for p in deposits.geometry], axis=0)
    assert site_shift_null(raster(near), deposits, **REACH, n=99, seed=0).p <= 0.02
    flat = site_shift_null(raster(np.ones((N, N))), deposits, **REACH, n=99, seed=0)
    assert (flat.auc, flat.p) == (0.5, 1.0)


def test_a_protocol_that_learns_the_places_scores_as_well_anywhere():
    rng = np.random.default_rng(7)
    score, deposits = raster(smooth(rng)), random_pattern(rng)

    def leaky(sites):
        gaps = [np.hypot(score["y"] - p.y, score["x"] - p.x) for p in sites.geometry]
        return (-np.minimum.reduce(gaps) + 0 * score).rio.write_crs(32650)

    found = random_site_null(leaky, leaky(deposits), deposits, **REACH, n=9, seed=0)
    assert found.auc == 1
    assert found.p > 0.5
    assert site_shift_null(leaky(deposits), deposits, **REACH, n=99, seed=0).p <= 0.02


def test_seed_counts_and_order_does_not():
    samples, sites = in_degrees()
    reach = {"min_distance": 5000, "max_distance": 3000, "n": 50}
    want = site_shift_null(samples, sites, **reach, seed=0).null_aucs
    again = site_shift_null(samples.sample(frac=1, random_state=0), sites, **reach, seed=0)
    np.testing.assert_array_equal(again.null_aucs, want)
    other = site_shift_null(samples, sites, **reach, seed=1)
    assert not np.array_equal(other.null_aucs, want)


def test_deposits_off_the_survey_are_not_shifted():
    rng = np.random.default_rng(8)
    deposits = random_pattern(rng)
    far = points([*((p.x, p.y) for p in deposits.geometry), (9e5, 9e5)])
    score = raster(smooth(rng))
    want = site_shift_null(score, deposits, **REACH, n=20, seed=0)
    found = site_shift_null(score, far, **REACH, n=20, seed=0)
    np.testing.assert_array_equal(found.null_aucs, want.null_aucs)


def test_bad_input():
    rng = np.random.default_rng(9)
    score, deposits = raster(smooth(rng)), random_pattern(rng)
    with pytest.raises(LabelError, match="n=0"):
        site_shift_null(score, deposits, **REACH, n=0)
    with pytest.raises(LabelError, match="n=2.5"):
        random_site_null(lambda sites: score, score, deposits, **REACH, n=2.5)
    islands = score.where((score["x"] < 1000) | (score["x"] > 18_000))
    across = points([(0, 9000), (500, 2000), (18_500, 4000), (19_500, 12_000), (19_000, 18_000)])
    with pytest.raises(LabelError, match=r"only \d+ of 5000 random places.*larger max_distance"):
        site_shift_null(islands, across, min_distance=900, max_distance=50, n=5, seed=0)
    corner = points([(0, 0), (700, 300)])
    with pytest.raises(LabelError, match="leaves no background for"):
        site_shift_null(score, corner, min_distance=25_500, max_distance=800, n=50, seed=0)


def test_shifts_on_which_the_protocol_cannot_run_are_replaced():
    rng = np.random.default_rng(7)
    score, deposits = raster(smooth(rng)), random_pattern(rng, n=12)
    calls = []

    def refit(moved):
        calls.append(1)
        if len(calls) % 2:
            raise LabelError("a fold without deposits")
        return score

    every = random_site_null(lambda moved: score, score, deposits, **REACH, n=8, seed=3)
    found = random_site_null(refit, score, deposits, **REACH, n=4, seed=3)
    np.testing.assert_array_equal(found.null_aucs, every.null_aucs[1::2])

    def never(moved):
        raise LabelError("a fold without deposits")

    with pytest.raises(LabelError, match="runs on 0 of 12 shifts.*a fold without deposits"):
        random_site_null(never, score, deposits, **REACH, n=4, seed=3)
