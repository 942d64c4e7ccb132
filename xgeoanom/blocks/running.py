"""Where lazy work runs: on dask's threads, or on the cluster that is connected."""

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import dask
import numpy as np
import psutil
from dask.base import get_scheduler
from dask.callbacks import Callback
from dask.core import flatten
from dask.system import CPU_COUNT
from threadpoolctl import OpenBLASController, ThreadpoolController
from tqdm.auto import tqdm


def on_cluster() -> Any | None:
    """Return the client of the ``dask.distributed`` cluster on which dask computes now, if any."""
    client = getattr(get_scheduler(), "__self__", None)
    return client if hasattr(client, "scheduler_info") else None


def on_threads() -> AbstractContextManager[Any]:
    """Return a context in which dask computes in this process, cluster or not."""
    return dask.config.set(scheduler="threads")


def n_threads() -> int:
    """Return how many blocks are worked on at a time."""
    client = on_cluster()
    return CPU_COUNT if client is None else max(sum(client.nthreads().values()), 1)


def memory_each() -> float:
    """Return the bytes of memory that there are for each thread."""
    client = on_cluster()
    if client is None:
        return psutil.virtual_memory().total / CPU_COUNT
    workers = client.scheduler_info()["workers"].values()
    # A worker without a limit says None.
    shares = ((each["memory_limit"] or np.inf) / each["nthreads"] for each in workers)
    return min(shares, default=np.inf)


class _OneBlasThread(AbstractContextManager[None]):
    """Keeps numpy's and scipy's linear algebra to one thread while any block is worked on.

    Dask has a thread for each core already. The limit is that of the process, so that the first
    block to begin sets it and the last to end lifts it.
    """

    def __init__(self) -> None:
        self._lock, self._within = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            self._within += 1
            if self._within == 1:
                _open_to_all()
                self._limit = _libraries().limit(limits=1, user_api="blas")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0:
                _open_to_all()
                self._limit.restore_original_limits()
                _open_to_all()


def _open_to_all() -> None:
    """Let any thread set the limit of OpenBLAS; else only the one that did so first can."""
    OpenBLASController.clear_controlling_thread(force=True)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # takes milliseconds to look around


_ONE_BLAS_THREAD = _OneBlasThread()


def one_blas_thread() -> AbstractContextManager[None]:
    """Return a context without threads in linear algebra; a function, since it travels."""
    return _ONE_BLAS_THREAD


def compute(jobs: Sequence[Any]) -> list[Any]:
    """Compute delayed ``jobs``, with a bar in a terminal or notebook; the first error ends all."""
    return compute_in_turn([jobs])[0]


def compute_in_turn(rounds: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Compute delayed jobs like :func:`compute`, one round after the other, with one bar."""
    client = on_cluster()
    keys = [set(flatten([job.__dask_keys__() for job in jobs])) for jobs in rounds]
    disable = None if client is not None else not sys.stdout.isatty()
    with tqdm(total=sum(map(len, keys)), unit="block", disable=disable) as bar:
        if client is not None:
            return [_on_cluster(client, jobs, bar) for jobs in rounds]
        return [_here(jobs, bar, ours) for jobs, ours in zip(rounds, keys, strict=True)]


def _here(jobs: Sequence[Any], bar: tqdm, keys: set[Any]) -> list[Any]:
    with Callback(posttask=lambda key, *_: bar.update(key in keys)):
        return list(dask.compute(*jobs))


def _on_cluster(client: Any, jobs: Sequence[Any], bar: tqdm) -> list[Any]:
    from distributed import as_completed  # an extra: there if a cluster is

    futures = client.compute(list(jobs))
    try:
        results = {}
        # Each result comes as it is there: a worker lost later takes none along.
        for future, result in as_completed(futures, with_results=True):
            # What was cancelled, by a restart say, would pass for a result.
            results[future.key] = future.result() if future.cancelled() else result
            bar.update()
        return [results[future.key] for future in futures]
    finally:
        if client.status == "running":
            client.cancel(futures)


def run_all(func: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call ``func`` with each tuple of arguments, on dask's threads, and return the results."""
    jobs = [dask.delayed(func, pure=False)(*task) for task in tasks]
    return list(dask.compute(*jobs, scheduler="threads", num_workers=CPU_COUNT))
