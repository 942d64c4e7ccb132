"""A kd-tree that numba code searches: the samples near a point, without a call into Python."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

LEAF = 12  # samples in a leaf, at most
ROOT = 1  # node i has the children 2 i and 2 i + 1
DEPTH = 64  # of a stack: more than any tree needs
SLACK = 1 + 1e-9  # rounding must not lose the k-th sample

jit = njit(nogil=True, error_model="numpy")


class Tree(NamedTuple):
    """A kd-tree over ``n`` samples that carry the values of some elements.

    It lives in a space of its own, ``stretch @ ((x, y) - origin)``, in which the search ellipse is
    a circle.
    """

    x: np.ndarray  # (n,) in the tree's space and order: a node's samples are adjacent
    y: np.ndarray  # (n,)
    values: np.ndarray  # (n, element)
    boxes: np.ndarray  # (node, 4): xmin, xmax, ymin, ymax
    origin: np.ndarray  # (2,) x, y: large northings lose digits when they are squared
    stretch: np.ndarray  # (2, 2)


def stretch_of(ratio: float, azimuth: float) -> np.ndarray:
    """Return the matrix that turns an ellipse into a circle of its first radius.

    ``ratio`` is its first radius by its second; ``azimuth`` the first one's direction, in degrees
    clockwise from north.
    """
    if ratio == 1:
        return np.eye(2)
    sin, cos = math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))
    return np.array([[ratio * cos, -ratio * sin], [sin, cos]])


def build_tree(
    x: np.ndarray, y: np.ndarray, values: np.ndarray, stretch: np.ndarray | None = None
) -> Tree:
    """Return the tree over samples at ``x``, ``y`` ``(n,)`` with ``values`` ``(n, element)``."""
    stretch = np.eye(2) if stretch is None else stretch
    origin = np.round([x.mean(), y.mean()])  # whole: equal distances stay equal
    x, y = stretch @ np.stack([x - origin[0], y - origin[1]])
    levels = max(math.ceil(math.log2(len(x) / LEAF)), 0)
    boxes = np.empty((2 << levels, 4))
    order = _split(x, y, levels, boxes)
    values = np.ascontiguousarray(values[order], "float64")
    return Tree(x[order], y[order], values, boxes, origin, stretch)


@jit
def place(tree, y, x):
    """Return a place, given from the origin, in the tree's space."""
    a = tree.stretch
    return a[1, 0] * x + a[1, 1] * y, a[0, 0] * x + a[0, 1] * y


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
def samples_in(tree, node):
    """Return the range of samples in a leaf, or none in a node that has children."""
    n, leaves = len(tree.x), len(tree.boxes) // 2
    leaf = node - leaves
    return range(leaf * n // leaves, (leaf + 1) * n // leaves) if leaf >= 0 else range(0)


@jit
def box_distance(tree, node, x, y):
    """Return the squared distance from a point to the samples' bounding box."""
    boxes = tree.boxes  # indexed in full: a view of one row would cost a reference count
    dx = max(boxes[node, 0] - x, x - boxes[node, 1], 0.0)
    dy = max(boxes[node, 2] - y, y - boxes[node, 3], 0.0)
    return dx * dx + dy * dy


@jit
def kth_distance(tree, x, y, k, bound):
    """Return the squared distance to the k-th nearest sample, or ``bound`` if that is less."""
    nearest = np.empty(k)
    nearest[:] = bound
    stack = np.empty(DEPTH, np.int64)
    stack[0] = ROOT
    top = 1
    while top:
        top -= 1
        node = stack[top]
        if box_distance(tree, node, x, y) >= nearest[-1]:
            continue
        for i in samples_in(tree, node):
            distance = (tree.x[i] - x) ** 2 + (tree.y[i] - y) ** 2
            if distance < nearest[-1]:
                _insert(nearest, distance)
        if node < len(tree.boxes) // 2:
            near, far = 2 * node, 2 * node + 1
            if box_distance(tree, near, x, y) > box_distance(tree, far, x, y):
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
def gather(tree, x, y, within, limit, found):
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
        if box_distance(tree, node, x, y) > within:
            continue
        for i in samples_in(tree, node):
            if (tree.x[i] - x) ** 2 + (tree.y[i] - y) ** 2 <= within:
                found[count] = i
                count += 1
        if node < len(tree.boxes) // 2:
            stack[top], stack[top + 1] = 2 * node + 1, 2 * node
            top += 2
    return count


@jit
def nearest(tree, x, y, within, found, distances):
    """Write the nearest samples and their squared distances, nearest first.

    ``found`` has as many as are wanted; those beyond the squared distance ``within`` are
    ``len(tree.x)``. Of samples at the same distance the first ones of the tree count.
    """
    found[:] = len(tree.x)
    distances[:] = within
    stack, least = np.empty(DEPTH, np.int64), np.empty(DEPTH)
    stack[0], least[0] = ROOT, 0.0
    top = 1
    while top:
        top -= 1
        node = stack[top]
        if least[top] > distances[-1]:
            continue
        for i in samples_in(tree, node):
            distance = (tree.x[i] - x) ** 2 + (tree.y[i] - y) ** 2
            if _precedes(distance, i, distances[-1], found[-1]):
                _insert_sample(distances, found, distance, i)
        if node < len(tree.boxes) // 2:
            near, far = 2 * node, 2 * node + 1
            here, there = box_distance(tree, near, x, y), box_distance(tree, far, x, y)
            if here > there:
                near, far, here, there = far, near, there, here
            stack[top], stack[top + 1] = far, near
            least[top], least[top + 1] = there, here
            top += 2


@jit
def _precedes(distance, sample, other_distance, other):
    return distance < other_distance or (distance == other_distance and sample < other)


@jit
def _insert_sample(distances, found, distance, sample):
    """Put a sample in its place; the last one drops out."""
    j = len(found) - 1
    while j > 0 and _precedes(distance, sample, distances[j - 1], found[j - 1]):
        distances[j], found[j] = distances[j - 1], found[j - 1]
        j -= 1
    distances[j], found[j] = distance, sample
