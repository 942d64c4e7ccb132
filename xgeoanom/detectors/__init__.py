"""Trained systems behind one protocol: one file per system."""

from xgeoanom.detectors.autoencoder import (
    Autoencoder,
    ConvAutoencoder,
    autoencoder,
    conv_autoencoder,
)
from xgeoanom.detectors.base import Detector
from xgeoanom.detectors.detect import detect, load_detector, predict
from xgeoanom.detectors.gk_dcn import GKDCN, gk_dcn
from xgeoanom.detectors.offsets import offsets_at
from xgeoanom.detectors.patch_maps import cam_at, grad_cam_at, randomised
from xgeoanom.detectors.ppf_cnn import PPFCNN, ppf_cnn
from xgeoanom.detectors.sklearn_detector import SklearnDetector, baselines, sklearn_score
from xgeoanom.detectors.weighted_elements import WeightedElements

__all__ = [
    "GKDCN",
    "PPFCNN",
    "Autoencoder",
    "ConvAutoencoder",
    "Detector",
    "SklearnDetector",
    "WeightedElements",
    "autoencoder",
    "baselines",
    "cam_at",
    "conv_autoencoder",
    "detect",
    "gk_dcn",
    "grad_cam_at",
    "load_detector",
    "offsets_at",
    "ppf_cnn",
    "predict",
    "randomised",
    "sklearn_score",
]
