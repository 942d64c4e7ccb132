"""Likeness of images against scikit-image."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from xgeoanom.nets.reconstruction import psnr, ssim


def images(side, seed, b=3, bands=2):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(b, bands, side, side)) * np.array([1.0, 5.0])[:, None, None]
    return target + 0.5 * rng.normal(size=target.shape), target


def in_torch(*values):
    return [torch.from_numpy(v) for v in values]


@given(st.integers(3, 12), st.integers(0, 99))
def test_against_scikit_image(side, seed):
    prediction, target = images(side, seed)
    known = np.ones_like(target, dtype=bool)
    width = min(7, side if side % 2 else side - 1)
    noise, likeness = (f(*in_torch(prediction, target, known)) for f in (psnr, ssim))
    for band in range(2):
        spread = np.ptp(target[:, band])
        expected = peak_signal_noise_ratio(target[:, band], prediction[:, band], data_range=spread)
        assert noise[band].item() == pytest.approx(expected, rel=1e-9)
        each = [
            structural_similarity(t, p, win_size=width, data_range=spread)
            for t, p in zip(target[:, band], prediction[:, band])
        ]
        assert likeness[band].item() == pytest.approx(np.mean(each), rel=1e-7, abs=1e-9)


@given(st.integers(0, 99))
def test_known_cells_alone_count(seed):
    prediction, target = images(5, seed, b=2, bands=2)
    known = np.random.default_rng(seed).random(target.shape) < 0.7
    known[:, :, 0, :2] = True
    target[~known], prediction[~known] = np.nan, 1e9
    noise, likeness = (f(*in_torch(prediction, target, known)) for f in (psnr, ssim))
    for band in range(2):
        here = known[:, band]
        p, t = prediction[:, band][here], target[:, band][here]
        expected = 10 * math.log10(np.ptp(t) ** 2 / np.mean((p - t) ** 2))
        assert noise[band].item() == pytest.approx(expected, rel=1e-9)
        each = [
            naive_ssim(prediction[b, band][here[b]], target[b, band][here[b]], np.ptp(t))
            for b in range(2)
        ]
        assert likeness[band].item() == pytest.approx(np.mean(each), rel=1e-9)


def naive_ssim(p, t, spread):
    c1, c2 = (0.01 * spread) ** 2, (0.03 * spread) ** 2
    ((pp, pt), (_, tt)) = np.cov(p, t)
    above = (2 * p.mean() * t.mean() + c1) * (2 * pt + c2)
    return above / ((p.mean() ** 2 + t.mean() ** 2 + c1) * (pp + tt + c2))


def test_a_perfect_image():
    _, target = in_torch(*images(5, 0))
    known = torch.ones_like(target, dtype=torch.bool)
    assert (psnr(target, target, known) == math.inf).all()
    torch.testing.assert_close(ssim(target, target, known), torch.ones(2, dtype=torch.float64))


def test_nothing_is_said_of_constant_or_unknown_bands():
    _, target = in_torch(*images(5, 0))
    known = torch.ones_like(target, dtype=torch.bool)
    target[:, 0] = 1.0
    known[:, 1] = False
    for f in (psnr, ssim):
        assert f(target + 0.1, target, known).isnan().all()
