"""Kernels that other benchmarks reach only through much else."""

import numpy as np

from xgeoanom.kernels.neighbors import build_tree
from xgeoanom.kernels.truncated_normal import truncated_moments


class Tree:
    """The index of samples, which every gridding begins with."""

    params = ([100, 1_000_000],)
    param_names = ("n",)

    def setup(self, n):
        self.x, self.y = np.random.default_rng(0).uniform(0, 1e5, (2, n))
        self.values = np.ones((n, 1))
        build_tree(self.x[:100], self.y[:100], self.values[:100])  # compiles

    def time_build_tree(self, n):
        build_tree(self.x, self.y, self.values)


class TruncatedNormal:
    """Moments of samples below their limits: what an EM iteration of censored values costs."""

    params = ([10, 100_000], [2, 6])
    param_names = ("n", "dimensions")

    def setup(self, n, dimensions):
        rng = np.random.default_rng(0)
        self.mean, self.ceiling = rng.normal(size=(2, n, dimensions))
        self.cov = np.full((dimensions, dimensions), 0.5) + 0.5 * np.eye(dimensions)
        truncated_moments(self.mean[:2], self.cov, self.ceiling[:2])  # compiles

    def time_truncated_moments(self, n, dimensions):
        truncated_moments(self.mean, self.cov, self.ceiling)
