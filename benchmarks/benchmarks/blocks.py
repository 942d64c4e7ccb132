"""Blocks: what it costs to cut a chunked cube, halos and all, beside the work done in them."""

import numpy as np
import xarray as xr

from xgeoanom.blocks import Footprint, gather, map_halo

N_ELEMENTS, CHUNK = 4, 250


def chunked_cube(side):
    """Return a random cube as a dask array, in chunks as they lie in a store."""
    values = np.random.default_rng(0).standard_normal((N_ELEMENTS, side, side), "float32")
    return xr.DataArray(values, dims=("element", "y", "x")).chunk(y=CHUNK, x=CHUNK).data


def first_element(block, halo):
    return block[0, halo : block.shape[1] - halo, halo : block.shape[2] - halo]


class Halo:
    """A function that does nothing: what is left is cutting, widening and joining."""

    params = ([64, 500, 2000], [0, 16])
    param_names = ("side", "halo")

    def setup(self, side, halo):
        self.cube = chunked_cube(side)

    def map(self, halo):
        return map_halo(first_element, self.cube, footprint=Footprint(halo), shared=halo)

    def time_call(self, side, halo):
        self.map(halo)

    def time_compute(self, side, halo):
        self.map(halo).compute(scheduler="threads")

    def peakmem_compute(self, side, halo):
        self.map(halo).compute(scheduler="threads")


class Gather:
    """Patches around some cells: time should follow the patches, not the survey."""

    params = ([64, 2000], [10, 2000])
    param_names = ("side", "n")

    def setup(self, side, n):
        self.cube = chunked_cube(side)
        self.rows, self.cols = np.random.default_rng(1).integers(0, side, (2, n))

    def time_patches(self, side, n):
        gather(self.cube, self.rows, self.cols, halo=4)
