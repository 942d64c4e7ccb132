"""How fast is ``idw`` beside what a scientist would write with scipy? Ratios of one run.

Run ``python docs/experiments/speed_idw.py`` (several minutes), or with ``--smallest`` (seconds).
Every method grids the same samples to the same cells. The methods take turns, so that a busy
machine slows all of them; the table holds medians of each turn's seconds and ratios. It is
written to ``results/speed_idw.csv``.

The last rows say where the time of ``idw(...).compute()`` goes: the compiled kernel alone on the
same blocks and threads, the dask array without xarray, and cells by the 100 000, million and ten
million.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from dask.system import CPU_COUNT
from scipy import sparse
from scipy.spatial import cKDTree

from xgeoanom.kernels.idw import interpolate
from xgeoanom.kernels.neighbors import build_tree
from xgeoanom.survey.inverse_distance import idw

K = 12


def make_table(n: int, n_elements: int, side: int) -> xr.Dataset:
    """Return samples at random places on ``side`` x ``side`` unit cells."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, side, (2, n))
    return xr.Dataset(
        {"concentration": (("sample", "element"), rng.lognormal(size=(n, n_elements)))},
        {
            "x": ("sample", x),
            "y": ("sample", y),
            "element": [f"E{i}" for i in range(n_elements)],
            "unit": ("element", ["ppm"] * n_elements),
        },
    ).rio.write_crs(32645)


def make_cube(table: xr.Dataset, side: int) -> xr.DataArray:
    return idw(table, spacing=1.0, bounds=(0, 0, side, side), n_neighbors=K)


def neighbors(table: xr.Dataset, cube: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest samples of each cell and their weights, both ``(cell, K)``."""
    points = np.column_stack([table["x"], table["y"]])
    cells = np.stack(np.meshgrid(cube["x"], cube["y"]), axis=-1).reshape(-1, 2)
    distance, near = cKDTree(points).query(cells, k=K, workers=-1)
    weights = 1 / np.maximum(distance, 1e-12) ** 2
    return near, weights / weights.sum(axis=1, keepdims=True)


def by_einsum(table: xr.Dataset, cube: xr.DataArray) -> np.ndarray:
    near, weights = neighbors(table, cube)
    values = table["concentration"].values
    return np.einsum("ck,cke->ec", weights, values[near]).reshape(cube.shape)


def by_sparse_weights(table: xr.Dataset, cube: xr.DataArray) -> np.ndarray:
    near, weights = neighbors(table, cube)
    shape = len(near), table.sizes["sample"]
    starts = np.arange(0, near.size + 1, K)
    matrix = sparse.csr_matrix((weights.ravel(), near.ravel(), starts), shape)
    return (matrix @ table["concentration"].values).T.reshape(cube.shape)


def one_by_one(table: xr.Dataset, cube: xr.DataArray) -> np.ndarray:
    out = np.empty(cube.shape)
    for e in range(table.sizes["element"]):
        near, weights = neighbors(table, cube)
        column = table["concentration"].values[:, e]
        out[e] = (weights * column[near]).sum(axis=1).reshape(cube.shape[1:])
    return out


def by_kernel(table: xr.Dataset, cube: xr.DataArray) -> None:
    """Fill the cube's blocks on as many threads, without dask and xarray, and leave them apart."""
    tree = build_tree(table["x"].values, table["y"].values, table["concentration"].values)
    layers = np.arange(table.sizes["element"])
    ends = [np.cumsum((0, *sizes)) for sizes in cube.chunks[1:]]

    def fill(rows: slice, cols: slice) -> None:
        y, x = cube["y"].values[rows], cube["x"].values[cols]
        out = np.empty((len(layers), len(y), len(x)))
        interpolate(tree, y, x, layers, out, (K, 1, 2.0, np.inf))

    with ThreadPoolExecutor(CPU_COUNT) as threads:
        for rows in map(slice, ends[0][:-1], ends[0][1:]):
            for cols in map(slice, ends[1][:-1], ends[1][1:]):
                threads.submit(fill, rows, cols)


def seconds(func: Callable[[], object]) -> float:
    start = time.perf_counter()
    func()
    return time.perf_counter() - start


def compare(table: xr.Dataset, side: int, repeats: int) -> pd.DataFrame:
    """Time all methods in turn, ``repeats`` times, after a first run that checks the results."""
    cube = make_cube(table, side)
    methods: dict[str, Callable[[], object]] = {
        "idw(...).compute()": lambda: make_cube(table, side).compute(),
        "idw(...), lazy": lambda: make_cube(table, side),
        "dask array only": lambda: cube.data.compute(),
        "kernel only": lambda: by_kernel(table, cube),
        "cKDTree, einsum": lambda: by_einsum(table, cube),
        "cKDTree, sparse weights": lambda: by_sparse_weights(table, cube),
        "cKDTree, one element at a time": lambda: one_by_one(table, cube),
    }
    expected = cube.values
    for method in (by_einsum, by_sparse_weights, one_by_one):
        np.testing.assert_allclose(method(table, cube), expected, rtol=1e-8)
    by_kernel(table, cube)  # compiles
    names = list(methods)
    # Each round starts with another method: the first one finds memory as the last one left it.
    orders = [names[i % len(names) :] + names[: i % len(names)] for i in range(repeats)]
    runs = pd.DataFrame([{name: seconds(methods[name]) for name in order} for order in orders])
    ratios = runs.div(runs["idw(...).compute()"], axis=0)
    return pd.DataFrame({"seconds": runs.median(), "times idw": ratios.median()})


def flatness(n: int, n_elements: int, sides: list[int], repeats: int) -> pd.DataFrame:
    """Time growing grids of the same samples per cell."""
    rows = {}
    for side in sides:
        table = make_table(max(n * side**2 // 1000**2, K), n_elements, side)
        times = [seconds(lambda: make_cube(table, side).compute()) for _ in range(repeats)]  # noqa: B023
        rows[f"idw, {side} x {side} cells"] = statistics.median(times)
    table = pd.DataFrame({"seconds": rows})
    table["ns per cell"] = [
        1e9 * s / side**2 for s, side in zip(table["seconds"], sides, strict=True)
    ]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a tiny grid: checks the script")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    n, n_elements, side, repeats = (200, 3, 40, 1) if arguments.smallest else (10_000, 16, 1000, 5)
    sides = [40, 50] if arguments.smallest else [316, 1000, 3162]
    result = pd.concat(
        [
            compare(make_table(n, n_elements, side), side, repeats),
            flatness(n, n_elements, sides, min(repeats, 3)),
        ]
    )
    print(result.to_string(float_format="%.4g", na_rep=""))
    arguments.output.mkdir(parents=True, exist_ok=True)
    result.to_csv(arguments.output / "speed_idw.csv", float_format="%.4g", index_label="method")


if __name__ == "__main__":
    main()
