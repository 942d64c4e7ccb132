"""``array.anom``: the public functions of one raster or score as methods. Delegation only."""

from collections.abc import Sequence

import geopandas as gpd
import xarray as xr

import xgeoanom as xga
from xgeoanom.accessor.cube import CubeAccessor
from xgeoanom.seeding import Seed


@xr.register_dataarray_accessor("anom")
class DataArrayAccessor(CubeAccessor):
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
