"""The variogram: a nugget and nested structures, each with its own range and anisotropy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np

from xgeoanom.errors import XGeoAnomError
from xgeoanom.kernels.covariance import Covariance, structured
from xgeoanom.kernels.neighbors import stretch_of
from xgeoanom.survey.variogram_models import MODELS, form_of


@dataclass(frozen=True)
class Structure:
    """One part of a variogram: a model with its partial sill, effective range and anisotropy.

    Parameters
    ----------
    model : str
        ``"spherical"``, ``"exponential"``, ``"gaussian"`` or ``"matern"``.
    partial_sill : float
        What the structure adds to the variance, in squared units of the values.
    effective_range : float
        Distance, in CRS units, along ``azimuth``, at which the spherical model reaches its
        partial sill and the others 95 % of it.
    ratio : float
        Effective range across ``azimuth`` by that along it, at most 1.
    azimuth : float
        Direction of the longest range, in degrees clockwise from grid north.
    nu : float, optional
        Smoothness of the Matérn model, and of no other: 0.5 is the exponential model, and with
        large values it nears the Gaussian one.
    """

    model: str
    partial_sill: float
    effective_range: float
    ratio: float = 1.0
    azimuth: float = 0.0
    nu: float | None = None

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise XGeoAnomError(f"model={self.model!r} is none of {MODELS}")
        for name in ("partial_sill", "effective_range"):
            check_number(name, getattr(self, name), lambda number: number > 0, "a positive number")
        check_number("ratio", self.ratio, lambda r: 0 < r <= 1, "above 0 and at most 1")
        check_number("azimuth", self.azimuth, lambda _: True, "degrees clockwise from north")
        if (self.model == "matern") != (self.nu is not None):
            raise XGeoAnomError(
                f"nu={self.nu} with model={self.model!r}: the Matérn model needs it, e.g. nu=1.5, "
                "and no other has it"
            )
        if self.nu is not None:
            check_number("nu", self.nu, lambda nu: 0.1 <= nu <= 50, "from 0.1 to 50")

    @property
    def stretch(self) -> np.ndarray:
        """Matrix ``(2, 2)`` that makes offsets of equal covariance equally long."""
        return stretch_of(1 / self.ratio, self.azimuth)

    def __str__(self) -> str:
        nu = "" if self.nu is None else f" (nu {self.nu:g})"
        across = (
            f" along {self.azimuth:g}°, {self.ratio * self.effective_range:g} across"
            if self.ratio < 1
            else ""
        )
        return f"{self.partial_sill:g} {self.model}{nu} {self.effective_range:g}{across}"


@dataclass(frozen=True)
class Variogram:
    """A variogram: the nugget and the structures that add up to it.

    Short forms make one of a single structure: ``Variogram.spherical(1.0, 2000.0, nugget=0.1)``;
    sums are nested.

    Parameters
    ----------
    nugget : float
        Variance of the values at one place: of measurement, and of what varies over less than
        the samples' distances.
    structures : tuple of Structure
        What varies over distance.

    Raises
    ------
    XGeoAnomError
        If a number is out of bounds, or there is no variance at all.

    References
    ----------
    Chilès, Delfiner 2012, Geostatistics, 2nd ed., section 2.5.

    Examples
    --------
    >>> variogram = Variogram.spherical(0.9, 2e3, nugget=0.1) + Variogram.exponential(1.0, 9e3)
    >>> print(variogram)
    0.1 nugget + 0.9 spherical 2000 + 1 exponential 9000
    >>> variogram.sill, variogram.gamma([0.0, 2000.0]).round(3).tolist()
    (2.0, [0.0, 1.486])
    """

    nugget: float = 0.0
    structures: tuple[Structure, ...] = ()

    def __post_init__(self) -> None:
        check_number("nugget", self.nugget, lambda nugget: nugget >= 0, "a number of at least 0")
        given = self.structures
        if not isinstance(given, list | tuple) or not all(isinstance(s, Structure) for s in given):
            raise XGeoAnomError(f"structures={given!r} must be a list of Structure")
        object.__setattr__(self, "structures", tuple(given))
        if self.sill == 0:
            raise XGeoAnomError(
                "nugget=0 and no structures: the variogram has no variance; try "
                "Variogram.spherical(partial_sill, effective_range)"
            )

    @classmethod
    def spherical(
        cls,
        partial_sill: float,
        effective_range: float,
        *,
        nugget: float = 0.0,
        ratio: float = 1.0,
        azimuth: float = 0.0,
    ) -> Self:
        """Return a spherical variogram, ``1.5 h - 0.5 h³`` up to its range."""
        return cls(nugget, (Structure("spherical", partial_sill, effective_range, ratio, azimuth),))

    @classmethod
    def exponential(
        cls,
        partial_sill: float,
        effective_range: float,
        *,
        nugget: float = 0.0,
        ratio: float = 1.0,
        azimuth: float = 0.0,
    ) -> Self:
        """Return an exponential variogram, ``1 - exp(-h)``."""
        structure = Structure("exponential", partial_sill, effective_range, ratio, azimuth)
        return cls(nugget, (structure,))

    @classmethod
    def gaussian(
        cls,
        partial_sill: float,
        effective_range: float,
        *,
        nugget: float = 0.0,
        ratio: float = 1.0,
        azimuth: float = 0.0,
    ) -> Self:
        """Return a Gaussian variogram, ``1 - exp(-h²)``: give it a nugget, else maps overshoot."""
        return cls(nugget, (Structure("gaussian", partial_sill, effective_range, ratio, azimuth),))

    @classmethod
    def matern(
        cls,
        partial_sill: float,
        effective_range: float,
        *,
        nu: float,
        nugget: float = 0.0,
        ratio: float = 1.0,
        azimuth: float = 0.0,
    ) -> Self:
        """Return a Matérn variogram, ``1 - h^nu K_nu(h) 2^(1 - nu) / Γ(nu)``."""
        structure = Structure("matern", partial_sill, effective_range, ratio, azimuth, nu)
        return cls(nugget, (structure,))

    def __add__(self, other: "Variogram") -> "Variogram":
        if not isinstance(other, Variogram):
            return NotImplemented
        return Variogram(self.nugget + other.nugget, self.structures + other.structures)

    def __str__(self) -> str:
        nugget = [f"{self.nugget:g} nugget"] if self.nugget else []
        return " + ".join([*nugget, *map(str, self.structures)])

    @property
    def sill(self) -> float:
        """The variance: nugget and partial sills together."""
        return self.nugget + sum(part.partial_sill for part in self.structures)

    @property
    def stretch(self) -> np.ndarray:
        """Matrix ``(2, 2)`` that makes places equally far, to the structure of longest range."""
        if not self.structures:
            return np.eye(2)
        return max(self.structures, key=lambda part: part.effective_range).stretch

    def gamma(self, dx: Any, dy: Any = 0.0) -> np.ndarray:
        """Return the semivariance of values ``dx`` east and ``dy`` north of each other.

        Both are in CRS units and broadcast; without anisotropy ``dx`` alone may be the distance.
        """
        return self.sill - self.covariance(dx, dy)

    def covariance(self, dx: Any, dy: Any = 0.0) -> np.ndarray:
        """Return the covariance of values ``dx`` east and ``dy`` north of each other."""
        dx, dy = np.broadcast_arrays(*(np.asarray(d, dtype="float64") for d in (dx, dy)))
        out = np.empty(dx.size)
        structured(self.in_space(np.eye(2)), dx.ravel(), dy.ravel(), out)
        return np.where((dx == 0) & (dy == 0), self.sill, out.reshape(dx.shape))

    def in_space(self, stretch: np.ndarray) -> Covariance:
        """Return what kernels take, for offsets in the space ``stretch @ (x, y)``."""
        forms = [form_of(part.model, part.nu) for part in self.structures]
        metrics = np.empty((len(forms), 3))
        for part, form, metric in zip(self.structures, forms, metrics, strict=True):
            axes = part.stretch @ np.linalg.inv(stretch) * form.reach / part.effective_range
            square = axes.T @ axes
            metric[:] = square[0, 0], square[0, 1], square[1, 1]
        return Covariance(
            float(self.nugget),
            np.array([part.partial_sill for part in self.structures], dtype="float64"),
            np.array([form.kind for form in forms], dtype="int64"),
            metrics,
            np.cumsum([0, *(len(form.weights) for form in forms)]),
            np.concatenate([np.empty(0), *(form.weights for form in forms)]),
            np.concatenate([np.empty(0), *(form.rates for form in forms)]),
        )


def check_number(name: str, number: Any, holds: Callable[[float], bool], bounds: str) -> None:
    """Raise XGeoAnomError unless ``number`` is finite and within its bounds, put into words."""
    if not (isinstance(number, Real) and math.isfinite(number) and holds(float(number))):
        raise XGeoAnomError(f"{name}={number!r} must be {bounds}")
