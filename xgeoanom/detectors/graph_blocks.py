"""Blocks of a survey through a superpixel network: sums over superpixels, and maps of cells."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xgeoanom.detectors.region_graph import neighbor_edges

if TYPE_CHECKING:
    from xgeoanom.detectors.sgcn import SGCN

TILE = 8192  # cells at a time: 60 MB of the 1DCNN's units


@torch.inference_mode()
def pooled_block(
    block: np.ndarray, ids: np.ndarray, detector: "SGCN"
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the superpixels of a block, and for each network sums over their cells."""
    halo = detector.footprint.halo
    here = torch.device("cpu")
    _, smoothed, found, _ = _smoothed_block(detector.standardise(block), ids, halo, here)
    names, member = np.unique(found, return_inverse=True)
    index = torch.from_numpy(member)
    sums = []
    for network in detector.networks_:
        dual: Any = network
        total = torch.zeros(len(names), dual.internal.out_features + 1, dtype=torch.float64)
        for part in torch.arange(len(index)).split(TILE):
            total += dual.pool.sums(dual.internal(smoothed[part]), index[part], len(names))
        sums.append(total.numpy())
    return names, sums


def over_block(
    func: Callable[..., Tensor],
    block: np.ndarray,
    ids: np.ndarray,
    embedding: np.ndarray | None,
    *,
    halo: int,
    where: torch.device,
    layers: int = 1,
) -> np.ndarray:
    """Return ``func(values, smoothed, embedded)`` of a block's cells, ``(layers, y, x)``."""
    values, smoothed, member, places = _smoothed_block(block, ids, halo, where)
    maps = np.full((layers, len(ids) - 2 * halo, ids.shape[1] - 2 * halo), np.nan, "float32")
    for part in np.array_split(np.arange(len(member)), -(-len(member) // TILE) or 1):
        embedded = None if embedding is None else torch.from_numpy(embedding[member[part]])
        found = func(values[part], smoothed[part], None if embedded is None else embedded.to(where))
        rows, cols = places[0][part], places[1][part]
        maps[:, rows, cols] = torch.atleast_2d(found).cpu().numpy()
    return maps


def _smoothed_block(
    block: np.ndarray, ids: np.ndarray, halo: int, where: torch.device
) -> tuple[Tensor, Tensor, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return values and smoothed values of a block's cells inside the halo, ids and places."""
    from xgeoanom.nets.graph import propagate

    known = np.isfinite(ids) & (ids >= 0)
    number = np.cumsum(known.ravel()) - 1
    whole = np.where(known, ids, -1).astype("int64")
    values = torch.from_numpy(np.ascontiguousarray(block[:, known].T)).to(where)
    neighbors = torch.from_numpy(number[neighbor_edges(whole)]).to(where)
    smoothed = propagate(values, neighbors) if halo else values
    inside = np.zeros_like(known)
    inside[halo : len(ids) - halo, halo : ids.shape[1] - halo] = True
    places = np.nonzero(known & inside)
    chosen = torch.from_numpy(number[np.ravel_multi_index(places, ids.shape)]).to(where)
    return values[chosen], smoothed[chosen], whole[places], (places[0] - halo, places[1] - halo)
