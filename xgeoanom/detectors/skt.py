"""SKT: target networks on dilated windows, with kernels selected from a source network.

Huang et al. 2022, "Prediction of Prospecting Target Based on Selective Transfer Network", Minerals
12(9), 1112. What the text leaves open is marked "ours".
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from xgeoanom.blocks import Footprint, gather
from xgeoanom.conventions import BACKGROUND, DEPOSIT, X, Y
from xgeoanom.detectors.base import Detector, Explanation
from xgeoanom.detectors.checkpoint import Checkpoint, digest_of
from xgeoanom.detectors.detect import detect
from xgeoanom.detectors.settings import (
    check_choice,
    check_number,
    check_path,
    check_several_whole,
    check_whole,
)
from xgeoanom.detectors.source_network import TURNS, learn_turns, read_source
from xgeoanom.detectors.training import seeded
from xgeoanom.detectors.training_set import copies_of, window_values, windows_to_learn
from xgeoanom.detectors.transfer_training import Crops, Descent, targets_loss
from xgeoanom.detectors.window_votes import check_sizes, probabilities, votes_over_block
from xgeoanom.errors import WindowError, XGeoAnomError
from xgeoanom.nets.attribution import integrated_gradients
from xgeoanom.nets.resnet import ResNet18
from xgeoanom.nets.selective_transfer import FORMS, fold, select_from, shares_kept
from xgeoanom.nets.targets import TargetNetworks
from xgeoanom.seeding import torch_seed

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr

STEPS = 128  # of integrated gradients

_CHOICES = {"transfer": (*FORMS, "none"), "background": ("drawn", "all")}

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class SKT(Detector):
    """Networks that vote on windows, each at its own scale, with kernels from a source network.

    Windows lie on a lattice, one every ``step`` cells. A window that holds a deposit's cell is of
    the class with deposits. Elements are weighed by a soft mask; a dilated convolution for each
    target network sets its scale; its kernels are selected from those of a source network and
    multiplied by what it learns; and the networks of wider input teach those of narrower.

    The score of a cell is the share of votes for a deposit, of all networks on all windows that
    cover the cell. ``mean`` is the mean of their probabilities, which are not calibrated.

    Parameters
    ----------
    window, step, crop : int
        Cells. ``step`` divides ``window``. Training takes a random part, ``crop`` cells a side,
        of a window; scoring the middle one.
    dilations : tuple of int
        Dilation of each target network's front, widest input first; 0 is none.
    width : int
        Channels of the stem of a ResNet-18.
    mask : bool
        Weigh the elements.
    transfer : {"multiplicative", "additive", "none"}
        How what is learned joins what is selected; or train from scratch.
    source : str or None
        File of a saved ``SKT.plain()``, of one draw and network and the same elements and width,
        from another survey. By default a network that learned how the training windows were turned.
    distillation : float
        The paper's beta; 0 switches it off.
    background : {"drawn", "all"}
        Train with as many windows without deposits as with, drawn at random, or with all.
    copies : tuple of int
        Copies of each window, with deposits and without; all but the first get ``noise``.
    noise : float
        Standard deviation of Gaussian noise, in standardised units.
    epochs, batch_size, learning_rate, halve_every, momentum, weight_decay
        Of SGD, whose rate halves every so many epochs.
    source_epochs : int
        Epochs of the source network where there is no file.
    checkpoint : str or None
        Folder for the state of the training after each epoch. An interrupted fit, called again
        with the same settings, seed and data, goes on from there to the same result. Files stay,
        two for each run; delete the folder once the detector is saved.

    Notes
    -----
    The lattice starts at the north-west corner. A window counts where more than half of its cells
    are known; the others enter as the mean. A cell that no such window covers has no score.
    Windows to learn from lie wholly in the survey: a warning names deposits that none of them
    holds. Where labels hold any 0, windows that hold one are background, and other windows
    without deposits take no part; else all without deposits are. Classes weigh the same.

    :func:`~xgeoanom.detectors.target_cam`, :func:`~xgeoanom.detectors.element_mask` and
    :func:`~xgeoanom.detectors.kept_kernels` explain a fitted detector.

    Examples
    --------
    >>> SKT().footprint
    Footprint(halo=28, step=4)
    >>> SKT.paper().dilations
    (1, 6, 12, 18, 24)
    """

    draws: int = 1
    window: int = 32
    step: int = 4
    crop: int = 28
    dilations: tuple[int, ...] = (1, 2, 3, 4, 5)
    width: int = 16
    mask: bool = True
    transfer: str = "multiplicative"
    source: str | None = None
    distillation: float = 0.7  # section 4.1
    background: str = "drawn"
    copies: tuple[int, ...] = (1, 1)
    noise: float = 0.1  # section 2.2: a variance of 0.01
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 0.02  # ours; see paper()
    halve_every: int = 8
    momentum: float = 0.9  # ours; the paper's 0.01 is probably a slip
    weight_decay: float = 1e-4  # section 4.1
    source_epochs: int = 10
    checkpoint: str | None = None

    name: ClassVar[str] = "skt"
    reads_unlabelled: ClassVar[bool] = True
    extra: ClassVar[dict[str, str]] = {"mean": "mean probability of all networks and windows"}

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Return the paper's settings (sections 2.2 and 4.1), for maps of thousands of cells.

        The source of the paper is not public: give one by ``source``.
        """
        settings = {
            "window": 256,
            "step": 128,
            "crop": 224,
            "dilations": (1, 6, 12, 18, 24),
            "width": 64,
            "background": "all",
            "copies": (14, 3),
            "epochs": 150,
            "batch_size": 128,
            "learning_rate": 0.1,
            "halve_every": 30,
            "momentum": 0.01,
        }
        return cls(**{**settings, **changes})

    @classmethod
    def plain(cls, networks: int = 1, **changes: Any) -> Self:
        """Return ordinary ResNet-18s that vote: a baseline, or a source to be saved."""
        settings = {"dilations": (0,) * networks, "mask": False, "transfer": "none"}
        return cls(**{**settings, "distillation": 0.0, **changes})

    def ablations(self) -> dict[str, Self]:
        """Return this detector and what is left of it without each part that it has (table 5)."""
        parts: dict[str, Any] = {
            "mask": {"mask": False},
            "dilation": {"dilations": (0,) * len(self.dilations)},
            "transfer": {"transfer": "none", "source": None},
            "distillation": {"distillation": 0.0},
        }
        without = {f"- {part}": replace(self, **change) for part, change in parts.items()}
        return {"SKT": self} | {name: less for name, less in without.items() if less != self}

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            check_choice(field, getattr(self, field), choices)
        for field in ("draws", "step", "width", "epochs", "halve_every", "source_epochs"):
            check_whole(field, getattr(self, field), 1)
        check_whole("batch_size", self.batch_size, 2)  # batch normalisation needs two windows
        for field, least, example in (("dilations", 0, (1, 2, 3, 4, 5)), ("copies", 1, (14, 3))):
            values = getattr(self, field)
            setattr(self, field, tuple(values) if isinstance(values, list) else values)
            check_several_whole(field, getattr(self, field), least, example)
        if len(self.copies) != 2:
            raise XGeoAnomError(f"copies={self.copies} must be two integers, as (14, 3)")
        for field in ("learning_rate", "noise", "distillation"):
            check_number(field, getattr(self, field), float("inf"))
        for field in ("momentum", "weight_decay"):
            check_number(field, getattr(self, field), 1)
        if not isinstance(self.mask, bool):
            raise XGeoAnomError(f"mask={self.mask!r} must be True or False")
        self._check_files()
        check_sizes(self.window, self.step, self.crop, self.dilations)

    def _check_files(self) -> None:
        for field in ("source", "checkpoint"):
            check_path(field, getattr(self, field))
        self.source = None if self.source is None else str(self.source)  # files hold no Path
        if self.source and self.transfer == "none":
            raise XGeoAnomError(f"source={self.source!r} is not read where transfer='none'")

    @property
    def footprint(self) -> Footprint:
        """All windows that cover a cell."""
        return Footprint(halo=self.window - self.step, step=self.step)

    def _check_size(self, cube: Any) -> None:
        size = cube.sizes[Y], cube.sizes[X]
        if self.window > min(size):
            raise WindowError(
                f"window={self.window} is larger than the survey ({size[0]} x {size[1]} cells); "
                "choose a smaller one"
            )

    def build(self, n_elements: int) -> nn.Module:
        """Return the target networks."""
        return TargetNetworks(n_elements, self.dilations, width=self.width, mask=self.mask)

    def draw(self, cube: Any, labels: Any, evidence: Any, rng: np.random.Generator) -> Any:
        """Return the windows to learn from, and the source network; one that is yet to learn."""
        if self.checkpoint is not None and self.seed is None:
            raise XGeoAnomError(
                f"checkpoint={str(self.checkpoint)!r} needs a seed: without one each fit is "
                "another run, and none goes on; give seed=0"
            )
        windows = self.training_windows(cube, labels, self.valid_, rng)
        if self.transfer == "none":
            return windows, None
        if self.source:
            return windows, read_source(self.source, self.elements_, self.width)
        with seeded(rng):  # here, not in `learn`: several run at once
            return windows, ResNet18(len(self.elements_), TURNS, self.width)

    def training_windows(
        self, cube: Any, labels: Any, known: Any, rng: np.random.Generator
    ) -> "xr.Dataset":
        """Return the labelled windows, each once, and ``values``; ``known`` is a mask of cells."""
        drawn = self.background == "drawn" and not (labels == BACKGROUND).any()
        windows = windows_to_learn(
            labels, known, size=self.window, step=self.step, rng=rng if drawn else None
        )
        n_windows = windows.sizes["window"]
        bytes_each = cube.sizes["element"] * self.window**2 * 4
        logger.info("%d windows, %.0f MB", n_windows, n_windows * bytes_each / 1e6)
        rows, cols = windows["row"].values, windows["col"].values
        values = window_values(cube, rows, cols, self.standardise, size=self.window)
        return windows.assign(values=(("window", "element", "dy", "dx"), values))

    def learn(self, network: nn.Module, examples: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Train the target networks, after their source if no file holds it; then fold them."""
        windows, source = examples
        where = next(network.parameters()).device
        values = torch.from_numpy(np.nan_to_num(windows["values"].values, copy=False))
        run = digest_of(
            settings=self.hyperparameters(),
            rng=rng.bit_generator.state,
            windows=[values, windows["label"].values],
            source=source and source.state_dict(),
        )
        generator = torch.Generator(where).manual_seed(torch_seed(rng))
        crops = Crops(values.to(where), self.crop, generator)
        rate = self.learning_rate, self.halve_every
        descent = Descent(*rate, self.momentum, self.weight_decay, self.batch_size, self._stop)
        history: dict[str, Any] = {}
        if source is not None:
            source.to(where)
            if not self.source:
                kept = self._checkpoint(f"{run}-source", generator)
                losses = learn_turns(source, crops, descent, self.source_epochs, rng, kept)
                history["source_loss"] = losses
            for body in network.get_submodule("bodies").children():
                select_from(source, body, self.transfer)  # type: ignore[arg-type]
        label = torch.from_numpy((windows["label"].values == DEPOSIT).astype("int64"))
        members, noisy = map(torch.from_numpy, copies_of(label.numpy(), self.copies))
        loss_of = targets_loss(
            network,  # type: ignore[arg-type]
            crops,
            label,
            members=members,
            noisy=noisy,
            noise=self.noise,
            beta=self.distillation,
        )
        kept = self._checkpoint(f"{run}-targets", generator)
        losses = descent.run(network, loss_of, len(members), self.epochs, rng, kept)
        history |= {"loss": losses, "kept": shares_kept(network.get_submodule("bodies").children())}
        fold(network)
        return history

    def _checkpoint(self, run: str, generator: torch.Generator) -> Checkpoint | None:
        if self.checkpoint is None:
            return None
        return Checkpoint(Path(self.checkpoint) / f"{run}.pt", run, [generator])

    def score_block(
        self, network: nn.Module, block: np.ndarray, rasters: Any, context: Any
    ) -> np.ndarray:
        """Return the share of votes and the mean probability ``(2, y, x)``."""
        return votes_over_block(network, block, size=self.window, step=self.step, crop=self.crop)

    def window_scores(self, values: np.ndarray) -> np.ndarray:
        """Return each target network's probability that windows hold a deposit.

        ``values`` is standardised, ``(window, element, size, size)``; the result ``(network,
        window)`` is the mean over draws. The middles of the windows are read, as by ``predict``.
        """
        self._check_fitted()
        windows = np.moveaxis(values, 0, 1)[:, None]
        at = np.argwhere(np.ones((1, len(values)), dtype=bool))
        return np.mean([probabilities(n, windows, at, self.crop) for n in self.networks_], axis=0)

    def around(self, cube: Any, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Return the standardised parts of ``crop`` cells around some cells."""
        patches = gather(cube.data, rows, cols, halo=self.crop // 2)
        return self.standardise(patches[..., : self.crop, : self.crop])

    def integrated_gradients(self, network: nn.Module, patches: np.ndarray) -> np.ndarray:
        """Share of each element in the logit of a location's window, ``(location, element)``.

        The logit is that of deposits less that of background, the mean of the target networks.
        The path runs from the survey's mean everywhere (Sundararajan, Taly and Yan 2017).
        """
        end = torch.from_numpy(np.nan_to_num(patches))
        shares = integrated_gradients(
            lambda x: network(x).diff(dim=2)[..., 0].mean(dim=0),
            torch.zeros_like(end),
            end,
            steps=STEPS,
        )
        return shares.sum(dim=(2, 3)).numpy()

    explanations: ClassVar[dict[str, Explanation]] = {"integrated_gradients": integrated_gradients}


def skt(
    ds: "xr.Dataset",
    labels: "Hashable | xr.DataArray",
    *,
    window: int = 32,
    step: int = 4,
    crop: int = 28,
    name: str = "skt",
    **params: Any,
) -> "xr.Dataset":
    """Score every cell by the votes of target networks on windows, with selective transfer.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube, ``(element, y, x)``: concentrations or, better, their clr.
    labels : str or xarray.DataArray
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled.
    window, step, crop : int
        Cells a side of a window, from one to the next, and of what training cuts from each;
        ``step`` divides ``window``, and ``crop`` is more than twice any dilation.
    name : str
        Of the new variable.
    **params
        Other fields of :class:`~xgeoanom.detectors.SKT`: ``dilations``, ``source``, ``transfer``,
        ``epochs``, ``seed``, ...

    Returns
    -------
    xarray.Dataset
        ``ds`` with ``<name>``, the share of votes, and ``<name>_mean``, the mean probability,
        both float32 in [0, 1]; of several draws also ``<name>_std``, the spread of the votes.

    Raises
    ------
    WindowError
        If the windows do not fit the survey, or sizes do not fit each other.
    XGeoAnomError
        Another of its kinds, before training: a wrong cube, grid, CRS, label or source.

    References
    ----------
    Huang et al. 2022, Minerals 12(9), 1112.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> small = {"dilations": (1, 2), "width": 4, "epochs": 1, "source_epochs": 1, "seed": 0}
    >>> out = skt(ds, "labels", window=16, step=8, crop=14, **small)
    >>> sorted(set(out) - set(ds))
    ['skt', 'skt_mean']
    """
    detector = SKT(window=window, step=step, crop=crop, **params)
    return detect(ds, detector, labels, name=name)
