"""Figures: maps, curves and survey points; each function returns its Axes."""

from xgeoanom.plot.curves import capture, roc, training, window_sweep
from xgeoanom.plot.maps import class_map, element_map, score_map, window_maps
from xgeoanom.plot.survey import samples

__all__ = [
    "capture",
    "class_map",
    "element_map",
    "roc",
    "samples",
    "score_map",
    "training",
    "window_maps",
    "window_sweep",
]
