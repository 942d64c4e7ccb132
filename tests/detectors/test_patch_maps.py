"""Maps of patches: their values are the networks', their coordinates the survey's."""

import numpy as np
import pytest
import torch
from surveys import small_cube, small_labels

from xgeoanom.detectors.autoencoder import Autoencoder
from xgeoanom.detectors.gk_dcn import GKDCN
from xgeoanom.detectors.patch_maps import cam_at, grad_cam_at, randomised
from xgeoanom.errors import GridError, NotFittedError, XGeoAnomError
from xgeoanom.nets.cam import cam, grad_cam


def fitted(cube, **params):
    settings = {"window": 5, "knowledge": 0, "background": "anywhere", "min_distance": 1500.0}
    settings |= {"draws": 2, "epochs": 2, "learning_rate": 0.01, "seed": 0, **params}
    return GKDCN(**settings).fit(cube, small_labels(cube))


@pytest.fixture(scope="module")
def cube():
    return small_cube(holes=12)


@pytest.fixture(scope="module")
def detector(cube):
    return fitted(cube)


ROWS, COLS = [2, 12, 23], [3, 9, 19]  # the last in the south-east corner


@pytest.fixture(scope="module")
def at(cube):
    return [(float(cube.x[c]) + 90, float(cube.y[r]) - 90) for r, c in zip(ROWS, COLS, strict=True)]


def patches_of(cube, detector):
    """Cut patches by hand: standardised, 0 where missing or outside."""
    values = (cube.values - detector.mean_[:, None, None]) / detector.scale_[:, None, None]
    padded = np.nan_to_num(np.pad(values, [(0, 0), (2, 2), (2, 2)])).astype("float32")
    cut = [padded[:, r : r + 5, c : c + 5] for r, c in zip(ROWS, COLS, strict=True)]
    return torch.from_numpy(np.stack(cut))


@pytest.mark.parametrize("layer", ["conv3", "relu2"])
def test_grad_cam_is_the_mean_over_networks(cube, detector, at, layer):
    maps = grad_cam_at(detector, cube, at, layer=layer)
    patches = patches_of(cube, detector)
    each = [grad_cam(n.patch_cnn, patches.clone(), layer).numpy() for n in detector.networks_]
    np.testing.assert_allclose(maps, np.mean(each, axis=0), atol=1e-5)
    assert maps.dims == ("location", "dy", "dx")
    assert maps.values.max() > 0
    assert maps.attrs["method"] == "gk_dcn"
    assert maps.rio.crs == cube.rio.crs


def test_cam_needs_a_linear_body(cube, detector, at):
    linear = fitted(cube, body="linear")
    patches = patches_of(cube, linear)
    each = [cam(n.patch_cnn, patches.clone()).numpy() for n in linear.networks_]
    np.testing.assert_allclose(cam_at(linear, cube, at), np.mean(each, axis=0), atol=1e-5)
    with pytest.raises(XGeoAnomError, match="body='linear'"):
        cam_at(detector, cube, at)


def test_coordinates_lead_to_cells(cube, detector, at):
    maps = grad_cam_at(detector, cube, at)
    np.testing.assert_array_equal(maps.x, cube.x.values[COLS])
    np.testing.assert_array_equal(maps.y, cube.y.values[ROWS])
    # Rows of a patch run south: the first lies two cells north of the centre.
    np.testing.assert_array_equal(maps.dy, [1000, 500, 0, -500, -1000])
    np.testing.assert_array_equal(maps.dx, [-1000, -500, 0, 500, 1000])
    assert (maps.y[0] + maps.dy[0]).item() == cube.y[ROWS[0] - 2].item()


@pytest.mark.parametrize("turn", [{"y": slice(None, None, -1)}, {"x": slice(None, None, -1)}])
def test_axes_may_run_either_way(cube, detector, at, turn):
    np.testing.assert_allclose(
        grad_cam_at(detector, cube.isel(turn), at), grad_cam_at(detector, cube, at), atol=1e-6
    )


def test_lazy_cubes_give_the_same(cube, detector, at):
    lazy = cube.chunk(y=7, x=5)
    np.testing.assert_allclose(
        grad_cam_at(detector, lazy, at), grad_cam_at(detector, cube, at), atol=1e-6
    )


def test_randomised_networks_have_other_maps(cube, detector, at):
    forgetful, again = randomised(detector, seed=0), randomised(detector, seed=0)
    learnt, forgotten = (grad_cam_at(d, cube, at).values for d in (detector, forgetful))
    assert np.abs(np.corrcoef(learnt.ravel(), forgotten.ravel())[0, 1]) < 0.9
    before = detector.networks_[0].state_dict()
    for (name, new), same in zip(
        forgetful.networks_[0].state_dict().items(),
        again.networks_[0].state_dict().values(),
        strict=True,
    ):
        assert torch.equal(new, same)
        if name.endswith("weight") and "norm" not in name:
            assert not torch.allclose(new, before[name])
    first, second = (n.patch_cnn.conv1.weight for n in forgetful.networks_)
    assert not torch.allclose(first, second)
    assert not any(n.training for n in forgetful.networks_)


def test_wrong_input(cube, detector, at):
    with pytest.raises(NotFittedError):
        grad_cam_at(GKDCN(), cube, at)
    with pytest.raises(NotFittedError):
        randomised(GKDCN())
    with pytest.raises(XGeoAnomError, match="GKDCN"):
        grad_cam_at(Autoencoder(), cube, at)
    with pytest.raises(GridError, match="outside the survey"):
        grad_cam_at(detector, cube, [(0.0, 0.0)])
    row, col = np.argwhere(cube.isnull().any("element").values)[0]
    with pytest.raises(GridError, match="missing cell"):
        grad_cam_at(detector, cube, [(cube.x[col].item(), cube.y[row].item())])
    with pytest.raises(XGeoAnomError, match="layer='conv9'"):
        grad_cam_at(detector, cube, at, layer="conv9")


def test_a_randomised_detector_says_so(detector, cube):
    forgetful = randomised(detector, 7)
    attrs = forgetful.predict(cube)["score"].attrs
    assert attrs["randomised"] == 7
    assert "a" not in attrs
    assert "randomised" not in detector.predict(cube)["score"].attrs
