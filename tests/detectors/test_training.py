"""Training runs against closed forms; interruption."""

import threading

import numpy as np
import pytest
import torch

from xgeoanom.detectors.training import EarlyStopping, _batches, seeded, train


def run(seed=0, stop=None, epochs=60):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(64, 3)))
    y = x @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) + 3
    with seeded(rng):
        network = torch.nn.Linear(3, 1).double()
    history = train(
        network,
        lambda batch: ((network(x[batch])[:, 0] - y[batch]) ** 2).mean(),
        len(x),
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        epochs=epochs,
        batch_size=16,
        rng=rng,
        stop=stop,
    )
    return network, history


def test_a_linear_network_finds_the_line():
    network, history = run()
    np.testing.assert_allclose(network.weight.detach()[0], [1, -2, 0.5], atol=1e-3)
    assert network.bias.item() == pytest.approx(3, abs=1e-3)
    assert len(history) == 60
    assert history[-1] < 1e-5 < history[0]
    assert not network.training


def test_same_stream_same_run():
    first, again, other = run(0, epochs=2), run(0, epochs=2), run(1, epochs=2)
    assert first[1] == again[1] != other[1]


def test_a_set_flag_stops_at_the_next_batch():
    stop = threading.Event()
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        run(stop=stop)


def test_seeded_leaves_torch_as_it_was():
    before = torch.get_rng_state()
    with seeded(np.random.default_rng(0)):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("n", "size", "expected"),
    [(5, 2, [2, 3]), (6, 2, [2, 2, 2]), (3, 2, [3]), (1, 2, [1]), (2, 1, [2]), (7, 9, [7])],
)
def test_no_last_batch_of_one(n, size, expected):
    order = torch.randperm(n)
    batches = _batches(order, size)
    assert [len(batch) for batch in batches] == expected
    assert torch.equal(torch.cat(batches), order)


def test_early_stopping_keeps_the_best():
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    modes = []

    def loss():  # training adds 1 to the weight in each epoch; 3 is best
        modes.append(network.training)
        return (network.weight - 3).abs().sum()

    watch = EarlyStopping(loss, patience=2)
    history = train(
        network,
        lambda batch: -network.weight.sum(),
        4,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        epochs=50,
        batch_size=4,
        rng=np.random.default_rng(0),
        watch=watch,
    )
    assert len(history) == 5
    assert watch.history == [2.0, 1.0, 0.0, 1.0, 2.0]
    assert network.weight.item() == 3.0
    assert not any(modes)
    assert not network.training


def test_without_patience_one_epoch_is_enough():
    network = torch.nn.Linear(1, 1)
    watch = EarlyStopping(lambda: network.weight.sum(), patience=0)
    assert not watch.over
    history = train(
        network,
        lambda batch: network.weight.sum() ** 2,
        4,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        epochs=9,
        batch_size=4,
        rng=np.random.default_rng(0),
        watch=watch,
    )
    assert watch.over
    assert len(history) == 1


def test_a_watch_goes_on_from_its_state():
    network = torch.nn.Linear(1, 1)
    losses = iter([3.0, 1.0, 2.0])
    watch = EarlyStopping(lambda: torch.tensor(next(losses)), patience=2)
    for _ in range(3):
        watch.look(network)
    other = EarlyStopping(lambda: torch.tensor(1.5), patience=2)
    other.load_state_dict(watch.state_dict())
    assert not other.over
    other.look(network)
    assert other.over
    assert other.history == [3.0, 1.0, 2.0, 1.5]
    assert watch.history == [3.0, 1.0, 2.0]


def seen_by(order_of, **more):
    """Return what ``train`` asks the loss of, epoch by epoch."""
    network, batches = torch.nn.Linear(1, 1), []

    def loss(batch):
        batches.append(batch.tolist())
        return network.weight.sum() ** 2

    history = train(
        network,
        loss,
        6,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        epochs=2,
        batch_size=4,
        rng=np.random.default_rng(0),
        order_of=order_of,
        **more,
    )
    assert len(history) == 2
    return batches


def test_an_epoch_may_visit_some_in_an_order_of_its_own():
    states = []

    def order_of(generator):
        states.append(torch.rand(1, generator=generator).item())
        return torch.tensor([5, 3, 4, 1, 9])

    assert seen_by(order_of) == [[5, 3, 4, 1, 9]] * 2  # no last batch of one
    assert states[0] != states[1]
    assert seen_by(order_of)
    assert states[2:] == states[:2]  # the stream of the run
    every = seen_by(lambda generator: torch.randperm(6, generator=generator))
    assert every == seen_by(None)
    assert sorted(every[0] + every[1]) == [0, 1, 2, 3, 4, 5]


class Sober:
    """Looks, and ends after its first look."""

    def __init__(self):
        self.looks, self.left, self.told = [], 0, {"seen": 1.0}

    @property
    def over(self):
        return len(self.looks) == 1

    def look(self, network):
        self.looks.append(network.weight.item())

    def leave(self, network):
        self.left += 1
        torch.nn.init.ones_(network.weight)


def test_a_watch_looks_ends_and_leaves():
    network, watch = torch.nn.Linear(1, 1, bias=False), Sober()
    history = train(
        network,
        lambda batch: (network.weight - 3).square().sum(),
        4,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.5),
        epochs=9,
        batch_size=4,
        rng=np.random.default_rng(0),
        watch=watch,
    )
    assert len(history) == 1
    assert watch.looks == [pytest.approx(3)]  # a step of Newton's, then the look
    assert watch.left == 1
    assert network.weight.item() == 1
    assert not network.training


def test_early_stopping_tells_its_last_loss():
    losses = iter([3.0, 1.0])
    watch = EarlyStopping(lambda: torch.tensor(next(losses)), patience=2)
    for expected in (3.0, 1.0):
        watch.look(torch.nn.Linear(1, 1))
        assert watch.told == {"kept": expected}
