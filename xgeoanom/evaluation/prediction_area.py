"""Capture of deposits with its uncertainty, and the prediction-area curve."""

from collections.abc import Sequence
from statistics import NormalDist

import geopandas as gpd
import numpy as np
import xarray as xr

from xgeoanom.conventions import provenance
from xgeoanom.errors import LabelError
from xgeoanom.evaluation.deposits import deposit_points, deposit_scores
from xgeoanom.evaluation.metrics import captured_within, deposit_ranks
from xgeoanom.evaluation.scored_places import Score, crs_of, positions, scored
from xgeoanom.evaluation.targets import cluster_sites

AREAS = (0.05, 0.15, 0.30)


def capture_band(
    score: Score,
    deposits: gpd.GeoDataFrame,
    areas: Sequence[float] = AREAS,
    *,
    cluster_distance: float,
    max_distance: float | None = None,
    level: float = 0.9,
) -> xr.Dataset:
    """Return the share of deposits captured within shares of the area, with confidence bands.

    Deposits of one cluster are one target: the interval is that of Wilson for as many targets
    as the clusters are worth, ``(sum of sizes)**2 / (sum of squared sizes)``, which is Kish's
    effective number where a cluster is captured as a whole. It does not shrink to nothing where
    all deposits are captured, or none, as a bootstrap would.

    Parameters
    ----------
    score, deposits, max_distance
        As for :func:`capture_curve`, deposits as points.
    areas : sequence of float
        Shares of the scored area; many for a band along the whole curve.
    cluster_distance : float
        Deposits no farther apart belong to one cluster (single linkage), in metres.
    level : float
        Confidence of each interval alone.

    Returns
    -------
    Dataset
        ``capture``, ``low`` and ``high`` over ``area``; attrs ``n_deposits``, ``n_clusters`` and
        ``n_unscored``.

    Raises
    ------
    LabelError
        If no deposit has a score, or a parameter is out of range.

    References
    ----------
    Wilson 1927, J. Am. Stat. Assoc. 22, 209; Brown, Cai and DasGupta 2001, Stat. Sci. 16, 101,
    who recommend it for few trials; Kish 1965, Survey Sampling, on the effective number.

    Examples
    --------
    >>> grid = {"y": np.arange(10.0), "x": np.arange(10.0)}
    >>> score = xr.DataArray(np.arange(100.0).reshape(10, 10), coords=grid, dims=("y", "x"))
    >>> deposits = gpd.GeoDataFrame(geometry=gpd.points_from_xy([9, 0], [9, 8]), crs=32650)
    >>> band = capture_band(score.rio.write_crs(32650), deposits, cluster_distance=2)
    >>> band.to_dataframe().round(2)
          capture   low  high
    area
    0.05      0.5  0.12  0.88
    0.15      0.5  0.12  0.88
    0.30      1.0  0.43  1.00
    """
    if not cluster_distance >= 0 or not 0 < level < 1:
        raise LabelError(
            f"cluster_distance={cluster_distance}, level={level}: a distance in metres, and a "
            "level between 0 and 1; try level=0.9"
        )
    ranks, n_cells, n_unscored = deposit_ranks(score, deposits, max_distance)
    captured = captured_within(areas, ranks, n_cells).mean(axis=1)
    sizes = _cluster_sizes(score, deposits, cluster_distance, max_distance)
    low, high = wilson_interval(captured, sizes.sum() ** 2 / np.square(sizes).sum(), level)
    attrs = provenance("capture_band", cluster_distance=cluster_distance, level=level)
    return _over(
        "area",
        np.array(areas, dtype="float64"),
        "share of scored area",
        {
            "capture": ("share of deposits captured", captured),
            "low": ("lower bound of the share captured", low),
            "high": ("upper bound of the share captured", high),
        },
        attrs | {"n_deposits": ranks.size, "n_clusters": sizes.size, "n_unscored": n_unscored},
    )


def wilson_interval(
    share: np.ndarray, n: float, level: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of Wilson's interval of ``share`` in ``n`` trials.

    >>> np.round(wilson_interval(np.array(0.5), 10, 0.95), 3)
    array([0.237, 0.763])
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # The bounds enclose the share; rounding must not move one past it.
    return np.clip(centre - half, 0, share), np.clip(centre + half, share, 1)


def prediction_area(
    score: Score, deposits: gpd.GeoDataFrame | xr.DataArray, *, max_distance: float | None = None
) -> xr.Dataset:
    """Return the prediction-area curve: deposits captured, and area occupied, by threshold.

    The two meet where the share captured and the share of area not occupied are the same: the
    higher they meet, the better the map. Of the threshold there, or the first beyond, attrs hold
    the ``prediction_rate``, the ``occupied_area``, the ``normalized_density`` (their ratio) and
    the ``weight`` (its logarithm; minus infinity where no deposit is captured).

    Parameters
    ----------
    score, deposits, max_distance
        As for :func:`capture_curve`.

    Returns
    -------
    Dataset
        ``prediction_rate`` and ``occupied_area`` over ``threshold``, which descends through all
        distinct scores. The attrs above, ``threshold``, ``n_deposits`` and ``n_unscored``.

    Raises
    ------
    LabelError
        If no deposit has a score.

    References
    ----------
    Yousefi and Carranza 2015, Comput. Geosci. 79, 69 (curve and intersection); Mihalasky and
    Bonham-Carter 2001, Nat. Resour. Res. 10, 209 (normalized density).

    Examples
    --------
    >>> grid = {"y": np.arange(10.0), "x": np.arange(10.0)}
    >>> score = xr.DataArray(np.arange(100.0).reshape(10, 10), coords=grid, dims=("y", "x"))
    >>> deposits = gpd.GeoDataFrame(geometry=gpd.points_from_xy([9, 0], [9, 8]), crs=32650)
    >>> curve = prediction_area(score.rio.write_crs(32650), deposits)
    >>> curve.attrs["prediction_rate"], curve.attrs["occupied_area"], curve.attrs["threshold"]
    (1.0, 0.2, 80.0)
    """
    score = score.compute() if isinstance(score, xr.DataArray) else score
    ranks, n_cells, n_unscored = deposit_ranks(score, deposits, max_distance)
    thresholds, counts = np.unique(scored(score)[0], return_counts=True)
    cells = np.cumsum(counts[::-1])
    rate = np.searchsorted(np.sort(ranks), cells, side="right") / ranks.size
    curve = {
        "prediction_rate": ("share of deposits captured", rate),
        "occupied_area": ("share of scored area occupied", cells / n_cells),
    }
    attrs = provenance("prediction_area", max_distance=max_distance)
    attrs |= _intersection(thresholds[::-1], rate, cells / n_cells)
    attrs |= {"n_deposits": ranks.size, "n_unscored": n_unscored}
    return _over("threshold", thresholds[::-1], "least score", curve, attrs)


def _intersection(threshold: np.ndarray, rate: np.ndarray, area: np.ndarray) -> dict[str, float]:
    """Return where the share captured first reaches the share of area not occupied."""
    at = int(np.argmax(rate >= 1 - area))
    density = rate[at] / area[at]
    return {
        "threshold": float(threshold[at]),
        "prediction_rate": float(rate[at]),
        "occupied_area": float(area[at]),
        "normalized_density": float(density),
        "weight": float(np.log(density)) if density else float("-inf"),
    }


def _cluster_sizes(
    score: Score, deposits: gpd.GeoDataFrame, distance: float, max_distance: float | None
) -> np.ndarray:
    """Return the number of scored deposits in each cluster."""
    sites = positions(deposit_points(deposits, score), crs_of(score, "score"))
    sites = sites[~np.isnan(deposit_scores(score, deposits, max_distance))]
    return np.bincount(cluster_sites(sites, np.arange(len(sites)), distance))


def _over(
    dim: str,
    at: np.ndarray,
    long_name: str,
    columns: dict[str, tuple[str, np.ndarray]],
    attrs: dict,
) -> xr.Dataset:
    """Return columns of shares along ``dim``."""
    return xr.Dataset(
        {name: (dim, values, {"long_name": text, "units": "1"})
         for name, (text, values) in columns.items()},
        coords={dim: (dim, at, {"long_name": long_name, "units": "1"})},
        attrs=attrs,
    )  # fmt: skip
