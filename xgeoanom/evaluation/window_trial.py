"""SKT, its parts left out one by one, and its rivals on the same windows: Tables 3 to 5, Fig. 6."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from xgeoanom.conventions import (
    ELEMENT,
    UNLABELLED,
    X,
    Y,
    check_cube,
    cube_of,
    north_up,
    provenance,
    raster_of,
)
from xgeoanom.detectors.skt import SKT
from xgeoanom.detectors.training_set import window_values
from xgeoanom.errors import XGeoAnomError
from xgeoanom.evaluation.crossval import gridding_reach
from xgeoanom.evaluation.window_counts import joined, judged, table_of
from xgeoanom.evaluation.window_judges import (
    SINGLE,
    Classical,
    Verdicts,
    network_verdicts,
    with_copies,
)
from xgeoanom.evaluation.window_sides import Side, sides_of
from xgeoanom.geology.labels import check_labels
from xgeoanom.seeding import resolve, streams

PARTS = ("mask", "dilations", "transfer", "distillation", "source")  # plain networks have none


@dataclass(frozen=True)
class _TestSet:
    """Windows to be judged, and whose copies they are: positions among the side's windows."""

    name: str
    values: np.ndarray
    index: np.ndarray


def window_trial(
    ds: xr.Dataset | xr.DataArray,
    labels: Hashable | xr.DataArray,
    folds: Hashable | xr.DataArray,
    detector: SKT,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    copies: tuple[int, ...] | None = None,
    ablations: bool = True,
    distillations: Sequence[float] = (),
    baselines: bool = True,
    buffer_cells: int | None = None,
) -> xr.Dataset:
    """Judge the windows of each fold by SKT and its rivals, trained on all other ground.

    In training a fold, and ``buffer_cells`` around it, are missing from the cube and unlabelled,
    so that neither windows nor scaling see it. A test window lies on the lattice of the whole
    survey and all its known cells lie in the fold. A fold without test windows of both classes
    is left out, with a warning.

    Parameters
    ----------
    ds : Dataset or DataArray
        Holds one element cube, log-ratioed. A chunked cube is read anew for each training, so
        compute what is slow to grid.
    labels : str or DataArray
        1 deposit, 0 background, -1 unlabelled; a variable of ``ds`` or a raster. Where no cell is
        0, every window without deposits is one of background.
    folds : str or DataArray
        Numbers of folds ``(y, x)``, such as ``cv_fold``; negative ground is never tested. One
        fold is enough: the paper tests the last sixth of its rows.
    detector : SKT
        Settings; it is copied for each training and itself left unfitted.
    seeds : sequence of int
        Each makes one run of everything.
    copies : (int, int), optional
        Adds the paper's augmented test set: so many copies of each window with and without
        deposits, all but the first with the detector's ``noise``. The paper has (7, 3).
    ablations : bool
        Train SKT without each of its parts as well (Table 5).
    distillations : sequence of float
        Train SKT with these betas as well (Fig. 6).
    baselines : bool
        Train SVM, kNN, random forest and decision tree of scikit-learn, with its defaults, on the
        middles of the windows as well.
    buffer_cells : int, optional
        Width of the ground around a fold that training misses too; by default as far as gridding
        carried values, the cube's attr ``interpolation_range``. The paper leaves no such gap.

    Returns
    -------
    Dataset
        Over ``system``, ``seed`` and ``test_set``: ``tp``, ``fn``, ``fp``, ``tn``, summed over
        folds; ``accuracy``, ``recall``, ``macro_f1``, see :func:`window_metrics`;
        ``deposit_recall``: the share of deposits more than half of whose windows are flagged;
        ``deposit_auc``: the mean ``placement`` of deposits, which is also given for each
        ``deposit``: the share of the fold's background windows below the mean score of the
        deposit's windows. Over ``system`` and ``test_set``, of means over seeds:
        ``deposit_auc_low``, ``deposit_auc_high``: the 90 % bootstrap interval over deposits;
        ``gain``, ``gain_low``, ``gain_high``: the same of the paired difference to the ensemble
        of as many plain ResNet-18s as SKT has target networks. ``n_deposits``: those that some
        test window holds.

        Systems: the four of scikit-learn; the ensemble, such as ``5 ResNet-18``; ``ResNet-18``,
        the mean result of its single networks; ``SKT``; its target networks, such as
        ``SKT rho=6``; ``- mask``, ``- dilation``, ``- transfer``, ``- distillation``; and
        ``beta=0.3``. Several networks flag by majority, and score by the mean.

    Raises
    ------
    XGeoAnomError
        If ``detector`` is no SKT, or ``seeds``, ``copies``, ``distillations`` or ``buffer_cells``
        make no sense.
    LabelError
        Before any training: no fold has test windows of both classes, a deposit lies across the
        edge of a fold, or what is left has no windows of both classes to train on.
    GridError, CRSError, CubeError
        If cube, labels and folds do not share one even, projected grid.

    Notes
    -----
    Huang et al. 2022, Minerals 12(9), 1112. Noisy copies of a window, and windows that overlap,
    are no independent tests; the deposit is. Scikit-learn's methods train on the windows of the
    detector's first draw of background, with its copies.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> folds = xga.spatial_folds(ds["labels"], n=2, block_cells=16, seed=0)
    >>> tiny = SKT(window=12, crop=10, dilations=(1, 2), width=2, epochs=1, source_epochs=1)
    >>> table = window_trial(ds, "labels", folds, tiny, seeds=[0], ablations=False)
    >>> table.system.values.tolist()
    ['SVM', 'kNN', 'random forest', 'decision tree', '2 ResNet-18', 'ResNet-18', 'SKT',
     'SKT rho=1', 'SKT rho=2']
    """
    systems = _systems(detector, ablations, distillations)
    seeds = _checked_seeds(seeds)
    _check_whole(copies, 0 if buffer_cells is None else buffer_cells)
    cube, labels, folds, known = _survey(ds, labels, folds)
    buffer_cells = gridding_reach(cube) if buffer_cells is None else buffer_cells
    lattice = {"size": detector.window, "step": detector.step}
    sides = sides_of(labels, folds, known, buffer_cells=buffer_cells, **lattice)
    n_fits, runs = len(seeds) * len(sides) * len(systems), []
    with tqdm(total=n_fits, desc="trial", unit="fit", disable=None) as bar:
        for seed in seeds:
            fits = [(side, _fits(cube, side, systems, seed, bar)) for side in sides]
            runs.append(joined([_judged_side(cube, *fit, copies, baselines) for fit in fits]))
    attrs = provenance(
        "window_trial",
        detector=repr(detector),
        copies=copies,
        buffer_cells=buffer_cells,
        folds=[side.fold for side in sides],
    )
    result = xr.concat(runs, xr.Variable("seed", seeds))
    return table_of(result, _ensemble(detector), seed=seeds[0]).assign_attrs(attrs)


# -------------------------------------------------------------------------- before training


def _ensemble(detector: SKT) -> str:
    """Return the name of the ensemble of as many plain networks."""
    return f"{len(detector.dilations)} {SINGLE}"


def _systems(detector: SKT, ablations: bool, distillations: Sequence[float]) -> dict[str, SKT]:
    """Return all that is trained, the ensemble of plain networks first."""
    if not isinstance(detector, SKT):
        raise XGeoAnomError(f"detector={detector!r} is no SKT; give one, such as SKT()")
    if not isinstance(distillations, Iterable):
        raise XGeoAnomError(f"distillations={distillations!r} must be several, as [0.1, 0.5]")
    names = [field.name for field in fields(detector) if field.name not in PARTS]
    alike = {name: getattr(detector, name) for name in names}
    plain = type(detector).plain(len(detector.dilations), **alike)
    systems = {_ensemble(detector): plain, "SKT": detector}
    if ablations:
        systems |= detector.ablations()
    betas = {f"beta={beta:g}": replace(detector, distillation=beta) for beta in distillations}
    return systems | betas


def _checked_seeds(seeds: Sequence[int]) -> list[int]:
    wanted = list(seeds) if isinstance(seeds, Iterable) else []
    if not wanted or None in wanted:
        raise XGeoAnomError(f"seeds={seeds!r} must be integers of at least 0; try (0, 1, 2)")
    return list(dict.fromkeys(map(resolve, wanted)))


def _check_whole(copies: Any, buffer_cells: Any) -> None:
    whole = (int, np.integer)
    pair = isinstance(copies, Sequence) and len(copies) == 2
    if copies is not None and not (pair and all(isinstance(n, whole) and n > 0 for n in copies)):
        raise XGeoAnomError(
            f"copies={copies!r} must be two integers of at least 1, or None; the paper has (7, 3)"
        )
    if not isinstance(buffer_cells, whole) or buffer_cells < 0:
        raise XGeoAnomError(f"buffer_cells={buffer_cells!r} must be an integer of at least 0")


def _survey(
    ds: xr.Dataset | xr.DataArray, labels: Any, folds: Any
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return cube, labels, folds and known cells, all of them north up."""
    check_cube(cube := cube_of(ds))
    labels, folds = raster_of(ds, labels, "labels"), raster_of(ds, folds, "folds")
    check_labels(labels, cube)
    turn = north_up(cube)
    cube, labels, folds = cube.isel(turn), labels.isel(turn).load(), folds.isel(turn).load()
    known = cube.notnull().all(ELEMENT).transpose(Y, X).compute()
    return cube, labels.where(known, UNLABELLED).astype("int8"), folds, known


# ------------------------------------------------------------------------ training and test


def _fits(
    cube: xr.DataArray, side: Side, systems: dict[str, SKT], seed: int, bar: tqdm
) -> Iterator[tuple[str, SKT, xr.DataArray]]:
    """Train each system on the cube that its side leaves; return that cube beside it."""
    seen = cube.where(side.ground)
    for name, system in systems.items():
        bar.set_postfix_str(f"seed {seed}, fold {side.fold}, {name}")
        yield name, replace(system, seed=seed).fit(seen, side.labels), seen
        bar.update()


def _judged_side(
    cube: xr.DataArray,
    side: Side,
    fits: Iterator[tuple[str, SKT, xr.DataArray]],
    copies: tuple[int, ...] | None,
    baselines: bool,
) -> xr.Dataset:
    """Return what all systems' verdicts on a side's windows are worth."""
    tests: list[_TestSet] = []
    results = []
    for name, fitted, seen in fits:
        if not tests:  # all systems scale alike: by the cells of the cube that they saw
            tests = list(_test_sets(cube, side, fitted, copies))
            classical = [Classical(fitted, seen, side)] if baselines else []
            results += [_judged(method.verdicts, tests, side) for method in classical]
        results.append(_judged(_networks(name, fitted), tests, side))
    return xr.concat(results, "judge")


def _test_sets(
    cube: xr.DataArray, side: Side, fitted: SKT, copies: tuple[int, ...] | None
) -> Iterator[_TestSet]:
    """Return the side's windows and, of ``copies``, the paper's augmented test set."""
    windows = side.windows
    values = window_values(
        cube, windows["row"].values, windows["col"].values, fitted.standardise, size=fitted.window
    )
    yield _TestSet("windows", values, np.arange(len(values)))
    if copies is not None:
        # The first stream is the training's.
        rng = streams(fitted.seed_, 2)[1]
        label = windows["label"].values
        yield _TestSet("copies", *with_copies(values, label, copies, fitted.noise, rng))


def _networks(name: str, fitted: SKT) -> Callable[[np.ndarray], Verdicts]:
    """Return the judge that a fitted system is; of two systems each network counts alone too."""
    singles: list[str] = []
    if name == "SKT":
        singles = [f"SKT rho={rho}" for rho in fitted.dilations]
    elif name == _ensemble(fitted):
        singles = [SINGLE] * len(fitted.dilations)
    return lambda values: network_verdicts(name, singles, fitted.window_scores(values))


def _judged(
    judge: Callable[[np.ndarray], Verdicts], tests: Sequence[_TestSet], side: Side
) -> xr.Dataset:
    """Return what a judge's verdicts on each test set are worth."""
    label, results = side.windows["label"].values, []
    for test in tests:
        verdicts = judge(test.values)
        holds = side.holds.isel(window=test.index)
        results.append(judged(verdicts.flagged, verdicts.score, label[test.index], holds))
    result = xr.concat(results, xr.Variable("test_set", [test.name for test in tests]))
    fold = ("deposit", np.full(result.sizes["deposit"], side.fold))
    return result.assign_coords(system=("judge", verdicts.names), fold=fold)
