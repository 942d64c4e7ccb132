"""Explanations of SKT: masks and shares as fitted, Grad-CAM against gradients by hand."""

import copy

import numpy as np
import pytest
import torch
from surveys import ELEMENTS, small_cube, small_labels

from xgeoanom.detectors.gk_dcn import GKDCN
from xgeoanom.detectors.skt import SKT
from xgeoanom.detectors.target_maps import (
    STRIDES,
    _deepest,
    element_mask,
    kept_kernels,
    target_cam,
)
from xgeoanom.errors import CubeError, GridError, NotFittedError, XGeoAnomError
from xgeoanom.nets.resnet import ResNet18

CROP, DILATIONS = 20, (0, 1, 3)
ROWS, COLS = [2, 12, 23], [3, 9, 19]  # the last in the south-east corner


def fitted(cube, **params):
    settings = {"window": 20, "step": 4, "crop": CROP, "dilations": DILATIONS, "width": 2}
    settings |= {"draws": 2, "epochs": 1, "source_epochs": 1, "seed": 0, **params}
    labels = small_labels(cube)
    labels[:] = -1
    labels[1:3, 1:3] = 1  # in a corner, where not all windows hold it
    return SKT(**settings).fit(cube, labels)


def loosened(detector):
    """Return a copy whose fronts, masks and normalisation are far from where they start."""
    detector = copy.deepcopy(detector)
    torch.manual_seed(1)
    for networks in detector.networks_:
        for name, tensor in networks.state_dict().items():
            if tensor.is_floating_point() and not name.endswith("running_var"):
                tensor += 0.3 * torch.randn_like(tensor)
    return detector


@pytest.fixture(scope="module")
def cube():
    return small_cube(28, 24, holes=9)


@pytest.fixture(scope="module")
def detector(cube):
    return loosened(fitted(cube))


@pytest.fixture(scope="module")
def at(cube):
    return [(float(cube.x[c]) + 90, float(cube.y[r]) - 90) for r, c in zip(ROWS, COLS, strict=True)]


def windows_of(cube, detector, size=CROP):
    """Cut windows by hand: standardised, 0 where missing or outside."""
    values = (cube.values - detector.mean_[:, None, None]) / detector.scale_[:, None, None]
    half = size // 2
    padded = np.nan_to_num(np.pad(values, [(0, 0), (half, half), (half, half)])).astype("float32")
    cut = [padded[:, r : r + size, c : c + size] for r, c in zip(ROWS, COLS, strict=True)]
    return torch.from_numpy(np.stack(cut))


def heat_by_hand(networks, v, window, layer):
    """Grad-CAM of one window, layer by layer, its cells placed and interpolated one by one."""
    body = networks.bodies[v]
    x = networks.fronts[v](networks.mask(window[None]))
    size = x.shape[-1]
    maps = body.pool(torch.relu(body.norm1(body.conv1(x))))
    names = ["layer1", "layer2", "layer3", "layer4"]
    for name in names[: names.index(layer) + 1]:
        maps = getattr(body, name)(maps)
    maps = maps.detach().requires_grad_()
    above = maps
    for name in names[names.index(layer) + 1 :]:
        above = getattr(body, name)(above)
    logits = body.classify(above.mean(dim=(2, 3)))
    (gradient,) = torch.autograd.grad(logits[0, 1] - logits[0, 0], maps)
    heat = np.zeros(maps.shape[2:])
    for a, g in zip(maps[0].detach().numpy(), gradient[0].numpy(), strict=True):
        heat += g.mean() * a
    heat = heat.clip(min=0)
    stride, n = 2 ** (2 + names.index(layer)), len(heat)
    lost = (CROP - size) // 2
    full = np.full((CROP, CROP), np.nan)
    for i in range(size):
        for j in range(size):
            r, c = min(i / stride, n - 1), min(j / stride, n - 1)
            r0, c0 = int(r), int(c)
            r1, c1 = min(r0 + 1, n - 1), min(c0 + 1, n - 1)
            fr, fc = r - r0, c - c0
            top = (1 - fc) * heat[r0, c0] + fc * heat[r0, c1]
            low = (1 - fc) * heat[r1, c0] + fc * heat[r1, c1]
            full[lost + i, lost + j] = (1 - fr) * top + fr * low
    return full


@pytest.mark.parametrize("layer", [None, "layer1", "layer2", "layer4"])
def test_cam_is_the_mean_of_maps_by_hand(cube, detector, at, layer):
    maps = target_cam(detector, cube, at, layer=layer)
    assert maps.dims == ("location", "network", "dy", "dx")
    # 20, 18 and 14 cells: layer1 has 5, 5 and 4 a side, layer2 3, 3 and 2.
    assert list(maps["layer"].values) == [layer or "layer1"] * 3
    assert list(maps["dilation"].values) == [0, 1, 3]
    for k, window in enumerate(windows_of(cube, detector)):
        for v in range(3):
            each = [heat_by_hand(one, v, window, layer or "layer1") for one in detector.networks_]
            np.testing.assert_allclose(maps[k, v], np.mean(each, axis=0), rtol=1e-4, atol=1e-5)
    assert float(maps.max()) > 0
    assert maps.attrs["method"] == "skt"
    assert maps.rio.crs == cube.rio.crs


WIDE = {256: "layer4", 97: "layer4", 96: "layer3", 48: "layer2", 28: "layer2", 25: "layer2"}
WIDE |= {24: "layer1", 13: "layer1", 4: "layer1"}


@pytest.mark.parametrize(("size", "layer"), WIDE.items())
def test_the_deepest_layer_with_wide_maps(size, layer):
    assert _deepest(size) == layer
    widths = dict(zip(STRIDES, maps_of_all_layers(size), strict=True))
    assert widths[layer] >= 4 or size < 13
    assert all(width < 4 for name, width in widths.items() if name > layer)


def maps_of_all_layers(size):
    body = ResNet18(1, width=2).eval()
    x = body.pool(body.conv1(torch.zeros(1, 1, size, size)))
    for name in STRIDES:
        x = getattr(body, name)(x)
        yield x.shape[-1]


def test_margins_of_a_front_are_not_seen(cube, detector, at):
    missing = target_cam(detector, cube, at).isnull()
    for v, rho in enumerate(DILATIONS):
        seen = np.zeros((CROP, CROP), dtype=bool)
        seen[rho : CROP - rho, rho : CROP - rho] = True
        assert (missing[:, v].values == ~seen).all()


def planted(cube, detector, row, col):
    """Return a copy that looks for the first element alone, and a cube with it at one cell."""
    detector = copy.deepcopy(detector)
    detector.mean_[:], detector.scale_[:] = 0, 1
    for networks in detector.networks_:
        networks.mask.weight.data[:] = 0
        networks.mask.weight.data[0] = 1
        for front in networks.fronts:
            if hasattr(front, "weight"):
                front.weight.data[:] = 0
                front.weight.data[:, :, 1, 1] = 1
        for body in networks.bodies:
            pass_on(body)
    empty = cube.where(False, 0.0)
    for name in ELEMENTS[:2]:
        empty.loc[{"element": name, "y": cube.y[row], "x": cube.x[col]}] = 9.0
    return detector, empty


def pass_on(body):
    """Let the first channel of every layer hold the first element, and make it the logit."""
    for name, layer in body.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.data[:] = 0
        elif isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_parameters()
            if "shortcut" in name:  # so that gradients pass wherever there is nothing
                layer.bias.data[:] = 0.1
    body.conv1.weight.data[0, 0, 2:5, 2:5] = 1
    for layer in (body.layer2, body.layer3, body.layer4):
        layer[0].shortcut[0].weight.data[0, 0] = 1
    body.classify.weight.data[:] = 0
    body.classify.weight.data[1, 0] = 1
    body.classify.bias.data[:] = 0


@pytest.mark.parametrize(("dy", "dx"), [(-6, 4), (2, -6), (-2, -2)])
def test_cam_finds_what_was_planted(cube, detector, dy, dx):
    row, col = 14, 12
    detector, empty = planted(cube, detector, row + dy, col + dx)
    maps = target_cam(detector, empty, [(float(cube.x[col]), float(cube.y[row]))])
    assert float(maps.max()) > 0
    for v in range(3):
        one = maps[0, v]
        peak = one.where(one > 0.999 * one.max(), drop=True)
        # Maps have a cell for every fourth; one or two hold it, the last ones up to the edge.
        assert abs(float(peak.dy.mean()) / -500 - dy) <= 1.5
        assert abs(float(peak.dx.mean()) / 500 - dx) <= 1.5


def test_nothing_planted_is_nothing_found(cube, detector):
    detector, empty = planted(cube, detector, 14, 12)
    maps = target_cam(detector, empty * 0, [(float(cube.x[12]), float(cube.y[14]))])
    assert float(maps.max()) == 0


def test_coordinates_lead_to_cells(cube, detector, at):
    maps = target_cam(detector, cube, at)
    np.testing.assert_array_equal(maps.x, cube.x.values[COLS])
    np.testing.assert_array_equal(maps.y, cube.y.values[ROWS])
    np.testing.assert_array_equal(maps.dy, 500 * (10 - np.arange(20)))
    np.testing.assert_array_equal(maps.dx, 500 * (np.arange(20) - 10))
    assert (maps.y[1] + maps.dy[0]).item() == cube.y[ROWS[1] - 10].item()


@pytest.mark.parametrize("turn", [{"y": slice(None, None, -1)}, {"x": slice(None, None, -1)}])
def test_axes_may_run_either_way(cube, detector, at, turn):
    expected = target_cam(detector, cube, at)
    np.testing.assert_allclose(target_cam(detector, cube.isel(turn), at), expected, atol=1e-6)


def test_lazy_cubes_give_the_same(cube, detector, at):
    lazy = cube.chunk(y=7, x=5)
    expected = target_cam(detector, cube, at)
    np.testing.assert_allclose(target_cam(detector, lazy, at), expected, atol=1e-6)


def test_the_mask_is_that_of_the_networks(detector):
    mask = element_mask(detector)
    assert mask.dims == ("draw", "element")
    assert tuple(mask.element.values) == ELEMENTS
    for k, networks in enumerate(detector.networks_):
        np.testing.assert_array_equal(mask[k], networks.mask.weight.detach())
    assert float(mask.std()) > 0
    assert mask.attrs["units"] == "1"
    assert mask.attrs["method"] == "skt"


def test_shares_are_those_of_the_history(detector):
    changed = copy.deepcopy(detector)
    for k, run in enumerate(changed.history_):
        for j, layer in enumerate(run["kept"]):
            run["kept"][layer] = [(100 * k + 10 * v + j) / 1000 for v in range(3)]
    kept = kept_kernels(changed)
    assert kept.dims == ("draw", "network", "layer")
    assert list(kept.layer.values[:2]) == ["conv1", "layer1.0.conv1"]
    k, v, j = np.indices(kept.shape)
    np.testing.assert_allclose(kept, (100 * k + 10 * v + j) / 1000)
    assert list(kept.dilation.values) == list(DILATIONS)


def test_a_fit_keeps_shares_of_all_layers(detector):
    kept = kept_kernels(detector)
    assert kept.sizes == {"draw": 2, "network": 3, "layer": 20}
    assert kept.notnull().all()
    assert 0 < float(kept.min()) <= float(kept.max()) <= 1


def test_a_loaded_detector_explains_the_same(cube, detector, at, tmp_path):
    detector.save(tmp_path / "skt.safetensors")
    loaded = SKT.load(tmp_path / "skt.safetensors")
    for func in (element_mask, kept_kernels, lambda d: target_cam(d, cube, at)):
        assert func(loaded).identical(func(detector))


def test_wrong_input(cube, detector, at):
    for func in (element_mask, kept_kernels, lambda d: target_cam(d, cube, at)):
        with pytest.raises(NotFittedError):
            func(SKT())
        with pytest.raises(XGeoAnomError, match="GKDCN; these explanations are SKT's"):
            func(GKDCN())
    with pytest.raises(GridError, match="outside the survey"):
        target_cam(detector, cube, [(0.0, 0.0)])
    row, col = np.argwhere(cube.isnull().any("element").values)[0]
    with pytest.raises(GridError, match="missing cell"):
        target_cam(detector, cube, [(cube.x[col].item(), cube.y[row].item())])
    with pytest.raises(XGeoAnomError, match=r"layer='conv9' is not one of \('layer1'"):
        target_cam(detector, cube, at, layer="conv9")
    with pytest.raises(CubeError, match="elements"):
        target_cam(detector, cube[:3], at)


def test_what_a_detector_went_without_cannot_be_shown(cube):
    plain = fitted(cube, mask=False, transfer="none", draws=1)
    with pytest.raises(XGeoAnomError, match="mask=False"):
        element_mask(plain)
    with pytest.raises(XGeoAnomError, match="transfer='none'"):
        kept_kernels(plain)
