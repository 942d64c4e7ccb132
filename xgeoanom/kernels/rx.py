"""Dual-window RX: how far a cell's spectrum lies from those of the ring around it.

Moments of the ring are summed a tile of cells at a time, one pair of elements after the other;
then a row of cells runs as lanes through a Cholesky factorisation: each loop ends in one over them,
which the compiler vectorises.
"""

import numpy as np

from xgeoanom.kernels.neighbors import jit

TILE = 32  # cells a side; a plane of products stays in the cache
LANES = TILE  # a row of a tile
RIDGE = 1e-6  # least share of the diagonal: a clr cube's covariance is singular
ENOUGH = 10  # cells per element, below which the covariance is shrunk further
LEAST = 0.25  # share of the ring that must hold values, as in `window_means`
CONSTANT = 1e-12  # variance by mean square about the tile's median: nothing but rounding


@jit
def shrinkage(n_cells, n_elements):
    """Return the share of the diagonal in a covariance that ``n_cells`` cells tell of (ours).

    It falls linearly, from 1 without any cell to ``RIDGE`` at ten cells per element.
    """
    return max(1 - n_cells / (ENOUGH * n_elements), RIDGE)


@jit
def run_sums(source, step, size, spare, total):
    """Write ``source[i] + source[i + step] + ...``, ``size`` terms, for all ``i`` that have them.

    Runs of 1, 2, 4 ... terms are doubled and joined: few additions for any size, in the same
    order for every ``i``, and no running total whose rounding errors drift along. ``spare`` is
    (2, i).
    """
    n = len(source) - (size - 1) * step
    runs, length, start, parity = source, 1, 0, 0
    while True:
        if size & length:
            part = runs[start * step : start * step + n]
            for i in range(n):
                total[i] = part[i] + (total[i] if start else 0.0)
            start += length
        if start == size:
            return
        longer, later = spare[parity], runs[length * step :]
        for i in range(len(source) - (2 * length - 1) * step):
            longer[i] = runs[i] + later[i]
        runs, length, parity = longer, 2 * length, 1 - parity


@jit
def _ring_sums(plane, cols, inner, outer, spare, out):
    """Write the sums of a flat plane over the rings whose first corner is each cell.

    The ring is two strips above and below, as wide as the outer window, and two flanks as high as
    the inner one: sums alone, so that a huge value inside the ring leaves no trace. ``spare`` is
    (6, cell).
    """
    thick, n = (outer - inner) // 2, len(plane) - (outer - 1) * cols
    strips, flanks, both, flank = spare[2], spare[3], spare[4], spare[5]
    run_sums(plane, cols, thick, spare, strips)
    run_sums(plane[thick * cols :], cols, inner, spare, flanks)
    below = strips[(thick + inner) * cols :]
    for i in range(n):
        both[i] = strips[i] + below[i]
    run_sums(both[:n], 1, outer, spare, out)
    run_sums(flanks[:n], 1, thick, spare, flank)
    right = flank[thick + inner :]
    for i in range(len(out)):
        out[i] += flank[i] + right[i]


@jit
def _centred(tile, room):
    """Return the tile's planes about their medians, flat, 0 where a cell lacks an element.

    Plane 0 holds 1 for each cell that has them all: products with it are sums and counts. Near the
    middle sums of squares keep their digits; some of the cells tell it, and no huge value.
    """
    n_elements, size = len(tile), tile.shape[1] * tile.shape[2]
    planes = room[: (n_elements + 1) * size].reshape(n_elements + 1, size)
    planes[0] = 1.0
    for e in range(n_elements):
        planes[e + 1] = tile[e].copy().ravel()
        for cell in range(size):
            if not np.isfinite(planes[e + 1, cell]):
                planes[0, cell] = 0.0
    some = np.flatnonzero(planes[0])[::16]
    for plane in planes[1:]:
        middle = np.median(plane[some]) if len(some) else 0.0
        for cell in range(size):
            plane[cell] = plane[cell] - middle if planes[0, cell] else 0.0
    return planes


@jit
def _moments(planes, cols, inner, outer, room, spare):
    """Return the rings' sums of products of each two planes: a lower triangle's rows, (pair, n).

    ``spare`` is (7, cell).
    """
    n_planes, size = planes.shape
    n, n_pairs = size - (outer - 1) * (cols + 1), pairs_of(n_planes)
    moments = room[: n_pairs * n].reshape(n_pairs, n)
    product, spare = spare[6, :size], spare[:6]
    pair = 0
    for i in range(n_planes):
        for j in range(i + 1):
            for cell in range(size):
                product[cell] = planes[i, cell] * planes[j, cell]
            _ring_sums(product, cols, inner, outer, spare, moments[pair])
            pair += 1
    return moments


@jit
def pairs_of(n_planes):
    """Return the number of pairs of planes, each with itself among them."""
    return n_planes * (n_planes + 1) // 2


@jit
def _standardise(moments, cells):
    """Turn moments (pair, lane) into correlations and cells (plane, lane) into standard scores.

    Elements that do not vary in a ring get correlations and scores of 0, which leaves them out.
    """
    n, scale = moments[0], np.zeros(cells.shape)
    for i in range(1, len(cells)):
        row = moments[i * (i + 1) // 2 :]
        for lane in range(LANES):
            row[0, lane] /= n[lane]
            square = row[i, lane] / n[lane]
            variance = square - row[0, lane] * row[0, lane]
            scale[i, lane] = 1 / np.sqrt(variance) if variance > CONSTANT * square else 0.0
            cells[i, lane] = (cells[i, lane] - row[0, lane]) * scale[i, lane]
        for j in range(1, i):
            other = moments[j * (j + 1) // 2 :]
            for lane in range(LANES):
                covariance = row[j, lane] / n[lane] - row[0, lane] * other[0, lane]
                row[j, lane] = covariance * scale[i, lane] * scale[j, lane]


@jit
def _distances(correlations, cells):
    """Return ``z' A^-1 z`` (lane,): ``z`` are the cells, ``A`` the correlations, shrunk; in place.

    A left-looking Cholesky factorisation that takes ``z`` along. ``A`` is at least its share of
    the diagonal, and so is each pivot; rounding may hide that.
    """
    n, n_planes = correlations[0], len(cells)
    share, total = np.empty(LANES), np.zeros(LANES)
    pivot, inverse = np.empty(LANES), np.empty(cells.shape)
    for lane in range(LANES):
        share[lane] = shrinkage(n[lane], n_planes - 1)
    for i in range(1, n_planes):
        row = correlations[i * (i + 1) // 2 :]
        pivot[:] = 1.0
        for j in range(1, i):
            above = correlations[j * (j + 1) // 2 :]
            for lane in range(LANES):
                row[j, lane] *= 1 - share[lane]
            for p in range(1, j):
                for lane in range(LANES):
                    row[j, lane] -= row[p, lane] * above[p, lane]
            for lane in range(LANES):
                row[j, lane] *= inverse[j, lane]
                pivot[lane] -= row[j, lane] * row[j, lane]
                cells[i, lane] -= row[j, lane] * cells[j, lane]
        for lane in range(LANES):
            inverse[i, lane] = 1 / np.sqrt(max(pivot[lane], share[lane]))
            cells[i, lane] *= inverse[i, lane]
            total[lane] += cells[i, lane] * cells[i, lane]
    return total


@jit
def _score_tile(planes, moments, cols, least, out):
    """Write the scores of a tile's cells to ``out`` (y, x)."""
    halo = (cols - out.shape[1]) // 2
    lanes, cells = np.ones((len(moments), LANES)), np.ones((len(planes), LANES))
    for i in range(out.shape[0]):
        for start in range(0, out.shape[1], LANES):
            n = min(LANES, out.shape[1] - start)
            corner, centre = i * cols + start, (i + halo) * cols + halo + start
            lanes[:, :n] = moments[:, corner : corner + n]
            cells[:, :n] = planes[:, centre : centre + n]
            count, valid = lanes[0].copy(), cells[0].copy()
            _standardise(lanes, cells)
            score = _distances(lanes, cells)
            for lane in range(n):
                known = valid[lane] > 0 and count[lane] >= least
                unbiased = (count[lane] - 1) / count[lane]  # moments are by n, not n - 1
                out[i, start + lane] = score[lane] * unbiased if known else np.nan


@jit
def score_dual_window(block, inner, outer, out):
    """Write RX scores to ``out`` (y, x) from a block (element, y, x) wider by ``outer // 2``.

    NaN where a cell lacks an element, or less than a quarter of its ring is known.
    """
    halo = outer // 2
    least = max(LEAST * (outer**2 - inner**2), 2.0)
    # Made once: freed after each tile, it would go back to the system, which clears it anew.
    n_planes, size = len(block) + 1, (TILE + 2 * halo) ** 2
    room, spare = np.empty(n_planes * size), np.empty((7, size))
    pair_room = np.empty(pairs_of(n_planes) * size)
    for top in range(0, out.shape[0], TILE):
        for left in range(0, out.shape[1], TILE):
            part = out[top : top + TILE, left : left + TILE]
            bottom, right = top + part.shape[0] + 2 * halo, left + part.shape[1] + 2 * halo
            planes = _centred(block[:, top:bottom, left:right], room)
            moments = _moments(planes, right - left, inner, outer, pair_room, spare)
            _score_tile(planes, moments, right - left, least, part)
