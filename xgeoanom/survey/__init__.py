"""From the laboratory's file to a cube: assays, quality, log-ratios, gridding, rasters."""

from xgeoanom.survey.assays import from_points
from xgeoanom.survey.coda import alr, closure, clr, ilr, inverse_alr, inverse_clr, inverse_ilr
from xgeoanom.survey.components import principal_components
from xgeoanom.survey.duplicates import collapse_duplicates, find_duplicates
from xgeoanom.survey.empirical_variogram import empirical_variogram
from xgeoanom.survey.forecast import Forecast, forecast
from xgeoanom.survey.inverse_distance import idw
from xgeoanom.survey.kriging import krige
from xgeoanom.survey.levelling import level_batches
from xgeoanom.survey.oxides import to_unit
from xgeoanom.survey.precision import duplicate_pairs, duplicate_precision, precision_at
from xgeoanom.survey.quality import replace_censored
from xgeoanom.survey.rasters import open_cube, open_rasters, save_cube
from xgeoanom.survey.reading import ImportReport, import_report, read_assays
from xgeoanom.survey.reference_materials import blank_contamination, reference_bias
from xgeoanom.survey.summaries import censoring_summary, correlation
from xgeoanom.survey.support import sample_support
from xgeoanom.survey.variogram import Structure, Variogram
from xgeoanom.survey.variogram_fit import fit_variogram

__all__ = [
    "Forecast",
    "ImportReport",
    "Structure",
    "Variogram",
    "alr",
    "blank_contamination",
    "censoring_summary",
    "closure",
    "clr",
    "collapse_duplicates",
    "correlation",
    "duplicate_pairs",
    "duplicate_precision",
    "empirical_variogram",
    "find_duplicates",
    "fit_variogram",
    "forecast",
    "from_points",
    "idw",
    "ilr",
    "import_report",
    "inverse_alr",
    "inverse_clr",
    "inverse_ilr",
    "krige",
    "level_batches",
    "open_cube",
    "open_rasters",
    "precision_at",
    "principal_components",
    "read_assays",
    "reference_bias",
    "replace_censored",
    "sample_support",
    "save_cube",
    "to_unit",
]
