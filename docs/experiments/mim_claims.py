"""Does pretraining pay, and where: scores against the number of deposits to learn from.

    python docs/experiments/mim_claims.py [--smallest] [--output docs/experiments/results]

On Southern Tianshan and on a simulated district, three folds of whole deposits. All deposits
outside a fold are shown, half of them, or three. Masked image modelling, its encoder pretrained
without the fold or with it, frozen or tuned; the same network from scratch; gradient boosting,
logistic regression and weights of evidence. Three seeds, one draw each. Encoders
of the default size see the ground five times; where they are tuned there are five negatives for
each deposit cell and at most twenty epochs. Beside it random folds of cells, as published.
"""

import argparse
import hashlib
import multiprocessing
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import pyplot as plt

import xgeoanom as xga
from xgeoanom.detectors import MIM, MaskedAutoencoder

SEEDS = (0, 1, 2)
SHOWN = ("all", "half", "three")
FROZEN, SEEN, TUNED = "pretrained", "pretrained, fold seen", "pretrained, tuned"
SCRATCH, BOOSTING, LOGISTIC = "from scratch", "gradient boosting", "logistic regression"
WEIGHTS = "weights of evidence"
METHODS = (FROZEN, SEEN, TUNED, SCRATCH, BOOSTING, LOGISTIC, WEIGHTS)
IN_RANDOM = (SEEN, BOOSTING, LOGISTIC)  # the encoder knows all windows anyway
DISTRICT: dict = {"shape": (96, 96), "n_deposits": 12}
REACH = 3000.0  # m
PRESENT = 0.8  # quantile above which an element's pattern is present
PATHFINDERS = ["Au", "Ag", "As", "Sb", "Bi", "Cu", "Hg"]
COLOURS = dict(
    zip(
        METHODS,
        ("#0072b2", "#56b4e9", "#004a75", "#d55e00", "#009e73", "#262626", "#8c8c8c"),
        strict=True,
    )
)


def survey(name: str, smallest: bool) -> tuple[xr.Dataset, Any, int, dict]:
    """Return a survey with its deposits, buffer in cells and distances of the honest AUC."""
    if name == "tianshan":
        ds = xga.datasets.tianshan()
        labels = ds["labels"].where(ds["labels"] == 1, -1).astype("int8")
        ds = ds[["clr"]].assign(labels=labels)
        return ds, xga.deposit_centres(labels), 4, {"min_distance": 5000.0, "max_distance": 1500.0}
    size = {"shape": (64, 64), "n_deposits": 9} if smallest else DISTRICT
    district = xga.datasets.synthetic_survey(seed=0, **size)
    grid = district.truth["concentration"]
    cube = xga.clr(xga.idw(district.survey, like=grid, max_distance=REACH).compute())
    ds = cube.to_dataset(name="clr").assign(labels=xga.label_deposits(district.deposits, like=cube))
    distances = {"min_distance": 3000.0, "max_distance": 1000.0}
    return ds, district.deposits, 2 + int(REACH / 500.0), distances


def count(n: int, shown: str) -> int:
    """Return how many of ``n`` deposits are shown."""
    return {"all": n, "half": -(-n // 2), "three": min(3, n)}[shown]


def fewer(labels: xr.DataArray, shown: str, seed: int) -> xr.DataArray:
    """Return labels of some of the deposits alone; those of others become unlabelled."""
    ids = xga.deposit_ids(labels)
    known = np.unique(ids.values[ids.values >= 0])
    chosen = np.random.default_rng(seed).permutation(known)[: count(known.size, shown)]
    return labels.where((labels != 1) | ids.isin(chosen), -1).astype("int8")


@dataclass
class FewDeposits:
    """A detector that is shown some of the deposits, and maybe pretrained on open ground."""

    detector: Any
    shown: str
    seed: int
    folder: Path | None = None

    @property
    def footprint(self) -> Any:
        return self.detector.footprint

    def fit(self, cube: xr.DataArray, labels: xr.DataArray, *, evidence: Any = None) -> Any:
        detector = self.detector
        if self.folder is not None:
            detector = replace(detector, pretrained=pretrained(cube, detector, self.folder))
        return detector.fit(cube, fewer(labels, self.shown, self.seed))


def pretrained(cube: xr.DataArray, like: MIM, folder: Path) -> str:
    """Return the file of an encoder that learnt from a cube; it is trained once."""
    ground = hashlib.sha256(cube.notnull().values.tobytes()).hexdigest()
    path = folder / f"{ground}-{like.seed}.safetensors"
    if not path.exists():
        sizes = {name: getattr(like, name) for name in ("width", "depth", "epochs", "seed")}
        MaskedAutoencoder(**sizes).fit(cube).save(path)
    return str(path)


def patterns(cube: xr.DataArray) -> xr.Dataset:
    """Return where pathfinders are high."""
    names = [name for name in PATHFINDERS if name in cube["element"].values]
    found = {}
    for name in names:
        one = cube.sel(element=name, drop=True)
        found[name] = (one > one.quantile(PRESENT)).where(one.notnull()).astype("float32")
    return xr.Dataset(found)


def weights(shown: str, seed: int) -> Any:
    """Return a score by weights of evidence, each deposit's middle cell counted once."""

    def score(cube: xr.DataArray, labels: xr.DataArray) -> xr.DataArray:
        centres = xga.deposit_centres(fewer(labels, shown, seed))
        cells = xga.label_deposits(centres, like=cube, radius_cells=0)
        return xga.weights_of_evidence(patterns(cube), cells)["score"]

    return score


def detector_of(
    method: str, shown: str, seed: int, cube: xr.DataArray, folder: Path, smallest: bool
) -> Any:
    """Return what :func:`cross_validate` is to try."""
    if method == WEIGHTS:
        return weights(shown, seed)
    if method in (BOOSTING, LOGISTIC):
        name = "hist_gradient_boosting" if method == BOOSTING else "logistic_regression"
        return FewDeposits(xga.baselines(draws=3, seed=seed)[name], shown, seed)
    small = {"width": 8, "depth": 1, "epochs": 1, "head_epochs": 2} if smallest else {}
    tuned = method in (TUNED, SCRATCH)
    slow = {"negatives": 5, "head_epochs": 20, "patience": 5} if tuned else {}
    detector = MIM(draws=1, seed=seed, tuned=tuned, **{"epochs": 5, **slow, **small})
    if method == SCRATCH:
        return FewDeposits(replace(detector, epochs=0), shown, seed)
    if method == SEEN:
        known = replace(detector, pretrained=pretrained(cube, detector, folder))
        return FewDeposits(known, shown, seed)
    return FewDeposits(detector, shown, seed, folder)


def run(name: str, seed: int, methods: tuple[str, ...], smallest: bool) -> list[dict]:
    """Return the rows of all methods on one survey; what they share is pretrained once."""
    warnings.filterwarnings("ignore")  # ten deposits are few
    with tempfile.TemporaryDirectory() as folder:
        return [
            row for method in methods for row in rows_of(name, seed, method, Path(folder), smallest)
        ]


def rows_of(name: str, seed: int, method: str, folder: Path, smallest: bool) -> list[dict]:
    """Return the honest AUC of one method on one survey, for each number of deposits."""
    ds, deposits, buffer_cells, distances = survey(name, smallest)
    by_deposit = xga.spatial_folds(ds["labels"], n=3, block_cells=24, seed=0)
    splits = {"deposits": by_deposit}
    if method in IN_RANDOM:
        splits["cells at random"] = xga.random_folds(ds["labels"], n=3, seed=seed)
    rows = []
    for kind, shown in product(splits, SHOWN[-1:] if smallest else SHOWN):
        if kind != "deposits" and shown != SHOWN[0]:
            continue
        detector = detector_of(method, shown, seed, ds["clr"], folder, smallest)
        reach = buffer_cells if kind == "deposits" else 0
        found = xga.cross_validate(ds, detector, "labels", splits[kind], buffer_cells=reach)
        honest = xga.honest_auc(found["oof"], deposits, **distances, seed=0)
        known = np.mean([count(int(n), shown) for n in found["n_train_deposits"].values])
        row = {"survey": name, "folds": kind, "method": method, "shown": shown, "seed": seed}
        row |= {"deposits": float(known), "auc": honest.auc, "low": honest.low, "high": honest.high}
        rows.append(row | {"auc_cells": float(found["auc"].mean())})
        print(name, kind, method, shown, seed, f"{honest.auc:.3f}", flush=True)
    return rows


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over seeds with the interval over deposits, shown deposits side by side."""
    keys = ["survey", "folds", "method", "shown"]
    mean = runs.groupby(keys, sort=False)[["auc", "low", "high", "auc_cells"]].mean()
    text = [
        f"{row.auc:.2f} ({row.low:.2f} to {row.high:.2f})"
        if key[1] == "deposits"
        else f"{row.auc_cells:.2f}"
        for key, row in zip(mean.index, mean.itertuples(), strict=True)
    ]
    table = pd.Series(text, index=mean.index).unstack("shown", sort=False)
    return table.reindex(columns=[one for one in SHOWN if one in table])


def differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the pretrained encoder less each rival, seed by seed, by deposits shown."""
    held = runs[runs["folds"] == "deposits"]
    wide = held.pivot_table(index=["survey", "shown", "seed"], columns="method", values="auc")
    pairs = [(TUNED, SCRATCH), (FROZEN, SCRATCH), (FROZEN, SEEN), (FROZEN, BOOSTING)]
    pairs += [(FROZEN, LOGISTIC)]
    rows = [
        {"survey": name, "shown": shown, "method": one, "less": other}
        | {"mean": paired.mean(), "least": paired.min(), "most": paired.max()}
        for one, other in pairs
        if one in wide and other in wide
        for (name, shown), paired in (wide[one] - wide[other]).groupby(["survey", "shown"])
    ]
    return pd.DataFrame(rows).round(3)


def figure(runs: pd.DataFrame, path: Path) -> None:
    """Draw the honest AUC over the number of deposits, a line for each method."""
    held = runs[runs["folds"] == "deposits"]
    surveys = held["survey"].unique()
    fig, axes = plt.subplots(
        1, len(surveys), figsize=(4.6 * len(surveys) + 2, 4), sharey=True, layout="constrained"
    )
    for ax, name in zip(np.atleast_1d(axes), surveys, strict=True):
        for method, group in held[held["survey"] == name].groupby("method", sort=False):
            mean = group.groupby("deposits")["auc"].agg(["mean", "min", "max"])
            ax.plot(mean.index, mean["mean"], "o-", color=COLOURS[method], label=method)
            ax.vlines(mean.index, mean["min"], mean["max"], color=COLOURS[method], linewidth=1)
        ax.axhline(0.5, color="#8c8c8c", linewidth=0.8)
        ax.set_title(name, loc="left", fontsize="medium")
        ax.set_xlabel("deposits shown")
        ax.spines[["top", "right"]].set_visible(False)
    np.atleast_1d(axes)[0].set_ylabel("honest AUC, least and most of the seeds")
    handles, names = np.atleast_1d(axes)[-1].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside right center", frameon=False, fontsize="small")
    fig.savefig(path, dpi=100)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a minute instead of an hour")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    jobs = [(name, seed, METHODS) for seed, name in product(SEEDS, ("tianshan", "simulated"))]
    if args.smallest:
        jobs = [("simulated", 0, (FROZEN, BOOSTING, WEIGHTS))]
    rows: list[dict] = []
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run, *job, args.smallest) for job in jobs]
        for future in futures:
            rows += future.result()
            pd.DataFrame(rows).round(4).to_csv(args.output / "mim_claims_runs.csv", index=False)
    runs = pd.DataFrame(rows)
    summary(runs).to_csv(args.output / "mim_claims.csv")
    differences(runs).to_csv(args.output / "mim_claims_differences.csv", index=False)
    figure(runs, args.output / "mim_claims.png")
    print(summary(runs).to_string())


if __name__ == "__main__":
    main()
