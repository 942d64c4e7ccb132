"""Is masked image modelling's doubt worth anything?

    python docs/experiments/mim_uncertainty.py [--smallest] [--output docs/experiments/results]

Simulated districts: trained on the western half, judged on the eastern, whose deposits it never
saw. Rank correlation of three kinds of doubt with the error; calibration error before and after the
temperature was set, with deposits as frequent as in training and as rare as on the ground;
dissimilarity inside and outside of the training area, and of rock of another kind.
"""

import argparse
import copy
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr

import xgeoanom as xga
from xgeoanom.detectors import MIM

SEEDS = (0, 1, 2, 3, 4)
REACH = 3000.0  # m
FOREIGN = 1.5  # standard deviations by which a foreign rock's elements are off
BALANCED = 50  # draws of as many background cells as deposit cells
DOUBTS = {"over dropout": "dropout_std", "over draws": "std", "dissimilarity": "dissimilarity"}


def district_of(seed: int, smallest: bool) -> tuple[xr.DataArray, xr.DataArray]:
    """Return cube and labels of a simulated district."""
    size = {"shape": (64, 64), "n_deposits": 9} if smallest else {"shape": (128, 128)}
    made = xga.datasets.synthetic_survey(seed=seed, **{"n_deposits": 16, **size})
    grid = made.truth["concentration"]
    cube = xga.clr(xga.idw(made.survey, like=grid, max_distance=REACH).compute())
    return cube, xga.label_deposits(made.deposits, like=cube)


def run(seed: int, smallest: bool) -> dict:
    """Return the figures of one district."""
    warnings.filterwarnings("ignore")
    cube, labels = district_of(seed, smallest)
    middle = float(cube["x"].mean())
    gap = REACH + 1500.0
    west, east = cube["x"] < middle - gap / 2, cube["x"] > middle + gap / 2
    small = {"width": 8, "depth": 1, "epochs": 1, "head_epochs": 2} if smallest else {}
    detector = MIM(seed=seed, draws=2 if smallest else 5, **small)
    detector.fit(cube.where(west), labels.where(west, -1).astype("int8"))
    maps = detector.predict(cube).compute()
    held = labels.where(east & maps["score"].notnull(), other=-2)
    row = {"seed": seed, **doubt(maps, held), **calibration(cube, held, detector, seed)}
    return row | applicability(detector, cube, maps, west, east)


def doubt(maps: xr.Dataset, held: xr.DataArray) -> dict[str, float]:
    """Return the rank correlation of each doubt with the error, each class weighing the same."""
    judged = held.values > -2
    truth = (held.values[judged] == 1).astype(float)
    error = np.abs(truth - maps["score"].values[judged])
    told = {}
    for name, layer in DOUBTS.items():
        values = maps[layer].values[judged]
        for kind, members in (("deposits", truth == 1), ("background", truth == 0)):
            found = spearmanr(values[members], error[members]).statistic
            told[f"rank correlation {name}, {kind}"] = float(found)
    return told


def calibration(
    cube: xr.DataArray, held: xr.DataArray, detector: MIM, seed: int
) -> dict[str, float]:
    """Return the expected calibration error with and without the temperature."""
    bare = copy.deepcopy(detector)
    for network in bare.networks_:
        network.head.temperature.fill_(1.0)
    rng = np.random.default_rng(seed)
    judged = held > -2
    told = {"temperature": float(np.mean([run["temperature"] for run in detector.history_]))}
    for name, one in (("before", bare), ("after", detector)):
        score = one.predict(cube)["score"].where(judged)
        on_ground = held.where(judged, -1).astype("int8")
        told[f"ECE on the ground, {name}"] = xga.calibration_curve(score, on_ground).attrs["ece"]
        balanced = [
            xga.calibration_curve(score, balance(held, rng), n_bins=5).attrs["ece"]
            for _ in range(BALANCED)
        ]
        told[f"ECE balanced, {name}"] = float(np.mean(balanced))
    return told


def balance(held: xr.DataArray, rng: np.random.Generator) -> xr.DataArray:
    """Return labels with as many background cells as deposit cells."""
    free = np.flatnonzero(held.values == -1)
    n = int((held.values == 1).sum())
    marks = np.where(held.values == 1, 1, -1).astype("int8")
    marks.ravel()[rng.choice(free, size=n, replace=False)] = 0
    return held.copy(data=marks)


def applicability(
    detector: MIM, cube: xr.DataArray, maps: xr.Dataset, west: xr.DataArray, east: xr.DataArray
) -> dict[str, float]:
    """Return which share of the ground lies outside of the area of applicability."""
    rng = np.random.default_rng(0)
    shift = xr.DataArray(rng.choice([-1.0, 1.0], cube.sizes["element"]), dims="element")
    foreign = cube + FOREIGN * cube.std(("y", "x")) * shift
    foreign.attrs = cube.attrs
    far = detector.predict(foreign)["dissimilarity"]
    near = maps["dissimilarity"]
    return {
        "outside, trained half": share(near.where(west)),
        "outside, other half": share(near.where(east)),
        "outside, foreign rock": share(far.where(east)),
    }


def share(dissimilarity: xr.DataArray) -> float:
    """Return the share of known cells above 1."""
    return float((dissimilarity > 1).where(dissimilarity.notnull()).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="half a minute")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    seeds = SEEDS[:1] if args.smallest else SEEDS
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = pd.DataFrame(pool.map(run, seeds, [args.smallest] * len(seeds)))
    told = runs.drop(columns="seed").agg(["mean", "min", "max"]).T.round(3)
    told.columns = ["mean", "least", "most"]
    told.rename_axis("over districts").to_csv(args.output / "mim_uncertainty.csv")
    print(told.to_string())


if __name__ == "__main__":
    main()
