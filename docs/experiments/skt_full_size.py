"""One epoch of SKT at the paper's full size: throughput, memory, and going on after a kill.

    python docs/experiments/skt_full_size.py [--smallest] [--output docs/experiments/results]

A simulated survey of the paper's kind, 16 elements and about 7 237 samples, is gridded in blocks to
3072 x 3072 cells and lies in Zarr. ``SKT.paper()`` trains for one epoch on the windows of its upper
2560 rows; the process is killed once the source network is trained, and a new one goes on from the
checkpoint. A third fit finds the training finished. Each step has a process of its own; CPU seconds
and memory are all that it takes, torch and its libraries among it. Networks run on one core.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import xarray as xr

ELEMENTS = "Au B Sn Cu Ag Ba Mn Pb Zn As Sb Bi Hg Mo W F".split()  # section 2.2
ROWS = 5 / 6  # of the map, to train on
SIZES: dict[bool, dict] = {
    False: {"samples": 87, "extent": 41_160.0, "cells": 3072, "chunk": 512, "deposits": 24},
    True: {"samples": 32, "extent": 15_500.0, "cells": 192, "chunk": 64, "deposits": 4},
}


def settings(smallest: bool) -> dict:
    """Return what differs from ``SKT.paper()``."""
    small = {"window": 32, "step": 16, "crop": 28, "dilations": (1, 2), "width": 4}
    return {"epochs": 1, "source_epochs": 1, "seed": 0, **(small if smallest else {})}


def grid(folder: Path, smallest: bool) -> dict[str, float]:
    """Simulate the samples and save their clr, gridded block by block, with labels."""
    import xgeoanom as xga

    size = SIZES[smallest]
    side, apart = size["samples"], size["extent"] / size["samples"]
    district = xga.datasets.synthetic_survey(
        seed=0,
        shape=(side, side),
        spacing=apart,
        sample_spacing=apart,
        n_deposits=size["deposits"],
    )
    held = [name for name in ELEMENTS if name in district.survey["element"].values]
    table = district.survey.sel(element=held)
    print(f"{table.sizes['sample']} samples, {len(held)} elements", flush=True)
    start = time.perf_counter()
    spacing = size["extent"] / size["cells"]
    cube = xga.idw(table, spacing=spacing, chunks=size["chunk"])
    cube = cube.isel(y=slice(size["cells"]), x=slice(size["cells"]))
    xga.save_cube(xga.clr(cube).astype("float32"), folder / "cube.zarr")
    labels = xga.label_deposits(district.deposits, like=cube)
    labels.drop_vars("deposit").to_netcdf(folder / "labels.nc")
    return cost(start)


def fit(folder: Path, smallest: bool) -> dict[str, float]:
    """Train on the upper rows, from the checkpoint where there is one, and save the detector."""
    import xgeoanom as xga

    cube, labels = opened(folder)
    detector = xga.detectors.SKT.paper(checkpoint=str(folder / "state"), **settings(smallest))
    upper = slice(0, round(ROWS * cube.sizes["y"] / detector.step) * detector.step)
    start = time.perf_counter()
    detector.fit(cube.isel(y=upper), labels.isel(y=upper))
    detector.save(folder / "skt.safetensors")
    return {"loss": detector.history_[0]["loss"][-1], **cost(start)}


def predict(folder: Path, smallest: bool) -> dict[str, float]:
    """Score the whole map block by block into Zarr."""
    import xgeoanom as xga

    cube, _ = opened(folder)
    start = time.perf_counter()
    maps = xga.load_detector(folder / "skt.safetensors").predict(cube)
    xga.save_cube(maps.to_dataarray("element"), folder / "score.zarr")
    return cost(start)


def opened(folder: Path) -> tuple[xr.DataArray, xr.DataArray]:
    """Return cube and labels, north up."""
    import xgeoanom as xga

    warnings.filterwarnings("ignore")
    labels = xr.open_dataarray(folder / "labels.nc", decode_coords="all").load()
    return xga.open_cube(folder / "cube.zarr").sortby("y", ascending=False), labels.sortby(
        "y", ascending=False
    )


def cost(start: float) -> dict[str, float]:
    """Return seconds since ``start``, the process's CPU seconds, and the most memory it took."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": time.perf_counter() - start,
        "CPU seconds": used.ru_utime + used.ru_stime,
        "most memory (GB)": used.ru_maxrss / 1e6,
    }


def alone(func: object, *args: object) -> dict[str, float]:
    """Call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(func, *args).result()


def killed(folder: Path, smallest: bool) -> dict[str, float]:
    """Let another process train until it has kept a trained source network, and kill it."""
    process = multiprocessing.get_context("spawn").Process(target=fit, args=(folder, smallest))
    start = time.perf_counter()
    process.start()
    while process.is_alive() and not list((folder / "state").glob("*-source.pt")):
        time.sleep(0.2)
    process.kill()
    process.join()
    return {"seconds": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="half a minute instead of an hour")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    steps = {
        "grid": grid,
        "fit, killed after its source network": killed,
        "fit, gone on with": fit,
        "fit, found finished": fit,
        "predict": predict,
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, step in steps.items():
            given = Path(folder), args.smallest
            found = killed(*given) if step is killed else alone(step, *given)
            rows.append({"step": name, **found})
            print(rows[-1], flush=True)
    pd.DataFrame(rows).round(3).to_csv(args.output / "skt_full_size.csv", index=False)


if __name__ == "__main__":
    main()
