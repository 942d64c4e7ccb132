"""``.anom``: the public functions as methods of datasets and arrays."""

from xgeoanom.accessor.cube import CubeAccessor
from xgeoanom.accessor.dataset import DatasetAccessor
from xgeoanom.accessor.raster import DataArrayAccessor

__all__ = ["CubeAccessor", "DataArrayAccessor", "DatasetAccessor"]
