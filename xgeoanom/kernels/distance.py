"""AUCs of many patterns of sites on one score, without a search of all places for each."""

import numpy as np

from xgeoanom.kernels.neighbors import SLACK, jit


@jit
def pattern_aucs(values, halves, places, sites, nearest, reach):
    """Return the AUC of each pattern: places nearest to its sites against those far from them.

    ``places`` ``(place, dim)`` ascend in their last coordinate and score ``values``; ``halves``
    is twice the number of places that score lower, plus those that score the same. ``sites`` is
    ``(pattern, site, dim)``, ``nearest`` ``(pattern, site)`` the place that each site falls on,
    or -1. Negatives are the places at least ``reach`` from all sites of their pattern. NaN where
    a pattern has no positive or no negative.
    """
    aucs = np.full(len(sites), np.nan)
    height = places[:, -1].copy()
    last_taken = np.full(len(values), -1)  # the pattern that last took a place from background
    taken = np.empty(len(values), np.int64)
    for pattern in range(len(sites)):
        n_positive = _take_nearest(nearest[pattern], pattern, last_taken, taken)
        n_taken = n_positive
        for site in sites[pattern]:
            n_taken = _take_within(places, height, site, reach, pattern, last_taken, taken, n_taken)
        n_negative = len(values) - n_taken
        if n_positive and n_negative:
            wins = _halves_won(values, halves, taken[:n_taken], n_positive)
            aucs[pattern] = wins / (2 * n_positive * n_negative)
    return aucs


@jit
def _take_nearest(nearest, pattern, last_taken, taken):
    """Take each place that sites fall on once; return how many."""
    n = 0
    for place in nearest:
        if place >= 0 and last_taken[place] != pattern:
            last_taken[place] = pattern
            taken[n] = place
            n += 1
    return n


@jit
def _take_within(places, height, site, reach, pattern, last_taken, taken, n):
    """Take the places nearer than ``reach`` to a site, after the first ``n``; return how many."""
    margin = reach * SLACK
    start = np.searchsorted(height, site[-1] - margin)
    for place in range(start, len(height)):
        if height[place] > site[-1] + margin:
            break
        if last_taken[place] == pattern:
            continue
        squared = 0.0
        for axis in range(len(site)):
            squared += (places[place, axis] - site[axis]) ** 2
        if squared < reach * reach:
            last_taken[place] = pattern
            taken[n] = place
            n += 1
    return n


@jit
def _halves_won(values, halves, taken, n_positive):
    """Return twice the wins of positives, the first of ``taken``, over all places not taken.

    The few taken places are subtracted from what is known of all; a tie is half a win.
    """
    wins = 0
    for positive in taken[:n_positive]:
        wins += halves[positive]
        for other in taken:
            wins -= 2 * (values[other] < values[positive]) + (values[other] == values[positive])
    return wins
