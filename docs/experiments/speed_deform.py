"""What does deformable convolution cost beside the ordinary one? Ratios of one run, one thread.

Run ``python docs/experiments/speed_deform.py`` (some minutes), or with ``--smallest`` (seconds).
The two networks of GK-DCN share one body and differ in two of its three convolutions. Both score a
9 x 9 patch around every cell of a survey as large as the published one, and both train on random
patches: forward, backward, and one step of Adam. Points are moved by a quarter of a cell, as
trained ones are. The networks take turns, so that a busy machine slows both. The table holds
medians of the turns' seconds and ratios. It is written to ``results/speed_deform.csv``.

Memory is what scoring took at most, beyond what the process had before: first on a tenth of the
map, then on all of it.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from xgeoanom.nets.deform import DeformConv2d
from xgeoanom.nets.patch_cnn import PatchCNN

N_ELEMENTS, SIDE = 39, 9
BATCH = 64  # as published; scoring in larger ones is no faster


def make_networks() -> dict[str, PatchCNN]:
    """Return the two networks, the points of the second moved."""
    torch.manual_seed(0)
    networks = {
        "plain": PatchCNN(N_ELEMENTS, deformable=False),
        "deformable": PatchCNN(N_ELEMENTS, deformable=True),
    }
    for layer in networks["deformable"].modules():
        if isinstance(layer, DeformConv2d):
            nn.init.normal_(layer.branches.weight, std=0.02)
    return networks


def mean_shift(network: PatchCNN) -> float:
    """Return the mean length of the first offsets along one axis, in cells."""
    maps = network[0](torch.randn(BATCH, N_ELEMENTS, SIDE, SIDE))
    offset, _ = network.conv2.sampling(network.relu1(network.norm1(maps)))
    return offset.abs().mean().item()


def score_map(network: PatchCNN, cube: Tensor) -> Tensor:
    """Return the logit of each cell of ``cube`` (rows, cols, element), zero outside."""
    network.eval()
    halo = SIDE // 2
    padded = nn.functional.pad(cube, (0, 0, halo, halo, halo, halo))
    windows = padded.unfold(0, SIDE, 1).unfold(1, SIDE, 1)
    rows, cols = cube.shape[:2]
    logits = torch.empty(rows * cols)
    with torch.inference_mode():
        for cell in torch.arange(rows * cols).split(BATCH):
            logits[cell] = network(windows[cell // cols, cell % cols])
    return logits.view(rows, cols)


def trainer(network: PatchCNN, patches: Tensor, labels: Tensor) -> Callable[[], None]:
    """Return a function that trains ``network`` for one epoch."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def epoch() -> None:
        network.train()
        for x, label in zip(patches.split(BATCH), labels.split(BATCH), strict=True):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(x), label).backward()
            optimizer.step()

    return epoch


def seconds(func: Callable[[], object]) -> float:
    start = time.perf_counter()
    func()
    return time.perf_counter() - start


def memory() -> float:
    """Return the most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(what: str, ways: dict[str, Callable[[], object]], repeats: int) -> pd.DataFrame:
    """Time all ways in turn, ``repeats`` times, after a first run."""
    names = list(ways)
    turns = []
    for i in range(repeats + 1):
        order = names if i % 2 else names[::-1]
        turns.append({name: seconds(ways[name]) for name in order})
    runs = pd.DataFrame(turns[1:])
    ratios = runs.div(runs["plain"], axis=0)
    table = pd.DataFrame({"seconds": runs.median(), "times the plain": ratios.median()})
    return table.rename(lambda name: f"{what}, {name}")


def memory_of(network: PatchCNN, cube: Tensor) -> pd.DataFrame:
    """Score a tenth of the map, then all of it."""
    score_map(network, cube[:2, :20])  # torch's own
    rows, before = {}, memory()
    for part in (cube[: max(len(cube) // 10, 2)], cube):
        taken = seconds(lambda: score_map(network, part))  # noqa: B023
        name = f"memory of scoring {part.shape[0]} x {part.shape[1]} cells, deformable"
        rows[name] = {"seconds": taken, "MB at most": memory() - before}
    return pd.DataFrame(rows).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a tiny map: checks the script")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    rows, cols, n, repeats = (6, 8, 64, 1) if arguments.smallest else (117, 289, 1024, 5)
    torch.set_num_threads(1)
    networks = make_networks()
    print(f"mean offset along an axis: {mean_shift(networks['deformable']):.2f} cells")
    cube = torch.randn(rows, cols, N_ELEMENTS)
    # Memory first: what training took would hide it.
    growing = memory_of(networks["deformable"], cube)
    scoring = {name: lambda net=net: score_map(net, cube) for name, net in networks.items()}
    patches, labels = torch.randn(n, N_ELEMENTS, SIDE, SIDE), torch.arange(n) % 2.0
    training = {name: trainer(net, patches, labels) for name, net in networks.items()}
    result = pd.concat(
        [
            compare(f"scoring {rows} x {cols} cells", scoring, repeats),
            compare(f"training on {n} patches", training, repeats),
            growing,
        ]
    )
    print(result.to_string(float_format="%.4g", na_rep=""))
    arguments.output.mkdir(parents=True, exist_ok=True)
    result.to_csv(arguments.output / "speed_deform.csv", float_format="%.3g", index_label="what")


if __name__ == "__main__":
    main()
