"""Deformable convolution in plain torch: a kernel whose points move with what lies below them.

Version 1 moves the points (Dai et al. 2017, "Deformable convolutional networks"), version 2 also
weighs them (Zhu et al. 2019, "Deformable ConvNets v2"). With p0 a cell and p_n the K points of
the kernel, row by row::

    y(p0) = sum_n w_n m_n x(p0 + p_n + Δp_n)

where x between cells is bilinear, g(a, b) = max(0, 1 - |a - b|) along each axis, and x outside the
patch is zero. Offsets are stored point by point, ``(Δrow_0, Δcol_0, Δrow_1, Δcol_1, ...)``, as in
torchvision (pytorch/vision PR 3758); rows point down.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from xgeoanom.errors import XGeoAnomError


def deform_conv2d(
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    modulation: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    padding: int,
) -> Tensor:
    """Convolve with kernels of K points that are moved and, in version 2, weighed.

    Parameters
    ----------
    x : Tensor
        (b, c, rows, cols).
    weight : Tensor
        (out, c, k_rows, k_cols), K = k_rows * k_cols.
    offset : Tensor
        (b, 2 K, h, w) in cells: channels 2 n and 2 n + 1 move point n along rows and columns. h
        and w are those of the ordinary convolution.
    modulation : Tensor, optional
        (b, K, h, w). Without it all are one: version 1.
    bias : Tensor, optional
        (out,).
    padding : int
        Cells of zeros around ``x`` to which an unmoved kernel reaches.

    Returns
    -------
    Tensor
        (b, out, h, w), channels last in memory. Where a point lies on a cell, the gradient of its
        offset is that towards the next cell.

    Raises
    ------
    XGeoAnomError
        If ``offset`` or ``modulation`` do not fit the convolution's output.

    Examples
    --------
    One point, moved one column to the right:

    >>> x = torch.tensor([[[[1.0, 2.0, 4.0]]]])
    >>> offset = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 1, 3)
    >>> deform_conv2d(x, torch.ones(1, 1, 1, 1), offset, padding=0).flatten()
    tensor([2., 4., 0.])
    """
    if modulation is None:
        modulation = torch.ones_like(offset[:, ::2])
    _check(x, weight, offset, modulation, padding)
    corners, shares = _corners(offset, modulation, weight.shape[2:], padding, x.shape[2:])
    # A ring of zeros: points beyond it are moved onto it, and no corner needs a test.
    cells = nn.functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).flatten(0, 2)
    sampled: Tensor = _Interpolate.apply(cells, corners, shares)
    b, _, h, w = offset.shape
    # As in im2col, the convolution is now one product for each cell.
    columns = sampled.view(b, h, w, -1)
    kernel = weight.permute(0, 2, 3, 1).flatten(1)
    return nn.functional.linear(columns, kernel, bias).permute(0, 3, 1, 2)


def _check(x: Tensor, weight: Tensor, offset: Tensor, modulation: Tensor, padding: int) -> None:
    b, _, *size = x.shape
    _, _, *kernel = weight.shape
    h, w = (n + 2 * padding - k + 1 for n, k in zip(size, kernel, strict=True))
    n_points = kernel[0] * kernel[1]
    for name, given, wanted in (
        ("offset", offset, (b, 2 * n_points, h, w)),
        ("modulation", modulation, (b, n_points, h, w)),
    ):
        if tuple(given.shape) != wanted:
            raise XGeoAnomError(
                f"{name} has shape {tuple(given.shape)}; a {kernel[0]} x {kernel[1]} kernel with "
                f"padding={padding} needs {wanted}"
            )


def _corners(
    offset: Tensor, modulation: Tensor, kernel: torch.Size, padding: int, size: torch.Size
) -> tuple[Tensor, Tensor]:
    """Return, for each patch, cell and point in turn, its four corners and their shares.

    Both are (b * h * w * K, 4). Corners are rows of the padded, flattened cells.
    """
    (rows, cols), (b, _, h, w), where = size, offset.shape, offset.device
    point = torch.arange(kernel[0] * kernel[1], device=where)
    shift = offset.permute(0, 2, 3, 1)
    row_at = torch.arange(h, device=where).view(h, 1, 1) + point // kernel[1] - padding
    col_at = torch.arange(w, device=where).view(1, w, 1) + point % kernel[1] - padding
    row, past_row = _along(shift[..., 0::2] + row_at, rows)
    col, past_col = _along(shift[..., 1::2] + col_at, cols)

    patch = torch.arange(b, dtype=torch.int32, device=where).view(b, 1, 1, 1)
    first = (patch * (rows + 2) + row + 1) * (cols + 2) + col + 1
    steps = torch.tensor([0, 1, cols + 2, cols + 3], dtype=torch.int32, device=where)

    weight = modulation.permute(0, 2, 3, 1)
    below = weight * past_row
    above = weight - below
    right_above, right_below = above * past_col, below * past_col
    shares = (above - right_above, right_above, below - right_below, right_below)
    return (first[..., None] + steps).reshape(-1, 4), torch.stack(shares, dim=-1).reshape(-1, 4)


def _along(position: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Return the cell before each position, -1 to length - 1, and how far past it that lies."""
    position = position.clamp(-1, length)
    before = position.detach().floor().clamp(max=length - 1)
    # A diverging network moves points to NaN, which may become any integer: keep it in reach.
    return before.int().clamp(-1, length - 1), position - before


class _Interpolate(torch.autograd.Function):
    """Sums of four ``cells`` (cell, c) weighed by ``shares``, both (point, 4): (point, c).

    Torch's own gradient of ``embedding_bag`` adds corner by corner. Its transpose is a bag too,
    of the points that each cell serves: this took a quarter of the time.
    """

    @staticmethod
    def forward(ctx: Any, cells: Tensor, corners: Tensor, shares: Tensor) -> Tensor:
        ctx.save_for_backward(cells, corners, shares)
        return _bags(corners, cells, shares)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
        cells, corners, shares = ctx.saved_tensors
        with torch.enable_grad():
            shares = shares.detach().requires_grad_()
            (of_shares,) = torch.autograd.grad(_bags(corners, cells, shares), shares, gradient)
        cell = corners.flatten()
        order = cell.argsort(stable=True)
        counts = torch.bincount(cell, minlength=len(cells))
        of_cells = nn.functional.embedding_bag(
            order // 4,
            gradient,
            counts.cumsum(0) - counts,
            mode="sum",
            per_sample_weights=shares.detach().flatten()[order],
        )
        return of_cells, None, of_shares


def _bags(corners: Tensor, cells: Tensor, shares: Tensor) -> Tensor:
    return nn.functional.embedding_bag(corners, cells, mode="sum", per_sample_weights=shares)


class DeformConv2d(nn.Conv2d):
    """Convolution whose offsets and modulation are convolutions of the same input.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    kernel_size, padding : int
        As of the ordinary convolution.
    modulated : bool
        Version 2; else version 1.

    Notes
    -----
    Maps (b, in_channels, rows, cols) to (b, out_channels, h, w). ``branches`` yields offsets,
    then modulation through a sigmoid. Its weights start at zero: no offset, modulation one half
    (Zhu et al. 2019, section 3.2).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        padding: int = 1,
        modulated: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=padding)
        self.n_points = kernel_size**2
        self.modulated = modulated
        n_branches = (3 if modulated else 2) * self.n_points
        # One convolution for both branches is faster than two.
        self.branches = nn.Conv2d(in_channels, n_branches, kernel_size, padding=padding)
        nn.init.zeros_(self.branches.weight)
        nn.init.zeros_(self.branches.bias)  # type: ignore[arg-type]

    def sampling(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return where and how strongly each point samples ``x``.

        Offsets (b, K, 2, h, w) in cells, rows (down) before columns; modulation (b, K, h, w).
        """
        branches = self.branches(x)
        offset = branches[:, : 2 * self.n_points].unflatten(1, (self.n_points, 2))
        if not self.modulated:
            return offset, torch.ones_like(offset[:, :, 0])
        return offset, branches[:, 2 * self.n_points :].sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` where it says itself."""
        offset, modulation = self.sampling(x)
        padding = int(self.padding[0])
        return deform_conv2d(
            x, self.weight, offset.flatten(1, 2), modulation, self.bias, padding=padding
        )
