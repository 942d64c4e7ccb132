"""Superpixels: connected patches of ground whose cells have much the same composition."""

import math
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label
from skimage.segmentation import slic, watershed

from xgeoanom.conventions import (
    ELEMENT,
    LOG_RATIO,
    X,
    Y,
    cell_size,
    check_elements,
    cube_of,
    north_up,
    provenance,
    raster_on,
)
from xgeoanom.detectors.training_set import scaling_of
from xgeoanom.errors import CubeError, XGeoAnomError
from xgeoanom.seeding import Seed, resolve
from xgeoanom.survey.coda import clr
from xgeoanom.survey.components import COMPONENT, principal_components
from xgeoanom.survey.compositions import along_elements, check_array

SHAPES = ("slic", "squares", "watershed")
SIZE = 100  # cells; so Jia et al. (2022), IEEE TNNLS, the template of internal and external graphs
COMPACTNESS = 0.2
N_BANDS = 3
# To what 0 and 1 stand for: a gross error does not squeeze all other cells together.
LIMITS = (0.005, 0.995)
MOST_FITTED = 10_000  # cells: the MCD's time and memory grow no further
MISSING = -1


def superpixels(
    cube: xr.DataArray,
    *,
    size: float | None = None,
    n: int | None = None,
    compactness: float = COMPACTNESS,
    min_size: int = 10,
    shape: str = "slic",
    seed: Seed = None,
) -> xr.DataArray:
    """Cut the survey into superpixels: connected, about equally large, alike in composition.

    The image to cut has up to three bands, the first robust principal components, each scaled to
    0-1 between its 0.5th and 99.5th percentile. Missing cells take the bands of the nearest valid
    cell while it is cut, and are left out then. Each connected part is a superpixel; those
    smaller than ``min_size`` join the neighbour whose mean bands are most like theirs.

    Parameters
    ----------
    cube : DataArray
        ``(element, y, x)``: positive concentrations, or their :func:`clr`. A cell is missing
        where any element is.
    size : float, optional
        Cells that one superpixel should have; by default 100. On noisy ground, not interpolated,
        they come apart in more and smaller ones: raise ``compactness`` or ``min_size``.
    n : int, optional
        How many superpixels there should be, in place of ``size``.
    compactness : float
        Difference in the bands that weighs as much as the side of a superpixel, above 0. Small
        values follow the bands, large ones make squares. Squares do not read it.
    min_size : int
        Cells that a superpixel has at the least, unless it is an islet among missing cells.
    shape : {"slic", "squares", "watershed"}
        SLIC, and its rivals: blocks of ground, and the compact watershed of the bands' gradient.
    seed : int or Generator, optional
        Seed of the robust components' search.

    Returns
    -------
    DataArray
        ``superpixel``, int32 ``(y, x)``: 0, 1, ... in the order in which rows from the north meet
        them, -1 where the cube is missing. It is a statistic of the whole survey: a chunked cube
        is read block by block, to three float32 bands in memory.

    Raises
    ------
    CubeError
        If there is no dim ``element``, no cell that has every element, or an infinite value.
    CompositionError
        If the cube is no composition, or has too few cells or elements for robust components.
    XGeoAnomError
        If a number is out of range, ``size`` and ``n`` are both given, or ``shape`` is unknown.

    Notes
    -----
    SLIC: Achanta et al. (2012), IEEE TPAMI 34, 2274. Compact watershed: Neubert and Protzel
    (2014), ICPR, 996. Both are scikit-image's. Robust components and merging are ours, and so is
    the default compactness: below 0.15 shapes grow ragged and break up, while elements vary
    hardly less within them; above 0.3 they near squares (Southern Tianshan, an embedded survey).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> cube = xr.DataArray(
    ...     rng.lognormal(size=(3, 12, 20)), dims=("element", "y", "x"),
    ...     coords={"element": ["Au", "Cu", "Zn"], "y": np.arange(12.0), "x": np.arange(20.0)},
    ... )
    >>> int(superpixels(cube, n=4, shape="squares", min_size=1, seed=0).max()) + 1
    6
    """
    check_array(cube, "cube")
    _check_numbers(size, n, compactness, min_size, shape)
    cube = cube_of(cube)
    check_elements(cube)
    ground = cube.isel(north_up(cube))
    valid = scaling_of(ground)["valid"].values
    cells = _cells_each(size, n, int(valid.sum()), min_size)
    seed = resolve(seed)
    bands = _bands(ground, valid, seed)
    height, width = cell_size(cube)
    patches = _cut(_filled(bands, valid), cells, compactness, shape, (abs(height / width), 1.0))
    parts = _connected(patches, valid)
    ids = _in_reading_order(_merged(parts, bands, min_size))
    attrs = provenance(
        "superpixels",
        seed=seed,
        size=size,
        n=n,
        compactness=compactness,
        min_size=min_size,
        shape=shape,
    )
    turned = xr.DataArray(ids, dims=(Y, X)).isel(north_up(cube)).values
    return raster_on(cube, turned, name="superpixel", long_name="superpixel", attrs=attrs)


def _check_numbers(
    size: float | None, n: int | None, compactness: float, min_size: int, shape: str
) -> None:
    if shape not in SHAPES:
        raise XGeoAnomError(f"shape={shape!r} must be one of {SHAPES}")
    if size is not None and n is not None:
        raise XGeoAnomError(f"size={size} and n={n} say the same thing twice; give one of them")
    for name, value in (("size", size), ("n", n), ("min_size", min_size)):
        if value is not None and not (_is_number(value) and value >= 1):
            raise XGeoAnomError(f"{name}={value!r} must be a number of at least 1")
    if not (_is_number(compactness) and compactness > 0):
        raise XGeoAnomError(f"compactness={compactness!r} must be above 0; try {COMPACTNESS}")


def _is_number(value: Any) -> bool:
    numeric = isinstance(value, int | float | np.integer | np.floating)
    return numeric and not isinstance(value, bool) and math.isfinite(value)


def _cells_each(size: float | None, n: int | None, n_valid: int, min_size: int) -> float:
    """Return how many cells a superpixel should have."""
    if n_valid == 0:
        raise CubeError(
            "cube has no cell in which every element is known; drop elements that are often "
            "missing with .drop_sel"
        )
    if n is not None and n > n_valid:
        raise XGeoAnomError(f"n={n} exceeds the {n_valid} cells that are known; take fewer")
    cells = n_valid / n if n is not None else size or SIZE
    if min_size > cells:
        raise XGeoAnomError(
            f"min_size={min_size} exceeds the {cells:g} cells that a superpixel should have; "
            f"try min_size={max(int(cells) // 10, 1)}"
        )
    return cells


# ---------------------------------------------------------------------------------------- image


def _bands(ground: xr.DataArray, valid: np.ndarray, seed: int) -> np.ndarray:
    """Return the first robust components ``(y, x, band)``, each scaled to 0-1; float32."""
    known = ground.where(xr.DataArray(valid, dims=(Y, X)))
    # A fixed lattice of cells, so that the components do not depend on chunks.
    step = math.ceil(math.sqrt(valid.sum() / MOST_FITTED))
    fitted = principal_components(
        known.isel({Y: slice(None, None, step), X: slice(None, None, step)}),
        robust=True,
        n_components=min(N_BANDS, max(ground.sizes[ELEMENT] - 1, 1)),
        seed=seed,
    )
    centre, loadings = fitted["centre"].values, fitted["loadings"].values.T
    scores = along_elements(
        lambda parts: (parts - centre) @ loadings,
        known if known.attrs.get(LOG_RATIO) == "clr" else clr(known),
        fitted.sizes[COMPONENT],
        long_name="principal component score",
        attrs={},
    )
    image = np.ascontiguousarray(scores.astype("float32").transpose(Y, X, ELEMENT).values)
    low, high = np.quantile(image[valid], LIMITS, axis=0).astype("float32")
    return np.clip((image - low) / np.where(high > low, high - low, 1), 0, 1)


def _filled(bands: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return ``bands`` with missing cells as their nearest valid one.

    scikit-image's own ``mask=`` clusters the valid cells for its first centres, and its time
    grows faster than they do.
    """
    if valid.all():
        return bands
    nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return bands[tuple(nearest)]


# ------------------------------------------------------------------------------------ cut and join


def _cut(
    image: np.ndarray, cells: float, compactness: float, shape: str, spacing: tuple[float, float]
) -> np.ndarray:
    """Return the patch of each cell; patches need not be connected."""
    if shape == "slic":
        return slic(
            image,
            n_segments=max(round(image[..., 0].size / cells), 1),
            compactness=compactness,
            spacing=spacing,
            convert2lab=False,
            # Its own way joins a part to what it met first; all of a noisy image became one.
            enforce_connectivity=False,
            channel_axis=-1,
        )
    side = max(round(math.sqrt(cells)), 1)
    rows, cols = np.arange(image.shape[0])[:, None], np.arange(image.shape[1])
    if shape == "squares":
        return rows // side * -(-image.shape[1] // side) + cols // side
    markers = (rows % side == side // 2) & (cols % side == side // 2)
    # Added to the gradient for each cell of distance. A quarter: outlines are as plain as SLIC's.
    return watershed(_gradient(image), label(markers), compactness=compactness / (4 * side))


def _gradient(image: np.ndarray) -> np.ndarray:
    """Return the length of the bands' gradient, per cell."""
    slopes = np.gradient(image, axis=(0, 1))
    return np.sqrt(sum((slope**2).sum(axis=-1) for slope in slopes))


def _connected(patches: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the 4-connected parts of the patches, numbered from 0; -1 where not ``valid``."""
    marked = np.where(valid, patches - patches.min() + 1, 0)
    return label(marked, background=0, connectivity=1) - 1


def _merged(parts: np.ndarray, bands: np.ndarray, min_size: int) -> np.ndarray:
    """Return ``parts`` after each one below ``min_size`` has joined its most similar neighbour.

    Each round at least halves the fragments that have a neighbour, and works on their
    borders alone, so the time is linear in cells.
    """
    inside = parts >= 0
    cells = parts[inside]
    size = np.bincount(cells)
    total = np.stack([np.bincount(cells, band[inside]) for band in np.moveaxis(bands, -1, 0)], 1)
    border = _borders(parts)
    group = np.arange(size.size)
    while True:
        n_groups = int(group.max()) + 1
        group_size = np.bincount(group, size)
        mean = np.stack([np.bincount(group, band) for band in total.T], 1) / group_size[:, None]
        ends = group[border]
        ends = ends[:, (ends[0] != ends[1]) & (group_size[ends[0]] < min_size)]
        if not ends.size:
            return np.where(inside, group[parts], MISSING)
        links = _most_similar(ends[0], ends[1], mean)
        graph = coo_array((np.ones(links.shape[1], bool), tuple(links)), (n_groups, n_groups))
        group = connected_components(graph, directed=False)[1][group]


def _borders(parts: np.ndarray) -> np.ndarray:
    """Return the pairs of parts that share a side of a cell, both ways: ``(2, pair)``."""
    pairs = np.concatenate(
        [
            np.stack([one.ravel(), other.ravel()])[:, (one != other).ravel()]
            for one, other in ((parts[:, :-1], parts[:, 1:]), (parts[:-1], parts[1:]))
        ],
        axis=1,
    )
    pairs = pairs[:, (pairs >= 0).all(axis=0)]
    return np.concatenate([pairs, pairs[::-1]], axis=1)


def _most_similar(fragment: np.ndarray, neighbour: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return each fragment with the neighbour of the nearest mean; of equal ones the first."""
    gap = ((mean[fragment] - mean[neighbour]) ** 2).sum(axis=1)
    order = np.lexsort((neighbour, gap, fragment))
    first = np.unique(fragment[order], return_index=True)[1]
    return np.stack([fragment[order][first], neighbour[order][first]])


def _in_reading_order(ids: np.ndarray) -> np.ndarray:
    """Return ``ids`` numbered as the rows meet them, int32."""
    cells = ids[ids >= 0]
    first = np.empty(int(cells.max()) + 1, dtype=np.intp)
    first[cells[::-1]] = np.arange(cells.size)[::-1]  # of one id, the last assignment stays
    rank = np.empty(first.size, dtype="int32")
    rank[np.argsort(first)] = np.arange(first.size, dtype="int32")
    return np.where(ids >= 0, rank[ids], np.int32(MISSING)).astype("int32")
