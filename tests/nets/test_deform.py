"""Deformable convolution against torch's ordinary one and against loops over the formula."""

import itertools

import numpy as np
import pytest
import torch

from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.deform import DeformConv2d, deform_conv2d


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def by_loops(x, weight, offset, modulation, bias, padding):
    """Sum the formula cell by cell, g over every cell of the patch."""
    (b, _, rows, cols), (n_out, _, k_rows, k_cols) = x.shape, weight.shape
    h, w = offset.shape[2:]
    out = np.zeros((b, n_out, h, w)) + bias[:, None, None]
    for i, r, c, n in itertools.product(range(b), range(h), range(w), range(k_rows * k_cols)):
        tap_row, tap_col = divmod(n, k_cols)
        at_row = r - padding + tap_row + offset[i, 2 * n, r, c]
        at_col = c - padding + tap_col + offset[i, 2 * n + 1, r, c]
        g = np.maximum(0, 1 - abs(at_row - np.arange(rows)))[:, None] * np.maximum(
            0, 1 - abs(at_col - np.arange(cols))
        )
        value = (x[i] * g).sum(axis=(1, 2))
        out[i, :, r, c] += weight[:, :, tap_row, tap_col] @ value * modulation[i, n, r, c]
    return out


def arguments(kernel=(3, 3), padding=1, spread=1.0, size=(5, 4)):
    """Return random x, weight, offset, modulation and bias, in float64."""

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64)

    h, w = (n + 2 * padding - k + 1 for n, k in zip(size, kernel))
    points = kernel[0] * kernel[1]
    return (
        normal(2, 3, *size),
        normal(4, 3, *kernel),
        spread * normal(2, 2 * points, h, w),
        normal(2, points, h, w).sigmoid(),
        normal(4),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_unmoved_is_the_ordinary_convolution(dtype, padding):
    ordinary = torch.nn.Conv2d(16, 8, 3, padding=padding, dtype=dtype)
    x = torch.randn(3, 16, 9, 7, dtype=dtype)
    expected = ordinary(x)
    offset = torch.zeros(3, 18, *expected.shape[2:], dtype=dtype)
    for modulation in (None, torch.ones_like(offset[:, :9])):
        got = deform_conv2d(x, ordinary.weight, offset, modulation, ordinary.bias, padding=padding)
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spread", [0.3, 3.0, 1e9])  # the last: far outside, beyond int32
@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), 1), ((1, 1), 0), ((2, 3), 2)])
def test_equals_loops(spread, kernel, padding):
    given = arguments(kernel, padding, spread)
    expected = by_loops(*(tensor.numpy() for tensor in given), padding)
    got = deform_conv2d(*given, padding=padding).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_equals_loops_on_whole_cells_and_borders():
    x, weight, offset, modulation, bias = arguments(spread=2.0)
    given = (x, weight, offset.round(), modulation, bias)
    expected = by_loops(*(tensor.numpy() for tensor in given), 1)
    np.testing.assert_allclose(deform_conv2d(*given, padding=1).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_gradients(spread):
    given = [tensor.requires_grad_() for tensor in arguments(spread=spread, size=(3, 4))]
    assert torch.autograd.gradcheck(lambda *a: deform_conv2d(*a, padding=1), given)


def test_gradient_where_a_point_lies_on_a_cell():
    # Forward difference: x at the next cell less x here, rows apart from columns.
    x = torch.tensor([[[[1.0, 2.0, 5.0], [4.0, 8.0, 1.0]]]])
    offset = torch.zeros(1, 2, 2, 3, requires_grad=True)
    deform_conv2d(x, torch.ones(1, 1, 1, 1), offset, padding=0).sum().backward()
    rows, cols = offset.grad[0].tolist()
    assert rows == [[3.0, 6.0, -4.0], [-4.0, -8.0, -1.0]]
    assert cols == [[1.0, 3.0, -5.0], [4.0, -7.0, -1.0]]


def test_layout_is_rows_then_columns_and_rows_point_down():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    offset = torch.zeros(1, 2, 3, 4)
    one = torch.ones(1, 1, 1, 1)
    offset[:, 0] = 1
    down = deform_conv2d(x, one, offset, padding=0)
    assert down[0, 0].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [0, 0, 0, 0]]
    right = deform_conv2d(x, one, offset.flip(1), padding=0)
    assert right[0, 0].tolist() == [[1, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 0]]


@pytest.mark.parametrize("point", range(9))
def test_each_pair_of_channels_moves_one_point(point):
    # A kernel of that point alone: how the others move changes nothing.
    x = torch.arange(25.0).view(1, 1, 5, 5)
    weight = torch.zeros(9)
    weight[point] = 1
    offset = torch.full((1, 18, 5, 5), 0.7)
    offset[:, 2 * point], offset[:, 2 * point + 1] = 1, -1
    got = deform_conv2d(x, weight.view(1, 1, 3, 3), offset, padding=1)
    row, col = 2 + point // 3 - 1, 2 + point % 3 - 1
    assert got[0, 0, 2, 2] == x[0, 0, row + 1, col - 1]


def test_lost_points_stay_in_reach():
    # A diverging network moves points to NaN: the result says so, and nothing is read outside.
    x, weight = torch.ones(1, 2, 4, 4), torch.ones(1, 2, 3, 3)
    for lost in (float("nan"), float("inf"), -float("inf")):
        got = deform_conv2d(x, weight, torch.full((1, 18, 4, 4), lost), padding=1)
        assert got.isnan().all() if lost != lost else (got == 0).all()


@pytest.mark.parametrize("name", ["offset", "modulation"])
def test_names_what_does_not_fit(name):
    x, weight, offset, modulation, _ = arguments()
    given = {"offset": offset, "modulation": modulation}
    given[name] = given[name][:, :-1]
    with pytest.raises(XGeoAnomError, match=rf"{name} has shape .* needs"):
        deform_conv2d(x, weight, **given, padding=1)


@pytest.mark.parametrize("modulated", [True, False])
def test_module_starts_as_an_ordinary_convolution(modulated):
    layer = DeformConv2d(4, 6, modulated=modulated)
    x = torch.randn(2, 4, 9, 9)
    ordinary = torch.nn.functional.conv2d(x, layer.weight, padding=1)
    # Modulation starts at one half.
    expected = (0.5 if modulated else 1.0) * ordinary + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-6)
    assert sum(p.numel() for p in layer.branches.parameters()) == (4 * 9 + 1) * (
        27 if modulated else 18
    )


@pytest.mark.parametrize(("kernel_size", "padding"), [(3, 1), (3, 0), (5, 2)])
def test_sampling_is_what_forward_uses(kernel_size, padding):
    layer = DeformConv2d(4, 6, kernel_size, padding)
    torch.nn.init.normal_(layer.branches.weight, std=0.3)
    x = torch.randn(2, 4, 8, 9)
    offset, modulation = layer.sampling(x)
    h, w = (n + 2 * padding - kernel_size + 1 for n in (8, 9))
    assert offset.shape == (2, kernel_size**2, 2, h, w)
    assert modulation.shape == (2, kernel_size**2, h, w)
    again = deform_conv2d(
        x,
        layer.weight,
        offset.reshape(2, -1, h, w),
        modulation,
        layer.bias,
        padding=padding,
    )
    torch.testing.assert_close(layer(x), again)


def test_version_one_is_version_two_with_unit_modulation():
    first = DeformConv2d(4, 6, modulated=False)
    torch.nn.init.normal_(first.branches.weight, std=0.3)
    x = torch.randn(2, 4, 9, 9)
    offset, modulation = first.sampling(x)
    assert (modulation == 1).all()
    assert offset.abs().mean() > 0.1
    expected = deform_conv2d(
        x, first.weight, offset.flatten(1, 2), torch.ones_like(modulation), first.bias, padding=1
    )
    torch.testing.assert_close(first(x), expected)


def test_patches_do_not_see_each_other():
    layer = DeformConv2d(4, 6)
    torch.nn.init.normal_(layer.branches.weight, std=0.3)
    x = torch.randn(5, 4, 9, 9)
    one_by_one = torch.cat([layer(patch) for patch in x.split(1)])
    torch.testing.assert_close(layer(x), one_by_one, rtol=1e-5, atol=1e-6)
