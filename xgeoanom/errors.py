"""All errors: each one names the argument, its value and the remedy."""


class XGeoAnomError(ValueError):
    """Base of every error that xgeoanom raises on bad input."""


class GridError(XGeoAnomError):
    """Cells are uneven, too few, or two rasters lie on different grids."""


class CRSError(XGeoAnomError):
    """A coordinate reference system is missing, geographic, or differs."""


class CubeError(XGeoAnomError):
    """An element cube or a survey table lacks elements, repeats them, or is ambiguous."""


class CompositionError(XGeoAnomError):
    """Concentrations are no composition: negative, zero, partly missing, or of unknown unit."""


class LabelError(XGeoAnomError):
    """Labels, backgrounds or folds are missing, empty or of the wrong kind."""


class WindowError(XGeoAnomError):
    """A window is even, crossed, or larger than the survey."""


class EvidenceError(XGeoAnomError):
    """Evidence that a detector needs is missing."""


class NotFittedError(XGeoAnomError):
    """A detector was asked to predict before it was fitted."""


class ModelFileError(XGeoAnomError):
    """A file holds no readable detector."""


class StoreError(XGeoAnomError):
    """A store could not be written whole, or holds a part of something else."""
