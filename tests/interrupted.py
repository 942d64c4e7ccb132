"""Work that is interrupted at will, and what it leaves on disk."""

import errno
import threading

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from xgeoanom.errors import StoreError
from xgeoanom.survey import zarr_store
from xgeoanom.survey.rasters import save_cube

NY, NX = 13, 11
SHAPE = (3, NY, NX)


def values(seed=0):
    cube = np.random.default_rng(seed).lognormal(size=SHAPE)
    cube[:, 2, 3] = np.nan
    cube[:, :4, :4] = np.nan  # a whole chunk of four, say
    return cube


def cube_of(data, name="clr", **attrs):
    coords = {
        "element": ["Au", "Cu", "SiO2"],
        "unit": ("element", ["ppb", "ppm", "%"]),
        "y": 4_000_000 - 100.0 * np.arange(NY),
        "x": 500_000 + 100.0 * np.arange(NX),
    }
    cube = xr.DataArray(data, coords, ("element", "y", "x"), name=name, attrs=attrs)
    return cube.rio.write_crs(32650)


class Work:
    """Blocks of a cube, those that were computed, and a wish to fail."""

    def __init__(self, chunks=(4, 4), seed=0):
        self.done, self.fail_after, self._lock = [], None, threading.Lock()
        self.source = da.from_array(values(seed), chunks=(3, *chunks))
        meta = np.empty((0, 0, 0))
        self.data = da.map_blocks(self._compute, self.source, dtype="float64", meta=meta)
        self.cube = cube_of(self.data)

    def _compute(self, block, block_info=None):
        with self._lock:
            if self.fail_after is not None and len(self.done) >= self.fail_after:
                raise RuntimeError("power cut")
            self.done.append(tuple(block_info[0]["chunk-location"]))
        return block + 1

    def interrupted(self, path, after):
        """Save until a block fails after so many; return self, with nothing done."""
        self.fail_after = after
        with pytest.raises(StoreError, match="power cut"):
            save_cube(self.cube, path)
        self.fail_after = None
        self.done.clear()
        return self


def partial_of(path):
    """Return the folder of the run that was interrupted."""
    (run,) = path.with_name(f".{path.name}.partial").iterdir()
    return run


def records_of(path):
    return sorted((partial_of(path) / "written").glob("*/*"))


def chunk_files(store):
    """Return the files of a store with what is in them."""
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in sorted(store.rglob("*"))
        if file.is_file()
    }


def same_bytes(found, expected):
    return found.dtype == expected.dtype and found.values.tobytes() == expected.values.tobytes()


def raise_no_space(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def fail_to_write(patch, *, after):
    """Let so many regions be written, then no more."""
    write, lock, n = zarr_store._write, threading.Lock(), [0]

    def limited(*args):
        with lock:
            n[0] += 1
            if n[0] > after:
                raise_no_space()
        write(*args)

    patch.setattr(zarr_store, "_write", limited)
