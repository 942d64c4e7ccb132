"""One training run: epochs over shuffled batches, with progress and a way to stop."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from xgeoanom.detectors.checkpoint import Checkpoint
from xgeoanom.errors import XGeoAnomError
from xgeoanom.seeding import torch_seed

BLOWN_UP = 1000.0  # times the first loss, or times 1: no training comes back from there


def train(
    network: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    n_examples: int,
    *,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    stop: threading.Event | None = None,
    watch: "Watch | None" = None,
    checkpoint: Checkpoint | None = None,
    order_of: Callable[[torch.Generator], Tensor] | None = None,
) -> list[float]:
    """Train ``network`` and return the mean loss of each epoch.

    ``loss_of`` maps the indices of a batch's examples to its mean loss. ``stop``, once set, ends
    the run at the next batch: a run on a thread hears of an interruption by no other way.
    ``watch`` looks at the network after each epoch, and may end the run. ``checkpoint`` keeps the
    state after each epoch: called again, the run goes on from there to the same end. ``order_of``
    draws the indices of an epoch, where they are not all examples in any order.
    """
    order = torch.Generator().manual_seed(torch_seed(rng))
    parts = {"network": network, "optimizer": optimizer, "order": order}
    parts |= {"scheduler": scheduler} if scheduler is not None else {}
    parts |= {"watch": watch} if watch is not None else {}
    history = checkpoint.restore(parts) if checkpoint is not None else []
    network.train()
    bar = _progress(len(history), epochs)
    for _ in bar:
        if watch is not None and watch.over:
            break
        indices = order_of(order) if order_of else torch.randperm(n_examples, generator=order)
        history.append(_epoch(loss_of, optimizer, _batches(indices, batch_size), stop))
        if scheduler is not None:
            scheduler.step()
        if not history[-1] <= BLOWN_UP * max(history[0], 1.0):
            raise XGeoAnomError(
                f"training diverged: the loss is {history[-1]:.3g} in epoch {len(history)}; lower "
                "learning_rate"
            )
        if watch is not None:
            watch.look(network)
        bar.set_postfix(loss=history[-1], **(watch.told if watch is not None else {}))
        if checkpoint is not None:
            checkpoint.save(parts, history)
    if watch is not None:
        watch.leave(network)
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        raise XGeoAnomError("training diverged: parameters are not finite; lower learning_rate")
    network.eval()
    return history


def _progress(done: int, epochs: int) -> "tqdm[int]":
    """Count the epochs that are left, with a bar."""
    bar = {"desc": "training", "unit": "epoch", "leave": False, "disable": None}
    return tqdm(range(done, epochs), initial=done, total=epochs, **bar)


def _epoch(
    loss_of: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    batches: list[Tensor],
    stop: threading.Event | None,
) -> float:
    """Go once through ``batches``; return the mean loss of their examples."""
    total = 0.0
    for batch in batches:
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
        optimizer.zero_grad()
        loss = loss_of(batch)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    return total / sum(map(len, batches))


class Watch(Protocol):
    """What looks at a network while it learns; its state goes into checkpoints."""

    @property
    def over(self) -> bool:
        """Whether training is to end."""

    @property
    def told(self) -> dict[str, float]:
        """What the progress bar says of the last look."""

    def look(self, network: nn.Module) -> None:
        """Look at the network after one more epoch."""

    def leave(self, network: nn.Module) -> None:
        """Put the network into the state in which training leaves it."""

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen, as a checkpoint keeps it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""


class EarlyStopping:
    """Watches a loss on examples kept from training, and keeps the network of its least value.

    Parameters
    ----------
    loss : callable
        Returns the loss; the network is in evaluation mode then.
    patience : int
        Epochs without a new least value after which training is over.
    """

    def __init__(self, loss: Callable[[], Tensor], patience: int) -> None:
        self.loss = loss
        self.patience = patience
        self.history: list[float] = []
        self.best: dict[str, Tensor] = {}

    def look(self, network: nn.Module) -> None:
        """Look at the network after one more epoch."""
        network.eval()
        with torch.inference_mode():
            self.history.append(self.loss().item())
        network.train()
        if int(np.argmin(self.history)) == len(self.history) - 1:
            self.best = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    @property
    def told(self) -> dict[str, float]:
        """Return the last loss on what was kept from training."""
        return {"kept": self.history[-1]}

    def leave(self, network: nn.Module) -> None:
        """Put the network of the least loss back."""
        network.load_state_dict(self.best)

    @property
    def over(self) -> bool:
        """Whether the last ``patience`` epochs brought no new least value."""
        if not self.history:
            return False
        return len(self.history) - 1 - int(np.argmin(self.history)) >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen, as a checkpoint keeps it."""
        return {"history": self.history, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.history, self.best = list(state["history"]), dict(state["best"])


def _batches(order: Tensor, size: int) -> list[Tensor]:
    """Cut ``order``; a last batch of one joins the one before: batch normalisation needs two."""
    *whole, last = order.split(size)
    if whole and len(last) == 1:
        whole[-1] = torch.cat([whole[-1], last])
        return whole
    return [*whole, last]


@contextlib.contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """Let torch draw from ``rng`` inside the block and leave its own state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(rng))
        yield
