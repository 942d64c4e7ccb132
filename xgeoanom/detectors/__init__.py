"""Trained systems behind one protocol: one file per system."""

from xgeoanom.detectors.base import Detector
from xgeoanom.detectors.detect import detect, load_detector, predict
from xgeoanom.detectors.ppf_cnn import PPFCNN, ppf_cnn

__all__ = ["PPFCNN", "Detector", "detect", "load_detector", "ppf_cnn", "predict"]
