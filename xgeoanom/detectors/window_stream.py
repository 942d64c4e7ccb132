"""Windows of a survey that may be larger than memory, read block by block while others are learnt.

The windows of some blocks are mixed; meanwhile those of the next are read. An epoch of a large
survey visits some of its blocks, and each epoch others: memory stays that of a few blocks.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from xgeoanom.blocks import read_block
from xgeoanom.detectors.block_windows import windows_of

SIDE = 128  # cells of a block: 40 bands of it are 3 MB
POOL = 8  # blocks whose windows are mixed


class WindowStream:
    """Standardised windows around the known cells of a cube, by the numbers of these cells.

    Parameters
    ----------
    cube : numpy or dask array
        ``(element, y, x)``.
    known : numpy.ndarray
        Mask ``(y, x)`` of the cells around which windows lie.
    standardise : callable
        What is learnt from of ``(element, y, x)``: float32, NaN where missing.
    halo : int
        Cells of a window on each side of its middle.
    most : int
        Windows of an epoch, at most.

    Notes
    -----
    The number of a cell is ``row * columns + column``. It is a context: leaving it ends its thread.

    Examples
    --------
    >>> cube = np.arange(12.0).reshape(1, 3, 4)
    >>> with WindowStream(cube, cube[0] > 0, np.float32, halo=1, most=100) as stream:
    ...     n_windows, middles = len(stream), stream.windows(torch.tensor([5, 1]))[:, 0, 1, 1]
    >>> n_windows, middles
    (11, tensor([5., 1.]))
    """

    def __init__(
        self,
        cube: Any,
        known: np.ndarray,
        standardise: Callable[[np.ndarray], np.ndarray],
        *,
        halo: int,
        most: int,
    ) -> None:
        self._cube, self.known = cube, known
        self._standardise, self._halo = standardise, halo
        self._n_columns = -(-known.shape[1] // SIDE)
        n_blocks = -(-known.shape[0] // SIDE) * self._n_columns
        self._sizes = np.array([known[self._box(k)].sum() for k in range(n_blocks)])
        self._most = min(most, int(self._sizes.sum()))
        self._groups: list[list[int]] = []
        self._held: dict[int, Future[np.ndarray]] = {}
        self._reader = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.shutdown(cancel_futures=True)

    def __len__(self) -> int:
        """Return how many windows an epoch has."""
        return self._most

    @property
    def most_bytes(self) -> int:
        """Return what the blocks in memory take, at most: a pool, the next, some of the last."""
        side = SIDE + 2 * self._halo
        return min(3 * POOL, len(self._sizes)) * self._cube.shape[0] * side**2 * 4

    def order(self, generator: torch.Generator) -> Tensor:
        """Draw the cells of an epoch, those of some blocks after those of others."""
        blocks = torch.randperm(len(self._sizes), generator=generator).numpy()
        blocks = blocks[self._sizes[blocks] > 0]
        n_visited = int(np.searchsorted(self._sizes[blocks].cumsum(), self._most)) + 1
        visited = blocks[:n_visited].tolist()
        self._groups = [visited[k : k + POOL] for k in range(0, len(visited), POOL)]
        mixed = []
        for group in self._groups:
            cells = torch.from_numpy(np.concatenate([self._cells(block) for block in group]))
            mixed.append(cells[torch.randperm(len(cells), generator=generator)])
        return torch.cat(mixed)[: self._most]

    def windows(self, cells: Tensor) -> Tensor:
        """Return the windows ``(b, element, side, side)`` around some cells."""
        rows, cols = np.divmod(cells.numpy(), self.known.shape[1])
        block_of = rows // SIDE * self._n_columns + cols // SIDE
        wanted = np.unique(block_of)
        self._read_ahead(wanted)
        side = 2 * self._halo + 1
        found = np.empty((len(cells), side, side, self._cube.shape[0]), dtype="float32")
        for block in wanted:
            here = block_of == block
            corner = self._box(block)
            at = rows[here] - corner[0].start, cols[here] - corner[1].start
            found[here] = windows_of(self._held[block].result(), side)[at]
        return torch.from_numpy(found).permute(0, 3, 1, 2)

    def some(self, n: int, rng: np.random.Generator) -> Tensor:
        """Return the windows around ``n`` cells, or around all, drawn from some blocks."""
        blocks = rng.permutation(np.flatnonzero(self._sizes))[:POOL]
        cells = np.concatenate([self._cells(block) for block in blocks])
        drawn = rng.choice(cells, size=min(n, len(cells)), replace=False)
        return self.windows(torch.from_numpy(np.sort(drawn)))

    def _read_ahead(self, wanted: Iterable[int]) -> None:
        """Have blocks read: what is wanted, its group and the next; forget others but a few."""
        wanted = [int(block) for block in wanted]
        soon = list(wanted)
        for group, following in pairwise([*self._groups, []]):
            if set(group) & set(wanted):
                soon += group + following
        if len(self._held.keys() | set(soon)) > 3 * POOL:
            self._held = {block: one for block, one in self._held.items() if block in soon}
        for block in soon:
            if block not in self._held:
                self._held[block] = self._reader.submit(self._read, block)

    def _read(self, block: int) -> np.ndarray:
        """Return a standardised block with its halo, elements last: windows copy row by row."""
        values = self._standardise(read_block(self._cube, *self._box(block), halo=self._halo))
        return np.ascontiguousarray(np.moveaxis(values, 0, -1), dtype="float32")

    def _box(self, block: int) -> tuple[slice, slice]:
        corner = np.array(divmod(int(block), self._n_columns)) * SIDE
        end = np.minimum(corner + SIDE, self.known.shape)
        return slice(int(corner[0]), int(end[0])), slice(int(corner[1]), int(end[1]))

    def _cells(self, block: int) -> np.ndarray:
        rows, cols = self._box(block)
        at = np.nonzero(self.known[rows, cols])
        return (at[0] + rows.start) * self.known.shape[1] + at[1] + cols.start
