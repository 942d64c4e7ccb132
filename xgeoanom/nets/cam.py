"""Where on a patch the evidence for its logit lies: class activation maps."""

import torch
from torch import Tensor, nn

from xgeoanom.errors import XGeoAnomError


def grad_cam(network: nn.Module, x: Tensor, layer: str = "conv3") -> Tensor:
    """Return Grad-CAM: a layer's maps, each weighed by the logit's mean gradient on it.

    With A^k the maps of ``layer`` and y the logit: alpha_k = mean_ij dy/dA^k_ij, and the result
    is ReLU(sum_k alpha_k A^k), bilinear to the patch's size (Selvaraju et al. 2017; Zhang, Xiong
    and Chen 2026, eqs. 13 and 14).

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, patches (b, c, rows, cols) to logits (b,).
    x : Tensor
        (b, c, rows, cols).
    layer : str
        A name of ``network.named_modules()``; what it yields must be maps.

    Returns
    -------
    Tensor
        (b, rows, cols), in units of the logit: at least 0, large where evidence for a deposit lies.

    Raises
    ------
    XGeoAnomError
        If ``network`` is in training mode, or ``layer`` is unknown or yields no maps.

    Examples
    --------
    >>> from xgeoanom.nets.patch_cnn import PatchCNN
    >>> grad_cam(PatchCNN(3, deformable=True).eval(), torch.ones(2, 3, 9, 9)).shape
    torch.Size([2, 9, 9])
    """
    return _to_patch(grad_cam_of_layer(network, x, layer), x)


def grad_cam_of_layer(network: nn.Module, x: Tensor, layer: str) -> Tensor:
    """Return :func:`grad_cam` as large as the maps of ``layer``, (b, h, w)."""
    maps, total = _maps_of(network, x, layer)
    (gradient,) = torch.autograd.grad(total, maps)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * maps).sum(dim=1)).detach()


def cam(network: nn.Module, x: Tensor) -> Tensor:
    """Return the class activation map: the last maps, weighed as the logit weighs their means.

    sum_k w_k f_k, bilinear to the patch's size (Zhou et al. 2016; Zhang, Xiong and Chen 2026,
    eq. 12). Negative where evidence against a deposit lies. Its mean before interpolation is the
    logit less its bias.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; ends with ``average``, ``flatten`` and a linear ``logit``, as
        ``PatchCNN(..., body="linear")`` does.
    x : Tensor
        (b, c, rows, cols).

    Returns
    -------
    Tensor
        (b, rows, cols).

    Raises
    ------
    XGeoAnomError
        If ``network`` is in training mode, or more than pooling stands between its last maps and
        its logit.

    Examples
    --------
    >>> from xgeoanom.nets.patch_cnn import PatchCNN
    >>> network = PatchCNN(3, deformable=True, body="linear").eval()
    >>> cam(network, torch.ones(2, 3, 9, 9)).shape
    torch.Size([2, 9, 9])
    """
    names = [name for name, _ in network.named_children()]
    if names[-3:] != ["average", "flatten", "logit"]:
        raise XGeoAnomError(
            f"network ends with {names[-3:]}: a class activation map exists only where averages "
            "of the last maps make the logit; use body='linear', or grad_cam"
        )
    maps, _ = _maps_of(network, x, names[-4])
    weight: Tensor = network.get_submodule("logit").weight  # type: ignore[assignment]
    return _to_patch((weight[0, :, None, None] * maps).sum(dim=1), x)


def _maps_of(network: nn.Module, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """Return what ``layer`` yields, (b, k, h, w), and the sum of the logits made of it."""
    if network.training:
        raise XGeoAnomError("network is in training mode, which mixes patches; call eval() first")
    layers = dict(network.named_modules())
    if layer not in layers:
        raise XGeoAnomError(f"layer={layer!r} is not one of {[name for name in layers if name]}")
    kept: list[Tensor] = []
    handle = layers[layer].register_forward_hook(lambda *called: kept.append(called[-1]))
    try:
        with torch.enable_grad():
            total = network(x.detach().requires_grad_()).sum()
    finally:
        handle.remove()
    (maps,) = kept
    if maps.ndim != 4:
        raise XGeoAnomError(f"layer={layer!r} yields no maps; take a convolution, such as 'conv3'")
    return maps, total


def _to_patch(maps: Tensor, x: Tensor) -> Tensor:
    """Interpolate (b, h, w) to the size of the patches."""
    full = nn.functional.interpolate(maps[:, None].detach(), size=x.shape[2:], mode="bilinear")
    return full[:, 0]
