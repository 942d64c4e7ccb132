"""GK-DCN: a small deformable network on patches, held to what is known of faults.

Zhang, Xiong and Chen 2026, Geoscientific Model Development 19, 2219. Sizes that the text leaves
open are marked "archive" where they follow the code released with it (Zenodo 18454129), "ours"
where neither says or both are mended.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from xgeoanom.blocks import Footprint
from xgeoanom.conventions import BACKGROUND, DEPOSIT, UNLABELLED, cell_size
from xgeoanom.detectors.base import Detector, Explanation
from xgeoanom.detectors.detect import detect
from xgeoanom.detectors.training import train
from xgeoanom.detectors.training_set import examples_of
from xgeoanom.errors import EvidenceError, LabelError, WindowError, XGeoAnomError
from xgeoanom.geology.labels import draw_background
from xgeoanom.nets.attribution import integrated_gradients
from xgeoanom.nets.knowledge import FaultConstraint, GuidedCNN, knowledge_loss
from xgeoanom.nets.patch_cnn import BODIES, PatchCNN
from xgeoanom.seeding import torch_seed

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr

FAULTS = "fault_weight"
BLOCK = 3  # cells a side of what one deposit labels (section 4)
BATCH = {"cpu": 64, "cuda": 4096}  # patches scored at a time; on a CPU 32 to 128 are as fast
MOST_UNLABELLED = 2000  # ours: 25 MB of 9 x 9 x 39 patches
STEPS = 256  # of integrated gradients; ours: bilinear sampling bends the path often

_CHOICES = {
    "constraint": ("free", "fixed", "unlabelled"),
    "body": BODIES,
    "background": ("faults", "anywhere"),
}


@dataclass(kw_only=True)
class GKDCN(Detector):
    """Convolutional network on patches, deformable and held to fault weights if so wished.

    The paper's four models are settings of one: CNN (``deformable=False, knowledge=0``), DCN
    (``knowledge=0``), GK-CNN (``deformable=False``) and GK-DCN, the default. All four share
    one body and one schedule. The score is P, the network's probability that the centre of a
    patch is a deposit; it is not calibrated.

    The loss is ``BCE + knowledge * L_geo``, ``L_geo = mean (P - g)^2``, ``g = sigmoid(a w + b0)``
    with w the ``fault_weight`` at the centre. Training alone reads faults: to predict needs none.

    Parameters
    ----------
    window : int
        Side of a patch in cells; odd, at least 3. What lies outside the survey or is missing
        enters as the mean; a cell that is missing has no score.
    deformable : bool
        Deformable convolutions, which choose themselves where to look.
    knowledge : float
        Weight of ``L_geo``, the paper's lambda; 0 switches it off.
    constraint : {"free", "fixed", "unlabelled"}
        Learn ``a >= 0`` and b0 with the network; or let ``g = w``; or learn them and take
        ``L_geo`` over random unlabelled cells, as many as labelled ones in each batch.
    body : {"shared", "archive", "linear"}
        One body for all four networks; or that of the archive's networks without knowledge, for
        a window of 9; or one whose last maps make the logit at once, for ``cam_at``.
    background : {"faults", "anywhere"}
        Draw background where the fault weight is at most its median, or whatever it is.
    min_distance : float or None
        Background is farther than this from every deposit cell, in CRS units. By default a
        window and a block: 12 cells for a window of 9, so that no patch of background meets a
        deposit's patch.
    epochs, batch_size, learning_rate
        Of Adam.

    Notes
    -----
    Background comes in clusters of 3 x 3 cells, as many cells as deposits have. The paper's rule
    for their distance is not stated; :func:`~xgeoanom.background_distance` is a common one.
    Beware of ``background="faults"`` with ``knowledge``: negatives are then drawn away from
    faults and scores held down there, so the label is built into the constraint.

    ``history_`` and the score's attrs report the fitted a and b0. With ``"free"``, ``L_geo`` has
    a trivial solution, a near 0 and P near a constant; see whether a moved from 0.1 at all.

    Examples
    --------
    >>> GKDCN(window=5).needs, GKDCN(knowledge=0, background="anywhere").needs
    (('fault_weight',), ())
    """

    window: int = 9  # section 4
    deformable: bool = True  # section 3
    knowledge: float = 1.0  # section 3; archive: 0.1
    constraint: str = "free"  # eq. 8, with a >= 0, which is ours
    body: str = "shared"  # archive: that of its networks with knowledge
    background: str = "faults"  # section 4
    min_distance: float | None = None  # ours; the paper names no distance
    epochs: int = 80  # archive
    batch_size: int = 64  # archive
    learning_rate: float = 1e-4  # archive

    name: ClassVar[str] = "gk_dcn"

    def __post_init__(self) -> None:
        self._check_window()
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise XGeoAnomError(f"{field}={getattr(self, field)!r} is not one of {choices}")
        # Batch normalisation needs two patches.
        for field, least in (("draws", 1), ("epochs", 1), ("batch_size", 2)):
            if not isinstance(number := getattr(self, field), int) or number < least:
                raise XGeoAnomError(f"{field}={number!r} must be an integer of at least {least}")
        if not 0 < self.learning_rate < float("inf"):
            raise XGeoAnomError(f"learning_rate={self.learning_rate} must be positive; try 1e-4")
        if not 0 <= self.knowledge < float("inf"):
            raise XGeoAnomError(f"knowledge={self.knowledge} must not be negative; try 1.0")
        if self.min_distance is not None and not self.min_distance >= 0:
            raise XGeoAnomError(
                f"min_distance={self.min_distance} must not be negative, or None for a window "
                "and a block"
            )

    def _check_window(self) -> None:
        if not isinstance(self.window, int | np.integer) or self.window < 3 or self.window % 2 == 0:
            raise WindowError(f"window={self.window!r} must be odd and at least 3 cells; try 9")
        if self.body == "archive" and self.window != 9:
            raise WindowError(f"window={self.window}: body='archive' fits 9 cells alone; try 9")

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The fault weight, where the loss or the background asks for it."""
        return (FAULTS,) if self.knowledge or self.background == "faults" else ()

    @property
    def scores_with(self) -> tuple[str, ...]:
        """Nothing: faults guide the training alone."""
        return ()

    @property
    def footprint(self) -> Footprint:
        """Half the window."""
        return Footprint(halo=self.window // 2)

    def build(self, n_elements: int) -> nn.Module:
        """Return the patch network with its constraint."""
        learnt = self.knowledge > 0 and self.constraint != "fixed"
        patch_cnn = PatchCNN(n_elements, deformable=self.deformable, body=self.body)
        return GuidedCNN(patch_cnn, FaultConstraint() if learnt else nn.Identity())

    def draw(self, cube: Any, labels: Any, evidence: Any, rng: np.random.Generator) -> Any:
        """Return the labelled patches, with a drawn background if none, and unlabelled ones."""
        _check_weights(evidence)
        if not (labels == BACKGROUND).any():
            labels = self._with_clusters(labels, evidence, rng)
        also = None
        if self.knowledge and self.constraint == "unlabelled":
            free = (labels.values == UNLABELLED) & self.valid_.values
            if not free.any():
                raise LabelError(
                    "labels leave no unlabelled cell with a fault weight, which "
                    "constraint='unlabelled' draws from; use constraint='free'"
                )
            also = _some_of(free, MOST_UNLABELLED, rng)
        halo = self.footprint.halo
        return examples_of(cube, labels, self.standardise, halo=halo, evidence=evidence, also=also)

    def _with_clusters(self, labels: Any, evidence: Any, rng: np.random.Generator) -> Any:
        """Return ``labels`` with 3 x 3 clusters of background far from deposits (section 4)."""
        exclude = ~self.valid_
        if self.background == "faults":
            weight = evidence[FAULTS].values
            # Weights fall with distance: at most their median is at least its median.
            exclude = exclude | (weight > np.median(weight[self.valid_.values]))
        apart = (self.window + BLOCK) * max(map(abs, cell_size(labels)))
        return draw_background(
            labels,
            exclude=exclude,
            min_distance=apart if self.min_distance is None else self.min_distance,
            radius_cells=BLOCK // 2,
            seed=rng,
        )

    def learn(self, network: nn.Module, examples: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Train on the examples of one draw (section 3.2)."""
        where = next(network.parameters()).device
        generator = torch.Generator(where).manual_seed(torch_seed(rng))
        dropouts = [layer for layer in network.modules() if hasattr(layer, "generator")]
        for layer in dropouts:
            layer.generator = generator  # type: ignore[assignment]
        loss_of, n_labelled = self._loss(network, examples, generator)
        losses = train(
            network,
            loss_of,
            n_labelled,
            optimizer=torch.optim.Adam(network.parameters(), lr=self.learning_rate),
            epochs=self.epochs,
            batch_size=self.batch_size,
            rng=rng,
            stop=self._stop,
        )
        for layer in dropouts:
            layer.generator = None  # type: ignore[assignment]
        return {"loss": losses, **_fitted(network)}

    def _loss(
        self, network: Any, examples: Any, generator: torch.Generator
    ) -> tuple[Callable[[Tensor], Tensor], int]:
        """Return the loss of a batch of labelled examples, and how many of these there are."""
        where = generator.device
        patches = torch.from_numpy(np.nan_to_num(examples["values"].values)).to(where)
        label = torch.from_numpy(examples["label"].values).to(where)
        target = (label == DEPOSIT).float()
        labelled, unlabelled = (torch.nonzero(m)[:, 0] for m in (label >= 0, label < 0))
        weight = torch.from_numpy(examples[FAULTS].values).to(where) if self.knowledge else None

        def loss_of(batch: Tensor) -> Tensor:
            cells = guided = labelled[batch.to(where)]
            if len(unlabelled):
                drawn = torch.randint(
                    len(unlabelled), (len(batch),), generator=generator, device=where
                )
                guided = unlabelled[drawn]
                logits, guided_logits = network(patches[torch.cat([cells, guided])]).chunk(2)
            else:
                logits = guided_logits = network(patches[cells])
            loss = nn.functional.binary_cross_entropy_with_logits(logits, target[cells])
            if weight is None:
                return loss
            guide = network.constraint(weight[guided])
            return loss + self.knowledge * knowledge_loss(guided_logits.sigmoid(), guide)

        return loss_of, len(labelled)

    @torch.inference_mode()
    def score_block(
        self, network: nn.Module, block: np.ndarray, evidence: Any, context: Any
    ) -> np.ndarray:
        """Return P ``(y, x)``, patch by patch."""
        where = next(network.parameters()).device
        halo = self.footprint.halo
        inside = tuple(slice(halo, size - halo) for size in block.shape[1:])
        rows, cols = np.nonzero(~np.isnan(block).any(axis=0)[inside])
        # Elements last, as the network wants them: a patch is then copied row by row.
        cells = np.nan_to_num(np.ascontiguousarray(np.moveaxis(block, 0, -1)))
        windows = np.lib.stride_tricks.sliding_window_view(cells, (self.window,) * 2, axis=(0, 1))
        windows = np.moveaxis(windows, 2, -1)
        score = np.full(windows.shape[:2], np.nan, dtype="float32")
        size = BATCH["cpu" if where.type == "cpu" else "cuda"]
        for start in range(0, len(rows), size):
            at = rows[start : start + size], cols[start : start + size]
            patches = torch.from_numpy(windows[at]).permute(0, 3, 1, 2).to(where)
            score[at] = network(patches).sigmoid().cpu().numpy()
        return score

    def integrated_gradients(self, network: nn.Module, patches: np.ndarray) -> np.ndarray:
        """Share of each element in the logit, ``(location, element)``, summed over the patch.

        The path runs from the patch in which all is at the survey's mean: shares sum to the logit
        less that of the mean patch (Sundararajan, Taly and Yan 2017), up to the error of steps.
        """
        end = torch.from_numpy(np.nan_to_num(patches))
        shares = integrated_gradients(network, torch.zeros_like(end), end, steps=STEPS)
        return shares.sum(dim=(2, 3)).numpy()

    explanations: ClassVar[dict[str, Explanation]] = {"integrated_gradients": integrated_gradients}

    def provenance(self) -> dict[str, Any]:
        """Return attrs that say how a score came about, with the means of a and b0 over draws."""
        told = ("a", "b0", "randomised")
        fitted = [{key: run[key] for key in told if key in run} for run in self.history_]
        means = {key: float(np.mean([run[key] for run in fitted])) for key in fitted[0]}
        return {**super().provenance(), **means}


def _check_weights(evidence: Any) -> None:
    """Raise unless the fault weights, where needed, lie in [0, 1]: a distance would not."""
    if FAULTS not in evidence:
        return
    if evidence[FAULTS].isnull().all():
        raise EvidenceError(f"{FAULTS} is missing everywhere; make it on the grid of the cube")
    low, high = (float(bound) for bound in (evidence[FAULTS].min(), evidence[FAULTS].max()))
    if low < 0 or high > 1:
        raise EvidenceError(
            f"{FAULTS} runs from {low:g} to {high:g} and must lie in [0, 1], high near faults; "
            "make it with density_law(...).weight(distance)"
        )


def _some_of(mask: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``mask`` with at most ``most`` of its cells, drawn at random."""
    cells = np.flatnonzero(mask)
    chosen = np.zeros(mask.size, dtype=bool)
    chosen[rng.choice(cells, size=min(most, len(cells)), replace=False)] = True
    return chosen.reshape(mask.shape)


def _fitted(network: Any) -> dict[str, float]:
    """Return a and b0 of a constraint that was learnt."""
    constraint = network.constraint
    if not isinstance(constraint, FaultConstraint):
        return {}
    return {"a": constraint.a.item(), "b0": constraint.b0.item()}


def gk_dcn(
    ds: "xr.Dataset",
    labels: "Hashable | xr.DataArray",
    *,
    window: int = 9,
    deformable: bool = True,
    knowledge: float = 1.0,
    name: str = "gk_dcn",
    **params: Any,
) -> "xr.Dataset":
    """Fit GK-DCN, or another of its paper's four networks, and add its score to ``ds``.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube, ``(element, y, x)``, log-ratioed, and ``fault_weight`` ``(y, x)``
        in [0, 1], unless ``knowledge=0`` and ``background="anywhere"``.
    labels : str or xarray.DataArray
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled.
    window : int
        Side of a patch in cells; odd, at least 3.
    deformable : bool
        Deformable convolutions; else ordinary ones.
    knowledge : float
        Weight of the fault term, the paper's lambda; 0 switches it off.
    name : str
        Of the new variable.
    **params
        Other fields of :class:`~xgeoanom.detectors.GKDCN`: ``constraint``, ``background``,
        ``draws``, ``epochs``, ``seed``, ...

    Returns
    -------
    xarray.Dataset
        ``ds`` with ``<name>``, float32 in [0, 1], and of several draws ``<name>_std``, its spread.

    Raises
    ------
    EvidenceError
        If ``fault_weight`` is missing, lies on another grid, leaves [0, 1] or has no value at a
        labelled cell.
    XGeoAnomError
        Another of its kinds, before training: a wrong window, cube, grid, CRS or label.

    References
    ----------
    Zhang, Xiong and Chen 2026, Geosci. Model Dev. 19, 2219.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> params = {"background": "anywhere", "draws": 1, "epochs": 1, "seed": 0}
    >>> out = gk_dcn(ds, "labels", window=5, knowledge=0, **params)
    >>> out["gk_dcn"].dims
    ('y', 'x')
    """
    detector = GKDCN(window=window, deformable=deformable, knowledge=knowledge, **params)
    return detect(ds, detector, labels, name=name)
