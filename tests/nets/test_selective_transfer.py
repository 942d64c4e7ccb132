"""Selective transfer against eqs. 8 and 9 by hand; what is learned, what stays, and folding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.nets.resnet import ResNet18
from xgeoanom.nets.selective_transfer import (
    FORMS,
    Selection,
    fold,
    select_from,
    selections,
    shares_kept,
    sparsity,
)

both = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def source_network(n_classes=2):
    """Return a source whose batch normalisation has seen data."""
    source = ResNet18(4, n_classes, width=2)
    for _ in range(3):
        source(3 * torch.randn(8, 4, 16, 16) + 1)
    return source.eval()


def transferred(form, n_classes=2):
    source, target = source_network(n_classes), ResNet18(4, width=2)
    select_from(source, target, form)
    return source, target


def train(target, *, steps=5, learning_rate=0.1):
    """Train on windows of which half are raised."""
    target.train()
    optimizer = torch.optim.SGD(target.parameters(), lr=learning_rate, momentum=0.9)
    label = torch.arange(8) % 2
    for _ in range(steps):
        x = torch.randn(8, 4, 16, 16) + label[:, None, None, None]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(target(x), label).backward()
        optimizer.step()
    return target.eval()


def naive(form, source, s, learned):
    """Eq. 9, and our sum, weight by weight."""
    out = torch.empty_like(source)
    for k in range(source.numel()):
        kept = source.view(-1)[k] if s.view(-1)[k] > 0 else 0.0
        w = learned.view(-1)[k]
        out.view(-1)[k] = kept * w if form == "multiplicative" else kept + w
    return out


@both
@given(st.tuples(*[st.integers(1, 3)] * 4), st.integers(0, 99))
def test_kernels_are_those_of_the_equations(form, shape, seed):
    generator = torch.Generator().manual_seed(seed)
    kernel, s, learned = (torch.randn(shape, generator=generator) for _ in range(3))
    s.view(-1)[0] = 0  # not above 0: not selected
    selection = Selection(kernel, form)
    selection.s.data = s
    assert torch.equal(selection(learned), naive(form, kernel, s, learned))
    assert selection.share == pytest.approx((s > 0).sum().item() / s.numel())


@both
def test_a_target_starts_as_its_source(form):
    source, target = transferred(form)
    assert len(selections(target)) == 20
    assert all(share == [1.0] for share in shares_kept([target]).values())
    x = torch.randn(3, 4, 24, 20)
    assert torch.equal(source(x), target.eval()(x))
    fold(target)
    assert torch.equal(source(x), target(x))


@both
@pytest.mark.parametrize("flip", [False, True])
def test_folding_changes_nothing(form, flip):
    _, target = transferred(form)
    train(target)
    if flip:
        for selection in selections(target).values():
            selection.s.data[torch.rand_like(selection.s) < 0.3] = -0.2
    assert any(selection.share < 1 for selection in selections(target).values())
    plain = ResNet18(4, width=2).eval()
    x = torch.randn(3, 4, 24, 20)
    unfolded = target(x)
    fold(target)
    torch.testing.assert_close(target(x), unfolded, rtol=1e-5, atol=1e-5)
    # What is left is an ordinary network, for which another one can be swapped.
    assert list(selections(target)) == []
    assert target.state_dict().keys() == plain.state_dict().keys()
    assert all(p.requires_grad for p in target.parameters())
    plain.load_state_dict(target.state_dict())
    torch.testing.assert_close(plain(x), unfolded, rtol=1e-5, atol=1e-5)
    fold(plain)  # nothing to do


@both
def test_gradients_pass_straight_through(form):
    """dL/ds = dL/dW W_S W_t, or dL/dW W_S, wherever s is; W_t learns where it is selected."""
    _, target = transferred(form)
    layer = target.layer2[0].conv1
    (selection,) = layer.parametrizations.weight
    learned = layer.parametrizations.weight.original
    learned.data = torch.randn_like(learned)
    selection.s.data = torch.randn_like(selection.s)
    x, r = torch.randn(5, 2, 8, 8), torch.randn(5, 4, 4, 4)
    kernel = layer.weight.detach().clone().requires_grad_()
    (torch.nn.functional.conv2d(x, kernel, stride=2, padding=1) * r).sum().backward()
    (layer(x) * r).sum().backward()
    of_kernel, chosen = kernel.grad, (selection.s > 0).float()
    assert 0 < chosen.mean() < 1
    multiplies = form == "multiplicative"
    expected_s = of_kernel * selection.source * (learned.detach() if multiplies else 1)
    expected_learned = of_kernel * (selection.source * chosen if multiplies else 1)
    torch.testing.assert_close(selection.s.grad, expected_s)
    torch.testing.assert_close(learned.grad, expected_learned)
    assert (selection.s.grad[selection.s <= 0] != 0).all()


@both
def test_what_was_left_out_can_come_back(form):
    """A weight that helps, with s below 0, is selected in the end."""
    selection = Selection(torch.ones(1), form)
    selection.s.data[:] = -0.05
    optimizer = torch.optim.SGD([selection.s], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        ((selection(selection.start()) - 1) ** 2).sum().backward()
        optimizer.step()
    assert selection.share == 1


@both
def test_the_source_never_changes(form):
    source, target = transferred(form)
    before = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    kept = {name: selection.source.clone() for name, selection in selections(target).items()}
    train(target)
    assert all(p.grad is None for p in source.parameters())
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for name, selection in selections(target).items():
        assert torch.equal(selection.source, kept[name]), name
        assert torch.equal(selection.source, before[f"{name}.weight"]), name
        assert not selection.source.requires_grad
        assert selection.s.grad.abs().sum() > 0, name
    trained = {name for name, _ in target.named_parameters()}
    assert not [name for name in trained if name.endswith("source")]


def test_two_targets_of_one_source_learn_apart():
    source = source_network()
    one, other = ResNet18(4, width=2), ResNet18(4, width=2)
    for target in (one, other):
        select_from(source, target)
    x = torch.randn(2, 4, 16, 16)
    train(one)
    assert torch.equal(other.eval()(x), source(x))
    assert not torch.equal(one(x), source(x))


def test_other_classes_get_a_classifier_of_their_own():
    source, target = source_network(n_classes=5), ResNet18(4, width=2)
    own = {name: tensor.clone() for name, tensor in target.classify.state_dict().items()}
    select_from(source, target)
    for name, tensor in target.classify.state_dict().items():
        assert torch.equal(tensor, own[name])
    for name, tensor in target.norm1.state_dict().items():
        assert torch.equal(tensor, source.norm1.state_dict()[name])
    assert torch.equal(target.conv1.weight, source.conv1.weight)
    assert target(torch.randn(2, 4, 16, 16)).shape == (2, 2)


def test_shares_by_hand():
    networks = [transferred("multiplicative")[1] for _ in range(2)]
    first = selections(networks[1])["layer1.0.conv2"]  # 2 x 2 x 3 x 3
    first.s.data.view(-1)[:9] = -1
    shares = shares_kept(networks)
    assert list(shares)[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert shares["layer1.0.conv2"] == [1.0, 0.75]
    assert shares["layer4.0.shortcut.0"] == [1.0, 1.0]


def test_sparsity_is_the_mean_of_sigmoids():
    _, target = transferred("multiplicative")
    for selection in selections(target).values():
        torch.nn.init.normal_(selection.s)
    s = torch.cat([selection.s.detach().flatten() for selection in selections(target).values()])
    assert sparsity(target).item() == pytest.approx((1 / (1 + (-s).exp())).mean().item(), rel=1e-5)
    sparsity(target).backward()
    for selection in selections(target).values():
        share = selection.s.sigmoid()
        torch.testing.assert_close(selection.s.grad, share * (1 - share) / len(s))
