"""Inverse-distance weighting of many elements at once, over tiles of cells that share a search.

A kd-tree answers one search for a whole tile: the k nearest samples of any of its cells lie
within the k-th distance of the tile's centre plus the tile's diagonal. Where samples are sparse,
the cells of a tile then run as lanes: loops end in one over contiguous cells, which the compiler
vectorises. Where they are dense, each cell picks its own few, and loops run over samples.
"""

import numpy as np

from xgeoanom.kernels.neighbors import SLACK, gather, jit, kth_distance, place

TILE = 8  # cells a side
# Candidates of a tile, in multiples of k: up to the first bound its cells share them as lanes, up
# to the second each cell picks its own; beyond, or where a tile is so many k-th distances wide,
# it is cut. Measured at 0.01 to 2 samples a cell.
SHARED, CROWDED, WIDE = 8, 40, 3.0


@jit
def _half_diagonal(tree, y, x):
    """Return the distance from a tile's centre to its farthest cell."""
    dy, dx = (y[-1] - y[0]) / 2, (x[-1] - x[0]) / 2
    rising, falling = place(tree, dy, dx), place(tree, dy, -dx)
    return max(np.hypot(rising[0], rising[1]), np.hypot(falling[0], falling[1]))


@jit
def _candidates(tree, y, x, half, k, max_distance, limit, found, last):
    """Write all samples that a cell of the tile may need to ``found``; return how many.

    ``last`` holds the previous tile's centre and k-th distance, which bound this one's.
    """
    cy, cx = place(tree, (y[0] + y[-1]) / 2, (x[0] + x[-1]) / 2)
    bound = min(last[2] + np.hypot(cy - last[0], cx - last[1]), max_distance + half)
    radius = np.sqrt(kth_distance(tree, cx, cy, k, (bound * SLACK) ** 2))
    last[0], last[1], last[2] = cy, cx, radius
    reach = min(radius + 2 * half, max_distance + half)
    return gather(tree, cx, cy, (reach * SLACK) ** 2, limit, found)


@jit
def _squared_distances(tree, found, y, x):
    """Return squared distances (candidate, cell), and the nearest sample's (cell,)."""
    width = len(x)
    cells = len(y) * width
    cell_y, cell_x, nearest = np.empty(cells), np.empty(cells), np.empty(cells)
    for cell in range(cells):
        cell_y[cell], cell_x[cell] = place(tree, y[cell // width], x[cell % width])
        nearest[cell] = np.inf
    distances = np.empty((len(found), cells))
    for c in range(len(found)):
        sample_y, sample_x = tree.y[found[c]], tree.x[found[c]]
        for cell in range(cells):
            dy, dx = cell_y[cell] - sample_y, cell_x[cell] - sample_x
            d = dy * dy + dx * dx
            distances[c, cell] = d
            nearest[cell] = d if d < nearest[cell] else nearest[cell]
    return distances, nearest


@jit
def _farthest(distances, k, limit):
    """Return each cell's k-th least distance, or ``limit`` if that is less."""
    farthest = np.empty(distances.shape[1])
    farthest[:] = limit
    if len(distances) > k:
        kth = _kth(distances, k)
        for cell in range(len(farthest)):
            farthest[cell] = min(kth[cell], limit)
    return farthest


@jit
def _kth(distances, k):
    """Return the k-th least of each column, all cells at once.

    An insertion sort without branches that keeps the k least or, where those are fewer, the
    greatest from the k-th on (by changing signs). Two candidates a pass halve the traffic.
    """
    m, cells = distances.shape
    rank, sign = (k, 1.0) if 2 * k <= m else (m - k + 1, -1.0)
    kept = np.empty((rank, cells))
    kept[:] = np.inf
    lower, upper = np.empty(cells), np.empty(cells)
    for c in range(0, m, 2):
        for cell in range(cells):
            a = sign * distances[c, cell]
            b = sign * distances[c + 1, cell] if c + 1 < m else np.inf
            lower[cell], upper[cell] = (a, b) if a < b else (b, a)
        for j in range(min(c + 2, rank)):
            for cell in range(cells):
                here, low, high = kept[j, cell], lower[cell], upper[cell]
                kept[j, cell] = here if here < low else low
                rest = low if here < low else here
                lower[cell] = rest if rest < high else high
                upper[cell] = high if rest < high else rest
    return sign * kept[rank - 1]


@jit
def _weights(distances, nearest, limit, power, least):
    """Turn squared distances into weights, 0 beyond ``limit``; return them and 1 / their sum.

    Relative to the nearest sample no power overflows, and at no distance the others weigh 0. The
    sum is NaN where fewer than ``least`` samples are in reach.
    """
    total, count = np.zeros(len(nearest)), np.zeros(len(nearest))
    for c in range(len(distances)):
        for cell in range(len(nearest)):
            d = distances[c, cell]
            w = nearest[cell] / d if d > nearest[cell] else 1.0
            distances[c, cell] = w if d <= limit[cell] else 0.0
            count[cell] += d <= limit[cell]
        if power != 2.0:
            for cell in range(len(nearest)):
                if 0.0 < distances[c, cell] < 1.0:
                    distances[c, cell] **= power / 2
        for cell in range(len(nearest)):
            total[cell] += distances[c, cell]
    for cell in range(len(nearest)):
        if count[cell] < least:
            total[cell] = np.nan
    return distances, 1 / total


@jit
def _average(values, found, weights, scale, elements, out):
    """Write the weighted means of the candidates' values to the tile ``out`` (layer, y, x)."""
    mean = np.empty(len(scale))
    width = out.shape[2]
    for e in range(len(elements)):
        mean[:] = 0.0
        for c in range(len(found)):
            value = values[found[c], e]
            for cell in range(len(mean)):
                mean[cell] += weights[c, cell] * value
        for i in range(out.shape[1]):
            for j in range(width):
                out[elements[e], i, j] = mean[i * width + j] * scale[i * width + j]


@jit
def _fill(tree, y, x, elements, out, rule, found, last):
    """Interpolate one tile; where samples are so dense that cells share few, in quarters.

    The k-th distance of the previous tile tells, mostly, and spares a search.
    """
    k, _, _, max_distance = rule
    single = len(y) * len(x) == 1
    limit = len(found) if single else CROWDED * k
    half_diagonal = _half_diagonal(tree, y, x)
    if single or half_diagonal <= WIDE * last[2]:
        m = _candidates(tree, y, x, half_diagonal, k, max_distance, limit, found, last)
        if m <= SHARED * k and not single:
            _fill_lanes(tree, y, x, elements, out, rule, found[:m])
            return
        if m <= limit:
            _fill_cells(tree, y, x, elements, out, rule, found[:m], last)
            return
    half = (max(len(y), len(x)) + 1) // 2
    for i in range(0, len(y), half):
        for j in range(0, len(x), half):
            rows, cols, part = y[i : i + half], x[j : j + half], out[:, i : i + half, j : j + half]
            _fill(tree, rows, cols, elements, part, rule, found, last)


@jit
def _fill_lanes(tree, y, x, elements, out, rule, found):
    """Interpolate all cells of a tile at once from the candidates that they share."""
    k, least, power, max_distance = rule
    distances, nearest = _squared_distances(tree, found, y, x)
    farthest = _farthest(distances, k, max_distance * max_distance)
    weights, scale = _weights(distances, nearest, farthest, power, least)
    _average(tree.values, found, weights, scale, elements, out)


@jit
def _fill_cells(tree, y, x, elements, out, rule, found, last):
    """Interpolate a tile cell by cell, from candidates of which each cell needs few.

    The nearest samples of one cell bound the search of the next.
    """
    k, least, power, max_distance = rule
    ys, xs = tree.y[found], tree.x[found]
    squared, weights, near = np.empty(len(found)), np.empty(len(found)), np.empty_like(found)
    n = 0
    for i in range(len(y)):
        for j in range(len(x)):
            cy, cx = place(tree, y[i], x[j])
            bound = ((last[2] + np.hypot(cy - last[0], cx - last[1])) * SLACK) ** 2
            if n >= k:
                bound = min(bound, _spread(ys, xs, near[:n], cy, cx))
            n = _within(ys, xs, cy, cx, min(bound, max_distance**2), squared, near)
            n = _keep_nearest(squared, near, n, k, weights)
            scale = 1 / _weigh(squared[:n], power, weights) if n >= least else np.nan
            for e in range(len(elements)):
                mean = 0.0
                for c in range(n):
                    mean += weights[c] * tree.values[found[near[c]], e]
                out[elements[e], i, j] = mean * scale


@jit
def _spread(ys, xs, near, y, x):
    """Return the largest squared distance to some samples."""
    largest = 0.0
    for c in near:
        dy, dx = ys[c] - y, xs[c] - x
        largest = max(largest, dy * dy + dx * dx)
    return largest


@jit
def _within(ys, xs, y, x, bound, squared, near):
    """Write the samples within a squared distance, and theirs; return how many."""
    for c in range(len(ys)):
        dy, dx = ys[c] - y, xs[c] - x
        squared[c] = dy * dy + dx * dx
    n = 0
    for c in range(len(ys)):  # without branches: they could not be foreseen
        d = squared[c]
        squared[n] = d
        near[n] = c
        n += d <= bound
    return n


@jit
def _keep_nearest(squared, near, n, k, copy):
    """Keep those of ``n`` samples to which fewer than ``k`` are nearer; return how many.

    Comparing each with each needs no branches, which makes it faster than sorting a few.
    """
    copy[:n] = squared[:n]
    kept = 0
    for c in range(n):
        d = copy[c]
        nearer = 0
        for other in range(n):
            nearer += copy[other] < d
        squared[kept] = d
        near[kept] = near[c]
        kept += nearer < k
    return kept


@jit
def _weigh(squared, power, weights):
    """Write weights relative to the nearest sample, as for lanes; return their sum."""
    nearest = np.inf
    for d in squared:
        nearest = min(nearest, d)
    total = 0.0
    for c in range(len(squared)):
        w = nearest / squared[c] if squared[c] > nearest else 1.0
        weights[c] = w if power == 2.0 or w == 0.0 else w ** (power / 2)
        total += weights[c]
    return total


@jit
def interpolate(tree, y, x, elements, out, rule):
    """Write the weighted means at the cells ``y``, ``x`` to the layers ``elements`` of ``out``.

    ``out`` is ``(layer, y, x)``; column ``e`` of the tree's values goes to ``out[elements[e]]``.
    ``rule`` is ``(n_neighbors, min_neighbors, power, max_distance)``. Samples as far as the
    ``n_neighbors``-th count too, so that no result depends on their order.
    """
    y, x = y - tree.origin[1], x - tree.origin[0]
    found = np.empty(len(tree.x), np.int64)
    last = np.array([0.0, 0.0, np.inf])
    for i in range(0, len(y), TILE):
        for j in range(0, len(x), TILE):
            rows, cols, part = y[i : i + TILE], x[j : j + TILE], out[:, i : i + TILE, j : j + TILE]
            _fill(tree, rows, cols, elements, part, rule, found, last)


@jit
def interpolate_at(tree, y, x, elements, out, rule):
    """Write the weighted means at the places ``(y[i], x[i])`` to ``out`` (layer, place, 1)."""
    y, x = y - tree.origin[1], x - tree.origin[0]
    found = np.empty(len(tree.x), np.int64)
    last = np.array([0.0, 0.0, np.inf])
    for i in range(len(y)):
        one = slice(i, i + 1)
        _fill(tree, y[one], x[one], elements, out[:, one], rule, found, last)
