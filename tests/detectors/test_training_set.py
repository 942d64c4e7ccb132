"""Examples are the labelled cells, in place; held-out members; windows on a lattice."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from surveys import small_cube, small_labels

from xgeoanom.detectors.training_set import (
    KNOWN,
    cells_inside,
    copies_of,
    deposits_inside,
    examples_of,
    held_out,
    window_lattice,
    window_values,
    windows_on,
    windows_to_learn,
)
from xgeoanom.errors import EvidenceError, LabelError
from xgeoanom.geology.labels import deposit_ids


def test_examples_are_the_labelled_cells():
    cube = small_cube(holes=5)
    labels = small_labels(cube, background=True)
    examples = examples_of(cube, labels, lambda values: values * 2, halo=1)
    assert examples["values"].dims == ("example", "element", "dy", "dx")
    rows, cols = examples["row"].values, examples["col"].values
    assert sorted(zip(rows, cols, strict=True)) == sorted(
        map(tuple, np.argwhere(labels.values >= 0))
    )
    np.testing.assert_array_equal(examples["values"][:, :, 1, 1], 2 * cube.values[:, rows, cols].T)
    np.testing.assert_array_equal(examples["label"], labels.values[rows, cols])
    np.testing.assert_array_equal(examples.y, cube.y.values[rows])
    ore = examples["label"].values == 1
    assert len(np.unique(examples["deposit"].values[ore])) == 3
    assert (examples["deposit"].values[~ore] == -1).all()


def test_the_paper_holds_out_35_of_171():
    held = held_out(np.zeros(171), 0.2, np.random.default_rng(0), whole=False)
    assert held.sum() == 35


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=60), st.floats(0.05, 0.9), st.integers(0, 9)
)
def test_whole_groups_stay_together(groups, share, seed):
    groups = np.array(groups)
    held = held_out(groups, share, np.random.default_rng(seed), whole=True)
    assert not set(groups[held]) & set(groups[~held])
    assert (~held).any()


@pytest.mark.parametrize("share", [0.0])
def test_nothing_need_be_held_out(share):
    assert not held_out(np.arange(9), share, np.random.default_rng(0), whole=False).any()


def test_evidence_and_unlabelled_cells_ride_along():
    cube = small_cube()
    labels = small_labels(cube, background=True)
    weight = (cube.isel(element=0, drop=True) ** 2).rename("weight")
    also = np.zeros(labels.shape, dtype=bool)
    also[0, 3] = also[4, 4] = True  # the second is labelled already
    examples = examples_of(
        cube, labels, lambda values: values, halo=0, evidence={"weight": weight}, also=also
    )
    rows, cols = examples["row"].values, examples["col"].values
    assert examples.sizes["example"] == (labels >= 0).sum() + 1
    np.testing.assert_allclose(examples["weight"], weight.values[rows, cols], rtol=1e-6)
    (extra,) = np.flatnonzero((rows == 0) & (cols == 3))
    assert (examples["label"][extra], examples["deposit"][extra]) == (-1, -1)


def test_missing_evidence_is_named_and_counted():
    cube = small_cube()
    labels = small_labels(cube)
    weight = cube.isel(element=0, drop=True).where(labels != 1).rename("weight")
    with pytest.raises(EvidenceError, match="weight is missing in 27 of 27"):
        examples_of(cube, labels, lambda values: values, halo=0, evidence={"weight": weight})


def grid(values):
    """A raster north up, of 500 m cells."""
    ny, nx = values.shape
    coords = {"y": 4_000_000 - 500.0 * np.arange(ny), "x": 300_000 + 500.0 * np.arange(nx)}
    return xr.DataArray(values, coords=coords, dims=("y", "x"))


def cut(raster, window, size):
    """The cells of one window."""
    row, col = int(window["row"]), int(window["col"])
    return raster.values[row : row + size, col : col + size]


def test_the_paper_counts_437_and_69_windows():
    """3072 cells a side, windows of 256 every 128, split at row 2560 (section 2.2)."""
    labels = grid(np.full((3072, 3072), -1, dtype="int8"))
    labels[1000, 1000] = labels[3000, 200] = 1
    side = (labels.y > labels.y[2560]) & labels.notnull()
    training = windows_on(labels, side, size=256, step=128)
    test = windows_on(labels, ~side, size=256, step=128)
    assert training.sizes["window"] == 19 * 23 == 437
    assert test.sizes["window"] == 3 * 23 == 69
    assert (training["label"] == 1).sum() == 4  # two rows and two columns of windows meet there
    assert test["row"].min() == 2560


def test_the_paper_copies_to_2169_and_275():
    for n_with, n_without, copies, total in [(78, 359, (14, 3), 2169), (17, 52, (7, 3), 275)]:
        label = np.repeat([1, 0], [n_with, n_without])
        index, noisy = copies_of(label, copies)
        assert index.size == total
        np.testing.assert_array_equal(index[~noisy], np.arange(label.size))
    assert (label[index] == 1).sum() == 119


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 9), st.integers(1, 9))
def test_lattice_windows_lie_inside(ny, nx, size, step):
    rows, cols = window_lattice((ny, nx), size, step)
    expected = [
        (row, col)
        for row in range(0, ny, step)
        for col in range(0, nx, step)
        if row + size <= ny and col + size <= nx
    ]
    assert list(zip(rows, cols, strict=True)) == expected


@given(st.integers(0, 9), st.integers(1, 7))
def test_cells_inside_are_counted(seed, size):
    rng = np.random.default_rng(seed)
    mask = rng.random((6, 9)) < 0.4
    rows, cols = rng.integers(-9, 12, (2, 20))
    wide = np.pad(mask, 20)[20 - 9 :, 20 - 9 :]
    expected = [wide[r + 9 : r + 9 + size, c + 9 : c + 9 + size].sum() for r, c in zip(rows, cols)]
    np.testing.assert_array_equal(cells_inside(mask, rows, cols, size), expected)


@given(st.integers(0, 99), st.booleans(), st.integers(2, 6), st.integers(1, 4))
def test_windows_are_labelled_by_what_they_hold(seed, background, size, step):
    rng = np.random.default_rng(seed)
    marks = rng.choice([1, 0, -1], p=[0.03, 0.05 * background, 0.97 - 0.05 * background], size=300)
    labels = grid(marks.reshape(20, 15).astype("int8"))
    known = grid(rng.random((20, 15)) < 0.8)
    windows = windows_on(labels, known, size=size, step=step)
    any_background = (marks == 0).any()
    for k in range(windows.sizes["window"]):
        window = windows.isel(window=k)
        held = cut(labels, window, size)
        usual = (held == 0).any() or not any_background
        assert window["label"] == (1 if (held == 1).any() else 0 if usual else -1)
        assert cut(known, window, size).mean() > KNOWN
        rows = slice(int(window["row"]), int(window["row"]) + size)
        np.testing.assert_allclose(window.y, labels.y[rows].mean())
    rows, cols = window_lattice(labels.shape, size, step)
    share = [known.values[r : r + size, c : c + size].mean() for r, c in zip(rows, cols)]
    assert windows.sizes["window"] == (np.array(share) > KNOWN).sum()


def test_background_windows_are_drawn_to_balance():
    labels = small_labels(small_cube())
    how = {"known": labels.notnull(), "size": 5, "step": 2}
    every = windows_on(labels, **how)
    whole = windows_to_learn(labels, **how, rng=None)
    xr.testing.assert_identical(whole, every)  # without 0 cells each window has a class
    drawn = windows_to_learn(labels, **how, rng=np.random.default_rng(0))
    n_deposit = int((every["label"] == 1).sum())
    assert np.bincount(drawn["label"]).tolist() == [n_deposit, n_deposit]
    places = set(zip(every["row"].values, every["col"].values, every["label"].values))
    assert set(zip(drawn["row"].values, drawn["col"].values, drawn["label"].values)) < places


def test_windows_of_both_classes_are_needed():
    labels = small_labels(small_cube())
    how = {"known": labels.notnull(), "rng": None}
    with pytest.raises(LabelError, match="no window without deposits"):
        windows_to_learn(labels, size=20, step=1, **how)
    with pytest.raises(LabelError, match="no window with deposits, of 0 windows"):
        windows_to_learn(labels, size=25, step=1, **how)


@pytest.mark.parametrize("numbered", [False, True])
def test_windows_hold_deposits(numbered):
    labels = small_labels(small_cube(), background=True)
    if numbered:  # as label_deposits numbers them: some ids may be missing
        ids = deposit_ids(labels)
        labels = labels.assign_coords(deposit=ids.where(ids < 0, 3 * ids + 2))
    windows = windows_on(labels, labels.notnull(), size=6, step=2)
    holds = deposits_inside(labels, windows, size=6)
    assert holds.dims == ("window", "deposit")
    np.testing.assert_array_equal(holds.deposit, [2, 5, 8] if numbered else [0, 1, 2])
    ids = deposit_ids(labels)
    for k in range(windows.sizes["window"]):
        inside = set(cut(ids, windows.isel(window=k), 6).ravel()) - {-1}
        assert set(holds.deposit.values[holds.values[k]]) == inside
    np.testing.assert_array_equal(holds.any("deposit"), windows["label"] == 1)


def test_window_values_do_not_depend_on_chunks():
    cube = small_cube(holes=9)
    rows, cols = window_lattice((24, 20), 7, 3)
    values = window_values(cube, rows, cols, lambda block: block / 2, size=7)
    assert values.shape == (rows.size, 6, 7, 7)
    assert values.dtype == "float32"
    assert (rows[6], cols[6]) == (3, 3)
    np.testing.assert_array_equal(values[6], np.float32(cube.values[:, 3:10, 3:10] / 2))
    for chunks in ({"y": 5, "x": 4}, {"element": 2, "y": 24, "x": 3}):
        lazy = window_values(cube.chunk(chunks), rows, cols, lambda block: block / 2, size=7)
        np.testing.assert_array_equal(lazy, values)
