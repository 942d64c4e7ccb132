"""Class activation maps against the gradient worked out by hand."""

import pytest
import torch

from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets.cam import cam, grad_cam
from xgeoanom.nets.patch_cnn import PatchCNN


def network_of(body="shared", deformable=True):
    torch.manual_seed(0)
    network = PatchCNN(5, deformable=deformable, body=body)
    if deformable:
        torch.nn.init.normal_(network.conv3.branches.weight, std=0.1)
    return network.eval()


def bilinear(maps, side):
    """Interpolate (b, n, n) to ``side``, cell centres aligned and edges held, by loops."""
    n = maps.shape[1]
    at = ((torch.arange(side) + 0.5) * n / side - 0.5).clamp(min=0)
    g = (1 - (at[:, None].clamp(max=n - 1) - torch.arange(n)).abs()).clamp(min=0)
    return torch.einsum("ai,bij,cj->bac", g, maps, g)


@pytest.mark.parametrize("layer", ["conv1", "relu2", "conv3", "relu3"])
@pytest.mark.parametrize("body", ["shared", "archive"])
def test_grad_cam_by_hand(layer, body):
    network, x = network_of(body), torch.randn(4, 5, 9, 9)
    names = [name for name, _ in network.named_children()]
    cut = names.index(layer) + 1
    parts = list(network.children())
    maps = torch.nn.Sequential(*parts[:cut])(x).detach().requires_grad_()
    for i in range(4):  # patch by patch: no patch's gradient reaches another's
        logit = torch.nn.Sequential(*parts[cut:])(maps[i : i + 1])[0, 0]
        (gradient,) = torch.autograd.grad(logit, maps)
        alpha = gradient[i].sum(dim=(1, 2)) / maps[i, 0].numel()
        heat = torch.einsum("k,kij->ij", alpha, maps[i].detach()).clamp(min=0)
        expected = bilinear(heat[None], 9)[0]
        torch.testing.assert_close(grad_cam(network, x, layer)[i], expected, rtol=1e-4, atol=1e-6)


def test_last_convolution_is_the_default():
    network, x = network_of(), torch.randn(2, 5, 9, 9)
    heat = grad_cam(network, x)
    assert heat.shape == (2, 9, 9)
    assert not heat.requires_grad
    torch.testing.assert_close(heat, grad_cam(network, x, "conv3"))


def test_branches_are_layers_too():
    assert grad_cam(network_of(), torch.randn(2, 5, 9, 9), "conv3.branches").shape == (2, 9, 9)


def test_works_without_gradients_and_leaves_nothing_behind():
    network, x = network_of(), torch.randn(2, 5, 9, 9)
    expected = grad_cam(network, x)
    network.requires_grad_(False)
    with torch.no_grad():
        torch.testing.assert_close(grad_cam(network, x), expected)
    assert not network.conv3._forward_hooks
    assert not x.requires_grad
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("deformable", [True, False])
def test_cam_means_add_up_to_the_logit(deformable):
    network, x = network_of("linear", deformable), torch.randn(3, 5, 8, 8)
    maps = torch.nn.Sequential(*list(network.children())[:-3])(x).detach()  # up to relu3
    heat = torch.einsum("k,bkij->bij", network.logit.weight[0].detach(), maps)
    torch.testing.assert_close(
        heat.mean(dim=(1, 2)) + network.logit.bias, network(x), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(cam(network, x), bilinear(heat, 8), rtol=1e-4, atol=1e-6)


def test_grad_cam_of_a_linear_head_is_the_positive_part_of_cam():
    # alpha_k = w_k / n_cells, so on maps of one sign the two agree but for that factor.
    network, x = network_of("linear"), torch.randn(3, 5, 9, 9)
    torch.nn.init.constant_(network.logit.weight, 0.5)
    torch.testing.assert_close(16 * grad_cam(network, x, "relu3"), cam(network, x))


@pytest.mark.parametrize("body", ["shared", "archive"])
def test_cam_needs_a_linear_head(body):
    with pytest.raises(XGeoAnomError, match="use body='linear', or grad_cam"):
        cam(network_of(body), torch.randn(2, 5, 9, 9))


def test_unknown_layer():
    with pytest.raises(XGeoAnomError, match="layer='conv9' is not one of .*'conv3'"):
        grad_cam(network_of(), torch.randn(2, 5, 9, 9), "conv9")


def test_layer_without_maps():
    with pytest.raises(XGeoAnomError, match="layer='hidden' yields no maps"):
        grad_cam(network_of(), torch.randn(2, 5, 9, 9), "hidden")


def test_training_mode():
    with pytest.raises(XGeoAnomError, match=r"call eval\(\) first"):
        grad_cam(network_of().train(), torch.randn(2, 5, 9, 9))
