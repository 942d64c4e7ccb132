"""``xgeoanom ...``: thin, over the same public functions that a notebook calls."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas as gpd
import xarray as xr

import xgeoanom as xga

SHAPE = (96, 96)
SPACING = 500.0
WINDOWS = {"inner": 5, "outer": 13}
DRAWS = 2
N_FOLDS = 4
BLOCK_CELLS = 24
# Held-out deposits count against ground at least so far from every deposit (metres).
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
        f"{district.survey.sizes['sample']} samples, {len(district.deposits)} deposits: points.gpkg"
    )
    ds = _gridded(district)
    say(f"gridded {ds.sizes['element']} elements onto {ds.sizes['y']} x {ds.sizes['x']} cells")
    ds = ds.anom.ppf_cnn("labels", draws=DRAWS, seed=seed, **WINDOWS)
    ds["ppf_cnn_class"] = xga.classify(ds["ppf_cnn"])
    _write_rasters(ds, output)
    say(f"PPF-CNN, mean of {DRAWS} draws: cube.zarr, score.tif, classes.tif")
    _draw_figures(ds, district, output)
    say("figures: elements.png, score.png, classes.png, capture.png")
    scores = _scores(ds, seed, say)
    print(_table(scores, district.deposits, seed))


def _clock(quiet: bool) -> Say:
    start = time.perf_counter()

    def say(line: str) -> None:
        if not quiet:
            print(f"{time.perf_counter() - start:5.0f} s  {line}", flush=True)

    return say


def _write_points(district: "xga.datasets.SyntheticSurvey", path: Path) -> None:
    """Write samples, deposits and faults as layers of one GeoPackage."""
    survey = district.survey
    places = gpd.points_from_xy(survey["x"], survey["y"], crs=survey.rio.crs)
    samples = gpd.GeoDataFrame(survey["concentration"].to_pandas(), geometry=places)
    path.unlink(missing_ok=True)
    for layer, table in [
        ("samples", samples),
        ("deposits", district.deposits),
        ("faults", district.faults),
    ]:
        table.to_file(path, layer=layer, driver="GPKG")


def _gridded(district: "xga.datasets.SyntheticSurvey") -> xr.Dataset:
    """Return concentrations, their clr and the labels on one grid."""
    cube = xga.idw(district.survey, spacing=SPACING).compute()
    ds = xga.clr(cube).to_dataset(name="clr")
    ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    return ds


def _write_rasters(ds: xr.Dataset, output: Path) -> None:
    xga.save_cube(ds, output / "cube.zarr")
    ds["ppf_cnn"].rio.to_raster(output / "score.tif")
    ds["ppf_cnn_class"].rio.to_raster(output / "classes.tif")


def _draw_figures(ds: xr.Dataset, district: "xga.datasets.SyntheticSurvey", output: Path) -> None:
    deposits = district.deposits
    for name, axes in {
        "element": xga.plot.element_map(ds["clr"], TARGET, deposits=deposits),
        "score": xga.plot.score_map(ds["ppf_cnn"], deposits=deposits),
        "classes": xga.plot.class_map(ds["ppf_cnn_class"], deposits=deposits),
        "capture": xga.plot.capture(xga.capture_curve(ds["ppf_cnn"], deposits)),
    }.items():
        axes.figure.savefig(output / f"{name}.png", dpi=150, bbox_inches="tight")


def _scores(ds: xr.Dataset, seed: int, say: Say) -> dict[str, xr.DataArray]:
    """Return four scores of the same ground: learnt twice out of fold, and not learnt twice."""
    detector = xga.detectors.PPFCNN(draws=DRAWS, seed=seed, **WINDOWS)
    out_of_fold = {}
    for name, folds in {
        "PPF-CNN, random folds (leaky)": xga.random_folds(ds["labels"], n=N_FOLDS, seed=seed),
        "PPF-CNN, whole deposits held out": xga.spatial_folds(
            ds["labels"], n=N_FOLDS, block_cells=BLOCK_CELLS, seed=seed
        ),
    }.items():
        result = xga.cross_validate(ds, detector, "labels", folds, buffer_cells=BUFFER_CELLS)
        out_of_fold[name] = result["oof"]
        say(f"cross-validated: {name}, {N_FOLDS} folds")
    return out_of_fold | _controls(ds)


def _controls(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return scores that nothing was learnt for."""
    clr = ds["clr"].sel(element=PATHFINDERS)
    standard = (clr - clr.mean(["y", "x"])) / clr.std(["y", "x"])
    return {
        f"{TARGET} alone": ds["clr"].sel(element=TARGET),
        f"sum of {', '.join(PATHFINDERS)}": standard.sum("element", skipna=False),
    }


def _table(scores: dict[str, xr.DataArray], deposits: gpd.GeoDataFrame, seed: int) -> str:
    lines = [f"{'score':40s} AUC   90 % interval"]
    for name, score in scores.items():
        worth = xga.honest_auc(
            score, deposits, min_distance=MIN_DISTANCE, max_distance=MAX_DISTANCE, seed=seed
        )
        lines.append(f"{name:40s} {worth.auc:.2f}  {worth.low:.2f} to {worth.high:.2f}")
    return "\n".join(lines)
