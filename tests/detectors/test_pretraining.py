"""Pretraining: what it reaches, that it goes on after an interruption, where its data may lie."""

import threading
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from surveys import small_cube, small_labels

from xgeoanom.detectors import pretraining, window_stream
from xgeoanom.detectors.masked_autoencoder import MaskedAutoencoder
from xgeoanom.detectors.pretraining import ReconstructionWatch, masked, pretrain
from xgeoanom.detectors.window_stream import WindowStream
from xgeoanom.errors import XGeoAnomError
from xgeoanom.nets import mae
from xgeoanom.nets.mae import hidden_cells
from xgeoanom.nets.reconstruction import psnr, ssim

Small = partial(
    MaskedAutoencoder,
    width=16,
    depth=1,
    heads=2,
    decoder_width=8,
    decoder_depth=1,
    decoder_heads=2,
    epochs=3,
    batch_size=64,
    learning_rate=0.01,
    seed=0,
)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """So that a small survey has several blocks."""
    monkeypatch.setattr(window_stream, "SIDE", 10)
    monkeypatch.setattr(window_stream, "POOL", 2)


@pytest.fixture(scope="module")
def cube():
    return small_cube(holes=12, elements=("Au", "As", "Cu"))


@pytest.fixture
def undisturbed(cube):
    return Small().fit(cube)


def waves(ny=30, nx=30):
    """Return a survey in which each cell follows from those around it."""
    cube = small_cube(ny, nx, elements=("Au", "As", "Cu"))
    y, x = np.mgrid[:ny, :nx]
    wave = np.sin(y / 3) + np.cos(x / 4)
    return cube.copy(data=np.stack([wave, -wave, np.sin(x / 5)]) + 0.01 * cube.values)


def assert_same_fit(one, other):
    assert one.history_ == other.history_
    for networks in zip(one.networks_, other.networks_, strict=True):
        first, second = (network.state_dict() for network in networks)
        assert first.keys() == second.keys()
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name


def interrupted(monkeypatch, after):
    """Let training be interrupted after so many batches; return the cells of each, as they come."""
    windows, batches = WindowStream.windows, []

    def counted(self, cells):
        if self._groups:  # an epoch has begun
            if len(batches) == after:
                raise KeyboardInterrupt
            batches.append(cells)
        return windows(self, cells)

    monkeypatch.setattr(WindowStream, "windows", counted)
    return batches


# ---------------------------------------------------------------------------------- interruption


@pytest.mark.parametrize("after", [0, 5, 12, 20])
def test_a_killed_pretraining_goes_on(cube, undisturbed, tmp_path, monkeypatch, after):
    """Before the first epoch's end there is nothing to go on from; each has eight batches."""
    with monkeypatch.context() as patch:
        interrupted(patch, after)
        with pytest.raises(KeyboardInterrupt):
            Small(checkpoint=tmp_path).fit(cube)
    with monkeypatch.context() as patch:
        batches = interrupted(patch, None)
        resumed = Small(checkpoint=str(tmp_path)).fit(cube)
    trained = sum(len(cells) for cells in batches[:-1])  # the last are those of the usual error
    assert trained == (3 - after // 8) * int(cube.notnull().all("element").sum())
    assert_same_fit(resumed, undisturbed)
    assert {len(curve) for curve in resumed.history_[0].values()} == {3}
    xr.testing.assert_identical(resumed.predict(cube), undisturbed.predict(cube))


def test_other_labels_and_settings_start_anew(cube, tmp_path):
    """Nothing of a run is taken over by another that shares its folder."""
    labels = small_labels(cube)
    other = labels.roll(x=3, roll_coords=False)
    Small(checkpoint=tmp_path).fit(cube, labels)
    assert_same_fit(Small(checkpoint=tmp_path).fit(cube, other), Small().fit(cube, other))
    faster = Small(checkpoint=tmp_path, learning_rate=0.02).fit(cube, labels)
    assert_same_fit(faster, Small(learning_rate=0.02).fit(cube, labels))


def test_a_checkpoint_needs_a_seed(cube, tmp_path):
    with pytest.raises(XGeoAnomError, match="needs a seed.*seed=0"):
        Small(seed=None, checkpoint=tmp_path).fit(cube)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------- where the data may lie


def test_a_survey_on_disk_gives_the_same_network(cube, undisturbed, tmp_path):
    cube.chunk(element=-1, y=7, x=9).to_dataset(name="clr").to_zarr(
        tmp_path / "survey.zarr", zarr_format=2
    )
    lazy = xr.open_zarr(tmp_path / "survey.zarr", decode_coords="all")["clr"]
    assert lazy.chunks is not None
    assert_same_fit(Small().fit(lazy), undisturbed)


@pytest.mark.parametrize("loss_on", ["masked", "all"])
def test_lonely_cells_teach_nothing_and_break_nothing(cube, loss_on):
    """Their hidden neighbours are all missing: a loss without a gradient."""
    lonely = cube.where((np.arange(24) % 5 == 2)[:, None] & (np.arange(20) % 5 == 2))
    detector = Small(loss_on=loss_on, batch_size=4).fit(lonely)
    assert np.isfinite(detector.history_[0]["loss"]).all()
    assert (np.array(detector.history_[0]["loss"]) == 0).all() == (loss_on == "masked")


# ------------------------------------------------------------------------------ what it reaches


def test_it_learns_what_there_is_to_learn():
    detector = Small(epochs=8).fit(waves())
    history = detector.history_[0]
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert history["psnr"][-1] > history["psnr"][0]
    assert history["ssim"][-1] > history["ssim"][0]
    # Against the mean of all, which is 0, on windows that it learnt from.
    values = detector.standardise(waves().values)
    with WindowStream(values, np.ones((30, 30), dtype=bool), np.float32, halo=2, most=1) as stream:
        x = stream.some(400, np.random.default_rng(1))
    network = detector.networks_[0]
    visible = masked(network, x, 0.75, seed=1)
    hidden = hidden_cells(visible, 1, 5)[:, None] & ~x.isnan()
    with torch.inference_mode():
        rebuilt = network.reconstruct(x, visible)
    assert (psnr(rebuilt, x, hidden) > psnr(torch.zeros_like(x), x, hidden) + 5).all()


def run(cube, network, **settings):
    detector = Small(**settings)
    values = np.float32(cube.values)
    known = ~np.isnan(values).any(axis=0)
    with WindowStream(values, known, np.float32, halo=2, most=10**6) as stream:
        rng = np.random.default_rng(0)
        return pretrain(network, stream, detector, rng, None, threading.Event())


def test_gradients_are_clipped(cube, monkeypatch):
    """At the optimiser, whatever the loss."""
    norms, loss = [], mae.MaskedAutoencoder.loss
    monkeypatch.setattr(mae.MaskedAutoencoder, "loss", lambda *args: 1e4 * loss(*args))

    class Noted(torch.optim.AdamW):
        def __init__(self, parameters, **rates):
            super().__init__(parameters, **rates)
            self.noted = self.param_groups[0]["params"]
            assert rates["weight_decay"] == 1e-2

        def zero_grad(self, *args):
            if self.noted[0].grad is not None:
                norms.append(torch.stack([p.grad.norm() for p in self.noted]).norm().item())
            super().zero_grad(*args)

    monkeypatch.setattr(torch.optim, "AdamW", Noted)
    run(cube, Small(epochs=1).autoencoder(3), epochs=1)
    np.testing.assert_allclose(norms, pretraining.LONGEST_STEP, rtol=1e-4)


def test_the_rate_falls_along_a_cosine(cube, monkeypatch):
    rates, loss = [], mae.MaskedAutoencoder.loss
    optimizers = []

    class Noted(torch.optim.AdamW):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            optimizers.append(self)

    def noted(*args):
        rates.append(optimizers[0].param_groups[0]["lr"])
        return loss(*args)

    monkeypatch.setattr(torch.optim, "AdamW", Noted)
    monkeypatch.setattr(mae.MaskedAutoencoder, "loss", noted)
    run(cube, Small().autoencoder(3), epochs=4)
    expected = [0.01 * (1 + np.cos(np.pi * epoch / 4)) / 2 for epoch in range(4)]
    np.testing.assert_allclose(rates, np.repeat(expected, len(rates) // 4), rtol=1e-9)


# -------------------------------------------------------------------------------------- the watch


def test_the_watch_judges_hidden_cells_alone():
    """By hand: the error of hidden cells, and windows whose visible cells are as they were."""
    torch.manual_seed(0)
    network = Small(patch=1).autoencoder(2)
    x = torch.randn(40, 2, 5, 5)
    x[:, :, 0, 0] = torch.nan
    watch = ReconstructionWatch(x, 0.75, np.random.default_rng(0))
    watch.look(network)
    assert network.training
    assert not watch.over
    visible = masked(network, x, 0.75, watch.generator_seed)
    with torch.inference_mode():
        rebuilt = network.reconstruct(x, visible)
    ratios, filled = [], x.clone()
    for band in range(2):
        errors, values = [], []
        for b, row, col in np.ndindex(40, 5, 5):
            value = x[b, band, row, col].item()
            if np.isnan(value) or row * 5 + col in visible[b]:
                continue
            errors.append((rebuilt[b, band, row, col].item() - value) ** 2)
            values.append(value)
            filled[b, band, row, col] = rebuilt[b, band, row, col]
        ratios.append(10 * np.log10(np.ptp(values) ** 2 / np.mean(errors)))
    assert watch.history["psnr"] == [pytest.approx(np.mean(ratios), rel=1e-5)]
    alike = ssim(filled, x, ~x.isnan()).mean().item()
    assert watch.told["ssim"] == pytest.approx(alike, rel=1e-5)
    watch.look(network)  # the same cells are hidden each time
    assert watch.history["psnr"][0] == watch.history["psnr"][1]


def test_the_watch_goes_on_from_its_state():
    x, network = torch.randn(9, 2, 5, 5), Small().autoencoder(2)
    first, second = (ReconstructionWatch(x, 0.75, np.random.default_rng(0)) for _ in range(2))
    first.look(network)
    second.load_state_dict(first.state_dict())
    second.look(network)
    assert len(second.history["ssim"]) == 2
    assert len(first.history["ssim"]) == 1
