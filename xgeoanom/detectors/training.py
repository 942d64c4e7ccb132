"""One training run: epochs over shuffled batches, with progress and a way to stop."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

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
    watch: "EarlyStopping | None" = None,
) -> list[float]:
    """Train ``network`` and return the mean loss of each epoch.

    ``loss_of`` maps the indices of a batch's examples to its mean loss. ``stop``, once set, ends
    the run at the next batch: a run on a thread hears of an interruption by no other way.
    ``watch`` ends it once the network no longer gains, and leaves the best one.
    """
    order = torch.Generator().manual_seed(torch_seed(rng))
    history = []
    network.train()
    for _ in tqdm(range(epochs), desc="training", unit="epoch", leave=False, disable=None):
        total = 0.0
        for batch in _batches(torch.randperm(n_examples, generator=order), batch_size):
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            optimizer.zero_grad()
            loss = loss_of(batch)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        if scheduler is not None:
            scheduler.step()
        history.append(total / n_examples)
        if not history[-1] <= BLOWN_UP * max(history[0], 1.0):
            raise XGeoAnomError(
                f"training diverged: the loss is {history[-1]:.3g} in epoch {len(history)}; lower "
                "learning_rate"
            )
        if watch is not None and watch.is_over(network):
            break
    if watch is not None:
        network.load_state_dict(watch.best)
    if not all(tensor.isfinite().all() for tensor in network.state_dict().values()):
        raise XGeoAnomError("training diverged: parameters are not finite; lower learning_rate")
    network.eval()
    return history


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

    def is_over(self, network: nn.Module) -> bool:
        """Look at the network after one more epoch."""
        network.eval()
        with torch.inference_mode():
            self.history.append(self.loss().item())
        network.train()
        best = int(np.argmin(self.history))
        if best == len(self.history) - 1:
            self.best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return len(self.history) - 1 - best >= self.patience


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
