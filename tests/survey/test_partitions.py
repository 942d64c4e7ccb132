import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import helmert

from xgeoanom.errors import CompositionError
from xgeoanom.survey.partitions import check, contrasts, decode, encode, sequential


def random_partition(n, seed):
    """Split groups at random until only single parts are left."""
    rng = np.random.default_rng(seed)
    groups, rows = [rng.permutation(n)], []
    while groups:
        group = groups.pop()
        if len(group) > 1:
            at = rng.integers(1, len(group))
            row = np.zeros(n, dtype=int)
            row[group[:at]], row[group[at:]] = 1, -1
            rows.append(row)
            groups += [group[:at], group[at:]]
    return rng.permutation(rows)


@given(st.integers(2, 12), st.integers(0, 1000))
def test_contrasts_are_orthonormal(n, seed):
    signs = random_partition(n, seed)
    check(signs, n)
    basis = contrasts(signs)
    np.testing.assert_allclose(basis @ basis.T, np.eye(n - 1), atol=1e-12)
    np.testing.assert_allclose(basis.sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_array_equal(decode(encode(signs)), signs)


@given(st.integers(2, 12))
def test_default_is_helmert(n):
    signs = sequential(n)
    check(signs, n)
    np.testing.assert_allclose(contrasts(signs), helmert(n))


@pytest.mark.parametrize(
    ("signs", "message"),
    [
        ([[1, -1, 0]], r"\(1, 3\) must be \(2, 3\)"),
        ([[1, -1, 0], [1, 2, -1]], "only"),
        ([[1, 1, 0], [1, 1, -1]], "does not split"),
        ([[1, -1, 0], [1, -1, 0]], "does not split"),
        ([[1, -1, 0], [1, -1, 1]], "does not split"),
    ],
)
def test_refuses(signs, message):
    with pytest.raises(CompositionError, match=message):
        check(np.array(signs), 3)


def test_refuses_orthogonal_rows_that_split_nothing():
    # Hadamard rows are orthogonal, but the second divides no group of the first.
    signs = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    with pytest.raises(CompositionError, match="does not split"):
        check(signs, 4)
