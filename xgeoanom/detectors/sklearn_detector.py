"""Any classifier or outlier detector of scikit-learn as a detector, on cells or their windows."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from xgeoanom.blocks import Footprint
from xgeoanom.conventions import BACKGROUND, DEPOSIT
from xgeoanom.detectors.base import Detector, Explanation
from xgeoanom.detectors.detect import detect
from xgeoanom.detectors.fitted_estimator import FittedEstimator, check_estimator
from xgeoanom.detectors.training_set import usual_ground
from xgeoanom.errors import WindowError, XGeoAnomError
from xgeoanom.kernels.window_moments import window_moments

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr


@dataclass(kw_only=True)
class SklearnDetector(Detector):
    """A classifier or outlier detector of scikit-learn, fitted to labelled or to usual cells.

    A classifier is ``supervised``: it tells deposit cells from background, and its score is the
    probability of a deposit or, without ``predict_proba``, the logistic of ``decision_function``.
    An outlier detector learns from the labelled background or, without any, from all cells but
    deposits; its score is ``1/2 + arctan(z) / pi``, with z how anomalous a cell is against mean
    and spread of the cells learned from. (A logistic of z would make all cells beyond 17 spreads
    equal in float32.) Neither is a calibrated probability.

    Parameters
    ----------
    estimator : scikit-learn classifier or outlier detector
        It is cloned, and every ``random_state`` in it comes from ``seed``. Elements are scaled to
        zero mean and unit spread over the survey before it sees them.
    window : int
        Window size in cells; odd. Above 1 the estimator sees each element's value at the cell,
        then its mean and then its standard deviation over the window, missing cells skipped.
    most : int
        Cells that an outlier detector learns from, at most; of more, so many at random.
    draws : int or None
        As in :class:`Detector`; by default 10, and 1 for an outlier detector.

    Notes
    -----
    A saved file holds the estimator's class and parameters and the examples; loading fits it
    again, so that scores are equal bit by bit where the version of scikit-learn is the same.

    Examples
    --------
    >>> from sklearn.ensemble import IsolationForest
    >>> detector = SklearnDetector(estimator=IsolationForest(), window=3)
    >>> detector.name, detector.supervised, detector.footprint
    ('isolation_forest', False, Footprint(halo=1, step=1))
    """

    estimator: Any
    window: int = 1
    most: int = 10_000
    draws: int | None = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        check_estimator(self.estimator)
        if self.draws is None:
            self.draws = 10 if self.supervised else 1
        for field in ("draws", "most"):
            if not isinstance(number := getattr(self, field), int) or number < 1:
                raise XGeoAnomError(f"{field}={number!r} must be an integer of at least 1")
        if not isinstance(self.window, int) or self.window < 1 or self.window % 2 == 0:
            raise WindowError(f"window={self.window!r} must be a positive odd integer; try 3")

    @property
    def name(self) -> str:  # type: ignore[override]
        """Class of the estimator, of a pipeline its last step's, in snake case."""
        last = self.estimator
        while isinstance(last, Pipeline):
            last = last.steps[-1][1]
        return re.sub(
            r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(last).__name__
        ).lower()

    @property
    def supervised(self) -> bool:  # type: ignore[override]
        """Whether the estimator is a classifier."""
        return bool(is_classifier(self.estimator))

    @property
    def footprint(self) -> Footprint:
        """Half the window."""
        return Footprint(halo=self.window // 2)

    def build(self, n_elements: int) -> nn.Module:
        """Return the estimator, unfitted, as a module that keeps its examples."""
        return FittedEstimator(self.estimator)

    def draw(self, cube: Any, labels: Any, evidence: Any, rng: np.random.Generator) -> Any:
        """Return labelled patches for a classifier, usual ones for an outlier detector."""
        if self.supervised:
            return super().draw(cube, labels, evidence, rng)
        return usual_ground(
            cube,
            labels,
            self.valid_,
            self.standardise,
            halo=self.footprint.halo,
            most=self.most,
            rng=rng,
        )

    def learn(self, network: nn.Module, examples: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Fit the estimator; history tells how many cells it learned from."""
        cells = window_values(examples["values"].values, self.window)[..., 0, 0]
        labels = np.full(len(cells), BACKGROUND)
        if self.supervised:
            labels = examples["label"].values
        network.learn(cells, labels, int(rng.integers(2**31)))  # type: ignore[operator]
        return {"n_cells": len(cells), "n_deposit_cells": int((labels == DEPOSIT).sum())}

    def score_block(
        self, network: nn.Module, block: np.ndarray, evidence: Any, context: Any
    ) -> np.ndarray:
        """Return the score ``(y, x)`` of each cell without NaN."""
        values = window_values(block, self.window)
        known = ~np.isnan(values).any(axis=0)
        score = np.full(known.shape, np.nan)
        score[known] = network.score(values[:, known].T)  # type: ignore[operator]
        return score

    def occlusion(self, network: nn.Module, patches: np.ndarray) -> np.ndarray:
        """Fall of the score where an element is at its survey mean, ``(location, element)``.

        Its mean over the window is then that mean too, and its deviation 0.
        """
        whole = self._score_patches(network, patches)
        falls = []
        for k in range(patches.shape[1]):
            occluded = patches.copy()
            occluded[:, k] = 0.0
            falls.append(whole - self._score_patches(network, occluded))
        return np.stack(falls, axis=1)

    explanations: ClassVar[dict[str, Explanation]] = {"occlusion": occlusion}

    def _score_patches(self, network: nn.Module, patches: np.ndarray) -> np.ndarray:
        cells = window_values(patches, self.window)[..., 0, 0]
        scores: np.ndarray = network.score(cells)  # type: ignore[operator]
        return scores


def window_values(values: np.ndarray, window: int) -> np.ndarray:
    """Return what an estimator sees: the elements, then their means and deviations over windows.

    ``values`` is ``(..., element, y, x)`` with a halo of half the window, which the result lacks.
    """
    half = window // 2
    inside = slice(half, values.shape[-2] - half), slice(half, values.shape[-1] - half)
    own = values[(..., *inside)]
    if window == 1:
        return own
    moments = [window_moments(values[..., k, :, :], window) for k in range(values.shape[-3])]
    means, deviations = (np.stack(one, axis=-3) for one in zip(*moments, strict=True))
    return np.concatenate([own, means, deviations], axis=-3).astype("float32")


def baselines(
    *, window: int = 1, draws: int = 10, seed: int | np.random.Generator | None = None
) -> dict[str, SklearnDetector]:
    """Return the supervised bars that any trained system must beat, by name.

    Parameters
    ----------
    window : int
        Window size in cells; odd. See :class:`SklearnDetector`.
    draws : int
        Background draws of each.
    seed : int, numpy.random.Generator or None
        The same for each.

    Returns
    -------
    dict of str to SklearnDetector
        ``logistic_regression``, ``svm``, ``knn``, ``decision_tree``, ``random_forest`` and
        ``hist_gradient_boosting``, unfitted; parameters suit some tens of labelled cells.

    Examples
    --------
    >>> baselines(seed=0)["knn"].supervised
    True
    """
    weight = {"class_weight": "balanced"}  # given backgrounds often outnumber deposits
    estimators = {
        # A stronger ridge than the default: there may be as many columns as cells.
        "logistic_regression": LogisticRegression(C=0.1, max_iter=1000, **weight),
        # The margin's logistic: Platt's needs folds, which some tens of cells in blocks lack.
        "svm": SVC(C=1.0, kernel="rbf", gamma="scale", **weight),
        # Weighted by distance, that five neighbours give more than six scores.
        "knn": KNeighborsClassifier(n_neighbors=5, weights="distance"),
        # No leaf may hold fewer than half of the 3 x 3 cells that one deposit labels.
        "decision_tree": DecisionTreeClassifier(min_samples_leaf=5, **weight),
        "random_forest": RandomForestClassifier(n_estimators=200, min_samples_leaf=2, **weight),
        # The default leaf of 20 cells would leave no split; few leaves and bins, as there is
        # little data. Bins of weighted cells take time, each as long as the next.
        "hist_gradient_boosting": HistGradientBoostingClassifier(
            max_iter=100,
            max_leaf_nodes=7,
            max_bins=32,
            min_samples_leaf=5,
            l2_regularization=1.0,
            early_stopping=False,
            **weight,
        ),
    }
    return {
        name: SklearnDetector(estimator=estimator, window=window, draws=draws, seed=seed)
        for name, estimator in estimators.items()
    }


def sklearn_score(
    ds: "xr.Dataset",
    labels: "Hashable | xr.DataArray | None",
    estimator: Any,
    *,
    window: int = 1,
    name: str | None = None,
    **params: Any,
) -> "xr.Dataset":
    """Fit an estimator of scikit-learn and add its score to ``ds``.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube, ``(element, y, x)``, log-ratioed.
    labels : str, xarray.DataArray or None
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled; an outlier
        detector needs none.
    estimator : scikit-learn classifier or outlier detector
        Unfitted; it is cloned.
    window : int
        Window size in cells; odd. See :class:`SklearnDetector`.
    name : str, optional
        Of the new variable; the estimator's class in snake case by default.
    **params
        Other fields of :class:`SklearnDetector`: ``draws``, ``most``, ``seed``.

    Returns
    -------
    xarray.Dataset
        ``ds`` with ``<name>``, float32 in [0, 1], and of several draws ``<name>_std``, its spread.

    Raises
    ------
    XGeoAnomError
        One of its kinds: a wrong estimator, window, cube, grid, CRS or label.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(32, 32), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> labels = xga.label_deposits(district.deposits, like=ds)
    >>> from sklearn.naive_bayes import GaussianNB
    >>> list(sklearn_score(ds, labels, GaussianNB(), window=3, seed=0))
    ['clr', 'gaussian_nb', 'gaussian_nb_std']
    """
    detector = SklearnDetector(estimator=estimator, window=window, **params)
    return detect(ds, detector, labels, name=name)
