"""Findings that nobody told of: planted, and none where nothing is wrong."""

import numpy as np
import pandas as pd
import pytest

from xgeoanom.survey.reading.suspicions import check_batches, check_columns, check_totals


def survey(n_elements=30, small=5, seed=0):
    """Return ppm and batches: twelve of other levels and leaches, four of them small."""
    rng = np.random.default_rng(seed)
    batch = np.repeat(np.arange(12), [small] * 4 + [60] * 8)
    logs = rng.normal(0, 1.2, n_elements) + rng.normal(0, 0.25, (12, n_elements))[batch]
    logs += rng.normal(0, 0.4, 12)[batch][:, None] + rng.normal(0, 0.35, (batch.size, n_elements))
    return 10**logs, batch


def findings(ppm, batch, state=None):
    headers = [f"column {e}" for e in range(ppm.shape[1])]
    names = [f"batch {b}" for b in range(batch.max() + 1)]
    return check_batches(
        headers, ppm, np.zeros(ppm.shape) if state is None else state, batch, names
    )


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_found_where_nothing_is_wrong(seed):
    assert findings(*survey(seed=seed)) == []


@pytest.mark.parametrize("small", [3, 10])
@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
@pytest.mark.parametrize("batch_number", [0, 7])
def test_shifted_columns_are_found(shift, small, batch_number):
    ppm, batch = survey(n_elements=40, small=small)
    rows = batch == batch_number
    ppm[rows] = np.roll(ppm[rows], -shift, axis=1)
    (finding,) = findings(ppm, batch)
    assert finding.kind == "shifted_columns"
    assert finding.where == f"batch {batch_number}"
    places = "1 column" if abs(shift) == 1 else "2 columns"
    assert f"{places} further {'on' if shift > 0 else 'back'}" in finding.what


def test_a_batch_of_another_level_is_not_shifted():
    ppm, batch = survey()
    ppm[batch == 2] *= 1e4
    (finding,) = findings(ppm, batch)
    assert finding.kind == "off_bulk"
    assert finding.what.count("column") == ppm.shape[1]


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_columns_far_off_are_found(factor):
    ppm, batch = survey()
    ppm[np.ix_(batch == 1, [4, 9])] *= factor
    (finding,) = findings(ppm, batch)
    assert (finding.kind, finding.where) == ("off_bulk", "batch 1")
    assert "column 4" in finding.what
    assert "column 9" in finding.what


def test_a_level_that_batches_share_is_no_fault():
    ppm, batch = survey()
    ppm[np.ix_(np.isin(batch, [1, 2]), [4])] *= 1e4
    assert findings(ppm, batch) == []


def test_high_limits_are_not_high_values():
    ppm, batch = survey()
    state = np.zeros(ppm.shape, dtype="int8")
    state[np.ix_(batch == 1, [4])] = 1
    ppm[np.ix_(batch == 1, [4])] *= 1e4
    assert findings(ppm, batch, state) == []
    ppm[np.ix_(batch == 1, [4])] /= 1e8  # what lies below a low limit is low
    assert [finding.where for finding in findings(ppm, batch, state)] == ["batch 1"]


def test_two_rows_are_too_few():
    ppm, batch = survey(small=2)
    ppm[batch == 0] *= 1e5
    assert findings(ppm, batch) == []


def test_empty_columns_and_batches_are_survived():
    ppm, batch = survey()
    ppm[:, 3] = np.nan
    ppm[batch == 2] = np.nan
    ppm[batch == 3] = 0.0
    assert findings(ppm, batch, np.where(np.isnan(ppm), 3, np.where(ppm == 0, 2, 0))) == []


def columns(values, state=None):
    values = np.array(values, dtype=float)[:, None]
    state = np.zeros(values.shape) if state is None else np.array(state)[:, None]
    return [
        (finding.kind, finding.what) for finding in check_columns(["Au"], ["ppb"], values, state)
    ]


def test_filler():
    spread = np.arange(1.0, 12.0)
    assert columns(spread) == []
    assert columns([3.0] * 9) == []
    assert columns([*[3.0] * 6, *spread[:5]]) == [
        ("constant_filler", "3 ppb in 7 of 11 measured rows")
    ]
    assert columns([9.0] * 12, [1] * 12) == []


def test_impossible_concentrations():
    values, state = np.array([[7e6, 1.0], [1e6, 100.0], [2e6, 100.1]]), np.zeros((3, 2))
    state[2, 0] = 1
    found = check_columns(["N", "SiO2"], ["ppm", "%"], values, state)
    assert [(finding.kind, finding.where) for finding in found] == [
        ("impossible", "N"),
        ("impossible", "SiO2"),
    ]
    assert "1 of 2 measured rows are above 100 %, up to 7e+06 ppm" in found[0].what


def test_impossible_totals():
    ppm = np.array([[6e5, 5.2e5, 3e5], [6e5, 4.9e5, 3e5], [6e5, np.nan, 3e5]])
    state, rows = np.where(np.isnan(ppm), 3, 0), pd.Index([2, 5, 9])
    (finding,) = check_totals(["SiO2", "CaO", "LOI"], ppm, state, rows)
    assert finding.kind == "impossible"
    assert finding.what == "1 of 3 rows sum to more than 110 %, up to 112 % in row 2"
    state[0, 1] = 1
    assert check_totals(["SiO2", "CaO", "LOI"], ppm, state, rows) == []


def test_limits_like_codes():
    values, state = [*range(1, 10), 99, 99], [0] * 9 + [1] * 2
    assert [kind for kind, _ in columns(values, state)] == ["high_limit"]
    assert columns([*range(1, 10), 2, 40], state) == []
    assert columns([99.0, 99.0], [1, 1]) == []
