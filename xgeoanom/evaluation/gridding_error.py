"""Cross-validated error of gridding: what a gridder says of samples that it was not shown."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree
from scipy.stats import rankdata
from sklearn.model_selection import GroupKFold
from tqdm.auto import tqdm

from xgeoanom.conventions import (
    ELEMENT,
    MEASURED,
    SAMPLE,
    UNIT,
    X,
    Y,
    provenance,
    units_of,
)
from xgeoanom.errors import GridError
from xgeoanom.seeding import Seed, resolve, streams
from xgeoanom.survey.gridding import samples_of

GRIDDER = "gridder"
# What each measure is, and whether it has the unit of the element.
MEASURES = {
    "rmse": ("root mean square error", True),
    "mae": ("mean absolute error", True),
    "bias": ("mean of prediction minus measurement", True),
    "log_rmse": ("root mean square error of natural logarithms", False),
    "pearson": ("correlation of prediction and measurement", False),
    "spearman": ("rank correlation of prediction and measurement", False),
}

# gridder(table, like=held_out) -> (element, sample)
Gridder = Callable[..., xr.DataArray]


def gridding_error(
    table: xr.Dataset,
    gridders: Mapping[str, Gridder],
    *,
    n_folds: int = 10,
    block_size: float | None = None,
    buffer: float = 0.0,
    seed: Seed = None,
) -> xr.Dataset:
    """Hold out samples, fold by fold, and compare what each gridder predicts there.

    Random folds measure how well gaps between samples are filled; blocks and a buffer, how well
    wider gaps are. Samples at one place always share a fold: repeats would leak.

    Parameters
    ----------
    table : Dataset
        Survey table. Gridding happens on the values given: concentrations as reported or with
        :func:`replace_censored`, their logarithms, or log-ratios.
    gridders : mapping of str to callable
        Names, and functions ``gridder(table, like=places)`` that return ``(element, sample)``:
        ``{"IDW, power 3": functools.partial(idw, power=3.0)}``. ``places`` is the table of the
        held-out samples, its concentrations NaN.
    n_folds : int
        Number of folds.
    block_size : float, optional
        Side, in CRS units, of squares whose samples share a fold, cut from the south-west corner
        of the samples. By default every place goes by itself.
    buffer : float
        Training samples no farther than this from a held-out one are dropped, in CRS units.
    seed : int or Generator, optional
        Seed of the folds.

    Returns
    -------
    Dataset
        Over ``gridder`` and ``element``: ``rmse``, ``mae``, ``bias`` (prediction minus
        measurement), in the element's unit; ``log_rmse``, of natural logarithms, NaN where a
        value is not positive; ``pearson``, ``spearman``; ``n``, the samples that count; and
        ``n_missing``, those which a gridder left NaN. Beside them ``prediction`` (gridder,
        sample, element), ``observed`` (sample, element) and ``fold`` (sample). A table of the
        errors is ``result.drop_dims("sample").to_dataframe()``.

    Raises
    ------
    CubeError, CRSError
        If ``table`` is no survey table, or its places are not projected.
    GridError
        Before any gridding: too few places or blocks for the folds, a fold that leaves an
        element without training samples, a wrong number, or a gridder that lacks an argument. Or
        when a gridder returns anything but ``(element, sample)``.

    Notes
    -----
    An element's error counts samples that are measured (state 0; without ``state``, all that
    have a value) and that every gridder reaches, so that all are judged by the same. Censored
    ones are in training as ``table`` holds them, but have no value to compare with.

    Roberts et al. (2017), Ecography 40, 913, on blocks and buffers.

    Examples
    --------
    >>> table = xr.Dataset(
    ...     {"concentration": (("sample", "element"), [[1.0], [2.0], [3.0], [6.0]])},
    ...     {"x": ("sample", [0.0, 100.0, 200.0, 300.0]), "y": ("sample", [0.0] * 4),
    ...      "element": ["Cu"], "unit": ("element", ["ppm"])},
    ... ).rio.write_crs(32645)
    >>> def mean(table, like):
    ...     return table["concentration"].mean("sample").expand_dims(sample=like.sizes["sample"])
    >>> error = gridding_error(table, {"mean": mean}, n_folds=4, seed=0)
    >>> float(error["mae"].sel(gridder="mean", element="Cu").round(2))
    2.0
    """
    places = np.column_stack(samples_of(table)[:2])
    _check_gridders(gridders)
    table = table.transpose(SAMPLE, ELEMENT, ...).compute()
    seed = resolve(seed)
    fold = _folds(places, n_folds, block_size, streams(seed, 1)[0])
    splits = list(_splits(table, places, fold, buffer))
    prediction = np.full((len(gridders), *table["concentration"].shape), np.nan)
    for held_out, training in tqdm(splits, desc="gridding error", unit="fold", disable=None):
        known, asked = table.isel({SAMPLE: training}), table.isel({SAMPLE: held_out})
        asked = asked.assign(concentration=xr.full_like(asked["concentration"], np.nan))
        for g, (name, gridder) in enumerate(gridders.items()):
            prediction[g, held_out] = _predicted(name, gridder, known, asked)
    attrs = provenance(
        "gridding_error",
        seed=seed,
        gridders=list(gridders),
        n_folds=n_folds,
        block_size=block_size,
        buffer=buffer,
    )
    return _report(table, list(gridders), prediction, fold, attrs)


# ------------------------------------------------------------------------------------ checks


def _check_gridders(gridders: Mapping[str, Gridder]) -> None:
    if not isinstance(gridders, Mapping) or not gridders:
        what = "empty" if isinstance(gridders, Mapping) else f"a {type(gridders).__name__}"
        raise GridError(f"gridders is {what}; name each gridder, such as {{'IDW': idw}}")
    if wrong := [name for name, gridder in gridders.items() if not callable(gridder)]:
        raise GridError(f"gridders {wrong} cannot be called; give functions such as idw")
    for name, gridder in gridders.items():
        _check_form(name, gridder)


def _check_form(name: str, gridder: Gridder) -> None:
    """Raise GridError unless ``gridder(table, like=places)`` has all that it needs."""
    try:
        inspect.signature(gridder).bind("table", like="places")
    except TypeError as error:
        raise GridError(
            f"gridder {name!r} cannot be called as gridder(table, like=places): {error}; set the "
            "rest, such as functools.partial(krige, variogram=...)"
        ) from error


# ------------------------------------------------------------------------------------- folds


def _folds(
    places: np.ndarray, n_folds: int, block_size: float | None, rng: np.random.Generator
) -> np.ndarray:
    """Return the fold of each sample: groups are dealt at random, the fullest first."""
    if not isinstance(n_folds, int | np.integer) or n_folds < 2:
        raise GridError(f"n_folds={n_folds!r} must be a whole number of at least 2; try 10")
    corners = places
    if block_size is not None:
        _check_length("block_size", block_size, least=np.nextafter(0.0, 1.0))
        corners = np.floor((places - places.min(axis=0)) / block_size)
    _, group = np.unique(corners, axis=0, return_inverse=True)
    n_groups = int(group.max()) + 1
    if n_groups < n_folds:
        what = "places" if block_size is None else f"blocks of block_size={block_size:g}"
        raise GridError(
            f"n_folds={n_folds} is more than the {n_groups} {what} that hold samples; use fewer "
            "folds" + ("" if block_size is None else " or smaller blocks")
        )
    fold = np.empty(len(places), dtype="int16")
    shuffled = rng.permutation(n_groups)[group.ravel()]
    for k, (_, held_out) in enumerate(GroupKFold(n_folds).split(places, groups=shuffled)):
        fold[held_out] = k
    return fold


def _splits(
    table: xr.Dataset, places: np.ndarray, fold: np.ndarray, buffer: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield which samples each fold holds out and which it trains on, all elements served."""
    _check_length("buffer", buffer)
    for k in range(int(fold.max()) + 1):
        held_out = fold == k
        distance, _ = cKDTree(places[held_out]).query(places)
        training = ~held_out & (distance > buffer)
        has_some = np.isfinite(table["concentration"].values[training]).any(axis=0)
        if not has_some.all():
            raise GridError(
                f"fold {k} leaves no training sample of {table[ELEMENT].values[~has_some].tolist()}"
                f"; narrow buffer={buffer:g}, use smaller blocks or more folds, or drop the element"
            )
        yield held_out, training


def _check_length(name: str, length: float, least: float = 0.0) -> None:
    if not isinstance(length, int | float | np.number) or not least <= length < np.inf:
        sign = "positive" if least > 0 else "0 or more"
        raise GridError(f"{name}={length!r} must be a finite length in CRS units, {sign}")


def _predicted(name: str, gridder: Gridder, known: xr.Dataset, asked: xr.Dataset) -> np.ndarray:
    """Return what ``gridder`` says ``(sample, element)`` at the places of ``asked``."""
    found = gridder(known, like=asked)
    want = {ELEMENT: asked.sizes[ELEMENT], SAMPLE: asked.sizes[SAMPLE]}
    sizes = dict(found.sizes) if isinstance(found, xr.DataArray) else type(found).__name__
    if sizes != want:
        raise GridError(f"gridder {name!r} returned {sizes} for like=places; it must be {want}")
    if ELEMENT in found.coords and (found[ELEMENT].values != asked[ELEMENT].values).any():
        raise GridError(
            f"gridder {name!r} returned other elements: {found[ELEMENT].values.tolist()}"
        )
    return np.asarray(found.transpose(SAMPLE, ELEMENT).values, dtype="float64")


# ------------------------------------------------------------------------------------ errors


def _report(
    table: xr.Dataset,
    names: list[str],
    prediction: np.ndarray,
    fold: np.ndarray,
    attrs: dict[str, Any],
) -> xr.Dataset:
    observed = _measured(table)
    reached = np.isfinite(prediction)
    counted = reached.all(axis=0) & np.isfinite(observed)
    units = set(units_of(table["concentration"]))
    unit = units.pop() if len(units) == 1 else "mixed"
    over = (GRIDDER, ELEMENT)
    result = xr.Dataset(coords={GRIDDER: names} | _coords(table), attrs=attrs)
    for measure, values in _errors(prediction, observed, counted).items():
        long_name, has_unit = MEASURES[measure]
        label = {"long_name": long_name, "units": unit if has_unit else "1"}
        result[measure] = (over, values, label)
    missing = (~reached & np.isfinite(observed)).sum(axis=1)
    n = np.tile(counted.sum(axis=0), (len(names), 1))
    result["n"] = (over, n, {"long_name": "samples that count", "units": "1"})
    result["n_missing"] = (over, missing, {"long_name": "samples left NaN", "units": "1"})
    label = {"long_name": "prediction from the other folds", "units": unit}
    result["prediction"] = ((GRIDDER, SAMPLE, ELEMENT), prediction, label)
    label = {"long_name": "measured value", "units": unit}
    result["observed"] = ((SAMPLE, ELEMENT), observed, label)
    result["fold"] = (SAMPLE, fold, {"long_name": "cross-validation fold", "units": "1"})
    return result


def _measured(table: xr.Dataset) -> np.ndarray:
    values = table["concentration"]
    return (values.where(table["state"] == MEASURED) if "state" in table else values.copy()).values


def _coords(table: xr.Dataset) -> dict[Any, xr.DataArray]:
    """Return what tells samples and elements apart."""
    kept = (ELEMENT, UNIT, X, Y, "spatial_ref")
    return {
        name: coord.variable
        for name, coord in table.coords.items()
        if name in kept or coord.dims == (SAMPLE,)
    }


def _errors(
    prediction: np.ndarray, observed: np.ndarray, counted: np.ndarray
) -> dict[str, np.ndarray]:
    """Return each measure ``(gridder, element)``; NaN where no sample counts."""
    shape = prediction.shape[0], prediction.shape[2]
    errors = {measure: np.full(shape, np.nan) for measure in MEASURES}
    for e in np.flatnonzero(counted.any(axis=0)):
        truth = observed[counted[:, e], e]
        for g in range(len(prediction)):
            found = _error(prediction[g, counted[:, e], e], truth)
            for measure, value in found.items():
                errors[measure][g, e] = value
    return errors


def _error(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    error = prediction - truth
    positive = min(prediction.min(), truth.min()) > 0
    return {
        "rmse": np.sqrt(np.mean(error**2)),
        "mae": np.abs(error).mean(),
        "bias": error.mean(),
        "log_rmse": np.sqrt(np.mean(np.log(prediction / truth) ** 2)) if positive else np.nan,
        "pearson": _correlation(prediction, truth),
        "spearman": _correlation(rankdata(prediction), rankdata(truth)),
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation; NaN where one of both is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
