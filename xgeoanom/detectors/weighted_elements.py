"""Weights of evidence over the elements: each is a pattern, cut where it tells most of deposits."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from xgeoanom.blocks import Footprint
from xgeoanom.classical.weights_of_evidence import (
    independence,
    posterior_of,
    sum_of_weights,
    tally,
    weights_of,
)
from xgeoanom.conventions import BACKGROUND, DEPOSIT, UNLABELLED
from xgeoanom.detectors.base import Detector, Explanation
from xgeoanom.detectors.training_set import examples_of
from xgeoanom.errors import LabelError, XGeoAnomError
from xgeoanom.geology.labels import deposit_ids, draw_background

# Ours: below the median nothing is high; above the 95th percentile few deposits are left to count.
QUANTILES = np.arange(50, 100, 5) / 100


@dataclass(kw_only=True)
class WeightedElements(Detector):
    """Weights of evidence in which each element, where it exceeds a cutoff, is a pattern.

    The cutoff is the quantile, of 0.50, 0.55, ..., 0.95, with the greatest studentised contrast
    among the cells of training. It is chosen in ``fit``, so that cross-validation chooses it again
    in every fold; being the best of ten, its contrast is too high. Elements below
    ``least_contrast`` are left out. The score is the posterior probability of a deposit.

    A deposit counts once, by the cell in the middle of its labelled cells; its other cells count
    as neither. All other valid cells count as without a deposit, or the labelled background alone
    where there is one.

    Parameters
    ----------
    least_contrast : float
        Studentised contrast that an element needs.
    most : int
        Cells without a deposit to learn from, at most; of more, so many at random. The prior
        counts them all.
    draws : int
        More than one draw makes sense where there are more than ``most`` cells.

    Warns
    -----
    UserWarning
        By ``fit``, if no element reaches ``least_contrast``: the score is the prior everywhere.

    Notes
    -----
    Bonham-Carter (1994), Geographic Information Systems for Geoscientists, section 9.2-9.4. The
    posterior takes elements as conditionally independent, and they never are: ore elements rise
    together and log-ratios share their denominator. Deposits are counted again with each element,
    so the posterior is too high and serves to rank cells. ``history_`` keeps the test of Agterberg
    and Cheng (2002, Nat. Resour. Res. 11, 249) on the cells learned from, beside each element's
    weights and its cutoff in units of the cube.

    Examples
    --------
    >>> WeightedElements(least_contrast=1.5).footprint
    Footprint(halo=0, step=1)
    """

    least_contrast: float = 1.96  # 95 % of a normal distribution
    most: int = 100_000  # ours: a whole survey, as a rule
    draws: int = 1

    name: ClassVar[str] = "weighted_elements"

    def __post_init__(self) -> None:
        for field in ("draws", "most"):
            if not isinstance(number := getattr(self, field), int) or number < 1:
                raise XGeoAnomError(f"{field}={number!r} must be an integer of at least 1")
        if not self.least_contrast >= 0:
            raise XGeoAnomError(
                f"least_contrast={self.least_contrast!r} must not be negative; try 1.96"
            )

    @property
    def footprint(self) -> Footprint:
        """A cell alone."""
        return Footprint(halo=0)

    def build(self, n_elements: int) -> nn.Module:
        """Return cutoffs and weights that say nothing yet."""
        network = nn.Module()
        for name in ("cutoff", "w_plus", "w_minus"):
            network.register_buffer(name, torch.zeros(n_elements, dtype=torch.float64))
        network.register_buffer("prior_logit", torch.zeros((), dtype=torch.float64))
        return network

    def fit(self, cube: Any, labels: Any = None, *, evidence: Any = None) -> Self:
        """Learn from labelled cells, as every detector; warn where no element tells of deposits."""
        super().fit(cube, labels, evidence=evidence)
        if not any(run["elements"] for run in self.history_):
            warnings.warn(
                f"no element has a studentised contrast of least_contrast={self.least_contrast}: "
                "the score is the prior everywhere",
                stacklevel=2,
            )
        return self

    def draw(self, cube: Any, labels: Any, evidence: Any, rng: np.random.Generator) -> Any:
        """Return one cell of each deposit and the cells without; attr ``n_cells`` counts all."""
        free = (labels.values == UNLABELLED) & self.valid_.values
        n_free, n_given = int(free.sum()), int((labels.values == BACKGROUND).sum())
        if not (n_given or n_free):
            raise LabelError("labels leave no cell without a deposit; leave some unlabelled")
        chosen = labels.copy(data=middle_cells(labels))
        if not n_given:
            taken = self.valid_.copy(data=~free)
            chosen = draw_background(chosen, n=min(n_free, self.most), exclude=taken, seed=rng)
        examples = examples_of(cube, chosen, self.standardise, halo=0)
        n_deposits = int((chosen.values == DEPOSIT).sum())
        return examples.assign_attrs(n_cells=n_deposits + (n_given or n_free))

    def learn(self, network: nn.Module, examples: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Choose cutoffs and weigh the elements; return the table and the test of independence."""
        values = examples["values"].values[:, :, 0, 0].T
        deposit = examples["label"].values == DEPOSIT
        table = best_cutoffs(values, deposit)
        kept = table["studentised_contrast"] >= self.least_contrast
        n, n_cells = int(deposit.sum()), int(examples.attrs["n_cells"])
        buffers = {
            "cutoff": table["cutoff"],
            "w_plus": np.where(kept, table["w_plus"], 0.0),
            "w_minus": np.where(kept, table["w_minus"], 0.0),
            "prior_logit": np.log(n / (n_cells - n)),
        }
        for name, numbers in buffers.items():
            network.get_buffer(name).copy_(torch.as_tensor(numbers))
        history = {"n_deposits": n, "n_cells": len(deposit), "elements": self._rows(table, kept)}
        if not kept.any():
            return history
        table = {key: column[kept] for key, column in table.items()}
        patterns = (values[kept] > table["cutoff"][:, None]).astype("float64")
        posterior, std = posterior_of(patterns, table, n, len(deposit))
        return {**history, **independence(patterns, posterior, std, n)}

    def score_block(
        self, network: nn.Module, block: np.ndarray, evidence: Any, context: Any
    ) -> np.ndarray:
        """Return the posterior probability ``(y, x)``."""
        cutoff, w_plus, w_minus, prior = (
            network.get_buffer(name).cpu().numpy()
            for name in ("cutoff", "w_plus", "w_minus", "prior_logit")
        )
        logit = prior + sum_of_weights(block > cutoff[:, None, None], w_plus, w_minus)
        return np.where(np.isnan(block).any(axis=0), np.nan, expit(logit))

    def weights(self, network: nn.Module, patches: np.ndarray) -> np.ndarray:
        """Weight of each element, ``(location, element)``: their sum moves the prior's logit."""
        cutoff, w_plus, w_minus = (
            network.get_buffer(name).cpu().numpy() for name in ("cutoff", "w_plus", "w_minus")
        )
        return np.where(patches[:, :, 0, 0] > cutoff, w_plus, w_minus)

    explanations: ClassVar[dict[str, Explanation]] = {"weights": weights}

    def _rows(self, table: dict[str, np.ndarray], kept: np.ndarray) -> dict[str, Any]:
        """Return the table's row of each element kept, its cutoff in units of the cube."""
        cutoff = table["cutoff"] * self.scale_ + self.mean_
        columns = {**table, "cutoff": cutoff}
        return {
            self.elements_[k]: {key: float(column[k]) for key, column in columns.items()}
            for k in np.flatnonzero(kept)
        }


def middle_cells(labels: Any) -> np.ndarray:
    """Return labels ``(y, x)`` in which each deposit has but its middle cell, the rest unlabelled.

    It is the labelled cell nearest to their mean place; of several, the first.
    """
    ids = deposit_ids(labels).values
    marks = np.where(labels.values == DEPOSIT, UNLABELLED, labels.values)
    for deposit in np.unique(ids[ids >= 0]):
        cells = np.argwhere(ids == deposit)
        # Times their number, lest ties break by rounding.
        off = len(cells) * cells - cells.sum(axis=0)
        marks[tuple(cells[(off**2).sum(axis=1).argmin()])] = DEPOSIT
    return np.asarray(marks, dtype="int8")


def best_cutoffs(values: np.ndarray, deposit: np.ndarray) -> dict[str, np.ndarray]:
    """Return over elements the cutoff of the greatest studentised contrast, and its weights.

    ``values`` is ``(element, cell)``. A cutoff counts that has a deposit above it and a cell not
    above; the studentised contrast of an element without any is -inf.
    """
    cutoffs = np.quantile(values, QUANTILES, axis=1).T  # (element, quantile)
    counts = np.stack(
        [
            [tally(layer > cutoff, deposit) for cutoff in row]
            for layer, row in zip(values, cutoffs, strict=True)
        ]
    )
    table = weights_of(counts)
    telling = (counts[..., 0, 0] > 0) & (counts[..., 1, :].sum(axis=-1) > 0)
    studentised = np.where(telling, table["studentised_contrast"], -np.inf)
    best = studentised.argmax(axis=1)
    rows = {
        "quantile": np.broadcast_to(QUANTILES, cutoffs.shape),
        "cutoff": cutoffs,
        **table,
        "studentised_contrast": studentised,
    }
    return {key: column[np.arange(len(best)), best] for key, column in rows.items()}
