"""How hard is the simulated district? Honest AUC of simple scores, over several seeds.

Run ``python docs/experiments/synthetic_hardness.py`` (about a minute), or with ``--smallest``
(a few seconds). It prints a table and writes it to ``results/synthetic_hardness.csv``.

Positives are the cells nearest to a deposit, negatives all cells at least 5 km from any deposit.
The supervised rows are no detectors but a measure of what can be learnt: a linear discriminant
of the standardised clr vector, trained on other districts with 3 x 3 cells around each deposit.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from xgeoanom.datasets.synthetic import SyntheticSurvey, synthetic_survey
from xgeoanom.evaluation.honest import honest_auc
from xgeoanom.seeding import streams
from xgeoanom.survey.coda import clr
from xgeoanom.survey.inverse_distance import idw

PATHFINDERS = ["Au", "As", "Sb", "Bi", "Ag", "Cu", "Hg", "W", "Mo", "Pb"]
BACKGROUND_DISTANCE = 5000.0
RANDOM_MAPS, RANDOM_SCALE_CELLS = 20, 8


@dataclass(frozen=True)
class Case:
    """One district, gridded from its samples and as it is in truth."""

    district: SyntheticSurvey
    gridded: xr.DataArray
    true: xr.DataArray
    gridded_clr: xr.DataArray
    true_clr: xr.DataArray

    def auc(self, score: np.ndarray) -> float:
        """Return the honest AUC of ``score`` ``(y, x)``."""
        raster = self.district.truth["enrichment"].copy(data=score)
        result = honest_auc(
            raster,
            self.district.deposits,
            min_distance=BACKGROUND_DISTANCE,
            max_distance=1000.0,
            n_boot=1,
            seed=0,
        )
        return result.auc


def make_case(seed: int, shape: tuple[int, int], n_deposits: int) -> Case:
    """Simulate and grid one district."""
    district = synthetic_survey(seed, shape=shape, n_deposits=n_deposits)
    true = district.truth["concentration"]
    gridded = idw(district.survey, like=true).compute()
    return Case(district, gridded, true, standardised(clr(gridded)), standardised(clr(true)))


def standardised(cube: xr.DataArray) -> xr.DataArray:
    """Return z-scores of each element over the district."""
    return (cube - cube.mean(("y", "x"))) / cube.std(("y", "x"))


def deposit_distance(case: Case) -> np.ndarray:
    """Return the distance of each cell to its nearest deposit, in metres."""
    return distance_to(case, case.district.deposits)


def distance_to(case: Case, shapes: gpd.GeoDataFrame) -> np.ndarray:
    """Return the distance of each cell to the nearest of ``shapes``, in metres."""
    x, y = np.meshgrid(case.true["x"], case.true["y"])
    cells = gpd.GeoSeries.from_xy(x.ravel(), y.ravel(), crs=shapes.crs)
    return cells.distance(shapes.union_all()).to_numpy().reshape(x.shape)


def sampling_distance(case: Case) -> np.ndarray:
    """Return the mean distance of each cell to its 16 nearest samples."""
    survey = case.district.survey
    x, y = np.meshgrid(case.true["x"], case.true["y"])
    samples = cKDTree(np.column_stack([survey["x"], survey["y"]]))
    distance, _ = samples.query(np.column_stack([x.ravel(), y.ravel()]), k=16)
    return distance.mean(axis=1).reshape(x.shape)


def examples(case: Case, which: str) -> tuple[np.ndarray, np.ndarray]:
    """Return clr vectors and labels: blocks around deposits, and a seventh of the background."""
    vectors = getattr(case, which).stack(cell=("y", "x")).transpose("cell", "element").values
    distance = deposit_distance(case).ravel()
    positive = np.flatnonzero(distance < 1000.0)
    negative = np.flatnonzero(distance >= BACKGROUND_DISTANCE)[::7]
    labels = np.repeat([1, 0], [positive.size, negative.size])
    return vectors[np.concatenate([positive, negative])], labels


def transferred(train: list[Case], test: Case, which: str) -> float:
    """Return the AUC on ``test`` of a linear discriminant trained on other districts."""
    vectors, labels = map(np.concatenate, zip(*(examples(c, which) for c in train), strict=True))
    discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.02, priors=[0.5, 0.5])
    cube = getattr(test, which).transpose("y", "x", "element").values
    score = discriminant.fit(vectors, labels).decision_function(cube.reshape(-1, cube.shape[-1]))
    return test.auc(score.reshape(cube.shape[:2]))


def random_maps(case: Case, seed: int) -> float:
    """Return the mean AUC of smooth maps without information."""
    rng = streams(seed + 1000, 1)[0]
    noise = rng.standard_normal((RANDOM_MAPS, *case.true.shape[1:]))
    maps = gaussian_filter(noise, (0, RANDOM_SCALE_CELLS, RANDOM_SCALE_CELLS))
    return float(np.mean([case.auc(score) for score in maps]))


def element_aucs(case: Case, which: str) -> pd.Series:
    """Return the AUC of each element alone."""
    cube = getattr(case, which)
    return pd.Series({str(e): case.auc(cube.sel(element=e).values) for e in cube["element"].values})


def measure(cases: list[Case]) -> pd.DataFrame:
    """Return one row per score, one column per district."""
    gridded = pd.DataFrame([element_aucs(case, "gridded") for case in cases])
    true = pd.DataFrame([element_aucs(case, "true") for case in cases])
    one = gridded.mean().idxmax()
    rows: dict[str, list[float]] = {
        "best of 39 elements, chosen in each district": list(gridded.max(axis=1)),
        f"one element for all districts ({one})": list(gridded[one]),
        "best of 39 elements, noise-free": list(true.max(axis=1)),
        "sum of ten pathfinders' z-scored clr": [
            case.auc(case.gridded_clr.sel(element=PATHFINDERS).sum("element").values)
            for case in cases
        ],
    }
    for which, name in (("gridded_clr", "gridded"), ("true_clr", "noise-free")):
        rows[f"linear discriminant from one other district, {name}"] = [
            transferred([cases[i - 1]], case, which) for i, case in enumerate(cases)
        ]
        rows[f"linear discriminant from all other districts, {name}"] = [
            transferred([c for c in cases if c is not case], case, which) for case in cases
        ]
    rows["true enrichment"] = [case.auc(case.district.truth["enrichment"].values) for case in cases]
    rows["distance to faults"] = [
        case.auc(-distance_to(case, case.district.faults)) for case in cases
    ]
    rows["sampling density"] = [case.auc(-sampling_distance(case)) for case in cases]
    rows["random smooth maps, mean of 20"] = [random_maps(c, i) for i, c in enumerate(cases)]
    return pd.DataFrame(rows).T


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--districts", type=int, default=12, help="seeds 0, 1, ...; at least 2")
    parser.add_argument("--smallest", action="store_true", help="3 districts of 64 x 64 cells")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    n, size, n_deposits = (3, 64, 6) if arguments.smallest else (arguments.districts, 96, 10)
    aucs = measure([make_case(seed, (size, size), n_deposits) for seed in range(n)])
    table = pd.DataFrame(
        {"mean_auc": aucs.mean(axis=1), "sd_auc": aucs.std(axis=1), "n_districts": n}
    ).round(3)
    table.index.name = "score"
    print(table.to_string())
    arguments.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.output / "synthetic_hardness.csv")


if __name__ == "__main__":
    main()
