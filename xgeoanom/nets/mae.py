"""A masked autoencoder of small windows of many bands (He et al. 2022, "Masked autoencoders").

The encoder sees some tokens of a window; the decoder rebuilds the rest from their codes. Sizes by
default are those of Daruna et al. 2024 (arXiv 2406.12756): windows of 5 x 5 cells, patches of one
cell, 6 of 25 tokens seen. What is missing (NaN) never counts in a loss.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xgeoanom.errors import WindowError, XGeoAnomError
from xgeoanom.nets.vit import Block, Encoder, initialise, patchify, unpatchify

LOSSES = ("masked", "all")
# Layers whose rows or columns belong to bands, and the axis along which they do.
OF_BANDS = {
    "encoder.embed.weight": 1,
    "encoder.missing.weight": 1,
    "decoder.rebuild.weight": 0,
    "decoder.rebuild.bias": 0,
}


def random_mask(
    b: int, n_tokens: int, ratio: float, generator: torch.Generator, empty: Tensor | None = None
) -> Tensor:
    """Return the tokens that stay visible, in ascending order: ``(b, visible)``.

    Parameters
    ----------
    b, n_tokens : int
        Windows, and tokens in each.
    ratio : float
        Share of the tokens to hide; ``round((1 - ratio) * n_tokens)`` stay visible.
    generator : torch.Generator
        Where all numbers come from; the result lies on its device.
    empty : Tensor, optional
        ``(b, n_tokens)``, true for tokens of which nothing is known: they are hidden first.

    Raises
    ------
    XGeoAnomError
        If all tokens or none would be hidden.

    Examples
    --------
    >>> random_mask(2, 25, 0.75, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 6])
    """
    n_visible = count_visible(n_tokens, ratio)
    order = torch.rand(b, n_tokens, generator=generator, device=generator.device)
    if empty is not None:
        order = order + empty.to(order.device)
    return order.argsort(dim=1)[:, :n_visible].sort(dim=1).values


def count_visible(n_tokens: int, ratio: float) -> int:
    """Return how many tokens stay visible where a share ``ratio`` is hidden.

    >>> count_visible(25, 0.75)
    6
    """
    n_visible = round((1 - ratio) * n_tokens)
    if not 0 < n_visible < n_tokens:
        raise XGeoAnomError(
            f"mask_ratio={ratio} leaves {n_visible} of {n_tokens} patches visible; some must be "
            "seen and some hidden; try mask_ratio=0.75, and three patches a side or more"
        )
    return n_visible


class Decoder(nn.Module):
    """From the codes of visible tokens to the values of all tokens.

    Maps codes ``(b, 1 + visible, width_in)`` and indices ``(b, visible)`` to ``(b, n, n_values)``.
    """

    def __init__(
        self, n_values: int, n_tokens: int, width_in: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(width_in, width)
        self.hidden = nn.Parameter(torch.empty(width))
        self.positions = nn.Parameter(torch.empty(n_tokens, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.rebuild = nn.Linear(width, n_values)
        initialise(self)

    def forward(self, codes: Tensor, visible: Tensor) -> Tensor:
        """Return the values of all tokens: logits for binary bands."""
        codes = self.embed(codes)
        hidden = self.hidden.to(codes.dtype).expand(len(codes), len(self.positions), -1)
        at = visible[..., None].expand(-1, -1, codes.shape[-1])
        tokens = hidden.scatter(1, at, codes[:, 1:]) + self.positions
        tokens = torch.cat([codes[:, :1].to(tokens.dtype), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.rebuild(self.norm(tokens[:, 1:]))


class MaskedAutoencoder(nn.Module):
    """Learns what a survey looks like from windows of which it sees a part.

    Parameters
    ----------
    n_bands : int
        Bands of a window.
    window, patch : int
        Cells on a side of a window and of a token; ``window`` is a multiple of ``patch``.
    width, depth, heads : int
        Of the encoder's tokens, and its blocks and attention heads.
    decoder_width, decoder_depth, decoder_heads : int
        Of the decoder.
    binary : sequence of int
        Bands of zeros and ones: rebuilt as probabilities, with cross-entropy as their loss. All
        other bands are standardised, and have the squared error.

    Raises
    ------
    WindowError
        If the window is no multiple of the patch.
    XGeoAnomError
        If a width is no multiple of its heads, or a binary band is not there.

    Examples
    --------
    >>> network = MaskedAutoencoder(3, width=16, depth=1, decoder_width=8, decoder_depth=1)
    >>> windows = torch.randn(4, 3, 5, 5)
    >>> network(windows).shape
    torch.Size([4, 16])
    >>> network.loss(windows, torch.Generator().manual_seed(0)).shape
    torch.Size([])
    """

    binary: Tensor

    def __init__(
        self,
        n_bands: int,
        *,
        window: int = 5,
        patch: int = 1,
        width: int = 256,
        depth: int = 6,
        heads: int = 8,
        decoder_width: int = 128,
        decoder_depth: int = 2,
        decoder_heads: int = 4,
        binary: Sequence[int] = (),
    ) -> None:
        super().__init__()
        _check_window(window, patch)
        _check_width("width", width, "heads", heads)
        _check_width("decoder_width", decoder_width, "decoder_heads", decoder_heads)
        _check_binary(binary, n_bands)
        self.patch = patch
        self.encoder = Encoder(n_bands, window, patch, width, depth, heads)
        n_values, n_tokens = n_bands * patch**2, (window // patch) ** 2
        self.decoder = Decoder(
            n_values, n_tokens, width, decoder_width, decoder_depth, decoder_heads
        )
        is_binary = torch.zeros(n_bands, dtype=torch.bool)
        is_binary[list(binary)] = True
        self.register_buffer("binary", is_binary)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same as :meth:`encode`."""
        return self.encode(x)

    def encode(self, x: Tensor) -> Tensor:
        """Return the code ``(b, width)`` of each window, all its tokens visible."""
        return self.tokens(x)[:, 0]

    def tokens(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Return the codes ``(b, 1 + n, width)`` of windows, then of all or of visible tokens."""
        return self.encoder.tokens(x, visible)

    def reconstruct(self, x: Tensor, visible: Tensor) -> Tensor:
        """Rebuild whole windows from their visible tokens; binary bands as probabilities."""
        rebuilt = unpatchify(self._rebuild(x, visible), self.patch)
        return torch.where(self.binary[:, None, None], rebuilt.sigmoid(), rebuilt)

    def loss(
        self,
        x: Tensor,
        generator: torch.Generator,
        loss_on: str = "masked",
        ratio: float = 0.75,
    ) -> Tensor:
        """Hide tokens by chance, and return how badly windows are rebuilt from the others.

        Parameters
        ----------
        x : Tensor
            Windows ``(b, band, window, window)``; NaN where missing.
        generator : torch.Generator
            Draws what to hide.
        loss_on : {"masked", "all"}
            The mean over hidden tokens (He et al.), or over all (Daruna et al.).
        ratio : float
            Share of the tokens to hide.
        """
        empty = patchify(x, self.patch).isnan().all(dim=2)
        visible = random_mask(len(x), empty.shape[1], ratio, generator, empty)
        return self.loss_from(x, visible.to(x.device), loss_on)

    def loss_from(self, x: Tensor, visible: Tensor, loss_on: str = "masked") -> Tensor:
        """Return how badly windows are rebuilt from given tokens: a mean over known values.

        It is 0, as is its gradient, where there is nothing known to rebuild.
        """
        if loss_on not in LOSSES:
            raise XGeoAnomError(f"loss_on={loss_on!r} is not one of {LOSSES}")
        values = patchify(x, self.patch)
        counted = ~values.isnan()
        if loss_on == "masked":
            counted = counted & _hidden(visible, values.shape[1])[..., None]
        errors = self._errors(self._rebuild(x, visible), values.nan_to_num())
        return (errors * counted).sum() / counted.sum().clamp(min=1)

    def _rebuild(self, x: Tensor, visible: Tensor) -> Tensor:
        rebuilt: Tensor = self.decoder(self.encoder.tokens(x, visible), visible)
        return rebuilt

    def _errors(self, rebuilt: Tensor, values: Tensor) -> Tensor:
        squares = (rebuilt - values).square()
        entropies = F.binary_cross_entropy_with_logits(rebuilt, values, reduction="none")
        return torch.where(self.binary.repeat_interleave(self.patch**2), entropies, squares)


def hidden_cells(visible: Tensor, patch: int, side: int) -> Tensor:
    """Return which cells of windows lie in hidden tokens: bool ``(b, side, side)``."""
    hidden = _hidden(visible, (side // patch) ** 2)
    return unpatchify(hidden[..., None].expand(-1, -1, patch**2), patch)[:, 0]


def carry_over(
    source: MaskedAutoencoder, target: MaskedAutoencoder, bands: Sequence[int | None]
) -> None:
    """Give ``target`` what ``source`` learnt, though their bands may differ.

    Parameters
    ----------
    source, target : MaskedAutoencoder
        Of the same window, patch, widths, depths and heads.
    bands : sequence of int or None
        For each band of ``target``, which band of ``source`` it is; None for a new one, which
        stays as it is.

    Raises
    ------
    XGeoAnomError
        If sizes differ, if ``bands`` fits neither, or if a binary band meets one that is not.
    """
    _check_bands(source, target, bands)
    given, own = source.state_dict(), target.state_dict()
    shared = [(new, old) for new, old in enumerate(bands) if old is not None]
    new, old = torch.tensor(shared, dtype=torch.long).reshape(-1, 2).T
    for name, axis in OF_BANDS.items():
        layer, learnt = (
            state[name].movedim(axis, 0).unflatten(0, (-1, target.patch**2))
            for state in (own, given)
        )
        layer[new] = learnt[old]
    target.load_state_dict(_rest(given), strict=False)


def _rest(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the layers that know nothing of bands."""
    return {
        name: v
        for name, v in state.items()
        if name.startswith(("encoder.", "decoder.")) and name not in OF_BANDS
    }


def _hidden(visible: Tensor, n_tokens: int) -> Tensor:
    hidden = torch.ones(len(visible), n_tokens, dtype=torch.bool, device=visible.device)
    return hidden.scatter(1, visible, False)


def _check_window(window: int, patch: int) -> None:
    if patch < 1 or window < patch or window % patch:
        more = max(patch, 1) * max(2, math.ceil(window / max(patch, 1)))
        raise WindowError(f"window={window} must be a multiple of patch={patch}; try {more}")


def _check_width(name: str, width: int, heads_name: str, heads: int) -> None:
    if heads < 1 or width < heads or width % heads:
        raise XGeoAnomError(f"{name}={width} must be a multiple of {heads_name}={heads}")


def _check_binary(binary: Sequence[int], n_bands: int) -> None:
    absent = [band for band in binary if not 0 <= band < n_bands]
    if absent:
        raise XGeoAnomError(f"binary={tuple(binary)} names bands {absent} of {n_bands}")


def _check_bands(
    source: MaskedAutoencoder, target: MaskedAutoencoder, bands: Sequence[int | None]
) -> None:
    sizes = [
        {name: v.shape for name, v in _rest(network.state_dict()).items()}
        for network in (source, target)
    ]
    heads = [[b.heads for b in net.modules() if isinstance(b, Block)] for net in (source, target)]
    if sizes[0] != sizes[1] or heads[0] != heads[1] or source.patch != target.patch:
        raise XGeoAnomError(
            "networks differ in window, patch, width, depth or heads; make them alike"
        )
    if len(bands) != len(target.binary) or any(
        old is not None and not 0 <= old < len(source.binary) for old in bands
    ):
        raise XGeoAnomError(
            f"bands={bands} must name one of {len(source.binary)} bands, or None, "
            f"for each of {len(target.binary)}"
        )
    for new, old in enumerate(bands):
        if old is not None and source.binary[old] != target.binary[new]:
            raise XGeoAnomError(f"band {new} is binary in one network alone; take None for it")
