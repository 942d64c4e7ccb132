"""Do GK-DCN's explanations say anything? Measured on planted bodies, where the answer is known.

    python docs/experiments/gk_dcn_explanations.py [--smallest] [--output docs/experiments/results]

Bodies a few cells wide that raise gold and its suite are planted in five simulated districts
without deposits. A network learns half of them; around the others, places up to three cells off
are explained. A map points at a body if its highest cell lies in it; chance is how often the maps
of other places do. Offsets point at it if they run towards its heart: the mean cosine
is 0 by chance, and negative if they point away. Maps of randomised parameters must know nothing of
the body, and should not resemble the learned ones.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

import xgeoanom as xga
from xgeoanom.detectors import GKDCN, grad_cam_at, offsets_at, randomised

RADIUS = 1.5  # cells at which a body's decay is 1/e
SUITE = {"Au": 1.5, "As": 1.0, "Sb": 1.0, "Bi": 0.8, "Ag": 0.6}  # natural logs at the heart
MARGIN, APART = 10, 12  # cells to the survey's edge, and between bodies
MOST_OFF = 3  # cells from a body's heart to the middle of an explained patch
NETWORKS = {"CNN": False, "DCN": True}


def hearts_of(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return ``(body, 2)`` rows and columns of a jittered lattice."""
    lines = [np.arange(MARGIN, n - MARGIN, APART) for n in shape]
    lattice = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 2)
    return rng.permutation(lattice + rng.integers(-2, 3, size=lattice.shape))


def planted(cube: xr.DataArray, hearts: np.ndarray) -> tuple[xr.DataArray, np.ndarray]:
    """Return the survey with bodies, and where they are."""
    row, col = np.indices(cube.shape[1:])
    distance = np.min([np.hypot(row - r, col - c) for r, c in hearts], axis=0)
    decay = np.exp(-((distance / RADIUS) ** 2))
    raised = [SUITE.get(str(element), 0.0) for element in cube["element"].values]
    factor = np.exp(np.array(raised)[:, None, None] * decay)
    return xga.clr(cube * factor), distance <= RADIUS


def labels_of(cube: xr.DataArray, hearts: np.ndarray) -> xr.DataArray:
    """Return 3 x 3 cells of deposit around each heart."""
    marks = np.full(cube.shape[1:], -1, dtype="int8")
    for row, col in hearts:
        marks[row - 1 : row + 2, col - 1 : col + 2] = 1
    like = cube.isel(element=0, drop=True)
    return like.copy(data=marks).rename("labels")


def pointing(maps: xr.DataArray, inside: np.ndarray, cells: np.ndarray) -> tuple[float, float]:
    """Return the share of maps whose highest cell lies in a body, and of maps of other places."""
    halo = maps.sizes["dy"] // 2
    highest = [image.argmax() for image in maps.values]
    bodies = [inside[r - halo : r + halo + 1, c - halo : c + halo + 1].ravel() for r, c in cells]
    hit = np.array(bodies)[:, highest]  # of each place, by the map of each
    elsewhere = ~np.eye(len(hit), dtype=bool)
    return float(hit.diagonal().mean()), float(hit[elsewhere].mean())


def towards(fields: xr.Dataset, directions: np.ndarray) -> float:
    """Return the mean cosine of offsets and the way to the body's heart, both (east, north)."""
    arrows = np.stack([fields["weighted_east_cells"], fields["weighted_north_cells"]], axis=-1)
    lengths = np.linalg.norm(arrows, axis=-1) * np.linalg.norm(directions, axis=-1)
    return float(np.mean((arrows * directions).sum(axis=-1)[lengths > 0] / lengths[lengths > 0]))


def resemblance(one: xr.DataArray, other: xr.DataArray) -> float:
    """Return the mean rank correlation of two maps of the same patch; flat maps are left out."""
    pairs = [
        stats.spearmanr(a.ravel(), b.ravel()).statistic
        for a, b in zip(one.values, other.values, strict=True)
        if np.ptp(a) > 0 and np.ptp(b) > 0
    ]
    return float(np.mean(pairs)) if pairs else float("nan")


def completeness(detector: GKDCN, cube: xr.DataArray, places: list) -> float:
    """Return the largest gap of integrated gradients, relative to the largest change of logit."""
    shares = detector.explain(cube, places).sum("element").values
    logits = np.log((p := score_at(detector, cube, places)) / (1 - p))
    mean = xr.DataArray(detector.mean_, dims="element", coords={"element": cube["element"]})
    at_zero = (cube * 0 + mean).assign_attrs(cube.attrs)
    zero = np.log((p := score_at(detector, at_zero, places[:1])) / (1 - p))
    return float(np.abs(shares - (logits - zero)).max() / np.abs(logits - zero).max())


def score_at(detector: GKDCN, cube: xr.DataArray, places: list) -> np.ndarray:
    x, y = (xr.DataArray(list(axis), dims="place") for axis in zip(*places, strict=True))
    return detector.predict(cube)["score"].sel(x=x, y=y).values.astype("float64")


def run(seed: int, network: str, shape: tuple[int, int], epochs: int) -> list[dict]:
    """Return what the explanations of one network in one district are worth."""
    rng = np.random.default_rng(seed)
    district = xga.datasets.synthetic_survey(seed, shape=shape, n_deposits=1, halo_strength=0.0)
    hearts = hearts_of(shape, rng)
    cube, inside = planted(xga.idw(district.survey, spacing=500.0).compute(), hearts)
    learnt, others = np.array_split(hearts, 2)
    labels = labels_of(cube, learnt)
    open_ground = xr.ones_like(labels, dtype=bool).values
    for row, col in others:  # no background is drawn on bodies that are kept for the test
        open_ground[row - 6 : row + 7, col - 6 : col + 7] = False
    detector = GKDCN(
        deformable=NETWORKS[network],
        knowledge=0.0,
        background="anywhere",
        min_distance=3000.0,
        draws=1,
        epochs=epochs,
        seed=seed,
    ).fit(cube.where(xr.DataArray(open_ground, dims=("y", "x"))), labels)
    off = rng.integers(-MOST_OFF, MOST_OFF + 1, size=(4, len(others), 2)).reshape(-1, 2)
    off = off[(off != 0).any(axis=1)]
    hearts_of_cells = np.tile(others, (4, 1))[: len(off)]
    cells = hearts_of_cells + off
    places = [(float(cube.x[col]), float(cube.y[row])) for row, col in cells]
    rows = []
    maps = {}
    for kind, one in (("learned", detector), ("randomised", randomised(detector, seed))):
        maps[kind] = grad_cam_at(one, cube, places)
        hits, chance = pointing(maps[kind], inside, cells)
        row = {"network": network, "parameters": kind, "seed": seed, "hits": hits, "chance": chance}
        if detector.deformable:
            way = -off[:, ::-1] * [1, -1]  # rows point down, north is up
            row["cosine of offsets"] = towards(offsets_at(one, cube, places), way)
        rows.append(row)
    rows[0]["completeness gap"] = completeness(detector, cube, places[:8])
    rows[1]["resemblance"] = resemblance(maps["learned"], maps["randomised"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="half a minute, one network")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")  # few deposits
    args.output.mkdir(parents=True, exist_ok=True)
    if args.smallest:
        rows = run(0, "DCN", (64, 64), epochs=2)
    else:
        rows = [
            row
            for seed in range(5)
            for network in NETWORKS
            for row in run(seed, network, (128, 128), epochs=40)
        ]
    runs = pd.DataFrame(rows).drop(columns="seed")
    grouped = runs.groupby(["network", "parameters"], sort=False)
    table = grouped.mean().join(grouped[["hits"]].std().add_suffix(", sd over districts"))
    table.to_csv(args.output / "gk_dcn_explanations.csv", float_format="%.3g")
    print(table.to_string())


if __name__ == "__main__":
    main()
