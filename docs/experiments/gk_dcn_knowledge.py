"""What knowing the faults is worth: GK-DCN with and without it, on ten simulated districts.

    python docs/experiments/gk_dcn_knowledge.py [--smallest] [--output docs/experiments/results]

Deposits lie near faults, or anywhere; or the map of faults is that of another district. The weight
of faults is fitted to each fold's training deposits, the background drawn wherever faults run. The
folds are quarters of the district; one background draw, 12 epochs. A difference is that of the
honest AUC of one district, less the one without knowledge.
"""

import argparse
import multiprocessing
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import pyplot as plt
from scipy import stats

import xgeoanom as xga
from xgeoanom.detectors import GKDCN

# Worlds: whether deposits lie near faults, and the maps of faults to tell of them.
WORLDS = {
    "near faults": (True, ("true map", "wrong map")),
    "anywhere": (False, ("true map",)),
}
SETTINGS = {  # deformable, and the constraint
    "GK-DCN, free": (True, "free"),
    "GK-CNN, fixed": (False, "fixed"),
    "GK-CNN, unlabelled": (False, "unlabelled"),
}
SIZE: dict = {"shape": (128, 128), "n_deposits": 16}
SEEDS = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)  # 5 leaves a quarter without a deposit
DISTANCES = {"min_distance": 5000.0, "max_distance": 1000.0}  # m
RINGS = [0, 500, 1000, 2000, 4000, 8000, 16_000, 32_000]  # m
SPACING, REACH = 500.0, 3000.0  # m
BUFFER_CELLS = 10  # half a patch, and the reach
LEVEL = 0.9


def run(seed: int, world: str, smallest: bool) -> list[dict]:
    """Return the honest AUC of every setting in one world, with each map of faults."""
    warnings.filterwarnings("ignore")  # few deposits
    fault_control, maps = WORLDS[world]
    district = xga.datasets.synthetic_survey(seed, fault_control=fault_control, **SIZE)
    cube = xga.clr(xga.idw(district.survey, spacing=SPACING, max_distance=REACH).compute())
    ds = cube.to_dataset().assign(labels=xga.label_deposits(district.deposits, like=cube))
    folds = xga.spatial_folds(ds["labels"], n=4, block_cells=64, seed=seed)

    def auc(detector: object, weights: object = None) -> float:
        found = xga.cross_validate(
            ds, detector, "labels", folds, evidence=weights, buffer_cells=BUFFER_CELLS
        )
        return xga.honest_auc(found["oof"], district.deposits, **DISTANCES, n_boot=1, seed=0).auc

    def network(deformable: bool, **params: object) -> GKDCN:
        return GKDCN(
            deformable=deformable,
            background="anywhere",
            draws=1,
            epochs=2 if smallest else 12,
            seed=seed,
            **params,
        )

    settings = {"GK-CNN, fixed": SETTINGS["GK-CNN, fixed"]} if smallest else SETTINGS
    without = {
        deformable: auc(network(deformable, knowledge=0.0))
        for deformable in sorted({deformable for deformable, _ in settings.values()})
    }
    rows = []
    for name in maps:
        mapped = (
            district if name == "true map" else xga.datasets.synthetic_survey(seed + 100, **SIZE)
        )
        weights = weights_of(xga.distance_to(mapped.faults, ds["labels"]))
        alone = auc(lambda _, labels, of=weights: of(labels)["fault_weight"])
        found = [{"setting": "fault weight alone", "auc": alone}]
        for deformable, value in without.items():
            found.append({"setting": "DCN" if deformable else "CNN", "auc": value})
        for setting, (deformable, constraint) in settings.items():
            value = auc(network(deformable, constraint=constraint), weights)
            difference = value - without[deformable]
            found.append({"setting": setting, "auc": value, "difference": difference})
        rows += [{"world": f"{world}, {name}", "seed": seed, **row} for row in found]
    return rows


def weights_of(distance: xr.DataArray) -> Callable[[xr.DataArray], xr.Dataset]:
    """Return what makes the weights of faults from a fold's training labels."""

    def weights(labels: xr.DataArray) -> xr.Dataset:
        weight = xga.density_law(distance, labels, rings=RINGS).weight(distance)
        return weight.to_dataset(name="fault_weight")

    return weights


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the means over districts, and of the differences Student's interval."""
    rows = {}
    for key, group in runs.groupby(["world", "setting"], sort=False):
        rows[key] = {"honest AUC": group["auc"].mean()}
        paired = group["difference"].dropna()
        if len(paired) > 1:
            half = stats.t.ppf((1 + LEVEL) / 2, len(paired) - 1) * stats.sem(paired)
            mean = paired.mean()
            rows[key] |= {"difference": mean, "low": mean - half, "high": mean + half}
    table = pd.DataFrame(rows).T
    table.index.names = ["world", "setting"]
    return table


def figure(runs: pd.DataFrame, table: pd.DataFrame, path: Path) -> None:
    """Draw each district's difference as a dot, the mean and its interval beside them."""
    worlds, settings = (runs.dropna()[name].unique() for name in ("world", "setting"))
    fig, axes = plt.subplots(1, len(worlds), figsize=(11, 3.2), sharey=True, layout="constrained")
    for ax, world in zip(np.atleast_1d(axes), worlds, strict=True):
        for k, setting in enumerate(settings):
            one = runs[(runs["world"] == world) & (runs["setting"] == setting)]
            ax.plot(np.full(len(one), k - 0.12), one["difference"], "o", color="#0072b2", alpha=0.5)
            if "low" in table:
                mean, low, high = table.loc[(world, setting), ["difference", "low", "high"]]
                bar = [[mean - low], [high - mean]]
                ax.errorbar(k + 0.12, mean, bar, fmt="s", color="#d55e00", capsize=4)
        ax.axhline(0.0, color="#262626", linewidth=0.8)
        ax.set_title(world, fontsize="medium", loc="left")
        ax.set_xticks(range(len(settings)), [name.replace(", ", "\n") for name in settings])
        ax.spines[["top", "right"]].set_visible(False)
    np.atleast_1d(axes)[0].set_ylabel("honest AUC, less that without")
    fig.savefig(path, dpi=110)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a minute instead of half an hour")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    seeds, worlds = (SEEDS[:1], ["anywhere"]) if args.smallest else (SEEDS, list(WORLDS))
    jobs = list(product(seeds, worlds))
    rows: list[dict] = []
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run, seed, world, args.smallest) for seed, world in jobs]
        for job, future in zip(jobs, futures, strict=True):
            rows += future.result()
            runs = pd.DataFrame(rows)
            runs.round(4).to_csv(args.output / "gk_dcn_knowledge_runs.csv", index=False)
            print(*job, "done", flush=True)
    table = summary(runs)
    table.round(3).add(0.0).to_csv(args.output / "gk_dcn_knowledge.csv")  # no minus zero
    figure(runs, table, args.output / "gk_dcn_knowledge.png")
    print(table.to_string())


if __name__ == "__main__":
    main()
