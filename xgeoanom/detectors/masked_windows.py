"""What all detectors share that learn from windows of which a part is hidden.

Daruna et al. 2024, "GFM4MPM: towards geospatial foundation models for mineral prospectivity
mapping", arXiv 2406.12756, pretraining. Sizes marked "released" are those of the configurations
that were released in June 2024; the text names few.
"""

import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from xgeoanom.blocks import Footprint, gather
from xgeoanom.conventions import BINARY, kinds_of
from xgeoanom.detectors.base import Detector
from xgeoanom.detectors.checkpoint import Checkpoint, digest_of
from xgeoanom.detectors.pretraining import pretrain
from xgeoanom.detectors.settings import check_choice, check_number, check_path, check_whole
from xgeoanom.detectors.window_stream import WindowStream
from xgeoanom.errors import CubeError, WindowError, XGeoAnomError
from xgeoanom.nets import mae

MOST_SCALED = 100_000  # cells that mean, spread and quartiles come from

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class MaskedWindows(Detector):
    """Base of the detectors that learn from windows of which a part is hidden.

    It holds the sizes of the masked autoencoder, how that learns, and how bands are scaled.
    """

    window: int = 5  # released
    patch: int = 1  # released
    width: int = 64  # ours; released: 256
    depth: int = 3  # ours; released: 6
    heads: int = 4  # ours; released: 8
    decoder_width: int = 32  # ours; released: 128
    decoder_depth: int = 1  # ours; released: 2
    decoder_heads: int = 4  # released
    mask_ratio: float = 0.75  # released
    loss_on: str = "masked"  # ours, and He et al.; released: "all"
    fences: float | None = 3.0  # ours; the paper's 1.5 takes many anomalies away
    most: int = 100_000  # ours
    epochs: int = 10  # released: 10 to 30
    batch_size: int = 256  # ours; released: 1024
    learning_rate: float = 1e-3  # released
    checkpoint: str | None = None

    scaling: ClassVar[tuple[str, ...]] = ("mean", "scale", "lowest", "highest")

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Return the released settings, for which a GPU is wise."""
        settings = {"width": 256, "depth": 6, "heads": 8, "decoder_width": 128, "decoder_depth": 2}
        rest = {"loss_on": "all", "fences": 1.5, "batch_size": 1024, "epochs": 30}
        return cls(**{**settings, **rest, **changes})

    def __post_init__(self) -> None:
        whole = ("draws", "window", "patch", "width", "depth", "heads", "decoder_width")
        for field in (*whole, "decoder_depth", "decoder_heads", "most", "batch_size"):
            check_whole(field, getattr(self, field), 1)
        check_whole("epochs", self.epochs, self._least_epochs)
        check_choice("loss_on", self.loss_on, mae.LOSSES)
        check_number("mask_ratio", self.mask_ratio, 1)
        check_number("learning_rate", self.learning_rate, float("inf"))
        if self.fences is not None:
            check_number("fences", self.fences, float("inf"))
        if self.window < 3 or self.window % 2 == 0:
            raise WindowError(f"window={self.window} must be odd and at least 3 cells; try 5")
        check_path("checkpoint", self.checkpoint)
        with torch.device("meta"):  # no memory, no random numbers
            self.autoencoder(1)  # its sizes must fit each other
        mae.count_visible((self.window // self.patch) ** 2, self.mask_ratio)

    _least_epochs: ClassVar[int] = 1

    @property
    def footprint(self) -> Footprint:
        """Half the window."""
        return Footprint(halo=self.window // 2)

    def autoencoder(self, n_elements: int, binary: tuple[int, ...] = ()) -> mae.MaskedAutoencoder:
        """Return an untrained masked autoencoder of this detector's sizes."""
        return mae.MaskedAutoencoder(
            n_elements,
            window=self.window,
            patch=self.patch,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            decoder_width=self.decoder_width,
            decoder_depth=self.decoder_depth,
            decoder_heads=self.decoder_heads,
            binary=binary,
        )

    def stream_of(self, cube: Any, known: np.ndarray) -> WindowStream:
        """Return the windows around the ``known`` cells of a cube."""
        halo = self.footprint.halo
        stream = WindowStream(cube.data, known, self.standardise, halo=halo, most=self.most)
        logger.info(
            "%d windows an epoch, %.0f MB of blocks in memory",
            len(stream),
            stream.most_bytes / 1e6,
        )
        return stream

    def learn_windows(
        self, network: mae.MaskedAutoencoder, stream: WindowStream, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Pretrain ``network`` on windows without labels; return its history."""
        own = [field.name for field in fields(MaskedWindows)]  # not those of a head
        told = {name: v for name, v in self.hyperparameters().items() if name in own}
        run = digest_of(
            settings={**told, "draws": 1},
            rng=rng.bit_generator.state,
            scaling=[getattr(self, f"{name}_") for name in self.scaling],
            elements=self.elements_,
            known=stream.known,
            windows=len(stream),
        )
        kept = None
        if self.checkpoint is not None:
            kept = Checkpoint(Path(self.checkpoint) / f"{run}-windows.pt", run)
        return pretrain(network, stream, self, rng, kept, self._stop)

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Bring ``(..., element, y, x)`` inside the fences, then scale it; keep NaN.

        Bands of zeros and ones stay as they are.
        """
        low, high = self.lowest_[:, None, None], self.highest_[:, None, None]
        return super().standardise(np.clip(values, low, high))

    def _remember(self, cube: Any) -> None:
        """Scale by mean and spread inside the fences, of all valid cells or of many of them.

        Fences are Tukey's: so many interquartile ranges below the first and above the third
        quartile; none for a band whose quartiles are the same. What lies beyond is drawn to the
        fence. (The paper's 5th and 95th percentile in its place would turn the order of values
        round.)
        """
        super()._remember(cube)
        if self.checkpoint is not None and self.seed is None:
            raise XGeoAnomError(
                f"checkpoint={str(self.checkpoint)!r} needs a seed: without one each fit is "
                "another run, and none goes on; give seed=0"
            )
        values = self._some_cells(cube)
        self.lowest_ = np.full(values.shape[1], -np.inf)
        self.highest_ = np.full(values.shape[1], np.inf)
        if self.fences is not None:
            q1, q3 = np.quantile(values, [0.25, 0.75], axis=0)
            reach = np.where(q3 > q1, self.fences * (q3 - q1), np.inf)
            self.lowest_, self.highest_ = q1 - reach, q3 + reach
        binary = np.array(kinds_of(cube)) == BINARY
        self._check_binary(values[:, binary])
        self.lowest_[binary], self.highest_[binary] = 0.0, 1.0
        inside = np.clip(values, self.lowest_, self.highest_)
        spread = inside.std(axis=0)
        self.mean_ = np.where(binary, 0.0, inside.mean(axis=0))
        self.scale_ = np.where(binary | (spread == 0), 1.0, spread)
        self.binary_ = tuple(np.flatnonzero(binary).tolist())

    def _some_cells(self, cube: Any) -> np.ndarray:
        """Return the values ``(cell, element)`` of valid cells, of many an even choice."""
        cells = np.flatnonzero(self.valid_.values)
        if not cells.size:
            raise CubeError("no cell of the cube has all its elements; fill gaps or drop elements")
        chosen = cells[np.linspace(0, cells.size - 1, min(cells.size, MOST_SCALED)).astype(int)]
        values = gather(cube.data, *np.divmod(chosen, self.valid_.shape[1]))
        return values[..., 0, 0].astype("float64")

    def _check_binary(self, values: np.ndarray) -> None:
        if not np.isin(values, (0.0, 1.0)).all():
            raise CubeError(
                "kind='binary' of an element with other values than 0 and 1; correct it"
            )
