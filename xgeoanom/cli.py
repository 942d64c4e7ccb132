"""``xgeoanom ...``: thin, over the same public functions that a notebook calls."""

import argparse
import time
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path

import geopandas as gpd
import xarray as xr

import xgeoanom as xga

# The demo's survey and detector: a quarter of the usual epochs and few folds, so that two cores
# need less than five minutes.
SHAPE, SPACING, REACH = (96, 96), 500.0, 3000.0
INNER, OUTER, DRAWS, EPOCHS = 5, 13, 2, 8
N_FOLDS, BLOCK_CELLS = 3, 24
# A deposit counts at its cell, against all ground so far from every deposit (metres).
MIN_DISTANCE, MAX_DISTANCE = 3000.0, 1000.0
TARGET = "Au"
PATHFINDERS = ["Au", "Ag", "As", "Sb", "Hg", "Bi"]

Say = Callable[[str], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "versions":
        xga.show_versions()
    else:
        demo(arguments.output, seed=arguments.seed, quiet=arguments.quiet)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xgeoanom", description="Geochemical anomaly detection on xarray."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("demo", help="survey points to anomaly map on the embedded survey")
    run.add_argument("--output", type=Path, default=Path("demo"), help="folder to write into")
    run.add_argument("--seed", type=int, default=0, help="seed of the survey and the networks")
    run.add_argument("--quiet", action="store_true", help="print the final table only")
    commands.add_parser("versions", help="what is installed, for a bug report")
    return parser


def demo(output: Path, *, seed: int = 0, quiet: bool = False) -> None:
    """Run the main job on the embedded survey and write every stage into ``output``."""
    say = _clock(quiet)
    output.mkdir(parents=True, exist_ok=True)
    district = xga.datasets.synthetic_survey(seed=seed, shape=SHAPE)
    _write_points(district, output / "points.gpkg")
    say(
        f"points.gpkg: {district.survey.sizes['sample']} samples, {len(district.deposits)} deposits"
    )
    cube = xga.idw(district.survey, spacing=SPACING, max_distance=REACH).compute()
    xga.save_cube(cube, output / "cube.zarr")
    say(f"cube.zarr: {' x '.join(map(str, cube.shape))} elements, rows, columns")
    ds = _scored(cube, district.deposits, seed)
    _write_rasters(ds, output)
    say(f"score.tif, classes.tif, result.nc: PPF-CNN, {DRAWS} draws of {EPOCHS} epochs")
    _draw_figures(cube, ds, district.deposits, output)
    say("element.png, score.png, classes.png, capture.png")
    scores = _out_of_fold(ds, seed, say) | _controls(cube, ds)
    print(_table(scores, district.deposits, seed))


def _clock(quiet: bool) -> Say:
    """Return a function that prints a line after the seconds since now."""
    start = time.perf_counter()

    def say(line: str) -> None:
        if not quiet:
            print(f"{time.perf_counter() - start:4.0f} s  {line}", flush=True)

    return say


def _write_points(district: "xga.datasets.SyntheticSurvey", path: Path) -> None:
    """Write samples, deposits and faults as layers of one GeoPackage."""
    survey = district.survey
    places = gpd.points_from_xy(survey["x"], survey["y"], crs=survey.rio.crs)
    samples = gpd.GeoDataFrame(survey["concentration"].to_pandas(), geometry=places)
    path.unlink(missing_ok=True)
    samples.to_file(path, layer="samples")
    district.deposits.to_file(path, layer="deposits")
    district.faults.to_file(path, layer="faults")


def _scored(cube: xr.DataArray, deposits: gpd.GeoDataFrame, seed: int) -> xr.Dataset:
    """Return log-ratios, labels, scores and classes beside each other."""
    ds = xga.clr(cube).to_dataset(name="clr")
    ds["labels"] = xga.label_deposits(deposits, like=ds)
    ds = ds.anom.ppf_cnn("labels", inner=INNER, outer=OUTER, draws=DRAWS, epochs=EPOCHS, seed=seed)
    ds["ppf_cnn_class"] = xga.classify(ds["ppf_cnn"])
    return ds


def _write_rasters(ds: xr.Dataset, output: Path) -> None:
    xga.save_cube(ds["ppf_cnn"], output / "score.tif")
    xga.save_cube(ds["ppf_cnn_class"], output / "classes.tif")
    xga.save_cube(ds, output / "result.nc")


def _draw_figures(
    cube: xr.DataArray, ds: xr.Dataset, deposits: gpd.GeoDataFrame, output: Path
) -> None:
    for name, axes in {
        "element": xga.plot.element_map(cube, TARGET, deposits=deposits)[0],
        "score": xga.plot.score_map(ds["ppf_cnn"], deposits=deposits),
        "classes": xga.plot.class_map(ds["ppf_cnn_class"], deposits=deposits),
        "capture": xga.plot.capture(ds["ppf_cnn"], deposits),
    }.items():
        axes.figure.savefig(output / f"{name}.png", dpi=150, bbox_inches="tight")


def _out_of_fold(ds: xr.Dataset, seed: int, say: Say) -> dict[str, xr.DataArray]:
    """Return PPF-CNN's scores of ground held out by cell, which leaks, and by deposit."""
    detector = xga.detectors.PPFCNN(inner=INNER, outer=OUTER, draws=DRAWS, epochs=EPOCHS, seed=seed)
    labels = ds["labels"]
    cells = xga.random_folds(labels, n=N_FOLDS, seed=seed)
    blocks = xga.spatial_folds(labels, n=N_FOLDS, block_cells=BLOCK_CELLS, seed=seed)
    buffer_cells = detector.footprint.halo + ceil(REACH / SPACING)
    scores = {}
    for name, folds, width in [
        ("leaky: PPF-CNN, random cells held out", cells, 0),
        ("honest: PPF-CNN, whole deposits held out", blocks, buffer_cells),
    ]:
        result = xga.cross_validate(ds, detector, labels, folds, buffer_cells=width)
        scores[name] = result["oof"]
        say(f"{name} in {result.sizes['fold']} folds")
    return scores


def _controls(cube: xr.DataArray, ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return scores that nothing was learnt for."""
    clr = ds["clr"].sel(element=PATHFINDERS)
    standard = (clr - clr.mean(["y", "x"])) / clr.std(["y", "x"])
    return {
        f"control: {TARGET} as it is": cube.sel(element=TARGET),
        f"control: sum of {' '.join(PATHFINDERS)}": standard.sum("element", skipna=False),
    }


def _table(scores: dict[str, xr.DataArray], deposits: gpd.GeoDataFrame, seed: int) -> str:
    """Return the worth of all scores by one yardstick: deposits against ground far from them."""
    lines = [f"{'':42s} AUC  90 % interval"]
    for name, score in scores.items():
        worth = xga.honest_auc(
            score, deposits, min_distance=MIN_DISTANCE, max_distance=MAX_DISTANCE, seed=seed
        )
        lines.append(f"{name:42s}{worth.auc:.2f}  {worth.low:.2f} to {worth.high:.2f}")
    return "\n".join(lines)
