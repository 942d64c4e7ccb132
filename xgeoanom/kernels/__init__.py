"""Numerical kernels: numpy and numba, nothing else."""
