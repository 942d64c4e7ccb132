"""Where the source network of a transfer comes from: a file, or the training windows themselves."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from xgeoanom.detectors.base import Detector
from xgeoanom.detectors.checkpoint import Checkpoint
from xgeoanom.detectors.transfer_training import Crops, Descent, Loss
from xgeoanom.errors import CubeError, XGeoAnomError
from xgeoanom.nets.resnet import ResNet18

TURNS = 4  # by a quarter each


def read_source(path: str, elements: list[str], width: int) -> ResNet18:
    """Return the one network of a saved ``SKT.plain()`` that knows ``elements``."""
    found = Detector.load(Path(path), device="cpu")
    if found.elements_ != elements:
        raise CubeError(
            f"source={path!r} knows the elements {found.elements_}, the cube has {elements}; "
            "select those that both have, in one order, and train it anew"
        )
    settings = found.hyperparameters()
    given = [settings.get(name) for name in ("dilations", "mask", "width")]
    if given != [(0,), False, width] or len(found.networks_) != 1:
        raise XGeoAnomError(
            f"source={path!r} must hold one plain network of width={width}; save a fitted "
            f"SKT.plain(width={width}, draws=1) there"
        )
    body = found.networks_[0].get_submodule("bodies.0")
    assert isinstance(body, ResNet18)
    return body


def learn_turns(
    source: ResNet18,
    crops: Crops,
    descent: Descent,
    epochs: int,
    rng: np.random.Generator,
    checkpoint: Checkpoint | None,
) -> list[float]:
    """Let ``source`` learn how windows were turned, and return its losses.

    It needs no label (Gidaris et al. 2018, "Unsupervised representation learning by predicting
    image rotations"). The paper's own source, "a well-trained large task", is not public.
    """
    loss_of = turns_loss(source, crops)
    return descent.run(source, loss_of, len(crops.windows), epochs, rng, checkpoint)


def turns_loss(network: nn.Module, crops: Crops) -> Loss:
    """Return the loss of telling by how many quarters a window was turned."""

    def loss_of(members: Tensor) -> Tensor:
        parts = crops.of(members)
        turns = torch.randint(TURNS, (len(parts),), generator=crops.generator, device=parts.device)
        turned = torch.stack(
            [torch.rot90(x, k, (1, 2)) for x, k in zip(parts, turns.tolist(), strict=True)]
        )
        return nn.functional.cross_entropy(network(turned), turns)

    return loss_of
