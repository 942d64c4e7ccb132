"""How often does the interval of the honest AUC hold the truth? By number of clusters.

Run ``python docs/experiments/honest_coverage.py`` (about two minutes), or with ``--smallest``
(a few seconds). It prints a table and writes it to ``results/honest_coverage.csv``.

A survey has clusters of one to five deposits, at least 8 km from each other. Its score is smooth
noise plus a bump of 1 km over each deposit; how high depends on the cluster, for the most part.
The truth is the AUC of all simulated deposits with their own surveys' background. The interval
is to hold it in 90 % of surveys.
"""

import argparse
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from xgeoanom.evaluation.honest import HonestAUC, honest_auc
from xgeoanom.seeding import streams

CLUSTERS = (5, 10, 20, 40)
STRENGTHS = {"weak": 0.8, "strong": 2.0}  # mean bump, in standard deviations of the noise
LEVEL, CRS = 0.9, 32650
SIZE, STEP = 180, 500.0  # cells a side, metres
APART, WITHIN = 8000.0, 1500.0  # metres between clusters, and inside one


def cluster_centres(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return ``n`` places at least ``APART`` from each other."""
    centres = np.empty((0, 2))
    while len(centres) < n:
        tried = rng.uniform(WITHIN, SIZE * STEP - WITHIN, (1, 2))
        if not len(centres) or cdist(tried, centres).min() >= APART:
            centres = np.concatenate([centres, tried])
    return centres


def simulate(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the score ``(y, x)`` and the deposits ``(deposit, 2)`` of one survey."""
    sizes = 1 + rng.binomial(4, 0.25, n)
    middles = np.repeat(cluster_centres(rng, n), sizes, axis=0)
    deposits = middles + rng.uniform(-WITHIN, WITHIN, middles.shape) / np.sqrt(2)
    height = np.repeat(strength + rng.normal(0, 1.0, n), sizes) + rng.normal(0, 0.3, len(deposits))
    noise = gaussian_filter(rng.standard_normal((SIZE, SIZE)), 3, mode="wrap")
    bumps = np.zeros((SIZE, SIZE))
    col, row = np.floor(deposits.T / STEP).astype(int)
    for at in zip(row, col, height, strict=True):
        add_bump(bumps, *at)
    return noise / noise.std() + bumps, deposits


def add_bump(bumps: np.ndarray, row: int, col: int, height: float) -> None:
    """Raise the ground around a cell to a Gaussian of 1 km, or lower it."""
    rows, cols = (slice(max(k - 8, 0), k + 9) for k in (row, col))
    y, x = np.ogrid[rows.start : min(rows.stop, SIZE), cols.start : min(cols.stop, SIZE)]
    bump = height * np.exp(-((y - row) ** 2 + (x - col) ** 2) * STEP**2 / (2 * 1000.0**2))
    ground = bumps[rows, cols]
    # Where the bumps of a cluster overlap, the greatest holds.
    ground[...] = np.where(np.abs(bump) > np.abs(ground), bump, ground)


def measure(rng: np.random.Generator, n: int, strength: float) -> HonestAUC:
    """Return the honest AUC of one simulated survey."""
    values, places = simulate(rng, n, strength)
    at = STEP * (np.arange(SIZE) + 0.5)
    score = xr.DataArray(values, coords={"y": at, "x": at}, dims=("y", "x")).rio.write_crs(CRS)
    deposits = gpd.GeoDataFrame(geometry=gpd.points_from_xy(*places.T), crs=CRS)
    reach = {"min_distance": 4000.0, "max_distance": 800.0}
    return honest_auc(score, deposits, **reach, level=LEVEL, seed=rng)


def coverage(name: str, n: int, n_surveys: int, rng: np.random.Generator) -> dict:
    """Return one row of the table."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_clusters=")  # that is what is measured here
        found = pd.DataFrame([measure(rng, n, STRENGTHS[name]) for _ in range(n_surveys)])
    truth = np.average(found["auc"], weights=found["n_positives"])
    inside = (found["low"] <= truth) & (truth <= found["high"])
    return {
        "clusters": n,
        "score": name,
        "true_auc": truth,
        "coverage": inside.mean(),
        "coverage_sd": np.sqrt(inside.mean() * (1 - inside.mean()) / n_surveys),
        "mean_width": (found["high"] - found["low"]).mean(),
        "sd_of_auc": found["auc"].std(),
        "surveys": n_surveys,
    }


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="ten surveys of each kind")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    kinds = [(name, n) for name in STRENGTHS for n in CLUSTERS]
    n_surveys = 10 if arguments.smallest else 300
    rows = [coverage(*kind, n_surveys, rng) for kind, rng in zip(kinds, streams(0, len(kinds)))]
    table = pd.DataFrame(rows).round(3)
    print(table.to_string(index=False))
    arguments.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.output / "honest_coverage.csv", index=False)


if __name__ == "__main__":
    main()
