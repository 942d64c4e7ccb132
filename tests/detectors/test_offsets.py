"""Learned offsets as vector fields: planted ones come back with the right sign, size and place."""

import numpy as np
import pytest
import torch
from georeferenced import assert_georeferenced
from surveys import small_cube, small_labels

from xgeoanom.detectors.gk_dcn import GKDCN
from xgeoanom.detectors.offsets import POINTS, offsets_at
from xgeoanom.detectors.patch_maps import randomised
from xgeoanom.errors import GridError, XGeoAnomError


def fitted(cube, **params):
    settings = {"window": 5, "knowledge": 0, "background": "anywhere", "min_distance": 1500.0}
    settings |= {"draws": 2, "epochs": 1, "seed": 0, **params}
    return GKDCN(**settings).fit(cube, small_labels(cube))


@pytest.fixture(scope="module")
def cube():
    return small_cube(holes=12)


@pytest.fixture(scope="module")
def detector(cube):
    return randomised(fitted(cube), seed=1)


@pytest.mark.parametrize(("layer", "wide"), [("conv2", 1), ("conv3", 2)])
def test_planted_offsets_come_back(cube, layer, wide):
    """One row down and a half column right, in the network, is south and east on the map."""
    detector = fitted(cube)
    for network in detector.networks_:
        branches = network.patch_cnn.get_submodule(layer).branches
        with torch.no_grad():
            branches.weight.zero_()
            branches.bias.zero_()
            branches.bias[0:18:2], branches.bias[1:18:2] = 1.0, 0.5
            branches.bias[2] = 3.0  # row of the second point, which is north of the centre
            branches.bias[18 + 1] = 2.0  # and its modulation
    field = offsets_at(detector, cube, [(float(cube.x[6]), float(cube.y[8]))], layer=layer)
    assert field["east_cells"].item() == pytest.approx(0.5 * wide)
    assert field["north_cells"].item() == pytest.approx(-(8 * 1 + 3) / 9 * wide)
    strong = 1 / (1 + np.exp(-2.0))
    weighed = -(8 * 0.5 * 1 + strong * 3) / (8 * 0.5 + strong) * wide
    assert field["weighted_north_cells"].item() == pytest.approx(weighed, rel=1e-6)
    assert field["weighted_east_cells"].item() == pytest.approx(0.5 * wide, rel=1e-6)
    for name in ("east", "north", "weighted_east", "weighted_north"):
        np.testing.assert_allclose(field[name], 500.0 * field[f"{name}_cells"], rtol=1e-6)
        assert field[name].attrs["units"] == "metre"
    assert field["point_north_cells"].sel(point="N").item() == pytest.approx(-3 * wide)
    assert field["modulation"].sel(point="N").item() == pytest.approx(strong, rel=1e-6)
    assert field["point"].values.tolist() == list(POINTS)
    assert (field.x.item(), field.y.item()) == (cube.x[6].item(), cube.y[8].item())


@pytest.mark.parametrize(("window", "layer"), [(3, "conv3"), (5, "conv2"), (7, "conv3")])
def test_offsets_are_those_at_the_patch_centre(cube, window, layer):
    detector = randomised(fitted(cube, window=window, draws=1), seed=2)
    network, half = detector.networks_[0].patch_cnn, window // 2
    values = (cube.values - detector.mean_[:, None, None]) / detector.scale_[:, None, None]
    patch = np.nan_to_num(values[:, 9 - half : 10 + half, 8 - half : 9 + half]).astype("float32")
    x = torch.from_numpy(patch[None])
    with torch.no_grad():
        for name, step in network.named_children():
            if name == layer:
                break
            x = step(x)
        offset, modulation = step.sampling(x)
    wide = 2 if layer == "conv3" else 1
    centre = half // wide
    field = offsets_at(detector, cube, [(float(cube.x[8]), float(cube.y[9]))], layer=layer)
    moved = wide * offset[0, :, :, centre, centre].numpy()
    np.testing.assert_allclose(field["point_north_cells"][0], -moved[:, 0], atol=1e-5)
    np.testing.assert_allclose(field["point_east_cells"][0], moved[:, 1], atol=1e-5)
    np.testing.assert_allclose(field["modulation"][0], modulation[0, :, centre, centre], atol=1e-6)
    assert np.abs(moved).max() > 0.01


@pytest.mark.parametrize("turn", [{}, {"y": slice(None, None, -1)}])
def test_lattice_equals_places(cube, detector, turn):
    turned = cube.isel(turn)
    field = offsets_at(detector, turned, step=5)
    assert field["east"].dims == ("y", "x")
    assert field["modulation"].dims == ("y", "x", "point")
    assert set(field.y.values) == set(cube.y.values[2::5])
    assert_georeferenced(field, turned.sel(y=field.y, x=field.x))
    missing = turned.sel(y=field.y, x=field.x).isnull().any("element")
    np.testing.assert_array_equal(field["north"].isnull(), missing)
    rows, cols = np.nonzero(~missing.values)
    places = [(float(field.x[c]), float(field.y[r])) for r, c in zip(rows, cols, strict=True)]
    single = offsets_at(detector, turned, places)
    for name in single.data_vars:
        np.testing.assert_allclose(single[name], field[name].values[rows, cols], atol=1e-5)


def test_lazy_cubes_and_small_batches_give_the_same(cube, detector, monkeypatch):
    whole = offsets_at(detector, cube, step=3)
    monkeypatch.setattr("xgeoanom.detectors.offsets.MOST", 7)
    again = offsets_at(detector, cube.chunk(y=9, x=6), step=3)
    for name in whole.data_vars:
        np.testing.assert_allclose(again[name], whole[name], atol=1e-5)


def test_untrained_points_do_not_move(cube):
    detector = fitted(cube)
    for network in detector.networks_:
        for layer in ("conv2", "conv3"):
            branches = network.patch_cnn.get_submodule(layer).branches
            torch.nn.init.zeros_(branches.weight)
            torch.nn.init.zeros_(branches.bias)
    field = offsets_at(detector, cube, step=6)
    assert np.nanmax(np.abs(field["east"])) == 0
    assert np.nanmin(field["modulation"]) == np.nanmax(field["modulation"]) == 0.5


def test_wrong_input(cube, detector):
    with pytest.raises(XGeoAnomError, match=r"layer='conv1'.*\['conv2', 'conv3'\]"):
        offsets_at(detector, cube, layer="conv1")
    with pytest.raises(XGeoAnomError, match=r"it has \[\]"):
        offsets_at(fitted(cube, deformable=False, draws=1), cube)
    with pytest.raises(XGeoAnomError, match="step=0"):
        offsets_at(detector, cube, step=0)
    with pytest.raises(GridError, match="outside the survey"):
        offsets_at(detector, cube, [(0.0, 0.0)])
