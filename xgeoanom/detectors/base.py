"""The protocol that every detector follows: fit, predict, explain, save and load."""

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from torch import nn

from xgeoanom.blocks import Footprint, map_halo, run_all
from xgeoanom.conventions import (
    BACKGROUND,
    DEPOSIT,
    ELEMENT,
    UNLABELLED,
    X,
    Y,
    check_cube,
    cube_of,
    identity_of,
    north_up,
    provenance,
    raster_on,
)
from xgeoanom.detectors import model_file
from xgeoanom.detectors.explain import explain_at, patches_around
from xgeoanom.detectors.training import seeded
from xgeoanom.detectors.training_set import evidence_on, examples_of, scaling_of
from xgeoanom.errors import CubeError, LabelError, NotFittedError, WindowError
from xgeoanom.geology.labels import check_labels, draw_background
from xgeoanom.nets import device
from xgeoanom.seeding import Seed, resolve, streams

Explanation = Callable[[Any, nn.Module, Any], np.ndarray]


@dataclass(kw_only=True)
class Detector(ABC):
    """Base of all detectors: keyword-only hyperparameters in, fitted state in ``name_``.

    A system supplies :attr:`footprint`, :meth:`build`, :meth:`learn` and :meth:`score_block`, and
    may replace :meth:`draw`, :meth:`derive`, :meth:`prepare` and :meth:`around`. Everything public
    is written once, here.

    Parameters
    ----------
    draws : int
        Background draws where labels have no background of their own; each trains one network.
    seed : int, numpy.random.Generator or None
        Where all randomness comes from; what was used is kept in ``seed_``.
    device : str or None
        Torch device; by default the GPU where there is one.

    Examples
    --------
    A detector that learns nothing and scores a cell by its first element:

    >>> class FirstElement(Detector):
    ...     name = "first"
    ...     footprint = Footprint(halo=0)
    ...     def build(self, n_elements): return nn.Identity()
    ...     def learn(self, network, examples, rng): return {}
    ...     def score_block(self, network, block, evidence, context):
    ...         return 1 / (1 + np.exp(-block[0]))
    >>> FirstElement(draws=1).draws
    1
    """

    draws: int = 10
    seed: Seed = None
    device: str | None = None

    name: ClassVar[str]
    supervised: ClassVar[bool] = True  # False: learns what is usual, and needs no deposit
    needs: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[dict[str, str]] = {}  # layers beside the score, and their long names
    scaling: ClassVar[tuple[str, ...]] = ("mean", "scale")  # arrays that standardising needs
    reads_unlabelled: ClassVar[bool] = False  # True: ground without a label is background to it
    explanations: ClassVar[dict[str, Explanation]] = {}

    @property
    @abstractmethod
    def footprint(self) -> Footprint:
        """How far a score looks, in cells."""

    @abstractmethod
    def build(self, n_elements: int) -> nn.Module:
        """Return an untrained network for cubes of ``n_elements``."""

    @abstractmethod
    def learn(
        self, network: nn.Module, examples: xr.Dataset, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Train ``network`` in place on ``examples``; return its history."""

    @abstractmethod
    def score_block(
        self, network: nn.Module, block: np.ndarray, rasters: dict[str, np.ndarray], context: Any
    ) -> np.ndarray:
        """Return scores in [0, 1] over ``block`` without its halo, and after them ``extra``.

        ``block`` is ``(element, y, x)``, standardised float32, NaN where missing or outside.
        """

    def score_all(
        self, block: np.ndarray, rasters: dict[str, np.ndarray], context: Any, where: Any
    ) -> list[np.ndarray]:
        """Return :meth:`score_block` of each network, run on the device ``where``."""
        scores = []
        for network in self.networks_:
            scores.append(self.score_block(network.to(where), block, rasters, context))
            network.cpu()  # where everything else expects it
        return scores

    @property
    def scores_with(self) -> tuple[str, ...]:
        """What of ``needs`` a score reads; less than all where only training needs evidence."""
        return self.needs

    def draw(
        self,
        cube: xr.DataArray,
        labels: xr.DataArray,
        evidence: dict[str, xr.DataArray],
        rng: np.random.Generator,
    ) -> xr.Dataset:
        """Return one draw of examples: the labelled cells, with a drawn background if none."""
        labels = self.with_background(labels, rng)
        halo = self.footprint.halo
        return examples_of(cube, labels, self.standardise, halo=halo, evidence=evidence)

    def around(self, cube: xr.DataArray, rows: np.ndarray, cols: np.ndarray) -> Any:
        """Return what explanations of some cells start from: their standardised patches."""
        return patches_around(self, cube, rows, cols)

    def with_background(self, labels: xr.DataArray, rng: np.random.Generator) -> xr.DataArray:
        """Return ``labels`` with as many random background cells as deposit cells, if none."""
        if (labels == BACKGROUND).any():
            return labels
        return draw_background(labels, exclude=~self.valid_, seed=rng)

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Scale ``(..., element, y, x)`` to float32 of zero mean and unit spread; keep NaN."""
        mean, scale = self.mean_[:, None, None], self.scale_[:, None, None]
        return ((values - mean) / scale).astype("float32")

    def derive(self, cube: xr.DataArray) -> dict[str, xr.DataArray]:
        """Return rasters of the whole survey to learn and score with; most systems need none."""
        return {}

    def prepare(self, cube: xr.DataArray, rasters: dict[str, xr.DataArray]) -> Any:
        """Return what the networks make of the whole survey before they score it, if anything."""
        return None

    def fit(
        self,
        cube: xr.DataArray,
        labels: xr.DataArray | None = None,
        *,
        evidence: xr.Dataset | None = None,
    ) -> Self:
        """Learn from labelled cells; eager, but reads only what it needs of a lazy cube.

        Parameters
        ----------
        cube : xarray.DataArray
            ``(element, y, x)``. Scaling uses all valid cells and no label.
        labels : xarray.DataArray
            ``(y, x)``: 1 deposit, 0 background, -1 unlabelled. Without 0 cells the detector
            draws its own background, ``draws`` times; with them it uses exactly these, once.
            A detector that is not ``supervised`` needs none, and keeps off cells labelled 1.
        evidence : xarray.Dataset, optional
            Rasters named in ``needs``; no background is drawn where one is missing.

        Returns
        -------
        Detector
            Itself, fitted.

        Raises
        ------
        CubeError, GridError, CRSError, LabelError, WindowError, EvidenceError
            Before training starts.
        """
        device.choose(self.device)
        check_cube(cube := cube_of(cube))
        labels = self._checked(labels, cube)
        self._check_size(cube)
        rasters = evidence_on(cube, evidence, self.needs)
        turn = north_up(cube)
        cube, labels = cube.isel(turn), labels.isel(turn)
        rasters = {name: raster.isel(turn).compute() for name, raster in rasters.items()}
        self._remember(cube)
        labels = self._usable(labels.transpose(Y, X).load())
        for raster in rasters.values():
            self.valid_ &= raster.notnull().values
        n_draws = 1 if (labels == BACKGROUND).any() else self.draws
        self._run_draws(cube, labels, rasters | self.derive(cube), n_draws)
        return self

    def predict(self, cube: xr.DataArray, *, evidence: xr.Dataset | None = None) -> xr.Dataset:
        """Score every cell; lazy where the cube is.

        Parameters
        ----------
        cube : xarray.DataArray
            ``(element, y, x)`` with the elements, units and log-ratio of the fit.
        evidence : xarray.Dataset, optional
            Rasters named in ``scores_with``.

        Returns
        -------
        xarray.Dataset
            ``score`` float32 in [0, 1] (higher is more anomalous, NaN where missing) and, where
            several draws were trained, ``std``: their spread; then a system's own layers.

        Raises
        ------
        NotFittedError, CubeError, WindowError, EvidenceError
        """
        cube = cube_of(cube)
        self._check_fitted(cube)
        self._check_size(cube)
        rasters = evidence_on(cube, evidence, self.scores_with)
        turn = north_up(cube)
        cube = cube.isel(turn)
        rasters = {name: raster.isel(turn) for name, raster in rasters.items()} | self.derive(cube)
        spread = {"std": "spread of the score over draws"} if len(self.networks_) > 1 else {}
        names = {"score": "anomaly score", **spread, **self.extra}
        maps = map_halo(
            _score_block,
            cube.data,
            *(raster.data for raster in rasters.values()),
            footprint=self.footprint,
            shared=(self, list(rasters), self.prepare(cube, rasters)),
            layers=len(names),
        )
        attrs = self.provenance()
        return xr.Dataset(
            {
                layer: raster_on(
                    cube, maps[k], name=layer, long_name=f"{self.name} {names[layer]}", attrs=attrs
                )
                for k, layer in enumerate(names)
            }
        ).isel(turn)

    def explain(
        self, cube: xr.DataArray, at: Sequence[tuple[float, float]], *, how: str | None = None
    ) -> xr.DataArray:
        """Say which elements made the scores at some places.

        Parameters
        ----------
        cube : xarray.DataArray
            ``(element, y, x)`` as for :meth:`predict`.
        at : sequence of (x, y)
            Places in CRS units; each is moved to its cell's centre.
        how : str, optional
            A key of ``explanations``; the first one by default.

        Returns
        -------
        xarray.DataArray
            ``(location, element)``, the mean over draws.

        Raises
        ------
        NotFittedError, CubeError
        GridError
            If a place lies outside the survey or on a missing cell.
        """
        cube = cube_of(cube)
        self._check_fitted(cube)
        cube = cube.isel(north_up(cube))
        return explain_at(self, cube, at, how or next(iter(self.explanations)))

    def save(self, path: str | Path) -> None:
        """Write the fitted detector to one safetensors file; nothing is pickled.

        Raises
        ------
        NotFittedError
        """
        self._check_fitted()
        model_file.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None) -> Self:
        """Read a detector that :meth:`save` wrote.

        Raises
        ------
        ModelFileError
            If the file is missing, truncated, foreign, or holds another detector.
        """
        return model_file.load(cls, Path(path), device=device)

    def _remember(self, cube: xr.DataArray) -> None:
        """Keep what predict must find again, and scaling by the mean and spread of valid cells."""
        identity = identity_of(cube)
        self.elements_, self.units_ = identity["elements"], identity["units"]
        self.log_ratio_ = identity["log_ratio"]
        self.seed_ = resolve(self.seed)
        summary = scaling_of(cube)
        if self.log_ratio_ == "none":
            warnings.warn(
                "the cube holds concentrations, not log-ratios; take xga.clr(cube) first",
                stacklevel=4,
            )
        self.mean_ = summary["mean"].values.astype("float64")
        # A constant element tells nothing: it stays 0.
        self.scale_ = np.where(summary["scale"] > 0, summary["scale"], 1.0).astype("float64")
        self.valid_ = summary["valid"].transpose(Y, X)

    def _checked(self, labels: xr.DataArray | None, cube: xr.DataArray) -> xr.DataArray:
        """Return ``labels``, or a map without any for a detector that needs none."""
        if labels is not None:
            check_labels(labels, cube, deposits=self.supervised)
            return labels
        if self.supervised:
            raise LabelError(f"labels=None: {type(self).__name__} learns from deposits; give some")
        return xr.full_like(cube.isel({ELEMENT: 0}, drop=True), UNLABELLED, dtype="int8")

    def _usable(self, labels: xr.DataArray) -> xr.DataArray:
        """Drop labels on missing cells."""
        labels = labels.where(self.valid_.values, UNLABELLED).astype("int8")
        if self.supervised and not (labels == DEPOSIT).any():
            raise LabelError("labels: every deposit lies on cells with missing values")
        return labels

    def _run_draws(
        self, cube: xr.DataArray, labels: xr.DataArray, rasters: Any, n_draws: int
    ) -> None:
        tasks = []
        for rng in streams(self.seed_, n_draws):
            examples = self.draw(cube, labels, rasters, rng)
            with seeded(rng):
                tasks.append((self.build(len(self.elements_)), examples, rng))
        self._stop = threading.Event()
        try:
            self.history_ = run_all(self._learn_on_device, tasks)
        finally:
            self._stop.set()
            del self._stop
        self.networks_ = [network.cpu().eval() for network, *_ in tasks]
        del self.valid_

    def _learn_on_device(
        self, network: nn.Module, examples: xr.Dataset, rng: np.random.Generator
    ) -> dict[str, Any]:
        chosen = device.choose(self.device)
        with device.on(chosen):
            return self.learn(network.to(chosen), examples, rng)

    def provenance(self) -> dict[str, Any]:
        """Return attrs that say how a score came about."""
        return provenance(self.name, seed=self.seed_, **self.hyperparameters())

    def hyperparameters(self) -> dict[str, Any]:
        """Return what the detector was made with, but where it runs and its seed."""
        apart = ("seed", "device", "checkpoint")
        names = [field.name for field in fields(self) if field.name not in apart]
        return {name: getattr(self, name) for name in names}

    def _check_fitted(self, cube: xr.DataArray | None = None) -> None:
        if not hasattr(self, "networks_"):
            raise NotFittedError(f"{type(self).__name__} is not fitted; call fit or load first")
        if cube is None:
            return
        check_cube(cube)
        for what, given in identity_of(cube).items():
            if given != (ours := getattr(self, f"{what}_")):
                raise CubeError(f"{what}={given} of the cube differ from the fit's {ours}")

    def _check_size(self, cube: xr.DataArray) -> None:
        width = 2 * self.footprint.halo + 1
        if width > max(rows := cube.sizes[Y], cols := cube.sizes[X]):
            raise WindowError(
                f"a window of {width} cells is larger than the survey ({rows} x {cols} cells); "
                "choose a smaller one"
            )


def _score_block(block: np.ndarray, *rasters: Any) -> np.ndarray:
    """Score one block with every network: the mean, of several the spread, and extra layers."""
    *layers, (detector, names, context) = rasters
    named = dict(zip(names, layers, strict=True))
    block = detector.standardise(block)
    with device.on(chosen := device.choose(detector.device)):
        scores = detector.score_all(block, named, context, chosen)
    maps = np.reshape(scores, (len(scores), -1, *scores[0].shape[-2:]))
    score, extra = np.split(maps.mean(axis=0), [1])
    spread = maps[:, :1].std(axis=0)[: len(scores) - 1]
    return np.concatenate([score, spread, extra]).astype("float32")
