"""The masked autoencoder as a detector: scores by hand, scaling, binary bands, errors."""

from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from surveys import small_cube, small_labels

from xgeoanom.blocks import gather
from xgeoanom.detectors.masked_autoencoder import MaskedAutoencoder, masked_autoencoder
from xgeoanom.detectors.mim import MIM
from xgeoanom.errors import CubeError, LabelError, WindowError, XGeoAnomError

TINY = {
    "width": 8,
    "depth": 1,
    "heads": 2,
    "decoder_width": 8,
    "decoder_depth": 1,
    "decoder_heads": 2,
    "seed": 0,
}
Small = partial(MaskedAutoencoder, **TINY, epochs=2, batch_size=64, learning_rate=0.01)
ELEMENTS = ("Au", "As", "Cu")


@pytest.fixture(scope="module")
def cube():
    return small_cube(elements=ELEMENTS, holes=12)


@pytest.fixture(scope="module")
def fitted(cube):
    return Small().fit(cube)


def mixed(ny=24, nx=20):
    """Return a stack of a wave, a mask that follows from it, and another wave."""
    cube = small_cube(ny, nx, elements=("gravity", "granite", "magnetics"))
    y, x = np.mgrid[:ny, :nx]
    wave = np.sin(y / 2) + np.cos(x / 3)
    values = np.stack([wave, wave > 0, np.sin(x / 4)])
    return cube.copy(data=values).assign_coords(
        kind=("element", ["continuous", "binary", "continuous"])
    )


# ------------------------------------------------------------------------------------------ score


def naive_residuals(detector, cube, row, col):
    """What is not rebuilt of a cell of which the network sees the surroundings alone."""
    network, side = detector.networks_[0], detector.window
    patch = gather(cube.values, np.array([row]), np.array([col]), halo=side // 2)
    x = torch.from_numpy(detector.standardise(patch))
    tokens = side // detector.patch
    visible = torch.tensor([[k for k in range(tokens**2) if k != tokens**2 // 2]])
    with torch.inference_mode():
        rebuilt = network.reconstruct(x, visible)
    return (x - rebuilt)[0, :, side // 2, side // 2].double().numpy()


@pytest.mark.parametrize("sizes", [{}, {"window": 9, "patch": 3}])
def test_scores_and_explanations_by_hand(cube, sizes):
    detector = Small(epochs=1, **sizes).fit(cube)
    score = detector.predict(cube)["score"].values
    usual = detector.networks_[0].usual_error.item()
    for row, col in [(0, 0), (12, 10), (23, 19)]:
        residuals = naive_residuals(detector, cube, row, col)
        error = (residuals**2).sum()
        assert score[row, col] == pytest.approx(error / (error + usual), rel=1e-5)
        at = [(cube.x[col].item(), cube.y[row].item())]
        found = detector.explain(cube, at, how="residual").values[0]
        np.testing.assert_allclose(found, residuals, rtol=1e-4, atol=1e-6)
        shares = detector.explain(cube, at).values[0]
        np.testing.assert_allclose(shares, residuals**2 / error, rtol=1e-4, atol=1e-7)
        assert shares.sum() == pytest.approx(1, rel=1e-5)


def test_half_of_what_was_learnt_from_scores_below_one_half(cube, fitted):
    score = fitted.predict(cube)["score"]
    assert score.median() == pytest.approx(0.5, abs=2e-3)
    labels = small_labels(cube, background=True)
    of_background = Small().fit(cube, labels).predict(cube)["score"].where(labels == 0)
    assert of_background.median() == pytest.approx(0.5, abs=2e-3)  # between two cells


def test_the_cell_itself_is_not_seen(cube, fitted):
    """What is rebuilt of a cell does not change with its own value."""
    row, col = 10, 8
    changed = cube.copy(deep=True)
    changed[:, row, col] += 1.0
    scale = fitted.scale_
    before, after = (naive_residuals(fitted, one, row, col) for one in (cube, changed))
    np.testing.assert_allclose(after - before, 1 / scale, rtol=1e-4)


def test_a_planted_cell_stands_out(cube):
    planted = small_cube(elements=ELEMENTS)
    planted[0, 11, 7] += 30.0
    detector = Small(epochs=4, fences=None).fit(planted)
    score = detector.predict(planted)["score"]
    assert np.unravel_index(score.values.argmax(), score.shape) == (11, 7)
    at = [(planted.x[7].item(), planted.y[11].item())]
    shares = detector.explain(planted, at)[0]
    assert shares.idxmax() == "Au"
    assert detector.explain(planted, at, how="residual").sel(element="Au").item() > 2


def test_deposits_are_not_learnt_from(cube):
    """Windows lie around other cells or, where there is background, around that alone."""
    labels, background = small_labels(cube), small_labels(cube, background=True)
    detector = Small(epochs=1)
    seen, draw = [], detector.draw
    detector.draw = lambda *args: seen.append(draw(*args)) or seen[-1]
    detector.fit(cube, labels)
    known = cube.notnull().all("element")
    np.testing.assert_array_equal(seen[0].known, (labels != 1) & known)
    detector.fit(cube, background)
    np.testing.assert_array_equal(seen[1].known, (background == 0) & known)


def test_too_little_to_learn_from_is_told(cube):
    labels = xr.ones_like(small_labels(cube))
    with pytest.raises(LabelError, match="labels leave 0 cells"):
        Small().fit(cube, labels)
    holes = cube.where(cube.element != "Au").copy()
    holes[0, 0, 0] = 1.0
    holes[1:, 0, 0] = np.nan
    with pytest.raises(CubeError, match="no cell of the cube has all its elements"):
        Small().fit(holes)


# ---------------------------------------------------------------------------------- missing cells


@given(st.integers(0, 99), st.booleans())
@settings(max_examples=6)
def test_what_is_missing_never_leaks(cube, fitted, seed, whole):
    """A cell misses all bands or one; others score alike whatever stood there."""
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(0, 24, 20), rng.integers(0, 20, 20)
    holed = cube.copy(deep=True)
    holed.values[slice(None) if whole else 1, rows, cols] = np.nan
    score = fitted.predict(holed)["score"]
    missing = holed.isnull().any("element")
    np.testing.assert_array_equal(score.isnull(), missing)
    far = np.ones((24, 20), dtype=bool)
    for row, col in zip(rows, cols):
        far[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3] = False
    before = fitted.predict(cube)["score"].values
    np.testing.assert_allclose(score.values[far], before[far], rtol=1e-5)
    if whole:
        other = cube.copy(deep=True)
        other.values[:, rows, cols] = 1e6
        again = fitted.predict(other.where(~missing))["score"]
        np.testing.assert_array_equal(again, score)


# ---------------------------------------------------------------------------------------- scaling


def test_fences_draw_in_what_lies_beyond(cube):
    wild = cube.copy(deep=True)
    wild.values[0, 3, 3], wild.values[1, 4, 4] = 1e4, -1e4
    detector = Small(fences=1.5, epochs=1).fit(wild)
    known = wild.values[:, wild.notnull().all("element").values]
    q1, q3 = np.percentile(known, [25, 75], axis=1)
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    inside = np.minimum(np.maximum(known, low[:, None]), high[:, None])
    expected = (inside - inside.mean(axis=1)[:, None]) / inside.std(axis=1)[:, None]
    found = detector.standardise(known[:, :, None])[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    at_fence = (high - inside.mean(axis=1)) / inside.std(axis=1)
    np.testing.assert_allclose(found.max(axis=1)[0], at_fence[0], rtol=1e-5)


def test_without_fences_it_is_the_z_score(cube):
    detector = Small(fences=None, epochs=1).fit(cube)
    known = cube.values[:, cube.notnull().all("element").values]
    expected = (known - known.mean(axis=1)[:, None]) / known.std(axis=1)[:, None]
    found = detector.standardise(known[:, :, None])[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.isnan(detector.standardise(np.full((3, 1, 1), np.nan))).all()


def test_rare_values_of_a_band_are_kept():
    """Quartiles that are the same make no fences: all but one value would be drawn to it."""
    cube = small_cube(elements=ELEMENTS)
    cube.values[0] = 0
    cube.values[0, 5, :4] = [1, 2, 3, 4]
    detector = Small(epochs=1).fit(cube)
    found = detector.standardise(cube.values)[0, 5, :4]
    assert (np.diff(found) > 0).all()
    constant = cube.copy(deep=True)
    constant.values[0] = 7
    assert (Small(epochs=1).fit(constant).standardise(constant.values)[0] == 0).all()


# ---------------------------------------------------------------------------------- binary bands


def test_binary_bands_stay_as_they_are_and_are_rebuilt_as_probabilities():
    stack = mixed()
    detector = Small(epochs=8).fit(stack)
    scaled = detector.standardise(stack.values)
    np.testing.assert_array_equal(scaled[1], stack.values[1])
    network = detector.networks_[0]
    assert network.binary.tolist() == [False, True, False]
    x = torch.from_numpy(np.stack([scaled[:, 4:9, 4:9], scaled[:, 9:14, 9:14]]))
    visible = torch.arange(12).expand(2, 12)
    with torch.inference_mode():
        rebuilt = network.reconstruct(x, visible)
        found = network.loss_from(x, visible).item()
    p = rebuilt[:, 1].double()
    assert ((p > 0) & (p < 1)).all()
    hidden = torch.arange(25).reshape(5, 5) >= 12
    entropy = -torch.where(x[:, 1] == 1, p.log(), (1 - p).log())[:, hidden]
    squares = (rebuilt - x)[:, [0, 2]][..., hidden].double() ** 2
    expected = torch.cat([entropy.flatten(), squares.flatten()]).mean().item()
    assert found == pytest.approx(expected, rel=1e-4)
    truth = stack.values[1, 2:-2, 2:-2]
    errors = [
        naive_residuals(detector, stack, r, c)[1] for r in range(2, 22, 4) for c in range(2, 18, 4)
    ]
    assert np.mean(np.square(errors)) < truth.var()  # better than one guess for all


def test_a_binary_band_holds_nothing_else():
    stack = mixed()
    stack.values[1, 3, 3] = 0.5
    with pytest.raises(CubeError, match="kind='binary'.*other values than 0 and 1"):
        Small().fit(stack)


def test_binary_bands_survive_a_file(tmp_path):
    stack = mixed()
    stack[1, 2, 2] = np.nan
    detector = Small(epochs=1, fences=None).fit(stack)
    detector.save(tmp_path / "d")
    loaded = MaskedAutoencoder.load(tmp_path / "d")
    assert torch.equal(loaded.networks_[0].binary, detector.networks_[0].binary)
    xr.testing.assert_identical(loaded.predict(stack), detector.predict(stack))
    np.testing.assert_array_equal(loaded.lowest_, [-np.inf, 0, -np.inf])


# ------------------------------------------------------------------------------- hyperparameters

BAD = [
    ({"window": 4}, WindowError, "window=4 must be odd"),
    ({"window": 1}, WindowError, "window=1 must be odd and at least 3"),
    ({"window": 5.0}, XGeoAnomError, "window=5.0 must be an integer"),
    ({"patch": 2}, WindowError, "window=5 must be a multiple of patch=2"),
    ({"patch": 5}, XGeoAnomError, "of 1 patches visible"),
    ({"patch": 0}, XGeoAnomError, "patch=0"),
    ({"width": 9}, XGeoAnomError, "width=9 must be a multiple of heads=2"),
    ({"decoder_width": 9}, XGeoAnomError, "decoder_width=9"),
    ({"depth": 0}, XGeoAnomError, "depth=0"),
    ({"heads": "two"}, XGeoAnomError, "heads='two'"),
    ({"decoder_depth": 0}, XGeoAnomError, "decoder_depth=0"),
    ({"decoder_heads": 0}, XGeoAnomError, "decoder_heads=0"),
    ({"mask_ratio": 1.0}, XGeoAnomError, "mask_ratio=1.0"),
    ({"mask_ratio": 0.0}, XGeoAnomError, "mask_ratio=0.0 leaves 25 of 25 patches visible"),
    ({"mask_ratio": None}, XGeoAnomError, "mask_ratio=None"),
    ({"loss_on": "visible"}, XGeoAnomError, "loss_on='visible'"),
    ({"fences": -1.0}, XGeoAnomError, "fences=-1.0"),
    ({"most": 0}, XGeoAnomError, "most=0"),
    ({"batch_size": True}, XGeoAnomError, "batch_size=True"),
    ({"epochs": -1}, XGeoAnomError, "epochs=-1"),
    ({"learning_rate": float("nan")}, XGeoAnomError, "learning_rate=nan"),
    ({"learning_rate": "fast"}, XGeoAnomError, "learning_rate='fast'"),
    ({"draws": 0}, XGeoAnomError, "draws=0"),
    ({"checkpoint": 3}, XGeoAnomError, "checkpoint=3"),
    ({"checkpoint": ""}, XGeoAnomError, "checkpoint=''"),
]


@pytest.mark.parametrize("make", [MaskedAutoencoder, MIM])
@pytest.mark.parametrize(("bad", "error", "match"), BAD)
def test_bad_hyperparameters_are_told_at_once(make, bad, error, match):
    with pytest.raises(error, match=match):
        make(**TINY | bad)


def test_it_learns_for_an_epoch_at_least():
    with pytest.raises(XGeoAnomError, match="epochs=0 must be an integer of at least 1"):
        MaskedAutoencoder(epochs=0)


def test_making_one_draws_no_random_numbers():
    before = torch.get_rng_state()
    MaskedAutoencoder.paper()
    assert torch.equal(torch.get_rng_state(), before)


def test_released_sizes():
    paper = MaskedAutoencoder.paper(epochs=1)
    assert (paper.window, paper.patch, paper.width, paper.depth, paper.heads) == (5, 1, 256, 6, 8)
    assert (paper.decoder_width, paper.decoder_depth, paper.decoder_heads) == (128, 2, 4)
    assert (paper.loss_on, paper.fences, paper.batch_size, paper.epochs) == ("all", 1.5, 1024, 1)


def test_it_adds_its_score(cube):
    ds = cube.to_dataset(name="clr")
    out = masked_autoencoder(ds, window=9, patch=3, epochs=1, **TINY)
    assert set(out) - set(ds) == {"masked_autoencoder"}
    assert out["masked_autoencoder"].attrs["method"] == "masked_autoencoder"
    named = masked_autoencoder(ds, small_labels(cube), name="mine", epochs=1, **TINY)
    assert set(named) - set(ds) == {"mine"}
