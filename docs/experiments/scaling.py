"""Time and memory of large surveys on a dask cluster, against the number of cells.

    python docs/experiments/scaling.py [--smallest] [--output docs/experiments/results]
        [--largest 1e7] [--largest-network 1e6] [--runs 3] [--workers 2] [--only idw clr ...]

A survey of 39 elements, one sample per 400 cells, is gridded, opened as log-ratios and scored, each
step from Zarr to Zarr on a LocalCluster of separate processes of one thread. Each row of the table
is one step at one size in one run, on workers that are new but warm: they did the same on a small
survey before. Memory is the most that a worker took, libraries among it. Networks score with few
epochs of training behind them: that takes as long as with many.

Then most of the steps with one worker and, in place of the cluster, in one process that reads the
whole file, computes eagerly with numpy on as many threads, and writes the result. Rows of earlier
calls stay, unless they are measured again.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
import xarray as xr
from distributed import Client, LocalCluster
from scipy.optimize import least_squares

import xgeoanom as xga
from xgeoanom.blocks.sampling import peak_memory

N_ELEMENTS, CELLS_A_SAMPLE, SPACING = 39, 400, 100.0
WARM, WARM_CHUNK = 96, 32  # cells a side of the survey that workers do first, and of its chunks
EAGER = 1.1e6  # cells at which workers are counted, and compared with eager work
# Workers keep the memory that a block gave back, for the next one: else the system clears it anew.
KEEP = {"MALLOC_TRIM_THRESHOLD_": 2**30, "MALLOC_MMAP_THRESHOLD_": 2**30, "MALLOC_ARENA_MAX": 1}
KEYS = ["step", "cells", "how", "run"]
CLASSICAL = ("idw", "clr", "singularity", "RX", "RX (5, 21)")
COMPARED = (*CLASSICAL, "PPF-CNN (3, 5)")  # with one worker, and with eager work
BEFORE = {"idw": (), "clr": ("idw",), "singularity": ("idw",)}  # what a step reads
SMALL = {"draws": 1, "epochs": 1, "seed": 0}
NETWORKS: dict[str, Callable[[], Any]] = {
    "PPF-CNN (3, 5)": lambda: xga.detectors.PPFCNN(inner=3, outer=5, **SMALL),
    "GK-DCN": lambda: xga.detectors.GKDCN(knowledge=0, background="anywhere", **SMALL),
    "SGCN": lambda: xga.detectors.SGCN(**SMALL),
    "SKT": lambda: xga.detectors.SKT(source_epochs=1, **SMALL),
    "MIM": lambda: xga.detectors.MIM(head_epochs=1, **SMALL),
}


def table_of(side: int) -> xr.Dataset:
    """Return samples over ``side`` cells each way."""
    rng = np.random.default_rng(0)
    n = max(side**2 // CELLS_A_SAMPLE, 50)
    x, y = rng.uniform(0, side * SPACING, size=(2, n))
    names = [f"E{k}" for k in range(N_ELEMENTS)]
    coords = {"x": ("sample", x), "y": ("sample", y), "element": names}
    coords |= {"unit": ("element", ["ppm"] * N_ELEMENTS)}
    values = rng.lognormal(size=(n, N_ELEMENTS))
    return xr.Dataset(
        {"concentration": (("sample", "element"), values)}, coords=coords
    ).rio.write_crs(32650)


def gridded(side: int) -> xr.DataArray:
    """Return the lazy cube of ``side`` cells each way."""
    extent = side * SPACING
    chunks = WARM_CHUNK if side == WARM else None
    return xga.idw(table_of(side), spacing=SPACING, bounds=(0, 0, extent, extent), chunks=chunks)


def trained(name: str) -> Any:
    """Return a detector that learnt on a small survey, with four deposits."""
    cube = xga.clr(gridded(WARM).compute())
    marks = np.full((WARM, WARM), -1, dtype="int8")
    for row in (10, 45):
        for col in (10, 45):
            marks[row - 1 : row + 2, col - 1 : col + 2] = 1
    labels = xr.DataArray(marks, {"y": cube.y, "x": cube.x}, ("y", "x")).rio.write_crs(32650)
    return NETWORKS[name]().fit(cube, labels)


def job_of(step: str, side: int, cube_of: Callable[[str], xr.DataArray], folder: Path) -> Any:
    """Return what a step computes, from the cubes that earlier ones made."""
    if step == "idw":
        return gridded(side)
    if step == "clr":
        return xga.clr(cube_of("idw"))
    if step == "singularity":  # of all elements; the steepest is kept
        return xga.singularity(cube_of("idw"))["alpha"].min("element")
    if step == "RX":
        return xga.rx(cube_of("clr"))
    if step == "RX (5, 21)":
        return xga.rx(cube_of("clr"), inner=5, outer=21)
    detector = xga.detectors.load_detector(folder / f"{step}.safetensors")
    return detector.predict(cube_of("clr"))["score"]


@dataclass(frozen=True)
class Survey:
    """A survey of ``side`` cells each way, with what its steps wrote into a folder."""

    side: int
    folder: Path

    def opened(self, name: str) -> xr.DataArray:
        return xga.open_cube(self.folder / f"{name}.zarr")

    def run(self, step: str, name: str) -> float:
        """Return the seconds of a step from Zarr to Zarr."""
        start = time.perf_counter()
        result = job_of(step, self.side, self.opened, self.folder)
        xga.save_cube(result, self.folder / f"{name}.zarr")
        return time.perf_counter() - start

    def run_eagerly(self, step: str) -> float:
        """Return the seconds of a step that reads a whole file, computes, and writes."""
        start = time.perf_counter()

        def loaded(name: str) -> xr.DataArray:
            return self.opened(name).load()

        with dask.config.set(scheduler="threads"):
            result = job_of(step, self.side, loaded, self.folder).load()
            xga.save_cube(result, self.folder / "out.zarr")
        return time.perf_counter() - start

    def written(self, step: str) -> float:
        """Return the seconds of a step; what others read is kept under its name."""
        return self.run(step, step if step in ("idw", "clr") else "out")

    def prepare(self, step: str) -> None:
        """Write what a step reads, unless it is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for before in BEFORE.get(step, ("idw", "clr")):
            if not (self.folder / f"{before}.zarr").exists():
                self.run(before, before)
        if step in NETWORKS:
            trained(step).save(self.folder / f"{step}.safetensors")


@contextmanager
def workers(n: int) -> Iterator[Client]:
    """Give a cluster of ``n`` processes."""
    how = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    keep = {f"distributed.nanny.pre-spawn-environ.{name}": each for name, each in KEEP.items()}
    with (
        dask.config.set(keep),
        LocalCluster(n_workers=n, **how) as cluster,
        Client(cluster) as client,
    ):
        yield client


Rows = Iterator[dict[str, Any]]


def on_workers(step: str, n: int, warm: Survey, surveys: list[Survey], runs: int) -> Rows:
    """Yield seconds and memory of one step on a new cluster, the smallest survey first."""
    with workers(n) as client:
        for _ in range(2):  # all workers compile
            warm.written(step)
        for full in surveys:
            for run in range(runs):
                seconds = full.written(step)
                memory = max(client.run(peak_memory).values())
                about = {"step": step, "cells": full.side**2, "how": counted(n), "run": run}
                yield {**about, "seconds": seconds, "memory (MB)": memory / 1e6}


def counted(n: int) -> str:
    return "1 worker" if n == 1 else f"{n} workers"


def eagerly(step: str, warm: Survey, full: Survey, runs: int) -> Rows:
    """Yield seconds and memory of one step in one process, on all threads, without a cluster."""
    with workers(1) as client:  # only lends its process, which is as new as theirs
        client.submit(warm.run_eagerly, step).result()
        for run in range(runs):
            seconds = client.submit(full.run_eagerly, step, pure=False).result()
            memory = max(client.run(peak_memory).values())
            about = {"step": step, "cells": full.side**2, "how": "eager", "run": run}
            yield {**about, "seconds": seconds, "memory (MB)": memory / 1e6}


def rows_of(args: argparse.Namespace, folder: Path) -> Rows:
    """Measure one step after the other, each on ascending sizes."""
    warm = Survey(WARM, folder / "warm")
    n_sizes = round(2 * np.log10(args.largest / args.least)) + 1
    sides = np.sqrt(np.geomspace(args.least, args.largest, n_sizes)).round().astype(int).tolist()
    surveys = [Survey(side, folder / str(side)) for side in sides]
    for step in args.only:
        most = args.largest_network if step in NETWORKS else args.largest
        some = [each for each in surveys if each.side**2 < 1.01 * most]
        for survey in (warm, *some):
            survey.prepare(step)
        yield from on_workers(step, args.workers, warm, some, args.runs)
        small = [each for each in some if each.side**2 <= EAGER]
        if step in COMPARED and small:
            runs = 1 if step in NETWORKS else args.runs
            yield from on_workers(step, 1, warm, small[-1:], runs)
            yield from eagerly(step, warm, small[-1], runs)


def keep(row: dict[str, Any], path: Path) -> None:
    """Add a row to the table, in the place of an older one of the same."""
    rows = pd.DataFrame([row]).round(2)
    if path.exists():
        rows = pd.concat([pd.read_csv(path), rows]).drop_duplicates(KEYS, keep="last")
    rows.to_csv(path, index=False)


def above_fixed(part: pd.DataFrame) -> tuple[float, float]:
    """Return f and p of ``seconds = f + c cells^p``, fitted to the logarithms of all runs.

    Any survey, however small, costs ``f``: a graph, metadata, messages between processes. A run
    that something else on the machine held up counts little.
    """
    cells, seconds = (np.log(part[name].to_numpy()) for name in ("cells", "seconds"))
    cells -= cells.max()

    def misfit(guess: np.ndarray) -> np.ndarray:
        fixed, greatest, exponent = guess
        return np.logaddexp(fixed, greatest + exponent * cells) - seconds

    start = [seconds.min() - 2, seconds.max(), 1.0]
    fixed, _, exponent = least_squares(misfit, start, loss="soft_l1", f_scale=0.05).x
    return np.exp(fixed), exponent


def exponents(part: pd.DataFrame) -> str:
    """Return the least and the greatest exponent of all time among the runs."""
    slopes = [
        np.polyfit(np.log(run["cells"]), np.log(run["seconds"]), 1)[0]
        for _, run in part.groupby("run")
    ]
    return f"{min(slopes):.2f} to {max(slopes):.2f}"


def report(rows: pd.DataFrame, n_workers: int, output: Path) -> None:
    """Write what the rows amount to: for each step its exponents, speedup and overhead."""
    ours = rows[rows["how"] == counted(n_workers)]
    found = []
    for step in (*CLASSICAL, *NETWORKS):
        part = ours[ours["step"] == step]
        if part.empty:
            continue
        best = part.groupby("cells")[["seconds", "memory (MB)"]].median()
        about = {"step": step, "cells": f"{best.index[0]:.0e} to {best.index[-1]:.0e}"}
        about |= {"microseconds a cell": best["seconds"].iloc[-1] / best.index[-1] * 1e6}
        about["fixed s"], about["exponent"] = above_fixed(part)
        n_runs = part.groupby("cells")["run"].transform("size")
        part = part[n_runs == n_runs.max()]  # the largest may have run once
        about["exponent, fixed in"] = exponents(part)
        about["fixed in, last decade"] = exponents(part[part["cells"] > part["cells"].max() / 11])
        for name, at in (("first", 0), ("last", -1)):
            about[f"MB a worker, {name}"] = best["memory (MB)"].iloc[at].round()
        for how, name in (("1 worker", "speedup"), ("eager", "time by eager")):
            other = rows[(rows["step"] == step) & (rows["how"] == how)].groupby("cells")["seconds"]
            if len(other):
                ratio = other.median().iloc[-1] / best["seconds"][other.median().index[-1]]
                about[name] = ratio if how == "1 worker" else 1 / ratio
        found.append(about)
    table = pd.DataFrame(found).round(2)
    table.to_csv(output / "scaling_summary.csv", index=False)
    print(table.to_string(index=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a minute")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--least", type=float, default=1e5, help="cells")
    parser.add_argument("--largest", type=float, default=1e7)
    parser.add_argument("--largest-network", type=float, default=1e6)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[*CLASSICAL, *NETWORKS])
    parser.add_argument("--folder", type=Path, help="for the stores; a temporary one by default")
    args = parser.parse_args()
    if args.smallest:
        args.least, args.largest, args.largest_network, args.runs = 60**2, 120**2, 60**2, 1
        args.only = ["clr", "RX"]  # which compile nothing
    args.output.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for row in rows_of(args, Path(folder)):
            print(row, flush=True)
            keep(row, args.output / "scaling.csv")
    rows = pd.read_csv(args.output / "scaling.csv")
    report(rows, args.workers, args.output)


if __name__ == "__main__":
    main()
