"""What a score is worth: anomaly classes, metrics, the honest score and cross-validation."""

from xgeoanom.evaluation.boundary_recall import boundary_recall
from xgeoanom.evaluation.calibration import calibration_curve
from xgeoanom.evaluation.classical_suite import classical_suite
from xgeoanom.evaluation.classify import classify
from xgeoanom.evaluation.compare import compare
from xgeoanom.evaluation.comparison_table import comparison_table
from xgeoanom.evaluation.crossval import cross_validate
from xgeoanom.evaluation.folds import leave_one_deposit_out, random_folds, spatial_folds
from xgeoanom.evaluation.gridding_error import gridding_error
from xgeoanom.evaluation.honest import HonestAUC, average_precision, honest_auc
from xgeoanom.evaluation.metrics import (
    auc,
    auc_standard_error,
    capture_at,
    capture_curve,
    metrics,
    roc_curve,
)
from xgeoanom.evaluation.prediction_area import capture_band, prediction_area
from xgeoanom.evaluation.published import PublishedAUC, published_auc
from xgeoanom.evaluation.screening import auc_from_labels, auc_z, screen_elements
from xgeoanom.evaluation.shift_null import SiteNull, random_site_null, site_shift_null
from xgeoanom.evaluation.superpixel_folds import superpixel_folds
from xgeoanom.evaluation.yardstick import Yardstick

__all__ = [
    "HonestAUC",
    "PublishedAUC",
    "SiteNull",
    "Yardstick",
    "auc",
    "auc_from_labels",
    "auc_standard_error",
    "auc_z",
    "average_precision",
    "boundary_recall",
    "calibration_curve",
    "capture_at",
    "capture_band",
    "capture_curve",
    "classical_suite",
    "classify",
    "compare",
    "comparison_table",
    "cross_validate",
    "gridding_error",
    "honest_auc",
    "leave_one_deposit_out",
    "metrics",
    "prediction_area",
    "published_auc",
    "random_folds",
    "random_site_null",
    "roc_curve",
    "screen_elements",
    "site_shift_null",
    "spatial_folds",
    "superpixel_folds",
]
