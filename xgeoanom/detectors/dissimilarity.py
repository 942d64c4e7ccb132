"""Scoring pixel pairs in batches of bounded size, and the labelled spectra to compare with."""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from xgeoanom.kernels.pairs import first_cursor, next_pairs

# Pairs scored at once: large enough to feed the kernels, small enough to stay in cache.
BATCH = {"cpu": 1024, "cuda": 65536}


class Dissimilarity:
    """p(dissimilar) of pairs of rows of ``spectra`` (cell, element), on the network's device."""

    def __init__(
        self,
        network: nn.Module,
        spectra: np.ndarray,
        pair: Callable[[Tensor, Tensor], Tensor],
        dtype: torch.dtype,
    ) -> None:
        self.device = next(network.parameters()).device
        self.batch = BATCH[self.device.type]
        self.network = network if dtype == torch.float32 else copy.deepcopy(network).to(dtype)
        self.spectra = torch.from_numpy(np.ascontiguousarray(spectra)).to(self.device)
        self.pair, self.dtype = pair, dtype

    @torch.inference_mode()
    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the scores of the pairs ``(first[k], second[k])``."""
        a, b = (self.spectra[torch.from_numpy(ends).to(self.device)] for ends in (first, second))
        logits = self.network(self.pair(a, b).to(self.dtype))
        return torch.sigmoid(logits.float()).cpu().numpy()


def batches(
    valid: np.ndarray, halo: int, offsets: np.ndarray, both: bool, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pairs of a block, ``size`` at a time, as flat cell indices."""
    cursor = first_cursor(offsets)
    first, second = np.empty((2, size), dtype="int64")
    while (n := next_pairs(valid, halo, offsets, both, cursor, first, second)) > 0:
        yield first[:n], second[:n]


def prototypes_of(network: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Return labelled spectra and weights that sum to 1 over background, to -1 over ore."""
    ore, rest = (network.get_buffer(name).cpu().numpy() for name in ("mineralised", "background"))
    weights = np.repeat([1 / len(rest), -1 / len(ore)], [len(rest), len(ore)])
    return np.concatenate([rest, ore]), weights.astype("float32")


def split(cells: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Cut cells into runs of ``size``."""
    return (cells[start : start + size] for start in range(0, len(cells), size))
