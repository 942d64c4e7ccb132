"""Arrays in files, lazily: what cannot be read says where it lies."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.blocks import lazily
from xgeoanom.errors import CubeError


class StoredArray:
    """A variable of an opened file, for dask to slice."""

    def __init__(self, variable: xr.Variable, name: str, path: Path) -> None:
        self.variable, self.name, self.path = variable, name, path
        self.shape, self.ndim = variable.shape, variable.ndim
        self.dtype = variable.dtype.newbyteorder("=")  # netCDF4 minds how a dtype is spelt

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return the values of a part; CubeError names it where it cannot be read."""
        try:
            return np.asarray(self.variable[key].values, self.dtype)
        except Exception as error:  # whatever a codec raises
            parts = key if isinstance(key, tuple) else (key,)
            told = [f"{p.start}:{p.stop}" if isinstance(p, slice) else str(p) for p in parts]
            raise CubeError(
                f"path={str(self.path)!r}: {self.name}[{', '.join(told)}] cannot be read "
                f"({type(error).__name__}: {error}): the file is damaged or gone; put back a copy, "
                "or make it again"
            ) from error


def stored_arrays(dataset: xr.Dataset, path: Path) -> xr.Dataset:
    """Return an opened dataset whose variables are dask arrays, chunked as they are stored."""
    found = {}
    for name, variable in dataset.data_vars.items():
        if variable.ndim:
            chunks = variable.encoding.get("preferred_chunks", {})
            stored = StoredArray(variable.variable, str(name), path)
            data = lazily(stored, tuple(chunks.get(dim, -1) for dim in variable.dims))
            found[name] = variable.copy(data=data)
    return dataset.assign(found)
