"""SGCN + 1DCNN: graph convolutions within and between superpixels, beside element spectra.

Xu and Zuo 2025, Mathematical Geosciences 57, 307-331. Only the abstract is public: two branches, a
superpixel graph with internal and external convolutions and a 1DCNN of single cells, fused and
trained on labels. All sizes and settings are ours; their template is GiGCN (Jia et al. 2022).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from xgeoanom.blocks import Footprint, collect_halo
from xgeoanom.conventions import BACKGROUND, DEPOSIT
from xgeoanom.detectors.base import Detector, Explanation
from xgeoanom.detectors.detect import detect
from xgeoanom.detectors.graph_blocks import over_block, pooled_block
from xgeoanom.detectors.graph_shares import shares_of
from xgeoanom.detectors.neighborhood import Neighborhood, SuperpixelGraph
from xgeoanom.detectors.superpixels import COMPACTNESS, SHAPES, superpixels
from xgeoanom.detectors.training import EarlyStopping, train
from xgeoanom.detectors.training_set import examples_of, held_out
from xgeoanom.errors import LabelError, XGeoAnomError
from xgeoanom.geology.labels import draw_background
from xgeoanom.seeding import torch_seed

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr

SUPERPIXEL = "superpixel"
PROPAGATION = 4  # cells: three steps of the internal graph, and one for the degrees of the last
AUXILIARY = 0.3  # weight of each branch's own loss

_CHOICES = {
    "branches": ("both", "spatial", "spectrum"),
    "pooling": ("mean", "attention"),
    "fusion": ("concatenate", "gate"),
    "shape": SHAPES,
}


@dataclass(kw_only=True)
class SGCN(Detector):
    """Superpixel graph convolutions beside a 1DCNN along the elements of each cell.

    The spatial branch mixes each cell with its neighbours in the same superpixel, three steps
    far; pools superpixels; convolves over those that touch; and gives the result back to their
    cells. The spectrum branch sees one cell. The score is the network's probability that a cell
    is a deposit; it is not calibrated.

    It learns transductively: unlabelled cells of the superpixels around labelled ones pass through
    the graph, without a label. ``history_`` and the score's attr ``unlabelled_cells`` say how many.

    Parameters
    ----------
    branches : {"both", "spatial", "spectrum"}
        Which branches there are.
    pooling : {"mean", "attention"}
        How cells become superpixels; ``"spectrum"`` does not read it.
    fusion : {"concatenate", "gate"}
        How both branches become one; one branch alone does not read it.
    size, compactness, min_size, shape
        Of :func:`~xgeoanom.superpixels`.
    epochs, learning_rate, weight_decay
        Of Adam, on all labelled cells at once.
    validation_share : float
        Share of deposits, and of background cells, kept from training to stop it; 0 for none.
    patience : int
        Epochs without a lower loss on these, after which training stops; the best network stays.

    Notes
    -----
    Background is drawn outside superpixels that hold or touch a deposit's. Classes weigh the same.
    Superpixels are cut anew on each cube to be scored: a part of a survey scores a little
    differently than the whole. What a score depends on reaches farther than ``footprint``: over
    two rings of superpixels. In :func:`~xgeoanom.cross_validate` the held-out ground is missing
    from the training cube, so that no superpixel joins both;
    :func:`~xgeoanom.superpixel_folds` also keeps them whole.

    Examples
    --------
    >>> SGCN(size=64).footprint
    Footprint(halo=4, step=1)
    """

    draws: int = 5
    branches: str = "both"
    pooling: str = "mean"
    fusion: str = "concatenate"
    size: float = 100.0
    compactness: float = COMPACTNESS
    min_size: int = 10
    shape: str = "slic"
    epochs: int = 300
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    validation_share: float = 0.2
    patience: int = 30

    name: ClassVar[str] = "sgcn"

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise XGeoAnomError(f"{field}={getattr(self, field)!r} is not one of {choices}")
        for field in ("draws", "epochs", "patience", "min_size"):
            number = getattr(self, field)
            if not isinstance(number, int | np.integer) or number < 1:
                raise XGeoAnomError(f"{field}={number!r} must be an integer of at least 1")
            setattr(self, field, int(number))  # a file holds no integer of numpy
        for field in ("size", "compactness", "learning_rate", "weight_decay", "validation_share"):
            number = getattr(self, field)
            if not isinstance(number, int | float | np.number):
                raise XGeoAnomError(f"{field}={number!r} must be a number")
            setattr(self, field, float(number))
        if not 0 < self.learning_rate < float("inf"):
            raise XGeoAnomError(f"learning_rate={self.learning_rate} must be positive; try 1e-3")
        for field in ("weight_decay", "validation_share"):
            if not 0 <= getattr(self, field) < 1:
                raise XGeoAnomError(f"{field}={getattr(self, field)} must lie in [0, 1)")

    @property
    def footprint(self) -> Footprint:
        """Steps of the internal graph; the spectrum needs no neighbours."""
        return Footprint(halo=0 if self.branches == "spectrum" else PROPAGATION)

    def build(self, n_elements: int) -> nn.Module:
        """Return the network; torch-geometric is imported here."""
        from xgeoanom.nets.graph import DualBranch

        return DualBranch(
            n_elements, branches=self.branches, pooling=self.pooling, fusion=self.fusion
        )

    def derive(self, cube: Any) -> dict[str, Any]:
        """Return the superpixels."""
        found = superpixels(
            cube,
            size=self.size,
            compactness=self.compactness,
            min_size=self.min_size,
            shape=self.shape,
            seed=self.seed_,
        )
        return {SUPERPIXEL: found}

    def draw(self, cube: Any, labels: Any, rasters: Any, rng: np.random.Generator) -> Any:
        """Return the labelled cells, their labels and deposits, and the graph around them."""
        graph = SuperpixelGraph(cube, rasters[SUPERPIXEL])
        if not (labels == BACKGROUND).any():
            near = graph.within(graph.ids[(labels == DEPOSIT).values], 1)
            taken = ~self.valid_ | ((graph.ids >= 0) & near[graph.ids])
            n_free, n_wanted = int((~taken).sum()), int((labels == DEPOSIT).sum())
            if n_free < n_wanted:
                raise LabelError(
                    f"size={self.size:g}: superpixels that hold or touch a deposit's leave "
                    f"{n_free} cells for {n_wanted} of background; take smaller ones, or label "
                    "background (0)"
                )
            labels = draw_background(labels, exclude=taken, seed=rng)
        examples = examples_of(cube, labels, self.standardise, halo=0)
        cells = examples["row"].values, examples["col"].values
        return examples, graph.around(*cells, self.standardise)

    def learn(self, network: nn.Module, examples: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Train on all labelled cells at once, until validation deposits gain no more."""
        table, around = examples
        where = next(network.parameters()).device
        generator = torch.Generator(where).manual_seed(torch_seed(rng))
        dropouts = [layer for layer in network.modules() if hasattr(layer, "generator")]
        for layer in dropouts:
            layer.generator = generator  # type: ignore[assignment]
        held = self._held_out(table, rng)
        loss_on = _loss(network, around, torch.from_numpy(table["label"].values == DEPOSIT), where)
        training, validation = (torch.from_numpy(np.flatnonzero(m)) for m in (~held, held))
        watch = EarlyStopping(lambda: loss_on(validation), self.patience) if held.any() else None
        losses = train(
            network,
            lambda batch: loss_on(training[batch]),
            len(training),
            optimizer=torch.optim.Adam(
                network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
            ),
            epochs=self.epochs,
            batch_size=len(training),
            rng=rng,
            stop=self._stop,
            watch=watch,
        )
        for layer in dropouts:
            layer.generator = None  # type: ignore[assignment]
        n_unlabelled = 0 if self.branches == "spectrum" else len(around.rows) - len(table["label"])
        history = {"loss": losses, "unlabelled_cells": n_unlabelled}
        return history | ({"validation": watch.history} if watch else {})

    def _held_out(self, table: Any, rng: np.random.Generator) -> np.ndarray:
        """Return a mask of the examples to stop by: whole deposits, and single background cells."""
        label, deposit = table["label"].values, table["deposit"].values
        held = np.zeros(len(label), dtype=bool)
        if self.validation_share and len(np.unique(deposit[label == DEPOSIT])) > 1:
            for kind in (DEPOSIT, BACKGROUND):
                members = np.flatnonzero(label == kind)
                whole = kind == DEPOSIT
                chosen = held_out(deposit[members], self.validation_share, rng, whole=whole)
                if chosen.all():  # a class of which nothing is left teaches nothing
                    return np.zeros_like(held)
                held[members[chosen]] = True
        return held

    @torch.inference_mode()
    def prepare(self, cube: Any, rasters: Any) -> list[np.ndarray | None]:
        """Return the embedding of all superpixels ``(superpixel, hidden)``, for each network."""
        if self.branches == "spectrum":
            return [None] * len(self.networks_)
        superpixel = rasters[SUPERPIXEL]
        graph = SuperpixelGraph(cube, superpixel)
        parts = collect_halo(
            pooled_block, cube.data, superpixel.data, footprint=self.footprint, shared=self
        )
        edges, weights = torch.from_numpy(graph.edges), torch.from_numpy(graph.weights)
        embeddings: list[np.ndarray | None] = []
        for k, network in enumerate(self.networks_):
            total: np.ndarray = np.zeros((graph.n_superpixels, parts[0][1][k].shape[1]))
            for ids, sums in parts:
                total[ids] += sums[k]
            pooled = torch.from_numpy((total[:, :-1] / total[:, -1:]).astype("float32"))
            embeddings.append(network.get_submodule("external")(pooled, edges, weights).numpy())
        return embeddings

    @torch.inference_mode()
    def score_block(
        self, network: nn.Module, block: np.ndarray, rasters: Any, context: Any
    ) -> np.ndarray:
        """Return the probability ``(y, x)``."""
        embedding = context[self.networks_.index(network)]
        halo, where = self.footprint.halo, next(network.parameters()).device
        ids = rasters[SUPERPIXEL]
        (logits,) = over_block(network.forward, block, ids, embedding, halo=halo, where=where)
        return np.asarray(expit(logits))

    def around(self, cube: Any, rows: np.ndarray, cols: np.ndarray) -> list[Neighborhood]:
        """Return the neighbourhood of each cell."""
        graph = SuperpixelGraph(cube, self.derive(cube)[SUPERPIXEL])
        places = zip(rows, cols, strict=True)
        return [
            graph.around(np.array([row]), np.array([col]), self.standardise) for row, col in places
        ]

    def integrated_gradients(
        self, network: nn.Module, neighborhoods: list[Neighborhood]
    ) -> np.ndarray:
        """Share of each element in the logit, ``(location, element)``, summed over all cells.

        The path runs from the survey's mean everywhere to what is there: shares sum to the logit
        less that of the mean (Sundararajan, Taly and Yan 2017), up to the error of steps.
        """
        return np.stack([shares_of(network, one).sum(axis=0) for one in neighborhoods])

    explanations: ClassVar[dict[str, Explanation]] = {"integrated_gradients": integrated_gradients}

    def provenance(self) -> dict[str, Any]:
        """Return attrs that say how a score came about, and how many cells had no label."""
        n_unlabelled = max(run["unlabelled_cells"] for run in self.history_)
        return {**super().provenance(), "unlabelled_cells": n_unlabelled}


def _loss(network: Any, around: Neighborhood, deposit: Tensor, where: torch.device) -> Any:
    """Return the loss on some of the labelled cells; the graph is the same for all."""
    values, smoothed, target, graph = around.tensors(where)
    wanted = deposit.float().to(where)

    def loss_on(members: Tensor) -> Tensor:
        members = members.to(where)
        cells, label = target[members], wanted[members]
        embedded = None
        if network.branches != "spectrum":
            embedded = network.embed(smoothed, *graph)[graph[0][cells]]
        weight = (1 - label).sum() / label.sum()
        losses = {
            name: nn.functional.binary_cross_entropy_with_logits(logits, label, pos_weight=weight)
            for name, logits in network.branch_logits(
                values[cells], smoothed[cells], embedded
            ).items()
        }
        main: Tensor = losses.pop(network.branches)
        return main + AUXILIARY * sum(losses.values())

    return loss_on


def sgcn(
    ds: "xr.Dataset",
    labels: "Hashable | xr.DataArray",
    *,
    branches: str = "both",
    size: float = 100.0,
    name: str = "sgcn",
    **params: Any,
) -> "xr.Dataset":
    """Score every cell with superpixel graphs beside element spectra.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube, ``(element, y, x)``: concentrations or, better, their clr.
    labels : str or xarray.DataArray
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled.
    branches : {"both", "spatial", "spectrum"}
        Which branches there are.
    size : float
        Cells that one superpixel should have.
    name : str
        Of the new variable.
    **params
        Other fields of :class:`~xgeoanom.detectors.SGCN`: ``pooling``, ``fusion``, ``draws``,
        ``epochs``, ``seed``, ...

    Returns
    -------
    xarray.Dataset
        ``ds`` with ``<name>``, float32 in [0, 1], and of several draws ``<name>_std``, its spread.

    Raises
    ------
    CompositionError
        If the cube is neither concentrations nor their clr.
    XGeoAnomError
        Another of its kinds, before training: a wrong cube, grid, CRS or label.

    References
    ----------
    Xu and Zuo 2025, Math. Geosci. 57, 307-331 (the abstract; what it leaves open is ours).

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> out = sgcn(ds, "labels", size=50, draws=1, epochs=2, seed=0)
    >>> out["sgcn"].dims
    ('y', 'x')
    """
    detector = SGCN(branches=branches, size=size, **params)
    return detect(ds, detector, labels, name=name)
