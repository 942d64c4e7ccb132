"""AUCs of patterns against a naive loop over places."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.kernels.distance import pattern_aucs


def naive(values, places, sites, nearest, reach):
    """One pattern: each positive against each negative."""
    positives = {int(place) for place in nearest if place >= 0}
    gaps = np.linalg.norm(places[:, None] - sites, axis=2).min(axis=1)
    negatives = {k for k, gap in enumerate(gaps) if gap >= reach} - positives
    if not positives or not negatives:
        return np.nan
    wins = [
        (values[p] > values[q]) + (values[p] == values[q]) / 2 for p in positives for q in negatives
    ]
    return np.mean(wins)


@given(st.integers(0, 10_000), st.sampled_from([2, 3]), st.sampled_from([0.1, 1.0, 4.0, 40.0]))
def test_equals_a_naive_loop(seed, dim, reach):
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 10, (60, dim))
    places = places[np.argsort(places[:, -1])]
    values = rng.integers(0, 9, 60) / 9  # ties
    sites = rng.uniform(-1, 11, (7, 4, dim))
    nearest = np.linalg.norm(places - sites[:, :, None], axis=3).argmin(axis=2)
    nearest[rng.random(nearest.shape) < 0.2] = -1
    nearest[0, 1:] = nearest[0, 0]  # four sites on one place
    nearest[1] = -1
    order = np.sort(values)
    halves = np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")
    found = pattern_aucs(values, halves, places, sites, nearest, reach)
    wanted = [naive(values, places, *each, reach) for each in zip(sites, nearest)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert np.isnan(found[1])
