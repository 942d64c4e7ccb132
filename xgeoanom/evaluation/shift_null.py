"""What a smooth map, or a whole protocol, scores by luck: the deposit pattern elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
from scipy.spatial import cKDTree
from tqdm.auto import tqdm

from xgeoanom.errors import LabelError
from xgeoanom.evaluation.metrics import rank_auc
from xgeoanom.evaluation.scored_places import Score, coordinates, straight
from xgeoanom.evaluation.targets import Targets, find_targets
from xgeoanom.kernels.distance import pattern_aucs
from xgeoanom.seeding import Seed, streams

LEAST_ON_DATA = 0.8
BATCH, MOST_TRIES = 500, 1000  # shifts at a time, and for each that is wanted
SPARE = 3  # shifts drawn for each refit, since a protocol may not run on all


@dataclass(frozen=True)
class SiteNull:
    """The AUC of the real deposits beside those of the same pattern elsewhere.

    Attributes
    ----------
    auc : float
        AUC of the real deposits, as :func:`honest_auc`.
    p : float
        ``(r + 1) / (n + 1)``, ``r`` of ``n`` shifted patterns reaching ``auc``.
    null_aucs : ndarray
        AUCs of the shifted patterns ``(n,)``, read-only.
    """

    auc: float
    p: float
    null_aucs: np.ndarray = field(repr=False, compare=False)


def site_shift_null(
    score: Score,
    deposits: gpd.GeoDataFrame,
    *,
    min_distance: float,
    max_distance: float,
    n: int = 999,
    seed: Seed = None,
) -> SiteNull:
    """Compare a score's honest AUC with those of the deposit pattern at random places.

    The whole pattern is turned, mirrored half of the time, and dropped at a random place of the
    survey. A shift counts where at least 80 % of the deposits land within ``max_distance`` of a
    scored cell or sample; positives and negatives are then found anew. The map keeps its
    smoothness and the deposits their clustering, so the null tells what such a map scores by
    luck. A score that was fitted to the deposits needs :func:`random_site_null`.

    Parameters
    ----------
    score, deposits, min_distance, max_distance
        As for :func:`honest_auc`. Deposits that are out of reach of the score are not shifted.
    n : int
        Shifts.
    seed : int or Generator, optional
        Seed of the shifts.

    Raises
    ------
    LabelError
        As for :func:`honest_auc`; also if hardly any shift lands on the survey, or one leaves no
        negative.

    Examples
    --------
    >>> import xarray as xr
    >>> grid = {"y": np.arange(30.0), "x": np.arange(30.0)}
    >>> noise = np.random.default_rng(0).normal(size=(30, 30))
    >>> score = xr.DataArray(noise, coords=grid, dims=("y", "x")).rio.write_crs(32650)
    >>> places = gpd.points_from_xy([4, 20, 24, 9], [5, 8, 21, 25])
    >>> deposits = gpd.GeoDataFrame(geometry=places, crs=32650)
    >>> null = site_shift_null(score, deposits, min_distance=3, max_distance=1, n=99, seed=0)
    >>> null.p > 0.05, null.null_aucs.shape
    (True, (99,))
    """
    check_shifts(n)
    targets = find_targets(score, deposits, min_distance, max_distance)
    sites, nearest = shifted_sites(targets, max_distance, n, streams(seed, 1)[0])
    order = np.sort(targets.values)
    halves = sum(np.searchsorted(order, targets.values, side) for side in ("left", "right"))
    reach = straight(min_distance, targets.places)
    null = pattern_aucs(targets.values, halves, targets.places, sites, nearest, reach)
    if np.isnan(null).any():
        raise LabelError(
            f"min_distance={min_distance:g} leaves no background for {int(np.isnan(null).sum())} "
            f"of {n} shifts of the deposits; use a smaller min_distance"
        )
    return _compare(rank_auc(*targets.scores()), null)


def random_site_null(
    refit: Callable[[gpd.GeoDataFrame], Score],
    score: Score,
    deposits: gpd.GeoDataFrame,
    *,
    min_distance: float,
    max_distance: float,
    n: int = 19,
    seed: Seed = None,
) -> SiteNull:
    """Compare a trained method's honest AUC with those of its protocol on random sites.

    For each shift of the deposit pattern (see :func:`site_shift_null`) the whole protocol is
    repeated, as if the deposits lay there. A protocol that scores as well on random sites
    measures nothing. A shift on which the protocol cannot run (a fold without a deposit to train
    on, say) is replaced by another.

    Parameters
    ----------
    refit : callable
        Takes deposits (GeoDataFrame of those shifted points that lie on the survey) and returns
        the score of the protocol trained on them: out of fold, as ``score`` is.
    score : DataArray or GeoDataFrame
        The score of the same protocol for the real deposits.
    deposits, min_distance, max_distance
        As for :func:`honest_auc`.
    n : int
        Shifts, and so refits; with 19 the least possible p is 0.05.
    seed : int or Generator, optional
        Seed of the shifts, not of ``refit``.

    Raises
    ------
    LabelError
        As for :func:`site_shift_null`; also if the protocol runs on fewer than a third of the
        shifts.

    Examples
    --------
    >>> import xarray as xr
    >>> grid = {"y": np.arange(30.0), "x": np.arange(30.0)}
    >>> score = xr.DataArray(np.zeros((30, 30)), coords=grid, dims=("y", "x"))
    >>> score = score.rio.write_crs(32650)
    >>> places = gpd.points_from_xy([4, 20, 24, 9], [5, 8, 21, 25])
    >>> deposits = gpd.GeoDataFrame(geometry=places, crs=32650)
    >>> def distance_to_deposits(sites):  # knows where it was told to look, as leaky maps do
    ...     gaps = [np.hypot(score.y - p.y, score.x - p.x) for p in sites.geometry]
    ...     return -np.minimum.reduce(gaps) + score
    >>> null = random_site_null(
    ...     distance_to_deposits, distance_to_deposits(deposits), deposits,
    ...     min_distance=3, max_distance=1, n=4, seed=0,
    ... )
    >>> null.auc, null.p
    (1.0, 1.0)
    """
    check_shifts(n)
    reach = {"min_distance": min_distance, "max_distance": max_distance}
    targets = find_targets(score, deposits, **reach)
    sites, nearest = shifted_sites(targets, max_distance, SPARE * n, streams(seed, 1)[0])
    null: list[float] = []
    with tqdm(total=n, desc="random sites", unit="refit", disable=None) as bar:
        for at, near in zip(sites, nearest, strict=True):
            moved = _points(at[near >= 0], deposits)
            try:
                null.append(rank_auc(*find_targets(refit(moved), moved, **reach).scores()))
            except LabelError as error:
                reason = error
                continue
            bar.update()
            if len(null) == n:
                return _compare(rank_auc(*targets.scores()), np.array(null))
    raise LabelError(
        f"the protocol runs on {len(null)} of {SPARE * n} shifts of the deposits, {n} are wanted; "
        f"the last one failed: {reason}"
    )


def check_shifts(n: int) -> None:
    """Raise LabelError unless ``n`` is a whole number of shifts."""
    if not isinstance(n, int | np.integer) or n < 1:
        raise LabelError(f"n={n!r} must be a whole number of shifts, at least 1; try 999")


def shifted_sites(
    targets: Targets, max_distance: float, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``n`` shifts of the pattern on data, and the place that each site falls on.

    Returns
    -------
    sites : (n, site, 2 or 3)
        Positions.
    nearest : (n, site)
        Index of the nearest place; -1 beyond ``max_distance``.
    """
    pattern = targets.sites[targets.nearest >= 0]
    tree, reach = cKDTree(targets.places), straight(max_distance, targets.places)
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    n_kept = n_tried = 0
    while n_kept < n:
        if n_tried >= MOST_TRIES * n:
            raise LabelError(
                f"only {n_kept} of {n_tried} random places keep {LEAST_ON_DATA:.0%} of the "
                f"{len(pattern)} deposits within max_distance={max_distance:g} of a scored place: "
                "the pattern is as wide as the survey; use a larger max_distance, or test "
                "deposits of one part"
            )
        sites = _move(pattern, targets.places, BATCH, rng)
        distance, index = tree.query(sites)
        on_data = distance <= reach
        landed = on_data.mean(axis=1) >= LEAST_ON_DATA
        kept.append((sites[landed], np.where(on_data, index, -1)[landed]))
        n_kept, n_tried = n_kept + int(landed.sum()), n_tried + BATCH
    moved, nearest = (np.concatenate(arrays)[:n] for arrays in zip(*kept, strict=True))
    return moved, nearest


def _move(pattern: np.ndarray, places: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``n`` copies ``(n, site, dim)``, one of their sites each at a random place.

    Places are even over the survey's rectangle, not over its samples: these may crowd.
    """
    anchor = pattern[rng.integers(len(pattern), size=n)]
    angle, mirror = rng.uniform(0, 2 * np.pi, n), rng.choice([-1.0, 1.0], n)
    turn = np.array([[mirror * np.cos(angle), -np.sin(angle)],
                     [mirror * np.sin(angle), np.cos(angle)]])  # fmt: skip
    turn = np.moveaxis(turn, -1, 0)
    if pattern.shape[1] == 2:
        place = rng.uniform(places.min(axis=0), places.max(axis=0), (n, 2))
    else:
        place = _random_on_sphere(places, n, rng)
        level = np.tile(np.eye(3), (n, 1, 1))
        level[:, :2, :2] = turn
        turn = np.swapaxes(_frame(place), 1, 2) @ level @ _frame(anchor)
    return place[:, np.newaxis] + (pattern - anchor[:, np.newaxis]) @ np.swapaxes(turn, 1, 2)


def _random_on_sphere(places: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return positions ``(n, 3)`` even in area between the extreme longitudes and latitudes."""
    longitude = np.arctan2(places[:, 1], places[:, 0])
    radius = np.linalg.norm(places[0])
    at = rng.uniform(longitude.min(), longitude.max(), n)
    z = rng.uniform(places[:, 2].min(), places[:, 2].max(), n)
    across = np.sqrt(radius**2 - z**2)
    return np.column_stack([across * np.cos(at), across * np.sin(at), z])


def _frame(positions: np.ndarray) -> np.ndarray:
    """Return the unit vectors east, north and up ``(place, 3, 3)`` at ``positions`` on a sphere."""
    up = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    longitude = np.arctan2(up[:, 1], up[:, 0])
    east = np.column_stack([-np.sin(longitude), np.cos(longitude), np.zeros(len(up))])
    return np.stack([east, np.cross(up, east), up], axis=1)


def _points(sites: np.ndarray, deposits: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    x, y = coordinates(sites).T
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=deposits.crs)


def _compare(auc: float, null: np.ndarray) -> SiteNull:
    null.setflags(write=False)
    return SiteNull(auc, float((np.sum(null >= auc) + 1) / (null.size + 1)), null)
