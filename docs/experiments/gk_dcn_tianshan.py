"""The four networks of GK-DCN on Southern Tianshan: as published, and by deposit.

    python docs/experiments/gk_dcn_tianshan.py [--smallest] [--output docs/experiments/results]

Each network, and a logistic regression of single cells, learns from the archive's 84 deposit and 84
background cells: five folds of random cells, as published, and leave one deposit out with six cells
of buffer. Metrics by cell are of the labelled cells; the honest AUC is of ten deposits against
every cell at least 5 km away. 30 epochs, three seeds, on log-ratios and on raw concentrations,
inside the support.
"""

import argparse
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib import pyplot as plt

import xgeoanom as xga
from xgeoanom.detectors import GKDCN, SklearnDetector, baselines

MODELS = {
    "CNN": {"deformable": False, "knowledge": 0.0},
    "DCN": {"deformable": True, "knowledge": 0.0},
    "GK-CNN": {"deformable": False, "knowledge": 1.0},
    "GK-DCN": {"deformable": True, "knowledge": 1.0},
}
LOGISTIC = "logistic regression, one cell"
INPUTS = {"clr": "clr", "raw": "none"}
BUFFER_CELLS = 6  # half a patch, and the 2 km between samples
DISTANCES = {"min_distance": 5000.0, "max_distance": 1500.0}  # m
METRICS = ["accuracy", "auc", "kappa", "mcc", "precision", "recall", "f1"]


def survey(values: str) -> xr.Dataset:
    """Return the survey, its cube named ``cube``."""
    ds = xga.datasets.tianshan(log_ratio=INPUTS[values])
    return ds.rename({"clr" if values == "clr" else "concentration": "cube"})


def detector_of(model: str, seed: int, epochs: int) -> GKDCN | SklearnDetector:
    """Return an unfitted network, or the logistic regression."""
    if model == LOGISTIC:
        return baselines(seed=seed)["logistic_regression"]
    return GKDCN(**MODELS[model], background="anywhere", epochs=epochs, seed=seed)


def run(values: str, model: str, seed: int, smallest: bool) -> list[dict]:
    """Return the metrics of one network under both kinds of folds."""
    warnings.filterwarnings("ignore")  # raw concentrations, and ten deposits are few
    ds = survey(values)
    detector = detector_of(model, seed, epochs=2 if smallest else 30)
    labelled = ds["labels"] != -1
    random = xga.random_folds(ds["labels"], n=2 if smallest else 5, seed=seed)
    kinds = {
        "random cells": (random.where(labelled, -1).astype("int16"), 0),
        "by deposit": (xga.leave_one_deposit_out(ds["labels"]), BUFFER_CELLS),
    }
    rows = []
    for kind, (folds, buffer_cells) in kinds.items():
        folds.attrs = random.attrs if kind == "random cells" else folds.attrs
        oof = xga.cross_validate(ds, detector, "labels", folds, buffer_cells=buffer_cells)["oof"]
        row = {"input": values, "model": model, "seed": seed, "folds": kind}
        row |= xga.metrics(oof, ds["labels"])
        if kind == "by deposit":
            honest = xga.honest_auc(oof, xga.deposit_centres(ds["labels"]), **DISTANCES, seed=0)
            null = xga.site_shift_null(oof, xga.deposit_centres(ds["labels"]), **DISTANCES, seed=0)
            row |= {"honest": honest.auc, "low": honest.low, "high": honest.high, "p": null.p}
        rows.append(row)
    return rows


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per input and network: means over seeds, and the spread of the honest AUC."""
    rows = {}
    for (values, model), group in runs.groupby(["input", "model"], sort=False):
        random, honest = (group[group["folds"] == kind] for kind in ("random cells", "by deposit"))
        interval = f"{honest['low'].mean():.2f} to {honest['high'].mean():.2f}"
        rows[values, model] = {
            "accuracy, random": f"{random['accuracy'].mean():.2f}",
            "AUC, random": f"{random['auc'].mean():.2f}",
            "accuracy, by deposit": f"{honest['accuracy'].mean():.2f}",
            "AUC by cell, by deposit": f"{honest['auc'].mean():.2f}",
            "honest AUC": f"{honest['honest'].mean():.2f}",
            "sd over seeds": f"{honest['honest'].std():.2f}",
            "90 % interval": interval,
            "p (shifted sites)": f"{honest['p'].mean():.2f}",
        }
    table = pd.DataFrame(rows).T
    table.index.names = ["input", "model"]
    return table


def figure(runs: pd.DataFrame, path: Path) -> None:
    """Draw the seven metrics of the log-ratios' runs, above by random cells, below by deposit."""
    runs = runs[runs["input"] == "clr"]
    fig = plt.figure(figsize=(13, 9), layout="constrained")
    rows = fig.subfigures(2, 1)
    for row, (kind, group) in zip(rows, runs.groupby("folds", sort=False), strict=True):
        row.suptitle(f"Folds: {kind}", x=0.01, ha="left")
        radar = row.add_subplot(1, 2, 1, projection="polar")
        xga.plot.radar(group.groupby("model", sort=False)[METRICS].mean(), ax=radar)
        xga.plot.metric_boxes(group, ax=row.add_subplot(1, 2, 2))
    fig.savefig(path, dpi=80)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a minute instead of half an hour")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    models = [LOGISTIC, "GK-DCN"] if args.smallest else [LOGISTIC, *MODELS]
    inputs, seeds = (["clr"], range(1)) if args.smallest else (list(INPUTS), range(3))
    jobs = list(product(inputs, seeds, models))
    rows: list[dict] = []
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run, v, model, seed, args.smallest) for v, seed, model in jobs]
        for job, future in zip(jobs, futures, strict=True):
            rows += future.result()
            runs = pd.DataFrame(rows)
            runs.round(4).to_csv(args.output / "gk_dcn_tianshan_runs.csv", index=False)
            print(*job, "done", flush=True)
    table = summary(runs)
    table.to_csv(args.output / "gk_dcn_tianshan.csv")
    figure(runs, args.output / "gk_dcn_tianshan.png")
    print(table.to_string())


if __name__ == "__main__":
    main()
