"""What computing something lazy will take, before it starts."""

from dataclasses import dataclass

import xarray as xr

from xgeoanom.blocks import sample
from xgeoanom.errors import CubeError


@dataclass(frozen=True)
class Forecast:
    """What all blocks of something lazy will take.

    Attributes
    ----------
    n_blocks : int
        Chunks along ``y`` and ``x``.
    n_threads : int
        Of them worked on at a time, here or on the cluster that is connected.
    seconds : float
        To compute all of them, in wall time; without what writing them takes.
    memory : float
        Largest memory that a process, this one or a worker, held until now, bytes.
    size : float
        Of the result, bytes.

    Notes
    -----
    Printed, it reads ``2048 blocks, 8 at a time: 41 min, 0.9 GB in a process, result of 31.2 GB``.
    """

    n_blocks: int
    n_threads: int
    seconds: float
    memory: float
    size: float

    def __str__(self) -> str:
        return (
            f"{self.n_blocks} blocks, {self.n_threads} at a time: {_time(self.seconds)}, "
            f"{self.memory / 1e9:.1f} GB in a process, result of {_size(self.size)}"
        )


def forecast(obj: xr.DataArray | xr.Dataset) -> Forecast:
    """Tell the time and memory that something lazy will take, from some of its blocks.

    As many blocks as run at a time are computed for what there is to compile, then as many again,
    then twice as many; what the second round took longer is the time of a round. Nothing is kept.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        Lazy, such as ``xga.clr(xga.idw(table, spacing=100.0))``; all its chunks count.

    Returns
    -------
    Forecast

    Raises
    ------
    CubeError
        If nothing in ``obj`` is lazy.

    Notes
    -----
    Blocks at the edge of a survey may cost less than those in its middle; the ones computed lie
    evenly among all. Time and memory are those of the machine, or the cluster, that computes now.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> table = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=2).survey
    >>> told = forecast(xga.idw(table, spacing=500.0, chunks=8))
    >>> told.n_blocks
    16
    """
    dataset = obj.to_dataset(name="cube") if isinstance(obj, xr.DataArray) else obj
    if not isinstance(dataset, xr.Dataset):
        raise CubeError(f"obj is a {type(obj).__name__}; give a lazy DataArray or Dataset")
    lazy = {str(name): v.data for name, v in dataset.variables.items() if v.chunks is not None}
    if not lazy:
        raise CubeError("obj is computed already, or was never lazy: it costs nothing more")
    found = sample(lazy)
    size = sum(array.nbytes for array in lazy.values())
    return Forecast(found.n_places, found.n_threads, found.seconds, found.memory, float(size))


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
