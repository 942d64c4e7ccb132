"""SGCN: its map against the whole graph, its early stopping, background and explanations."""

from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from surveys import small_cube, small_labels

from xgeoanom.detectors.branch_maps import branch_contributions, superpixel_importance
from xgeoanom.detectors.neighborhood import SuperpixelGraph
from xgeoanom.detectors.region_graph import neighbor_edges
from xgeoanom.detectors.sgcn import SGCN, sgcn
from xgeoanom.errors import CompositionError, LabelError, XGeoAnomError
from xgeoanom.nets.graph import propagate

Small = partial(SGCN, size=16, min_size=4, epochs=6, draws=1, learning_rate=0.01, seed=0)


@pytest.fixture(scope="module")
def cube():
    return small_cube(holes=12)


@pytest.fixture(scope="module")
def labels(cube):
    return small_labels(cube)


@pytest.fixture(scope="module")
def detector(cube, labels):
    return Small().fit(cube, labels)


def whole_graph(detector, cube):
    """Return the tensors of the survey as one graph, without blocks or neighbourhoods."""
    superpixel = detector.derive(cube)["superpixel"]
    graph = SuperpixelGraph(cube, superpixel)
    ids = superpixel.values
    known = ids >= 0
    number = np.cumsum(known.ravel()) - 1
    values = torch.from_numpy(detector.standardise(cube.values)[:, known].T.copy())
    smoothed = propagate(values, torch.from_numpy(number[neighbor_edges(ids)]))
    member = torch.from_numpy(ids[known].astype("int64"))
    edges, weights = torch.from_numpy(graph.edges), torch.from_numpy(graph.weights)
    return known, values, smoothed, (member, graph.n_superpixels, edges, weights)


# -------------------------------------------------------------------------------------- the map


@pytest.mark.parametrize("branches", ["both", "spatial", "spectrum"])
@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_map_is_that_of_the_whole_graph(cube, labels, branches, pooling):
    detector = Small(branches=branches, pooling=pooling).fit(cube, labels)
    (network,) = detector.networks_
    known, values, smoothed, graph = whole_graph(detector, cube)
    with torch.inference_mode():
        embedded = None
        if branches != "spectrum":
            embedded = network.embed(smoothed, *graph)[graph[0]]
        expected = network(values, smoothed, embedded).sigmoid().numpy()
    for given in (cube, cube.chunk(y=7, x=9)):
        score = detector.predict(given)["score"].values
        np.testing.assert_allclose(score[known], expected, atol=2e-6)
        assert np.isnan(score[~known]).all()


def test_neighborhood_is_enough(cube, detector):
    (network,) = detector.networks_
    known, _, smoothed, graph = whole_graph(detector, cube)
    ids = detector.derive(cube)["superpixel"].values
    rows, cols = np.array([2, 11, 20]), np.array([3, 9, 15])
    assert known[rows, cols].all()
    whole = network.embed(smoothed, *graph)[torch.from_numpy(ids[rows, cols].astype("int64"))]
    for k, around in enumerate(detector.around(cube, rows, cols)):
        _, part, target, small_graph = around.tensors(torch.device("cpu"))
        embedded = network.embed(part, *small_graph)[small_graph[0][target]]
        torch.testing.assert_close(embedded[0], whole[k], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(around.rows[around.target], rows[k])


def test_steps_between_superpixels(cube, detector):
    graph = SuperpixelGraph(cube, detector.derive(cube)["superpixel"])
    touching = {k: set() for k in range(graph.n_superpixels)}
    for source, target in graph.edges.T:
        touching[int(source)].add(int(target))
    reached = {5}
    for steps in range(4):
        assert set(np.flatnonzero(graph.within(np.array([5]), steps)).tolist()) == reached
        reached = reached.union(*(touching[k] for k in reached))


# ------------------------------------------------------------------------------------- training


def test_background_keeps_off_the_superpixels_of_deposits(cube, labels):
    detector = Small(draws=3)
    seen, draw = [], detector.draw
    detector.draw = lambda *args: seen.append(draw(*args)) or seen[-1]
    deposits = labels.where(labels == 1, -1).astype("int8")
    detector.fit(cube, deposits)
    ids = detector.derive(cube)["superpixel"].values
    graph = SuperpixelGraph(cube, detector.derive(cube)["superpixel"])
    near = graph.within(ids[(labels == 1).values & (ids >= 0)], 1)
    assert len(seen) == 3
    for table, _ in seen:
        cells = table.isel(example=(table["label"] == 0).values)
        assert cells.sizes["example"] == int((table["label"] == 1).sum())
        assert not near[ids[cells["row"], cells["col"]]].any()


def test_validation_keeps_deposits_whole(cube, labels):
    detector = Small(validation_share=0.3)
    seen, chosen = [], detector._held_out
    detector._held_out = lambda *args: seen.append((args[0], chosen(*args))) or seen[-1][1]
    detector.fit(cube, labels)
    table, held = seen[0]
    deposit, label = table["deposit"].values, table["label"].values
    validation, training = set(deposit[held & (label == 1)]), set(deposit[~held & (label == 1)])
    assert validation
    assert training
    assert not validation & training
    assert held[label == 0].any()


def test_stops_when_validation_gains_no_more(cube, labels):
    patient = Small(epochs=60, patience=4, learning_rate=0.05).fit(cube, labels)
    (run,) = patient.history_
    best = int(np.argmin(run["validation"]))
    assert len(run["loss"]) == len(run["validation"]) == min(best + 1 + 4, 60)
    assert len(run["loss"]) < 60
    # The network is that of the best epoch: training only so far gives the same.
    short = Small(epochs=best + 1, patience=4, learning_rate=0.05).fit(cube, labels)
    xr.testing.assert_equal(short.predict(cube)["score"], patient.predict(cube)["score"])


def test_without_validation_all_epochs_run(cube, labels):
    (run,) = Small(validation_share=0.0).fit(cube, labels).history_
    assert len(run["loss"]) == 6
    assert "validation" not in run


def test_unlabelled_cells_are_counted(cube, labels, detector):
    known = cube.notnull().all("element").values
    n_labelled = 2 * int(((labels.values == 1) & known).sum())  # as much background is drawn
    # A small survey is all within three steps.
    assert detector.history_[0]["unlabelled_cells"] == known.sum() - n_labelled
    assert detector.predict(cube)["score"].attrs["unlabelled_cells"] == known.sum() - n_labelled
    alone = Small(branches="spectrum").fit(cube, labels)
    assert alone.history_[0]["unlabelled_cells"] == 0


# --------------------------------------------------------------------------------- explanations


@pytest.mark.parametrize("branches", ["both", "spatial", "spectrum"])
def test_shares_add_up_to_the_logit(cube, labels, branches):
    detector = Small(branches=branches, epochs=20).fit(cube, labels)
    places = [(float(cube.x[3]), float(cube.y[2])), (float(cube.x[15]), float(cube.y[20]))]
    shares = detector.explain(cube, places)
    assert shares.dims == ("location", "element")
    (network,) = detector.networks_
    for k, around in enumerate(detector.around(cube, np.array([2, 20]), np.array([3, 15]))):
        values, smoothed, target, graph = around.tensors(torch.device("cpu"))
        logits = []
        for share in (1.0, 0.0):
            mixed = share * smoothed
            embedded = None
            if branches != "spectrum":
                embedded = network.embed(mixed, *graph)[graph[0][target]]
            logits.append(network(share * values[target], mixed[target], embedded).item())
        gap = abs(float(shares[k].sum()) - (logits[0] - logits[1]))
        assert gap < 0.03 * max(1.0, abs(logits[0] - logits[1]))


def test_importance_is_what_elements_share(cube, detector):
    places = [(float(cube.x[3]), float(cube.y[2])), (float(cube.x[15]), float(cube.y[20]))]
    importance = superpixel_importance(detector, cube, places)
    assert importance.dims == ("location", "y", "x")
    np.testing.assert_array_equal(importance[0].isnull(), cube.isnull().any("element"))
    ids = detector.derive(cube)["superpixel"].values
    shares = detector.explain(cube, places).sum("element").values
    for one, total in zip(importance.values, shares, strict=True):
        each = [np.unique(one[ids == k]) for k in range(ids.max() + 1)]
        assert all(values.size == 1 for values in each)
        np.testing.assert_allclose(sum(float(values[0]) for values in each), total, rtol=1e-4)
    np.testing.assert_array_equal(importance["at_x"], [place[0] for place in places])


@pytest.mark.parametrize("branches", ["both", "spatial"])
def test_contributions_add_up_to_the_logit(cube, labels, branches):
    detector = Small(branches=branches, draws=1).fit(cube, labels)
    maps = branch_contributions(detector, cube)
    assert sorted(maps) == (["spatial", "spectrum"] if branches == "both" else ["spatial"])
    score = detector.predict(cube)["score"].values.astype("float64")
    logit = np.log(score / (1 - score))
    rest = (logit - sum(maps[name].values for name in maps))[np.isfinite(score)]
    np.testing.assert_allclose(rest, rest.mean(), atol=1e-4)
    upside_down = branch_contributions(detector, cube.isel(y=slice(None, None, -1)))
    xr.testing.assert_allclose(upside_down.sortby("y", ascending=False), maps, atol=1e-5)
    lazy = branch_contributions(detector, cube.chunk(y=8, x=8))
    assert lazy["spatial"].chunks is not None
    xr.testing.assert_allclose(lazy.compute(), maps, atol=1e-5)


# --------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "wrong",
    [
        {"branches": "all"},
        {"pooling": "max"},
        {"fusion": "add"},
        {"shape": "hexagons"},
        {"epochs": 0},
        {"patience": 2.5},
        {"learning_rate": 0.0},
        {"validation_share": 1.0},
    ],
)
def test_wrong_settings_are_told(wrong):
    (name,) = wrong
    with pytest.raises(XGeoAnomError, match=name):
        SGCN(**wrong)


def test_other_log_ratios_are_refused_before_training(cube, labels):
    other = cube.assign_attrs(cube.attrs | {"log_ratio": "ilr"})
    with pytest.raises(CompositionError, match="ilr"):
        Small().fit(other, labels)


def test_maps_of_other_detectors_are_refused(cube):
    for func in (branch_contributions, partial(superpixel_importance, at=[(0.0, 0.0)])):
        with pytest.raises(XGeoAnomError, match="SGCN"):
            func("detector", cube)


def test_sgcn_adds_its_score(cube, labels):
    ds = cube.to_dataset(name="clr").assign(labels=labels)
    out = sgcn(ds, "labels", size=16, min_size=4, epochs=2, draws=1, seed=0)
    assert set(out) - set(ds) == {"sgcn"}
    assert out["sgcn"].attrs["method"] == "sgcn"


def test_a_class_is_never_wholly_held_out(cube, labels):
    own = labels.where(labels == 1, -1).astype("int8")
    own[0, 0] = 0  # one background cell
    (run,) = Small(epochs=3).fit(cube, own).history_
    assert "validation" not in run
    assert min(run["loss"]) > 0


def test_no_ground_left_for_background_is_told(cube, labels):
    with pytest.raises(LabelError, match="size=200"):
        Small(size=200).fit(cube, labels.where(labels == 1, -1).astype("int8"))


def test_numbers_of_numpy_are_numbers(cube, labels, tmp_path):
    detector = Small(size=np.int64(16), epochs=np.int64(2)).fit(cube, labels)
    detector.save(tmp_path / "d.safetensors")
    assert SGCN.load(tmp_path / "d.safetensors").size == 16.0
