"""PPF-CNN's forms, and its windows, on the embedded survey.

    python docs/experiments/ppf_cnn_synthetic.py [--smallest] [--output docs/experiments/results]

Each form of the method is cross-validated on three simulated districts by spatial folds of whole
deposits and scored by honest_auc. The sweep repeats the paper's Fig. 8 and 9 on one district.
"""

import argparse
from pathlib import Path

import geopandas as gpd
import pandas as pd
import xarray as xr
from matplotlib import pyplot as plt

import xgeoanom as xga
from xgeoanom.kernels.dual_window import PAPER_WINDOWS

DISTANCES = {"min_distance": 5000.0, "max_distance": 1000.0}  # m
SPACING, REACH = 500.0, 3000.0  # m
FORMS = {
    "abs": {},
    "diff, one order": {"pair": "diff"},
}


def survey(seed: int, shape: tuple[int, int]) -> tuple[xr.Dataset, gpd.GeoDataFrame]:
    """Return the gridded district with labels, and its deposits."""
    district = xga.datasets.synthetic_survey(seed=seed, shape=shape)
    cube = xga.idw(district.survey, spacing=SPACING, max_distance=REACH).compute()
    labels = xga.label_deposits(district.deposits, like=cube)
    return xga.clr(cube).to_dataset().assign(labels=labels), district.deposits


def forms(
    names: list[str], seeds: range, shape: tuple[int, int], n_folds: int, params: dict
) -> pd.DataFrame:
    """Cross-validate every form of the method on every district."""
    rows = []
    for seed in seeds:
        ds, deposits = survey(seed, shape)
        folds = xga.spatial_folds(ds["labels"], n=n_folds, block_cells=16, seed=seed)
        for name in names:
            detector = xga.detectors.PPFCNN(
                inner=5, outer=13, draws=1, seed=seed, **params, **FORMS[name]
            )
            buffer_cells = detector.footprint.halo + int(REACH / SPACING)
            result = xga.cross_validate(ds, detector, "labels", folds, buffer_cells=buffer_cells)
            worth = xga.honest_auc(result["oof"], deposits, **DISTANCES, seed=0)
            rows.append({"form": name, "seed": seed, "auc": worth.auc})
            print(f"seed {seed}  {name:24s} {worth.auc:.3f}", flush=True)
    return pd.DataFrame(rows)


def sweep(seed: int, shape: tuple[int, int], windows: list, params: dict, output: Path) -> None:
    """Draw the maps and the AUC of every pair of windows (Fig. 8 and 9)."""
    ds, deposits = survey(seed, shape)
    result = xga.window_sweep(ds, "labels", windows, draws=1, seed=seed, **params)
    honest = [xga.honest_auc(one, deposits, **DISTANCES, seed=0).auc for one in result["score"]]
    table = (
        result[["auc"]]
        .drop_vars("spatial_ref")
        .to_dataframe()
        .assign(auc_away_from_deposits=honest)
        .round(3)
    )
    table.to_csv(output / "ppf_cnn_windows.csv", index=False)
    print(table.to_string())
    axes = xga.plot.window_maps(result, deposits=deposits)
    axes.flat[0].figure.savefig(output / "ppf_cnn_windows_maps.png", dpi=90, bbox_inches="tight")
    figure, ax = plt.subplots(layout="constrained")
    xga.plot.window_sweep(result, ax=ax)
    figure.savefig(output / "ppf_cnn_windows_auc.png", dpi=90)


def bfloat16(
    seed: int, shape: tuple[int, int], windows: tuple[int, int], params: dict, output: Path
) -> None:
    """Write what scoring with half the bits changes; slow without bfloat16 units."""
    ds, deposits = survey(seed, shape)
    inner, outer = windows
    detector = xga.detectors.PPFCNN(inner=inner, outer=outer, draws=1, seed=seed, **params)
    full = xga.detect(ds, detector, "labels")["ppf_cnn"]
    detector.precision = "bfloat16"
    half = xga.predict(ds, detector)["ppf_cnn"]
    aucs = [xga.honest_auc(one, deposits, **DISTANCES, seed=0).auc for one in (full, half)]
    gap = float(abs(full - half).max())
    table = pd.DataFrame({"float32": [aucs[0]], "bfloat16": [aucs[1]], "largest difference": [gap]})
    table.round(4).to_csv(output / "ppf_cnn_bfloat16.csv", index=False)
    print(table.to_string(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="a minute instead of an hour")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--parts", nargs="+", default=["sweep", "forms"], help="which to run")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    if args.smallest:
        runs = {"seeds": range(1), "shape": (96, 96), "n_folds": 3, "params": {"epochs": 1}}
        params, windows, chosen = {"epochs": 1}, [(1, 3), (3, 5)], ["abs"]
    else:
        runs = {"seeds": range(3), "shape": (96, 96), "n_folds": 3, "params": {"epochs": 5}}
        params, windows, chosen = {"epochs": 10}, list(PAPER_WINDOWS), list(FORMS)
    print(runs, params)
    if "sweep" in args.parts:
        sweep(0, runs["shape"], windows, params, args.output)
        bfloat16(0, runs["shape"], windows[0] if args.smallest else (5, 13), params, args.output)
    if "forms" not in args.parts:
        return
    table = forms(chosen, **runs)
    summary = table.groupby("form", sort=False)["auc"].agg(["mean", "std", "min", "max"]).round(3)
    summary.to_csv(args.output / "ppf_cnn_forms.csv")
    print(summary.to_string())


if __name__ == "__main__":
    main()
