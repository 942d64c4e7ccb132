"""The loss of SKT against one naive graph of all networks; crops and noise."""

import copy
import threading

import numpy as np
import pytest
import torch

from xgeoanom.detectors.transfer_training import SPARSITY, Crops, Descent, targets_loss
from xgeoanom.nets.resnet import ResNet18
from xgeoanom.nets.selective_transfer import select_from, selections
from xgeoanom.nets.targets import TargetNetworks

LABEL = torch.tensor([1, 0, 0, 1, 0])
MEMBERS = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4])  # 4 with deposits, 4 without: by copies
NOISY = torch.tensor([False, True, True, False, False, True, False, False])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def crops_of(windows, crop, seed=0):
    return Crops(windows, crop, torch.Generator().manual_seed(seed))


def target_networks(transfer, mask=True):
    networks = TargetNetworks(3, (0, 1, 2), width=2, mask=mask)
    if transfer:
        for body in networks.bodies:
            select_from(ResNet18(3, width=2), body)
            for selection in selections(body).values():
                torch.nn.init.normal_(selection.s)
    return networks


def naive_loss(networks, parts, target, weight, beta):
    """Eq. 12, of all networks at once, from probabilities."""
    probability = networks(parts).softmax(dim=2)
    total = 0.0
    for v in range(len(probability)):
        own = probability[v]
        chosen = own[torch.arange(len(target)), target]
        total = total - (weight[target] * chosen.log()).sum() / weight[target].sum()
        for teacher in probability[:v].detach():
            total = total + beta * (teacher * (teacher / own).log()).sum() / len(target)
    s = [selection.s.flatten() for selection in selections(networks).values()]
    return total + (SPARSITY * torch.cat(s).sigmoid().mean() if s else 0)


def differing_norms(networks):
    return {name: t for name, t in networks.state_dict().items() if "running" in name}


@pytest.mark.parametrize("beta", [0.0, 0.7])
@pytest.mark.parametrize(("transfer", "mask"), [(True, True), (False, False)])
def test_loss_and_gradients_are_those_of_one_graph(transfer, mask, beta):
    networks = target_networks(transfer, mask)
    twin = copy.deepcopy(networks)
    windows = torch.randn(5, 3, 14, 14)
    crops = crops_of(windows, 14)  # all of a window
    members = torch.tensor([0, 1, 2, 2, 3, 4])  # two with deposits, four without
    loss_of = targets_loss(
        networks,
        crops,
        LABEL,
        members=members,
        noisy=torch.zeros(6, dtype=torch.bool),
        noise=0.1,
        beta=beta,
    )
    batch = torch.tensor([0, 2, 3, 4, 5])
    loss = loss_of(batch)
    loss.backward()
    weight = torch.tensor([6 / (2 * 4), 6 / (2 * 2)])
    expected = naive_loss(twin, windows[[0, 2, 2, 3, 4]], LABEL[[0, 2, 2, 3, 4]], weight, beta)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    for (name, ours), theirs in zip(networks.named_parameters(), twin.parameters()):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5, msg=name)
        assert ours.grad.abs().sum() > 0, name
    # Batch normalisation has looked once in both.
    norms = differing_norms(twin)
    for name, tensor in differing_norms(networks).items():
        torch.testing.assert_close(tensor, norms[name], msg=name)


class Recorder(TargetNetworks):
    """Keeps what its networks are shown."""

    def logits(self, v, x):
        self.__dict__.setdefault("shown", []).append(x.clone())
        return super().logits(v, x)


def shown(noise, batch, *, seed=0, size=16):
    networks = Recorder(2, (0, 0), width=2)
    windows = torch.arange(5.0)[:, None, None, None].expand(5, 2, size, size)
    loss_of = targets_loss(
        networks,
        crops_of(windows, size, seed),
        LABEL,
        members=MEMBERS,
        noisy=NOISY,
        noise=noise,
        beta=0.7,
    )
    loss_of(batch)
    first, *others = networks.shown
    assert all(torch.equal(first, other) for other in others)  # all networks see the same
    return first, windows


def test_noise_comes_to_noisy_copies_alone():
    batch = torch.tensor([7, 0, 1, 2, 5, 4, 3])
    parts, windows = shown(0.1, batch, size=32)
    clean = windows[MEMBERS[batch]]
    noisy = NOISY[batch]
    assert torch.equal(parts[~noisy], clean[~noisy])
    added = (parts - clean)[noisy]
    assert added.std().item() == pytest.approx(0.1, rel=0.05)
    assert abs(added.mean().item()) < 0.01
    assert not torch.equal(added[0], added[1])
    assert len(added) == 3
    again, other = shown(0.1, batch, size=32)[0], shown(0.1, batch, seed=1, size=32)[0]
    assert torch.equal(again, parts)
    assert not torch.equal(other, parts)


@pytest.mark.parametrize(("noise", "batch"), [(0.0, range(8)), (0.1, [0, 3, 4, 6])])
def test_without_noise_windows_are_what_they_are(noise, batch):
    parts, windows = shown(noise, torch.tensor(batch))
    assert torch.equal(parts, windows[MEMBERS[torch.tensor(batch)]])


def test_crops_lie_inside_windows():
    size, crop = 7, 4
    cells = torch.arange(size * size).reshape(size, size)
    windows = torch.stack([cells + 100 * k for k in range(3)])[:, None].float()
    members = torch.arange(3).repeat(200)
    parts = crops_of(windows, crop).of(members)
    assert parts.shape == (600, 1, crop, crop)
    corners = parts[:, 0, 0, 0].long()
    np.testing.assert_array_equal(corners // 100, members)
    rows, cols = corners % 100 // size, corners % 100 % size
    for part, member, row, col in zip(parts, members, rows, cols):
        expected = windows[member, :, row : row + crop, col : col + crop]
        assert torch.equal(part, expected)
    # Each of the sixteen places is as likely: 37.5 of 600, s.d. 6.
    counts = np.bincount(rows * size + cols, minlength=49).reshape(7, 7)
    assert counts[:4, :4].min() > 12
    assert counts[:4, :4].sum() == 600


def test_crops_are_seeded():
    windows, members = torch.randn(3, 1, 9, 9), torch.arange(3).repeat(5)
    one, same, other = (crops_of(windows, 5, seed) for seed in (1, 1, 2))
    first = one.of(members)
    assert torch.equal(first, same.of(members))
    assert not torch.equal(first, one.of(members))
    assert not torch.equal(first, other.of(members))
    assert torch.equal(crops_of(windows, 9).of(members), windows[members])


def test_the_rate_halves_every_so_many_epochs(monkeypatch):
    rates, step = [], torch.optim.SGD.step

    def spied(self):
        rates.append(self.param_groups[0]["lr"])
        step(self)

    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    network = torch.nn.Linear(1, 1)
    descent = Descent(
        learning_rate=0.4,
        halve_every=2,
        momentum=0.5,
        weight_decay=0.25,
        batch_size=3,
        stop=threading.Event(),
    )
    losses = descent.run(
        network,
        lambda batch: 0 * network(torch.ones(len(batch), 1)).sum(),
        6,
        5,
        np.random.default_rng(0),
        None,
    )
    assert losses == [0.0] * 5
    assert rates == [0.4] * 4 + [0.2] * 4 + [0.1] * 2
