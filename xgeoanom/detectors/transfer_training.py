"""How the networks of SKT learn from windows (Huang et al. 2022, sections 3.3 to 4.1)."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from xgeoanom.detectors.checkpoint import Checkpoint
from xgeoanom.detectors.training import train
from xgeoanom.nets.selective_transfer import selections, sparsity
from xgeoanom.nets.targets import TargetNetworks, distillation

Loss = Callable[[Tensor], Tensor]

SPARSITY = 1e-4  # weight of the selection's penalty; the paper gives none


@dataclass(frozen=True)
class Crops:
    """Random square parts of windows ``(window, element, size, size)``, ``crop`` cells a side."""

    windows: Tensor
    crop: int
    generator: torch.Generator

    def of(self, members: Tensor) -> Tensor:
        """Return a part of each of some windows (section 2.2)."""
        where = self.windows.device
        room = self.windows.shape[-1] - self.crop + 1
        corners = torch.randint(
            room, (len(members), 2), generator=self.generator, device=where
        ).tolist()
        parts = [
            self.windows[k, :, row : row + self.crop, col : col + self.crop]
            for k, (row, col) in zip(members.tolist(), corners, strict=True)
        ]
        return torch.stack(parts)

    def noise(self, like: Tensor) -> Tensor:
        """Return standard Gaussian noise of the shape of ``like``."""
        return torch.randn(like.shape, generator=self.generator, device=like.device)


@dataclass(frozen=True)
class Descent:
    """Stochastic gradient descent whose rate halves every so many epochs (section 4.1)."""

    learning_rate: float
    halve_every: int
    momentum: float
    weight_decay: float
    batch_size: int
    stop: threading.Event

    def run(
        self,
        network: nn.Module,
        loss_of: Loss,
        n_examples: int,
        epochs: int,
        rng: np.random.Generator,
        checkpoint: Checkpoint | None,
    ) -> list[float]:
        """Train ``network`` and return the mean loss of each epoch."""
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        return train(
            network,
            loss_of,
            n_examples,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=self.batch_size,
            rng=rng,
            scheduler=torch.optim.lr_scheduler.StepLR(optimizer, self.halve_every, gamma=0.5),
            stop=self.stop,
            checkpoint=checkpoint,
        )


def targets_loss(
    network: TargetNetworks,
    crops: Crops,
    label: Tensor,
    *,
    noisy: Tensor,
    noise: float,
    members: Tensor,
    beta: float,
) -> Loss:
    """Return the loss of classification and self-distillation (eq. 12).

    ``members`` are windows, maybe several times; ``noisy`` says which of these get ``noise``.
    ``label``, of windows, is 1 where these hold a deposit. Classes weigh the same.
    """
    counts = torch.bincount(label[members], minlength=2)
    where = crops.windows.device
    weight = (len(members) / (2 * counts)).to(where)
    selects = bool(selections(network))

    def loss_of(batch: Tensor) -> Tensor:
        parts = crops.of(members[batch])
        spread = noise * noisy[batch].float().to(where)
        if spread.any():
            parts = parts + spread[:, None, None, None] * crops.noise(parts)
        target = label[members[batch]].to(where)
        teachers: list[Tensor] = []
        before = torch.zeros((), device=where)
        for v in range(len(network.bodies)):
            logits = network.logits(v, parts)
            loss = nn.functional.cross_entropy(logits, target, weight=weight)
            loss = loss + beta * distillation(logits, teachers)
            teachers.append(logits)
            if v < len(network.bodies) - 1:
                # Networks share no gradient but the mask's: one by one, memory is that of one.
                loss.backward()
                before += loss.detach()
        return before + loss + (SPARSITY * sparsity(network) if selects else 0)

    return loss_of
