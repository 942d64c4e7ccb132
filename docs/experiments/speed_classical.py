"""How fast are dual-window RX, local singularity and local Moran's I? Ratios of one run.

Run ``python docs/experiments/speed_classical.py`` (minutes), or with ``--smallest`` (seconds). RX
is timed against the windowed ``rx`` of Spectral Python where that is installed, else against a loop
over cells that does the same in numpy; the table says which. Singularity and Moran are timed
against loops over cells in numpy, which work on a part of the map's rows. All ways give the same
numbers, checked first (of Moran's p, the same up to chance). They take turns, so that a busy
machine slows all of them. Ratios are of time per cell, medians of the turns. Written to
``results/speed_classical.csv``.

The last rows grow the map, and the windows.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from dask.system import CPU_COUNT

from xgeoanom.classical.local_moran import local_moran
from xgeoanom.classical.rx import rx
from xgeoanom.classical.singularity import singularity

try:
    import spectral
except ImportError:
    spectral = None

INNER, OUTER, ELEMENTS = 5, 21, 16
WINDOWS, PERMUTATIONS = (3, 5, 7, 9, 11), 199


def make_cube(side: int, n_elements: int) -> xr.DataArray:
    """Return a positive cube, smooth over two cells, of ``side`` cells each way."""
    values = np.random.default_rng(0).lognormal(size=(n_elements, side, side))
    values += np.roll(values, 1, axis=1) + np.roll(values, 1, axis=0)
    axis = np.arange(float(side))
    return xr.DataArray(
        values,
        coords={"element": [f"E{k}" for k in range(n_elements)], "y": -axis, "x": axis},
        dims=("element", "y", "x"),
    ).rio.write_crs(32645)


# --------------------------------------------------------------------------- loops over cells


def rx_by_loop(image: np.ndarray) -> np.ndarray:
    """Return dual-window RX of an image (y, x, element), cell by cell; windows move at borders."""
    rows, cols, _ = image.shape
    score = np.empty((rows, cols))
    for i, j in np.ndindex(rows, cols):
        top, left = (min(max(at - OUTER // 2, 0), n - OUTER) for at, n in ((i, rows), (j, cols)))
        ring = np.ones((OUTER, OUTER), dtype=bool)
        first_row, first_col = max(i - INNER // 2 - top, 0), max(j - INNER // 2 - left, 0)
        ring[first_row : i + INNER // 2 + 1 - top, first_col : j + INNER // 2 + 1 - left] = False
        around = image[top : top + OUTER, left : left + OUTER][ring]
        away = image[i, j] - around.mean(axis=0)
        score[i, j] = away @ np.linalg.solve(np.cov(around, rowvar=False), away)
    return score


def rx_by_peer(image: np.ndarray) -> np.ndarray:
    return rx_by_loop(image) if spectral is None else spectral.rx(image, window=(INNER, OUTER))


def windows_at(values: np.ndarray, i: int, j: int, size: int) -> np.ndarray:
    half = size // 2
    return values[max(i - half, 0) : i + half + 1, max(j - half, 0) : j + half + 1]


def singularity_by_loop(values: np.ndarray, rows: int) -> np.ndarray:
    """Return 2 - alpha of the first rows, cell by cell."""
    score = np.empty((rows, values.shape[1]))
    away = np.log(WINDOWS) - np.log(WINDOWS).mean()
    weights = away / (away @ away)
    for i, j in np.ndindex(*score.shape):
        means = [np.nanmean(windows_at(values, i, j, size)) for size in WINDOWS]
        score[i, j] = -weights @ np.log(means)
    return score


def moran_by_loop(values: np.ndarray, rows: int, window: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return local Moran's I and p of the first rows, cell by cell; draws with replacement."""
    rng = np.random.default_rng(0)
    z = (values - values.mean()) / values.std(ddof=1)
    flat = z.ravel()
    local_i, p = np.empty((2, rows, z.shape[1]))
    for i, j in np.ndindex(rows, z.shape[1]):
        around = windows_at(z, i, j, window)
        n, total, cell = around.size - 1, around.sum() - z[i, j], i * z.shape[1] + j
        drawn = rng.integers(0, flat.size - 1, (PERMUTATIONS, n))
        sums = flat[drawn + (drawn >= cell)].sum(axis=1)
        fewer = min((sums >= total).sum(), (sums <= total).sum())
        local_i[i, j], p[i, j] = z[i, j] * total / n, 2 * (fewer + 1) / (PERMUTATIONS + 1)
    return local_i, np.minimum(p, 1)


# ------------------------------------------------------------------------------------- timing


def seconds(func: Callable[[], object]) -> float:
    start = time.perf_counter()
    func()
    return time.perf_counter() - start


def ratio(
    ours: Callable[[], object], peer: Callable[[], object], cells: tuple[int, int], repeats: int
) -> dict[str, float]:
    """Time both in turns; ``cells`` says how many cells each of them scores."""
    turns = [(seconds(ours) / cells[0], seconds(peer) / cells[1]) for _ in range(repeats)]
    return {
        "us per cell": 1e6 * statistics.median(mine for mine, _ in turns),
        "peer, us per cell": 1e6 * statistics.median(other for _, other in turns),
        "times as fast": statistics.median(other / mine for mine, other in turns),
    }


def compare_rx(side: int, part: int, repeats: int) -> dict[str, float]:
    cube, corner = make_cube(side, ELEMENTS), make_cube(side, ELEMENTS)[:, :part, :part]
    image = np.ascontiguousarray(corner.values.transpose(1, 2, 0))
    inside = (slice(OUTER // 2, -(OUTER // 2)),) * 2  # the peer moves its windows at borders
    mine = rx(corner, inner=INNER, outer=OUTER).values
    np.testing.assert_allclose(mine[inside], rx_by_peer(image)[inside], rtol=1e-3)
    return ratio(
        lambda: rx(cube, inner=INNER, outer=OUTER),
        lambda: rx_by_peer(image),
        (side**2, part**2),
        repeats,
    )


def compare_singularity(side: int, rows: int, repeats: int) -> dict[str, float]:
    raster = make_cube(side, 1)[0]
    values = raster.values
    score = singularity(raster, windows=WINDOWS)["score"].values
    np.testing.assert_allclose(score[:rows], singularity_by_loop(values, rows), atol=1e-9)
    return ratio(
        lambda: singularity(raster, windows=WINDOWS),
        lambda: singularity_by_loop(values, rows),
        (side**2, rows * side),
        repeats,
    )


def compare_moran(side: int, rows: int, repeats: int) -> dict[str, float]:
    raster = make_cube(side, 1)[0]
    values = raster.values
    maps = local_moran(raster, permutations=PERMUTATIONS, seed=0)
    local_i, p = moran_by_loop(values, rows)
    np.testing.assert_allclose(maps["local_i"].values[:rows], local_i, atol=1e-9)
    assert abs(maps["p"].values[:rows] - p).mean() < 0.1
    return ratio(
        lambda: local_moran(raster, permutations=PERMUTATIONS, seed=0),
        lambda: moran_by_loop(values, rows),
        (side**2, rows * side),
        repeats,
    )


def growth(sides: list[int], repeats: int) -> dict[str, dict[str, float]]:
    """Return microseconds per cell as the map grows, and as the windows do."""

    def each(work: Callable[[], object], side: int) -> dict[str, float]:
        times = [seconds(work) for _ in range(repeats)]
        return {"us per cell": 1e6 * statistics.median(times) / side**2}

    rows = {}
    for side in sides:
        cube = make_cube(side, ELEMENTS)
        work = lambda: rx(cube, inner=INNER, outer=OUTER)  # noqa: B023, E731
        rows[f"rx ({INNER}, {OUTER}), {ELEMENTS} elements, {side} x {side}"] = each(work, side)
    side = sides[-1]
    raster = make_cube(side, 1)[0]
    for windows in (WINDOWS, (3, 7, 11, 15, 21)):
        work = lambda: singularity(raster, windows=windows)  # noqa: B023, E731
        rows[f"singularity, windows {windows}, {side} x {side}"] = each(work, side)
    for window in (3, 21):
        work = lambda: local_moran(raster, window=window, seed=0)  # noqa: B023, E731
        rows[f"local_moran, window {window}, {side} x {side}"] = each(work, side)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smallest", action="store_true", help="tiny maps: checks the script")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    side, part, repeats = (32, 24, 1) if arguments.smallest else (1000, 60, 3)
    peer = "a numpy loop like Spectral Python's" if spectral is None else "Spectral Python"
    print(f"RX against {peer}; {CPU_COUNT} threads, {repeats} runs")
    rows = {
        f"rx ({INNER}, {OUTER}), {ELEMENTS} elements, against {peer}": compare_rx(
            side, part, repeats
        ),
        "singularity, five windows, against a numpy loop": compare_singularity(
            side, max(part // 12, 1), repeats
        ),
        f"local_moran, {PERMUTATIONS} permutations, against a numpy loop": compare_moran(
            side, max(part // 12, 1), repeats
        ),
    }
    rows |= growth([24, 32] if arguments.smallest else [100, 316, 1000], repeats)
    table = pd.DataFrame(rows).T
    print(table.to_string(float_format="%.3g", na_rep=""))
    arguments.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(
        arguments.output / "speed_classical.csv", float_format="%.3g", index_label="method"
    )


if __name__ == "__main__":
    main()
