"""Examples are the labelled cells, in place; held-out members."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from surveys import small_cube, small_labels

from xgeoanom.detectors.training_set import examples_of, held_out
from xgeoanom.errors import EvidenceError


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
