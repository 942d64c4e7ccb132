"""PPF-CNN on the Southern Tianshan survey: the leaky split beside leave-deposit-out folds.

    python docs/experiments/ppf_cnn_tianshan.py [--smallest] [--output docs/experiments/results]

Windows (5, 13), two background draws, 10 epochs, three seeds. Every row is scored in one way: the
cells nearest to deposits against all cells at least 5 km from each of them (honest_auc).
"""

import argparse
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import pyplot as plt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

import xgeoanom as xga

WINDOWS = {"inner": 5, "outer": 13}
DISTANCES = {"min_distance": 5000.0, "max_distance": 1500.0}  # m
BUFFER_CELLS = 8  # halo of 6 and the 2 km between samples
PATHFINDERS = ["Au", "Ag", "As", "Sb", "Bi", "Cu", "Hg"]


def controls(ds: xr.Dataset, gold: xr.DataArray, seed: int) -> dict[str, xr.DataArray]:
    """Return scores that nothing was learnt for."""
    cells = gold.values
    around = sliding_window_view(np.pad(cells, 1, constant_values=np.nan), (3, 3))
    near = np.where(np.isnan(cells), np.nan, np.nanmedian(around, axis=(2, 3)))
    z = (ds["clr"] - ds["clr"].mean(("y", "x"))) / ds["clr"].std(("y", "x"))
    noise = np.random.default_rng(seed).normal(size=cells.shape)
    smooth = gold.copy(data=ndimage.gaussian_filter(noise, 10))
    return {
        "control: Au": gold,
        "control: Au, median of 3 x 3 cells": gold.copy(data=near),
        "control: sum of pathfinder z scores (clr)": z.sel(element=PATHFINDERS).sum(
            "element", skipna=False
        ),
        "control: random smooth map": smooth.where(gold.notnull()),
    }


def trained(ds: xr.Dataset, seed: int, n_random: int, params: dict) -> dict[str, xr.DataArray]:
    """Return the map of all deposits, and out-of-fold maps of two kinds of folds."""
    detector = xga.detectors.PPFCNN(**WINDOWS, seed=seed, **params)
    leaky = xga.random_folds(ds["labels"], n=n_random, seed=seed)
    honest = xga.leave_one_deposit_out(ds["labels"])
    return {
        "PPF-CNN, map scored on its own training deposits": xga.detect(ds, detector, "labels")[
            "ppf_cnn"
        ],
        "PPF-CNN, random split by cell (leaks)": xga.cross_validate(
            ds, detector, "labels", leaky, buffer_cells=0
        )["oof"],
        "PPF-CNN, leave one deposit out": xga.cross_validate(
            ds, detector, "labels", honest, buffer_cells=BUFFER_CELLS
        )["oof"],
    }


def scored(name: str, seed: int, score: xr.DataArray, deposits: gpd.GeoDataFrame) -> dict:
    result = xga.honest_auc(score, deposits, **DISTANCES, seed=0)
    shares = xga.capture_at(score, deposits)
    return {
        "method": name,
        "seed": seed,
        "auc": result.auc,
        "low": result.low,
        "high": result.high,
        "captured in 15 % of area": float(shares.sel(area=0.15)),
    }


def figure(maps: dict[str, xr.DataArray], deposits: gpd.GeoDataFrame, path: Path) -> None:
    fig, axes = plt.subplots(len(maps), 1, figsize=(9, 3.4 * len(maps)), layout="constrained")
    for ax, (name, score) in zip(axes, maps.items(), strict=True):
        xga.plot.class_map(xga.classify(score), deposits=deposits, ax=ax).set_title(name)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per method: means over seeds, and the spread of the AUC."""
    grouped = table.groupby("method", sort=False)
    rows = grouped.mean(numeric_only=True).drop(columns="seed")
    rows.insert(1, "sd over seeds", grouped["auc"].std())
    return rows


def main() -> None:
    warnings.filterwarnings("ignore", "All-NaN slice")  # outside the survey
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a minute instead of an hour")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    ds = xga.datasets.tianshan()
    gold = xga.datasets.tianshan(log_ratio="none")["concentration"].sel(element="Au", drop=True)
    params, seeds, n_random = {"draws": 2, "epochs": 10}, range(3), 2
    if args.smallest:
        near = {"y": slice(20, 75), "x": slice(75, 180)}
        ds, gold = ds.isel(near), gold.isel(near)
        params, seeds, n_random = {"draws": 1, "epochs": 1}, range(1), 2
    # The archive's background is far from faults by design: PPF-CNN draws its own (METHODS 1).
    labels = ds["labels"]
    ds = ds.assign(labels=labels.where(labels == 1, -1).astype("int8"))
    deposits = xga.deposit_centres(ds["labels"])
    args.output.mkdir(parents=True, exist_ok=True)
    rows, maps = [], {}
    for seed in seeds:
        maps = trained(ds, seed, n_random, params)
        rows += [scored(n, seed, s, deposits) for n, s in (maps | controls(ds, gold, seed)).items()]
        pd.DataFrame(rows).to_csv(args.output / "ppf_cnn_tianshan_runs.csv", index=False)
        print(f"seed {seed} done", flush=True)
    table = summary(pd.DataFrame(rows)).round(3)
    table.to_csv(args.output / "ppf_cnn_tianshan.csv")
    figure(maps, deposits, args.output / "ppf_cnn_tianshan.png")
    print(f"{ds.sizes['y']} x {ds.sizes['x']} cells, {len(deposits)} deposits, {params}")
    print(table.to_string())


if __name__ == "__main__":
    main()
