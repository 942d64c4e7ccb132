"""What verdicts on windows are worth: by window, as papers count them, and by deposit."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import xarray as xr

from xgeoanom.conventions import BACKGROUND, DEPOSIT
from xgeoanom.evaluation.metrics import placements
from xgeoanom.seeding import Seed, streams

N_BOOT, LEVEL = 2000, 0.9
COUNTS = ["tp", "fn", "fp", "tn"]
PER_DEPOSIT = ["placement", "flagged_share"]
LONG_NAMES = {
    "tp": "windows with deposits, flagged",
    "fn": "windows with deposits, not flagged",
    "fp": "background windows, flagged",
    "tn": "background windows, not flagged",
    "accuracy": "share of windows judged rightly",
    "recall": "share of windows with deposits that are flagged",
    "macro_f1": "mean F1 of both classes",
    "deposit_recall": "share of deposits most of whose windows are flagged",
    "placement": "share of background windows that score lower than a deposit",
    "flagged_share": "share of a deposit's windows that are flagged",
    "deposit_auc": "mean placement of deposits",
    "deposit_auc_low": "lower end of the 90 % interval of the mean over seeds",
    "deposit_auc_high": "upper end of the 90 % interval of the mean over seeds",
    "gain": "deposit AUC above that of the ensemble of plain networks",
    "gain_low": "lower end of the 90 % interval of the gain",
    "gain_high": "upper end of the 90 % interval of the gain",
    "n_deposits": "deposits tested",
}

Number = TypeVar("Number", float, np.ndarray, xr.DataArray)


def window_metrics(tp: Number, fn: Number, fp: Number, tn: Number) -> dict[str, Number]:
    """Return accuracy, recall and macro-F1 as Huang et al. (2022) count them.

    Parameters
    ----------
    tp, fn, fp, tn : float or array
        Numbers of windows: with deposits and flagged, with deposits and not flagged, of
        background and flagged, of background and not flagged. Each class has some window.

    Returns
    -------
    dict
        ``accuracy``; ``recall``, of the class with deposits; ``macro_f1``, the mean of the F1 of
        both classes, 0 where a class is neither met nor flagged.

    Notes
    -----
    Minerals 12(9), 1112, Tables 3 to 5; what its F1 and recall are follows from their figures.

    Examples
    --------
    Table 3's row of SKT, printed as 69.09, 40.33 and 65.00, truncated:

    >>> [int(10_000 * value) / 100 for value in window_metrics(48, 71, 14, 142).values()]
    [69.09, 40.33, 65.0]

    To flag nothing is right more often than ten of its thirteen rivals:

    >>> round(100 * window_metrics(0, 119, 0, 156)["accuracy"], 1)
    56.7
    """
    # Where a class is neither met nor flagged, nothing is divided by nothing.
    f1_deposit = 2 * tp / np.maximum(2 * tp + fp + fn, 1)
    f1_background = 2 * tn / np.maximum(2 * tn + fp + fn, 1)
    return {
        "accuracy": (tp + tn) / (tp + fn + fp + tn),
        "recall": tp / (tp + fn),
        "macro_f1": (f1_deposit + f1_background) / 2,
    }


def judged(
    flagged: np.ndarray, score: np.ndarray, label: np.ndarray, holds: xr.DataArray
) -> xr.Dataset:
    """Return what the verdicts of some judges are worth.

    Parameters
    ----------
    flagged, score : ndarray
        ``(judge, window)``: whether each says that a window holds a deposit, and how sure it is.
    label : ndarray
        ``(window,)``: 1 with deposits, 0 background; some of each.
    holds : DataArray
        ``(window, deposit)``: which deposits a window holds; each deposit has some window.

    Returns
    -------
    Dataset
        Over ``judge``: ``tp``, ``fn``, ``fp``, ``tn``. Over ``judge``, ``deposit``:
        ``flagged_share`` of its windows, and ``placement``: the share of background windows
        below the mean score of its windows, ties counting one half.
    """
    ore, background = label == DEPOSIT, label == BACKGROUND
    held = holds.values.astype("float64")
    n_windows = held.sum(axis=0)
    # In float32 the mean of equal scores ties with them.
    of_deposit = (score.astype("float64") @ held / n_windows).astype("float32")
    against = score[:, background].astype("float32")
    placed = [placements(*pair) for pair in zip(of_deposit, against, strict=True)]
    counts = {
        "tp": flagged[:, ore].sum(axis=1),
        "fn": (~flagged[:, ore]).sum(axis=1),
        "fp": flagged[:, background].sum(axis=1),
        "tn": (~flagged[:, background]).sum(axis=1),
    }
    return xr.Dataset(
        {name: ("judge", count) for name, count in counts.items()}
        | {
            "flagged_share": (("judge", "deposit"), flagged @ held / n_windows),
            "placement": (("judge", "deposit"), np.stack(placed)),
        },
        coords={"deposit": holds["deposit"]},
    )


def joined(sides: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the results of all folds as one: counts add up, deposits stand side by side."""
    deposits = xr.concat([side[PER_DEPOSIT] for side in sides], "deposit")
    return deposits.assign({name: sum(side[name] for side in sides) for name in COUNTS})


def table_of(runs: xr.Dataset, reference: str, *, seed: Seed) -> xr.Dataset:
    """Return the table of :func:`~xgeoanom.evaluation.window_trial.window_trial`.

    ``runs`` holds counts over ``judge``, ``seed`` and ``test_set``, and over ``deposit`` what
    :func:`judged` gives; judges of the same ``system`` are averaged. Gains are over ``reference``;
    ``seed`` is that of the bootstrap.
    """
    table = runs.assign(window_metrics(**{name: runs[name] for name in COUNTS}))
    most = table["flagged_share"] > 0.5
    table = table.assign(
        deposit_recall=most.mean("deposit"), deposit_auc=table["placement"].mean("deposit")
    )
    names = list(dict.fromkeys(runs["system"].values.tolist()))
    table = table.groupby("system").mean().sel(system=names).assign_coords(system=names)
    per_deposit = table["placement"].mean("seed")
    gain = per_deposit - per_deposit.sel(system=reference, drop=True)
    table["gain"] = gain.mean("deposit")
    for name, values in (("deposit_auc", per_deposit), ("gain", gain)):
        table[f"{name}_low"], table[f"{name}_high"] = bootstrap_interval(values, seed=seed)
    table["n_deposits"] = xr.Variable((), runs.sizes["deposit"])
    for name, long_name in LONG_NAMES.items():
        table[name].attrs = {"long_name": long_name, "units": "1"}
    return table[list(LONG_NAMES)].transpose("system", "seed", "test_set", "deposit")


def bootstrap_interval(per_deposit: xr.DataArray, *, seed: Seed) -> tuple[xr.DataArray, ...]:
    """Return the ends of the 90 % interval of the mean over ``deposit``, deposits redrawn.

    All else in ``per_deposit`` is redrawn alike, so that a difference is a paired one. With one
    deposit the ends are missing.
    """
    n = per_deposit.sizes["deposit"]
    if n == 1:
        missing = per_deposit.isel(deposit=0, drop=True) * np.nan
        return missing, missing
    drawn = streams(seed, 1)[0].multinomial(n, np.full(n, 1 / n), size=N_BOOT)
    means = per_deposit @ xr.DataArray(drawn / n, dims=("boot", "deposit"))
    ends = means.quantile([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dim="boot")
    low, high = (ends.isel(quantile=k, drop=True) for k in (0, 1))
    return low, high
