"""How fast is pretraining from disk beside a bare torch loop fed from memory, and in what memory?

    python docs/experiments/speed_mim.py [--smallest] [--output docs/experiments/results]

A masked autoencoder learns from windows that are read from chunks in Zarr while it learns; and in a
plain loop from as many windows that lie in memory, cut beforehand. In turn, at one thread: a
busy machine slows both; medians. Then pretraining on surveys of several sizes, each in a process of
its own. Memory is the most that the process takes in all, torch and its libraries among it.
"""

import argparse
import multiprocessing
import resource
import tempfile
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

N_ELEMENTS, CHUNK = 39, 250


def save_survey(folder: Path, side: int) -> None:
    """Save a smooth clr cube of ``side`` cells each way, in chunks."""
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


def settings(network: str, n_windows: int) -> "MaskedAutoencoder":  # noqa: F821
    """Return a detector that learns from so many windows in one epoch."""
    from xgeoanom.detectors import MaskedAutoencoder

    params = {"most": n_windows, "epochs": 1, "batch_size": 256, "seed": 0}
    return MaskedAutoencoder.paper(**params) if network == "paper" else MaskedAutoencoder(**params)


def throughput(folder: Path, network: str, n_windows: int, repeats: int) -> dict[str, float]:
    """Return windows per second of both ways."""
    import xgeoanom as xga
    from xgeoanom.detectors.pretraining import pretrain

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    cube = xga.open_cube(folder / "cube.zarr")
    detector = settings(network, n_windows)
    detector._remember(cube)
    known = detector.valid_.values
    with detector.stream_of(cube, known) as stream:
        order = stream.order(torch.Generator().manual_seed(0))
        windows = torch.cat([stream.windows(part).contiguous() for part in order.split(256)])
    seconds: dict[str, list[float]] = {"bare": [], "streamed": []}
    for _ in range(repeats):
        model = detector.autoencoder(N_ELEMENTS)
        seconds["bare"].append(timed(lambda: bare(model, windows, detector)))  # noqa: B023
        with detector.stream_of(cube, known) as stream:
            rng = np.random.default_rng(0)
            never = threading.Event()
            seconds["streamed"].append(
                timed(lambda: pretrain(model, stream, detector, rng, None, never))  # noqa: B023
            )
    rates = {name: len(windows) / float(np.median(found)) for name, found in seconds.items()}
    return {f"{name} (windows/s)": rate for name, rate in rates.items()} | {
        "ratio": float(np.median(np.divide(seconds["bare"], seconds["streamed"])))
    }


def bare(model: torch.nn.Module, windows: torch.Tensor, detector: "MaskedAutoencoder") -> None:  # noqa: F821
    """Learn once from windows in memory."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=detector.learning_rate)
    model.train()
    for batch in torch.randperm(len(windows)).split(detector.batch_size):
        optimizer.zero_grad()
        loss = model.loss(windows[batch], generator, detector.loss_on, detector.mask_ratio)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def timed(func: object) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    func()
    return time.perf_counter() - start


def pretrain_survey(folder: Path, n_windows: int) -> dict[str, float]:
    """Return seconds and gigabytes of a fit."""
    import xgeoanom as xga

    warnings.filterwarnings("ignore")
    cube = xga.open_cube(folder / "cube.zarr")
    start = time.perf_counter()
    settings("default", n_windows).fit(cube)
    end = time.perf_counter()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"fit (s)": end - start, "most memory (GB)": most}


def alone(func: object, *args: object) -> dict[str, float]:
    """Call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(func, *args).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="half a minute")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    sides, repeats = ((150, 300), 1) if args.smallest else ((500, 1000, 2000), 3)
    counts = (
        {"default": 2048, "paper": 256} if args.smallest else {"default": 25_600, "paper": 4096}
    )
    speeds, memory = [], []
    for side in sides:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            alone(save_survey, folder, side)
            cells = {"cells": side**2}
            memory.append(cells | alone(pretrain_survey, folder, counts["default"]))
            print(memory[-1], flush=True)
            if side == sides[-1]:
                for network, n in counts.items():
                    found = alone(throughput, folder, network, n, repeats)
                    speeds.append({"network": network, "windows": n, **found})
                    print(speeds[-1], flush=True)
    pd.DataFrame(speeds).round(3).to_csv(args.output / "speed_mim.csv", index=False)
    pd.DataFrame(memory).round(2).to_csv(args.output / "memory_mim.csv", index=False)


if __name__ == "__main__":
    main()
