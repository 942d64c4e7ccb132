"""The fault term by hand: its value, its gradient, its shapes."""

import math

import pytest
import torch

from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.knowledge import FaultConstraint, knowledge_loss


def logistic(z):
    return 1 / (1 + math.exp(-z))


def test_starts_where_the_archive_does():
    constraint = FaultConstraint()
    assert constraint.a.item() == pytest.approx(0.1, abs=1e-7)
    assert constraint.b0.item() == 0
    assert sum(p.numel() for p in constraint.parameters()) == 2


def test_loss_and_gradient_by_hand():
    constraint = FaultConstraint().double()
    scores, weights = [0.2, 0.9, 0.6], [0.0, 1.0, 0.3]
    score = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    loss = knowledge_loss(score, constraint(torch.tensor(weights, dtype=torch.float64)))
    loss.backward()
    a = constraint.a.item()
    guides = [logistic(a * w) for w in weights]
    misses = [p - g for p, g in zip(scores, guides, strict=True)]
    assert loss.item() == pytest.approx(sum(m**2 for m in misses) / 3, rel=1e-12)
    assert score.grad.tolist() == pytest.approx([2 * m / 3 for m in misses], rel=1e-12)
    # d g / d(a w + b0) = g (1 - g), da / dalpha = logistic(alpha)
    each = [-2 * m / 3 * g * (1 - g) for m, g in zip(misses, guides, strict=True)]
    assert constraint.b0.grad.item() == pytest.approx(sum(each), rel=1e-12)
    da = sum(e * w for e, w in zip(each, weights, strict=True))
    slope = logistic(constraint.alpha.item())
    assert constraint.alpha.grad.item() == pytest.approx(da * slope, rel=1e-12)


def test_slope_is_never_negative():
    constraint = FaultConstraint()
    with torch.no_grad():
        constraint.alpha.fill_(-20.0)
    assert 0 <= constraint.a.item() < 1e-8


@pytest.mark.parametrize("shapes", [((4,), (4, 1)), ((4, 1), (4, 1)), ((4,), (1,)), ((), ())])
def test_shapes_never_broadcast(shapes):
    with pytest.raises(XGeoAnomError, match="shape"):
        knowledge_loss(*(torch.zeros(shape) for shape in shapes))
