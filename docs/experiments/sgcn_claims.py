"""The three claims of SGCN + 1DCNN's abstract, put to the test.

    python docs/experiments/sgcn_claims.py [--smallest] [--output docs/experiments/results]

Superpixels against squares; both branches against each alone; and, with samples lost in blocks,
gross errors and weak haloes, the graph against models of single cells. On Southern Tianshan, one
deposit held out at a time, and on simulated districts, in quarters; three seeds each, one
background draw. Rivals: a random forest on the means of superpixels, and a logistic regression of
single cells.
"""

import argparse
import multiprocessing
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import pyplot as plt
from scipy import stats
from sklearn.ensemble import RandomForestClassifier

import xgeoanom as xga
from xgeoanom.detectors import SGCN

NETWORKS = {
    "both, superpixels": {},
    "both, squares": {"shape": "squares"},
    "spatial alone": {"branches": "spatial"},
    "spectrum alone": {"branches": "spectrum"},
}
FOREST, LOGISTIC = "random forest, superpixel means", "logistic regression, one cell"
METHODS = [*NETWORKS, FOREST, LOGISTIC]
GROUNDS = ["tianshan", "clean", "samples lost in blocks", "gross errors", "weak haloes"]
SIZE: dict = {"shape": (128, 128), "n_deposits": 16}
SPACING, REACH = 500.0, 3000.0  # m
BLOCK, N_BLOCKS = 6000.0, 20  # m a side; where samples are lost
LEVEL = 0.9
ERRORS, SLIP = 0.03, 10.0  # share of analyses that are ten times too high or too low


def tianshan() -> tuple[xr.Dataset, gpd.GeoDataFrame, xr.DataArray, int, dict]:
    """Return survey, deposits, folds, buffer in cells and distances of the honest AUC."""
    ds = xga.datasets.tianshan()
    folds = xga.leave_one_deposit_out(ds["labels"])
    return (
        ds,
        xga.deposit_centres(ds["labels"]),
        folds,
        6,
        {"min_distance": 5000.0, "max_distance": 1500.0},
    )


def simulated(
    ground: str, seed: int
) -> tuple[xr.Dataset, gpd.GeoDataFrame, xr.DataArray, int, dict]:
    """Return the same of a simulated district, its samples spoilt as ``ground`` says."""
    strength = 0.5 if ground == "weak haloes" else 1.0
    district = xga.datasets.synthetic_survey(seed, halo_strength=strength, **SIZE)
    table, rng = district.survey, np.random.default_rng(seed)
    if ground == "samples lost in blocks":
        table = table.isel(sample=~_in_blocks(table, rng))
    if ground == "gross errors":
        wrong = rng.random(table["concentration"].shape) < ERRORS
        slip = np.where(wrong, rng.choice([SLIP, 1 / SLIP], size=wrong.shape), 1.0)
        table = table.assign(concentration=table["concentration"] * slip)
        table["concentration"].attrs = district.survey["concentration"].attrs
    grid = district.truth["concentration"]
    cube = xga.clr(xga.idw(table, like=grid, max_distance=REACH).compute())
    ds = cube.to_dataset(name="clr").assign(labels=xga.label_deposits(district.deposits, like=cube))
    folds = xga.spatial_folds(ds["labels"], n=4, block_cells=64, seed=seed)
    distances = {"min_distance": 5000.0, "max_distance": 1000.0}
    return ds, district.deposits, folds, 4 + int(REACH / SPACING), distances


def _in_blocks(table: xr.Dataset, rng: np.random.Generator) -> np.ndarray:
    """Return which samples lie in squares put down at random."""
    x, y = table["x"].values, table["y"].values
    west, south = (rng.uniform(v.min(), v.max() - BLOCK, size=(N_BLOCKS, 1)) for v in (x, y))
    inside = (x >= west) & (x < west + BLOCK) & (y >= south) & (y < south + BLOCK)
    return np.asarray(inside.any(axis=0))


def forest(seed: int) -> Callable[[xr.DataArray, xr.DataArray], xr.DataArray]:
    """Return a score made by a random forest of superpixels' mean compositions."""

    def score(cube: xr.DataArray, labels: xr.DataArray) -> xr.DataArray:
        ids = xga.superpixels(cube, seed=seed).values
        known = ids >= 0
        count = np.bincount(ids[known])
        means = np.stack([np.bincount(ids[known], one[known]) / count for one in cube.values], 1)
        if not (labels == 0).any():
            labels = xga.draw_background(labels, exclude=xr.zeros_like(labels, bool) | ~known)
        marks = labels.values
        given = known & (marks >= 0)
        model = RandomForestClassifier(300, class_weight="balanced", random_state=seed)
        model.fit(means[ids[given]], marks[given])
        out = np.full(ids.shape, np.nan)
        out[known] = model.predict_proba(means)[:, 1][ids[known]]
        return labels.copy(data=out)

    return score


def run(ground: str, method: str, seed: int, smallest: bool) -> dict:
    """Return the honest AUC of one method on one ground."""
    warnings.filterwarnings("ignore")  # ten deposits are few
    made = tianshan() if ground == "tianshan" else simulated(ground, seed)
    ds, deposits, folds, buffer_cells, distances = made
    detector: object
    if method == LOGISTIC:
        detector = xga.baselines(draws=1, seed=seed)["logistic_regression"]
    elif method == FOREST:
        detector = forest(seed)
    else:
        epochs = 2 if smallest else 300
        detector = SGCN(draws=1, epochs=epochs, seed=seed, **NETWORKS[method])
    out = xga.cross_validate(ds, detector, "labels", folds, buffer_cells=buffer_cells)["oof"]
    honest = xga.honest_auc(out, deposits, **distances, seed=0)
    row = {"ground": ground, "method": method, "seed": seed}
    return row | {"auc": honest.auc, "low": honest.low, "high": honest.high}


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over seeds with, on one survey, the interval over deposits."""
    rows = {}
    for (ground, method), group in runs.groupby(["ground", "method"], sort=False):
        interval = f"{group['low'].mean():.2f} to {group['high'].mean():.2f}"
        rows.setdefault(method, {})[ground] = f"{group['auc'].mean():.2f} ({interval})"
    table = pd.DataFrame(rows).T
    table.index.name = "method"
    return table


def differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Return both branches on superpixels less each rival, run by run, with Student's interval."""
    wide = runs.pivot_table(index=["ground", "seed"], columns="method", values="auc", sort=False)
    rows = []
    for rival in [name for name in METHODS[1:] if name in wide]:
        paired = wide[METHODS[0]] - wide[rival]
        half = stats.t.ppf((1 + LEVEL) / 2, len(paired) - 1) * stats.sem(paired)
        mean = paired.mean()
        ends = {"low": mean - half, "high": mean + half}
        rows.append({"less": rival, "mean": mean, **ends, "runs": len(paired)})
    return pd.DataFrame(rows).round(3)


def figure(runs: pd.DataFrame, path: Path) -> None:
    """Draw each seed's AUC as a dot, methods side by side."""
    grounds, methods = runs["ground"].unique(), runs["method"].unique()
    size = 2.6 * len(grounds) + 1, 5.0
    fig, axes = plt.subplots(1, len(grounds), figsize=size, sharey=True, layout="constrained")
    for ax, ground in zip(np.atleast_1d(axes), grounds, strict=True):
        for k, method in enumerate(methods):
            one = runs[(runs["ground"] == ground) & (runs["method"] == method)]
            ax.plot(np.full(len(one), k), one["auc"], "o", color="#0072b2", alpha=0.6)
            ax.plot([k - 0.3, k + 0.3], [one["auc"].mean()] * 2, color="#d55e00", linewidth=2)
        ax.axhline(0.5, color="#8c8c8c", linewidth=0.8)
        ax.set_title(ground, fontsize="medium", loc="left")
        ax.set_xticks(range(len(methods)), methods, rotation=90)
        ax.spines[["top", "right"]].set_visible(False)
    np.atleast_1d(axes)[0].set_ylabel("honest AUC")
    fig.savefig(path, dpi=100)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a minute instead of half an hour")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    jobs = [(ground, method, seed) for seed, ground, method in product(range(3), GROUNDS, METHODS)]
    if args.smallest:
        jobs = [("gross errors", method, 0) for method in (METHODS[0], FOREST, LOGISTIC)]
    rows = []
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run, *job, args.smallest) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            rows.append(future.result())
            runs = pd.DataFrame(rows)
            runs.round(4).to_csv(args.output / "sgcn_claims_runs.csv", index=False)
            print(*job, f"{rows[-1]['auc']:.3f}", flush=True)
    table = summary(runs)
    table.to_csv(args.output / "sgcn_claims.csv")
    if not args.smallest:
        differences(runs).to_csv(args.output / "sgcn_claims_differences.csv", index=False)
    figure(runs, args.output / "sgcn_claims.png")
    print(table.to_string())


if __name__ == "__main__":
    main()
