"""Graph convolutions within and between superpixels, beside a network along the elements.

The template is the graph in graph of Jia et al. 2022 (GiGCN): the cells of a superpixel are an
internal graph, touching superpixels the external one. Of the paper that brought it to geochemistry
(Xu and Zuo 2025, Math. Geosci. 57, 307-331) only the abstract is public.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import BatchNorm, GCNConv, GraphConv
from torch_geometric.nn.aggr import AttentionalAggregation, MeanAggregation
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.patch_cnn import Dropout
from xgeoanom.nets.spectrum import SpectrumCNN

BRANCHES = ("both", "spatial", "spectrum")
POOLINGS = ("mean", "attention")
FUSIONS = ("concatenate", "gate")
WIDTH = 64  # of the spectrum branch and of the fused layer
# Cells whose hidden units are worked out at a time. They stay in the processor's cache: an epoch
# on 78 000 cells took half the time that it took with all at once.
TILE = 8192
# Up to this many cells, hidden units are kept for the gradient (0.5 GB); beyond, worked out again.
KEPT = 10**6


def propagate(values: Tensor, edges: Tensor, steps: int = 3) -> Tensor:
    """Return ``S^steps X``, with ``S = D^-1/2 (A + I) D^-1/2``: neighbours' values mixed.

    The part without parameters of a simple graph convolution (Wu et al. 2019, section 2.2), so it
    is worked out once for a survey and not in every epoch.

    Parameters
    ----------
    values : Tensor
        X, ``(cell, element)``.
    edges : Tensor
        ``(2, edge)``, sources above targets, each edge both ways, without self-loops.
    steps : int
        How far values travel, in edges.

    Examples
    --------
    >>> propagate(torch.tensor([[3.0], [1.0]]), torch.tensor([[0, 1], [1, 0]]), steps=1)
    tensor([[2.0000],
            [2.0000]])
    """
    n_cells = len(values)
    (source, target), weights = gcn_norm(edges, num_nodes=n_cells, dtype=values.dtype)
    # A cell is a bag of its neighbours: no value is copied to an edge, which took eight times as
    # long.
    order = target.argsort(stable=True)
    counts = torch.bincount(target, minlength=n_cells)
    first = counts.cumsum(0) - counts
    source, weights = source[order], weights[order]
    for _ in range(steps):
        values = nn.functional.embedding_bag(
            source, values, first, mode="sum", per_sample_weights=weights
        )
    return values


class InternalConv(nn.Linear):
    """What is learned of the convolution within superpixels: ``H = ReLU(S^3 X W^T + b)``.

    Maps :func:`propagate`'s ``(cell, element)`` to ``(cell, hidden)``.
    """

    def forward(self, smoothed: Tensor) -> Tensor:
        """Return the hidden units of each cell."""
        return torch.relu_(super().forward(smoothed))


class Pooling(nn.Module):
    """Superpixels out of their cells: ``(cell, hidden)`` to ``(superpixel, hidden)``.

    Parameters
    ----------
    hidden : int
        Columns.
    kind : {"mean", "attention"}
        ``attention`` weighs cells by a softmax, over each superpixel, of a learned linear score.
    """

    def __init__(self, hidden: int, kind: str = "mean") -> None:
        super().__init__()
        _check("pooling", kind, POOLINGS)
        if kind == "mean":
            self.pool = MeanAggregation()
        else:
            self.pool = AttentionalAggregation(nn.Linear(hidden, 1))

    def forward(self, cells: Tensor, superpixel: Tensor, n_superpixels: int) -> Tensor:
        """Return one row for each superpixel; ``superpixel`` ``(cell,)`` counts from 0."""
        pooled: Tensor = self.pool(cells, superpixel, dim_size=n_superpixels)
        return pooled

    def sums(self, cells: Tensor, superpixel: Tensor, n_superpixels: int) -> Tensor:
        """Return sums ``(superpixel, hidden)`` and, as a last column, what to divide them by.

        Those of parts of a survey add up, so that a superpixel may lie in several; float64.
        """
        weights = torch.ones(len(cells), 1, dtype=torch.float64, device=cells.device)
        if isinstance(self.pool, AttentionalAggregation):
            weights = self.pool.gate_nn(cells).double().exp()
        parts = torch.cat([weights * cells, weights], dim=1)
        return parts.new_zeros(n_superpixels, parts.shape[1]).index_add(0, superpixel, parts)


class ExternalConv(nn.Module):
    """Two graph convolutions between superpixels: ``(superpixel, hidden)`` to itself.

    Notes
    -----
    As in GiGCN's code: ``x0 = BN(x)``, ``x1 = BN(ReLU(GCN(x0)))`` (Kipf and Welling 2017),
    ``x2 = BN(ReLU(W x1 + W' sum_t w_st x1_t + b))`` (Morris et al. 2019), and the result is
    ``x2 + x0``. The sum over neighbours is no mean, so a superpixel without any keeps its own
    part. Weighted edges are ours. A single superpixel has no spread: it is normalised by the
    running statistics, in training too.
    """

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.norm0, self.norm1, self.norm2 = (
            BatchNorm(hidden, allow_single_element=True) for _ in range(3)
        )
        self.conv1 = GCNConv(hidden, hidden)
        self.conv2 = GraphConv(hidden, hidden, aggr="add")

    def forward(self, superpixels: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        """Convolve along ``edges`` ``(2, edge)``, both ways, with ``weights`` ``(edge,)``."""
        normal: Tensor = self.norm0(superpixels)
        x = self.norm1(torch.relu(self.conv1(normal, edges, weights)))
        x = self.norm2(torch.relu(self.conv2(x, edges, weights)))
        return normal + x


class Concatenation(nn.Linear):
    """Fully connected layer on branches side by side: each ``(cell, width)`` to ``(cell, 64)``."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(sum(widths), WIDTH)

    def forward(self, *branches: Tensor) -> Tensor:
        """Return the fused units of each cell."""
        return super().forward(torch.cat(branches, dim=1))


class Gate(nn.Module):
    """Convex combination of two branches, unit by unit: each ``(cell, width)`` to ``(cell, 64)``.

    ``z = g (U a) + (1 - g) (V b)`` with ``g = sigmoid(W [a; b])``, all with biases: the gated unit
    of Arevalo et al. 2017, section 3.1, with ReLU, which follows, for tanh.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.first, self.second = (nn.Linear(width, WIDTH) for width in widths)
        self.gate = nn.Linear(sum(widths), WIDTH)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the fused units of each cell."""
        share = torch.sigmoid(self.gate(torch.cat([first, second], dim=1)))
        return torch.lerp(self.second(second), self.first(first), share)


class DualBranch(nn.Module):
    """Superpixel graphs and element spectra, each cell with one logit.

    Parameters
    ----------
    n_elements : int
        Elements of a cell.
    branches : {"both", "spatial", "spectrum"}
        Which there are. One alone is followed by the same head, without fusion.
    pooling : {"mean", "attention"}
        As of :class:`Pooling`.
    fusion : {"concatenate", "gate"}
        How both branches become 64 units; ReLU, dropout and the logit follow.
    hidden : int
        Units of the graph convolutions.

    Notes
    -----
    Two steps. :meth:`embed` needs the whole graph and gives each superpixel its ``v_s``. All else
    goes cell by cell, for as many cells as are wanted: ``values`` ``(cell, element)``,
    ``smoothed``, which is :func:`propagate` of them, and ``embedded`` ``(cell, hidden)``, the
    ``v_s`` of each cell's superpixel. The spatial branch of a cell is ``[H_p; v_s]``. What a
    single branch does not look at may be None.

    Xu and Zuo's abstract names both branches and their fusion; one logit for two classes, the
    fusions and the auxiliary heads, one linear layer on each branch, are ours.

    Examples
    --------
    >>> network, smoothed = DualBranch(39).eval(), torch.zeros(6, 39)
    >>> superpixel, edges = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([[0, 1], [1, 0]])
    >>> embedding = network.embed(smoothed, superpixel, 2, edges, torch.ones(2))
    >>> network(torch.zeros(6, 39), smoothed, embedding[superpixel]).shape
    torch.Size([6])
    """

    def __init__(
        self,
        n_elements: int,
        *,
        branches: str = "both",
        pooling: str = "mean",
        fusion: str = "concatenate",
        hidden: int = 128,
    ) -> None:
        super().__init__()
        _check("branches", branches, BRANCHES)
        _check("fusion", fusion, FUSIONS)
        self.branches = branches
        widths = {}
        if branches != "spectrum":
            self.internal = InternalConv(n_elements, hidden)
            self.pool = Pooling(hidden, pooling)
            self.external = ExternalConv(hidden)
            widths["spatial"] = 2 * hidden
        if branches != "spatial":
            self.spectrum = SpectrumCNN(WIDTH)
            widths["spectrum"] = WIDTH
        gated = fusion == "gate" and branches == "both"
        self.fuse = (Gate if gated else Concatenation)(list(widths.values()))
        self.head = nn.Sequential(nn.ReLU(), Dropout(0.5), nn.Linear(WIDTH, 1))
        self.auxiliary = nn.ModuleDict(
            {name: nn.Linear(width, 1) for name, width in widths.items() if branches == "both"}
        )

    def embed(
        self,
        smoothed: Tensor,
        superpixel: Tensor,
        n_superpixels: int,
        edges: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """Return ``v_s`` ``(superpixel, hidden)``, out of all cells of the graph.

        ``smoothed`` is ``(cell, element)``, ``superpixel`` ``(cell,)``; ``edges`` ``(2, edge)``
        join superpixels, both ways, with ``weights`` ``(edge,)``.
        """
        keep, first, pooled = len(smoothed) <= KEPT, 0, []
        for cells, n in _tiles(superpixel, n_superpixels):
            tile = (smoothed[cells], superpixel[cells] - first, n)
            pooled.append(
                self._pooled(*tile)
                if keep
                else checkpoint(self._pooled, *tile, use_reentrant=False, preserve_rng_state=False)
            )
            first += n
        embedding: Tensor = self.external(torch.cat(pooled), edges, weights)
        return embedding

    def _pooled(self, smoothed: Tensor, superpixel: Tensor, n_superpixels: int) -> Tensor:
        pooled: Tensor = self.pool(self.internal(smoothed), superpixel, n_superpixels)
        return pooled

    def forward(self, values: Tensor, smoothed: Tensor, embedded: Tensor) -> Tensor:
        """Return one logit for each cell."""
        return self._logit(self._units(values, smoothed, embedded))

    def branch_logits(
        self, values: Tensor, smoothed: Tensor, embedded: Tensor
    ) -> dict[str, Tensor]:
        """Return logits ``(cell,)`` by what they rest on: of ``branches``, then of each alone.

        Under ``branches`` stands what :meth:`forward` returns; ``"spatial"`` and ``"spectrum"``
        beside ``"both"`` are the auxiliary heads'. One pass for all terms of a loss: batch
        normalisation sees each batch once.
        """
        units = self._units(values, smoothed, embedded)
        alone = {name: head(units[name]).squeeze(1) for name, head in self.auxiliary.items()}
        return {self.branches: self._logit(units), **alone}

    def contributions(
        self, values: Tensor, smoothed: Tensor, embedded: Tensor
    ) -> dict[str, Tensor]:
        """Return what each branch adds to the logit of each cell, ``(cell,)`` by branch.

        Shapley values of the branches, where one left out passes zeros on: all its units are
        silent. They add up to the logit less that of no branch at all, the same for all cells. An
        auxiliary head tells what its branch would say alone, not what the logit owes to it.

        Raises
        ------
        XGeoAnomError
            In training mode, where dropout draws anew for each logit.
        """
        if self.training:
            raise XGeoAnomError("the network is in training mode; call eval() first")
        units = self._units(values, smoothed, embedded)
        none = self._logit(_only(units))
        alone = {name: self._logit(_only(units, name)) - none for name in units}
        # With two branches, what they do only together is halved between them (Shapley 1953).
        together = self._logit(units) - none - sum(alone.values())
        return {name: logit + together / len(alone) for name, logit in alone.items()}

    def _units(self, values: Tensor, smoothed: Tensor, embedded: Tensor) -> dict[str, Tensor]:
        units = {}
        if self.branches != "spectrum":
            units["spatial"] = torch.cat([self.internal(smoothed), embedded], dim=1)
        if self.branches != "spatial":
            units["spectrum"] = self.spectrum(values)
        return units

    def _logit(self, units: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(self.fuse(*units.values()))
        return logits.squeeze(1)


def _tiles(superpixel: Tensor, n_superpixels: int) -> Iterator[tuple[Tensor, int]]:
    """Yield the cells of whole superpixels, about ``TILE`` of them, and how many superpixels."""
    order = superpixel.argsort(stable=True)
    ends = torch.bincount(superpixel, minlength=n_superpixels).cumsum(0)
    _, counts = torch.unique_consecutive((ends - 1) // TILE, return_counts=True)
    tile_ends = ends[counts.cumsum(0) - 1]
    sizes = tile_ends.diff(prepend=tile_ends.new_zeros(1))
    yield from zip(order.split(sizes.tolist()), counts.tolist(), strict=True)


def _only(units: dict[str, Tensor], *heard: str) -> dict[str, Tensor]:
    """Return the units with zeros for all branches but those ``heard``."""
    return {name: x if name in heard else torch.zeros_like(x) for name, x in units.items()}


def _check(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise XGeoAnomError(f"{argument}={value!r} is not one of {choices}")
