"""Trained systems behind one protocol: one file per system."""

from xgeoanom.detectors.autoencoder import (
    Autoencoder,
    ConvAutoencoder,
    autoencoder,
    conv_autoencoder,
)
from xgeoanom.detectors.base import Detector
from xgeoanom.detectors.detect import detect, load_detector, predict
from xgeoanom.detectors.ppf_cnn import PPFCNN, ppf_cnn
from xgeoanom.detectors.sklearn_detector import SklearnDetector, baselines, sklearn_score
from xgeoanom.detectors.weighted_elements import WeightedElements

__all__ = [
    "PPFCNN",
    "Autoencoder",
    "ConvAutoencoder",
    "Detector",
    "SklearnDetector",
    "WeightedElements",
    "autoencoder",
    "baselines",
    "conv_autoencoder",
    "detect",
    "load_detector",
    "ppf_cnn",
    "predict",
    "sklearn_score",
]
