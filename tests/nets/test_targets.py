"""Soft mask and dilated fronts by loops; distillation against scipy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from xgeoanom.nets.targets import DilatedFront, SoftMask, TargetNetworks, distillation

SIZES = {1: 222, 6: 212, 12: 200, 18: 188, 24: 176}  # of 224 cells, section 3.2


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("rho", "size"), SIZES.items())
def test_sizes_of_the_paper(rho, size):
    assert DilatedFront(1, rho)(torch.zeros(1, 1, 224, 224)).shape == (1, 1, size, size)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 4), st.integers(0, 99))
def test_fronts_are_eq_7(n_elements, rho, more, seed):
    rng = np.random.default_rng(seed)
    height, width = 2 * rho + 1 + more, 2 * rho + 3
    x = rng.normal(size=(2, n_elements, height, width)).astype("float32")
    kernel = rng.normal(size=(n_elements, 3, 3)).astype("float32")
    front = DilatedFront(n_elements, rho)
    front.weight.data = torch.from_numpy(kernel[:, None])
    expected = np.zeros((2, n_elements, height - 2 * rho, width - 2 * rho))
    for b, c, i, j in np.ndindex(expected.shape):
        for k in (-1, 0, 1):
            for m in (-1, 0, 1):
                cell = x[b, c, i + rho + k * rho, j + rho + m * rho]
                expected[b, c, i, j] += kernel[c, k + 1, m + 1] * cell
    found = front(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rho", [1, 3])
def test_a_front_starts_as_a_crop(rho):
    x = torch.randn(2, 3, 9, 10)
    assert torch.equal(DilatedFront(3, rho)(x), x[:, :, rho:-rho, rho:-rho])


def test_a_mask_weighs_elements():
    mask, x = SoftMask(3), torch.randn(2, 3, 5, 4)
    assert torch.equal(mask(x), x)
    mask.weight.data = torch.tensor([2.0, 0.0, -1.0])
    expected = np.stack([2 * x[:, 0], 0 * x[:, 1], -x[:, 2]], axis=1)
    np.testing.assert_array_equal(mask(x).detach(), expected)


def test_networks_stand_behind_one_mask_and_their_own_fronts():
    networks = TargetNetworks(3, (0, 1, 2), width=2).eval()
    networks.mask.weight.data = torch.tensor([0.5, 2.0, 1.0])
    for front in networks.fronts[1:]:
        torch.nn.init.normal_(front.weight)
    x = torch.randn(4, 3, 16, 16)
    logits = networks(x)
    assert logits.shape == (3, 4, 2)
    masked = x * torch.tensor([0.5, 2.0, 1.0])[:, None, None]
    for v, rho in enumerate((0, 1, 2)):
        seen = networks.fronts[v](masked)
        assert seen.shape[-1] == 16 - 2 * rho
        assert torch.equal(logits[v], networks.bodies[v](seen))
        assert torch.equal(logits[v], networks.logits(v, x))
    kernels = {tuple(body.conv1.weight.flatten().tolist()) for body in networks.bodies}
    assert len(kernels) == 3


def test_plain_networks_have_neither_mask_nor_fronts():
    networks = TargetNetworks(3, (0, 0), width=2, mask=False).eval()
    assert all(name.startswith("bodies.") for name, _ in networks.named_parameters())
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(networks(x)[1], networks.bodies[1](x))


def test_every_part_learns():
    networks = TargetNetworks(3, (1, 2), width=2)
    networks(torch.randn(4, 3, 24, 24))[..., 1].sum().backward()
    for name, parameter in networks.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 99))
def test_distillation_against_scipy(batch, n_teachers, seed):
    rng = np.random.default_rng(seed)
    student, *teachers = 3 * rng.normal(size=(n_teachers + 1, batch, 2))
    expected = sum(
        entropy(softmax(teacher, axis=1), softmax(student, axis=1), axis=1).mean()
        for teacher in teachers
    )
    found = distillation(torch.from_numpy(student), list(map(torch.from_numpy, teachers)))
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_teachers_learn_nothing():
    student, one, other = (torch.randn(4, 2, dtype=torch.float64).requires_grad_() for _ in "sto")
    distillation(student, [one, other]).backward()
    assert one.grad is None
    assert other.grad is None
    # The gradient of KL(p ‖ softmax z) on z is softmax z - p.
    p = (one.softmax(1) + other.softmax(1)).detach()
    expected = (2 * student.softmax(1).detach() - p) / 4
    torch.testing.assert_close(student.grad, expected)


def test_the_first_network_has_no_teacher():
    loss = distillation(torch.randn(4, 2), [])
    assert loss.item() == 0
    assert loss.shape == ()
    same = torch.randn(4, 2)
    assert distillation(same, [same]).item() == pytest.approx(0, abs=1e-7)
