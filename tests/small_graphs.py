"""Small graphs of cells and superpixels, and dense forms of their convolutions."""

import torch
from torch import nn

from xgeoanom.nets.graph import propagate


def grid_edges(rows, cols, superpixel):
    """Return the 4-neighbour edges inside superpixels, cell by cell."""
    edges = []
    for row in range(rows):
        for col in range(cols):
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                r, c = row + down, col + right
                cell, other = row * cols + col, r * cols + c
                inside = 0 <= r < rows and 0 <= c < cols
                if inside and superpixel[cell] == superpixel[other]:
                    edges.append((cell, other))
    return torch.tensor(edges).reshape(-1, 2).T


def dense(n, edges, weights):
    """Return A ``(n, n)`` with ``A[target, source]``, edge by edge."""
    matrix = torch.zeros(n, n, dtype=torch.float64)
    for (source, target), weight in zip(edges.T.tolist(), weights):
        matrix[target, source] = weight
    return matrix


def normalised(adjacency):
    """Return ``D^-1/2 (A + I) D^-1/2``."""
    loops = adjacency + torch.eye(len(adjacency), dtype=torch.float64)
    scale = torch.diag(loops.sum(dim=1) ** -0.5)
    return scale @ loops @ scale


def external_graph(n, seed=0, share=0.4):
    """Return edges, both ways, of a random graph between ``n`` superpixels, and weights."""
    random = torch.Generator().manual_seed(seed)
    upper = torch.triu(torch.rand(n, n, generator=random) < share, diagonal=1)
    one_way = upper.nonzero().T
    weights = torch.rand(one_way.shape[1], generator=random, dtype=torch.float64)
    return torch.cat([one_way, one_way.flip(0)], dim=1), weights.repeat(2)


def survey(n_elements=5, dtype=torch.float64):
    """Return all inputs of a network on 5 x 6 cells in four superpixels, one of them isolated."""
    superpixel = torch.tensor([0, 0, 0, 1, 1, 1] * 3 + [2, 2, 2, 3, 3, 3] * 2)
    values = torch.randn(30, n_elements, dtype=dtype)
    smoothed = propagate(values, grid_edges(5, 6, superpixel))
    edges = torch.tensor([[0, 1, 0, 2], [1, 0, 2, 0]])
    weights = torch.tensor([0.5, 0.5, 0.9, 0.9], dtype=dtype)
    return values, smoothed, superpixel, edges, weights


def run(network, values, smoothed, superpixel, edges, weights, n_superpixels=4):
    embedding = network.embed(smoothed, superpixel, n_superpixels, edges, weights)
    return network(values, smoothed, embedding[superpixel])


def randomise_norms(network):
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return network
