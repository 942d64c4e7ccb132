"""Inverse-distance weighting of many elements at once, over tiles of cells that share a search.

A kd-tree answers one search for a whole tile: the k nearest samples of any of its cells lie
within the k-th distance of the tile's centre plus the tile's diagonal. The cells of a tile then
run as lanes: each loop below ends in one over contiguous cells, which the compiler vectorises.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

LEAF = 12  # samples in a leaf, at most
TILE = 8  # cells a side
ROOT = 1  # node i has the children 2 i and 2 i + 1
DEPTH = 64  # of a stack: more than any tree needs
SLACK = 1 + 1e-9  # rounding must not lose the k-th sample

jit = njit(nogil=True, error_model="numpy")


class Tree(NamedTuple):
    """A kd-tree over ``n`` samples that carry the values of some elements."""

    x: np.ndarray  # (n,) distances from the origin, in tree order: a node's samples are adjacent
    y: np.ndarray  # (n,)
    values: np.ndarray  # (n, element)
    boxes: np.ndarray  # (node, 4): xmin, xmax, ymin, ymax
    origin: np.ndarray  # (2,) x, y: large northings lose digits when they are squared


def build_tree(x: np.ndarray, y: np.ndarray, values: np.ndarray) -> Tree:
    """Return the tree over samples at ``x``, ``y`` ``(n,)`` with ``values`` ``(n, element)``."""
    origin = np.round([x.mean(), y.mean()])  # whole: equal distances stay equal
    x, y = x - origin[0], y - origin[1]
    levels = max(math.ceil(math.log2(len(x) / LEAF)), 0)
    boxes = np.empty((2 << levels, 4))
    order = _split(x, y, levels, boxes)
    return Tree(x[order], y[order], np.ascontiguousarray(values[order], "float64"), boxes, origin)


@jit
def _split(x, y, levels, boxes):
    """Return the order of samples in ``2**levels`` leaves; fill the boxes of all nodes."""
    n = len(x)
    order = np.arange(n)
    for level in range(levels + 1):
        for j in range(1 << level):
            start, stop = (j * n) >> level, ((j + 1) * n) >> level
            box = boxes[(1 << level) + j]
            box[0] = box[2] = np.inf
            box[1] = box[3] = -np.inf
            for i in order[start:stop]:
                box[0], box[1] = min(box[0], x[i]), max(box[1], x[i])
                box[2], box[3] = min(box[2], y[i]), max(box[3], y[i])
            if level < levels:
                longer = x if box[1] - box[0] > box[3] - box[2] else y
                _halve(order, longer, start, ((2 * j + 1) * n) >> (level + 1), stop)
    return order


@jit
def _halve(order, along, first, middle, stop):
    """Reorder the samples from ``first`` to ``stop``: none before ``middle`` lies past it."""
    last = stop - 1
    while first < last:
        pivot = along[order[(first + last) // 2]]
        i, j = first, last
        while i <= j:
            while along[order[i]] < pivot:
                i += 1
            while along[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i, j = i + 1, j - 1
        if j < middle < i:
            return
        first, last = (first, j) if middle <= j else (i, last)


@jit
def _samples(tree, node):
    """Return the range of samples in a leaf, or none in a node that has children."""
    n, leaves = len(tree.x), len(tree.boxes) // 2
    leaf = node - leaves
    return range(leaf * n // leaves, (leaf + 1) * n // leaves) if leaf >= 0 else range(0)


@jit
def _box_distance(tree, node, x, y):
    """Return the squared distance from a point to the samples' bounding box."""
    box = tree.boxes[node]
    dx = max(box[0] - x, x - box[1], 0.0)
    dy = max(box[2] - y, y - box[3], 0.0)
    return dx * dx + dy * dy


@jit
def _kth_distance(tree, x, y, k, bound):
    """Return the squared distance to the k-th nearest sample, or ``bound`` if that is less."""
    nearest = np.empty(k)
    nearest[:] = bound
    stack = np.empty(DEPTH, np.int64)
    stack[0] = ROOT
    top = 1
    while top:
        top -= 1
        node = stack[top]
        if _box_distance(tree, node, x, y) >= nearest[-1]:
            continue
        for i in _samples(tree, node):
            distance = (tree.x[i] - x) ** 2 + (tree.y[i] - y) ** 2
            if distance < nearest[-1]:
                _insert(nearest, distance)
        if node < len(tree.boxes) // 2:
            near, far = 2 * node, 2 * node + 1
            if _box_distance(tree, near, x, y) > _box_distance(tree, far, x, y):
                near, far = far, near
            stack[top], stack[top + 1] = far, near
            top += 2
    return nearest[-1]


@jit
def _insert(ascending, value):
    """Put ``value`` in its place; the last one drops out."""
    j = len(ascending) - 1
    while j > 0 and ascending[j - 1] > value:
        ascending[j] = ascending[j - 1]
        j -= 1
    ascending[j] = value


@jit
def _gather(tree, x, y, within, limit, found):
    """Write the samples within a squared distance to ``found``, in tree order; return how many.

    The search stops once there are more than ``limit``.
    """
    count = 0
    stack = np.empty(DEPTH, np.int64)
    stack[0] = ROOT
    top = 1
    while top and count <= limit:
        top -= 1
        node = stack[top]
        if _box_distance(tree, node, x, y) > within:
            continue
        for i in _samples(tree, node):
            if (tree.x[i] - x) ** 2 + (tree.y[i] - y) ** 2 <= within:
                found[count] = i
                count += 1
        if node < len(tree.boxes) // 2:
            stack[top], stack[top + 1] = 2 * node + 1, 2 * node
            top += 2
    return count


@jit
def _candidates(tree, y, x, k, max_distance, limit, found, last):
    """Write all samples that a cell of the tile may need to ``found``; return how many.

    ``last`` holds the previous tile's centre and k-th distance, which bound this one's.
    """
    cy, cx = (y[0] + y[-1]) / 2, (x[0] + x[-1]) / 2
    half = np.hypot(y[0] - cy, x[0] - cx)
    bound = min(last[2] + np.hypot(cy - last[0], cx - last[1]), max_distance + half)
    radius = np.sqrt(_kth_distance(tree, cx, cy, k, (bound * SLACK) ** 2))
    last[0], last[1], last[2] = cy, cx, radius
    reach = min(radius + 2 * half, max_distance + half)
    return _gather(tree, cx, cy, (reach * SLACK) ** 2, limit, found)


@jit
def _squared_distances(tree, found, y, x):
    """Return squared distances (candidate, cell), and the nearest sample's (cell,)."""
    width = len(x)
    cells = len(y) * width
    cell_y, cell_x, nearest = np.empty(cells), np.empty(cells), np.empty(cells)
    for cell in range(cells):
        cell_y[cell], cell_x[cell], nearest[cell] = y[cell // width], x[cell % width], np.inf
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
def _weights(distances, nearest, limit, power):
    """Turn squared distances into weights, 0 beyond ``limit``; return them and 1 / their sum.

    Relative to the nearest sample no power overflows, and at no distance the others weigh 0.
    """
    total = np.zeros(len(nearest))
    for c in range(len(distances)):
        for cell in range(len(nearest)):
            d = distances[c, cell]
            w = nearest[cell] / d if d > nearest[cell] else 1.0
            distances[c, cell] = w if d <= limit[cell] else 0.0
        if power != 2.0:
            for cell in range(len(nearest)):
                if 0.0 < distances[c, cell] < 1.0:
                    distances[c, cell] **= power / 2
        for cell in range(len(nearest)):
            total[cell] += distances[c, cell]
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
def _fill(tree, y, x, elements, out, k, power, max_distance, found, last):
    """Interpolate one tile; where samples are so dense that cells share few, in quarters.

    The k-th distance of the previous tile tells, mostly, and spares a search.
    """
    single = len(y) * len(x) == 1
    crowded = len(found) if single else 8 * k
    if single or np.hypot(y[-1] - y[0], x[-1] - x[0]) <= 1.5 * last[2]:
        m = _candidates(tree, y, x, k, max_distance, crowded, found, last)
        if m <= crowded:
            distances, nearest = _squared_distances(tree, found[:m], y, x)
            farthest = _farthest(distances, k, max_distance * max_distance)
            weights, scale = _weights(distances, nearest, farthest, power)
            _average(tree.values, found[:m], weights, scale, elements, out)
            return
    half = (max(len(y), len(x)) + 1) // 2
    for i in range(0, len(y), half):
        for j in range(0, len(x), half):
            rows, cols, part = y[i : i + half], x[j : j + half], out[:, i : i + half, j : j + half]
            _fill(tree, rows, cols, elements, part, k, power, max_distance, found, last)


@jit
def interpolate(tree, y, x, elements, out, n_neighbors, power, max_distance):
    """Write the weighted means at the cells ``y``, ``x`` to the layers ``elements`` of ``out``.

    ``out`` is ``(layer, y, x)``; column ``e`` of the tree's values goes to ``out[elements[e]]``.
    Samples as far as the ``n_neighbors``-th count too, so that no result depends on their order.
    """
    y, x = y - tree.origin[1], x - tree.origin[0]
    found = np.empty(len(tree.x), np.int64)
    last = np.array([0.0, 0.0, np.inf])
    for i in range(0, len(y), TILE):
        for j in range(0, len(x), TILE):
            rows, cols, part = y[i : i + TILE], x[j : j + TILE], out[:, i : i + TILE, j : j + TILE]
            _fill(tree, rows, cols, elements, part, n_neighbors, power, max_distance, found, last)
