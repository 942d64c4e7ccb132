"""Where a network runs: chosen when a block runs, one user at a time per GPU."""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator

import torch

from xgeoanom.errors import XGeoAnomError

_LOCKS: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)  # one per GPU


def choose(device: str | None = None) -> torch.device:
    """Return ``device`` if given, else the GPU where there is one, else the CPU.

    Of several GPUs it is the first that the process sees; dask-cuda shows each worker another.
    """
    if device is not None:
        try:
            chosen = torch.device(device)
            torch.empty(0, device=chosen)  # told of one that is not there
        except (RuntimeError, AssertionError, TypeError) as error:
            raise XGeoAnomError(
                f"device={device!r} cannot be used; take 'cpu', 'cuda', or None to choose"
            ) from error
        return chosen
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Run on ``device`` alone: one lock per GPU in a process, one thread on a CPU.

    Blocks and training runs come on threads of their own. A second OpenMP thread in each makes
    them wait for each other: beside a busy core it was seen to run 14 to 29 times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _LOCKS[str(device)] if device.type == "cuda" else contextlib.nullcontext():
            yield
    finally:
        torch.set_num_threads(threads)
