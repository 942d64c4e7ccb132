"""Ordinary kriging from the nearest samples, eight cells at a time.

The cells of a group are lanes: each loop below ends in one over them, which the compiler
vectorises. The cell is the last row of the covariances of its neighbours, so that one Cholesky
factor holds both the samples' and, as its last row and pivot, the cell's part of the solution.
Where C is the neighbours' covariance, c theirs with the cell and C = L L', the weights are
``C^-1 (c + m 1)`` with the Lagrange multiplier ``m = (1 - 1'C^-1 c) / 1'C^-1 1``, and the variance
is ``sill - c'C^-1 c + m (1 - 1'C^-1 c)`` (Cressie 1993, section 3.2, in terms of covariances).
"""

import numpy as np

from xgeoanom.kernels.covariance import structured
from xgeoanom.kernels.neighbors import jit, nearest, place

LANES = 8
# A neighbour whose variance, the nearer ones known, is this share of the sill is known already.
REDUNDANT = 1e-10


@jit
def _reach(tree, y, x, found):
    """Return the squared distance within which all of some samples lie; inf if some are missing."""
    farthest = 0.0
    for i in found:
        if i == len(tree.x):
            return np.inf
        farthest = max(farthest, (tree.x[i] - x) ** 2 + (tree.y[i] - y) ** 2)
    return farthest


@jit
def _search(tree, y, x, max_distance, found):
    """Write the nearest samples of each cell to ``found`` (lane, k), ``len(tree.x)`` for none.

    It holds those of the cells before, of which the last one's bound the search.
    """
    distances = np.empty(found.shape[1])
    for lane in range(len(x)):
        reach = _reach(tree, y[lane], x[lane], found[lane - 1])
        within = min(reach, max_distance * max_distance)
        nearest(tree, x[lane], y[lane], within, found[lane], distances)


@jit
def _places(tree, y, x, found):
    """Return where the neighbours and, in the last row, the cells lie: y and x (k + 1, lane)."""
    k = found.shape[1]
    places = np.zeros((2, k + 1, LANES))
    for lane in range(len(x)):
        places[:, :, lane] = 0.0
        for i in range(k):
            if found[lane, i] < len(tree.x):
                places[0, i, lane] = tree.y[found[lane, i]] - y[lane]
                places[1, i, lane] = tree.x[found[lane, i]] - x[lane]
    return places


@jit
def _covariances(covariance, places):
    """Return the covariances below the diagonal, row by row: (pair, lane)."""
    size = places.shape[1]
    offsets = np.empty((2, size * (size - 1) // 2, LANES))
    pair = 0
    for i in range(size):
        for j in range(i):
            for axis in range(2):
                for lane in range(LANES):
                    offsets[axis, pair, lane] = places[axis, i, lane] - places[axis, j, lane]
            pair += 1
    lower = np.empty((pair, LANES))
    structured(covariance, offsets[1].ravel(), offsets[0].ravel(), lower.ravel())
    return lower


@jit
def _factorise(lower, pivots, least):
    """Turn covariances into their Cholesky factor, in place; return its diagonal's inverse.

    ``lower`` (pair, lane) stands below the diagonal ``pivots`` (row, lane), which are left as the
    variances of each row, those above it known. A row that has none left gets an inverse of 0,
    which leaves it out of all that follows; so does a neighbour that is missing.
    """
    inverse = np.zeros(pivots.shape)
    for i in range(len(pivots)):
        row = lower[i * (i - 1) // 2 :]
        for j in range(i):
            above = lower[j * (j - 1) // 2 :]
            for p in range(j):
                for lane in range(LANES):
                    row[j, lane] -= row[p, lane] * above[p, lane]
            for lane in range(LANES):
                row[j, lane] *= inverse[j, lane]
                pivots[i, lane] -= row[j, lane] * row[j, lane]
        for lane in range(LANES):
            left = pivots[i, lane]
            inverse[i, lane] = 1 / np.sqrt(left) if left > least else 0.0
    return inverse


@jit
def _lagrange(lower, inverse, cell):
    """Return ``v = L^-1 1`` (k, lane), ``1 - 1'C^-1 c`` and the Lagrange multiplier (lane,)."""
    k = len(inverse) - 1
    v = np.ones((k, LANES))
    lacking, total = np.ones(LANES), np.zeros(LANES)
    for i in range(k):
        row = lower[i * (i - 1) // 2 :]
        for j in range(i):
            for lane in range(LANES):
                v[i, lane] -= row[j, lane] * v[j, lane]
        for lane in range(LANES):
            v[i, lane] *= inverse[i, lane]
            lacking[lane] -= cell[i, lane] * v[i, lane]
            total[lane] += v[i, lane] * v[i, lane]
    return v, lacking, lacking / total


@jit
def _weigh(lower, inverse, weights):
    """Turn ``L^-1 (c + m 1)`` (k, lane) into the weights, in place, by back substitution."""
    for i in range(len(weights) - 1, -1, -1):
        row = lower[i * (i - 1) // 2 :]
        for lane in range(LANES):
            weights[i, lane] *= inverse[i, lane]
        for j in range(i):
            for lane in range(LANES):
                weights[j, lane] -= row[j, lane] * weights[i, lane]


@jit
def _solve(tree, covariance, sill, y, x, found):
    """Return the weights (k, lane), kriging variance and Lagrange multiplier (lane,) of cells."""
    k = found.shape[1]
    lower = _covariances(covariance, _places(tree, y, x, found))
    pivots = np.full((k + 1, LANES), sill)
    for lane in range(LANES):
        for i in range(k):
            if found[lane, i] == len(tree.x):
                pivots[i, lane] = 0.0
    inverse = _factorise(lower, pivots, REDUNDANT * sill)
    cell = lower[k * (k - 1) // 2 :]
    v, lacking, multiplier = _lagrange(lower, inverse, cell)
    weights = cell + multiplier * v
    _weigh(lower, inverse, weights)
    return weights, np.maximum(pivots[k], 0.0) + multiplier * lacking, multiplier


@jit
def _average(values, found, weights, layers, out):
    """Write the weighted sums of one cell's neighbours to ``out`` (layer,); NaN without any."""
    for e in range(len(layers)):
        total = 0.0 if found[0] < len(values) else np.nan
        for i in range(len(found)):
            if found[i] == len(values):
                break
            total += weights[i] * values[found[i], e]
        out[layers[e]] = total


@jit
def krige_at(tree, covariance, y, x, layers, out, variance, multiplier, n_neighbors, max_distance):
    """Write the estimates at the places ``(y[i], x[i])`` to rows ``layers`` of ``out``.

    ``out`` is ``(layer, place)``; column ``e`` of the tree's values goes to ``out[layers[e]]``.
    ``variance`` and ``multiplier`` ``(place,)`` get the kriging variance and the Lagrange
    multiplier. ``covariance`` holds for the tree's space. All are NaN where no sample lies within
    ``max_distance``. On a sample the estimate is the limit of what surrounds it: the sample's
    value where the nugget is 0.
    """
    sill = covariance.nugget + covariance.partial_sills.sum()
    found = np.full((LANES, n_neighbors), len(tree.x))
    ys, xs = np.empty(LANES), np.empty(LANES)
    for start in range(0, len(x), LANES):
        n = min(LANES, len(x) - start)
        for lane in range(n):
            dy, dx = y[start + lane] - tree.origin[1], x[start + lane] - tree.origin[0]
            ys[lane], xs[lane] = place(tree, dy, dx)
        _search(tree, ys[:n], xs[:n], max_distance, found)
        weights, variances, multipliers = _solve(tree, covariance, sill, ys[:n], xs[:n], found)
        for lane in range(n):
            i = start + lane
            _average(tree.values, found[lane], weights[:, lane], layers, out[:, i])
            empty = found[lane, 0] == len(tree.x)
            variance[i] = np.nan if empty else variances[lane]
            multiplier[i] = np.nan if empty else multipliers[lane]
