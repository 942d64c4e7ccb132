"""Pair scoring of PPF-CNN against the machine's sgemm rate and against the direct method.

    python docs/experiments/speed_pairs.py [--smallest] [--output docs/experiments/results]

All ratios are medians over interleaved runs in one process, on as many threads as dask uses.
"""

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from dask.system import CPU_COUNT

import xgeoanom  # noqa: F401
from xgeoanom.blocks import map_halo
from xgeoanom.detectors import PPFCNN
from xgeoanom.detectors.base import _score_block
from xgeoanom.kernels.dual_window import ring_offsets
from xgeoanom.nets.conv import STRIDES, PairCNN, multiply_adds

N_ELEMENTS = 39


def seconds(func: Callable[[], object]) -> float:
    start = time.perf_counter()
    func()
    return time.perf_counter() - start


def fitted(inner: int, outer: int, cube: xr.DataArray) -> PPFCNN:
    """Return a detector whose network is random: what it scores costs the same."""
    detector = PPFCNN(inner=inner, outer=outer)
    torch.manual_seed(0)
    detector.networks_, detector.history_, detector.seed_ = [PairCNN().eval()], [{}], 0
    detector.mean_, detector.scale_ = np.zeros(N_ELEMENTS), np.ones(N_ELEMENTS)
    detector.elements_ = [str(name) for name in cube["element"].values]
    detector.units_, detector.log_ratio_ = ["unknown"] * N_ELEMENTS, "clr"
    return detector


def survey(side: int) -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=(N_ELEMENTS, side, side))
    coords = {
        "element": [f"e{k}" for k in range(N_ELEMENTS)],
        "y": -500.0 * np.arange(side),
        "x": 500.0 * np.arange(side),
    }
    cube = xr.DataArray(values, coords=coords, dims=("element", "y", "x"))
    return cube.assign_attrs(log_ratio="clr").rio.write_crs(32650)


def direct(cube: np.ndarray, offsets: np.ndarray, network: PairCNN, batch: int) -> np.ndarray:
    """Score every ordered pair in torch's default layout, on its own threads, in large batches."""
    spectra = torch.from_numpy(cube.reshape(N_ELEMENTS, -1).T.astype("float32").copy())
    side = cube.shape[1]
    rows, cols = np.divmod(np.arange(side * side), side)
    first, second = [], []
    for dy, dx in offsets:
        inside = (rows + dy >= 0) & (rows + dy < side) & (cols + dx >= 0) & (cols + dx < side)
        first.append(np.flatnonzero(inside))
        second.append(first[-1] + dy * side + dx)
    first, second = (
        torch.from_numpy(np.concatenate(first)),
        torch.from_numpy(np.concatenate(second)),
    )
    sums = torch.zeros(side * side)
    with torch.inference_mode():
        for i, j in zip(first.split(batch), second.split(batch), strict=True):
            x = (spectra[i] - spectra[j]).abs().unsqueeze(1)
            for layer, stride in zip(network.convolutions, STRIDES, strict=True):
                weight = layer.weight[:, :, 0].contiguous()
                x = torch.relu(torch.conv1d(x, weight, layer.bias, stride=stride, padding=1))
            sums.index_add_(0, i, torch.sigmoid(network.classify(x.mean(dim=2))[:, 0]))
    return sums.numpy()


def sgemm(size: int, repeats: int) -> float:
    """Return the machine's float32 matrix product rate, flop/s, one product per core."""

    def products() -> None:
        torch.set_num_threads(1)
        a = torch.rand(size, size)
        for _ in range(repeats):
            a @ a

    with ThreadPoolExecutor(CPU_COUNT) as pool:
        taken = seconds(lambda: list(pool.map(lambda _: products(), range(CPU_COUNT))))
    return CPU_COUNT * repeats * 2 * size**3 / taken


def measure(side: int, inner: int, outer: int, runs: int, batch: int) -> dict[str, list[float]]:
    cube = survey(side)
    detector = fitted(inner, outer, cube)
    offsets = ring_offsets(inner, outer)
    n_pairs = sum((side - abs(dy)) * (side - abs(dx)) for dy, dx in offsets)
    flop = 2 * multiply_adds(PairCNN(), 1, N_ELEMENTS) * n_pairs / 2
    found: dict[str, list[float]] = {"bare": [], "ours": [], "direct": [], "sgemm": []}
    arguments = {"footprint": detector.footprint, "shared": (detector, [], None), "layers": 1}
    for _ in range(runs + 1):
        found["sgemm"].append(sgemm(1024 if side > 32 else 256, 8) / flop)
        found["bare"].append(seconds(lambda: map_halo(_score_block, cube.values, **arguments)))
        found["ours"].append(seconds(lambda: detector.predict(cube)))
        found["direct"].append(
            seconds(lambda: direct(cube.values, offsets, detector.networks_[0], batch))
        )
    # The first run compiles kernels.
    return {key: values[1:] for key, values in found.items()}


def rows_of(found: dict[str, list[float]]) -> list[tuple[str, float]]:
    def median(pairs: zip) -> float:
        return statistics.median(a / b for a, b in pairs)

    # "sgemm" holds maps per second at the sgemm rate.
    share = statistics.median(
        1 / (ours * rate) for ours, rate in zip(found["ours"], found["sgemm"], strict=True)
    )
    return [
        ("share of the float32 sgemm rate", share),
        ("times the direct method", median(zip(found["direct"], found["ours"], strict=True))),
        (
            "xarray's share of the time",
            1 - min(1, median(zip(found["bare"], found["ours"], strict=True))),
        ),
        ("seconds for the map", statistics.median(found["ours"])),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    side, inner, outer, runs, batch = (16, 1, 3, 1, 1024) if args.smallest else (96, 3, 5, 5, 16384)
    rows = rows_of(measure(side, inner, outer, runs, batch))
    args.output.mkdir(parents=True, exist_ok=True)
    with (args.output / "speed_pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["what", "value"])
        writer.writerows((what, f"{value:.3g}") for what, value in rows)
    print(f"{side} x {side} cells, windows ({inner}, {outer}), {runs} runs, {CPU_COUNT} threads")
    for what, value in rows:
        print(f"{what:35s} {value:.3g}")


if __name__ == "__main__":
    main()
