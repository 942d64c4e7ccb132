"""Inverse-distance weighting from eight sectors, so that a cluster on one side cannot outvote all.

Each cell is searched on its own. Sectors are those of the tree's space: the search ellipse's.
"""

import numpy as np

from xgeoanom.kernels.neighbors import DEPTH, ROOT, box_distance, jit, place, samples_in

OCTANTS = 8


@jit
def _octant(dy, dx):
    return 4 * (dy > 0) + 2 * (dx > 0) + (abs(dx) > abs(dy))


@jit
def _search(tree, y, x, reach, distances, found):
    """Write the nearest samples of each octant and their squared distances, nearest first.

    Both are ``(octant, max_per_octant)``; -1 and inf where there is none within ``reach``.
    """
    distances[:] = np.inf
    found[:] = -1
    stack = np.empty(DEPTH, np.int64)
    stack[0] = ROOT
    top = 1
    while top:
        top -= 1
        node = stack[top]
        if box_distance(tree, node, x, y) > min(reach, distances[:, -1].max()):
            continue
        for i in samples_in(tree, node):
            dy, dx = tree.y[i] - y, tree.x[i] - x
            d = dy * dy + dx * dx
            octant = _octant(dy, dx)
            if d <= reach and d < distances[octant, -1]:
                _insert(distances[octant], found[octant], d, i)
        if node < len(tree.boxes) // 2:
            near, far = 2 * node, 2 * node + 1
            if box_distance(tree, near, x, y) > box_distance(tree, far, x, y):
                near, far = far, near
            stack[top], stack[top + 1] = far, near
            top += 2


@jit
def _insert(distances, found, distance, sample):
    """Put a sample in its place by distance; the last one drops out."""
    j = len(distances) - 1
    while j > 0 and distances[j - 1] > distance:
        distances[j], found[j] = distances[j - 1], found[j - 1]
        j -= 1
    distances[j], found[j] = distance, sample


@jit
def _weigh(distances, power):
    """Return weights relative to the nearest of some samples; at no distance the others weigh 0."""
    weights = np.empty(len(distances))
    for i in range(len(weights)):
        w = distances[0] / distances[i] if distances[i] > distances[0] else 1.0
        weights[i] = w if power == 2.0 or w == 0.0 else w ** (power / 2)
    return weights / weights.sum()


@jit
def _fill(tree, y, x, elements, out, rule, min_octants, distances, found):
    """Write one place's means to ``out`` (layer,), or NaN where too few samples are in reach."""
    k, least, power, max_distance = rule
    _search(tree, y, x, max_distance * max_distance, distances, found)
    order = np.argsort(distances.ravel())[:k]
    near = distances.ravel()[order]
    n = np.isfinite(near).sum()
    if n < least or (found[:, 0] >= 0).sum() < min_octants:
        out[elements] = np.nan
        return
    weights = _weigh(near[:n], power)
    samples = found.ravel()[order]
    for e in range(len(elements)):
        mean = 0.0
        for i in range(n):
            mean += weights[i] * tree.values[samples[i], e]
        out[elements[e]] = mean


@jit
def interpolate_by_octant(tree, y, x, elements, out, rule, octants):
    """Write the weighted means at the places ``(y[i], x[i])`` to ``out`` (layer, place).

    ``rule`` is that of IDW, ``octants`` is ``(max_per_octant, min_octants)``. Of samples at the
    same distance the one that the search meets first counts.
    """
    max_per_octant, min_octants = octants
    distances = np.empty((OCTANTS, max_per_octant))
    found = np.empty((OCTANTS, max_per_octant), np.int64)
    for i in range(len(y)):
        cy, cx = place(tree, y[i] - tree.origin[1], x[i] - tree.origin[0])
        _fill(tree, cy, cx, elements, out[:, i], rule, min_octants, distances, found)
