"""Two million samples onto a million cells: what does IDW take in time and memory?

Run ``python docs/experiments/speed_idw_dense.py`` (a minute or two), or with ``--smallest``
(seconds). Both ways use the same threads and find the same neighbours; scipy's time is that of its
search alone, without weights and means. They take turns; the table holds medians. Building the
index is timed apart. Memory is the most that a process of its own takes while it grids, over what
it took once it held the survey. Written to ``results/speed_idw_dense.csv``.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from dask.system import CPU_COUNT
from scipy.spatial import cKDTree

from xgeoanom.blocks import delayed, map_grid
from xgeoanom.kernels.idw import interpolate
from xgeoanom.kernels.neighbors import build_tree
from xgeoanom.survey.inverse_distance import idw

K = 12
KINDS = ("even", "clustered")


def places(kind: str, n: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return samples spread evenly, or in 200 clusters of which most of the map is empty."""
    rng = np.random.default_rng(0)
    if kind == "even":
        x, y = rng.uniform(0, side, (2, n))
        return x, y
    centres = rng.uniform(0, side, (2, 200))
    x, y = centres[:, rng.integers(0, 200, n)] + rng.normal(0, side / 300, (2, n))
    return x, y


def make_table(kind: str, n: int, side: int) -> xr.Dataset:
    x, y = places(kind, n, side)
    values = np.random.default_rng(1).lognormal(size=(n, 1))
    return xr.Dataset(
        {"concentration": (("sample", "element"), values)},
        {"x": ("sample", x), "y": ("sample", y), "element": ["Au"], "unit": ("element", ["ppb"])},
    ).rio.write_crs(32645)


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(kind: str, n: int, side: int, runs: int) -> dict[str, float]:
    """Time the filling of cells against scipy's search, both with their index built."""
    x, y = places(kind, n, side)
    values = np.random.default_rng(1).lognormal(size=(n, 1))
    tree, points = build_tree(x, y, values), cKDTree(np.column_stack([x, y]))
    centres = np.arange(side) + 0.5
    cells = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)

    def block(y: np.ndarray, x: np.ndarray, tree) -> np.ndarray:
        out = np.empty((1, len(y), len(x)))
        interpolate(tree, y, x, np.arange(1), out, (K, 1, 2.0, np.inf))
        return out

    shared = delayed(lambda: tree)
    chunks = (-(-side // 8), side)
    cube = map_grid(block, centres, centres, layers=1, chunks=chunks, shared=shared)
    cube.compute()
    search, fill = [], []
    for _ in range(runs):
        search.append(seconds(lambda: points.query(cells, k=K, workers=CPU_COUNT)))
        fill.append(seconds(cube.compute))
    ratio = statistics.median(f / s for f, s in zip(fill, search, strict=True))
    index = seconds(lambda: build_tree(x, y, values))
    return {
        "cKDTree query (s)": statistics.median(search),
        "idw, index built (s)": statistics.median(fill),
        "times the query": ratio,
        "building the index (s)": index,
    }


def _peak(kind: str, n: int, side: int, answer) -> None:
    warm = make_table(kind, 100, 8)
    idw(warm, spacing=1.0, bounds=(0, 0, 8, 8)).compute()
    table = make_table(kind, n, side)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    idw(table, spacing=1.0, bounds=(0, 0, side, side), n_neighbors=K).compute()
    answer.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)


def peak_memory(kind: str, n: int, side: int) -> float:
    """Return the bytes that gridding takes at most, over the survey itself."""
    fresh = multiprocessing.get_context("spawn")
    answer = fresh.Queue()
    process = fresh.Process(target=_peak, args=(kind, n, side, answer))
    process.start()
    taken = answer.get()
    process.join()
    return float(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a hundredth of the size, once")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    n, side, runs = (20_000, 100, 1) if arguments.smallest else (2_000_000, 1000, 5)
    print(f"{n} samples, {side} x {side} cells, k = {K}, {runs} runs, {CPU_COUNT} threads")
    rows = {kind: compare(kind, n, side, runs) for kind in KINDS}
    for kind in KINDS:
        rows[kind]["memory over the survey (MB)"] = peak_memory(kind, n, side) / 1e6
    table = pd.DataFrame(rows).rename_axis("what").map(lambda number: f"{number:.3g}")
    print(table.to_string())
    arguments.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.output / "speed_idw_dense.csv")


if __name__ == "__main__":
    main()
