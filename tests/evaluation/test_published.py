"""OpenGADBench's protocol on its own survey, and against a naive loop."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import haversine_distances

from xgeoanom.errors import CRSError, LabelError
from xgeoanom.evaluation.published import published_auc


def points(x, y, crs=4326, **columns):
    return gpd.GeoDataFrame(columns, geometry=gpd.points_from_xy(x, y), crs=crs)


@pytest.fixture(scope="module")
def sed1(real_data):
    """Logarithm of Au, half the least positive value where there is none, and the sites."""
    folder = real_data / "gswa_sed1"
    table = pd.read_csv(folder / "geochemical" / "area1_sediment_au.csv", low_memory=False)
    sites = pd.read_csv(folder / "site" / "area1_sediment_au_site.csv")
    gold = table["Au_ppm"].to_numpy()
    score = np.log(np.where(gold > 0, gold, gold[gold > 0].min() / 2))
    return points(table["X"], table["Y"], score=score), points(sites["X"], sites["Y"])


def test_sed1_as_distributed(sed1):
    samples, sites = sed1
    assert (len(samples), len(sites)) == (1392, 32)
    found = published_auc(samples, sites, min_distance=5000.0)
    assert round(found.auc_mean, 4) == 0.7258
    assert round(found.auc_std, 4) == 0.0335
    assert (found.n_positives, found.n_negatives) == (15, 1341)


def test_equals_a_naive_loop():
    rng = np.random.default_rng(0)
    lonlat = rng.uniform(0, 0.5, (200, 2))
    lonlat[100:] = lonlat[:100]  # duplicates: the first counts
    values, at = rng.integers(0, 50, 200), rng.uniform(0, 0.5, (7, 2))
    found = published_auc(points(*lonlat.T, score=values), points(*at.T), min_distance=9000.0)
    nearest = [min(range(200), key=lambda k: (np.hypot(*(lonlat[k] - site)), k)) for site in at]
    metres = 6_371_000 * haversine_distances(np.radians(lonlat[:, ::-1]), np.radians(at[:, ::-1]))
    far = np.flatnonzero((metres >= 9000).all(axis=1))
    rng, aucs = np.random.default_rng(42), []
    for _ in range(20):
        both = [*values[nearest], *values[rng.choice(far, size=7, replace=True)]]
        aucs.append(roc_auc_score([1] * 7 + [0] * 7, both))
    assert found.auc_mean == pytest.approx(np.mean(aucs))
    assert found.auc_std == pytest.approx(np.std(aucs))
    assert (found.n_positives, found.n_negatives) == (len(set(nearest)), far.size)


def test_falls_back_to_all_samples_as_published():
    samples = points([0, 0.01, 0.02], [0, 0, 0], score=[1.0, 2.0, 3.0])
    assert published_auc(samples, points([0], [0])).n_negatives == 3


def test_bad_input():
    samples = points([0, 0.01], [0, 0], score=[1.0, 2.0])
    with pytest.raises(LabelError, match="min_distance=-1"):
        published_auc(samples, points([0], [0]), min_distance=-1)
    with pytest.raises(CRSError, match="to_crs"):
        published_auc(samples, points([0], [0], crs=32650))
    with pytest.raises(LabelError, match="empty"):
        published_auc(samples, points([], []))
    with pytest.raises(LabelError, match="deposits is a list"):
        published_auc(samples, [(0, 0)])
