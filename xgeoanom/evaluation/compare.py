"""Any methods on any surveys, measured alike: the honest number beside the flattering ones."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from tqdm.auto import tqdm

from xgeoanom.conventions import provenance
from xgeoanom.errors import LabelError
from xgeoanom.evaluation.crossval import check_buffer, label_reach
from xgeoanom.evaluation.folds import leave_one_deposit_out
from xgeoanom.evaluation.shift_null import check_shifts
from xgeoanom.evaluation.trial import (
    AREAS,
    PROXIMITY,
    RANDOM_FOLDS,
    Protocol,
    Record,
    Trial,
    is_detector,
    run_trial,
)
from xgeoanom.evaluation.trial_file import check_folder, read_trial, write_trial
from xgeoanom.evaluation.yardstick import LabelFree, Yardstick
from xgeoanom.seeding import Seed, resolve

if TYPE_CHECKING:
    from xgeoanom.detectors.base import Detector

Method: TypeAlias = "Detector | LabelFree"

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
        later call with the same arguments reads what is there and goes on. A function is known by
        its code, not by what that calls: delete its file to run it again after such a change. A
        method that failed is tried again.

    Returns
    -------
    Dataset
        Over ``survey`` and ``score``, the methods' names: ``auc`` with ``auc_low`` and
        ``auc_high``, ``shift_p``, ``shift_95``, ``random_site_p``, ``random_site_auc``,
        ``random_split_auc``, ``training_auc``, ``average_precision``, ``capture`` (also over
        ``area``), ``seconds``,
        ``memory_mb``, ``n_positives``, ``n_clusters``, ``n_negatives``, and ``error``: what went
        wrong, if anything. What a method has not is NaN. Coord ``kind``:
        ``"control"``, ``"label-free"`` or ``"trained"``.

    Raises
    ------
    LabelError
        Before any work: no method, a method that is neither kind, a wrong number, or a buffer
        narrower than a detector's halo plus the cube's interpolation range.
    XGeoAnomError
        If ``folder`` cannot be written.

    Warns
    -----
    UserWarning
        If a method fails on a survey, which does not end the others, see ``error``; or leaves
        targets without a score, so that it is measured on fewer of them than the others.

    Notes
    -----
    Folds come from different networks, so the merged map of a weak detector may rank deposits
    below chance: each was scored by a detector that knew one deposit less.

    Examples
    --------
    >>> import warnings
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
    yardsticks = {"": yardsticks} if isinstance(yardsticks, Yardstick) else yardsticks
    protocol = Protocol(n_shifts, n_refits, level, resolve(seed))
    _check(methods, yardsticks, protocol)
    trials = _trials(methods, yardsticks, protocol)
    folder = None if folder is None else check_folder(folder, trials)
    _announce(trials, protocol)
    records = []
    for trial in (bar := tqdm(trials, unit="method", disable=None)):
        bar.set_description(f"{trial.survey} {trial.name}".strip())
        records.append(_run(trial, protocol, folder))
    return _table(trials, records, protocol)


def _check(
    methods: Mapping[str, "Method"], yardsticks: Mapping[str, Yardstick], protocol: Protocol
) -> None:
    check_shifts(protocol.n_shifts)
    if protocol.n_refits:
        check_shifts(protocol.n_refits)
    for name, given in (("methods", methods), ("yardsticks", yardsticks)):
        if not isinstance(given, Mapping) or not given:
            raise LabelError(f"{name}={given!r:.60} must be a dict of one or more by name")
    for name, yardstick in yardsticks.items():
        if not isinstance(yardstick, Yardstick):
            raise LabelError(
                f"yardsticks[{name!r}] is a {type(yardstick).__name__}; give Yardstick"
            )
        for method_name, method in methods.items():
            _check_method(method_name, method, yardstick)
    if not 0 < protocol.level < 1:
        raise LabelError(f"level={protocol.level} must lie between 0 and 1; try 0.9")


def _check_method(name: str, method: Any, yardstick: Yardstick) -> None:
    known = is_detector(method) or (callable(method) and not isinstance(method, type))
    if not known or (hasattr(method, "fit") and not is_detector(method)):
        raise LabelError(
            f"methods[{name!r}] is {method!r:.60}; give a detector, such as "
            "detectors.SklearnDetector(estimator=...), or a function of the cube"
        )
    if is_detector(method) and method.supervised:
        check_buffer(yardstick.cube, label_reach(method), yardstick.buffer_cells)


def _trials(
    methods: Mapping[str, "Method"], yardsticks: Mapping[str, Yardstick], protocol: Protocol
) -> list[Trial]:
    trials = []
    for survey, yardstick in yardsticks.items():
        controls: dict[str, Any] = yardstick.label_free_controls(protocol.seed)
        controls[PROXIMITY] = yardstick.proximity
        if taken := controls.keys() & methods.keys():
            raise LabelError(f"methods {sorted(taken)} have the names of controls; rename them")
        for name, control in controls.items():
            trials.append(Trial(survey, name, "control", control, yardstick))
        for name, given in methods.items():
            method: Any = given
            if is_detector(method):
                method = replace(method, seed=protocol.seed)
            kind = "trained" if is_detector(method) and method.supervised else "label-free"
            trials.append(Trial(survey, name, kind, method, yardstick))
    return trials


def _announce(trials: list[Trial], protocol: Protocol) -> None:
    for survey in {trial.survey: None for trial in trials}:
        mine = [trial for trial in trials if trial.survey == survey]
        n_trained = sum(trial.kind == "trained" for trial in mine)
        if not n_trained:
            continue
        n_folds = int(leave_one_deposit_out(mine[0].yardstick.labels).max()) + 1
        logger.info(
            "%s: %d methods and controls; %d detectors, each fitted %d times",
            survey or "survey",
            len(mine),
            n_trained,
            1 + RANDOM_FOLDS + n_folds * (1 + protocol.n_refits),
        )


def _run(trial: Trial, protocol: Protocol, folder: Path | None) -> Record:
    """Return the record of a trial: read if it is there, else measured and, if well, written."""
    found = None if folder is None else read_trial(folder, trial, protocol)
    if found is not None:
        return found
    record, score = run_trial(trial, protocol)
    if folder is not None and not record["error"]:
        write_trial(folder, trial, protocol, record, score)
    return record


def _table(trials: list[Trial], records: list[Record], protocol: Protocol) -> xr.Dataset:
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
