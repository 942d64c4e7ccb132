"""What a score is worth: anomaly classes, metrics, the honest score and cross-validation."""

from xgeoanom.evaluation.classify import classify
from xgeoanom.evaluation.crossval import cross_validate
from xgeoanom.evaluation.folds import leave_one_deposit_out, random_folds, spatial_folds
from xgeoanom.evaluation.gridding_error import gridding_error
from xgeoanom.evaluation.honest import HonestAUC, honest_auc
from xgeoanom.evaluation.metrics import (
    auc,
    auc_standard_error,
    capture_at,
    capture_curve,
    metrics,
    roc_curve,
)
from xgeoanom.evaluation.screening import auc_from_labels, auc_z, screen_elements

__all__ = [
    "HonestAUC",
    "auc",
    "auc_from_labels",
    "auc_standard_error",
    "auc_z",
    "capture_at",
    "capture_curve",
    "classify",
    "cross_validate",
    "gridding_error",
    "honest_auc",
    "leave_one_deposit_out",
    "metrics",
    "random_folds",
    "roc_curve",
    "screen_elements",
    "spatial_folds",
]
