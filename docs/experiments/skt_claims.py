"""SKT and what is left of it without each of its parts, against plain networks of equal size.

    python docs/experiments/skt_claims.py [--smallest] [--output docs/experiments/results]

On Southern Tianshan and on a simulated district, each cut into a western and an eastern half: the
windows inside either half are tested after training on the other, and so are the paper's noisy
copies of them. Three seeds. Then the map: the honest AUC of SKT and of a logistic regression of
single cells, over the same halves of Southern Tianshan. Last, whether the losses had settled.
"""

import argparse
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import pyplot as plt

import xgeoanom as xga
from xgeoanom.detectors import SKT

SURVEYS = ("tianshan", "simulated")
SEEDS = (0, 1, 2)
DISTRICT: dict = {"shape": (192, 192), "n_deposits": 12}
REACH = 3000.0  # m
PAPER_COPIES = (7, 3)  # of a test window with and without deposits (section 2.2)
COLUMNS = ["accuracy", "recall", "macro_f1", "deposit_recall", "deposit_auc", "gain"]


def survey(name: str, smallest: bool) -> xr.Dataset:
    """Return a survey with ``clr`` and ``labels``."""
    if name == "tianshan":
        return xga.datasets.tianshan()
    size = {"shape": (96, 96), "n_deposits": 6} if smallest else DISTRICT
    district = xga.datasets.synthetic_survey(seed=0, **size)
    grid = district.truth["concentration"]
    cube = xga.clr(xga.idw(district.survey, like=grid, max_distance=REACH).compute())
    return cube.to_dataset(name="clr").assign(
        labels=xga.label_deposits(district.deposits, like=cube)
    )


def halves(labels: xr.DataArray) -> xr.DataArray:
    """Return two folds, about as many deposits in each, cut in a wide gap between these."""
    centres = np.sort(xga.deposit_centres(labels).geometry.x.to_numpy())
    middle = len(centres) // 2
    west = max(range(middle - 2, middle + 1), key=lambda k: centres[k + 1] - centres[k])
    east = labels["x"] > (centres[west] + centres[west + 1]) / 2
    return xr.zeros_like(labels, dtype="int16") + east.astype("int16")


def settings(smallest: bool) -> dict:
    """Return what differs from the defaults of SKT: a quarter of the windows, for longer."""
    if smallest:
        small = {"window": 16, "crop": 14, "width": 2, "dilations": (1, 2)}
        return {**small, "step": 8, "epochs": 1, "source_epochs": 1}
    longer = {"epochs": 64, "source_epochs": 40, "halve_every": 20}
    return {"step": 8, "batch_size": 8, **longer}


def trial(name: str, seeds: tuple[int, ...], smallest: bool) -> xr.Dataset:
    """Return the table of one survey."""
    warnings.filterwarnings("ignore")
    ds = survey(name, smallest)
    return xga.window_trial(
        ds,
        "labels",
        halves(ds["labels"]),
        SKT(**settings(smallest)),
        seeds=seeds,
        copies=PAPER_COPIES,
        ablations=not smallest,
    )


def mapped(method: str, seed: int, smallest: bool) -> dict:
    """Return the honest AUC of the map of one method on Southern Tianshan, halves held out."""
    warnings.filterwarnings("ignore")
    ds = survey("tianshan", smallest)
    folds = halves(ds["labels"])
    detector = SKT(seed=seed, **settings(smallest))
    if method != "SKT":
        detector = xga.baselines(seed=seed)["logistic_regression"]
    out = xga.cross_validate(ds, detector, "labels", folds, buffer_cells=2)["oof"]
    deposits = xga.deposit_centres(ds["labels"])
    honest = xga.honest_auc(out, deposits, min_distance=5000.0, max_distance=1500.0, seed=0)
    return {
        "method": method,
        "seed": seed,
        "auc": honest.auc,
        "low": honest.low,
        "high": honest.high,
    }


def settled(name: str, smallest: bool) -> dict:
    """Return how the loss fell while the western half was learnt, and what guessing has."""
    warnings.filterwarnings("ignore")
    ds = survey(name, smallest)
    west = halves(ds["labels"]) == 0
    detector = SKT(seed=0, **settings(smallest))
    labels = ds["labels"].where(west, -1).astype("int8")
    (history,) = detector.fit(ds["clr"].where(west), labels).history_
    loss, source = history["loss"], history["source_loss"]
    ends = {"loss at first": loss[0], "guessing": len(detector.dilations) * np.log(2)}
    ends |= {f"{what} eighth": np.mean(part) for what, part in _eighths(loss)}
    turns = {"source at first": source[0], "source guessing": np.log(4)}
    turns |= {f"source's {what} eighth": np.mean(part) for what, part in _eighths(source)}
    return {"survey": name, "epochs": len(loss), **ends, **turns}


def _eighths(loss: list[float]) -> list[tuple[str, list[float]]]:
    """Return the losses of the last eighths of the epochs, by name."""
    n = max(len(loss) // 8, 1)
    whole = ("third last", -3 * n, -2 * n), ("second last", -2 * n, -n), ("last", -n, None)
    return [(what, loss[first:end] or loss) for what, first, end in whole]


def rows_of(table: xr.Dataset) -> pd.DataFrame:
    """Return one row for each system and set of test windows, the mean over seeds."""
    mean = table[[*COLUMNS[:5], "tp", "fn", "fp", "tn"]].mean("seed")
    ends = table[["deposit_auc_low", "deposit_auc_high", "gain", "gain_low", "gain_high"]]
    merged = xr.merge([mean, ends], compat="override").assign_coords(n=table["n_deposits"])
    frame = merged.to_dataframe().drop(columns="n").round(3)
    order = pd.MultiIndex.from_product([table["test_set"].values, table["system"].values])
    return frame.reorder_levels(["test_set", "system"]).loc[order].rename_axis(["test", "system"])


def figure(tables: dict[str, pd.DataFrame], path: Path) -> None:
    """Draw the AUC by deposit with its interval, and macro-F1 on both sets of test windows."""
    size = 10.0, 0.6 + 3.4 * len(tables)
    fig, axes = plt.subplots(len(tables), 2, figsize=size, layout="constrained", squeeze=False)
    for (by_deposit, by_window), (name, table) in zip(axes, tables.items(), strict=True):
        windows = table.loc["windows"]
        at = np.arange(len(windows))[::-1]
        ends = windows["deposit_auc_low"], windows["deposit_auc_high"]
        by_deposit.hlines(at, *ends, color="#0072b2", linewidth=1)
        by_deposit.plot(windows["deposit_auc"], at, "o", color="#0072b2")
        by_deposit.axvline(0.5, color="#8c8c8c", linewidth=0.8)
        title = f"{name}: AUC by deposit, 90 % interval"
        by_deposit.set_title(title, loc="left", fontsize="medium")
        for test, color in (("windows", "#0072b2"), ("copies", "#d55e00")):
            score = table.loc[test, "macro_f1"]
            by_window.plot(score, at, "o", color=color, label=f"test {test}", alpha=0.7)
        by_window.set_title("macro-F1 of windows", loc="left", fontsize="medium")
        by_window.legend(frameon=False, fontsize="small")
        by_deposit.set_yticks(at, windows.index, fontsize="small")
        by_window.set_yticks(at, [])
        for ax in (by_deposit, by_window):
            ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=100)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="seconds instead of two hours")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    names, seeds = (SURVEYS[1:], SEEDS[:1]) if args.smallest else (SURVEYS, SEEDS)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        trials = {name: pool.submit(trial, name, seeds, args.smallest) for name in names}
        jobs = [(method, seed) for seed in seeds for method in ("SKT", "logistic regression")]
        maps = [pool.submit(mapped, *job, args.smallest) for job in jobs]
        tables = {}
        for name, future in trials.items():
            found = future.result()
            tables[name] = rows_of(found)
            tables[name].to_csv(args.output / f"skt_claims_{name}.csv")
            print(f"{name}: {found['n_deposits'].item()} deposits, {len(seeds)} seeds")
            print(tables[name][COLUMNS].to_string(), flush=True)
        honest = pd.DataFrame([future.result() for future in maps]).round(3)
        losses = pd.DataFrame(pool.map(settled, names, [args.smallest] * len(names))).round(2)
    losses.to_csv(args.output / "skt_claims_losses.csv", index=False)
    print(losses.to_string(index=False))
    honest.to_csv(args.output / "skt_claims_maps.csv", index=False)
    print(honest.to_string(index=False))
    figure(tables, args.output / "skt_claims.png")


if __name__ == "__main__":
    main()
