"""Every classical method, and the controls, on two real surveys under one protocol.

    python docs/experiments/compare_classical.py [--smallest] [--survey NAME] [--output FOLDER]

Southern Tianshan: 39 analytes on 1 km cells, ten deposits. Western Australia: the elements that
most stream sediments were analysed for and have values of, by inverse distances onto 1 km cells
within 5 km of samples, 32 sites. Three seeds; refits on random sites with the first one alone.
Results of single methods lie in <output>/compare_classical, and a stopped run goes on from there.
"""

import argparse
import warnings
from pathlib import Path

import pandas as pd
import xarray as xr

import xgeoanom as xga
from xgeoanom.detectors import Autoencoder, ConvAutoencoder, WeightedElements, baselines

TIANSHAN_PATHFINDERS = ["Ag", "As", "Sb", "Bi", "Cu", "Hg"]
SED1_PATHFINDERS = ["As", "Cu", "Pb", "Zn"]
HALO = 4  # of the widest detector: windows of 9 cells


def tianshan() -> xga.Yardstick:
    """Return the survey with a deposit at the middle of each labelled block."""
    ds = xga.datasets.tianshan(log_ratio="none")
    return xga.Yardstick(
        ds=ds["concentration"],
        deposits=xga.deposit_centres(ds["labels"]),
        target="Au",
        pathfinders=TIANSHAN_PATHFINDERS,
        min_distance=5000.0,
        max_distance=1500.0,
        buffer_cells=HALO + 2,  # samples lie 2 km apart
    )


def sed1() -> xga.Yardstick:
    """Return the stream sediments on a grid."""
    found = xga.datasets.sed1()
    measured = (found.survey["state"] == 0).mean("sample")
    survey = found.survey.sel(element=measured > 0.6)
    table = xga.replace_censored(survey, unknown_limits="smallest")
    cube = xga.idw(table, spacing=1000.0, max_distance=5000.0)
    return xga.Yardstick(
        ds=cube.where(cube.notnull().all("element")),
        deposits=found.deposits,
        target="Au",
        pathfinders=SED1_PATHFINDERS,
        min_distance=5000.0,
        max_distance=2000.0,
        buffer_cells=HALO + 5,
        table=table,
    )


SURVEYS = {"tianshan": tianshan, "sed1": sed1}


def methods(seed: int, *, smallest: bool) -> dict:
    """Return all methods, or one of each kind."""
    suite = xga.classical_suite("Au", seed=seed)
    if smallest:
        bars = baselines(draws=1)
        return {"RX": suite["RX"], "logistic regression": bars["logistic_regression"]}
    bars = {name.replace("_", " "): bar for name, bar in baselines(draws=3).items()}
    return {
        **suite,
        "autoencoder": Autoencoder(),
        "autoencoder, convolutional": ConvAutoencoder(),
        **bars,
        "logistic regression, 5 x 5": baselines(window=5, draws=3)["logistic_regression"],
        "weights of evidence": WeightedElements(),
    }


def readable(results: list[xr.Dataset], survey: str) -> pd.DataFrame:
    """Return the table of the first seed, with the AUC of the other seeds."""
    table = xga.comparison_table(results[0], survey)
    aucs = xr.concat([result["auc"].sel(survey=survey) for result in results[1:]], "seed")
    others = {
        name: ", ".join(f"{value:.2f}" for value in aucs.sel(score=name).values)
        for name in table.index
    }
    table.insert(4, "other seeds", pd.Series(others))
    return table


def main() -> None:
    """Compare, and write tables and figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("--survey", choices=("tianshan", "sed1"), help="one alone")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore", category=PendingDeprecationWarning)
    one = "tianshan" if options.smallest else options.survey
    surveys = {name: make() for name, make in SURVEYS.items() if one in (None, name)}
    seeds, n_shifts, n_refits = (2, 99, 1) if options.smallest else (3, 999, 19)
    results = [
        xga.compare(
            methods(seed, smallest=options.smallest),
            surveys,
            n_shifts=n_shifts,
            n_refits=n_refits if seed == 0 else 0,
            seed=seed,
            folder=options.output / "compare_classical" / f"seed{seed}",
        )
        for seed in range(seeds)
    ]
    for survey in surveys:
        table = readable(results, survey)
        table.to_csv(options.output / f"compare_{survey}.csv")
        print(survey, table.to_string(), sep="\n")
        figure = xga.plot.comparison(results[0], survey).figure
        figure.savefig(options.output / f"compare_{survey}.png", dpi=110)


if __name__ == "__main__":
    main()
