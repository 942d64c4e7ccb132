"""Folds of superpixels: none torn, deposits far apart in the graph, each cell with the nearest."""

import networkx
import numpy as np
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given, reject
from hypothesis import strategies as st
from surveys import small_cube, small_labels

from xgeoanom.detectors.region_graph import touching
from xgeoanom.errors import GridError, LabelError
from xgeoanom.evaluation.crossval import cross_validate
from xgeoanom.evaluation.superpixel_folds import superpixel_folds

SHAPE = (36, 45)


def on_grid(values, name):
    grid = {"y": 500.0 * np.arange(SHAPE[0])[::-1], "x": 500.0 * np.arange(SHAPE[1])}
    return xr.DataArray(values, grid, dims=("y", "x"), name=name).rio.write_crs(32650)


def blocks(side=3, lost=None):
    """Squares of ``side`` cells; ``lost`` is missing ground."""
    rows, cols = np.indices(SHAPE) // side
    ids = rows * (SHAPE[1] // side) + cols
    if lost is not None:
        ids = np.where(lost, -1, ids)
        kept = np.unique(ids[ids >= 0])
        ids = np.where(ids >= 0, np.searchsorted(kept, ids), -1)
    return on_grid(ids.astype("int32"), "superpixel")


def labels_at(*centres, radius=1):
    marks = np.full(SHAPE, -1, dtype="int8")
    ids = np.full(SHAPE, -1, dtype="int16")
    for k, (r, c) in enumerate(centres):
        block = np.s_[max(r - radius, 0) : r + radius + 1, max(c - radius, 0) : c + radius + 1]
        marks[block], ids[block] = 1, k
    return on_grid(marks, "labels").assign_coords(deposit=(("y", "x"), ids))


def scattered(seed, n=8):
    rng = np.random.default_rng(seed)
    return labels_at(*zip(rng.integers(1, SHAPE[0] - 1, n), rng.integers(1, SHAPE[1] - 1, n)))


def graph_of(ids):
    graph = networkx.Graph(touching(ids.values)[0].T.tolist())
    graph.add_nodes_from(range(int(ids.max()) + 1))
    return graph


def fold_of_superpixels(folds, ids):
    """The one fold of each superpixel."""
    found = [np.unique(folds.values[ids.values == k]) for k in range(int(ids.max()) + 1)]
    assert all(len(one) == 1 for one in found)
    return np.array([one[0] for one in found])


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_folds_are_apart_and_superpixels_whole(seed, min_steps):
    labels, ids = scattered(seed), blocks()
    try:
        folds = superpixel_folds(labels, ids, n=2, min_steps=min_steps, seed=0)
    except LabelError:  # all in one group
        reject()
    fold = fold_of_superpixels(folds, ids)
    steps = dict(networkx.all_pairs_shortest_path_length(graph_of(ids)))
    held = {k: np.unique(ids.values[labels["deposit"].values == k]) for k in range(8)}
    held = {k: one for k, one in held.items() if one.size}  # later blocks cover earlier ones
    for one in held.values():
        assert len(set(fold[one])) == 1
        for other in held.values():
            if fold[one[0]] != fold[other[0]]:
                assert min(steps[s][t] for s in one for t in other) >= min_steps
    for k in range(len(fold)):
        nearest = {m: min(steps[k][s] for s in one) for m, one in held.items()}
        least = min(nearest.values())
        assert fold[k] in {fold[held[m][0]] for m, gap in nearest.items() if gap == least}


def test_neighbours_of_a_deposit_lie_on_its_side():
    labels, ids = labels_at((4, 4), (4, 13), (30, 40)), blocks()
    folds = superpixel_folds(labels, ids, n=3, seed=0)
    fold, graph = fold_of_superpixels(folds, ids), graph_of(ids)
    for r, c in ((4, 4), (4, 13), (30, 40)):
        own = int(ids[r, c])
        assert {fold[k] for k in graph[own]} == {fold[own]}


def test_near_deposits_share_a_fold():
    labels = labels_at((4, 4), (4, 10), (30, 10), (30, 40))  # the first two: two steps apart
    folds = superpixel_folds(labels, blocks(), n=3, seed=0)
    at = [int(folds[cell]) for cell in ((4, 4), (4, 10), (30, 10), (30, 40))]
    assert at[0] == at[1]
    assert len(set(at)) == 3
    near = superpixel_folds(labels, blocks(), n=4, min_steps=2, seed=0)
    assert len(np.unique(near)) == 4


def test_of_equal_steps_the_shorter_way_decides():
    # One row of superpixels: the fourth is three steps from both ends, but nearer to the west.
    cols = np.repeat([0, 1, 2, 3, 4, 5, 6], [4, 4, 4, 4, 9, 9, 11])
    ids = on_grid(np.broadcast_to(cols, SHAPE).astype("int32"), "superpixel")
    folds = superpixel_folds(labels_at((4, 1), (4, 40)), ids, n=2, seed=0)
    np.testing.assert_array_equal(folds[0] == folds[0, 0], cols <= 3)


def test_islands_go_with_the_nearest_in_space_and_missing_cells_with_their_superpixel():
    lost = np.zeros(SHAPE, dtype=bool)
    lost[:, 15:18] = lost[:, 30:33] = True
    labels, ids = labels_at((4, 4), (30, 13)), blocks(lost=lost)
    folds = superpixel_folds(labels, ids, n=2, seed=0)
    assert (folds >= 0).all()
    assert folds[4, 40] == folds[4, 4] != folds[30, 13] == folds[30, 40]
    np.testing.assert_array_equal(folds.values[:, 15], folds.values[:, 14])


def test_a_deposit_on_missing_ground_counts_with_the_nearest_superpixel():
    lost = np.zeros(SHAPE, dtype=bool)
    lost[:6, :6] = True
    folds = superpixel_folds(labels_at((2, 2), (30, 40)), blocks(lost=lost), n=2, seed=0)
    assert folds[2, 2] != folds[30, 40]


def test_result_is_a_raster_on_the_grid():
    labels, ids = scattered(1), blocks()
    before = labels.copy(deep=True), ids.copy(deep=True)
    folds = superpixel_folds(labels, ids, n=2, seed=0)
    xr.testing.assert_identical(labels, before[0])
    xr.testing.assert_identical(ids, before[1])
    assert (folds.name, folds.dtype, folds.dims) == ("cv_fold", np.int16, ("y", "x"))
    assert_georeferenced(folds, labels)
    assert folds.attrs["kind"] == "superpixel"
    assert folds.attrs["seed"] == 0


def test_direction_does_not_matter_and_seed_does():
    labels, ids = labels_at((4, 4), (4, 40), (18, 22), (30, 4), (30, 40)), blocks()
    folds = superpixel_folds(labels, ids, n=3, seed=0)
    turned = superpixel_folds(labels.sortby("y"), ids.sortby("y"), n=3, seed=0)
    xr.testing.assert_identical(turned.sortby("y", ascending=False), folds)
    assert any(not superpixel_folds(labels, ids, n=3, seed=k).equals(folds) for k in range(1, 6))


def test_cross_validate_takes_them():
    cube = small_cube(36, 36)
    labels = small_labels(cube)
    ids = (labels * 0 + np.indices((36, 36))[0] // 3 * 12 + np.indices((36, 36))[1] // 3).astype(
        int
    )
    folds = superpixel_folds(labels, ids, n=3, seed=0)
    score = cross_validate(
        cube, lambda cube, labels: cube.sel(element="Au"), labels, folds, buffer_cells=3
    )
    np.testing.assert_allclose(score["oof"], cube.sel(element="Au"), rtol=1e-6)
    np.testing.assert_array_equal(score["n_test_deposits"], 1)
    np.testing.assert_array_equal(score["n_train_deposits"], 2)


def test_bad_input():
    labels, ids = labels_at((4, 4), (4, 10), (30, 40)), blocks()
    with pytest.raises(LabelError, match="n=3 folds need as many groups .* there are 2; use fewer"):
        superpixel_folds(labels, ids, n=3)
    with pytest.raises(LabelError, match="n=1 folds"):
        superpixel_folds(labels, ids, n=1)
    for steps in (0, 1.5):
        with pytest.raises(LabelError, match=f"min_steps={steps}"):
            superpixel_folds(labels, ids, n=2, min_steps=steps)
    with pytest.raises(GridError, match="superpixels runs the other way"):
        superpixel_folds(labels, ids.sortby("y"), n=2)
    with pytest.raises(GridError, match="dtype"):
        superpixel_folds(labels, ids.astype(float), n=2)
    with pytest.raises(LabelError, match="label_deposits"):
        superpixel_folds(labels.copy(data=np.full(SHAPE, -1)), ids, n=2)
