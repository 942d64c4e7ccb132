"""Scores without training, and the controls that every table carries: one method per file."""

from xgeoanom.classical.concentration_area import concentration_area
from xgeoanom.classical.controls import (
    deposit_proximity,
    pathfinder_sum,
    random_smooth_map,
    sampling_density,
    target_element,
)
from xgeoanom.classical.local_gap import local_gap
from xgeoanom.classical.local_moran import local_moran
from xgeoanom.classical.mahalanobis import mahalanobis
from xgeoanom.classical.outliers import isolation_forest, knn_distance, one_class_svm
from xgeoanom.classical.pca import pca_component, pca_reconstruction
from xgeoanom.classical.rank_fusion import rank_fusion
from xgeoanom.classical.rx import rx
from xgeoanom.classical.singularity import singularity
from xgeoanom.classical.spectrum_area import spectrum_area
from xgeoanom.classical.trend_surface import local_trend, trend_surface
from xgeoanom.classical.weights_of_evidence import weights_of_evidence

__all__ = [
    "concentration_area",
    "deposit_proximity",
    "isolation_forest",
    "knn_distance",
    "local_gap",
    "local_moran",
    "local_trend",
    "mahalanobis",
    "one_class_svm",
    "pathfinder_sum",
    "pca_component",
    "pca_reconstruction",
    "random_smooth_map",
    "rank_fusion",
    "rx",
    "sampling_density",
    "singularity",
    "spectrum_area",
    "target_element",
    "trend_surface",
    "weights_of_evidence",
]
