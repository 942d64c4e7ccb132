"""A simulated district: a survey to learn on, test with and measure against, and its truth."""

import math
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import xarray as xr
from shapely.geometry import LineString

from xgeoanom import conventions, seeding
from xgeoanom.datasets import simulated_geology as geology
from xgeoanom.datasets.simulated_geology import ELEMENTS, District, Grid, Halo
from xgeoanom.errors import GridError, LabelError
from xgeoanom.survey.assays import from_points
from xgeoanom.survey.quality import replace_censored

CRS = "EPSG:32650"
LEAST_SIDE = 12_000.0  # metres: what a few deposits and their background need
MISSING, GAPS = 0.02, 0.03  # shares of samples lost singly, and in patches (lakes, no access)
GAP_SCALE = 3_000.0
GROSS_ERRORS = 4e-4  # share of trace analyses with a decimal slip


@dataclass(frozen=True, eq=False, repr=False)
class SyntheticSurvey:
    """A simulated district: what a geochemist has, and what is true.

    Attributes
    ----------
    survey : xarray.Dataset
        Survey table: ``concentration(sample, element)``, values below detection replaced by 0.65
        of the limit, and ``state``, with coords ``x``, ``y``, ``unit``, ``detection_limit``.
    deposits : geopandas.GeoDataFrame
        Points with ``name`` and ``strength``, the factor on the log-enrichment at their heart.
    faults : geopandas.GeoDataFrame
        Lines with ``name``.
    truth : xarray.Dataset
        On the grid: noise-free ``concentration(element, y, x)``, ``enrichment`` (decay of all
        haloes times their strength), boolean ``halo`` (where the decay of a deposit's halo is
        above 1/e) and ``lookalike`` (likewise), and ``lithology`` (int8 flags).
    """

    survey: xr.Dataset
    deposits: gpd.GeoDataFrame
    faults: gpd.GeoDataFrame
    truth: xr.Dataset

    def __repr__(self) -> str:
        rows, cols = self.truth.sizes["y"], self.truth.sizes["x"]
        return (
            f"<SyntheticSurvey seed={self.truth.attrs['seed']}: {rows} x {cols} cells, "
            f"{self.survey.sizes['sample']} samples, {len(self.deposits)} deposits, "
            f"{len(self.faults)} faults>"
        )


def synthetic_survey(
    seed: seeding.Seed = None,
    *,
    shape: tuple[int, int] = (96, 96),
    n_deposits: int = 10,
    spacing: float = 500.0,
    sample_spacing: float = 2000.0,
    halo_strength: float = 1.0,
    fault_control: bool = True,
) -> SyntheticSurvey:
    """Simulate a district: survey table, deposits, faults and the truth behind them.

    Five lithological units, a correlated background of 39 analytes, faults, deposits of one style
    (gold-copper) with haloes of many elements, barren look-alikes of one element each, irregular
    sampling, laboratory noise, detection limits and a few gross errors. The geology is declared
    in ``xgeoanom/datasets/simulated_geology.py``; it does not change with ``sample_spacing``.

    Parameters
    ----------
    seed : int, numpy.random.Generator or None
        Same seed, same district. None draws a seed and records it in the attrs.
    shape : (int, int)
        Rows and columns of the grid; at least 12 km a side.
    n_deposits : int
        Deposits, at least 3 km apart; twice as many look-alikes come with them.
    spacing : float
        Cell size in metres.
    sample_spacing : float
        Side in metres of the squares that hold one sample each.
    halo_strength : float
        Factor on the log-enrichment around all deposits; 0 leaves no trace of them.
    fault_control : bool
        Whether deposits lie near faults; False places them anywhere.

    Returns
    -------
    SyntheticSurvey
        ``.survey``, ``.deposits``, ``.faults`` and ``.truth``.

    Raises
    ------
    GridError
        If a spacing is not positive, or the district measures less than 12 km a side.
    LabelError
        If ``n_deposits`` is below 1 or more than fit, or ``halo_strength`` is negative.

    Examples
    --------
    >>> district = synthetic_survey(seed=0, shape=(64, 64), n_deposits=6)
    >>> dict(district.truth["concentration"].sizes)
    {'element': 39, 'y': 64, 'x': 64}
    """
    _check_grid(shape, spacing, sample_spacing)
    _check_deposits(shape, spacing, n_deposits, halo_strength)
    seed = seeding.resolve(seed)
    *ground, field, laboratory = seeding.streams(seed, 7)
    district = geology.simulate(
        ground,
        shape,
        spacing,
        n_deposits=n_deposits,
        halo_strength=halo_strength,
        fault_control=fault_control,
    )
    points = _sample_points(field, district.grid, sample_spacing)
    attrs = conventions.provenance(
        "synthetic_survey",
        seed=seed,
        shape=shape,
        n_deposits=n_deposits,
        spacing=spacing,
        sample_spacing=sample_spacing,
        halo_strength=halo_strength,
        fault_control=fault_control,
    )
    return SyntheticSurvey(
        survey=_assay(laboratory, district, points).assign_attrs(attrs),
        deposits=_deposit_table(district.deposits),
        faults=_fault_table(district.faults),
        truth=_truth(district).assign_attrs(attrs),
    )


def _check_grid(shape: tuple[int, int], spacing: float, sample_spacing: float) -> None:
    if not (math.isfinite(spacing) and spacing > 0):
        raise GridError(f"spacing={spacing} must be a positive length in metres; try 500")
    least = math.ceil(LEAST_SIDE / spacing)
    if len(shape) != 2 or not all(cells == int(cells) and cells >= least for cells in shape):
        raise GridError(
            f"shape={shape} must be two whole numbers of cells, {LEAST_SIDE / 1000:g} km or more; "
            f"at spacing={spacing:g} try shape={(least, least)} or larger"
        )
    if not 0 < sample_spacing <= LEAST_SIDE / 3:
        raise GridError(
            f"sample_spacing={sample_spacing} must be positive and at most {LEAST_SIDE / 3:g} m; "
            "try 2000"
        )


def _check_deposits(
    shape: tuple[int, int], spacing: float, n_deposits: int, halo_strength: float
) -> None:
    # Places are drawn one after another: as long as the circles closed so far do not cover
    # the ground, a free place is left.
    ground = math.prod(cells * spacing - 2 * geology.MARGIN for cells in shape)
    most = int(ground / (math.pi * (geology.SEPARATION + spacing) ** 2))
    if n_deposits != int(n_deposits) or not 1 <= n_deposits <= most:
        raise LabelError(
            f"n_deposits={n_deposits} must be a whole number from 1 to {most} (3 km apart on "
            f"shape={shape} at spacing={spacing:g}); try fewer, or a larger shape"
        )
    if not (math.isfinite(halo_strength) and halo_strength >= 0):
        raise LabelError(f"halo_strength={halo_strength} must not be negative; try 1.0")


def _sample_points(rng: np.random.Generator, grid: Grid, sample_spacing: float) -> np.ndarray:
    """Return ``(sample, 2)`` places, one at random in each square, some squares empty."""
    squares = np.maximum(1, np.round(grid.extent / sample_spacing)).astype(int)
    side = grid.extent / squares
    lattice = np.stack(np.meshgrid(*map(np.arange, squares)), axis=-1).reshape(-1, 2)
    points = grid.corner + (lattice + rng.random(lattice.shape)) * side
    gaps = geology.smooth_field(rng, grid, (GAP_SCALE,))
    reached = gaps[grid.cell_of(points)] > np.quantile(gaps, GAPS)
    return points[reached & (rng.random(len(points)) >= MISSING)]


def _assay(rng: np.random.Generator, district: District, points: np.ndarray) -> xr.Dataset:
    """Return the laboratory's table of ``points``, censored values replaced."""
    rows, cols = district.grid.cell_of(points)
    true = district.concentration[:, rows, cols].T
    relative, absolute = rng.standard_normal((2, *true.shape))
    measured = true * np.exp(geology.NOISE * relative) + geology.LIMIT / 3 * absolute
    slips = (rng.random(true.shape) < GROSS_ERRORS) & ~geology.OXIDES
    measured[slips] *= rng.choice([0.01, 0.1, 10.0, 100.0], size=slips.sum())
    reported = np.where(measured < geology.LIMIT, 0.0, measured)
    samples = gpd.GeoDataFrame(
        dict(zip(ELEMENTS, reported.T, strict=True)),
        geometry=gpd.points_from_xy(*points.T),
        crs=CRS,
    )
    table = from_points(samples, ELEMENTS, units=geology.UNITS, detection_limits=geology.LIMITS)
    return replace_censored(table)


def _deposit_table(deposits: list[Halo]) -> gpd.GeoDataFrame:
    columns = {
        "name": [f"D{i}" for i in range(1, len(deposits) + 1)],
        "strength": [halo.strength for halo in deposits],
    }
    places = np.array([halo.place for halo in deposits])
    return gpd.GeoDataFrame(columns, geometry=gpd.points_from_xy(*places.T), crs=CRS)


def _fault_table(faults: list[np.ndarray]) -> gpd.GeoDataFrame:
    names = [f"F{i}" for i in range(1, len(faults) + 1)]
    return gpd.GeoDataFrame({"name": names}, geometry=list(map(LineString, faults)), crs=CRS)


def _truth(district: District) -> xr.Dataset:
    grid, deposits = district.grid, district.deposits
    enrichment = sum(halo.strength * halo.decay(grid) for halo in deposits)
    flags = {
        "flag_values": np.arange(len(geology.LITHOLOGY), dtype="int8"),
        "flag_meanings": " ".join(geology.LITHOLOGY),
    }
    cube = {"long_name": "concentration without noise", conventions.LOG_RATIO: "none"}
    rasters = {
        "enrichment": (enrichment, {"long_name": "strength of all haloes", "units": "1"}),
        "halo": (_within(deposits, grid), {"long_name": "halo of a deposit"}),
        "lookalike": (_within(district.lookalikes, grid), {"long_name": "halo of a look-alike"}),
        "lithology": (district.lithology, {"long_name": "lithological unit", **flags}),
    }
    truth = xr.Dataset(
        {name: (("y", "x"), *layer) for name, layer in rasters.items()},
        coords={"element": ELEMENTS, "y": grid.y, "x": grid.x},
    )
    truth["concentration"] = ("element", "y", "x"), district.concentration, cube
    truth = truth.assign_coords(unit=("element", list(geology.UNITS.values())))
    return truth.rio.write_crs(CRS)


def _within(haloes: list[Halo], grid: Grid) -> np.ndarray:
    """Return where a halo's decay exceeds 1/e: the ellipse of its length and width."""
    return np.any([halo.decay(grid) > math.exp(-1) for halo in haloes], axis=0)
