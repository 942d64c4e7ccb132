"""How a masked autoencoder learns from windows without labels, and how well it rebuilds them."""

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from xgeoanom.detectors.checkpoint import Checkpoint
from xgeoanom.detectors.training import train
from xgeoanom.detectors.window_stream import WindowStream
from xgeoanom.nets.mae import MaskedAutoencoder, hidden_cells, random_mask
from xgeoanom.nets.reconstruction import psnr, ssim
from xgeoanom.nets.vit import patchify
from xgeoanom.seeding import torch_seed

if TYPE_CHECKING:
    from xgeoanom.detectors.masked_windows import MaskedWindows

WATCHED = 512  # windows whose reconstruction is judged after each epoch
WEIGHT_DECAY = 1e-2  # released
LONGEST_STEP = 1.0  # gradients are clipped to this norm; released


def pretrain(
    network: MaskedAutoencoder,
    stream: WindowStream,
    settings: "MaskedWindows",
    rng: np.random.Generator,
    checkpoint: Checkpoint | None,
    stop: threading.Event,
) -> dict[str, Any]:
    """Train ``network`` in place; return the loss, PSNR and SSIM of each epoch.

    On a GPU the forward pass runs in bfloat16.
    """
    where = next(network.parameters()).device
    generator = torch.Generator().manual_seed(torch_seed(rng))
    watch = ReconstructionWatch(stream.some(WATCHED, rng), settings.mask_ratio, rng)

    def loss_of(cells: Tensor) -> Tensor:
        windows = stream.windows(cells).to(where, non_blocking=True)
        with torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda"):
            return network.loss(windows, generator, settings.loss_on, settings.mask_ratio)

    if checkpoint is not None:
        checkpoint.generators["hidden"] = generator
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY
    )

    def clip(*_: Any) -> None:
        nn.utils.clip_grad_norm_(network.parameters(), LONGEST_STEP)

    optimizer.register_step_pre_hook(clip)
    losses = train(
        network,
        loss_of,
        len(stream),
        optimizer=optimizer,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rng=rng,
        scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs),
        stop=stop,
        watch=watch,
        checkpoint=checkpoint,
        order_of=stream.order,
    )
    return {"loss": losses, **watch.history}


class ReconstructionWatch:
    """Judges how well the hidden cells of some windows are rebuilt, the same after each epoch.

    ``history`` holds two means over bands: ``psnr`` in dB, and ``ssim``. SSIM compares whole
    windows, in which visible cells are as they were.
    """

    over = False

    def __init__(self, windows: Tensor, ratio: float, rng: np.random.Generator) -> None:
        self.windows, self.ratio = windows, ratio
        self.generator_seed = torch_seed(rng)
        self.history: dict[str, list[float]] = {"psnr": [], "ssim": []}

    @property
    def told(self) -> dict[str, float]:
        """Return the last PSNR and SSIM."""
        return {name: values[-1] for name, values in self.history.items()}

    @torch.inference_mode()
    def look(self, network: nn.Module) -> None:
        """Rebuild the windows and judge them."""
        assert isinstance(network, MaskedAutoencoder)
        x = self.windows.to(next(network.parameters()).device)
        visible = masked(network, x, self.ratio, self.generator_seed)
        network.eval()
        rebuilt = network.reconstruct(x, visible)
        network.train()
        known = ~x.isnan()
        hidden = hidden_cells(visible, network.patch, x.shape[-1])[:, None] & known
        filled = torch.where(hidden, rebuilt, x.nan_to_num())
        judged = {"psnr": psnr(rebuilt, x, hidden), "ssim": ssim(filled, x, known)}
        for name, of_bands in judged.items():
            self.history[name].append(float(of_bands.nanmean()))

    def leave(self, network: nn.Module) -> None:
        """Leave the network as the last epoch did."""

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen."""
        return dict(self.history)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.history = {name: list(values) for name, values in state.items()}


def masked(network: MaskedAutoencoder, x: Tensor, ratio: float, seed: int) -> Tensor:
    """Return the visible tokens of windows, the same for the same seed."""
    empty = patchify(x, network.patch).isnan().all(dim=2)
    generator = torch.Generator().manual_seed(seed)
    return random_mask(len(x), empty.shape[1], ratio, generator, empty).to(x.device)
