"""A scikit-learn estimator as a torch module: fitted again from the examples that a file holds."""

import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from sklearn.base import clone, is_classifier, is_outlier_detector
from threadpoolctl import ThreadpoolController
from torch import nn

from xgeoanom.conventions import DEPOSIT
from xgeoanom.errors import LabelError, XGeoAnomError

BATCH = 65_536  # cells scored at once; some estimators need memory for each pair with an example
# libsvm and liblinear share one random state among all threads of a process; and what takes
# n_jobs sets and resets the warnings of the process around each of its own tasks.
_ALONE = threading.RLock()


class FittedEstimator(nn.Module):
    """An estimator and the examples that it learned from, which are all that is saved."""

    examples: torch.Tensor
    labels: torch.Tensor
    random_state: torch.Tensor

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self.estimator = clone(estimator)

    def learn(self, cells: np.ndarray, labels: np.ndarray, random_state: int) -> None:
        """Keep ``cells`` (cell, column) and ``labels``, and fit the estimator to them."""
        self.register_buffer("examples", torch.from_numpy(np.ascontiguousarray(cells)))
        self.register_buffer("labels", torch.from_numpy(labels.astype("int8")))
        self.register_buffer("random_state", torch.tensor(random_state))
        self.refit()

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Take the examples from a file and fit the estimator to them again."""
        keys = super().load_state_dict(*args, **kwargs)
        self.refit()
        return keys

    def refit(self) -> None:
        """Fit the estimator; the same examples and random state give the same fit."""
        cells = self.examples.cpu().numpy().astype("float64")
        labels = self.labels.cpu().numpy()
        seed_all(self.estimator, int(self.random_state))
        try:
            with _ALONE, one_openmp_thread():
                self.estimator.fit(cells, labels if is_classifier(self.estimator) else None)
            raw = self._raw(cells)  # an estimator that cannot score says so now
        except ValueError as error:
            n = int((labels == DEPOSIT).sum())
            raise LabelError(
                f"estimator={self.estimator!r} cannot learn from {len(cells)} cells, {n} of them "
                f"of deposits: {error}; label more cells or change its parameters"
            ) from error
        self.mean, self.spread = float(raw.mean()), float(raw.std()) or 1.0

    def score(self, cells: np.ndarray) -> np.ndarray:
        """Return scores in [0, 1] of ``cells`` (cell, column)."""
        if len(cells) == 0:
            return np.empty(0)
        parts = np.array_split(cells, -(-len(cells) // BATCH))
        with _alone(self.estimator), one_openmp_thread():
            raw = np.concatenate([self._raw(part.astype("float64")) for part in parts])
        if is_outlier_detector(self.estimator):
            return 0.5 + np.arctan((raw - self.mean) / self.spread) / np.pi
        if hasattr(self.estimator, "predict_proba"):
            return raw
        return expit(raw)

    def _raw(self, cells: np.ndarray) -> np.ndarray:
        """Return what the estimator says of ``cells``: larger is more anomalous."""
        if is_outlier_detector(self.estimator):
            if hasattr(self.estimator, "decision_function"):
                return -self.estimator.decision_function(cells)
            return -self.estimator.score_samples(cells)
        if hasattr(self.estimator, "predict_proba"):
            column = list(self.estimator.classes_).index(DEPOSIT)
            return self.estimator.predict_proba(cells)[:, column]
        return self.estimator.decision_function(cells)


def _alone(estimator: Any) -> AbstractContextManager[Any]:
    """Let an estimator with workers of its own score one block at a time."""
    takes_jobs = any(name.split("__")[-1] == "n_jobs" for name in estimator.get_params())
    return _ALONE if takes_jobs else nullcontext()


def one_openmp_thread() -> AbstractContextManager[Any]:
    """Keep an estimator off the other threads, which score other blocks: two pools stall."""
    return _openmp().limit(limits=1, user_api="openmp")


@cache  # finding the libraries takes longer than many a fit
def _openmp() -> ThreadpoolController:
    return ThreadpoolController()


def seed_all(estimator: Any, seed: int) -> None:
    """Set every ``random_state`` in ``estimator``, those of nested ones too."""
    rng = np.random.default_rng(seed)
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    estimator.set_params(**{name: int(rng.integers(2**31)) for name in sorted(names)})


def check_estimator(estimator: Any) -> None:
    """Raise unless ``estimator`` is a classifier or an outlier detector that scores new cells."""
    wanted = "a classifier or outlier detector of scikit-learn, such as RandomForestClassifier()"
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        raise XGeoAnomError(f"estimator={estimator!r} is no estimator; give {wanted}")
    if not (is_classifier(estimator) or is_outlier_detector(estimator)):
        raise XGeoAnomError(f"estimator={estimator!r} is of another kind; give {wanted}")
    if getattr(estimator, "novelty", True) is False:
        raise XGeoAnomError(f"estimator={estimator!r} scores no new cells; give it novelty=True")
