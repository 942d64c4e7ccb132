"""The variogram that fits an empirical one best."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import xarray as xr
from scipy.optimize import least_squares, nnls

from xgeoanom.errors import GridError, XGeoAnomError
from xgeoanom.survey.search import check_count
from xgeoanom.survey.variogram import Structure, Variogram

# Of the tolerance: a direction's pairs spread over it, and so does what is fitted to them.
COLUMNS = {"gamma", "distance", "n_pairs"}
BEARINGS = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])
STARTS = 4  # ranges from which a search starts
FARTHEST = 3.0  # times the last distance, a range may be
FLATTEST = 0.05  # least ratio of ranges


def fit_variogram(
    empirical: xr.Dataset,
    model: str = "spherical",
    *,
    nested: int = 1,
    nu: float | None = None,
) -> Variogram:
    """Return the variogram that fits an empirical one best, by weighted least squares.

    A class of distances weighs ``n_pairs / distance**2``. For given ranges the best nugget and
    partial sills, none negative, follow by linear least squares; ranges are searched from several
    starts. With three or more directions, one ratio and azimuth of all structures is fitted too.

    Parameters
    ----------
    empirical : xarray.Dataset
        ``gamma``, ``distance`` and ``n_pairs`` over ``lag``, and ``azimuth`` where it has several
        directions, as :func:`empirical_variogram` gives.
    model : str
        ``"spherical"``, ``"exponential"``, ``"gaussian"`` or ``"matern"``.
    nested : int
        Number of structures of this model. Those that turn out to have no partial sill are left
        out.
    nu : float, optional
        Smoothness of the Matérn model.

    Returns
    -------
    Variogram
        Structures by ascending effective range, which is at most three times the last distance.

    Raises
    ------
    GridError
        If fewer classes hold pairs than there are parameters, or there are only two directions.
    XGeoAnomError
        If the model is unknown, or the semivariance zero everywhere.

    References
    ----------
    Zhang, Van Eijkeren, Heemink 1995, Computers & Geosciences 21, 603-608 (weights).

    Examples
    --------
    >>> h = np.arange(100.0, 1500.0, 100.0)
    >>> empirical = xr.Dataset({
    ...     "gamma": ("lag", Variogram.exponential(2.0, 800.0, nugget=0.5).gamma(h)),
    ...     "distance": ("lag", h), "n_pairs": ("lag", np.full(h.size, 100)),
    ... })
    >>> print(fit_variogram(empirical, "exponential"))
    0.5 nugget + 2 exponential 800
    """
    check_empirical(empirical)
    check_count("nested", nested)
    Structure(model, 1.0, 1.0, nu=nu)  # checks both
    fit = _Fit.to(empirical, model, nested, nu)
    runs = [
        least_squares(fit.residuals, start, bounds=fit.bounds, x_scale=0.1)
        for start in fit.starts()
    ]
    return fit.variogram(min(runs, key=lambda run: run.cost).x)


def check_empirical(empirical: xr.Dataset) -> None:
    """Raise XGeoAnomError unless ``empirical`` is what :func:`empirical_variogram` gives."""
    if not isinstance(empirical, xr.Dataset) or not set(empirical.variables) >= COLUMNS:
        raise XGeoAnomError(
            f"empirical is no empirical variogram but a {type(empirical).__name__}; make it with "
            "empirical_variogram"
        )


@dataclass(frozen=True)
class _Fit:
    """What is fitted, and to what: classes of pairs, all directions in one row.

    Its parameters are the logarithms of the effective ranges and, where there are directions,
    that of the ratio, and the azimuth in radians.
    """

    model: str
    nested: int
    nu: float | None
    anisotropic: bool
    distance: np.ndarray  # (class,)
    directions: np.ndarray  # (bearing, class) radians, over the tolerance
    gamma: np.ndarray  # (class,)
    roots: np.ndarray  # (class,) of the weights

    @classmethod
    def to(cls, empirical: xr.Dataset, model: str, nested: int, nu: float | None) -> "_Fit":
        """Return the fit to the classes that hold pairs."""
        anisotropic = "azimuth" in empirical.dims
        if anisotropic and empirical.sizes["azimuth"] < 3:
            raise GridError(
                f"azimuth={empirical['azimuth'].values.tolist()} tells no anisotropy; give at "
                "least three directions, e.g. azimuth=[0, 45, 90, 135]"
            )
        gamma, distance, n_pairs = (
            np.atleast_2d(empirical[name].transpose(..., "lag").values)
            for name in ("gamma", "distance", "n_pairs")
        )
        azimuth, tolerance = np.zeros(1), 0.0
        if anisotropic:
            azimuth = empirical["azimuth"].values
            tolerance = empirical["azimuth"].attrs.get("tolerance", 0.0)
        spread = np.radians(azimuth[:, None] + BEARINGS[:, None, None] * tolerance)
        has = n_pairs > 0
        n_parameters = 1 + 2 * nested + 2 * anisotropic
        if has.sum() < n_parameters:
            raise GridError(
                f"{has.sum()} classes of distance hold pairs, and {n_parameters} parameters are "
                "fitted; try a larger lag, or fewer nested structures"
            )
        directions = np.broadcast_to(spread, (len(BEARINGS), *has.shape))[:, has]
        roots = np.sqrt(n_pairs[has]) / distance[has]
        roots /= roots.max()
        return cls(model, nested, nu, anisotropic, distance[has], directions, gamma[has], roots)

    @property
    def bounds(self) -> tuple[list[float], list[float]]:
        """Least and greatest parameters."""
        low, high = math.log(self.distance.min() / 2), math.log(self.distance.max() * FARTHEST)
        least, most = [low] * self.nested, [high] * self.nested
        if self.anisotropic:
            least, most = [*least, math.log(FLATTEST), -np.inf], [*most, 0.0, np.inf]
        return least, most

    def starts(self) -> Iterator[list[float]]:
        """Yield parameters to search from: ranges apart, and four azimuths."""
        ranges = np.linspace(
            math.log(self.distance.min()), math.log(self.distance.max()), self.nested + STARTS - 1
        )
        for some in combinations(ranges, self.nested):
            if not self.anisotropic:
                yield [*some]
                continue
            for azimuth in np.radians([0.0, 45.0, 90.0, 135.0]):
                yield [*some, math.log(0.5), azimuth]

    def structures(self, parameters: np.ndarray, sills: np.ndarray) -> list[Structure]:
        """Return the structures that have a sill."""
        ratio, azimuth = 1.0, 0.0
        if self.anisotropic:
            ratio, azimuth = math.exp(parameters[-2]), math.degrees(parameters[-1]) % 180
        pairs = zip(np.exp(parameters[: self.nested]).tolist(), sills.tolist(), strict=True)
        return [
            Structure(self.model, sill, reach, ratio, azimuth, self.nu)
            for reach, sill in pairs
            if sill > 0
        ]

    def solve(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return nugget and partial sills that fit best, and the weighted residuals."""
        dx, dy = self.distance * np.sin(self.directions), self.distance * np.cos(self.directions)
        parts = self.structures(parameters, np.ones(self.nested))
        rises = [Variogram(0.0, (part,)).gamma(dx, dy).mean(axis=0) for part in parts]
        columns = np.column_stack([np.ones_like(self.gamma), *rises]) * self.roots[:, None]
        sills, _ = nnls(columns, self.gamma * self.roots)
        return sills, columns @ sills - self.gamma * self.roots

    def residuals(self, parameters: np.ndarray) -> np.ndarray:
        """Return the weighted residuals by the largest semivariance."""
        return self.solve(parameters)[1] / max(self.gamma.max(), np.finfo(float).tiny)

    def variogram(self, parameters: np.ndarray) -> Variogram:
        """Return the variogram of some parameters."""
        sills, _ = self.solve(parameters)
        if not sills.any():
            raise XGeoAnomError("gamma is zero everywhere: the element does not vary")
        parts = self.structures(parameters, sills[1:])
        parts.sort(key=lambda part: part.effective_range)
        return Variogram(float(sills[0]), tuple(parts))
