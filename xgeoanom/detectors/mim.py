"""Masked image modelling: pretrained on all windows of a survey, it learns from few deposits.

Daruna et al. 2024, "GFM4MPM: towards geospatial foundation models for mineral prospectivity
mapping", arXiv 2406.12756. Sizes marked "released" are those of the configurations that were
released in June 2024; the text names few.
"""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from xgeoanom.blocks import gather
from xgeoanom.conventions import BACKGROUND, DEPOSIT, UNLABELLED
from xgeoanom.detectors.base import Explanation
from xgeoanom.detectors.block_windows import BATCH, map_windows
from xgeoanom.detectors.detect import detect
from xgeoanom.detectors.head_training import learn_head
from xgeoanom.detectors.likely_negatives import likely_negatives
from xgeoanom.detectors.masked_autoencoder import read_pretrained
from xgeoanom.detectors.masked_windows import MaskedWindows
from xgeoanom.detectors.settings import check_choice, check_number, check_path, check_whole
from xgeoanom.detectors.training import seeded
from xgeoanom.detectors.training_set import examples_of
from xgeoanom.errors import LabelError, XGeoAnomError
from xgeoanom.nets import device
from xgeoanom.nets.attribution import integrated_gradients
from xgeoanom.nets.mae import MaskedAutoencoder
from xgeoanom.nets.mim_head import Head, mc_dropout
from xgeoanom.nets.vit import Encoder
from xgeoanom.nets.window_classifier import WindowClassifier
from xgeoanom.seeding import streams

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr

STEPS = 128  # of integrated gradients; ours: the layer norms bend the path near its start
MOST_CANDIDATES = 100_000  # cells that negatives are drawn from

_CHOICES = {"background": ("likely", "random"), "loss": ("bce", "nnpu")}


@dataclass(kw_only=True)
class MIM(MaskedWindows):
    """A small head on a pretrained encoder of windows, which says how sure it is.

    A masked autoencoder learns from the windows of all valid cells, labelled or not, once for all
    draws. Then, for each draw, a head learns to tell the codes of windows around deposits from
    those around likely negatives. The score is the probability of a deposit, its temperature set
    by deposits kept from training; it holds for the prevalence of the examples, not of the ground.

    Beside the score there are ``dropout_mean`` and ``dropout_std``, of its probability while parts
    of the head are dropped at random, ``std``, the spread over draws where there are several, and
    ``dissimilarity``: how far a cell's code lies from those learnt from. Above 1 it lies outside
    the area of applicability (Meyer and Pebesma 2021). The attr ``threshold`` is the score that
    parts the kept deposits from negatives with the best F1, the mean over draws.

    Parameters
    ----------
    window, patch, width, depth, heads, decoder_width, decoder_depth, decoder_heads, mask_ratio,
    loss_on, fences, most, epochs, batch_size, learning_rate
        Of the pretraining, as in :class:`MaskedAutoencoder`. ``epochs=0`` leaves it out.
    pretrained : str or None
        File of a saved :class:`MaskedAutoencoder` of the same ``window`` to ``decoder_heads``, to
        start from instead; ``epochs`` and ``checkpoint`` then say nothing. Bands that it does not
        know start untrained, and stay so unless ``tuned``; those that it alone knows are
        forgotten. Values are scaled, and drawn to fences, as is usual on the cube given; its
        cells should be as large as they were on the survey of the file.
    tuned : bool
        Whether the encoder learns with the head; else it stays as it is.
    background : {"likely", "random"}
        Draw negatives from the quantiles ``band`` of dissimilarity to deposits, or anywhere.
    band : tuple of float
        Lowest and highest quantile.
    negatives : int
        Negatives, or unlabelled cells, for each deposit cell.
    loss : {"bce", "nnpu"}
        Cross-entropy against negatives; or the non-negative risk of learning from deposits and
        unlabelled cells, which takes no cell for a negative and sets no temperature.
    prior : float
        Share of deposits among unlabelled cells, for ``loss="nnpu"``.
    smoothing : float
        How far labels are drawn towards one half.
    dropout : float
        Share of the head's units dropped.
    passes : int
        Random networks that ``dropout_mean`` and ``dropout_std`` are taken over.
    head_epochs, head_batch_size, head_learning_rate, patience
        Of AdamW for the head; it ends after ``patience`` epochs without a gain on kept deposits.
    kept : float
        Share of the deposits, and of the negatives, kept from training. A single deposit is not
        kept; then training runs to its end, and the temperature is 1.
    checkpoint : str or None
        Folder for the state of the pretraining after each epoch, one file for each run; delete it
        once the detector is saved.

    Notes
    -----
    ``history_`` holds for each draw ``loss``, ``kept_loss``, ``temperature`` and ``threshold``;
    the first also ``pretraining``, with the loss, PSNR and SSIM of each epoch, or ``known``, the
    bands that a file knew. With a single deposit none is kept, and ``std`` tells of the negatives
    and the head's chance alone.

    Examples
    --------
    >>> MIM().footprint, MIM.paper().width
    (Footprint(halo=2, step=1), 256)
    """

    draws: int = 5  # ours
    pretrained: str | None = None
    tuned: bool = False  # released, as of 2024
    background: str = "likely"
    band: tuple[float, float] = (0.3, 0.6)  # released
    negatives: int = 20  # released
    loss: str = "bce"
    prior: float = 0.02  # ours
    smoothing: float = 0.3  # released
    dropout: float = 0.5  # released
    passes: int = 30  # ours; released: 100
    head_epochs: int = 60  # ours; released: 100
    head_batch_size: int = 64  # ours; released: 32
    head_learning_rate: float = 1e-3  # released
    patience: int = 10  # ours
    kept: float = 0.25  # released

    name: ClassVar[str] = "mim"
    extra: ClassVar[dict[str, str]] = {
        "dropout_mean": "mean probability over random dropout",
        "dropout_std": "spread of the probability over random dropout",
        "dissimilarity": "dissimilarity, above 1 outside of applicability",
    }
    _least_epochs: ClassVar[int] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, choices in _CHOICES.items():
            check_choice(field, getattr(self, field), choices)
        for field in ("negatives", "head_epochs", "patience"):
            check_whole(field, getattr(self, field), 1)
        for field in ("head_batch_size", "passes"):  # of one there is no spread
            check_whole(field, getattr(self, field), 2)
        for field in ("smoothing", "dropout", "kept", "prior"):
            check_number(field, getattr(self, field), 1)
        check_number("head_learning_rate", self.head_learning_rate, float("inf"))
        if not isinstance(self.tuned, bool):
            raise XGeoAnomError(f"tuned={self.tuned!r} must be True or False")
        if self.prior == 0:
            raise XGeoAnomError(f"prior={self.prior} must lie between 0 and 1; try 0.02")
        self.band = tuple(self.band) if isinstance(self.band, list) else self.band  # from JSON
        if not _rises(self.band):
            raise XGeoAnomError(f"band={self.band!r} must be two rising quantiles; try (0.3, 0.6)")
        check_path("pretrained", self.pretrained)
        self.pretrained = None if self.pretrained is None else str(self.pretrained)

    def build(self, n_elements: int) -> nn.Module:
        """Return a classifier; during a fit, with the pretrained encoder or a copy of it."""
        started: Encoder | None = getattr(self, "_started", None)
        encoder = started
        if started is None or self.tuned:
            sizes = self.window, self.patch, self.width, self.depth, self.heads
            encoder = Encoder(n_elements, *sizes)
            if started is not None:
                encoder.load_state_dict(started.state_dict())
        assert encoder is not None
        return WindowClassifier(encoder, Head(self.width, self.dropout))

    def _run_draws(self, cube: Any, labels: Any, rasters: Any, n_draws: int) -> None:
        """Pretrain once, then learn from each draw."""
        rng = streams(self.seed_, n_draws + 1)[-1]
        with seeded(rng):
            network = self.autoencoder(len(self.elements_), self.binary_)
        told = self._start(network, cube, rng)
        self._started = network.encoder
        try:
            super()._run_draws(cube, labels, rasters, n_draws)
        finally:
            del self._started
        self.history_[0] |= told

    def _start(
        self, network: MaskedAutoencoder, cube: Any, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Pretrain ``network``, or read what another learnt; return what is to be told of it."""
        if self.pretrained is not None:
            return {"known": read_pretrained(self.pretrained, self, network)}
        if self.epochs == 0:
            return {}
        self._stop = threading.Event()
        chosen = device.choose(self.device)
        try:
            with device.on(chosen), self.stream_of(cube, self.valid_.values) as stream:
                history = self.learn_windows(network.to(chosen), stream, rng)
        finally:
            del self._stop
        network.cpu()
        return {"pretraining": history}

    def draw(self, cube: Any, labels: Any, evidence: Any, rng: np.random.Generator) -> Any:
        """Return the labelled windows, with drawn negatives if none, or with unlabelled ones."""
        halo, also = self.footprint.halo, None
        if self.loss == "nnpu":
            also = self._drawn(cube, labels, rng, (0.0, 1.0))
        elif not (labels == BACKGROUND).any():
            band = self.band if self.background == "likely" else (0.0, 1.0)
            chosen = self._drawn(cube, labels, rng, band)
            marks = np.where(chosen, BACKGROUND, labels.values).astype("int8")
            labels = labels.copy(data=marks)
        return examples_of(cube, labels, self.standardise, halo=halo, also=also)

    def _drawn(
        self, cube: Any, labels: Any, rng: np.random.Generator, band: tuple[float, float]
    ) -> np.ndarray:
        """Return a mask of unlabelled cells, drawn from a quantile band of dissimilarity."""
        free = np.flatnonzero((labels.values == UNLABELLED) & self.valid_.values)
        if not free.size:
            raise LabelError("labels leave no unlabelled cell to draw from; label some 0 instead")
        free = free[rng.choice(free.size, size=min(free.size, MOST_CANDIDATES), replace=False)]
        deposits = np.flatnonzero(labels.values == DEPOSIT)
        if band != (0.0, 1.0):
            bands = self._bands(cube, free), self._bands(cube, deposits)
            free = free[likely_negatives(*bands, band)]
        if not free.size:
            raise LabelError(
                f"band={self.band} leaves no negative; widen it, or label some cells 0"
            )
        mask = np.zeros(labels.shape, dtype=bool)
        mask.ravel()[free[: self.negatives * len(deposits)]] = True
        return mask

    def _bands(self, cube: Any, cells: np.ndarray) -> np.ndarray:
        """Return the standardised bands ``(cell, element)`` of some cells."""
        values = gather(cube.data, *np.divmod(cells, cube.shape[2]))
        return self.standardise(values)[..., 0, 0]

    def learn(self, network: nn.Module, examples: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Train the head, and the encoder where it is ``tuned``; then set the temperature."""
        assert isinstance(network, WindowClassifier)
        return learn_head(
            network,
            examples["values"].values,
            examples["label"].values,
            examples["deposit"].values,
            np.stack([examples["y"].values, examples["x"].values], axis=1),
            self,
            rng,
            self._stop,
        )

    def score_block(
        self, network: nn.Module, block: np.ndarray, rasters: Any, context: Any
    ) -> np.ndarray:
        """Return score, mean and spread over dropout, and dissimilarity ``(4, y, x)``."""
        return map_windows(block, self.window, lambda x: self._told([network], x))

    def score_all(
        self, block: np.ndarray, rasters: Any, context: Any, where: Any
    ) -> list[np.ndarray]:
        """Return :meth:`score_block` of each network; an encoder that all share runs once."""
        if self.tuned:
            return super().score_all(block, rasters, context, where)
        networks = [network.to(where) for network in self.networks_]
        maps = map_windows(block, self.window, lambda x: self._told(networks, x))
        for network in networks:
            network.cpu()
        return np.split(maps, len(networks))

    @torch.inference_mode()
    def _told(self, networks: list[Any], windows: Tensor) -> np.ndarray:
        """Return what networks of one encoder say of windows ``(b, 4 * network)``."""
        where = next(networks[0].parameters()).device
        codes = networks[0].encoder(windows.to(where))
        told = []
        for network in networks:
            # The same seed for each batch: the result does not depend on how blocks are cut.
            generator = torch.Generator().manual_seed(self.seed_)
            mean, std = mc_dropout(network.head, codes, self.passes, generator)
            score = network.head(codes).sigmoid()
            told += [score, mean, std, network.dissimilarity(codes)]
        return torch.stack(told, dim=1).cpu().numpy()

    def integrated_gradients(self, network: nn.Module, patches: np.ndarray) -> np.ndarray:
        """Share of each element in the logit, ``(location, element)``, summed over the window.

        The path runs from the window in which all known is at the survey's mean: shares sum to
        the logit less that of this window (Sundararajan, Taly and Yan 2017), up to the error of
        steps. The paper's mean over the window would not add up.
        """
        shares = []
        for part in torch.from_numpy(patches).split(BATCH):
            missing = part.isnan()
            end = part.nan_to_num()

            # Squares make steps short near the start, where layer norms bend the most.
            def logit(share: Tensor, end: Tensor = end, missing: Tensor = missing) -> Tensor:
                x = end * share.square()
                logits: Tensor = network(x.masked_fill(missing, torch.nan))
                return logits

            start, whole = torch.zeros_like(end), torch.ones_like(end)
            found = integrated_gradients(logit, start, whole, steps=STEPS)
            shares.append(found.sum(dim=(2, 3)).numpy())
        return np.concatenate(shares)

    explanations: ClassVar[dict[str, Explanation]] = {"integrated_gradients": integrated_gradients}

    def provenance(self) -> dict[str, Any]:
        """Return attrs that say how a score came about, with the mean threshold over draws."""
        thresholds = [run["threshold"] for run in self.history_]
        return {**super().provenance(), "threshold": float(np.mean(thresholds))}


def _rises(band: Any) -> bool:
    """Return whether ``band`` is two quantiles, the lower first."""
    numbers = isinstance(band, tuple) and all(isinstance(q, int | float | np.number) for q in band)
    return numbers and len(band) == 2 and 0 <= band[0] < band[1] <= 1


def mim(
    ds: "xr.Dataset",
    labels: "Hashable | xr.DataArray",
    *,
    window: int = 5,
    pretrained: str | None = None,
    name: str = "mim",
    **params: Any,
) -> "xr.Dataset":
    """Fit masked image modelling and add its score, and how sure it is, to ``ds``.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube, ``(element, y, x)``: log-ratioed, or an evidence stack.
    labels : str or xarray.DataArray
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled.
    window : int
        Cells on a side of a window; odd.
    pretrained : str, optional
        File of a saved :class:`~xgeoanom.detectors.MaskedAutoencoder` to start from.
    name : str
        Of the new variable.
    **params
        Other fields of :class:`~xgeoanom.detectors.MIM`: ``tuned``, ``loss``, ``epochs``,
        ``seed``, ...

    Returns
    -------
    xarray.Dataset
        ``ds`` with ``<name>``, a probability, of several draws ``<name>_std``, its spread,
        ``<name>_dropout_mean``, ``<name>_dropout_std`` and ``<name>_dissimilarity``; float32.

    Raises
    ------
    XGeoAnomError
        One of its kinds, before training: a wrong window, number, cube, grid, CRS, label or file.

    References
    ----------
    Daruna et al. 2024, arXiv 2406.12756.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> small = {"width": 8, "depth": 1, "epochs": 1, "head_epochs": 1, "draws": 1, "seed": 0}
    >>> out = mim(ds, "labels", **small)
    >>> sorted(set(out) - set(ds))
    ['mim', 'mim_dissimilarity', 'mim_dropout_mean', 'mim_dropout_std']
    """
    detector = MIM(window=window, pretrained=pretrained, **params)
    return detect(ds, detector, labels, name=name)
