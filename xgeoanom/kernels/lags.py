"""Pairs of samples by distance and direction: what an empirical variogram counts."""

import numpy as np

from xgeoanom.kernels.neighbors import jit


@jit
def bin_pairs(x, y, values, width, directions, alignment, step, robust, count, distance, spread):
    """Add up the pairs of samples in each direction and lag.

    ``x`` ascends. Lag ``b`` holds distances from ``b * width`` on, below ``(b + 1) * width``; pairs
    at one place count nowhere. ``directions`` ``(direction, 2)`` are unit vectors east and north;
    a pair counts where the cosine of its angle to one is ``alignment`` at least, either way
    round. Pairs are those of each ``step``-th sample with all samples after it. To ``count``,
    ``distance`` and ``spread`` ``(direction, lag)`` are added the pairs, their distances and
    their squared differences or, where ``robust``, the roots of their absolute differences.
    """
    n_lags = count.shape[1]
    reach = n_lags * width
    for i in range(0, len(x), step):
        for j in range(i + 1, len(x)):
            dx, dy = x[j] - x[i], y[j] - y[i]
            if dx >= reach:
                break
            h = np.sqrt(dx * dx + dy * dy)
            lag = int(h / width)
            if h == 0.0 or lag >= n_lags:
                continue
            difference = abs(values[j] - values[i])
            term = np.sqrt(difference) if robust else difference * difference
            for d in range(len(directions)):
                along = abs(dx * directions[d, 0] + dy * directions[d, 1])
                if along >= alignment * h:
                    count[d, lag] += 1
                    distance[d, lag] += h
                    spread[d, lag] += term
