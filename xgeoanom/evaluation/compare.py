"""Any methods on any surveys, measured alike: the honest number beside the flattering ones."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from tqdm.auto import tqdm

from xgeoanom.conventions import BACKGROUND, DEPOSIT, X, Y, provenance
from xgeoanom.errors import LabelError, XGeoAnomError
from xgeoanom.evaluation.cost import Cost
from xgeoanom.evaluation.crossval import check_buffer, cross_validate
from xgeoanom.evaluation.folds import leave_one_deposit_out, random_folds
from xgeoanom.evaluation.honest import average_precision, honest_auc
from xgeoanom.evaluation.metrics import capture_at, rank_auc
from xgeoanom.evaluation.shift_null import check_shifts, random_site_null, site_shift_null
from xgeoanom.evaluation.trial_file import read_trial, write_trial
from xgeoanom.evaluation.yardstick import LabelFree, Yardstick
from xgeoanom.seeding import Seed, resolve

if TYPE_CHECKING:
    from xgeoanom.detectors.base import Detector

Method: TypeAlias = "Detector | LabelFree"

AREAS = (0.05, 0.15, 0.30)
RANDOM_FOLDS = 5
PROXIMITY = "distance to other deposits"
LONG_NAMES = {
    "auc": "honest AUC",
    "auc_low": "lower bound of its interval",
    "auc_high": "upper bound of its interval",
    "shift_p": "p-value of the site-shift null",
    "shift_95": "AUC that 5 % of the site shifts reach",
    "random_site_p": "p-value of the random-site null",
    "random_site_auc": "mean AUC of the same protocol on random sites",
    "random_split_auc": "AUC by cell of a random split, which leaks",
    "training_auc": "AUC on the deposits that the map was trained on",
    "average_precision": "average precision",
    "capture": "share of deposits captured",
    "seconds": "wall time of one map",
    "memory_mb": "memory of one map beyond what the process held",
    "n_positives": "distinct targets",
    "n_clusters": "clusters of deposits",
    "n_negatives": "background cells",
}
UNITS = {"seconds": "s", "memory_mb": "MB"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Protocol:
    """What was asked of every method."""

    n_shifts: int
    n_refits: int
    level: float
    seed: int


@dataclass(frozen=True)
class _Trial:
    """One method on one survey."""

    survey: str
    name: str
    kind: str
    method: Any  # a detector, or a function of the cube, of PROXIMITY also of labels
    yardstick: Yardstick


def compare(
    methods: Mapping[str, "Method"],
    yardsticks: Yardstick | Mapping[str, Yardstick],
    *,
    n_shifts: int = 999,
    n_refits: int = 19,
    level: float = 0.9,
    seed: Seed = None,
    folder: str | Path | None = None,
) -> xr.Dataset:
    """Measure methods, and the controls that they must beat, under one protocol.

    A detector is scored out of fold: leave one deposit out, with the yardstick's buffer, the same
    folds for all. Beside it stand the numbers that flatter: the AUC by cell of a random split,
    and the AUC on the deposits that the whole map was trained on. What sees no deposit, a function
    or a detector that is not ``supervised``, is scored as it is. Every table carries the controls:
    the target element, alone and smoothed, the sum of pathfinders, a robust principal component,
    distance to the other deposits, sampling density where the samples are given, and a random
    smooth map.

    Parameters
    ----------
    methods : mapping of str to Detector or callable
        Unfitted detectors, which get the centred log-ratio; and functions, which get the
        concentrations ``(element, y, x)`` and return a score, or a dataset with ``score``.
        :func:`classical_suite` makes some.
    yardsticks : Yardstick or mapping of str to Yardstick
        One survey, or several by name.
    n_shifts : int
        Shifts of :func:`site_shift_null`.
    n_refits : int
        Refits of :func:`random_site_null` for each trained one: the longest part; 0 for none.
    level : float
        Of the intervals.
    seed : int or Generator, optional
        Of everything random, the detectors' own seeds included.
    folder : str or Path, optional
        Each method's result and map is written here, ``<survey>/<method>.nc``, once it is done. A
        later call with the same arguments reads what is there and goes on; delete a file to run
        its method again.

    Returns
    -------
    Dataset
        Over ``survey`` and ``score``, the methods' names: ``auc`` with ``auc_low`` and
        ``auc_high``, ``shift_p``, ``shift_95``, ``random_site_p``, ``random_site_auc``,
        ``random_split_auc``, ``training_auc``, ``average_precision``, ``capture`` (also over
        ``area``), ``seconds``,
        ``memory_mb``, ``n_positives``, ``n_clusters``, ``n_negatives``, and ``error``, which says
        why a method gave no score there. What a method has not is NaN. Coord ``kind``:
        ``"control"``, ``"label-free"`` or ``"trained"``.

    Raises
    ------
    LabelError
        Before any work: no method, a method that is neither kind, a wrong number, or a buffer
        narrower than a detector's halo plus the cube's interpolation range. Other bad input
        of one method on one survey does not end the others: see ``error``.

    Notes
    -----
    Folds come from different networks, so the merged map of a weak detector may rank deposits
    below chance: each was scored by a detector that knew one deposit less.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> yardstick = xga.Yardstick(
    ...     ds=xga.idw(district.survey, spacing=500.0), deposits=district.deposits,
    ...     target="Au", min_distance=3000, max_distance=500, buffer_cells=12,
    ... )
    >>> with warnings.catch_warnings(action="ignore"):
    ...     result = compare({"RX": xga.rx}, yardstick, n_shifts=99, seed=0)
    >>> result["auc"].sizes["score"]  # RX and five controls
    5
    """
    yardsticks = {"": yardsticks} if isinstance(yardsticks, Yardstick) else dict(yardsticks)
    protocol = _Protocol(n_shifts, n_refits, level, resolve(seed))
    _check(methods, yardsticks, protocol)
    trials = _trials(methods, yardsticks, protocol)
    _announce(trials, protocol)
    records = []
    for trial in (bar := tqdm(trials, unit="method", disable=None)):
        bar.set_description(f"{trial.survey} {trial.name}".strip())
        records.append(_run(trial, protocol, None if folder is None else Path(folder)))
    return _table(trials, records, protocol)


def _check(
    methods: Mapping[str, "Method"], yardsticks: Mapping[str, Yardstick], protocol: _Protocol
) -> None:
    check_shifts(protocol.n_shifts)
    if protocol.n_refits:
        check_shifts(protocol.n_refits)
    if not methods or not yardsticks:
        raise LabelError("methods or yardsticks is empty; give one of each at least")
    for name, method in methods.items():
        if not callable(method) and not _is_detector(method):
            raise LabelError(
                f"methods[{name!r}] is a {type(method).__name__}; give a detector, or a function "
                "of the cube"
            )
        if _is_detector(method) and method.supervised:  # type: ignore[union-attr]
            for yardstick in yardsticks.values():
                halo = method.footprint.halo  # type: ignore[union-attr]
                check_buffer(yardstick.cube, halo, yardstick.buffer_cells)
    if not 0 < protocol.level < 1:
        raise LabelError(f"level={protocol.level} must lie between 0 and 1; try 0.9")


def _is_detector(method: Any) -> bool:
    return hasattr(method, "fit") and hasattr(method, "predict") and not isinstance(method, type)


def _trials(
    methods: Mapping[str, "Method"], yardsticks: Mapping[str, Yardstick], protocol: _Protocol
) -> list[_Trial]:
    trials = []
    for survey, yardstick in yardsticks.items():
        controls: dict[str, Any] = yardstick.label_free_controls(protocol.seed)
        controls[PROXIMITY] = yardstick.proximity
        if taken := controls.keys() & methods.keys():
            raise LabelError(f"methods {sorted(taken)} have the names of controls; rename them")
        for name, control in controls.items():
            trials.append(_Trial(survey, name, "control", control, yardstick))
        for name, given in methods.items():
            method: Any = given
            if _is_detector(method):
                method = replace(method, seed=protocol.seed)
            kind = "trained" if _is_detector(method) and method.supervised else "label-free"
            trials.append(_Trial(survey, name, kind, method, yardstick))
    return trials


def _announce(trials: list[_Trial], protocol: _Protocol) -> None:
    for survey in {trial.survey: None for trial in trials}:
        mine = [trial for trial in trials if trial.survey == survey]
        n_trained = sum(trial.kind == "trained" for trial in mine)
        n_folds = int(leave_one_deposit_out(mine[0].yardstick.labels).max()) + 1
        logger.info(
            "%s: %d methods and controls; %d detectors, each fitted %d times",
            survey or "survey",
            len(mine),
            n_trained,
            1 + RANDOM_FOLDS + n_folds * (1 + protocol.n_refits),
        )


def _run(trial: _Trial, protocol: _Protocol, folder: Path | None) -> dict[str, Any]:
    """Return the record of a trial: read if it is there, else measured and written."""
    key = {**asdict(protocol), "detector": repr(trial.method) * _is_detector(trial.method)}
    if folder is not None:
        found = read_trial(folder, trial.survey, trial.name, key, trial.yardstick)
        if found is not None:
            return found
    score: xr.DataArray | None = None
    record: dict[str, Any] = {"error": ""}
    try:
        with warnings.catch_warnings():
            # Few clusters: the table says how many.
            warnings.filterwarnings("ignore", message="n_clusters=")
            score, flattering = _score(trial, protocol)
            record |= flattering | _measure(score, trial.yardstick, protocol)
            if protocol.n_refits and (trial.kind == "trained" or trial.name == PROXIMITY):
                record |= _refit(score, trial, protocol)
    except XGeoAnomError as error:
        warnings.warn(f"{trial.survey} {trial.name}: {error}", stacklevel=3)
        record["error"] = str(error)
    if folder is not None:
        write_trial(folder, trial.survey, trial.name, key, trial.yardstick, record, score)
    return record


def _score(trial: _Trial, protocol: _Protocol) -> tuple[xr.DataArray, dict[str, float]]:
    """Return the score to be measured honestly, and what flatters."""
    yardstick, method = trial.yardstick, trial.method
    if trial.kind == "trained":
        return _trained(trial, protocol)
    if trial.name == PROXIMITY:
        with Cost() as cost:
            score = _out_of_fold(method, yardstick, yardstick.labels)
        return score, {"seconds": cost.seconds, "memory_mb": cost.memory_mb}
    with Cost() as cost:
        if _is_detector(method):
            found = replace(method).fit(yardstick.clr).predict(yardstick.clr)
        else:
            found = method(yardstick.cube)
        score = (found["score"] if isinstance(found, xr.Dataset) else found).compute()
    # Nothing was trained: what is left of a random split is counting cells, not deposits.
    return score, {
        "random_split_auc": _auc_by_cell(score, yardstick.labels),
        "seconds": cost.seconds,
        "memory_mb": cost.memory_mb,
    }


def _trained(trial: _Trial, protocol: _Protocol) -> tuple[xr.DataArray, dict[str, float]]:
    yardstick, detector = trial.yardstick, trial.method
    evidence = yardstick.ds if isinstance(yardstick.ds, xr.Dataset) else None
    with Cost() as cost:
        fitted = replace(detector).fit(yardstick.clr, yardstick.labels, evidence=evidence)
        whole = fitted.predict(yardstick.clr, evidence=evidence)["score"].compute()
    random = random_folds(yardstick.labels, n=RANDOM_FOLDS, seed=protocol.seed)
    split = cross_validate(
        yardstick.clr, detector, yardstick.labels, random, evidence=evidence, buffer_cells=0
    )["oof"]
    return _out_of_fold(detector, yardstick, yardstick.labels), {
        "training_auc": honest_auc(whole, yardstick.deposits, **yardstick.measures(), seed=0).auc,
        "random_split_auc": _auc_by_cell(split, yardstick.labels),
        "seconds": cost.seconds,
        "memory_mb": cost.memory_mb,
    }


def _out_of_fold(method: Any, yardstick: Yardstick, labels: xr.DataArray) -> xr.DataArray:
    return cross_validate(
        yardstick.clr,
        method,
        labels,
        leave_one_deposit_out(labels),
        evidence=yardstick.ds if isinstance(yardstick.ds, xr.Dataset) else None,
        buffer_cells=yardstick.buffer_cells,
    )["oof"]


def _auc_by_cell(score: xr.DataArray, labels: xr.DataArray) -> float:
    values, marks = score.transpose(Y, X).values, labels.transpose(Y, X).values
    known = ~np.isnan(values)
    return rank_auc(values[known & (marks == DEPOSIT)], values[known & (marks <= BACKGROUND)])


def _measure(score: xr.DataArray, yardstick: Yardstick, protocol: _Protocol) -> dict[str, float]:
    measures, deposits = yardstick.measures(), yardstick.deposits
    honest = honest_auc(
        score,
        deposits,
        **measures,
        cluster_distance=yardstick.cluster_distance,
        level=protocol.level,
        seed=protocol.seed,
    )
    null = site_shift_null(score, deposits, **measures, n=protocol.n_shifts, seed=protocol.seed)
    captured = capture_at(score, deposits, AREAS, max_distance=yardstick.max_distance)
    return {
        "auc": honest.auc,
        "auc_low": honest.low,
        "auc_high": honest.high,
        "shift_p": null.p,
        "shift_95": float(np.quantile(null.null_aucs, 0.95)),
        "average_precision": average_precision(score, deposits, **measures),
        **{f"capture_{area}": float(captured.sel(area=area)) for area in AREAS},
        "n_positives": honest.n_positives,
        "n_clusters": honest.n_clusters,
        "n_negatives": honest.n_negatives,
    }


def _refit(score: xr.DataArray, trial: _Trial, protocol: _Protocol) -> dict[str, float]:
    yardstick = trial.yardstick

    def protocol_on(sites: gpd.GeoDataFrame) -> xr.DataArray:
        return _out_of_fold(trial.method, yardstick, yardstick.labels_of(sites))

    null = random_site_null(
        protocol_on,
        score,
        yardstick.deposits,
        **yardstick.measures(),
        n=protocol.n_refits,
        seed=protocol.seed,
    )
    return {"random_site_p": null.p, "random_site_auc": float(null.null_aucs.mean())}


def _table(trials: list[_Trial], records: list[dict[str, Any]], protocol: _Protocol) -> xr.Dataset:
    """Return the records over survey and method, in the order in which they were given."""
    rows = pd.DataFrame(records)
    surveys, methods = (list(dict.fromkeys(names)) for names in zip(
        *((trial.survey, trial.name) for trial in trials), strict=True
    ))  # fmt: skip
    at = [surveys.index(t.survey) for t in trials], [methods.index(t.name) for t in trials]

    def spread(column: str) -> np.ndarray:
        table = np.full((len(surveys), len(methods)), np.nan)
        if column in rows:
            table[at] = rows[column]
        return table

    dims = ("survey", "score")
    result = xr.Dataset(coords={"survey": surveys, "score": methods, "area": list(AREAS)})
    for name, long_name in LONG_NAMES.items():
        attrs = {"long_name": long_name, "units": UNITS.get(name, "1")}
        if name == "capture":
            shares = np.stack([spread(f"capture_{area}") for area in AREAS], axis=-1)
            result[name] = ((*dims, "area"), shares, attrs)
        else:
            result[name] = (dims, spread(name), attrs)
    error = np.full((len(surveys), len(methods)), "", dtype=object)
    error[at] = rows["error"]
    kind = {trial.name: trial.kind for trial in trials}
    result["error"] = (dims, error.astype(str))
    result.attrs = provenance("compare", **asdict(protocol))
    return result.assign_coords(kind=("score", [kind[name] for name in methods]))
