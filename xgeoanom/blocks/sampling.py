"""What lazy arrays will cost, told from some of their blocks."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from xgeoanom.blocks.chunking import Array
from xgeoanom.blocks.regions import Block, Region, blocks_of, map_blocks_of
from xgeoanom.blocks.running import n_threads, on_cluster


@dataclass(frozen=True)
class Sample:
    """Places in all and at a time; seconds for all of them; largest memory of a process, bytes."""

    n_places: int
    n_threads: int
    seconds: float
    memory: float


def sample(arrays: Mapping[str, Array]) -> Sample:
    """Compute dask arrays in some places, drop that, and conclude on all.

    A place is a chunk along the last two dims, in all arrays together. As many places as there are
    threads first, so that each worker compiles; then as many again, and twice as many. What the
    last took longer is the time of a round; the rest is spent once.
    """
    places = _places(arrays)
    n_places, at_a_time = len(places), n_threads()
    _seconds(arrays, places, min(at_a_time, n_places))
    if n_places < 2 * at_a_time:
        seconds = _seconds(arrays, places, n_places)
    else:
        once, twice = (_seconds(arrays, places, n * at_a_time) for n in (1, 2))
        a_round = max(twice - once, twice / 4)  # a round that cost nothing is noise
        seconds = max(2 * once - twice, 0.0) + n_places / at_a_time * a_round
    client = on_cluster()
    peaks = [peak_memory()] if client is None else client.run(peak_memory).values()
    return Sample(n_places, at_a_time, seconds, max(peaks))


def _places(arrays: Mapping[str, Array]) -> list[dict[Block, Region]]:
    """Return the blocks that lie in each place."""
    places: dict[tuple[int, ...], dict[Block, Region]] = {}
    for (name, index), region in blocks_of(arrays).items():
        places.setdefault(index[-2:], {})[name, index] = region
    return list(places.values())


def _seconds(arrays: Mapping[str, Array], places: Sequence[dict[Block, Region]], n: int) -> float:
    """Return how long ``n`` places take that lie evenly among all."""
    some: dict[Block, Region] = {}
    for k in np.linspace(0, len(places) - 1, n).astype(int):
        some |= places[k]
    start = time.perf_counter()
    map_blocks_of(_drop, arrays, some)
    return time.perf_counter() - start


def _drop(name: str, region: Region, values: np.ndarray) -> None:
    """Take a block and keep nothing of it."""


def peak_memory() -> float:
    """Return the largest memory that this process ever held, in bytes."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset)
    if sys.platform == "linux":  # ru_maxrss would count what the parent held when it forked
        status = Path("/proc/self/status").read_text().splitlines()
        (peak,) = (line for line in status if line.startswith("VmHWM:"))
        return float(peak.split()[1]) * 1024
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # macOS counts bytes
