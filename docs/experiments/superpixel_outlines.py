"""How well do superpixels follow the chemistry? SLIC against squares and watershed.

    python docs/experiments/superpixel_outlines.py [--smallest] [--output docs/experiments/results]

Boundary recall against concentration-area classes of gold, arsenic, copper and antimony, beside the
recall by chance: the share of ground that lies within a cell of any outline. And the share of the
elements' variance between superpixels. On Southern Tianshan and three simulated districts.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import xgeoanom as xga

TARGETS = ["Au", "As", "Cu", "Sb"]
SHAPES = ["slic", "squares", "watershed"]


def surveys(smallest: bool) -> dict[str, list[xr.DataArray]]:
    """Return clr cubes by kind of ground."""
    simulated = []
    for seed in range(1 if smallest else 3):
        district = xga.datasets.synthetic_survey(seed, shape=(64, 64) if smallest else (128, 128))
        simulated.append(xga.clr(xga.idw(district.survey, spacing=500.0).compute()))
    if smallest:
        return {"simulated": simulated}
    return {"Southern Tianshan": [xga.datasets.tianshan()["clr"]], "simulated": simulated}


def variance_between(ids: np.ndarray, cube: xr.DataArray) -> float:
    """Return the share of the variance of standardised elements between superpixels."""
    known = ids >= 0
    values = cube.values[:, known]
    values = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    count = np.bincount(ids[known])
    means = np.stack([np.bincount(ids[known], one) / count for one in values])
    return float((count * means**2).sum() / values.size)


def chance(ids: xr.DataArray) -> float:
    """Return the share of known ground within a cell of an outline."""
    every = xr.full_like(ids, 0)
    every.values = np.arange(ids.size).reshape(ids.shape)  # a boundary at each cell
    return xga.boundary_recall(ids, every.where(ids >= 0, -1))


def measure(cube: xr.DataArray, shape: str) -> dict[str, float]:
    """Return what one way of cutting is worth on one survey."""
    ids = xga.superpixels(cube, shape=shape, seed=0)
    recalls = []
    for element in TARGETS:
        content = np.exp(cube.sel(element=element, drop=True))
        classes = xga.concentration_area(content)["score"].fillna(-1).astype("int32")
        recalls.append(xga.boundary_recall(ids, classes))
    return {
        "superpixels": int(ids.max()) + 1,
        "boundary recall": float(np.mean(recalls)),
        "recall by chance": chance(ids),
        "variance between": variance_between(ids.values, cube),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="one small district")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for ground, cubes in surveys(args.smallest).items():
        for shape in SHAPES:
            means = pd.DataFrame([measure(cube, shape) for cube in cubes]).mean()
            rows.append({"ground": ground, "shape": shape, **means.round(2)})
    table = pd.DataFrame(rows)
    table.to_csv(args.output / "superpixel_outlines.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
