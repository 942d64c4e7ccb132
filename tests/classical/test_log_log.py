"""Segments of a log-log plot: all breaks tried in loops as oracle, and lines that are known."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.classical.log_log import LEAST, area_above, fit_segments
from xgeoanom.errors import GridError


def exhaustive(x, y, count):
    """Return the least misfit over all places of the breaks, by numpy's own line fits."""
    best = np.inf
    for inner in combinations(range(LEAST, len(x) - LEAST + 1), count - 1):
        edges = [0, *inner, len(x)]
        if min(np.diff(edges)) < LEAST:
            continue
        total = sum(np.polyfit(x[i:j], y[i:j], 1, full=True)[1].sum() for i, j in pairwise(edges))
        best = min(best, total)
    return best


@pytest.mark.parametrize("count", [2, 3, 4])
@given(seed=st.integers(0, 1000))
def test_breaks_are_the_best_of_all(count, seed):
    x = np.linspace(0, 2, 18)
    y = np.sort(np.random.default_rng(seed).normal(size=18))[::-1]
    found = fit_segments(10**x, 10**y, (count,))
    part = np.searchsorted(found.breaks, 10**x)
    misfit = (y - found.intercepts[part] + found.exponents[part] * x) @ (
        y - found.intercepts[part] + found.exponents[part] * x
    )
    assert misfit == pytest.approx(exhaustive(x, y, count), rel=1e-7)
    bic = 18 * np.log(misfit / 18) + (3 * count - 1) * np.log(18)
    assert found.bic == pytest.approx(bic, rel=1e-7)


@pytest.mark.parametrize("exponents", [[0.3, 2.0], [0.2, 1.0, 3.0], [0.1, 0.8, 2.0, 5.0]])
def test_bic_finds_how_many_lines_there_are(exponents):
    x = np.linspace(0, 2, 101)
    slopes = np.array(exponents)[
        np.minimum((x / 2 * len(exponents)).astype(int), len(exponents) - 1)
    ]
    y = -np.concatenate([[0], np.cumsum(slopes[:-1] * np.diff(x))])
    y += 1e-3 * np.random.default_rng(0).normal(size=x.size)
    found = fit_segments(10**x, 10**y, (2, 3, 4))
    np.testing.assert_allclose(found.exponents, exponents, atol=0.02)
    edges = 2 * np.arange(1, len(exponents)) / len(exponents)
    np.testing.assert_allclose(np.log10(found.breaks), edges, atol=0.03)


def test_area_above_counts_cells():
    values = np.random.default_rng(0).lognormal(size=(200, 300))
    levels, area = area_above(values, 4.0, 25)
    np.testing.assert_array_equal(area, [4.0 * (values >= level).sum() for level in levels])
    assert levels[0] == pytest.approx(np.quantile(values, 0.01), rel=1e-3)
    assert (levels[-1], area[-1]) == (values.max(), 4.0)
    np.testing.assert_allclose(
        np.diff(np.log(levels[:20])), np.log(levels[-1] / levels[0]) / 24, atol=0.01
    )


def test_a_single_extreme_is_one_level():
    values = np.append(np.geomspace(1, 10, 1000), 1e4)
    levels, area = area_above(values, 1.0, 100)
    assert (levels > 10).sum() == 1
    assert (np.diff(area) < 0).all()


def test_rounded_values_are_refused():
    with pytest.raises(GridError, match="5 distinct levels"):
        area_above(np.repeat(np.arange(1.0, 6.0), 20), 1.0, 100)
