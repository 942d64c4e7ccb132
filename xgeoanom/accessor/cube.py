"""What ``.anom`` offers of a dataset and of an array alike: methods of the element cube."""

from collections.abc import Hashable, Sequence
from typing import Any

import geopandas as gpd
import xarray as xr

import xgeoanom as xga
from xgeoanom import card
from xgeoanom.conventions import cube_of
from xgeoanom.seeding import Seed


class CubeAccessor:
    """Stateless, since xarray makes a new accessor for every new object."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    @property
    def cube(self) -> xr.DataArray:
        """The lazy ``(element, y, x)`` array.

        It comes from the one variable with an ``element`` dim, or from the 2-D variables whose
        names are elements, such as ``Au``, ``SiO2`` or ``Cu_ppm``. Nothing is computed.
        """
        return cube_of(self._obj)

    def clr(self) -> xr.DataArray:
        """Centred log-ratio of the cube; see :func:`xgeoanom.clr`."""
        return xga.clr(self.cube)

    def alr(self, *, denominator: Hashable | None = None) -> xr.DataArray:
        """Additive log-ratio of the cube; see :func:`xgeoanom.alr`."""
        return xga.alr(self.cube, denominator=denominator)

    def ilr(self, *, partition: Any = None) -> xr.DataArray:
        """Isometric log-ratio of the cube; see :func:`xgeoanom.ilr`."""
        return xga.ilr(self.cube, partition=partition)

    def closure(self, *, filler: str | None = None) -> xr.DataArray:
        """Shares of the whole; see :func:`xgeoanom.closure`."""
        return xga.closure(self.cube, filler=filler)

    def label_deposits(self, deposits: gpd.GeoDataFrame, *, radius_cells: int = 1) -> xr.DataArray:
        """Label the cells around deposits; see :func:`xgeoanom.label_deposits`."""
        return xga.label_deposits(deposits, self._obj, radius_cells=radius_cells)

    def rx(self, *, inner: int | None = None, outer: int | None = None) -> xr.DataArray:
        """RX score, global or in a dual window; see :func:`xgeoanom.rx`."""
        return xga.rx(self.cube, inner=inner, outer=outer)

    def mahalanobis(
        self, *, robust: bool = True, support_fraction: float = 0.75, seed: Seed = None
    ) -> xr.DataArray:
        """Distance of each cell from the map's centre; see :func:`xgeoanom.mahalanobis`."""
        return xga.mahalanobis(
            self.cube, robust=robust, support_fraction=support_fraction, seed=seed
        )

    def isolation_forest(
        self,
        *,
        n_trees: int = 100,
        tree_cells: int = 256,
        max_cells: int = 100_000,
        seed: Seed = None,
    ) -> xr.DataArray:
        """How soon random splits isolate a cell; see :func:`xgeoanom.isolation_forest`."""
        return xga.isolation_forest(
            self.cube, n_trees=n_trees, tree_cells=tree_cells, max_cells=max_cells, seed=seed
        )

    def one_class_svm(
        self,
        *,
        nu: float = 0.05,
        gamma: float | None = None,
        max_cells: int = 5_000,
        seed: Seed = None,
    ) -> xr.DataArray:
        """How far a cell lies outside the common ones; see :func:`xgeoanom.one_class_svm`."""
        return xga.one_class_svm(self.cube, nu=nu, gamma=gamma, max_cells=max_cells, seed=seed)

    def knn_distance(
        self, *, n_neighbors: int = 10, max_cells: int = 20_000, seed: Seed = None
    ) -> xr.DataArray:
        """Distance to the most similar cells; see :func:`xgeoanom.knn_distance`."""
        return xga.knn_distance(self.cube, n_neighbors=n_neighbors, max_cells=max_cells, seed=seed)

    def pca_reconstruction(
        self, *, n_components: int | None = None, robust: bool = False, seed: Seed = None
    ) -> xr.DataArray:
        """Residual of the first components; see :func:`xgeoanom.pca_reconstruction`."""
        return xga.pca_reconstruction(
            self.cube, n_components=n_components, robust=robust, seed=seed
        )

    def pca_component(
        self,
        *,
        toward: Sequence[str],
        component: int | None = None,
        robust: bool = True,
        seed: Seed = None,
    ) -> xr.DataArray:
        """Score of one component, turned toward elements; see :func:`xgeoanom.pca_component`."""
        return xga.pca_component(
            self.cube, toward=toward, component=component, robust=robust, seed=seed
        )

    def pathfinder_sum(self, elements: Sequence[str]) -> xr.DataArray:
        """Sum of the z-scored clr of pathfinders; see :func:`xgeoanom.pathfinder_sum`."""
        return xga.pathfinder_sum(self.cube, elements)

    def __repr__(self) -> str:
        return card.as_text(self._obj)

    def _repr_html_(self) -> str:
        return card.as_html(self._obj)
