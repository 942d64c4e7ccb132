"""From the laboratory's file to a cube: assays, log-ratios, gridding, rasters."""

from xgeoanom.survey.assays import from_points
from xgeoanom.survey.coda import alr, closure, clr, ilr, inverse_alr, inverse_clr, inverse_ilr
from xgeoanom.survey.inverse_distance import idw
from xgeoanom.survey.quality import replace_censored
from xgeoanom.survey.rasters import open_cube, open_rasters, save_cube

__all__ = [
    "alr",
    "closure",
    "clr",
    "from_points",
    "idw",
    "ilr",
    "inverse_alr",
    "inverse_clr",
    "inverse_ilr",
    "open_cube",
    "open_rasters",
    "replace_censored",
    "save_cube",
]
