"""How a head learns to tell deposits by the codes of their windows, and how its word is weighed.

Daruna et al. 2024 (arXiv 2406.12756), downstream. Deposits kept from training are whole: cells of
one deposit never lie on both sides, as they do in the released split.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import precision_recall_curve
from torch import Tensor, nn

from xgeoanom.conventions import DEPOSIT
from xgeoanom.detectors.block_windows import BATCH
from xgeoanom.detectors.training import EarlyStopping, train
from xgeoanom.detectors.training_set import held_out
from xgeoanom.nets.mim_head import fit_temperature, nnpu_loss, smoothed
from xgeoanom.nets.window_classifier import WindowClassifier
from xgeoanom.seeding import torch_seed

if TYPE_CHECKING:
    from xgeoanom.detectors.mim import MIM

WEIGHT_DECAY = 1e-2  # released
MOST_SEEN = 2000  # codes that a cell is compared with
PARTS = 5  # of the survey, between which codes are compared


def learn_head(
    network: WindowClassifier,
    values: np.ndarray,
    label: np.ndarray,
    deposit: np.ndarray,
    places: np.ndarray,
    settings: "MIM",
    rng: np.random.Generator,
    stop: threading.Event,
) -> dict[str, Any]:
    """Train a classifier in place on windows; return its losses, temperature and threshold.

    ``values`` is ``(example, element, side, side)``; ``label`` is 1 for deposits; ``deposit``
    numbers these, and is -1 elsewhere; ``places`` is ``(example, 2)``.
    """
    where = next(network.parameters()).device
    generator = torch.Generator(where).manual_seed(torch_seed(rng))
    positive = label == DEPOSIT
    kept = _kept(positive, deposit, settings.kept, rng)
    windows = torch.from_numpy(values)
    # A frozen encoder says the same in each epoch: its codes are all that the head needs.
    learner: nn.Module = network if settings.tuned else network.head
    inputs = (windows if settings.tuned else codes_of(network, windows)).to(where)
    target = torch.from_numpy(positive).to(where)
    loss = _loss(settings)

    def loss_on(members: Tensor) -> Tensor:
        members = members.to(where)
        return loss(learner(inputs[members]), target[members])

    members = torch.from_numpy(_balanced(~kept, positive))
    validation = torch.from_numpy(np.flatnonzero(kept))
    watch = EarlyStopping(lambda: loss_on(validation), settings.patience) if kept.any() else None
    dropouts = [layer for layer in learner.modules() if hasattr(layer, "generator")]
    for layer in dropouts:
        layer.generator = generator  # type: ignore[assignment]
    rate = settings.head_learning_rate
    losses = train(
        learner,
        lambda batch: loss_on(members[batch]),
        len(members),
        optimizer=torch.optim.AdamW(learner.parameters(), lr=rate, weight_decay=WEIGHT_DECAY),
        epochs=settings.head_epochs,
        batch_size=settings.head_batch_size,
        rng=rng,
        stop=stop,
        watch=watch,
    )
    for layer in dropouts:
        layer.generator = None  # type: ignore[assignment]
    network.eval()
    _remember(network, windows[~kept], places[~kept], rng)
    told = {"temperature": 1.0, "threshold": 0.5}
    if kept.any() and settings.loss == "bce":
        told = _calibrate(network, windows[kept], positive[kept], settings.smoothing)
    history = {"kept_loss": watch.history} if watch is not None else {}
    return {"loss": losses, **history, **told}


@torch.no_grad()  # not inference mode: what is remembered must stay a tensor like others
def codes_of(network: WindowClassifier, windows: Tensor) -> Tensor:
    """Return the code of each window, on the network's device."""
    where = next(network.parameters()).device
    encoder = network.encoder.eval()
    return torch.cat([encoder(part.to(where)) for part in windows.split(BATCH)])


def _kept(
    positive: np.ndarray, deposit: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a mask of examples kept from training: whole deposits, single others."""
    kept = np.zeros(len(positive), dtype=bool)
    if share == 0:
        return kept
    kept[positive] = held_out(deposit[positive], share, rng, whole=True)
    if kept.any():
        kept[~positive] = held_out(deposit[~positive], share, rng, whole=False)
    return kept if (~kept & ~positive).any() else np.zeros_like(kept)


def _balanced(training: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return the examples to learn from, deposits as often as others where these are more."""
    deposits, others = (np.flatnonzero(training & side) for side in (positive, ~positive))
    return np.concatenate([np.resize(deposits, max(len(deposits), len(others))), others])


def _loss(settings: "MIM") -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of logits against what is a deposit."""
    if settings.loss == "nnpu":
        return lambda logits, positive: nnpu_loss(logits, positive, settings.prior)

    def smoothed_entropy(logits: Tensor, positive: Tensor) -> Tensor:
        target = smoothed(positive.float(), settings.smoothing)
        return nn.functional.binary_cross_entropy_with_logits(logits, target)

    return smoothed_entropy


def _remember(
    network: WindowClassifier, windows: Tensor, places: np.ndarray, rng: np.random.Generator
) -> None:
    """Let the network keep the codes that it learnt from, and in which part of the survey."""
    chosen = np.sort(rng.permutation(len(windows))[:MOST_SEEN])
    n_parts = min(PARTS, len(np.unique(places[chosen], axis=0)))
    clusters = KMeans(n_parts, n_init=1, random_state=int(rng.integers(2**31)))
    parts = clusters.fit_predict(places[chosen])
    codes = codes_of(network, windows[torch.from_numpy(chosen)])
    network.remember(codes, torch.from_numpy(parts).to(codes.device))


@torch.inference_mode()
def _calibrate(
    network: WindowClassifier, windows: Tensor, positive: np.ndarray, smoothing: float
) -> dict[str, float]:
    """Set the temperature by examples kept from training; return it, and the best F1's score.

    Targets are smoothed: else few examples, wholly parted, would make all scores 0 or 1.
    """
    logits = network.head(codes_of(network, windows)).cpu()
    target = smoothed(torch.from_numpy(positive).float(), smoothing)
    temperature = fit_temperature(logits, target)
    network.head.temperature.fill_(temperature)
    scores = (logits / temperature).sigmoid().numpy()
    precision, recall, thresholds = precision_recall_curve(positive, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return {"temperature": temperature, "threshold": float(thresholds[f1[:-1].argmax()])}
