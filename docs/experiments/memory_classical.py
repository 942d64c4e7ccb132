"""How much memory do classical methods take on maps in chunks, as the map grows?

Run ``python docs/experiments/memory_classical.py`` (two minutes), or with ``--smallest`` (seconds).
Each method reads a map from Zarr in chunks of 250 x 250 cells and writes its result to Zarr, block
by block, in a process of its own, the smaller map first. Memory is the most that the process takes,
over what it took after a tiny map that compiled the kernels. Written to
``results/memory_classical.csv``.

What works in windows should take as much for a large map as for a small one.
"""

import argparse
import multiprocessing
import resource
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from dask.system import CPU_COUNT

from xgeoanom.classical.local_moran import local_moran
from xgeoanom.classical.rx import rx
from xgeoanom.classical.singularity import singularity
from xgeoanom.classical.trend_surface import local_trend, trend_surface
from xgeoanom.survey.rasters import open_cube, save_cube

ELEMENTS = 16
METHODS: dict[str, Callable[[xr.DataArray], xr.DataArray | xr.Dataset]] = {
    f"rx (5, 21), {ELEMENTS} elements": lambda cube: rx(cube, inner=5, outer=21),
    "singularity, five windows": lambda cube: singularity(cube[0]),
    "local_trend, window 21": lambda cube: local_trend(cube[0]),
    "local_moran, 199 permutations": lambda cube: local_moran(cube[0], seed=0),
    "trend_surface, degree 2": lambda cube: trend_surface(cube[0]),
}


def save_map(path: Path, side: int, n_elements: int, chunk: int) -> None:
    """Save a positive float32 cube of ``side`` cells each way."""
    axis = np.arange(float(side))
    values = np.random.default_rng(0).lognormal(size=(n_elements, side, side))
    cube = xr.DataArray(
        values.astype("float32"),
        coords={"element": [f"E{k}" for k in range(n_elements)], "y": -axis, "x": axis},
        dims=("element", "y", "x"),
        name="concentration",
    ).rio.write_crs(32645)
    save_cube(cube.chunk(y=chunk, x=chunk), path)


def alone(func: Callable, *args: object) -> Any:
    """Call in a fresh process; its peak starts at its parent's, which has to stay lean."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as process:
        return process.submit(func, *args).result()


def peak_memory(method: str, sides: tuple[int, ...], chunk: int) -> dict[str, float]:
    """Return the megabytes taken at most by maps of growing size, over what a small one takes."""
    n_elements = ELEMENTS if method.startswith("rx") else 1
    with tempfile.TemporaryDirectory() as folder:
        for side in (50, *sides):
            alone(save_map, Path(folder) / f"{side}.zarr", side, n_elements, chunk)
        taken = alone(_peaks, method, Path(folder), (50, *sides))
    return {
        f"{side} x {side} (MB)": (peak - taken[0]) / 1000
        for side, peak in zip(sides, taken[1:], strict=True)
    }


def _peaks(method: str, folder: Path, sides: tuple[int, ...]) -> list[int]:
    """Return the most kilobytes that the process has taken after each map."""
    taken = []
    for side in sides:
        save_cube(METHODS[method](open_cube(folder / f"{side}.zarr")), folder / "result.zarr")
        taken.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="tiny maps: checks the script")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    sides, chunk = ((60, 120), 30) if arguments.smallest else ((1000, 2000), 250)
    print(f"chunks of {chunk} x {chunk} cells, {CPU_COUNT} threads")
    methods = list(METHODS)[1:2] if arguments.smallest else METHODS
    rows = {method: peak_memory(method, sides, chunk) for method in methods}
    table = pd.DataFrame(rows).T.map(lambda number: f"{number:.3g}")
    print(table.to_string())
    arguments.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.output / "memory_classical.csv", index_label="method")


if __name__ == "__main__":
    main()
