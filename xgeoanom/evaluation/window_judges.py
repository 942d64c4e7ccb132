"""Who judges windows: the networks of SKT, and four methods of scikit-learn."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from xgeoanom.conventions import DEPOSIT
from xgeoanom.detectors.skt import SKT
from xgeoanom.detectors.training_set import copies_of
from xgeoanom.evaluation.window_sides import Side
from xgeoanom.seeding import streams

SINGLE = "ResNet-18"


@dataclass(frozen=True)
class Verdicts:
    """What judges say of windows: ``flagged`` and ``score`` are ``(judge, window)``.

    Judges of the same name are repetitions of one.
    """

    names: list[str]
    flagged: np.ndarray
    score: np.ndarray


def network_verdicts(name: str, singles: list[str], probability: np.ndarray) -> Verdicts:
    """Return what several networks say together, by majority and mean, and each alone.

    ``probability`` is ``(network, window)``; ``singles`` names the networks, or is empty where
    they do not count alone.
    """
    flagged = probability > 0.5
    together = flagged.mean(axis=0) > 0.5, probability.mean(axis=0)
    n = len(singles)
    return Verdicts(
        names=[name, *singles],
        flagged=np.stack([together[0], *flagged[:n]]),
        score=np.stack([together[1], *probability[:n]]),
    )


def with_copies(
    values: np.ndarray,
    label: np.ndarray,
    copies: tuple[int, ...],
    noise: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return windows with their copies, all but the first of each noisy, and whose they are."""
    index, noisy = copies_of(label, copies)
    copied = values[index]
    shape = (int(noisy.sum()), *values.shape[1:])
    copied[noisy] += noise * rng.standard_normal(shape, dtype="float32")
    return copied, index


class Classical:
    """The four methods of scikit-learn, with its defaults, on the windows SKT trains on.

    Parameters
    ----------
    fitted : SKT
        Says which windows these are, and how to standardise them.
    cube : DataArray
        What it was fitted on.
    side : Side
        Its labels and ground.
    """

    def __init__(self, fitted: SKT, cube: xr.DataArray, side: Side) -> None:
        # The detector's own first stream: the background that it drew.
        rng = streams(fitted.seed_, 1)[0]
        windows = fitted.training_windows(cube, side.labels, side.ground, rng)
        label = windows["label"].values
        values, index = with_copies(
            windows["values"].values, label, fitted.copies, fitted.noise, rng
        )
        self.crop = fitted.crop
        chance = {"random_state": fitted.seed_}
        self.methods: dict[str, ClassifierMixin] = {
            "SVM": SVC(),
            "kNN": KNeighborsClassifier(n_neighbors=min(5, index.size)),
            "random forest": RandomForestClassifier(**chance),
            "decision tree": DecisionTreeClassifier(**chance),
        }
        for method in self.methods.values():
            method.fit(self._flat(values), label[index] == DEPOSIT)

    def verdicts(self, values: np.ndarray) -> Verdicts:
        """Return what they say of windows ``(window, element, size, size)``."""
        flat = self._flat(values)
        return Verdicts(
            names=list(self.methods),
            flagged=np.stack([method.predict(flat) for method in self.methods.values()]),
            score=np.stack([_score(method, flat) for method in self.methods.values()]),
        )

    def _flat(self, values: np.ndarray) -> np.ndarray:
        """Return the middles of windows, flattened; what is missing is the mean."""
        first = (values.shape[-1] - self.crop) // 2
        middle = slice(first, first + self.crop)
        return np.nan_to_num(values[..., middle, middle]).reshape(len(values), -1)


def _score(method: ClassifierMixin, flat: np.ndarray) -> np.ndarray:
    if isinstance(method, SVC):
        return method.decision_function(flat)
    return method.predict_proba(flat)[:, 1]
