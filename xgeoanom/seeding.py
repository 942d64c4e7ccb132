"""From one seed to independent streams of random numbers; no global state is ever set."""

import numpy as np

from xgeoanom.errors import XGeoAnomError

Seed = int | np.random.Generator | None


def resolve(seed: Seed) -> int:
    """Return one integer that stands for ``seed``, so that it can be recorded.

    >>> resolve(0)
    0
    """
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**31))
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1)[0] >> 1)
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise XGeoAnomError(f"seed={seed!r} must be an integer of at least 0, a Generator or None")
    return int(seed)


def streams(seed: Seed, n: int) -> list[np.random.Generator]:
    """Return ``n`` generators whose numbers do not depend on each other.

    >>> first, second = streams(0, 2)
    >>> first.random() == second.random()
    False
    """
    children = np.random.SeedSequence(resolve(seed)).spawn(n)
    return [np.random.default_rng(child) for child in children]


def torch_seed(rng: np.random.Generator) -> int:
    """Draw an integer that seeds a torch generator."""
    return int(rng.integers(2**63 - 1))
