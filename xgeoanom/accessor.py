"""``ds.anom``: the public functions as methods of a dataset or an array. Delegation only."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import xarray as xr

import xgeoanom as xga
from xgeoanom import card
from xgeoanom.conventions import cube_of
from xgeoanom.kernels.dual_window import PAPER_WINDOWS
from xgeoanom.seeding import Seed

if TYPE_CHECKING:
    from xgeoanom.detectors import Detector
    from xgeoanom.evaluation.crossval import Evidence, FromLabels


class _Accessor:
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


@xr.register_dataarray_accessor("anom")
class DataArrayAccessor(_Accessor):
    """``cube.anom``: an element cube's view of xgeoanom, one element's raster's, or a score's."""

    def concentration_area(
        self, *, n_segments: int | None = None, n_levels: int = 100
    ) -> xr.Dataset:
        """Concentration-area fractal; see :func:`xgeoanom.concentration_area`."""
        return xga.concentration_area(self._obj, n_segments=n_segments, n_levels=n_levels)

    def spectrum_area(
        self, *, degree: int = 1, n_segments: int | None = None, n_levels: int = 100
    ) -> xr.Dataset:
        """Spectrum-area fractal; see :func:`xgeoanom.spectrum_area`."""
        return xga.spectrum_area(self._obj, degree=degree, n_segments=n_segments, n_levels=n_levels)

    def singularity(
        self,
        *,
        windows: Sequence[int] = (3, 5, 7, 9, 11),
        ratio: float = 1.0,
        n_bearings: int = 12,
    ) -> xr.Dataset:
        """Local singularity of a raster or a cube; see :func:`xgeoanom.singularity`."""
        return xga.singularity(self._obj, windows=windows, ratio=ratio, n_bearings=n_bearings)

    def trend_surface(self, *, degree: int = 2, robust: bool = False) -> xr.Dataset:
        """Residual of a polynomial trend; see :func:`xgeoanom.trend_surface`."""
        return xga.trend_surface(self._obj, degree=degree, robust=robust)

    def local_trend(self, *, window: int = 21, degree: int = 1) -> xr.Dataset:
        """Residual of a trend around each cell; see :func:`xgeoanom.local_trend`."""
        return xga.local_trend(self._obj, window=window, degree=degree)

    def local_moran(
        self, *, window: int = 3, permutations: int = 199, fdr: float = 0.05, seed: Seed = None
    ) -> xr.Dataset:
        """Local Moran's I with p and classes; see :func:`xgeoanom.local_moran`."""
        return xga.local_moran(
            self._obj, window=window, permutations=permutations, fdr=fdr, seed=seed
        )

    def local_gap(
        self, *, window: int = 9, n_references: int = 50, seed: Seed = None
    ) -> xr.DataArray:
        """Local gap statistic; see :func:`xgeoanom.local_gap`."""
        return xga.local_gap(self._obj, window=window, n_references=n_references, seed=seed)

    def target_element(self, *, smooth: bool = False) -> xr.DataArray:
        """Target element itself, as a control; see :func:`xgeoanom.target_element`."""
        return xga.target_element(self._obj, smooth=smooth)

    def random_smooth_map(self, *, length: float, seed: Seed = None) -> xr.DataArray:
        """Smooth noise on this grid; see :func:`xgeoanom.random_smooth_map`."""
        return xga.random_smooth_map(self._obj, length=length, seed=seed)

    def sampling_density(self, table: xr.Dataset, *, n_nearest: int = 16) -> xr.DataArray:
        """Density of samples on this grid; see :func:`xgeoanom.sampling_density`."""
        return xga.sampling_density(table, self._obj, n_nearest=n_nearest)

    def deposit_proximity(self, deposits: gpd.GeoDataFrame) -> xr.DataArray:
        """Minus the distance to deposits on this grid; see :func:`xgeoanom.deposit_proximity`."""
        return xga.deposit_proximity(deposits, self._obj)

    def classify(self, *, areas: Sequence[float] = (0.05, 0.15, 0.30)) -> xr.DataArray:
        """Anomaly classes of a score; see :func:`xgeoanom.classify`."""
        return xga.classify(self._obj, areas=areas)

    def honest_auc(
        self,
        deposits: gpd.GeoDataFrame,
        *,
        min_distance: float,
        max_distance: float,
        cluster_distance: float | None = None,
        n_boot: int = 2000,
        level: float = 0.9,
        seed: Seed = None,
    ) -> xga.HonestAUC:
        """AUC of distinct targets, with its interval; see :func:`xgeoanom.honest_auc`."""
        return xga.honest_auc(
            self._obj,
            deposits,
            min_distance=min_distance,
            max_distance=max_distance,
            cluster_distance=cluster_distance,
            n_boot=n_boot,
            level=level,
            seed=seed,
        )

    def average_precision(
        self, deposits: gpd.GeoDataFrame, *, min_distance: float, max_distance: float
    ) -> float:
        """Average precision of distinct targets; see :func:`xgeoanom.average_precision`."""
        return xga.average_precision(
            self._obj, deposits, min_distance=min_distance, max_distance=max_distance
        )

    def site_shift_null(
        self,
        deposits: gpd.GeoDataFrame,
        *,
        min_distance: float,
        max_distance: float,
        n: int = 999,
        seed: Seed = None,
    ) -> xga.SiteNull:
        """AUC of shifted deposits: what luck scores; see :func:`xgeoanom.site_shift_null`."""
        return xga.site_shift_null(
            self._obj,
            deposits,
            min_distance=min_distance,
            max_distance=max_distance,
            n=n,
            seed=seed,
        )


@xr.register_dataset_accessor("anom")
class DatasetAccessor(_Accessor):
    """``ds.anom``: a dataset's view of xgeoanom; every method returns a new dataset or array."""

    def detect(
        self,
        detector: "Detector",
        labels: Hashable | xr.DataArray | None = None,
        *,
        evidence: xr.Dataset | None = None,
        name: str | None = None,
    ) -> xr.Dataset:
        """Fit any detector and add its score; see :func:`xgeoanom.detect`."""
        return xga.detect(self._obj, detector, labels, evidence=evidence, name=name)

    def predict(
        self,
        detector: "Detector",
        *,
        evidence: xr.Dataset | None = None,
        name: str | None = None,
    ) -> xr.Dataset:
        """Add the score of a fitted detector; see :func:`xgeoanom.predict`."""
        return xga.predict(self._obj, detector, evidence=evidence, name=name)

    def ppf_cnn(
        self,
        labels: Hashable | xr.DataArray,
        *,
        inner: int = 13,
        outer: int = 35,
        name: str = "ppf_cnn",
        **params: Any,
    ) -> xr.Dataset:
        """Fit PPF-CNN and add its score; see :func:`xgeoanom.ppf_cnn`."""
        return xga.ppf_cnn(self._obj, labels, inner=inner, outer=outer, name=name, **params)

    def gk_dcn(
        self,
        labels: Hashable | xr.DataArray,
        *,
        window: int = 9,
        deformable: bool = True,
        knowledge: float = 1.0,
        name: str = "gk_dcn",
        **params: Any,
    ) -> xr.Dataset:
        """Fit GK-DCN, or another of its four networks; see :func:`xgeoanom.gk_dcn`."""
        return xga.gk_dcn(
            self._obj,
            labels,
            window=window,
            deformable=deformable,
            knowledge=knowledge,
            name=name,
            **params,
        )

    def sgcn(
        self,
        labels: Hashable | xr.DataArray,
        *,
        branches: str = "both",
        size: float = 100.0,
        name: str = "sgcn",
        **params: Any,
    ) -> xr.Dataset:
        """Fit SGCN + 1DCNN and add its score; see :func:`xgeoanom.sgcn`."""
        return xga.sgcn(self._obj, labels, branches=branches, size=size, name=name, **params)

    def skt(
        self,
        labels: Hashable | xr.DataArray,
        *,
        window: int = 32,
        step: int = 4,
        crop: int = 28,
        name: str = "skt",
        **params: Any,
    ) -> xr.Dataset:
        """Fit SKT and add votes and mean probability; see :func:`xgeoanom.skt`."""
        return xga.skt(self._obj, labels, window=window, step=step, crop=crop, name=name, **params)

    def autoencoder(
        self,
        labels: Hashable | xr.DataArray | None = None,
        *,
        code: int | None = None,
        name: str = "autoencoder",
        **params: Any,
    ) -> xr.Dataset:
        """Add how badly cells are rebuilt; see :func:`xgeoanom.autoencoder`."""
        return xga.autoencoder(self._obj, labels, code=code, name=name, **params)

    def conv_autoencoder(
        self,
        labels: Hashable | xr.DataArray | None = None,
        *,
        window: int = 9,
        name: str = "conv_autoencoder",
        **params: Any,
    ) -> xr.Dataset:
        """Add how badly windows' centres are rebuilt; see :func:`xgeoanom.conv_autoencoder`."""
        return xga.conv_autoencoder(self._obj, labels, window=window, name=name, **params)

    def sklearn_score(
        self,
        labels: Hashable | xr.DataArray | None,
        estimator: Any,
        *,
        window: int = 1,
        name: str | None = None,
        **params: Any,
    ) -> xr.Dataset:
        """Fit an estimator of scikit-learn, add its score; see :func:`xgeoanom.sklearn_score`."""
        return xga.sklearn_score(self._obj, labels, estimator, window=window, name=name, **params)

    def window_sweep(
        self,
        labels: Hashable | xr.DataArray,
        windows: Sequence[tuple[int, int]] = PAPER_WINDOWS,
        **params: Any,
    ) -> xr.Dataset:
        """Score under several pairs of windows; see :func:`xgeoanom.window_sweep`."""
        return xga.window_sweep(self._obj, labels, windows, **params)

    def cross_validate(
        self,
        detector: "Detector | FromLabels",
        labels: Hashable | xr.DataArray,
        folds: Hashable | xr.DataArray,
        *,
        evidence: "Evidence" = None,
        buffer_cells: int,
    ) -> xr.Dataset:
        """Score each fold by a detector that never saw it; see :func:`xgeoanom.cross_validate`."""
        return xga.cross_validate(
            self._obj, detector, labels, folds, evidence=evidence, buffer_cells=buffer_cells
        )

    def rank_fusion(self) -> xr.DataArray:
        """Mean rank of the dataset's scores; see :func:`xgeoanom.rank_fusion`."""
        return xga.rank_fusion(self._obj)

    def weights_of_evidence(self, labels: xr.DataArray) -> xr.Dataset:
        """Posterior of the dataset's patterns; see :func:`xgeoanom.weights_of_evidence`."""
        return xga.weights_of_evidence(self._obj, labels)
