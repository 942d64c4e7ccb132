"""Autoencoders against principal components and plain algebra; trimming, gaps, bad numbers."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from surveys import small_cube, small_labels

from xgeoanom.detectors.autoencoder import (
    Autoencoder,
    ConvAutoencoder,
    autoencoder,
    conv_autoencoder,
)
from xgeoanom.detectors.detect import load_detector
from xgeoanom.errors import CubeError, LabelError, WindowError, XGeoAnomError

both = pytest.mark.parametrize(
    "make",
    [
        lambda **params: Autoencoder(**{"epochs": 2, "seed": 0, **params}),
        lambda **params: ConvAutoencoder(**{"window": 5, "epochs": 2, "seed": 0, **params}),
    ],
    ids=["dense", "convolutional"],
)


def two_factor_cube(ny=30, nx=30, seed=0, noise=0.3):
    """Return a cube of six elements that two factors rule, one stronger than the other."""
    rng = np.random.default_rng(seed)
    cube = small_cube(ny, nx, seed=seed)
    factors = rng.normal(size=(2, ny, nx)) * np.array([2.0, 1.0])[:, None, None]
    loadings = rng.normal(size=(6, 2))
    values = np.einsum("ek,kyx->eyx", loadings, factors) + noise * rng.normal(size=(6, ny, nx))
    return cube.copy(data=values)


def standardised(cube):
    return (cube - cube.mean(("y", "x"))) / cube.std(("y", "x"))


def errors_of(detector, cube):
    """Return the squared errors behind a score, from the score alone, in units of the median."""
    score = detector.predict(cube)["score"].values.astype("float64")
    return score / (1 - score)


def test_scores_equal_plain_algebra():
    cube = two_factor_cube(12, 10)
    detector = Autoencoder(hidden=(5,), code=2, epochs=3, seed=0).fit(cube)
    weights = {k: v.double().numpy() for k, v in detector.networks_[0].state_dict().items()}
    x = standardised(cube).values.reshape(6, -1).T
    hidden = np.tanh(x @ weights["encode.0.weight"].T + weights["encode.0.bias"])
    code = hidden @ weights["encode.2.weight"].T + weights["encode.2.bias"]
    hidden = np.tanh(code @ weights["decode.0.weight"].T + weights["decode.0.bias"])
    rebuilt = hidden @ weights["decode.2.weight"].T + weights["decode.2.bias"]
    error = np.sum((x - rebuilt) ** 2, axis=1)
    expected = (error / (error + np.median(error))).reshape(12, 10)
    np.testing.assert_allclose(detector.predict(cube)["score"], expected, atol=1e-5)
    assert (detector.predict(cube)["score"] > 0.5).sum() == 60


def test_convolutional_scores_equal_a_loop_over_windows():
    cube = two_factor_cube(10, 9).where(small_cube(10, 9, holes=6).notnull())
    detector = ConvAutoencoder(window=7, channels=8, epochs=2, seed=0).fit(cube)
    (network,) = detector.networks_
    padded = np.pad(standardised(cube).values, [(0, 0), (3, 3), (3, 3)], constant_values=np.nan)
    filled = torch.from_numpy(np.nan_to_num(padded).astype("float32"))
    error = np.full((10, 9), np.nan)
    for row, col in np.argwhere(cube.notnull().all("element").values):
        with torch.no_grad():
            rebuilt = network(filled[None, :, row : row + 7, col : col + 7])[0, :, 3, 3]
        error[row, col] = np.sum((padded[:, row + 3, col + 3] - rebuilt.numpy()) ** 2)
    expected = error / (error + np.nanmedian(error))
    np.testing.assert_allclose(detector.predict(cube)["score"], expected, atol=1e-5)


def test_a_linear_autoencoder_ranks_as_principal_components():
    cube = two_factor_cube()
    detector = Autoencoder(hidden=(), code=2, trim=0.0, epochs=200, learning_rate=0.01, seed=0)
    error = errors_of(detector.fit(cube), cube).ravel()
    x = standardised(cube).values.reshape(6, -1).T
    pca = PCA(2).fit(x)
    expected = np.sum((x - pca.inverse_transform(pca.transform(x))) ** 2, axis=1)
    assert spearmanr(error, expected).statistic > 0.99


def planted(share=0.02, seed=5):
    """Return a two-factor cube in which a few cells share one strange composition."""
    cube = two_factor_cube(30, 30, seed=seed)
    strange = np.random.default_rng(seed).random((30, 30)) < share
    direction = np.linalg.svd(cube.values.reshape(6, -1), full_matrices=False)[0][:, -1]
    return cube + 8 * direction[:, None, None] * strange, strange


def test_trimming_keeps_anomalies_from_being_learnt():
    cube, strange = planted()
    params = {"hidden": (), "code": 3, "epochs": 100, "learning_rate": 0.01, "seed": 0}
    trimmed, plain = (
        errors_of(Autoencoder(trim=trim, **params).fit(cube), cube)[strange] for trim in (0.05, 0.0)
    )
    assert np.median(trimmed) > 5 * np.median(plain)
    assert (trimmed > 5).all()


def test_a_window_does_not_leak_its_centre():
    """White noise cannot be rebuilt; a network that copied the centre would seem to."""
    cube = small_cube(30, 30).copy(data=np.random.default_rng(0).normal(size=(6, 30, 30)))
    detector = ConvAutoencoder(window=5, code=2, epochs=60, trim=0.0, seed=0).fit(cube)
    at = [(float(x), float(y)) for x in cube.x[5:25] for y in cube.y[5:25]]
    left = np.square(detector.explain(cube, at, how="residual")).sum("element").mean()
    # Two numbers of six would still leave 4 if all of the code went to the centre.
    assert left > 4.8


def test_only_background_is_learnt_where_it_is_given():
    cube = small_cube(seed=1)
    labels = small_labels(cube, background=True)
    # Cells elsewhere change places among themselves: the scaling stays, what is seen there not.
    elsewhere = labels.values != 0
    mixed = cube.copy()
    mixed.values[:, elsewhere] = cube.values[:, elsewhere][:, ::-1]
    weights, same, other = (
        Autoencoder(epochs=2, seed=0).fit(grid, given).networks_[0].encode[0].weight.detach()
        for grid, given in ((cube, labels), (mixed, labels), (mixed, None))
    )
    torch.testing.assert_close(same, weights)
    assert not torch.allclose(other, weights, atol=1e-3)


@both
def test_explanations_agree_with_each_other_and_the_score(make):
    cube = small_cube(holes=9)
    detector = make().fit(cube)
    row, col = np.argwhere(cube.notnull().all("element").values)[25]
    at = [(cube.x[col].item(), cube.y[row].item()), (cube.x[3].item(), cube.y[10].item())]
    residual = detector.explain(cube, at, how="residual")
    shares = detector.explain(cube, at)
    assert shares.name == "reconstruction_error"
    np.testing.assert_allclose(shares.sum("element"), 1, rtol=1e-5)
    error = np.square(residual).sum("element")
    np.testing.assert_allclose(shares, np.square(residual) / error, rtol=1e-4)
    usual = detector.networks_[0].usual_error.item()
    score = detector.predict(cube)["score"].values[row, col]
    np.testing.assert_allclose(error[0] / (error[0] + usual), score, rtol=1e-4)


def test_residual_is_above_zero_where_there_is_more_than_usual():
    cube = two_factor_cube(20, 20)
    cube[2, 7, 7] += 9 * cube[2].std()
    detector = Autoencoder(code=2, epochs=60, batch_size=64, seed=0).fit(cube)
    at = [(cube.x[7].item(), cube.y[7].item())]
    residual = detector.explain(cube, at, how="residual").values[0]
    shares = detector.explain(cube, at, how="reconstruction_error").values[0]
    assert residual.argmax() == shares.argmax() == 2
    assert residual[2] > 3


@both
def test_neighbours_may_be_missing_but_not_the_cell(make):
    cube = small_cube()
    cube[:, 5:12, 4:8] = np.nan
    cube[2, 15, 15] = np.nan  # one element is enough
    score = make().fit(cube).predict(cube)["score"]
    xr.testing.assert_equal(
        score.isnull(), cube.isnull().any("element").drop_vars("unit", errors="ignore")
    )


@both
def test_constant_elements_add_nothing(make):
    cube = small_cube()
    cube[3] = 7.0
    detector = make(epochs=20, batch_size=32).fit(cube)
    at = [(cube.x[8].item(), cube.y[8].item())]
    assert np.isfinite(detector.predict(cube)["score"]).all()
    assert abs(detector.explain(cube, at, how="residual")[0, 3]) < 0.3


@both
def test_a_wholly_constant_survey_has_a_score(make):
    cube = small_cube()
    score = make().fit(xr.zeros_like(cube)).predict(xr.zeros_like(cube))["score"]
    assert np.isfinite(score).all()


@both
def test_no_more_cells_are_read_than_asked(make):
    cube = small_cube()
    detector = make(most=40)
    seen = []
    draw = detector.draw
    detector.draw = lambda *args: seen.append(draw(*args)) or seen[-1]
    detector.fit(cube, small_labels(cube))
    assert seen[0].sizes["example"] == 40


def test_the_way_that_x_and_y_run_does_not_matter():
    cube = small_cube()
    cube[:, 5:9, 3] = np.nan
    plain = ConvAutoencoder(window=5, epochs=2, seed=0).fit(cube)
    turned = cube.isel(x=slice(None, None, -1), y=slice(None, None, -1))
    again = ConvAutoencoder(window=5, epochs=2, seed=0).fit(turned)
    for detector in (plain, again):
        for grid in (cube, turned):
            score = detector.predict(grid)["score"].sel(x=cube.x, y=cube.y)
            np.testing.assert_allclose(score, plain.predict(cube)["score"], atol=2e-4)
    at = [(cube.x[8].item(), cube.y[8].item())]
    xr.testing.assert_allclose(plain.explain(turned, at), plain.explain(cube, at))


@both
def test_loading_brings_the_usual_error_back(make, tmp_path):
    cube = small_cube()
    detector = make().fit(cube)
    detector.save(tmp_path / "d")
    loaded = load_detector(tmp_path / "d")
    assert loaded.networks_[0].usual_error == detector.networks_[0].usual_error != 1
    assert loaded.hyperparameters() == detector.hyperparameters()


@pytest.mark.parametrize("function", [autoencoder, conv_autoencoder])
def test_functions_add_one_variable_with_or_without_labels(function):
    cube = small_cube()
    ds = cube.to_dataset().assign(labels=small_labels(cube))
    params = {"window": 5} if function is conv_autoencoder else {"code": 2}
    for labels in (None, "labels"):
        out = function(ds, labels, epochs=1, seed=0, **params)
        assert set(out) - set(ds) == {function.__name__}
        assert out[function.__name__].attrs["method"] == function.__name__


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"code": 0}, "code"),
        ({"code": 2.0}, "code"),
        ({"trim": 1.0}, "trim"),
        ({"trim": -0.1}, "trim"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": True}, "batch_size"),
        ({"most": 1.5}, "most"),
        ({"draws": 0}, "draws"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"hidden": 8}, "hidden"),
        ({"hidden": (8, 0)}, "hidden"),
    ],
)
def test_bad_parameters_are_named_at_once(params, word):
    with pytest.raises(XGeoAnomError, match=f"{word}="):
        Autoencoder(**params)


@pytest.mark.parametrize("window", [1, 4, 5.0, "9"])
def test_windows_that_are_none(window):
    with pytest.raises(WindowError, match="odd and at least 3"):
        ConvAutoencoder(window=window)


def test_channels_that_are_none():
    with pytest.raises(XGeoAnomError, match="channels=0"):
        ConvAutoencoder(channels=0)


@both
def test_a_code_as_wide_as_a_cell_would_copy(make):
    with pytest.raises(CubeError, match="code=6 must be smaller than the cube's 6 elements"):
        make(code=6).fit(small_cube())


@both
def test_nothing_to_learn_from(make):
    cube = small_cube()
    labels = small_labels(cube)
    with pytest.raises(LabelError, match="0 cells"):
        make().fit(cube.where(labels == 1), labels)


def test_window_larger_than_the_survey():
    with pytest.raises(WindowError, match="25 cells is larger than the survey"):
        ConvAutoencoder(window=25).fit(small_cube())
