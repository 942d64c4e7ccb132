"""Graphs of superpixels against naive loops, scikit-image's moments and networkx."""

from itertools import product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import regionprops
from surveys import small_cube

from xgeoanom.detectors.region_graph import graph_distance, neighbor_edges, region_adjacency
from xgeoanom.errors import CRSError, CubeError, GridError


def raster(ids, step=500.0, ascending=False):
    ids = np.asarray(ids)
    y = 4_000_000 + step * np.arange(ids.shape[0])[::-1]
    x = 300_000 + step * np.arange(ids.shape[1])
    result = xr.DataArray(ids, {"y": y, "x": x}, dims=("y", "x"), name="superpixel")
    result = result.rio.write_crs(32650)
    return result.sortby("y") if ascending else result


def random_ids(seed, shape=(12, 15), lost=0.2):
    """Patches of about four cells, some cells missing, numbered without a gap."""
    rng = np.random.default_rng(seed)
    blocks = rng.permuted(np.arange(48)).reshape(6, 8).repeat(2, 0).repeat(2, 1)
    blocks = np.where(rng.random((12, 16)) < 0.3, rng.integers(0, 48, (12, 16)), blocks)
    ids = np.where(rng.random((12, 16)) < lost, -1, blocks)[: shape[0], : shape[1]]
    kept = np.unique(ids[ids >= 0])
    return np.where(ids >= 0, np.searchsorted(kept, ids), -1)


def cube_on(ids, seed=0):
    cube = small_cube(*ids.shape, seed=seed)
    coords = {"y": ids["y"].values, "x": ids["x"].values}
    return cube.assign_coords(coords).where(ids >= 0)


def naive_touching(ids):
    """Pairs of ids in the 8-neighbourhood, with the number of their pairs of cells."""
    found = {}
    for r, c in np.argwhere(ids >= 0):
        for dr, dc in product((-1, 0, 1), repeat=2):
            s, t = r + dr, c + dc
            if 0 <= s < ids.shape[0] and 0 <= t < ids.shape[1] and ids[s, t] > ids[r, c]:
                pair = (int(ids[r, c]), int(ids[s, t]))
                found[pair] = found.get(pair, 0) + 1
    return found


@given(st.integers(0, 1000))
def test_edges_equal_a_naive_loop(seed):
    ids = random_ids(seed)
    graph = region_adjacency(raster(ids), cube_on(raster(ids)))
    want = naive_touching(ids)
    assert graph["ends"].dtype == np.int32
    assert list(map(tuple, graph["ends"].values.tolist())) == sorted(want)
    np.testing.assert_array_equal(graph["boundary"], [want[pair] for pair in sorted(want)])


def test_edges_equal_the_rag_of_scikit_image():
    graph_module = pytest.importorskip("skimage.graph")
    ids = random_ids(3, lost=0.0)
    rag = graph_module.RAG(ids, connectivity=2)
    graph = region_adjacency(raster(ids), cube_on(raster(ids)))
    want = sorted(tuple(sorted(pair)) for pair in rag.edges)
    assert list(map(tuple, graph["ends"].values.tolist())) == want


def test_weights_are_those_of_the_formula():
    ids = raster(random_ids(1))
    cube = cube_on(ids)
    graph = region_adjacency(ids, cube)
    z = (cube - cube.mean(("y", "x"))) / cube.std(("y", "x"))
    n = graph.sizes["superpixel"]
    mean = np.array([z.values[:, ids.values == k].mean(axis=1) for k in range(n)])
    gap = np.array([np.linalg.norm(mean[s] - mean[t]) for s, t in graph["ends"].values])
    tau = np.median(gap)
    np.testing.assert_allclose(graph["weight"], np.exp(-(gap**2) / (2 * tau**2)), rtol=1e-9)
    assert np.median(graph["weight"]) == pytest.approx(np.exp(-0.5), rel=0.05)


def test_chunks_and_bands_do_not_matter(monkeypatch):
    ids = raster(random_ids(2))
    cube = cube_on(ids)
    eager = region_adjacency(ids, cube)
    xr.testing.assert_allclose(region_adjacency(ids, cube.chunk(y=5, x=4)), eager)
    xr.testing.assert_allclose(region_adjacency(ids.T, cube.transpose("x", "y", "element")), eager)
    monkeypatch.setattr("xgeoanom.detectors.region_graph.BAND", 40)
    xr.testing.assert_allclose(region_adjacency(ids, cube), eager)


def test_direction_does_not_matter():
    ids = raster(random_ids(4))
    cube = cube_on(ids)
    north, south = region_adjacency(ids, cube), region_adjacency(ids.sortby("y"), cube.sortby("y"))
    xr.testing.assert_allclose(north, south)


@pytest.mark.parametrize("ascending", [True, False])
def test_shapes_equal_regionprops(ascending):
    ids = raster(random_ids(5), ascending=ascending)
    graph = region_adjacency(ids, cube_on(ids))
    north = ids.sortby("y", ascending=False).values
    for k, region in enumerate(regionprops(north + 1)):
        one = graph.isel(superpixel=k)
        assert one["n_cells"] == region.area
        row, col = region.centroid
        assert float(one["y"]) == pytest.approx(4_000_000 + 500 * (north.shape[0] - 1 - row))
        assert float(one["x"]) == pytest.approx(300_000 + 500 * col)
        # scikit-image takes cells as points; ours are squares, whose moment is 1/12.
        long, short = np.array(region.inertia_tensor_eigvals) + 1 / 12
        assert float(one["elongation"]) == pytest.approx(np.sqrt(long / short), rel=1e-6)
        if long > short + 1e-6:
            # From the row axis (south), counterclockwise: so is the bearing's mirror from north.
            angle = np.degrees(region.orientation) % 180
            turn = (float(one["orientation"]) - (180 - angle)) % 180
            assert min(turn, 180 - turn) == pytest.approx(0, abs=1e-4)


def test_long_superpixels_lie_along_or_across_edges():
    # Two rows of three cells end to end, and a third row beside the first.
    ids = raster([[0, 0, 0, 1, 1, 1], [2, 2, 2, -1, -1, -1]])
    graph = region_adjacency(ids, cube_on(ids))
    np.testing.assert_allclose(graph["orientation"], 90)
    np.testing.assert_allclose(graph["elongation"], np.sqrt((2 / 3 + 1 / 12) * 12))
    pair = {tuple(ends): k for k, ends in enumerate(graph["ends"].values.tolist())}
    along, across = pair[0, 1], pair[0, 2]
    np.testing.assert_allclose(graph["bearing"][[along, across]], [90, 0], atol=1e-9)
    np.testing.assert_allclose(graph["distance"][[along, across]], [1500, 500])
    np.testing.assert_allclose(graph["boundary"][[along, across]], [1, 7])
    np.testing.assert_allclose(
        graph["alignment"][[along, across]], np.log(3) * np.array([1, -1]), rtol=1e-9
    )


def test_bearing_is_from_north_clockwise():
    northeast = raster([[-1, 1], [0, -1]])
    assert float(region_adjacency(northeast, cube_on(northeast))["bearing"][0]) == pytest.approx(45)
    southeast = raster([[0, -1], [-1, 1]])
    graph = region_adjacency(southeast, cube_on(southeast))
    assert float(graph["bearing"][0]) == pytest.approx(135)
    assert float(graph["distance"][0]) == pytest.approx(500 * np.sqrt(2))


def test_result_says_what_it_is():
    ids = raster(random_ids(6))
    cube = cube_on(ids)
    before = cube.copy(deep=True)
    graph = region_adjacency(ids, cube)
    xr.testing.assert_identical(cube, before)
    assert graph.rio.crs == ids.rio.crs
    assert graph.attrs["method"] == "region_adjacency"
    assert list(graph["end"].values) == ["source", "target"]
    for array in graph.data_vars.values():
        assert {"long_name", "units"} <= set(array.attrs)


def test_one_superpixel_has_no_edge():
    ids = raster(np.zeros((4, 5), dtype=int))
    graph = region_adjacency(ids, cube_on(ids))
    assert (graph.sizes["edge"], graph.sizes["superpixel"]) == (0, 1)


def test_like_superpixels_weigh_one():
    ids = raster([[0, 0, 1, 1, 2, 2]] * 2)
    cube = cube_on(ids)
    cube[:] = np.where(ids.values == 2, 1.0, 0.0)
    cube[:, 0] = 0.5
    graph = region_adjacency(ids, cube * 0 + 1)
    np.testing.assert_array_equal(graph["weight"], 1.0)


@given(st.integers(0, 1000))
def test_neighbor_edges_equal_a_naive_loop(seed):
    ids = random_ids(seed, shape=(7, 9))
    want = set()
    for r, c in np.argwhere(ids >= 0):
        for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            s, t = r + dr, c + dc
            if 0 <= s < 7 and 0 <= t < 9 and ids[s, t] == ids[r, c]:
                want.add((int(r * 9 + c), int(s * 9 + t)))
    edges = neighbor_edges(ids)
    assert edges.shape == (2, len(want))
    assert set(map(tuple, edges.T.tolist())) == want


@given(st.integers(0, 1000), st.integers(1, 3))
def test_steps_equal_networkx(seed, n_sources):
    networkx = pytest.importorskip("networkx")
    ids = random_ids(seed, lost=0.5)
    n = ids.max() + 1
    graph = networkx.Graph(naive_touching(ids).keys())
    graph.add_nodes_from(range(n))
    sources = list(range(min(n_sources, n)))
    want = networkx.multi_source_dijkstra_path_length(graph, set(sources))
    steps = graph_distance(raster(ids), sources)
    assert steps.dims == ("superpixel",)
    np.testing.assert_array_equal(steps, [want.get(k, np.inf) for k in range(n)])


def test_bad_input():
    ids = raster([[0, 0, 1], [0, 2, 1]])
    cube = cube_on(ids)
    with pytest.raises(GridError, match="without a gap"):
        region_adjacency(ids.where(ids != 1, 5), cube)
    with pytest.raises(GridError, match="without a gap"):
        region_adjacency(ids * 0 - 1, cube)
    with pytest.raises(GridError, match="dtype float64"):
        region_adjacency(ids.astype(float), cube)
    with pytest.raises(GridError, match=r"no raster \(y, x\)"):
        region_adjacency(cube, cube)
    with pytest.raises(GridError, match="another grid"):
        region_adjacency(ids[:, :2].where(ids[:, :2] == 0, 1), cube)
    with pytest.raises(CRSError, match="reproject"):
        region_adjacency(ids, cube.rio.write_crs(32651))
    with pytest.raises(CubeError, match="missing in 1 cells of superpixels"):
        region_adjacency(ids, cube.where(ids != 2))
    for sources in ([3], [-1], [], [0.5]):
        with pytest.raises(GridError, match="must be ids of superpixels, from 0 to 2"):
            graph_distance(ids, sources)
