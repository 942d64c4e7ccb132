"""From a cube, labels and evidence to the examples that a network learns from."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from xgeoanom.blocks import gather
from xgeoanom.conventions import (
    BACKGROUND,
    DEPOSIT,
    ELEMENT,
    UNLABELLED,
    X,
    Y,
    check_same_grid,
)
from xgeoanom.errors import CRSError, CubeError, EvidenceError, GridError
from xgeoanom.geology.labels import deposit_ids

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

    These are the labelled background or, without any, all ``valid`` cells but deposits; of more
    than ``most``, so many at random. ``values`` is (example, element, dy, dx).
    """
    marks = labels.values
    background = marks == BACKGROUND
    usual = (background if background.any() else marks != DEPOSIT) & valid.values
    rows, cols = np.nonzero(usual)
    # From north to south, so that a seed gives one fit whichever way y runs.
    order = np.lexsort((cube[X].values[cols], -cube[Y].values[rows]))
    if order.size > most:
        order = order[np.sort(rng.choice(order.size, size=most, replace=False))]
    values = standardise(gather(cube.data, rows[order], cols[order], halo=halo))
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
