"""PPF-CNN: pixel pairs, a 13-convolution network, and a dual window.

Zhang, Zuo and Xiong 2021, Applied Geochemistry 130, 104994. What the paper leaves open is marked
"ancestor" where it follows Li, Wu, Zhang and Du 2017 (TGRS 55, 844) or Li, Wu and Du 2017 (GRSL
14, 597), "ours" where neither says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from xgeoanom.blocks import Footprint
from xgeoanom.conventions import BACKGROUND, DEPOSIT
from xgeoanom.detectors.base import Detector, Explanation
from xgeoanom.detectors.detect import detect
from xgeoanom.detectors.dissimilarity import (
    BATCH,
    Dissimilarity,
    batches,
    prototypes_of,
    split,
)
from xgeoanom.detectors.training import train
from xgeoanom.detectors.training_set import examples_of, held_out
from xgeoanom.errors import LabelError, XGeoAnomError
from xgeoanom.kernels.dual_window import check_windows, half_plane, ring_offsets, window_means
from xgeoanom.kernels.pairs import add_scores, training_pairs
from xgeoanom.nets.attribution import integrated_gradients
from xgeoanom.nets.conv import CHANNELS, PairCNN

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr

_CHOICES = {
    "pair": ("abs", "diff", "stack"),
    "tail": tuple(CHANNELS),
    "score": ("dual_window", "prototype"),
    "combine": ("mean", "best"),
    "holdout": ("cells", "deposits"),
    "precision": ("float32", "bfloat16"),
}


@dataclass(kw_only=True)
class PPFCNN(Detector):
    """Pixel-pair features and a convolutional network: a cell against its surroundings.

    The network learns whether two spectra come from one class (mineralised or background, 0) or
    from both (1). A cell's score is the mean over the cells between two windows around it.

    Parameters
    ----------
    inner, outer : int
        Window sizes in cells; odd, ``inner < outer``.
    pair : {"abs", "diff", "stack"}
        What the network sees of two spectra: ``|a - b|``, which does not know their order,
        ``a - b``, or both side by side.
    both_orders : bool
        Learn dissimilar pairs in both orders; else (mineralised, background) only, and ``diff``
        and ``stack`` scores are directional.
    tail : {"taper", "constant"}
        Channels after the sixth convolution: 40-30-20, or 40 throughout.
    score : {"dual_window", "prototype"}
        Compare a cell with its surroundings, or with the labelled cells: mean dissimilarity to
        the background less that to the mineralised, moved to [0, 1].
    combine : {"mean", "best"}
        Average the draws' scores, or keep the draw of the best held-out accuracy (as published).
    holdout : {"cells", "deposits"}
        Hold out single cells (as published; they leak) or whole deposits.
    test_share : float
        Share of each class held out, on which ``history_`` reports.
    epochs, batch_size, learning_rate, momentum, weight_decay
        Of stochastic gradient descent.
    precision : {"float32", "bfloat16"}
        In which scores are computed.

    Examples
    --------
    >>> PPFCNN(inner=5, outer=13, draws=2).footprint
    Footprint(halo=6, step=1)
    """

    inner: int = 13  # Fig. 9: the best of eight
    outer: int = 35  # Fig. 9
    pair: str = "abs"  # ours: the paper does not say; METHODS 1
    both_orders: bool = False  # Table 2
    tail: str = "taper"  # ancestor
    score: str = "dual_window"  # section 4.3
    combine: str = "mean"  # ours; the paper keeps the best of ten, Table 3
    holdout: str = "cells"  # section 4.1
    test_share: float = 0.2  # section 4.1
    epochs: int = 30  # ancestor
    batch_size: int = 128  # section 4.2
    learning_rate: float = 0.01  # section 4.2
    momentum: float = 0.9  # ancestor
    weight_decay: float = 5e-4  # ancestor
    precision: str = "float32"

    name: ClassVar[str] = "ppf_cnn"

    def __post_init__(self) -> None:
        check_windows(self.inner, self.outer)
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise XGeoAnomError(f"{field}={getattr(self, field)!r} is not one of {choices}")
        for field in ("draws", "epochs", "batch_size"):
            if not isinstance(number := getattr(self, field), int) or number < 1:
                raise XGeoAnomError(f"{field}={number!r} must be an integer of at least 1")
        if not 0 < self.learning_rate < float("inf"):
            raise XGeoAnomError(f"learning_rate={self.learning_rate} must be positive; try 0.01")
        if not 0 <= self.momentum < 1 or not 0 <= self.weight_decay < 1:
            raise XGeoAnomError(
                f"momentum={self.momentum}, weight_decay={self.weight_decay} must lie in [0, 1)"
            )
        least = 0 if self.combine == "mean" else np.nextafter(0, 1)
        if not least <= self.test_share < 1:
            raise XGeoAnomError(
                f"test_share={self.test_share} must lie in [0, 1), above 0 for combine='best'"
            )

    @property
    def footprint(self) -> Footprint:
        """Half the outer window; prototypes need no neighbours."""
        return Footprint(halo=self.outer // 2 if self.score == "dual_window" else 0)

    def build(self, n_elements: int) -> nn.Module:
        """Return the 13 convolutions (section 4.2)."""
        return PairCNN(n_inputs=2 if self.pair == "stack" else 1, tail=self.tail)

    def fit(self, cube: Any, labels: Any = None, *, evidence: Any = None) -> Self:
        """Learn from labelled cells, as every detector; keep one draw where ``combine`` says so."""
        super().fit(cube, labels, evidence=evidence)
        if self.combine == "best":
            best = int(np.argmax([run["test_accuracy"] for run in self.history_]))
            self.networks_ = [self.networks_[best]]
        return self

    def draw(self, cube: Any, labels: Any, evidence: Any, rng: np.random.Generator) -> Any:
        """Return the labelled cells alone: pairs are made of single cells (section 2.1)."""
        return examples_of(cube, self.with_background(labels, rng), self.standardise, halo=0)

    def learn(self, network: nn.Module, examples: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Train on the pairs of one draw (section 4.1, 4.2) and test on those held out."""
        where = next(network.parameters()).device
        spectra = torch.from_numpy(examples["values"].values[:, :, 0, 0]).to(where)
        train_cells, test_cells = self._split_cells(examples, rng)
        pairs, target = training_pairs(*train_cells, both_orders=self.both_orders)
        test_pairs = training_pairs(*test_cells, both_orders=self.both_orders)
        if self.score == "prototype":
            for name, cells in zip(("mineralised", "background"), train_cells, strict=True):
                network.register_buffer(name, spectra[torch.from_numpy(cells).to(where)])
        ends, wanted = torch.from_numpy(pairs).to(where), torch.from_numpy(target).to(where)

        def loss_of(batch: Tensor) -> Tensor:
            batch = batch.to(where)
            logits = network(self._pair(spectra[ends[batch, 0]], spectra[ends[batch, 1]]))
            return nn.functional.binary_cross_entropy_with_logits(logits, wanted[batch])

        losses = train(
            network,
            loss_of,
            len(pairs),
            epochs=self.epochs,
            batch_size=self.batch_size,
            rng=rng,
            stop=self._stop,
            **self._optimisation(network),
        )
        return {"loss": losses, **self._test(network, spectra, *test_pairs)}

    def _split_cells(self, examples: Any, rng: np.random.Generator) -> tuple[Any, Any]:
        """Split each class's cells: (mineralised, background) to train on, and to test on."""
        label = examples["label"].values
        train_cells, test_cells = [], []
        for kind in (DEPOSIT, BACKGROUND):
            cells = np.flatnonzero(label == kind)
            whole = self.holdout == "deposits" and kind == DEPOSIT
            held = held_out(examples["deposit"].values[cells], self.test_share, rng, whole=whole)
            if (~held).sum() < 2:
                raise LabelError(
                    f"labels: {len(cells)} cells of class {kind} leave {(~held).sum()} to train "
                    "on; pairs need two, so label more cells or lower test_share"
                )
            train_cells.append(cells[~held])
            test_cells.append(cells[held])
        return train_cells, test_cells

    def _optimisation(self, network: nn.Module) -> dict[str, Any]:
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        # Steps of 0.1 follow the ancestor; their places, at half and four fifths, are ours.
        steps = [max(1, round(share * self.epochs)) for share in (0.5, 0.8)]
        return {
            "optimizer": optimizer,
            "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, steps, gamma=0.1),
        }

    @torch.inference_mode()
    def _test(
        self, network: nn.Module, spectra: Tensor, pairs: np.ndarray, target: np.ndarray
    ) -> dict[str, float]:
        """Loss and accuracy on held-out pairs, as in Table 3; NaN without any."""
        if len(pairs) == 0:
            return {"test_loss": float("nan"), "test_accuracy": float("nan")}
        logits = [
            network(self._pair(spectra[ends[:, 0]], spectra[ends[:, 1]])).cpu()
            for ends in torch.from_numpy(pairs).to(spectra.device).split(BATCH["cpu"])
        ]
        scores, wanted = torch.cat(logits), torch.from_numpy(target)
        loss = nn.functional.binary_cross_entropy_with_logits(scores, wanted)
        accuracy = ((scores > 0) == (wanted > 0.5)).float().mean()
        return {"test_loss": float(loss), "test_accuracy": float(accuracy)}

    def _pair(self, first: Tensor, second: Tensor) -> Tensor:
        """Return what the network sees of two spectra ``(pair, element)``."""
        if self.pair == "stack":
            return torch.stack([first, second], dim=1)
        difference = first - second
        return (difference.abs_() if self.pair == "abs" else difference).unsqueeze(1)

    def score_block(
        self, network: nn.Module, block: np.ndarray, evidence: Any, context: Any
    ) -> np.ndarray:
        """Return the dual-window or the prototype score ``(y, x)``."""
        if self.score == "prototype":
            return self._prototype_score(network, block)
        return self.window_scores(network, block, [(self.inner, self.outer)])[0]

    def window_scores(
        self, network: nn.Module, block: np.ndarray, windows: Sequence[tuple[int, int]]
    ) -> np.ndarray:
        """Return ``(window, y, x)`` scores (section 4.3); each offset is evaluated once for all.

        ``block`` is ``(element, y, x)`` with the halo of the widest window.
        """
        inner, outer = min(w[0] for w in windows), max(w[1] for w in windows)
        halo = outer // 2
        # One window needs one sum per cell; several share the sums of their rings.
        rings = np.arange(halo + 1) if len(windows) > 1 else np.zeros(halo + 1, dtype=int)
        sums, counts = self._ring_sums(network, block, ring_offsets(inner, outer), halo, rings)
        inside = (slice(halo, block.shape[1] - halo), slice(halo, block.shape[2] - halo))
        missing = np.isnan(block).any(axis=0)[inside]
        scores = []
        for small, large in windows:
            slots = np.unique(rings[small // 2 + 1 : large // 2 + 1])
            total, count = (a[slots].sum(axis=0).reshape(block.shape[1:]) for a in (sums, counts))
            mean = window_means(total[inside], count[inside], small, large)
            scores.append(np.where(missing, np.nan, mean))
        return np.stack(scores)

    def _ring_sums(
        self,
        network: nn.Module,
        block: np.ndarray,
        offsets: np.ndarray,
        halo: int,
        slot_of_radius: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sum p(dissimilar) over the neighbours of each cell, by slot.

        Where the order of a pair does not matter, each is evaluated once and counts for both of
        its cells: half of the work.
        """
        both = self.pair == "abs"
        offsets = half_plane(offsets) if both else offsets
        valid = ~np.isnan(block).any(axis=0)
        sums = np.zeros((slot_of_radius.max() + 1, valid.size))
        counts = np.zeros(sums.shape, dtype="int32")
        dissimilarity = self._scorer(network, block.reshape(len(block), -1).T)
        for first, second in batches(valid, halo, offsets, both, dissimilarity.batch):
            scores = dissimilarity(first, second)
            add_scores(scores, first, second, valid.shape[1], both, slot_of_radius, sums, counts)
        return sums, counts

    def _scorer(self, network: nn.Module, spectra: np.ndarray) -> Dissimilarity:
        return Dissimilarity(network, spectra, self._pair, getattr(torch, self.precision))

    def _prototype_score(self, network: nn.Module, block: np.ndarray) -> np.ndarray:
        """Mean p over background prototypes less mean p over mineralised ones (METHODS 1)."""
        cells = block.reshape(len(block), -1).T
        valid = np.flatnonzero(~np.isnan(cells).any(axis=1))
        prototypes, weights = prototypes_of(network)
        dissimilarity = self._scorer(network, np.concatenate([cells, prototypes]))
        known = np.arange(len(prototypes)) + len(cells)
        score = np.full(len(cells), np.nan)
        for batch in split(valid, max(dissimilarity.batch // len(known), 1)):
            pairs = np.repeat(batch, len(known)), np.tile(known, len(batch))
            contrast = dissimilarity(*pairs).reshape(len(batch), -1) @ weights
            score[batch] = (1 + contrast) / 2
        return score.reshape(block.shape[1:])

    def integrated_gradients(self, network: nn.Module, patches: np.ndarray) -> np.ndarray:
        """Share of each element in the score, ``(location, element)``.

        For each cell that a score compares with, the path runs from that cell's spectrum, where
        nothing is dissimilar, to the scored one: shares sum to the score less that start.
        """
        return np.stack([self._shares(network, patch) for patch in patches])

    explanations: ClassVar[dict[str, Explanation]] = {"integrated_gradients": integrated_gradients}

    def _shares(self, network: nn.Module, patch: np.ndarray) -> np.ndarray:
        centre = self.footprint.halo
        others, weights = self._compared(network, patch)
        start = torch.from_numpy(others)
        end = torch.from_numpy(patch[:, centre, centre]).expand_as(start)

        def dissimilarity(target: Tensor) -> Tensor:
            return torch.sigmoid(network(self._pair(target, start)))

        shares = integrated_gradients(dissimilarity, start, end.contiguous())
        return weights @ shares.numpy()

    def _compared(self, network: nn.Module, patch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the spectra that the patch's centre is compared with, and their weights."""
        if self.score == "prototype":
            prototypes, weights = prototypes_of(network)
            return prototypes, weights / 2
        rows, cols = (ring_offsets(self.inner, self.outer) + self.outer // 2).T
        others = patch[:, rows, cols].T
        others = others[~np.isnan(others).any(axis=1)]
        return others, np.full(len(others), 1 / max(len(others), 1), dtype="float32")


def ppf_cnn(
    ds: "xr.Dataset",
    labels: "Hashable | xr.DataArray",
    *,
    inner: int = 13,
    outer: int = 35,
    name: str = "ppf_cnn",
    **params: Any,
) -> "xr.Dataset":
    """Fit PPF-CNN and add its score to ``ds``.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube, ``(element, y, x)``, log-ratioed.
    labels : str or xarray.DataArray
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled.
    inner, outer : int
        Window sizes in cells; odd, ``inner < outer``.
    name : str
        Of the new variable.
    **params
        Other fields of :class:`~xgeoanom.detectors.PPFCNN`: ``draws``, ``epochs``, ``seed``, ...

    Returns
    -------
    xarray.Dataset
        ``ds`` with ``<name>``, float32 in [0, 1], and ``<name>_std``, its spread over draws.

    Raises
    ------
    XGeoAnomError
        One of its kinds, before training: a wrong window, cube, grid, CRS or label.

    References
    ----------
    Zhang, Zuo and Xiong 2021, Appl. Geochem. 130, 104994.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> out = ppf_cnn(ds, "labels", inner=3, outer=5, draws=1, epochs=1, seed=0)
    >>> out["ppf_cnn"].dims
    ('y', 'x')
    """
    detector = PPFCNN(inner=inner, outer=outer, **params)
    return detect(ds, detector, labels, name=name)
