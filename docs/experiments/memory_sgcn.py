"""How much memory does SGCN take on a large survey in chunks?

    python docs/experiments/memory_sgcn.py [--smallest] [--output docs/experiments/results]

A survey of 8 elements lies in Zarr in chunks of 500 x 500 cells; ten deposits are labelled. Fitting
(five epochs), predicting and writing the score run in a process of their own. Memory is the most
that the process takes in all, torch and its libraries among it (0.6 GB).
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

N_ELEMENTS, CHUNK, N_DEPOSITS = 8, 500, 10


def save_survey(folder: Path, side: int) -> None:
    """Save a smooth clr cube of ``side`` cells each way, and labels."""
    import xgeoanom as xga

    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(N_ELEMENTS, side // 8 + 1, side // 8 + 1)).astype("float32")
    values = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :side, :side]
    values += 0.3 * rng.standard_normal(size=values.shape, dtype="float32")
    axis = 500.0 * np.arange(side)
    coords = {"element": [f"E{k}" for k in range(N_ELEMENTS)], "y": -axis, "x": axis}
    cube = xr.DataArray(values - values.mean(axis=0), coords, ("element", "y", "x"), "clr")
    cube = cube.assign_attrs(log_ratio="clr").rio.write_crs(32650)
    xga.save_cube(cube.chunk(y=CHUNK, x=CHUNK), folder / "cube.zarr")
    marks = np.full((side, side), -1, dtype="int8")
    for row, col in rng.integers(2, side - 2, size=(N_DEPOSITS, 2)):
        marks[row - 1 : row + 2, col - 1 : col + 2] = 1
    labels = xr.DataArray(marks, {"y": -axis, "x": axis}, ("y", "x"), "labels")
    labels.rio.write_crs(32650).to_netcdf(folder / "labels.nc")


def score_survey(folder: Path) -> dict[str, float]:
    """Return seconds and gigabytes of fitting and predicting."""
    import xgeoanom as xga

    warnings.filterwarnings("ignore")
    cube = xga.open_cube(folder / "cube.zarr")
    labels = xr.open_dataarray(folder / "labels.nc", decode_coords="all").load()
    start = time.perf_counter()
    detector = xga.detectors.SGCN(draws=1, epochs=5, seed=0).fit(cube, labels)
    fitted = time.perf_counter()
    score = detector.predict(cube)["score"]
    xga.save_cube(score.expand_dims(element=["score"]), folder / "score.zarr")
    end = time.perf_counter()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"fit (s)": fitted - start, "predict (s)": end - fitted, "most memory (GB)": most}


def alone(func: object, *args: object) -> dict[str, float]:
    """Call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(func, *args).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a quarter of a minute")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for side in (150, 300) if args.smallest else (1000, 3163):
        with tempfile.TemporaryDirectory() as folder:
            alone(save_survey, Path(folder), side)
            rows.append({"cells": side**2, **alone(score_survey, Path(folder))})
        print(rows[-1], flush=True)
    pd.DataFrame(rows).round(2).to_csv(args.output / "memory_sgcn.csv", index=False)


if __name__ == "__main__":
    main()
