"""A vision transformer (Dosovitskiy et al. 2021) of small windows of which values may be missing.

A window is cut into patches, the tokens. What is missing (NaN) differs from what is average (0): a
missing value enters as 0 with an embedding of its own, one for each value of a token. That starts
at zero, so that it says nothing where training never met it. A token of which nothing is known is
not attended to.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INITIAL_SPREAD = 0.02  # of positions and of tokens that stand for no patch (He et al. 2022)


def patchify(x: Tensor, patch: int) -> Tensor:
    """Cut windows ``(b, band, s, s)`` into tokens ``(b, (s / patch)**2, band * patch**2)``.

    Tokens go row by row; the values of a token go band by band, each row by row.

    >>> patchify(torch.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 1]
    tensor([2., 3., 6., 7.])
    """
    b, bands, side, _ = x.shape
    n = side // patch
    cut = x.reshape(b, bands, n, patch, n, patch)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(b, n * n, bands * patch * patch)


def unpatchify(tokens: Tensor, patch: int) -> Tensor:
    """Put tokens ``(b, n, band * patch**2)`` together again: the inverse of :func:`patchify`."""
    b, n_tokens, values = tokens.shape
    n, bands = math.isqrt(n_tokens), values // patch**2
    cut = tokens.reshape(b, n, n, bands, patch, patch)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(b, bands, n * patch, n * patch)


class Block(nn.Module):
    """Attention and two dense layers, each behind a layer norm and beside a shortcut.

    Maps ``(b, n, width)`` to itself. ``attended``, ``(b, n)``, says which tokens others may see.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, attended: Tensor | None = None) -> Tensor:
        """Return the tokens, each knowing of the others."""
        x = x + self._attend(self.norm1(x), attended)
        return x + self.dense(self.norm2(x))

    def _attend(self, x: Tensor, attended: Tensor | None) -> Tensor:
        parts = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mask = None if attended is None else attended[:, None, None, :]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.mix(seen.transpose(1, 2).flatten(2))


class Encoder(nn.Module):
    """From a window of bands to codes of its tokens.

    Parameters
    ----------
    n_bands : int
        Bands of a window.
    window, patch : int
        Cells on a side; ``window`` is a multiple of ``patch``.
    width, depth, heads : int
        Of a token, and how many blocks of how many attention heads.

    Notes
    -----
    Maps windows ``(b, n_bands, window, window)`` to ``(b, width)``: the token that stands for the
    window, all others visible.
    """

    def __init__(
        self, n_bands: int, window: int, patch: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.patch = patch
        n_values = n_bands * patch**2
        self.embed = nn.Linear(n_values, width)
        self.missing = nn.Linear(n_values, width, bias=False)
        self.cls = nn.Parameter(torch.empty(width))
        self.positions = nn.Parameter(torch.empty((window // patch) ** 2, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        initialise(self)
        nn.init.zeros_(self.missing.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return one code for each window."""
        return self.tokens(x)[:, 0]

    def tokens(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Return ``(b, 1 + n, width)``: the window's token, then all others or the visible ones."""
        values = patchify(x, self.patch)
        positions: Tensor = self.positions
        if visible is not None:
            values = values.take_along_dim(visible[..., None], dim=1)
            positions = F.embedding(visible, positions)
        missing = values.isnan()
        codes = self.embed(values.masked_fill(missing, 0)) + positions
        codes = codes + self.missing(missing.to(x.dtype))
        codes = torch.cat([self.cls.to(codes.dtype).expand(len(x), 1, -1), codes], dim=1)
        attended = _attended(missing)
        for block in self.blocks:
            codes = block(codes, attended)
        return self.norm(codes)


def initialise(network: nn.Module) -> None:
    """Start as He et al. do: Xavier-uniform layers, small positions and tokens."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for parameter in network.parameters(recurse=False):
        nn.init.normal_(parameter, std=INITIAL_SPREAD)


def _attended(missing: Tensor) -> Tensor | None:
    """Say which tokens may be seen, the window's first; None where all may, the faster way."""
    empty = missing.all(dim=2)
    return F.pad(~empty, (1, 0), value=True) if empty.any() else None
