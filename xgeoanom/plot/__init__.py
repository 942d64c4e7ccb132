"""Figures: maps, curves and survey points; each function returns its Axes."""

from xgeoanom.plot.attribution_panels import attribution_bars, attributions
from xgeoanom.plot.components import biplot
from xgeoanom.plot.curves import capture, roc, training, window_sweep
from xgeoanom.plot.evidence import density_law
from xgeoanom.plot.explanations import offsets, patch_maps
from xgeoanom.plot.fractal import concentration_area, spectrum_area
from xgeoanom.plot.gridding_error import gridding_error, predicted_observed
from xgeoanom.plot.maps import class_map, element_map, score_map, window_maps
from xgeoanom.plot.metrics import metric_boxes, radar
from xgeoanom.plot.quality import control_chart, thompson_howarth
from xgeoanom.plot.ranking import comparison
from xgeoanom.plot.reconstruction_panels import reconstructions
from xgeoanom.plot.reliability import calibration
from xgeoanom.plot.summaries import censoring, correlation
from xgeoanom.plot.superpixel_map import superpixel_boundaries
from xgeoanom.plot.survey import samples
from xgeoanom.plot.target_maps import element_mask, kept_kernels, target_cam_maps
from xgeoanom.plot.variogram import variogram

__all__ = [
    "attribution_bars",
    "attributions",
    "biplot",
    "calibration",
    "capture",
    "censoring",
    "class_map",
    "comparison",
    "concentration_area",
    "control_chart",
    "correlation",
    "density_law",
    "element_map",
    "element_mask",
    "gridding_error",
    "kept_kernels",
    "metric_boxes",
    "offsets",
    "patch_maps",
    "predicted_observed",
    "radar",
    "reconstructions",
    "roc",
    "samples",
    "score_map",
    "spectrum_area",
    "superpixel_boundaries",
    "target_cam_maps",
    "thompson_howarth",
    "training",
    "variogram",
    "window_maps",
    "window_sweep",
]
