"""One method on one survey, measured: honestly, and by what flatters."""

import logging
import warnings
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr

from xgeoanom.conventions import BACKGROUND, DEPOSIT, X, Y, check_same_grid
from xgeoanom.errors import GridError, XGeoAnomError
from xgeoanom.evaluation.cost import Cost
from xgeoanom.evaluation.crossval import cross_validate
from xgeoanom.evaluation.folds import leave_one_deposit_out, random_folds
from xgeoanom.evaluation.honest import average_precision, honest_auc
from xgeoanom.evaluation.metrics import capture_at, rank_auc
from xgeoanom.evaluation.shift_null import random_site_null, site_shift_null
from xgeoanom.evaluation.yardstick import Yardstick

AREAS = (0.05, 0.15, 0.30)
RANDOM_FOLDS = 5
PROXIMITY = "distance to other deposits"

Record = dict[str, Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Protocol:
    """What is asked of every method."""

    n_shifts: int
    n_refits: int
    level: float
    seed: int


@dataclass(frozen=True)
class Trial:
    """One method on one survey."""

    survey: str
    name: str
    kind: str
    method: Any  # a detector, or a function of the cube; that of PROXIMITY also of labels
    yardstick: Yardstick

    @property
    def retrained(self) -> bool:
        """Whether it makes another map of other deposits."""
        return self.kind == "trained" or self.name == PROXIMITY


def run_trial(trial: Trial, protocol: Protocol) -> tuple[Record, xr.DataArray | None]:
    """Return the record of a trial and its map; ``error`` says what went wrong."""
    record: Record = {"error": ""}
    score: xr.DataArray | None = None
    try:
        with warnings.catch_warnings():
            # Few clusters: the table says how many.
            warnings.filterwarnings("ignore", message="n_clusters=")
            score, flattering = _score(trial, protocol)
            record |= flattering | _measure(score, trial, protocol)
            if trial.retrained and protocol.n_refits:
                record |= _refit(score, trial, protocol)
    except Exception as error:  # a method may be anything, and the others are not to blame
        kind = "" if isinstance(error, XGeoAnomError) else f"{type(error).__name__}: "
        record["error"] = f"{kind}{error}"
        logger.info("%s %s", trial.survey, trial.name, exc_info=True)
        warnings.warn(f"{trial.survey} {trial.name}: {record['error']}".strip(), stacklevel=4)
    return record, score


def is_detector(method: Any) -> bool:
    """Whether ``method`` fits, predicts and says how far it looks."""
    ours = all(hasattr(method, name) for name in ("fit", "predict", "footprint"))
    return ours and not isinstance(method, type)


def _score(trial: Trial, protocol: Protocol) -> tuple[xr.DataArray, dict[str, float]]:
    """Return the score to be measured honestly, and what flatters."""
    yardstick, method = trial.yardstick, trial.method
    if trial.kind == "trained":
        return _trained(trial, protocol)
    if trial.name == PROXIMITY:
        with Cost() as cost:
            score = _out_of_fold(method, yardstick, yardstick.labels)
        return score, {"seconds": cost.seconds, "memory_mb": cost.memory_mb}
    with Cost() as cost:
        if is_detector(method):
            found = replace(method).fit(yardstick.clr).predict(yardstick.clr)
        else:
            # A copy: what works in place must not change the cube of those that follow.
            found = method(yardstick.cube.copy(deep=True))
        score = _checked(found, yardstick).compute()
    # Nothing was trained: what is left of a random split is counting cells, not deposits.
    return score, {
        "random_split_auc": _auc_by_cell(score, yardstick.labels),
        "seconds": cost.seconds,
        "memory_mb": cost.memory_mb,
    }


def _checked(found: Any, yardstick: Yardstick) -> xr.DataArray:
    """Return the score in what a method returned, if it is one on the survey's grid."""
    if isinstance(found, xr.Dataset) and "score" in found:
        found = found["score"]
    if not isinstance(found, xr.DataArray) or found.dtype.kind not in "fiub":
        raise GridError(
            f"the method returned a {type(found).__name__}; it must return a raster (y, x) of "
            "numbers, or a dataset with such a 'score'"
        )
    check_same_grid(found, yardstick.cube, "the method's score")
    if np.isinf(found).any():
        raise GridError("the method's score has infinite values; set them to NaN")
    return found


def _trained(trial: Trial, protocol: Protocol) -> tuple[xr.DataArray, dict[str, float]]:
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
    positives, negatives = (
        values[known & (marks == DEPOSIT)],
        values[known & (marks <= BACKGROUND)],
    )
    return rank_auc(positives, negatives) if positives.size and negatives.size else float("nan")


def _measure(score: xr.DataArray, trial: Trial, protocol: Protocol) -> dict[str, float]:
    yardstick = trial.yardstick
    measures, deposits = yardstick.measures(), yardstick.deposits
    honest = honest_auc(
        score,
        deposits,
        **measures,
        cluster_distance=yardstick.cluster_distance,
        level=protocol.level,
        seed=protocol.seed,
    )
    if honest.n_positives < yardstick.n_targets:
        warnings.warn(
            f"{trial.survey} {trial.name}: scores {honest.n_positives} of {yardstick.n_targets} "
            "targets, so its AUC is of other deposits than the others'",
            stacklevel=5,
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


def _refit(score: xr.DataArray, trial: Trial, protocol: Protocol) -> dict[str, float]:
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
