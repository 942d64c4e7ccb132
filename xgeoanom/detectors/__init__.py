"""Trained systems behind one protocol: one file per system."""

from xgeoanom.detectors.attribution_maps import attribution_maps, attribution_summary
from xgeoanom.detectors.autoencoder import (
    Autoencoder,
    ConvAutoencoder,
    autoencoder,
    conv_autoencoder,
)
from xgeoanom.detectors.base import Detector
from xgeoanom.detectors.branch_maps import branch_contributions, superpixel_importance
from xgeoanom.detectors.detect import detect, load_detector, predict
from xgeoanom.detectors.gk_dcn import GKDCN, gk_dcn
from xgeoanom.detectors.masked_autoencoder import MaskedAutoencoder, masked_autoencoder
from xgeoanom.detectors.mim import MIM, mim
from xgeoanom.detectors.offsets import offsets_at
from xgeoanom.detectors.patch_maps import cam_at, grad_cam_at, randomised
from xgeoanom.detectors.ppf_cnn import PPFCNN, ppf_cnn
from xgeoanom.detectors.reconstructions import band_table, reconstructions
from xgeoanom.detectors.region_graph import graph_distance, region_adjacency
from xgeoanom.detectors.sgcn import SGCN, sgcn
from xgeoanom.detectors.sklearn_detector import SklearnDetector, baselines, sklearn_score
from xgeoanom.detectors.skt import SKT, skt
from xgeoanom.detectors.superpixels import superpixels
from xgeoanom.detectors.target_maps import element_mask, kept_kernels, target_cam
from xgeoanom.detectors.weighted_elements import WeightedElements

__all__ = [
    "GKDCN",
    "MIM",
    "PPFCNN",
    "SGCN",
    "SKT",
    "Autoencoder",
    "ConvAutoencoder",
    "Detector",
    "MaskedAutoencoder",
    "SklearnDetector",
    "WeightedElements",
    "attribution_maps",
    "attribution_summary",
    "autoencoder",
    "band_table",
    "baselines",
    "branch_contributions",
    "cam_at",
    "conv_autoencoder",
    "detect",
    "element_mask",
    "gk_dcn",
    "grad_cam_at",
    "graph_distance",
    "kept_kernels",
    "load_detector",
    "masked_autoencoder",
    "mim",
    "offsets_at",
    "ppf_cnn",
    "predict",
    "randomised",
    "reconstructions",
    "region_adjacency",
    "sgcn",
    "sklearn_score",
    "skt",
    "superpixel_importance",
    "superpixels",
    "target_cam",
]
