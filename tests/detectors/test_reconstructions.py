"""Reconstructions: windows as cut by hand, masks as drawn, values as the networks give them."""

import numpy as np
import pytest
import torch
from surveys import small_cube, small_labels

from xgeoanom.detectors.autoencoder import Autoencoder
from xgeoanom.detectors.masked_autoencoder import MaskedAutoencoder
from xgeoanom.detectors.mim import MIM
from xgeoanom.detectors.reconstructions import band_table, reconstructions
from xgeoanom.errors import CubeError, GridError, NotFittedError, XGeoAnomError
from xgeoanom.nets.mae import random_mask

ROWS, COLS = [4, 12, 23], [3, 9, 19]  # the last in the south-east corner
SMALL = {"width": 8, "depth": 1, "heads": 2, "decoder_width": 8, "decoder_heads": 2}
SMALL |= {"epochs": 1, "batch_size": 32, "learning_rate": 0.01, "seed": 0}


def mixed_cube():
    """A cube of which the last band holds zeros and ones."""
    cube = small_cube(holes=12)
    cube[-1] = (cube[-1] > 0).where(cube[-1].notnull())
    kinds = ["continuous"] * (cube.sizes["element"] - 1) + ["binary"]
    return cube.assign_coords(kind=("element", kinds))


@pytest.fixture(scope="module")
def cube():
    return mixed_cube()


@pytest.fixture(scope="module")
def detector(cube):
    return MaskedAutoencoder(**SMALL, draws=2).fit(cube)


@pytest.fixture(scope="module")
def at(cube):
    return [(float(cube.x[c]) + 90, float(cube.y[r]) - 90) for r, c in zip(ROWS, COLS, strict=True)]


def windows_of(cube, detector):
    """Cut windows by hand: inside the fences, standardised, NaN where missing or outside."""
    by_band = [getattr(detector, f"{name}_") for name in detector.scaling]
    mean, scale, low, high = (numbers[:, None, None] for numbers in by_band)
    values = (np.minimum(np.maximum(cube.values, low), high) - mean) / scale
    padded = np.pad(values, [(0, 0), (2, 2), (2, 2)], constant_values=np.nan).astype("float32")
    return np.stack([padded[:, r : r + 5, c : c + 5] for r, c in zip(ROWS, COLS, strict=True)])


def test_what_is_seen_and_rebuilt(cube, detector, at):
    result = reconstructions(detector, cube, at, seed=3)
    windows = windows_of(cube, detector)
    np.testing.assert_allclose(result["original"], windows, atol=1e-5)
    empty = torch.from_numpy(np.isnan(windows).all(axis=1).reshape(3, 25))  # hidden first
    visible = random_mask(3, 25, 0.75, torch.Generator().manual_seed(3), empty)
    seen = np.full(windows.shape, np.nan, dtype="float32")
    for k, token in [(k, int(token)) for k, tokens in enumerate(visible) for token in tokens]:
        row, col = divmod(token, 5)
        seen[k, :, row, col] = result["original"][k, :, row, col]
    np.testing.assert_array_equal(result["seen"], seen)
    with torch.no_grad():
        each = [n.reconstruct(torch.from_numpy(windows), visible) for n in detector.networks_]
    assert float((each[0] - each[1]).abs().max()) > 0.01
    np.testing.assert_allclose(result["rebuilt"], (each[0] + each[1]) / 2, atol=1e-5)
    assert result["rebuilt"].notnull().all()
    assert ((result["rebuilt"][:, -1] > 0) & (result["rebuilt"][:, -1] < 1)).all()


def test_hidden_is_nothing_that_the_network_reads(cube, detector, at):
    before = reconstructions(detector, cube, at[1:2])
    hidden = before["seen"].isnull() & before["original"].notnull()
    row, col = np.argwhere(hidden.values[0, 0])[0]
    changed = cube.copy(deep=True)
    changed[:-1, ROWS[1] + row - 2, COLS[1] + col - 2] += 0.5
    after = reconstructions(detector, changed, at[1:2])
    assert not after["original"].equals(before["original"])
    np.testing.assert_array_equal(after["rebuilt"], before["rebuilt"])


def test_coordinates_and_attrs(cube, detector, at):
    result = reconstructions(detector, cube, at)
    assert all(array.dims == ("location", "element", "dy", "dx") for array in result.values())
    assert all(array.dtype == "float32" for array in result.values())
    np.testing.assert_array_equal(result.x, cube.x.values[COLS])
    np.testing.assert_array_equal(result.y, cube.y.values[ROWS])
    np.testing.assert_array_equal(result.dy, [1000, 500, 0, -500, -1000])
    np.testing.assert_array_equal(result.dx, [-1000, -500, 0, 500, 1000])
    assert result.dx.attrs["units"] == "metre"
    assert result.element.values.tolist() == cube.element.values.tolist()
    assert result.rio.crs == cube.rio.crs
    for attrs in (result.attrs, result["seen"].attrs):
        assert attrs["method"] == "masked_autoencoder"
        assert (attrs["seed"], attrs["mask_seed"]) == (0, 0)
    assert result["seen"].attrs["units"] == "1"


@pytest.mark.parametrize("turn", [{"y": slice(None, None, -1)}, {"x": slice(None, None, -1)}])
def test_axes_may_run_either_way_and_be_lazy(cube, detector, at, turn):
    turned = reconstructions(detector, cube.isel(turn).chunk(y=7), at)
    straight = reconstructions(detector, cube, at)
    for name in straight:
        np.testing.assert_allclose(turned[name], straight[name], atol=1e-6)


def test_the_seed_draws_the_mask(cube, detector, at):
    first, again, other = (
        reconstructions(detector, cube, at, seed=seed)["seen"].isnull() for seed in (1, 1, 2)
    )
    assert first.equals(again)
    assert not first.equals(other)
    drawn = reconstructions(detector, cube, at, seed=np.random.default_rng(0))
    same = reconstructions(detector, cube, at, seed=drawn.attrs["mask_seed"])
    assert drawn.equals(same)


def test_wrong_input(cube, detector, at):
    with pytest.raises(NotFittedError):
        reconstructions(MaskedAutoencoder(), cube, at)
    with pytest.raises(XGeoAnomError, match="Autoencoder"):
        reconstructions(Autoencoder(), cube, at)
    with pytest.raises(CubeError, match="elements"):
        reconstructions(detector, cube[1:], at)
    with pytest.raises(GridError, match="outside the survey"):
        reconstructions(detector, cube, [(0.0, 0.0)])
    row, col = np.argwhere(cube.isnull().any("element").values)[0]
    with pytest.raises(GridError, match="missing cell"):
        reconstructions(detector, cube, [(cube.x[col].item(), cube.y[row].item())])
    with pytest.raises(XGeoAnomError, match="seed=-1"):
        reconstructions(detector, cube, at, seed=-1)


def test_what_each_band_is(cube, detector):
    table = band_table(detector)
    assert table.index.name == "element"
    assert table.index.tolist() == cube.element.values.tolist()
    assert table.columns.tolist() == ["unit", "kind", "mean", "scale", "lowest", "highest"]
    assert table["unit"].tolist() == ["ppm"] * len(table)
    assert table["kind"].tolist() == ["continuous"] * (len(table) - 1) + ["binary"]
    assert table.iloc[-1, 2:].tolist() == [0, 1, 0, 1]
    (told,) = {tuple(network.binary.tolist()) for network in detector.networks_}
    assert tuple(table["kind"] == "binary") == told
    cells = cube.values.reshape(len(table), -1)
    cells = cells[:, ~np.isnan(cells).any(axis=0)][0]
    q1, q3 = np.percentile(cells, [25, 75])
    fences = q1 - 3 * (q3 - q1), q3 + 3 * (q3 - q1)
    assert table.iloc[0, 4:].tolist() == pytest.approx(fences)
    inside = np.clip(cells, *fences)
    assert table.iloc[0, 2:4].tolist() == pytest.approx([inside.mean(), inside.std()])


def test_constant_bands_are_not_binary():
    cube = small_cube(elements=("Au", "As", "Cu", "Pb"))
    for k, value in enumerate([0.0, 1.0]):
        cube[k] = value
    for fences in (3.0, None):
        table = band_table(MaskedAutoencoder(**SMALL, fences=fences).fit(cube))
        assert (table["kind"] == "continuous").all()
    assert np.isinf(table[["lowest", "highest"]]).all(axis=None)


def test_the_table_is_of_mim_too_and_of_loaded_ones(cube, detector, tmp_path):
    params = {**SMALL, "epochs": 0, "head_epochs": 1, "draws": 1}
    table = band_table(MIM(**params).fit(cube, small_labels(cube)))
    assert table.equals(band_table(detector))
    detector.save(tmp_path / "mae.safetensors")
    loaded = MaskedAutoencoder.load(tmp_path / "mae.safetensors")
    assert band_table(loaded).equals(table)


def test_no_table_without_a_fitted_detector_of_windows(cube):
    with pytest.raises(NotFittedError):
        band_table(MIM())
    with pytest.raises(XGeoAnomError, match="give a MaskedAutoencoder or MIM"):
        band_table(Autoencoder())
