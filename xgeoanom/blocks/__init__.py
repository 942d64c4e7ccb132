"""One path for numpy and dask arrays, here and on a cluster. The only dask code."""

from xgeoanom.blocks.chunking import Footprint
from xgeoanom.blocks.grids import delayed, lazily, map_grid, map_places
from xgeoanom.blocks.halos import collect_halo, map_halo
from xgeoanom.blocks.patches import gather, gather_windows, read_block
from xgeoanom.blocks.regions import block_at, blocks_of, map_blocks_of
from xgeoanom.blocks.running import compute, on_cluster, on_threads, run_all
from xgeoanom.blocks.sampling import sample

__all__ = [
    "Footprint",
    "block_at",
    "blocks_of",
    "collect_halo",
    "compute",
    "delayed",
    "gather",
    "gather_windows",
    "lazily",
    "map_blocks_of",
    "map_grid",
    "map_halo",
    "map_places",
    "on_cluster",
    "on_threads",
    "read_block",
    "run_all",
    "sample",
]
