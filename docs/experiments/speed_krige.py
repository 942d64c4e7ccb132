"""How fast is ``krige`` beside pykrige's moving windows? Ratios of one run.

Run ``python docs/experiments/speed_krige.py`` (several minutes and about 12 GB, all of it
pykrige's matrices), or with ``--smallest`` (seconds). Needs pykrige. Every method kriges the same
samples to the same cells, estimate and variance, from the same 16 neighbours, with the same
variogram. Of pykrige only ``execute`` is timed, after a first call that compiles. The methods take
turns, so that a busy machine slows all of them; those that take less than a second are timed
several times a turn. The table holds medians of the turns' seconds and ratios. It is written to
``results/speed_krige.csv``.

The last rows grow the grid by tens, with one sample to ten cells: seconds and microseconds per
cell, and the memory that the process took at most so far, less what it had before kriging.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from pykrige.ok import OrdinaryKriging

from xgeoanom.survey.kriging import krige
from xgeoanom.survey.variogram import Variogram

K = 16
NUGGET, PARTIAL_SILL = 0.1, 0.9


def make_table(n: int, side: int) -> xr.Dataset:
    """Return samples of one element at random places on ``side`` x ``side`` unit cells."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, side, (2, n))
    return xr.Dataset(
        {"concentration": (("sample", "element"), rng.lognormal(size=(n, 1)))},
        {"x": ("sample", x), "y": ("sample", y), "element": ["E"], "unit": ("element", ["ppm"])},
    ).rio.write_crs(32645)


def make_cube(table: xr.Dataset, side: int) -> xr.DataArray:
    variogram = Variogram.spherical(PARTIAL_SILL, side / 5, nugget=NUGGET)
    return krige(table, variogram, spacing=1.0, bounds=(0, 0, side, side), n_neighbors=K)


def make_rival(table: xr.Dataset, side: int) -> OrdinaryKriging:
    return OrdinaryKriging(
        table["x"].values,
        table["y"].values,
        table["concentration"].values[:, 0],
        variogram_model="spherical",
        variogram_parameters={
            "psill": PARTIAL_SILL,
            "range": side / 5,
            "nugget": NUGGET,
        },
    )


def seconds(func: Callable[[], object]) -> float:
    start = time.perf_counter()
    func()
    return time.perf_counter() - start


def typical_seconds(func: Callable[[], object]) -> float:
    """Return the median of as many calls as fit into a second, at most nine."""
    first = seconds(func)
    return statistics.median([first, *(seconds(func) for _ in range(min(8, int(1 / first))))])


def memory() -> float:
    """Return the most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(n: int, side: int, repeats: int) -> pd.DataFrame:
    """Time all methods in turn, ``repeats`` times, after a first run that checks the results."""
    table = make_table(n, side)
    cube, rival = make_cube(table, side), make_rival(table, side)
    axes = cube["x"].values, cube["y"].values

    def by_pykrige(backend: str) -> np.ndarray:
        return np.array(rival.execute("grid", *axes, backend=backend, n_closest_points=K))

    methods: dict[str, Callable[[], object]] = {
        "krige(...).compute()": lambda: make_cube(table, side).compute(),
        "pykrige, loop": lambda: by_pykrige("loop"),
        "pykrige, C": lambda: by_pykrige("C"),
    }
    found = cube.compute()
    for backend in ("loop", "C"):
        estimate, variance = by_pykrige(backend)
        np.testing.assert_allclose(estimate, found[0], rtol=1e-6)
        np.testing.assert_allclose(variance, found["kriging_variance"][0], rtol=1e-6)
    names = list(methods)
    # Each round starts with another method: the first one finds memory as the last one left it.
    orders = [names[i % len(names) :] + names[: i % len(names)] for i in range(repeats)]
    runs = pd.DataFrame(
        [{name: typical_seconds(methods[name]) for name in order} for order in orders]
    )
    ratios = runs.div(runs["krige(...).compute()"], axis=0)
    table_of = {"seconds": runs.median(), "times krige": ratios.median()}
    return pd.DataFrame(table_of).rename(lambda name: f"{name}, {n} samples, {side} x {side} cells")


def flatness(sides: list[int], repeats: int) -> pd.DataFrame:
    """Time growing grids of as many samples per cell."""
    make_cube(make_table(50, 10), 10).compute()  # compiles
    rows, before = {}, memory()
    for side in sides:
        table = make_table(max(side**2 // 10, K), side)
        times = [seconds(lambda: make_cube(table, side).compute()) for _ in range(repeats)]  # noqa: B023
        median = statistics.median(times)
        rows[f"krige, {side**2 // 10} samples, {side} x {side} cells"] = {
            "seconds": median,
            "us per cell": 1e6 * median / side**2,
            "MB at most": memory() - before,
        }
    return pd.DataFrame(rows).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a tiny grid: checks the script")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    n, side, repeats = (200, 12, 1) if arguments.smallest else (20_000, 100, 3)
    sides = [40, 50] if arguments.smallest else [316, 1000, 3162]
    # Memory first: pykrige's matrices would hide what krige takes.
    growing = flatness(sides, repeats)
    result = pd.concat([compare(n, side, repeats), growing])
    print(result.to_string(float_format="%.4g", na_rep=""))
    arguments.output.mkdir(parents=True, exist_ok=True)
    result.to_csv(arguments.output / "speed_krige.csv", float_format="%.4g", index_label="method")


if __name__ == "__main__":
    main()
