"""Values below detection as a sample's other elements make us expect them: EM on log-ratios."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from xgeoanom.errors import CompositionError
from xgeoanom.kernels.truncated_normal import truncated_moments

TOLERANCE = 1e-4  # EM stops when no replaced value changes by more than this share
MAX_ITERATIONS = 500
FEWEST = 3  # measured values from which an element's variance can be told
NUGGET = 1e-9  # variance of a log-ratio, far below any laboratory's; keeps matrices invertible
KNOWN, BELOW, MISSING = 0, 1, 2

Moments = tuple[np.ndarray, np.ndarray]


def impute(
    values: np.ndarray,
    censored: np.ndarray,
    limits: np.ndarray,
    names: Sequence[str],
    denominator: str | None = None,
) -> tuple[np.ndarray, int]:
    """Replace censored values by their expectation below the limit; also count the iterations.

    Parameters
    ----------
    values : (n_samples, n_elements) array
        Concentrations, positive where measured, NaN where not analysed.
    censored, limits : (n_samples, n_elements) array
        Where values are censored, and below which limit.
    names : sequence of str
        The elements' names.
    denominator : str, optional
        Part by which all others are divided; by default the rest of the rock.
    """
    logs = np.log(np.where(censored, np.nan, values))
    ceilings = np.log(np.where(censored, limits, np.inf))
    _check_counts(logs, names)
    rows = (np.isfinite(logs) | censored).any(axis=1)
    base = _base(logs, rows, names, denominator)
    others = [k for k, name in enumerate(names) if name != denominator]
    part = np.ix_(rows, others)
    filled, iterations, change = _maximise((logs - base)[part], (ceilings - base)[part])
    _warn_of([names[k] for k, moved in zip(others, change, strict=True) if moved >= TOLERANCE])
    new = np.array(values, dtype="float64")
    new[part] = np.where(censored[part], np.exp(filled + base[rows]), new[part])
    # Rounding may lift what lies just below a limit onto it.
    return np.where(censored, np.fmin(new, np.nextafter(limits, 0)), new), iterations


def _check_counts(logs: np.ndarray, names: Sequence[str]) -> None:
    counts = np.isfinite(logs).sum(axis=0)
    if few := {name: int(n) for name, n in zip(names, counts, strict=True) if n < FEWEST}:
        raise CompositionError(
            f"method='em' needs {FEWEST} measured values of each element, found {few}; leave "
            "these elements out"
        )


def _base(
    logs: np.ndarray, rows: np.ndarray, names: Sequence[str], denominator: str | None
) -> np.ndarray:
    """Return the logarithm of each sample's denominator, ``(n, 1)``."""
    if denominator is None:
        # Of trace elements the rest of the rock is nearly all, and its logarithm constant.
        return np.zeros((len(logs), 1))
    if denominator not in names:
        raise CompositionError(f"denominator={denominator!r} is no element of the table; {names}")
    base = logs[:, [list(names).index(denominator)]]
    if lacking := int(np.isnan(base[rows]).sum()):
        raise CompositionError(
            f"denominator={denominator!r} is not measured in {lacking} samples; take an element "
            "that is measured in all, or None for the rest of the rock"
        )
    return base


def _warn_of(unsettled: Sequence[str]) -> None:
    if unsettled:
        warnings.warn(
            f"EM has not settled after {MAX_ITERATIONS} iterations: too little of {unsettled} is "
            "measured to tell the rest; leave these elements out, or use method='constant'",
            stacklevel=4,
        )


def _maximise(logs: np.ndarray, ceilings: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    """Return log-ratios ``(n, d)`` completed at the maximum of likelihood.

    Returns the iterations, too, and by how much censored values changed in the last ``(d,)``.
    """
    patterns, censored = list(_patterns(logs, ceilings)), np.isfinite(ceilings)
    mean, cov = _start(logs, ceilings)
    filled = np.where(np.isnan(logs), 0.0, logs)
    iteration, change = 0, np.full(logs.shape[1], np.inf)
    while iteration < MAX_ITERATIONS and change.max(initial=0.0) >= TOLERANCE:
        iteration += 1
        before, spread = filled.copy(), np.zeros_like(cov)
        for rows, parts in patterns:
            filled[rows], lost = _expect(logs[rows], ceilings[rows], parts, mean, cov)
            spread += lost
        mean, cov = _law(filled, spread)
        change = np.where(censored, np.abs(filled - before), 0.0).max(axis=0)
    return filled, iteration, change


def _patterns(logs: np.ndarray, ceilings: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the samples that lack the same elements, and what each element is there."""
    pattern = np.where(np.isfinite(logs), KNOWN, np.where(np.isfinite(ceilings), BELOW, MISSING))
    kinds, kind = np.unique(pattern, axis=0, return_inverse=True)
    for k, parts in enumerate(kinds):
        if (parts != KNOWN).any():
            yield np.flatnonzero(kind.ravel() == k), parts


def _start(logs: np.ndarray, ceilings: np.ndarray) -> Moments:
    """Return a first mean and covariance: of independent elements, the censored at the limit."""
    rough = np.where(np.isfinite(ceilings), ceilings, logs)
    return np.nanmean(rough, axis=0), np.diag(np.nanvar(rough, axis=0) + NUGGET)


def _law(filled: np.ndarray, spread: np.ndarray) -> Moments:
    """Return mean and covariance; ``spread`` is what expectations leave out (M step)."""
    mean = filled.mean(axis=0)
    scatter = (filled - mean).T @ (filled - mean) + spread
    return mean, scatter / len(filled) + NUGGET * np.eye(len(mean))


def _expect(
    logs: np.ndarray, ceilings: np.ndarray, parts: np.ndarray, mean: np.ndarray, cov: np.ndarray
) -> Moments:
    """Fill in what samples of one pattern lack (E step).

    Returns their complete log-ratios, and the covariance of what was filled in, summed over the
    samples, ``(d, d)``.
    """
    known, below = np.flatnonzero(parts == KNOWN), np.flatnonzero(parts == BELOW)
    slope, rest = _regress(cov, known)
    expected = mean + (logs[:, known] - mean[known]) @ slope.T
    # Next, what is known of the censored ones moves those that were not analysed.
    inner = rest[np.ix_(below, below)]
    free, limits = expected.take(below, axis=1), ceilings.take(below, axis=1)
    cut, within = truncated_moments(free, inner, limits)
    slope, rest = _regress(rest, below)
    expected += (cut - free) @ slope.T
    expected[:, below] = cut
    expected[:, known] = logs[:, known]
    return expected, len(logs) * rest + slope @ within @ slope.T


def _regress(cov: np.ndarray, given: np.ndarray) -> Moments:
    """Return slopes ``(d, g)`` of all coordinates on those given, and what covariance is left."""
    slope = np.linalg.solve(cov[np.ix_(given, given)], cov[given]).T
    rest = cov - slope @ cov[given]
    # These two are known to be exact; rounding must not spoil them.
    slope[given] = np.eye(given.size)
    rest[given] = rest[:, given] = 0.0
    return slope, rest
