"""The declared geology of :func:`xgeoanom.datasets.synthetic_survey`.

1. *Lithology.* Five units; each cell belongs to the unit whose random field is highest. The fields
   are stretched along the regional strike.
2. *Background.* The log-concentration of an element is its level, plus its loadings times seven
   geochemical factors, plus a field of its own. A factor is the score of the unit, mixed over
   ``MIXING`` as stream sediment does, plus a field of two scale lengths. The oxides and the loss
   on ignition are closed to 100 % at the end.
3. *Faults.* Curved lines along the regional strike, a third of them across it.
4. *Deposits* of one style, gold-copper with arsenic, antimony and bismuth, most of them near
   faults. Each raises (or leaches) a whole suite of elements in a halo drawn out along its fault;
   strength and proportions differ from deposit to deposit.
5. *Look-alikes.* Barren haloes of the same shapes that raise one ore element only.

The ore elements are raised by lithology (shale, granite, mafic rocks), by a regional metal factor
and by look-alikes as well, so that none of them alone finds the deposits well, while the suite
does. ``docs/experiments/synthetic_hardness.py`` measures this. The constants were set once,
before any detector was tuned, and are not to be changed for the sake of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

ORIGIN = 400_000.0, 4_400_000.0  # south-west corner in metres, rounded to the spacing

# Level: typical concentration. Limit: detection limit. Noise: relative standard deviation of one
# analysis. Then, in natural-log units: loadings on the factors, spread of the element's own field,
# enrichment at the heart of a deposit of strength 1.
FACTORS = ("mafic", "felsic", "carbonate", "heavy", "clay", "metal", "shale")
_ELEMENTS = """
element unit  level limit noise   mafic felsic  carb heavy  clay metal shale    own  halo
Ag      ppb      75    30  0.12    0.00  0.00  0.00  0.00  0.05  0.25  0.30   0.13  0.54
Al2O3   %        12  0.05  0.02    0.03  0.07 -0.17  0.00  0.12  0.00  0.05   0.07  0.00
As      ppm       9     2  0.08    0.00 -0.05  0.00  0.00  0.15  0.45  0.25   0.15  0.72
Au      ppb     1.2   0.5  0.30    0.05 -0.05  0.00  0.00  0.00  0.45  0.10   0.21  0.85
B       ppm      42     3  0.08   -0.10 -0.07 -0.07  0.00  0.28  0.05  0.09   0.20  0.20
Ba      ppm     520    20  0.05   -0.07  0.07 -0.07  0.00  0.08  0.05  0.18   0.15  0.18
Be      ppm     2.1   0.3  0.08   -0.13  0.21 -0.10  0.03  0.12  0.00  0.00   0.12  0.00
Bi      ppm    0.30   0.1  0.12    0.00  0.25 -0.05  0.00  0.10  0.30  0.05   0.15  0.66
CaO     %       2.6  0.05  0.03    0.10 -0.10  0.52  0.00 -0.08  0.00 -0.09   0.18 -0.12
Cd      ppb     130    50  0.12    0.00  0.00  0.10  0.00  0.04  0.25  0.36   0.22  0.12
Co      ppm      12   0.8  0.06    0.26 -0.14 -0.03  0.03  0.12  0.05  0.05   0.13  0.00
Cr      ppm      58     5  0.06    0.36 -0.14 -0.07  0.07  0.08  0.00  0.05   0.18  0.00
Cu      ppm      22     1  0.06    0.25 -0.10  0.00  0.00  0.10  0.20  0.20   0.12  0.50
F       ppm     490    80  0.06    0.00  0.14  0.07  0.00  0.16  0.00  0.05   0.12  0.12
Fe2O3   %       4.5  0.05  0.02    0.20 -0.08 -0.10  0.07  0.10  0.05  0.05   0.08  0.00
Hg      ppb      28    10  0.15    0.00 -0.05  0.05  0.00  0.15  0.30  0.30   0.18  0.45
K2O     %       2.4  0.05  0.02   -0.16  0.17 -0.14  0.00  0.12  0.00  0.05   0.08  0.15
La      ppm      38     5  0.06   -0.08  0.17 -0.07  0.17  0.04  0.00  0.00   0.12  0.00
Li      ppm      32     3  0.06   -0.03  0.10 -0.03  0.00  0.24  0.00  0.05   0.15  0.06
MgO     %       1.5  0.05  0.03    0.26 -0.14  0.28  0.00  0.04  0.00  0.00   0.13  0.00
Mn      ppm     650    20  0.05    0.13 -0.03  0.00  0.07  0.04  0.05 -0.05   0.18  0.12
Mo      ppm    0.85   0.3  0.10    0.00  0.20 -0.05  0.00  0.00  0.20  0.40   0.15  0.35
Na2O    %       1.6  0.05  0.03   -0.03  0.17 -0.17  0.03 -0.20  0.00 -0.11   0.13 -0.32
Nb      ppm      15     2  0.08    0.00  0.17 -0.10  0.17  0.04  0.00  0.00   0.10  0.00
Ni      ppm      24     1  0.06    0.33 -0.14 -0.03  0.00  0.12  0.00  0.18   0.17  0.00
P       ppm     560    50  0.05    0.08  0.03  0.00  0.10  0.04  0.00  0.18   0.15  0.00
Pb      ppm      22     2  0.06   -0.07  0.14 -0.03  0.00  0.08  0.20  0.09   0.17  0.30
Sb      ppm    0.65   0.2  0.10    0.00 -0.05  0.00  0.00  0.10  0.40  0.30   0.16  0.66
SiO2    %        64  0.10  0.01   -0.07  0.04 -0.14  0.03 -0.04  0.00  0.00   0.03  0.04
Sn      ppm     2.6   1.0  0.12   -0.03  0.21 -0.07  0.07  0.04  0.10  0.00   0.18  0.12
Sr      ppm     190    10  0.04    0.07  0.07  0.28  0.00 -0.16  0.00 -0.05   0.15 -0.28
Th      ppm      11     1  0.08   -0.16  0.24 -0.10  0.17  0.04  0.00  0.00   0.13  0.00
Ti      ppm    3600    50  0.03    0.16 -0.10 -0.14  0.21  0.04  0.00  0.00   0.10  0.00
U       ppm     2.3   0.2  0.08   -0.10  0.21  0.00  0.07  0.04  0.00  0.23   0.13  0.00
V       ppm      72     5  0.05    0.23 -0.14 -0.10  0.07  0.16  0.00  0.23   0.12  0.00
W       ppm     1.6   0.5  0.12   -0.10  0.35 -0.05  0.10  0.05  0.20  0.00   0.15  0.42
Y       ppm      24     3  0.06    0.00  0.13 -0.08  0.17  0.04  0.00  0.00   0.10  0.00
Zn      ppm      66     4  0.05    0.08 -0.03  0.00  0.00  0.16  0.15  0.18   0.13  0.18
Zr      ppm     230    10  0.05   -0.07  0.07 -0.17  0.28 -0.08  0.00 -0.05   0.12  0.00
"""
_ROWS = [line.split() for line in _ELEMENTS.strip().splitlines()[1:]]
ELEMENTS = [row[0] for row in _ROWS]
UNITS = {row[0]: row[1] for row in _ROWS}
_NUMBERS = np.array([row[2:] for row in _ROWS], dtype="float64")
LEVEL, LIMIT, NOISE = _NUMBERS[:, :3].T
LOADINGS, OWN, HALO = _NUMBERS[:, 3:10], _NUMBERS[:, 10], _NUMBERS[:, 11]
LIMITS = dict(zip(ELEMENTS, LIMIT, strict=True))
OXIDES = np.array([UNITS[element] == "%" for element in ELEMENTS])

# Mean scores of each unit on the factors.
LITHOLOGY = {
    "sandstone": (-0.3, 0.0, -0.4, 0.6, -0.4, 0.0, -0.3),
    "granite": (-1.4, 1.6, -0.7, 0.2, -0.8, -0.3, -0.7),
    "mafic_volcanics": (1.6, -1.2, 0.2, -0.3, -0.2, 0.3, -0.3),
    "limestone": (-0.4, -0.7, 1.8, -0.8, -0.2, 0.0, 0.1),
    "black_shale": (0.0, -0.2, -0.3, -0.1, 1.1, 0.7, 1.6),
}

# Lengths in metres.
UNIT_SCALE, UNIT_STRETCH = 3_500.0, 2.0
MIXING = 1_000.0
FACTOR_SCALES, FACTOR_SPREAD = (1_500.0, 8_000.0), 1.2
OWN_SCALES = (1_200.0, 6_000.0)
FAULT_AREA, FAULT_LENGTH, FAULT_STEP = 120e6, 18_000.0, 250.0
FAULT_TURN, CROSSING = 1.2, 0.3  # radians off the strike, share of such faults
FAULT_REACH, AWAY_FROM_FAULTS = 1_000.0, 0.05
SEPARATION, MARGIN = 3_000.0, 1_000.0
HALO_LENGTH, HALO_WIDTH = 3_500.0, 1_700.0
STRENGTH, SIGNATURE_SPREAD = (0.4, 1.6), 0.3
LOOKALIKES_PER_DEPOSIT, LOOKALIKE_FACTOR = 2, 1.5
ORE_LEAST = 0.3  # enrichment from which an element counts as an ore element
LOSS_ON_IGNITION = 5.0


@dataclass(frozen=True)
class Grid:
    """Cell centres in metres (``y`` descends) and the regional strike in radians from east."""

    x: np.ndarray
    y: np.ndarray
    spacing: float
    strike: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y.size, self.x.size

    @property
    def corner(self) -> np.ndarray:
        """South-west corner."""
        return np.array([self.x[0], self.y[-1]]) - self.spacing / 2

    @property
    def extent(self) -> np.ndarray:
        """Width and height in metres."""
        return self.spacing * np.array([self.x.size, self.y.size])

    @property
    def centres(self) -> np.ndarray:
        """``(cell, 2)`` coordinates, row by row."""
        return np.stack(np.meshgrid(self.x, self.y), axis=-1).reshape(-1, 2)

    def cell_of(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and columns of the cells that hold ``points`` ``(n, 2)``."""
        cols, rows = ((points - self.corner) // self.spacing).astype(int).T
        return self.y.size - 1 - rows, cols


@dataclass(frozen=True, eq=False)
class Halo:
    """Log-enrichment ``strength * signature`` that decays along and across ``angle``."""

    place: np.ndarray
    angle: float
    length: float
    width: float
    strength: float
    signature: np.ndarray

    def decay(self, grid: Grid) -> np.ndarray:
        """Return ``(y, x)`` decay, 1 at the heart and 1/e on the ellipse of length and width."""
        east, north = grid.x - self.place[0], (grid.y - self.place[1])[:, None]
        along = east * np.cos(self.angle) + north * np.sin(self.angle)
        across = north * np.cos(self.angle) - east * np.sin(self.angle)
        return np.exp(-np.hypot(along / self.length, across / self.width))

    def log_enrichment(self, grid: Grid) -> np.ndarray:
        """Return ``(element, y, x)`` natural logs of the factor on concentrations."""
        return self.strength * self.signature[:, None, None] * self.decay(grid)


@dataclass(frozen=True, eq=False)
class District:
    """Everything that is true of a simulated district."""

    grid: Grid
    lithology: np.ndarray
    faults: list[np.ndarray]
    deposits: list[Halo]
    lookalikes: list[Halo]
    concentration: np.ndarray


def simulate(
    streams: Sequence[np.random.Generator],
    shape: tuple[int, int],
    spacing: float,
    *,
    n_deposits: int,
    halo_strength: float,
    fault_control: bool,
) -> District:
    """Simulate a district from five independent streams, one for each part of its geology."""
    rocks, background, fractures, ore, barren = streams
    grid = make_grid(rocks, shape, spacing)
    lithology = draw_lithology(rocks, grid)
    faults = draw_faults(fractures, grid)
    deposits = draw_deposits(
        ore, grid, faults, n=n_deposits, halo_strength=halo_strength, fault_control=fault_control
    )
    lookalikes = draw_lookalikes(barren, grid, deposits)
    logs = draw_background(background, grid, lithology)
    for halo in [*deposits, *lookalikes]:
        logs += halo.log_enrichment(grid)
    return District(grid, lithology, faults, deposits, lookalikes, close_oxides(np.exp(logs)))


def make_grid(rng: np.random.Generator, shape: tuple[int, int], spacing: float) -> Grid:
    """Return the grid, on multiples of the spacing, with a random strike."""
    west, south = (spacing * round(edge / spacing) for edge in ORIGIN)
    x = west + spacing * (np.arange(shape[1]) + 0.5)
    y = south + spacing * (np.arange(shape[0])[::-1] + 0.5)
    return Grid(x, y, spacing, rng.uniform(0, np.pi))


def smooth_field(
    rng: np.random.Generator, grid: Grid, scales: tuple[float, ...], stretch: float = 1.0
) -> np.ndarray:
    """Return a ``(y, x)`` Gaussian random field of unit variance, shared among ``scales`` (m).

    White noise is filtered in the wavenumber domain, on a plane wide enough that the field does
    not wrap around; ``stretch`` draws it out along the strike.
    """
    margin = int(3 * max(scales) * stretch / grid.spacing)
    plane = [next_fast_len(cells + margin, real=True) for cells in grid.shape]
    east = 2 * np.pi * np.fft.rfftfreq(plane[1], grid.spacing)
    north = -2 * np.pi * np.fft.fftfreq(plane[0], grid.spacing)[:, None]
    along = (east * np.cos(grid.strike) + north * np.sin(grid.strike)) * stretch
    across = north * np.cos(grid.strike) - east * np.sin(grid.strike)
    wavenumber = along**2 + across**2
    power = sum(scale**2 * np.exp(-(scale**2) * wavenumber) for scale in scales)
    field = irfft2(np.sqrt(power) * rfft2(rng.standard_normal(plane)), plane)
    return (field / field.std())[: grid.shape[0], : grid.shape[1]]


def draw_lithology(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Return ``(y, x)`` indices into ``LITHOLOGY``."""
    fields = [smooth_field(rng, grid, (UNIT_SCALE,), UNIT_STRETCH) for _ in LITHOLOGY]
    return np.argmax(fields, axis=0).astype("int8")


def draw_background(rng: np.random.Generator, grid: Grid, lithology: np.ndarray) -> np.ndarray:
    """Return ``(element, y, x)`` natural logs of concentrations without deposits."""
    scores = np.array(list(LITHOLOGY.values()))[lithology]
    mixing = MIXING / grid.spacing
    factors = [
        gaussian_filter(scores[..., i], mixing, mode="nearest")
        + FACTOR_SPREAD * smooth_field(rng, grid, FACTOR_SCALES)
        for i in range(len(FACTORS))
    ]
    own = np.stack([sd * smooth_field(rng, grid, OWN_SCALES) for sd in OWN])
    return np.log(LEVEL)[:, None, None] + np.tensordot(LOADINGS, factors, axes=1) + own


def close_oxides(concentration: np.ndarray) -> np.ndarray:
    """Scale the oxides so that they and the loss on ignition (with CO2 of CaO) make 100 %."""
    oxides = concentration[OXIDES]
    carbon_dioxide = 0.785 * concentration[ELEMENTS.index("CaO")]
    total = oxides.sum(axis=0) + LOSS_ON_IGNITION + carbon_dioxide
    closed = concentration.copy()
    closed[OXIDES] = oxides * (100 / total)
    return closed


def draw_faults(rng: np.random.Generator, grid: Grid) -> list[np.ndarray]:
    """Return one ``(vertex, 2)`` line per fault that crosses the grid, at least three."""
    n = max(3, round(grid.extent.prod() / FAULT_AREA))
    lines: list[np.ndarray] = []
    while len(lines) < n:
        turn = FAULT_TURN if rng.random() < CROSSING else 0.0
        line = _fault(rng, grid, grid.strike + turn)
        if len(line) > 1:
            lines.append(line)
    return lines


def _fault(rng: np.random.Generator, grid: Grid, angle: float) -> np.ndarray:
    """Return a line that wanders off a direction, or what of it lies on the grid."""
    half = int(FAULT_LENGTH * rng.lognormal(0, 0.4) / FAULT_STEP / 2)
    headings = angle + rng.normal(0, 0.12) + np.cumsum(rng.normal(0, 0.03, 2 * half))
    steps = FAULT_STEP * np.stack([np.cos(headings), np.sin(headings)], axis=-1)
    line = np.vstack([[0, 0], np.cumsum(steps, axis=0)])
    # Middles lie beyond the edges too: else faults, and with them deposits, would shun the edges.
    wider = grid.extent + FAULT_LENGTH
    line += grid.corner + rng.random(2) * wider - FAULT_LENGTH / 2 - line[half]
    inside = ((line >= grid.corner) & (line <= grid.corner + grid.extent)).all(axis=1)
    return line[inside]


def draw_deposits(
    rng: np.random.Generator,
    grid: Grid,
    faults: list[np.ndarray],
    *,
    n: int,
    halo_strength: float,
    fault_control: bool,
) -> list[Halo]:
    """Return ``n`` haloes of one style, along their nearest faults, ``SEPARATION`` apart."""
    vertices = cKDTree(np.vstack([line[:-1] for line in faults]))
    headings = np.concatenate([np.arctan2(*np.diff(line, axis=0).T[::-1]) for line in faults])
    weight = np.ones(grid.shape)
    if fault_control:
        distance = vertices.query(grid.centres)[0].reshape(grid.shape)
        weight = np.exp(-distance / FAULT_REACH) + AWAY_FROM_FAULTS
    haloes = []
    for place in _places(rng, grid, weight, n):
        angle = headings[vertices.query(place)[1]] if fault_control else grid.strike
        signature = HALO * rng.lognormal(0, SIGNATURE_SPREAD, len(HALO))
        strength = halo_strength * rng.uniform(*STRENGTH)
        haloes.append(_halo(rng, place, angle, strength, signature))
    return haloes


def draw_lookalikes(rng: np.random.Generator, grid: Grid, deposits: list[Halo]) -> list[Halo]:
    """Return barren haloes that raise one ore element each, ``SEPARATION`` off all deposits."""
    distance = cKDTree([halo.place for halo in deposits]).query(grid.centres)[0]
    weight = (distance > SEPARATION).reshape(grid.shape).astype("float64")
    ore = np.flatnonzero(HALO >= ORE_LEAST)
    haloes = []
    for place in _places(rng, grid, weight, LOOKALIKES_PER_DEPOSIT * len(deposits), apart=0.0):
        angle = grid.strike + rng.normal(0, 0.3)
        element = rng.choice(ore)
        signature = np.zeros(len(HALO))
        signature[element] = LOOKALIKE_FACTOR * HALO[element]
        haloes.append(_halo(rng, place, angle, rng.uniform(*STRENGTH), signature))
    return haloes


def _halo(
    rng: np.random.Generator,
    place: np.ndarray,
    angle: float,
    strength: float,
    signature: np.ndarray,
) -> Halo:
    length, width = (HALO_LENGTH, HALO_WIDTH) * rng.lognormal(0, 0.2, 2)
    return Halo(place, angle + rng.normal(0, 0.15), length, width, strength, signature)


def _places(
    rng: np.random.Generator, grid: Grid, weight: np.ndarray, n: int, apart: float = SEPARATION
) -> np.ndarray:
    """Draw ``(n, 2)`` places by the weight of their cells, ``apart`` and off the grid's edge."""
    centres, weight = grid.centres, weight.ravel().copy()
    inland = abs(centres - grid.corner - grid.extent / 2) < grid.extent / 2 - MARGIN
    weight *= inland.all(axis=1)
    places = []
    for _ in range(n):
        cell = rng.choice(weight.size, p=weight / weight.sum())
        places.append(centres[cell] + rng.uniform(-0.5, 0.5, 2) * grid.spacing)
        weight *= np.hypot(*(centres - places[-1]).T) >= apart + grid.spacing
    return np.array(places)
