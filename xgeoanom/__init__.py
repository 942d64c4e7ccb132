"""Geochemical anomaly detection on xarray.

``import xgeoanom as xga`` registers ``ds.anom`` and loads neither torch nor matplotlib: what
needs them is loaded when first named.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xgeoanom import datasets, errors
from xgeoanom.classical import (
    concentration_area,
    deposit_proximity,
    isolation_forest,
    knn_distance,
    local_gap,
    local_moran,
    local_trend,
    mahalanobis,
    one_class_svm,
    pathfinder_sum,
    pca_component,
    pca_reconstruction,
    random_smooth_map,
    rank_fusion,
    rx,
    sampling_density,
    singularity,
    spectrum_area,
    target_element,
    trend_surface,
    weights_of_evidence,
)
from xgeoanom.conventions import version
from xgeoanom.evaluation import (
    HonestAUC,
    PublishedAUC,
    SiteNull,
    Yardstick,
    auc,
    auc_from_labels,
    auc_standard_error,
    auc_z,
    average_precision,
    capture_at,
    capture_band,
    capture_curve,
    classical_suite,
    classify,
    compare,
    comparison_table,
    cross_validate,
    gridding_error,
    honest_auc,
    leave_one_deposit_out,
    metrics,
    prediction_area,
    published_auc,
    random_folds,
    random_site_null,
    roc_curve,
    screen_elements,
    site_shift_null,
    spatial_folds,
)
from xgeoanom.geology import check_labels, deposit_ids, draw_background, label_deposits
from xgeoanom.kernels.dual_window import ring_offsets
from xgeoanom.survey import (
    ImportReport,
    Structure,
    Variogram,
    alr,
    blank_contamination,
    censoring_summary,
    closure,
    clr,
    collapse_duplicates,
    correlation,
    duplicate_pairs,
    duplicate_precision,
    empirical_variogram,
    find_duplicates,
    fit_variogram,
    from_points,
    idw,
    ilr,
    import_report,
    inverse_alr,
    inverse_clr,
    inverse_ilr,
    krige,
    level_batches,
    open_cube,
    open_rasters,
    precision_at,
    principal_components,
    read_assays,
    reference_bias,
    replace_censored,
    sample_support,
    save_cube,
    to_unit,
)
from xgeoanom.versions import show_versions

if TYPE_CHECKING:
    from xgeoanom import detectors, plot
    from xgeoanom.detectors import detect, load_detector, ppf_cnn, predict
    from xgeoanom.evaluation.window_sweep import window_sweep

# Loaded when first named: torch takes seconds.
_LAZY = {
    "detectors": "xgeoanom.detectors",
    "plot": "xgeoanom.plot",
    "detect": "xgeoanom.detectors",
    "load_detector": "xgeoanom.detectors",
    "ppf_cnn": "xgeoanom.detectors",
    "predict": "xgeoanom.detectors",
    "window_sweep": "xgeoanom.evaluation.window_sweep",
}

__version__ = version()

__all__ = [
    "HonestAUC",
    "ImportReport",
    "PublishedAUC",
    "SiteNull",
    "Structure",
    "Variogram",
    "Yardstick",
    "alr",
    "auc",
    "auc_from_labels",
    "auc_standard_error",
    "auc_z",
    "average_precision",
    "blank_contamination",
    "capture_at",
    "capture_band",
    "capture_curve",
    "censoring_summary",
    "check_labels",
    "classical_suite",
    "classify",
    "closure",
    "clr",
    "collapse_duplicates",
    "compare",
    "comparison_table",
    "concentration_area",
    "correlation",
    "cross_validate",
    "datasets",
    "deposit_ids",
    "deposit_proximity",
    "detect",
    "detectors",
    "draw_background",
    "duplicate_pairs",
    "duplicate_precision",
    "empirical_variogram",
    "errors",
    "find_duplicates",
    "fit_variogram",
    "from_points",
    "gridding_error",
    "honest_auc",
    "idw",
    "ilr",
    "import_report",
    "inverse_alr",
    "inverse_clr",
    "inverse_ilr",
    "isolation_forest",
    "knn_distance",
    "krige",
    "label_deposits",
    "leave_one_deposit_out",
    "level_batches",
    "load_detector",
    "local_gap",
    "local_moran",
    "local_trend",
    "mahalanobis",
    "metrics",
    "one_class_svm",
    "open_cube",
    "open_rasters",
    "pathfinder_sum",
    "pca_component",
    "pca_reconstruction",
    "plot",
    "ppf_cnn",
    "precision_at",
    "predict",
    "prediction_area",
    "principal_components",
    "published_auc",
    "random_folds",
    "random_site_null",
    "random_smooth_map",
    "rank_fusion",
    "read_assays",
    "reference_bias",
    "replace_censored",
    "ring_offsets",
    "roc_curve",
    "rx",
    "sample_support",
    "sampling_density",
    "save_cube",
    "screen_elements",
    "show_versions",
    "singularity",
    "site_shift_null",
    "spatial_folds",
    "spectrum_area",
    "target_element",
    "to_unit",
    "trend_surface",
    "weights_of_evidence",
    "window_sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'xgeoanom' has no attribute {name!r}")
    module = import_module(_LAZY[name])
    return module if name in ("detectors", "plot") else getattr(module, name)


def __dir__() -> list[str]:
    return __all__


from xgeoanom import accessor  # noqa: E402, F401  (registers .anom; needs the names above)
