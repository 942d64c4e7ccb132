"""What do transfer and voting cost beside plain networks of equal size? Ratios of one run.

    python docs/experiments/speed_skt.py [--smallest] [--output docs/experiments/results]

Five ResNet-18s of SKT's default size train on a batch of windows, with kernels selected from a
source and with plain ones; and they score a batch: unfolded, folded and plain. At one thread, in
turn, so that a busy machine slows all; medians. Then the map: ``predict`` on surveys of two sizes,
whose time for each cell must not grow.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

import xgeoanom  # noqa: F401
from xgeoanom.detectors import SKT
from xgeoanom.nets.resnet import ResNet18
from xgeoanom.nets.selective_transfer import fold, select_from
from xgeoanom.nets.targets import TargetNetworks

N_ELEMENTS, DILATIONS = 39, (1, 2, 3, 4, 5)


def networks(width: int) -> dict[str, TargetNetworks]:
    """Return five target networks with selected kernels, the same folded, and plain ones."""
    torch.manual_seed(0)
    source = ResNet18(N_ELEMENTS, width=width)
    made = {
        name: TargetNetworks(N_ELEMENTS, DILATIONS, width=width)
        for name in ("plain", "folded", "selected")
    }
    for name in ("folded", "selected"):
        for body in made[name].bodies:
            select_from(source, body)
    fold(made["folded"])
    return made


def step(network: nn.Module, x: Tensor) -> Callable[[], None]:
    """Return a function that makes one step of training."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)
    target = torch.arange(len(x)) % 2

    def train() -> None:
        network.train()
        optimizer.zero_grad()
        for v in range(len(DILATIONS)):
            nn.functional.cross_entropy(network.logits(v, x), target).backward()
        optimizer.step()

    return train


def score(network: nn.Module, x: Tensor) -> Callable[[], None]:
    """Return a function that scores a batch."""

    def judge() -> None:
        network.eval()
        with torch.inference_mode():
            network(x)

    return judge


def seconds(func: Callable[[], object]) -> float:
    start = time.perf_counter()
    func()
    return time.perf_counter() - start


def in_turn(what: str, ways: dict[str, Callable[[], None]], repeats: int) -> list[dict]:
    """Time all ways in turn, after a first run of each."""
    runs = pd.DataFrame(
        [{name: seconds(way) for name, way in ways.items()} for _ in range(repeats + 1)]
    )[1:]
    ratios = runs.div(runs["plain"], axis=0).median()
    return [
        {"what": f"{what}, {name}", "seconds": runs[name].median(), "times plain": ratios[name]}
        for name in ways
    ]


def maps(sides: tuple[int, ...], width: int) -> list[dict]:
    """Time ``predict`` on surveys of some sizes, with a network that has learned nothing."""
    detector = SKT(width=width)
    torch.manual_seed(0)
    detector.networks_ = [detector.build(N_ELEMENTS).eval()]
    detector.history_, detector.seed_ = [{}], 0
    detector.mean_, detector.scale_ = np.zeros(N_ELEMENTS), np.ones(N_ELEMENTS)
    detector.elements_ = [f"e{k}" for k in range(N_ELEMENTS)]
    detector.units_, detector.log_ratio_ = ["unknown"] * N_ELEMENTS, "clr"
    rows = []
    for side in sides:
        axis = 500.0 * np.arange(side)
        values = np.random.default_rng(0).normal(size=(N_ELEMENTS, side, side)).astype("float32")
        coords = {"element": detector.elements_, "y": -axis, "x": axis}
        cube = xr.DataArray(values, coords, ("element", "y", "x"), "clr")
        cube = cube.assign_attrs(log_ratio="clr").rio.write_crs(32650)
        taken = seconds(lambda: detector.predict(cube))  # noqa: B023
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        what = f"predict, {side} x {side} cells"
        per_cell = {"us a cell": 1e6 * taken / side**2, "MB, all the process": most}
        rows.append({"what": what, "seconds": taken, **per_cell})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    width, n, repeats, sides = (4, 8, 1, (48,)) if args.smallest else (16, 64, 7, (128, 512))
    torch.set_num_threads(1)
    x = torch.randn(n, N_ELEMENTS, 28, 28)
    made = networks(width)
    scoring = {name: score(network, x) for name, network in made.items()}
    training = {name: step(made[name], x) for name in ("plain", "selected")}
    rows = [*in_turn(f"score {n} windows", scoring, repeats)]
    rows += in_turn(f"train on {n} windows", training, repeats)
    rows += maps(sides, width)
    table = pd.DataFrame(rows).set_index("what")
    args.output.mkdir(parents=True, exist_ok=True)
    table.map(lambda value: f"{value:.3g}" if value == value else "").to_csv(
        args.output / "speed_skt.csv"
    )
    print(table.to_string(float_format="{:.3g}".format))


if __name__ == "__main__":
    main()
