"""Which samples speak for a cell: the search ellipse, its octants, and how many there must be."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.conventions import ELEMENT
from xgeoanom.errors import CubeError, GridError
from xgeoanom.kernels.neighbors import stretch_of

Radii = float | tuple[float, float]
NUMBER = (int, float, np.integer, np.floating)
OCTANTS = 8


@dataclass(frozen=True, kw_only=True)
class Search:
    """The nearest samples in an ellipse; checked when it is made."""

    n_neighbors: int
    min_neighbors: int = 1
    max_distance: Radii | None = None
    azimuth: float = 0.0
    max_per_octant: int | None = None
    min_octants: int = 1

    def __post_init__(self) -> None:
        check_count("n_neighbors", self.n_neighbors)
        check_count("min_neighbors", self.min_neighbors)
        if self.min_neighbors > self.n_neighbors:
            raise GridError(
                f"min_neighbors={self.min_neighbors} exceeds n_neighbors={self.n_neighbors}; "
                f"try min_neighbors={self.n_neighbors}"
            )
        self._check_ellipse()
        self._check_octants()

    @property
    def radii(self) -> tuple[float, float]:
        """Radii along and across the azimuth, in CRS units; infinite where there is no limit."""
        if self.max_distance is None:
            return math.inf, math.inf
        if isinstance(self.max_distance, tuple):
            return self.max_distance
        return self.max_distance, self.max_distance

    @property
    def reach(self) -> float | None:
        """How far a sample's value is carried, where that is limited."""
        return None if self.max_distance is None else max(self.radii)

    @property
    def stretch(self) -> np.ndarray:
        """Matrix that makes the ellipse a circle of its first radius."""
        along, across = self.radii
        return stretch_of(1.0 if along == across else along / across, self.azimuth)

    def check_samples(self, table: xr.Dataset, values: np.ndarray) -> None:
        """Raise unless each element has at least ``n_neighbors`` samples, two in all."""
        if len(values) < 2:
            raise GridError(f"table has {len(values)} samples; interpolation needs at least 2")
        counts = np.isfinite(values).sum(axis=0)
        names = table[ELEMENT].values
        if (counts == 0).any():
            empty = names[counts == 0].tolist()
            raise CubeError(
                f"element={empty} has no samples; drop it with table.drop_sel(element=...)"
            )
        if counts.min() < self.n_neighbors:
            raise GridError(
                f"n_neighbors={self.n_neighbors} exceeds the {counts.min()} samples of "
                f"{names[counts.argmin()]}; try n_neighbors={counts.min()} or drop the element"
            )

    def _check_ellipse(self) -> None:
        radii = self.max_distance
        if isinstance(radii, list | tuple) and (not isinstance(radii, tuple) or len(radii) != 2):
            raise GridError(
                f"max_distance={radii} must be one radius, or two as (along, across) the azimuth"
            )
        for radius in radii if isinstance(radii, tuple) else (radii,):
            check_positive("max_distance", radius)
        if not isinstance(self.azimuth, NUMBER) or not math.isfinite(self.azimuth):
            raise GridError(f"azimuth={self.azimuth!r} must be degrees clockwise from north")
        if self.azimuth and not isinstance(radii, tuple):
            raise GridError(
                f"azimuth={self.azimuth} turns an ellipse; give its two radii as "
                "max_distance=(along, across)"
            )

    def _check_octants(self) -> None:
        check_count("min_octants", self.min_octants)
        if self.max_per_octant is None:
            if self.min_octants > 1:
                raise GridError(
                    f"min_octants={self.min_octants} needs max_per_octant and max_distance; "
                    "try max_per_octant=2"
                )
            return
        check_count("max_per_octant", self.max_per_octant)
        if self.max_distance is None:
            raise GridError(
                f"max_per_octant={self.max_per_octant} needs max_distance: beyond the survey's "
                "edge an octant is empty however far one looks"
            )
        if self.min_octants > OCTANTS:
            raise GridError(f"min_octants={self.min_octants} must be from 1 to {OCTANTS}")
        if self.min_neighbors > OCTANTS * self.max_per_octant:
            raise GridError(
                f"min_neighbors={self.min_neighbors} exceeds what {OCTANTS} octants of "
                f"max_per_octant={self.max_per_octant} can hold; try max_per_octant="
                f"{-(-self.min_neighbors // OCTANTS)}"
            )


def check_count(name: str, number: Any) -> None:
    """Raise GridError unless ``number`` is a whole number of at least 1."""
    whole = isinstance(number, NUMBER) and not isinstance(number, bool) and number == int(number)
    if not whole or number < 1:
        raise GridError(f"{name}={number!r} must be a whole number of at least 1")


def check_positive(name: str, number: Any) -> None:
    """Raise GridError unless ``number`` is None or positive and finite."""
    if number is not None and not (
        isinstance(number, NUMBER) and number > 0 and math.isfinite(number)
    ):
        raise GridError(f"{name}={number!r} must be a positive number")
