"""``ds.anom``: the public functions as methods of a dataset. Delegation only."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

import xgeoanom as xga
from xgeoanom.accessor.cube import CubeAccessor
from xgeoanom.kernels.dual_window import PAPER_WINDOWS

if TYPE_CHECKING:
    from xgeoanom.detectors import Detector
    from xgeoanom.evaluation.crossval import Evidence, FromLabels


@xr.register_dataset_accessor("anom")
class DatasetAccessor(CubeAccessor):
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

    def mim(
        self,
        labels: Hashable | xr.DataArray,
        *,
        window: int = 5,
        pretrained: str | None = None,
        name: str = "mim",
        **params: Any,
    ) -> xr.Dataset:
        """Fit masked image modelling, add score and doubt; see :func:`xgeoanom.mim`."""
        return xga.mim(self._obj, labels, window=window, pretrained=pretrained, name=name, **params)

    def masked_autoencoder(
        self,
        labels: Hashable | xr.DataArray | None = None,
        *,
        window: int = 5,
        patch: int = 1,
        name: str = "masked_autoencoder",
        **params: Any,
    ) -> xr.Dataset:
        """Add how badly hidden cells are rebuilt; see :func:`xgeoanom.masked_autoencoder`."""
        return xga.masked_autoencoder(
            self._obj, labels, window=window, patch=patch, name=name, **params
        )

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
