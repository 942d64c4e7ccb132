"""One survey with its deposits, and the distances by which every method is measured there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import geopandas as gpd
import numpy as np
import xarray as xr

from xgeoanom.classical import (
    deposit_proximity,
    pathfinder_sum,
    pca_component,
    random_smooth_map,
    sampling_density,
    target_element,
)
from xgeoanom.conventions import ELEMENT, LOG_RATIO, X, Y, cell_size, check_cube, cube_of
from xgeoanom.errors import CubeError, LabelError
from xgeoanom.evaluation.crossval import check_buffer
from xgeoanom.evaluation.targets import find_targets
from xgeoanom.geology.labels import deposit_ids, label_deposits
from xgeoanom.survey.coda import clr

LabelFree: TypeAlias = Callable[[xr.DataArray], xr.DataArray | xr.Dataset]


@dataclass(frozen=True, kw_only=True, eq=False)
class Yardstick:
    """One survey with its deposits, and how a score is measured against them.

    Parameters
    ----------
    ds : Dataset or DataArray
        Positive concentrations ``(element, y, x)``; a dataset may hold evidence too.
    deposits : GeoDataFrame
        Points in the CRS of ``ds``.
    target : str
        The element that is looked for.
    pathfinders : sequence of str
        Elements that go with it; with the target they make two of the controls.
    min_distance, max_distance, cluster_distance
        As for :func:`honest_auc`.
    buffer_cells : int
        Width of the ground around a held-out deposit that no method may learn from, the same for
        all; at least the widest detector's halo plus the cube's interpolation range.
    radius_cells : int
        Of the blocks that are labelled around deposits.
    table : Dataset, optional
        The samples that ``ds`` was gridded from, for the control of sampling density.

    Raises
    ------
    CubeError, CompositionError, GridError, CRSError
        If ``ds`` holds no concentrations, or an element is not in it.
    LabelError
        If no deposit lies on the survey, no cell is far from all, or the buffer is narrower than
        the cube's interpolation range.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> yardstick = Yardstick(
    ...     ds=xga.idw(district.survey, spacing=500.0), deposits=district.deposits,
    ...     target="Au", min_distance=3000, max_distance=500, buffer_cells=12,
    ... )
    >>> yardstick.labels.dims
    ('y', 'x')
    """

    ds: xr.Dataset | xr.DataArray
    deposits: gpd.GeoDataFrame
    target: str
    pathfinders: Sequence[str] = ()
    min_distance: float
    max_distance: float
    cluster_distance: float | None = None
    buffer_cells: int
    radius_cells: int = 1
    table: xr.Dataset | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.ds, xr.Dataset | xr.DataArray):
            raise CubeError(f"ds is a {type(self.ds).__name__}; give a Dataset or a DataArray")
        check_cube(self.cube)
        found = self.cube.attrs.get(LOG_RATIO, "none")
        if found != "none":
            raise CubeError(f"ds holds log-ratios of kind {found!r}; give concentrations")
        self._check_elements()
        self._check_numbers()
        self.clr  # noqa: B018  (tells of parts that are missing or not positive)
        check_buffer(self.cube, 0, self.buffer_cells)

    def _check_elements(self) -> None:
        if isinstance(self.pathfinders, str):
            raise CubeError(f"pathfinders={self.pathfinders!r} must be a list of elements")
        names = self.cube[ELEMENT].values.tolist()
        wrong = [name for name in (self.target, *self.pathfinders) if name not in names]
        if wrong:
            raise CubeError(f"target or pathfinders {wrong} are not among the elements {names}")

    def _check_numbers(self) -> None:
        for name in ("min_distance", "max_distance", "cluster_distance"):
            value = getattr(self, name)
            if value is None and name == "cluster_distance":
                continue
            if not isinstance(value, int | float | np.number) or not value > 0:
                raise LabelError(f"{name}={value!r} must be a positive number, in CRS units")
        for name in ("buffer_cells", "radius_cells"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 0:
                raise LabelError(f"{name}={value!r} must be a whole number of cells, 0 or more")
        if self.table is not None and not isinstance(self.table, xr.Dataset):
            raise CubeError(f"table is a {type(self.table).__name__}; give a survey table")
        self.n_targets  # noqa: B018  (tells of deposits and distances that leave nothing)

    @cached_property
    def n_targets(self) -> int:
        """Cells that answer for a deposit on the target's own map."""
        score = self.target_raster
        return find_targets(score, self.deposits, **self.measures()).positives.size

    @cached_property
    def cube(self) -> xr.DataArray:
        """Concentrations ``(element, y, x)``."""
        return cube_of(self.ds).transpose(ELEMENT, Y, X)

    @cached_property
    def clr(self) -> xr.DataArray:
        """Centred log-ratio of the cube: what detectors see."""
        return clr(self.cube)

    @property
    def target_raster(self) -> xr.DataArray:
        """The target's concentration ``(y, x)``."""
        return self.cube.sel({ELEMENT: self.target})

    @cached_property
    def labels(self) -> xr.DataArray:
        """1 around deposits, else -1."""
        return self.labels_of(self.deposits)

    def labels_of(self, deposits: gpd.GeoDataFrame) -> xr.DataArray:
        """Return the labels of ``deposits``, without those that lie off the survey."""
        x, y = (self.cube[axis].values for axis in (X, Y))
        height, width = map(abs, cell_size(self.cube))
        points = deposits.geometry
        inside = points.x.between(x.min() - width / 2, x.max() + width / 2)
        inside &= points.y.between(y.min() - height / 2, y.max() + height / 2)
        return label_deposits(deposits[inside], self.cube, radius_cells=self.radius_cells)

    def measures(self) -> dict[str, Any]:
        """Return the keywords of :func:`honest_auc` and its kin."""
        return {"min_distance": self.min_distance, "max_distance": self.max_distance}

    def label_free_controls(self, seed: int) -> dict[str, LabelFree]:
        """Return the controls of METHODS 6 that need no deposit, by name."""
        target, together = self.target, [self.target, *self.pathfinders]
        # A tenth of the survey: about as smooth as kriged maps are.
        length = 0.1 * float(min(np.ptp(self.cube[axis].values) for axis in (X, Y)))
        controls: dict[str, LabelFree] = {
            f"{target}": lambda cube: target_element(cube.sel({ELEMENT: target})),
            f"{target}, median of 8 neighbours": lambda cube: target_element(
                cube.sel({ELEMENT: target}), smooth=True
            ),
            "random smooth map": lambda cube: random_smooth_map(
                cube.sel({ELEMENT: target}), length=length, seed=seed
            ),
        }
        if self.pathfinders:
            controls["sum of pathfinders"] = lambda cube: pathfinder_sum(cube, together)
            controls["robust component"] = lambda cube: pca_component(
                cube, toward=together, seed=seed
            )
        if self.table is not None:
            table = self.table
            controls["sampling density"] = lambda cube: sampling_density(
                table, cube.sel({ELEMENT: target})
            )
        return controls

    def proximity(self, cube: xr.DataArray, labels: xr.DataArray) -> xr.DataArray:
        """Return the control that knows where other deposits are, and nothing else."""
        centres = _centres(labels)
        return deposit_proximity(centres, cube.isel({ELEMENT: 0}))


def _centres(labels: xr.DataArray) -> gpd.GeoDataFrame:
    """Return the middle of each deposit's labelled cells."""
    ids = deposit_ids(labels).transpose(Y, X).values
    rows, cols = np.nonzero(ids >= 0)
    at = ids[rows, cols]
    n_cells = np.bincount(at)
    held = n_cells > 0
    x, y = (
        np.bincount(at, labels[axis].values[index])[held] / n_cells[held]
        for axis, index in ((X, cols), (Y, rows))
    )
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=labels.rio.crs)
