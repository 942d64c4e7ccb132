"""Superpixels, graph and training of SGCN against scikit-image and torch-geometric used plainly.

    python docs/experiments/speed_sgcn.py [--smallest] [--output docs/experiments/results]

The cube has the paper's size, 251 x 310 x 39. Plainly: scikit-image's slic with its mask on three
bands; its region adjacency graph; and an epoch with torch-geometric's SGConv over all cells. Ours
cuts, connects, merges and numbers. The robust components that make the bands have no rival here.
Then ours on squares of up to a million cells. One thread; the rivals take turns, the best of three.
"""

import argparse
import importlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from skimage.graph import rag_mean_color
from skimage.segmentation import slic

import xgeoanom as xga
from xgeoanom.detectors.neighborhood import SuperpixelGraph
from xgeoanom.detectors.region_graph import neighbor_edges

CUTTING = importlib.import_module("xgeoanom.detectors.superpixels")  # a function bears its name
PAPER = 251, 310
N_ELEMENTS, N_LABELLED = 39, 400


def survey(shape: tuple[int, int], n_elements: int) -> xr.DataArray:
    """Return a smooth clr cube."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(n_elements, *(n // 8 + 2 for n in shape)))
    fine = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, : shape[0], : shape[1]]
    values = fine + 0.3 * rng.normal(size=fine.shape)
    y, x = (500.0 * np.arange(n) for n in shape)
    coords = {"element": [f"E{k}" for k in range(n_elements)], "y": y[::-1], "x": x}
    cube = xr.DataArray(values - values.mean(axis=0), coords, ("element", "y", "x"), "clr")
    return cube.assign_attrs(log_ratio="clr").rio.write_crs(32650)


def seconds(func: Callable[[], object]) -> float:
    start = time.perf_counter()
    func()
    return time.perf_counter() - start


def best_of(repeats: int, **rivals: Callable[[], object]) -> dict[str, float]:
    """Return the least seconds of each, taking turns."""
    runs = [{name: seconds(func) for name, func in rivals.items()} for _ in range(repeats)]
    return {name: min(run[name] for run in runs) for name in rivals}


def epoch_of(graph: SuperpixelGraph, values: np.ndarray, *, plain: bool) -> Callable[[], None]:
    """Return one training epoch on the whole graph, ours or with SGConv over all cells."""
    from torch_geometric.nn import SGConv

    from xgeoanom.nets.graph import DualBranch, propagate

    torch.manual_seed(0)
    network = DualBranch(values.shape[1]).train()
    given, member = torch.from_numpy(values), torch.from_numpy(graph.ids.ravel().astype("int64"))
    neighbors = torch.from_numpy(neighbor_edges(graph.ids))
    edges, weights = torch.from_numpy(graph.edges), torch.from_numpy(graph.weights)
    labelled = torch.randperm(len(given))[:N_LABELLED]
    target = (torch.arange(N_LABELLED) % 2).float()
    convolution = SGConv(values.shape[1], 128, K=3) if plain else None
    parameters = [*network.parameters(), *(convolution.parameters() if convolution else ())]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    smoothed = None if plain else propagate(given, neighbors)

    def embedded() -> torch.Tensor:
        if convolution is None:
            return network.embed(smoothed, member, graph.n_superpixels, edges, weights)
        cells = torch.relu(convolution(given, neighbors))
        return network.external(network.pool(cells, member, graph.n_superpixels), edges, weights)

    def epoch() -> None:
        optimizer.zero_grad()
        mixed = given if smoothed is None else smoothed
        logits = network(given[labelled], mixed[labelled], embedded()[member[labelled]])
        torch.nn.functional.binary_cross_entropy_with_logits(logits, target).backward()
        optimizer.step()

    return epoch


def cut(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return superpixels of bands that are there."""
    filled = CUTTING._filled(image, mask)
    patches = CUTTING._cut(filled, CUTTING.SIZE, CUTTING.COMPACTNESS, "slic", (1.0, 1.0))
    parts = CUTTING._connected(patches, mask)
    return CUTTING._in_reading_order(CUTTING._merged(parts, image, 10))


def paper_sized(shape: tuple[int, int], repeats: int) -> pd.DataFrame:
    """Time each step of ours beside the plain one."""
    cube = survey(shape, N_ELEMENTS)
    ids = xga.superpixels(cube, seed=0)
    mask, n = np.ones(shape, dtype=bool), int(ids.max()) + 1
    image = CUTTING._bands(cube, mask, 0)
    graph = SuperpixelGraph(cube, ids)
    values = np.ascontiguousarray(cube.values.reshape(N_ELEMENTS, -1).T.astype("float32"))
    rows = {
        "robust components": best_of(repeats, ours=lambda: CUTTING._bands(cube, mask, 0)),
        "superpixels": best_of(
            repeats,
            ours=lambda: cut(image, mask),
            plain=lambda: slic(image, n_segments=n, mask=mask, convert2lab=False, channel_axis=-1),
        ),
        "graph": best_of(
            repeats,
            ours=lambda: xga.region_adjacency(ids, cube),
            plain=lambda: rag_mean_color(image, ids.values, connectivity=2),
        ),
        "one training epoch": best_of(
            repeats + 1,  # the first one builds
            ours=epoch_of(graph, values, plain=False),
            plain=epoch_of(graph, values, plain=True),
        ),
    }
    table = pd.DataFrame(rows).T.rename_axis("what")
    table.columns = ["seconds, ours", "seconds, plain"]
    table["plain / ours"] = table.iloc[:, 1] / table.iloc[:, 0]
    return table.round(3).reset_index()


def growing(sides: list[int]) -> pd.DataFrame:
    """Time ours on squares of six elements."""
    rows = []
    for side in sides:
        cube = survey((side, side), 6)
        row: dict[str, float] = {"cells": side**2}
        mask = np.ones((side, side), dtype=bool)
        row["robust components"] = seconds(lambda: CUTTING._bands(cube, mask, 0))  # noqa: B023
        image = CUTTING._bands(cube, mask, 0)
        row["superpixels"] = seconds(lambda: cut(image, mask))  # noqa: B023
        ids = xga.superpixels(cube, seed=0)
        row["graph"] = seconds(lambda ids=ids, cube=cube: xga.region_adjacency(ids, cube))
        values = np.ascontiguousarray(cube.values.reshape(6, -1).T.astype("float32"))
        epoch = epoch_of(SuperpixelGraph(cube, ids), values, plain=False)
        epoch()
        row["one training epoch"] = seconds(epoch)
        growing_parts = row["superpixels"] + row["graph"] + row["one training epoch"]
        rows.append(row | {"microseconds per cell": 1e6 * growing_parts / side**2})
    return pd.DataFrame(rows).round(3)  # the robust components take a fixed number of cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="seconds, on small cubes")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    tables = {
        "speed_sgcn": paper_sized((40, 50) if args.smallest else PAPER, 1 if args.smallest else 3),
        "speed_sgcn_cells": growing([40, 60] if args.smallest else [100, 316, 1000]),
    }
    for name, table in tables.items():
        table.to_csv(args.output / f"{name}.csv", index=False)
        print(table.to_string(index=False))


if __name__ == "__main__":
    main()
