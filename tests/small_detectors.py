"""Every system at its smallest, for the protocol's tests. A new system adds one line."""

import numpy as np
from sklearn.ensemble import IsolationForest, RandomForestClassifier

from xgeoanom.detectors import PPFCNN
from xgeoanom.detectors.autoencoder import Autoencoder, ConvAutoencoder
from xgeoanom.detectors.gk_dcn import GKDCN
from xgeoanom.detectors.masked_autoencoder import MaskedAutoencoder
from xgeoanom.detectors.mim import MIM
from xgeoanom.detectors.sgcn import SGCN
from xgeoanom.detectors.sklearn_detector import SklearnDetector
from xgeoanom.detectors.skt import SKT
from xgeoanom.detectors.weighted_elements import WeightedElements


class GuidedByAnyFault(GKDCN):
    """GK-DCN that brings its evidence along: weights that fall off from a corner."""

    def fit(self, cube, labels=None, *, evidence=None):
        y, x = (cube[dim] - cube[dim].min() for dim in ("y", "x"))
        weight = np.exp(-(2 * y + x) / 10_000).rio.write_crs(cube.rio.crs)
        return super().fit(cube, labels, evidence=weight.to_dataset(name="fault_weight"))


SMALL_PATCHES = {
    "window": 5,
    "min_distance": 1500.0,
    "epochs": 1,
    "batch_size": 16,
    "learning_rate": 0.01,  # else one epoch leaves all scores near one half
    "draws": 2,
    "seed": 0,
}

SMALL_WINDOWS = {
    "width": 8,
    "depth": 1,
    "heads": 2,
    "decoder_width": 8,
    "decoder_depth": 1,
    "decoder_heads": 2,
    "epochs": 1,
    "draws": 2,
    "seed": 0,
}

DETECTORS = {
    "ppf_cnn": lambda **params: PPFCNN(
        **{"inner": 3, "outer": 7, "draws": 2, "epochs": 1, "seed": 0, **params}
    ),
    "ppf_cnn prototype": lambda **params: PPFCNN(
        **{"score": "prototype", "draws": 2, "epochs": 1, "seed": 0, **params}
    ),
    "autoencoder": lambda **params: Autoencoder(**{"draws": 2, "epochs": 1, "seed": 0, **params}),
    "conv_autoencoder": lambda **params: ConvAutoencoder(
        **{"window": 5, "draws": 2, "epochs": 1, "seed": 0, **params}
    ),
    "sklearn classifier": lambda **params: SklearnDetector(
        **{"estimator": RandomForestClassifier(9), "window": 3, "draws": 2, "seed": 0, **params}
    ),
    "sklearn outliers": lambda **params: SklearnDetector(
        **{
            "estimator": IsolationForest(n_estimators=9),
            "window": 5,
            "draws": 2,
            "seed": 0,
            **params,
        }
    ),
    "cnn": lambda **params: GKDCN(
        **{
            **SMALL_PATCHES,
            "deformable": False,
            "knowledge": 0,
            "background": "anywhere",
            **params,
        }
    ),
    "gk_dcn": lambda **params: GuidedByAnyFault(**{**SMALL_PATCHES, **params}),
    "gk_dcn unlabelled": lambda **params: GuidedByAnyFault(
        **{**SMALL_PATCHES, "window": 3, "constraint": "unlabelled", **params}
    ),
    "sgcn": lambda **params: SGCN(
        **{
            "size": 16,
            "min_size": 4,
            "epochs": 2,
            "learning_rate": 0.01,
            "draws": 2,
            "seed": 0,
            **params,
        }
    ),
    "skt": lambda **params: SKT(
        **{
            "window": 8,
            "step": 4,
            "crop": 6,
            "dilations": (0, 1),
            "width": 2,
            "epochs": 2,
            "source_epochs": 1,
            "batch_size": 16,
            "draws": 2,
            "seed": 0,
            **params,
        }
    ),
    "weighted_elements": lambda **params: WeightedElements(
        **{"least_contrast": 0.5, "most": 150, "draws": 2, "seed": 0, **params}
    ),
    "masked_autoencoder": lambda **params: MaskedAutoencoder(**{**SMALL_WINDOWS, **params}),
    "mim": lambda **params: MIM(**{**SMALL_WINDOWS, "head_epochs": 2, "passes": 3, **params}),
}
