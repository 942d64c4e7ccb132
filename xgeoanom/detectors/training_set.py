"""From a cube, labels and evidence to the examples that a network learns from."""

import warnings
from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from scipy import ndimage

from xgeoanom.blocks import gather, gather_windows
from xgeoanom.conventions import (
    BACKGROUND,
    DEPOSIT,
    ELEMENT,
    UNLABELLED,
    X,
    Y,
    check_same_grid,
)
from xgeoanom.errors import CRSError, CubeError, EvidenceError, GridError, LabelError
from xgeoanom.geology.labels import deposit_ids

KNOWN = 0.5  # more of a window's cells must be known; ours

Standardise = Callable[[np.ndarray], np.ndarray]


def scaling_of(cube: xr.DataArray) -> xr.Dataset:
    """Return ``mean`` and ``scale`` of each element and ``valid`` ``(y, x)``: nothing missing."""
    with np.errstate(invalid="ignore"):  # infinite values are told of below
        scaling = xr.Dataset(
            {
                "mean": cube.mean((Y, X)),
                "scale": cube.std((Y, X)),
                "valid": cube.notnull().all(ELEMENT),
            }
        ).compute()
    mean, names = scaling["mean"].values, cube[ELEMENT].values
    if np.isnan(mean).any():
        empty = names[np.isnan(mean)].tolist()
        raise CubeError(f"element={empty} has no value anywhere; drop it with .drop_sel")
    if not np.isfinite(mean).all():
        infinite = names[~np.isfinite(mean)].tolist()
        raise CubeError(f"element={infinite} has infinite values; set them to NaN")
    return scaling


def evidence_on(
    cube: xr.DataArray, evidence: xr.Dataset | None, names: tuple[str, ...]
) -> dict[str, xr.DataArray]:
    """Return the rasters ``names`` of ``evidence``, on the grid of ``cube``, or EvidenceError."""
    rasters = {}
    for name in names:
        if evidence is not None and not isinstance(evidence, xr.Dataset):
            raise EvidenceError(
                f"evidence is a {type(evidence).__name__}, no Dataset; of a raster take "
                ".to_dataset(name=...)"
            )
        if evidence is None or name not in evidence:
            raise EvidenceError(f"evidence lacks {name!r}; pass a dataset that holds this raster")
        try:
            check_same_grid(evidence[name], cube, name)
        except (GridError, CRSError) as error:
            raise EvidenceError(f"evidence {error}") from error
        rasters[name] = evidence[name].transpose(Y, X)
    return rasters


def examples_of(
    cube: xr.DataArray,
    labels: xr.DataArray,
    standardise: Standardise,
    *,
    halo: int,
    evidence: Mapping[str, xr.DataArray] | None = None,
    also: np.ndarray | None = None,
) -> xr.Dataset:
    """Return the standardised patch around each labelled cell, with its label and place.

    Variables over ``example``: ``values`` (element, dy, dx), ``label``, ``deposit`` (id of the
    nearest deposit, -1 for background), ``row``, ``col``, and each raster of ``evidence``; coords
    ``y``, ``x`` in CRS units. ``also`` is a mask of unlabelled cells to take as well. Where
    evidence is missing at a cell it is an EvidenceError: no deposit goes unnoticed.
    """
    wanted = labels.values != UNLABELLED
    rows, cols = np.nonzero(wanted if also is None else wanted | also)
    # From north to south, so that a seed gives one fit whichever way y runs.
    order = np.lexsort((cube[X].values[cols], -cube[Y].values[rows]))
    rows, cols = rows[order], cols[order]
    values = standardise(gather(cube.data, rows, cols, halo=halo))
    along = {
        "label": labels.values[rows, cols],
        "deposit": deposit_ids(labels).values[rows, cols],
        "row": rows,
        "col": cols,
        **{name: _known(raster, rows, cols) for name, raster in (evidence or {}).items()},
    }
    variables = {name: ("example", array) for name, array in along.items()}
    return xr.Dataset(
        {"values": (("example", "element", "dy", "dx"), values), **variables},
        coords={Y: ("example", cube[Y].values[rows]), X: ("example", cube[X].values[cols])},
    )


def _known(raster: xr.DataArray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Return the values of evidence at cells; EvidenceError where they are missing."""
    values = raster.values[rows, cols].astype("float32")
    if missing := int(np.isnan(values).sum()):
        raise EvidenceError(
            f"{raster.name} is missing in {missing} of {len(values)} labelled cells; fill it, or "
            "set their labels to -1"
        )
    return values


def usual_cells(labels: xr.DataArray, valid: xr.DataArray) -> np.ndarray:
    """Return the labelled background or, without any, all valid cells but deposits: a mask."""
    marks = labels.values
    background = marks == BACKGROUND
    usual: np.ndarray = (background if background.any() else marks != DEPOSIT) & valid.values
    return usual


def usual_ground(
    cube: xr.DataArray,
    labels: xr.DataArray,
    valid: xr.DataArray,
    standardise: Standardise,
    *,
    halo: int,
    most: int,
    rng: np.random.Generator,
) -> xr.Dataset:
    """Return standardised patches around cells from which to learn what is usual.

    These are the :func:`usual_cells`; of more than ``most``, so many at random. The cube lies
    north up, so that a seed gives one fit whichever way y ran.
    ``values`` is (example, element, dy, dx).
    """
    # One number a cell, and the draw before anything else: a survey may have 10^8 cells.
    cells = np.flatnonzero(usual_cells(labels, valid))
    if cells.size > most:
        cells = cells[np.sort(rng.choice(cells.size, size=most, replace=False))]
    rows, cols = np.divmod(cells, cube.sizes[X])
    values = standardise(gather(cube.data, rows, cols, halo=halo))
    return xr.Dataset({"values": (("example", "element", "dy", "dx"), values)})


def held_out(
    groups: np.ndarray, share: float, rng: np.random.Generator, *, whole: bool
) -> np.ndarray:
    """Return a mask of about ``share`` of the members, drawn singly or by whole groups.

    Whole groups keep the cells of a deposit together; they are drawn until the share is reached,
    but one group is always left for training.
    """
    if not whole:
        n_kept = int((1 - share) * len(groups))
        return np.isin(np.arange(len(groups)), rng.permutation(len(groups))[n_kept:])
    names = rng.permutation(np.unique(groups))
    sizes = np.array([(groups == name).sum() for name in names])
    n_groups = int(np.searchsorted(np.cumsum(sizes), share * len(groups)) + 1)
    return np.isin(groups, names[: min(n_groups, len(names) - 1)])


# ------------------------------------------------------------------------------------ windows


def window_lattice(shape: tuple[int, int], size: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return first row and first column of each window that lies wholly inside ``shape``.

    One window starts every ``step`` cells from the first cell, row by row.

    >>> [len(window_lattice((n_rows, 3072), 256, 128)[0]) for n_rows in (2560, 512)]
    [437, 69]
    """
    starts = [np.arange(0, length - size + 1, step) for length in shape]
    rows, cols = np.meshgrid(*starts, indexing="ij")
    return rows.ravel(), cols.ravel()


def cells_inside(mask: np.ndarray, rows: np.ndarray, cols: np.ndarray, size: int) -> np.ndarray:
    """Return how many cells of ``mask`` each window holds; outside of it there are none."""
    # Sums over all cells above and to the left make a window the difference of four corners.
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), dtype="int64")
    mask.cumsum(axis=0, out=sums[1:, 1:])
    sums[1:, 1:].cumsum(axis=1, out=sums[1:, 1:])
    top, bottom = (np.clip(rows + reach, 0, mask.shape[0]) for reach in (0, size))
    left, right = (np.clip(cols + reach, 0, mask.shape[1]) for reach in (0, size))
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]


def windows_on(labels: xr.DataArray, known: xr.DataArray, *, size: int, step: int) -> xr.Dataset:
    """Return the windows of which more than the share ``KNOWN`` of cells is known, labelled.

    Variables over ``window``: ``row`` and ``col`` of the first cell; ``label``: 1 where a cell is
    labelled 1, else 0 where one is labelled 0 or labels hold no 0 at all, else -1. Coords ``y``,
    ``x``: the centre in CRS units. ``labels`` and the mask ``known`` are ``(y, x)``, north up.
    """
    rows, cols = window_lattice(known.shape, size, step)  # type: ignore[arg-type]
    counted = cells_inside(known.values, rows, cols, size) > KNOWN * size**2
    rows, cols = rows[counted], cols[counted]
    marks = labels.values
    holds_deposit = cells_inside(marks == DEPOSIT, rows, cols, size) > 0
    background = marks == BACKGROUND
    usual = cells_inside(background, rows, cols, size) > 0 if background.any() else True
    label = np.where(holds_deposit, DEPOSIT, np.where(usual, BACKGROUND, UNLABELLED))
    along = {"row": rows, "col": cols, "label": label.astype("int8")}
    centres = {
        dim: (labels[dim].values[first] + labels[dim].values[first + size - 1]) / 2
        for dim, first in ((Y, rows), (X, cols))
    }
    return xr.Dataset(
        {name: ("window", array) for name, array in along.items()},
        coords={dim: ("window", centre) for dim, centre in centres.items()},
    )


def windows_to_learn(
    labels: xr.DataArray,
    known: xr.DataArray,
    *,
    size: int,
    step: int,
    rng: np.random.Generator | None,
) -> xr.Dataset:
    """Return the labelled windows of :func:`windows_on`; LabelError where a class has none.

    With ``rng`` there are as many windows without deposits as with, drawn at random. Deposits in
    no window are warned of.
    """
    windows = windows_on(labels, known, size=size, step=step)
    label = windows["label"].values
    deposits, others = (np.flatnonzero(label == kind) for kind in (DEPOSIT, BACKGROUND))
    for members, what in ((deposits, "with"), (others, "without")):
        if not members.size:
            raise LabelError(
                f"labels leave no window {what} deposits, of {label.size} windows of {size} cells "
                f"every {step} from the north-west corner of which more than half are known; take "
                "smaller windows or steps, or label background elsewhere"
            )
    held = deposits_inside(labels, windows, size=size)
    if missed := held["deposit"].values[~held.any("window").values].tolist():
        warnings.warn(
            f"deposits {missed} lie in no window of {size} cells, every {step} from the north-west "
            "corner, of which more than half are known, and teach nothing; a smaller step may help",
            stacklevel=2,
        )
    if rng is not None and others.size > deposits.size:
        others = rng.choice(others, size=deposits.size, replace=False)
    return windows.isel(window=np.sort(np.concatenate([deposits, others])))


def deposits_inside(labels: xr.DataArray, windows: xr.Dataset, *, size: int) -> xr.DataArray:
    """Return whether each window holds a cell of each deposit: bool ``(window, deposit)``."""
    ids = deposit_ids(labels).values
    rows, cols = windows["row"].values, windows["col"].values
    deposits = np.unique(ids[ids >= 0])
    boxes = ndimage.find_objects(ids + 1)
    # Summed over the deposit's own box alone: a survey may hold many deposits.
    held = [
        cells_inside(ids[box] == deposit, rows - box[0].start, cols - box[1].start, size) > 0
        for deposit in deposits
        for box in (boxes[deposit],)
    ]
    return xr.DataArray(
        np.transpose(held), dims=("window", "deposit"), coords={"deposit": deposits}
    )


def window_values(
    cube: xr.DataArray, rows: np.ndarray, cols: np.ndarray, standardise: Standardise, *, size: int
) -> np.ndarray:
    """Return the standardised windows ``(window, element, size, size)``, NaN where missing."""
    return gather_windows(cube.data, rows, cols, size=size, func=standardise)


def copies_of(label: np.ndarray, copies: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the window of each copy, and whether noise comes to it: to all but the first.

    ``copies`` are those of a window with deposits and of one without.

    >>> copies_of(np.array([1, 0]), (3, 2))
    (array([0, 0, 0, 1, 1]), array([False,  True,  True, False,  True]))
    """
    index = np.repeat(np.arange(label.size), np.where(label == DEPOSIT, *copies))
    return index, np.diff(index, prepend=-1) == 0
