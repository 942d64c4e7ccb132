"""Which elements tell deposits from background, one by one.

It stands here and not in ``survey/``: it reads labels and AUCs, which lie above the survey.
"""

import math
from collections.abc import Hashable

import numpy as np
import xarray as xr
from scipy.stats import mannwhitneyu, norm
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from xgeoanom.blocks import gather
from xgeoanom.conventions import (
    BACKGROUND,
    DEPOSIT,
    ELEMENT,
    SAMPLE,
    check_elements,
    cube_of,
    provenance,
    raster_of,
)
from xgeoanom.errors import CubeError, LabelError
from xgeoanom.evaluation.metrics import auc_standard_error, rank_auc
from xgeoanom.geology.labels import deposit_ids
from xgeoanom.seeding import Seed, resolve

MANN_WHITNEY, SVM = "mann_whitney", "svm"


def screen_elements(
    ds: xr.Dataset | xr.DataArray,
    labels: Hashable | xr.DataArray,
    *,
    method: str = MANN_WHITNEY,
    level: float = 0.01,
    n_folds: int = 5,
    seed: Seed = None,
) -> xr.Dataset:
    """Test for each element by itself whether it tells deposits from background.

    Parameters
    ----------
    ds : Dataset or DataArray
        A cube, or samples: a survey table, or an array with dims ``sample`` and ``element``.
        Only what is labelled is read. NaN takes no part.
    labels : str or DataArray
        1 deposit, 0 background, -1 unlabelled, ``(y, x)`` or ``(sample,)``; a variable of ``ds``
        or an array. On a grid each deposit counts once, with the median of its cells, since
        neighbouring cells repeat each other; each background cell counts for itself, so draw
        them apart.
    method : str
        ``"mann_whitney"``: the AUC of the values themselves. ``"svm"``: the AUC of the hard
        labels that a support vector machine gives to held-out values, as published, but
        cross-validated.
    level : float
        Significance level of the whole screening.
    n_folds : int
        Folds of the support vector machine.
    seed : int or Generator, optional
        Seed of these folds.

    Returns
    -------
    Dataset
        Over ``element``: ``auc``; ``z``, as :func:`auc_z`; ``p``, two-sided, of the
        Mann-Whitney test or of ``z``; ``p_holm``, adjusted for the number of elements; ``kept``,
        where ``p_holm`` is at most ``level`` (with ``"svm"`` also AUC above 0.5);
        ``n_positive`` and ``n_negative``. An AUC below 0.5 is depletion at deposits.

    Raises
    ------
    LabelError
        If labels lack a class, an element has no value in one, or a number is wrong.
    CubeError, GridError
        If ``ds`` has no elements, or ``labels`` lie elsewhere.

    Notes
    -----
    Huang et al. (2022), Minerals 12, 1112, section 2.1, eqs. 1-2 and Table 2: there all elements
    with z above 2.58 are kept. Its AUCs are those of hard labels (:func:`auc_from_labels`).

    Examples
    --------
    >>> values = xr.DataArray(
    ...     [[9.0, 1.0], [8.0, 4.0], [7.0, 3.0], [1.0, 2.0], [2.0, 4.5], [3.0, 3.5]],
    ...     dims=("sample", "element"), coords={"element": ["Au", "Cu"]},
    ... )
    >>> labels = xr.DataArray([1, 1, 1, 0, 0, 0], dims="sample")
    >>> screen_elements(values, labels)["auc"].values.round(3)
    array([1.   , 0.333])
    """
    _check_arguments(method, level, n_folds)
    values, marks = _labelled(ds, labels)
    elements = values[ELEMENT].values
    classes = [_classes(values.values[:, e], marks, name) for e, name in enumerate(elements)]
    seed = resolve(seed) if method == SVM else None
    if seed is None:
        tests = [_ranks(*pair) for pair in classes]
    else:
        tests = [_hard_labels(*pair, n_folds, seed) for pair in classes]
    aucs, z, p = np.transpose(tests)
    adjusted = _holm(p)
    columns = {
        "auc": ("AUC of deposits against background", aucs),
        "z": ("AUC less 0.5, over its standard error", z),
        "p": ("two-sided p value", p),
        "p_holm": ("p value adjusted after Holm", adjusted),
        "kept": ("significant", (adjusted <= level) & ((aucs > 0.5) | (method != SVM))),
        "n_positive": ("deposits", [positives.size for positives, _ in classes]),
        "n_negative": ("background examples", [negatives.size for _, negatives in classes]),
    }
    return xr.Dataset(
        {
            name: (ELEMENT, column, {"long_name": long_name, "units": "1"})
            for name, (long_name, column) in columns.items()
        },
        coords={ELEMENT: elements},
        attrs=provenance("screen_elements", method=method, level=level, n_folds=n_folds, seed=seed),
    )


def auc_z(auc: float, n_positive: int, n_negative: int) -> float:
    """Return how many standard errors an AUC lies above 0.5.

    Huang et al. (2022), Minerals 12, 1112, eqs. 1-2.

    Parameters
    ----------
    auc : float
        From 0 to 1.
    n_positive, n_negative : int
        Examples of both classes, at least one each.

    Raises
    ------
    LabelError
        As :func:`auc_standard_error`, whose standard error it is.

    Examples
    --------
    >>> round(auc_z(165 / 244, 122, 122), 2)  # Ag in Table 2
    5.16
    """
    error = auc_standard_error(auc, n_positive, n_negative)
    return float((auc - 0.5) / error) if error else math.copysign(math.inf, auc - 0.5)


def auc_from_labels(called: np.ndarray, labels: np.ndarray) -> float:
    """Return the AUC of hard labels: the mean of the shares of each class called rightly.

    A ranking is worth more than its labels: compare it with no AUC of scores.

    Parameters
    ----------
    called, labels : array
        1 and 0 for each example: what a classifier says, and what is true.

    Raises
    ------
    LabelError
        If the arrays differ in shape, hold other values, or ``labels`` lack a class.

    Examples
    --------
    >>> auc_from_labels([1, 1, 0, 0], [1, 1, 1, 0])
    0.8333333333333334
    """
    called, labels = np.asarray(called), np.asarray(labels)
    both = np.concatenate([called.ravel(), labels.ravel()])
    if called.shape != labels.shape or not np.isin(both, (0, 1)).all():
        raise LabelError(
            f"called {called.shape} and labels {labels.shape} must be of one shape and hold 1 and 0"
        )
    if np.unique(labels).size < 2:
        raise LabelError(f"labels holds only {np.unique(labels)}; an AUC needs both classes")
    return rank_auc(called[labels == DEPOSIT], called[labels == BACKGROUND])


# ---------------------------------------------------------------------------------- examples


def _labelled(
    ds: xr.Dataset | xr.DataArray, labels: Hashable | xr.DataArray
) -> tuple[xr.DataArray, np.ndarray]:
    """Return values ``(example, element)`` and marks 1 and 0 of what is labelled."""
    if not isinstance(ds, xr.Dataset | xr.DataArray):
        raise CubeError(f"ds is a {type(ds).__name__}; give a cube or a survey table")
    if not isinstance(labels, xr.DataArray | Hashable):
        raise LabelError(
            f"labels is a {type(labels).__name__}; give a DataArray or a variable's name, such as "
            "ds.assign(labels=('sample', ...)) and 'labels'"
        )
    values, marks = _of_samples(ds, labels) if SAMPLE in ds.dims else _of_cells(ds, labels)
    check_elements(values)
    return values, marks


def _of_samples(
    ds: xr.Dataset | xr.DataArray, labels: Hashable | xr.DataArray
) -> tuple[xr.DataArray, np.ndarray]:
    table = ds if isinstance(ds, xr.Dataset) else ds.to_dataset(name="concentration")
    if "concentration" not in table or set(table["concentration"].dims) != {SAMPLE, ELEMENT}:
        raise CubeError("ds has no concentration(sample, element); see from_points")
    if not isinstance(labels, xr.DataArray):
        if labels not in table:
            raise LabelError(f"labels={labels!r} is no variable of ds: {list(table.data_vars)}")
        labels = table[labels]
    if dict(labels.sizes) != {SAMPLE: table.sizes[SAMPLE]}:
        raise LabelError(
            f"labels has {dict(labels.sizes)}, ds {table.sizes[SAMPLE]} samples; give one each"
        )
    marks = labels.values
    known = np.isin(marks, (DEPOSIT, BACKGROUND))
    values = table["concentration"].transpose(SAMPLE, ELEMENT).isel({SAMPLE: known}).compute()
    return values, marks[known]


def _of_cells(
    ds: xr.Dataset | xr.DataArray, labels: Hashable | xr.DataArray
) -> tuple[xr.DataArray, np.ndarray]:
    """Return each deposit once, the median of its cells, and each background cell."""
    cube = cube_of(ds)
    labels = raster_of(ds if isinstance(ds, xr.Dataset) else cube, labels, "labels")
    ids = deposit_ids(labels).values
    at = np.nonzero((ids >= 0) | (labels.values == BACKGROUND))
    owner = ids[at]
    cells = xr.DataArray(
        gather(cube.data, *at)[:, :, 0, 0],
        dims=(SAMPLE, ELEMENT),
        coords={ELEMENT: cube[ELEMENT].values, "owner": (SAMPLE, owner)},
    )
    background = cells[owner < 0].drop_vars("owner")
    deposits = cells[owner >= 0].groupby("owner").median().rename(owner=SAMPLE)
    values = xr.concat([deposits.drop_vars(SAMPLE), background], dim=SAMPLE)
    marks = np.repeat([DEPOSIT, BACKGROUND], [deposits.sizes[SAMPLE], background.sizes[SAMPLE]])
    return values.transpose(SAMPLE, ELEMENT), marks


def _classes(column: np.ndarray, marks: np.ndarray, element: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the finite values of deposits and of background."""
    known = np.isfinite(column)
    positives, negatives = (column[known & (marks == mark)] for mark in (DEPOSIT, BACKGROUND))
    for values, what, remedy in (
        (positives, "1 (deposit)", "label_deposits"),
        (negatives, "0 (background)", "draw_background"),
    ):
        if values.size == 0:
            raise LabelError(
                f"labels has no {what} where element {element} has a value; see {remedy}, or drop "
                "the element"
            )
    return positives, negatives


def _check_arguments(method: str, level: float, n_folds: int) -> None:
    if method not in (MANN_WHITNEY, SVM):
        raise LabelError(f"method={method!r} is unknown; use {MANN_WHITNEY!r} or {SVM!r}")
    if not isinstance(level, float | np.floating) or not 0 < level < 1:
        raise LabelError(f"level={level!r} must lie between 0 and 1; try 0.01")
    if not isinstance(n_folds, int | np.integer) or n_folds < 2:
        raise LabelError(f"n_folds={n_folds!r} must be a whole number of at least 2; try 5")


# --------------------------------------------------------------------------------- statistics


def _ranks(positives: np.ndarray, negatives: np.ndarray) -> tuple[float, float, float]:
    """Return AUC, z and p of the values as they are."""
    auc = rank_auc(positives, negatives)
    # Exact for few examples, where z is too sure of itself.
    p = mannwhitneyu(positives, negatives, alternative="two-sided").pvalue
    return auc, auc_z(auc, positives.size, negatives.size), float(p)


def _hard_labels(
    positives: np.ndarray, negatives: np.ndarray, n_folds: int, seed: int
) -> tuple[float, float, float]:
    """Return AUC, z and p of the labels that held-out values get from one element alone."""
    least = min(positives.size, negatives.size)
    if least < n_folds:
        raise LabelError(
            f"n_folds={n_folds} is more than the {least} examples of the smaller class; use "
            "fewer folds, label more, or take method='mann_whitney'"
        )
    values = np.concatenate([positives, negatives])[:, np.newaxis]
    marks = np.repeat([DEPOSIT, BACKGROUND], [positives.size, negatives.size])
    machine = make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    auc = auc_from_labels(cross_val_predict(machine, values, marks, cv=folds), marks)
    z = auc_z(auc, positives.size, negatives.size)
    return auc, z, float(2 * norm.sf(abs(z)))


def _holm(p: np.ndarray) -> np.ndarray:
    """Return p values adjusted step by step (Holm, 1979, Scand. J. Statist. 6, 65)."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
