"""What a piece of work costs: wall time, and by how much the process grew meanwhile."""

import threading
import time
from types import TracebackType
from typing import Self

import psutil

EVERY = 0.005  # seconds between looks at the process


class Cost:
    """Context that measures its block.

    Attributes
    ----------
    seconds : float
        Wall time.
    memory_mb : float
        The process's largest resident size in the block above that at its start, in 10^6 bytes.
        Work that reuses memory which the process holds already is not seen, and what the system
        takes away meanwhile, to swap, counts against it.

    Examples
    --------
    >>> with Cost() as cost:
    ...     time.sleep(0.1)
    >>> cost.seconds >= 0.1
    True
    """

    seconds: float
    memory_mb: float

    def __enter__(self) -> Self:
        self._process = psutil.Process()
        self._before = self._most = self._process.memory_info().rss
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._start = time.perf_counter()
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        self._done.set()
        self._watch.join()
        self._most = max(self._most, self._process.memory_info().rss)
        self.memory_mb = (self._most - self._before) / 1e6

    def _look(self) -> None:
        while not self._done.wait(EVERY):
            self._most = max(self._most, self._process.memory_info().rss)
