"""Autoencoders: a cell is anomalous where a network that learnt usual ground fails to rebuild it.

The reconstruction error of an autoencoder as a geochemical anomaly score is the idea of Xiong and
Zuo 2016, Computers & Geosciences 86, 75: samples of small probability add little to what the
network learns and are rebuilt badly. Their network and its pretraining are not followed: layers,
optimiser, trimming of the losses and scaling of the score are ours.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from xgeoanom.blocks import Footprint
from xgeoanom.detectors.base import Detector, Explanation
from xgeoanom.detectors.detect import detect
from xgeoanom.detectors.explain import shares_of_squares
from xgeoanom.detectors.training import train
from xgeoanom.detectors.training_set import usual_ground
from xgeoanom.errors import CubeError, LabelError, WindowError, XGeoAnomError
from xgeoanom.nets.autoencoder import (
    DenseAutoencoder,
    WindowAutoencoder,
    trimmed_mean,
    window_errors,
)

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr


@dataclass(kw_only=True)
class _Rebuilder(Detector):
    """What both autoencoders share: how they are trained and what their errors say."""

    code: int | None = None  # ours: a quarter of the elements
    trim: float = 0.05  # ours; METHODS 6
    epochs: int = 30  # ours
    batch_size: int = 256  # ours
    learning_rate: float = 2e-3  # ours, of Adam
    most: int = 50_000  # ours
    draws: int = 1  # ours: no background is drawn

    supervised: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for field in ("draws", "epochs", "batch_size", "most"):
            _check_count(field, getattr(self, field))
        if self.code is not None:
            _check_count("code", self.code)
        if not 0 < self.learning_rate < float("inf"):
            raise XGeoAnomError(f"learning_rate={self.learning_rate} must be positive; try 0.002")
        if not 0 <= self.trim < 1:
            raise XGeoAnomError(f"trim={self.trim} must lie in [0, 1); try 0.05")

    def _code_of(self, n_elements: int) -> int:
        """Return the size of the code, which must not hold a whole cell."""
        code = max(n_elements // 4, 1) if self.code is None else self.code
        if code >= n_elements:
            raise CubeError(
                f"code={code} must be smaller than the cube's {n_elements} elements, or cells are "
                f"merely copied; try code={max(n_elements // 4, 1)} or give more elements"
            )
        return code

    def draw(self, cube: Any, labels: Any, evidence: Any, rng: np.random.Generator) -> Any:
        """Return the windows around cells of usual ground."""
        code = self._code_of(cube.sizes["element"])
        halo = self.footprint.halo
        examples = usual_ground(
            cube, labels, self.valid_, self.standardise, halo=halo, most=self.most, rng=rng
        )
        if (n := examples.sizes["example"]) <= code:
            raise LabelError(
                f"labels leave {n} cells without missing values to learn from, code={code} needs "
                "more; fill missing values or label fewer cells 1"
            )
        return examples

    def learn(self, network: nn.Module, examples: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Train on the errors of each batch less the largest, since anomalies are among them."""
        windows = examples["values"].values
        where = next(network.parameters()).device
        values = torch.from_numpy(np.nan_to_num(windows)).to(where)
        known = torch.from_numpy(~np.isnan(windows)).to(where)

        def loss_of(batch: Tensor) -> Tensor:
            batch = batch.to(where)
            errors = window_errors(network(values[batch]), values[batch], known[batch])
            return trimmed_mean(errors, self.trim)

        losses = train(
            network,
            loss_of,
            len(windows),
            optimizer=torch.optim.Adam(network.parameters(), lr=self.learning_rate),
            epochs=self.epochs,
            batch_size=self.batch_size,
            rng=rng,
            stop=self._stop,
        )
        network.get_buffer("usual_error").fill_(self._usual_error(network, windows))
        return {"loss": losses}

    def _usual_error(self, network: nn.Module, windows: np.ndarray) -> float:
        """Return the median error of the training cells, above 0."""
        parts = range(0, len(windows), self.batch_size)
        residuals = [self._residuals(network, windows[k : k + self.batch_size]) for k in parts]
        errors = np.square(np.concatenate(residuals)).sum(axis=1)
        return max(float(np.median(errors)), float(np.finfo("float32").tiny))

    @torch.inference_mode()
    def _residuals(self, network: Any, blocks: np.ndarray) -> np.ndarray:
        """Return ``x - x̂`` of all cells of ``(n, element, y, x)`` but the halo; NaN stays NaN."""
        halo = self.footprint.halo
        rows, cols = (slice(halo, size - halo) for size in blocks.shape[2:])
        where = next(network.parameters()).device
        rebuilt = network.rebuild(torch.from_numpy(np.nan_to_num(blocks)).to(where))
        return blocks[:, :, rows, cols] - rebuilt.cpu().numpy()

    def score_block(
        self, network: nn.Module, block: np.ndarray, evidence: Any, context: Any
    ) -> np.ndarray:
        """Return error / (error + usual error) ``(y, x)``: one half where a cell is as usual."""
        error = np.square(self._residuals(network, block[None])[0]).sum(axis=0, dtype="float64")
        return error / (error + float(network.get_buffer("usual_error")))

    def reconstruction_error(self, network: nn.Module, patches: np.ndarray) -> np.ndarray:
        """Share of each element in the squared error, ``(location, element)``, summing to 1."""
        return shares_of_squares(self.residual(network, patches))

    def residual(self, network: nn.Module, patches: np.ndarray) -> np.ndarray:
        """Return what is not rebuilt, in standard deviations; above 0 is more than expected."""
        return self._residuals(network, patches)[:, :, 0, 0]

    explanations: ClassVar[dict[str, Explanation]] = {
        "reconstruction_error": reconstruction_error,
        "residual": residual,
    }


@dataclass(kw_only=True)
class Autoencoder(_Rebuilder):
    """Dense autoencoder: how badly a cell's elements are rebuilt from a code of few numbers.

    It learns from all valid cells but those labelled 1, or from those labelled 0. The score is
    e / (e + m): e the squared error ``||x - x̂||²`` of a cell, in standard deviations, and m its
    median over the training cells.

    Parameters
    ----------
    code : int or None
        Numbers that a cell passes through, fewer than elements; by default a quarter of them.
    hidden : tuple of int
        Units of the layers before the code, mirrored behind it; ``()`` is a linear autoencoder.
    trim : float
        Share of each batch, that of the largest errors, from which the network does not learn.
    epochs, batch_size, learning_rate
        Of Adam.
    most : int
        Cells to learn from; of more, so many at random.

    Examples
    --------
    >>> Autoencoder(code=4, hidden=(32,)).footprint
    Footprint(halo=0, step=1)
    """

    hidden: tuple[int, ...] = (64,)  # ours: wider than most suites of elements

    name: ClassVar[str] = "autoencoder"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.hidden, tuple):
            raise XGeoAnomError(f"hidden={self.hidden!r} must be a tuple of integers, e.g. (64,)")
        for units in self.hidden:
            _check_count("hidden", units)

    @property
    def footprint(self) -> Footprint:
        """The cell alone."""
        return Footprint(halo=0)

    def build(self, n_elements: int) -> nn.Module:
        """Return the untrained network."""
        return DenseAutoencoder(n_elements, self.hidden, self._code_of(n_elements))


@dataclass(kw_only=True)
class ConvAutoencoder(_Rebuilder):
    """Convolutional autoencoder: how badly the centre of a window is rebuilt from its code.

    It learns to rebuild whole windows around the cells that :class:`Autoencoder` learns from, and
    is scored like it, by the error at the centre. Since all of the window must pass through a code
    of fewer numbers than one cell has, the centre cannot be copied. Missing neighbours enter as 0,
    the mean, and do not count as errors.

    Parameters
    ----------
    window : int
        In cells; odd, at least 3.
    code : int or None
        Numbers that a window passes through, fewer than elements; by default a quarter of them.
    channels : int
        Of the convolutions.
    trim : float
        Share of each batch, that of the largest errors, from which the network does not learn.
    epochs, batch_size, learning_rate
        Of Adam.
    most : int
        Windows to learn from; of more, so many at random.

    Examples
    --------
    >>> ConvAutoencoder(window=9).footprint
    Footprint(halo=4, step=1)
    """

    window: int = 9  # ours
    channels: int = 32  # ours
    epochs: int = 20  # ours
    batch_size: int = 128  # ours
    most: int = 5000  # ours: windows overlap, and each costs what 80 cells cost

    name: ClassVar[str] = "conv_autoencoder"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_count("channels", self.channels)
        if not isinstance(self.window, int) or self.window < 3 or self.window % 2 == 0:
            raise WindowError(f"window={self.window!r} must be odd and at least 3 cells; try 9")

    @property
    def footprint(self) -> Footprint:
        """Half the window."""
        return Footprint(halo=self.window // 2)

    def build(self, n_elements: int) -> nn.Module:
        """Return the untrained network."""
        code = self._code_of(n_elements)
        return WindowAutoencoder(n_elements, self.window, self.channels, code)


def _check_count(field: str, number: Any) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise XGeoAnomError(f"{field}={number!r} must be an integer of at least 1")


def autoencoder(
    ds: "xr.Dataset",
    labels: "Hashable | xr.DataArray | None" = None,
    *,
    code: int | None = None,
    name: str = "autoencoder",
    **params: Any,
) -> "xr.Dataset":
    """Fit a dense autoencoder and add its score to ``ds``.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube, ``(element, y, x)``, log-ratioed.
    labels : str or xarray.DataArray, optional
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled. It learns from the
        0 cells or, without any, from all cells but those of deposits.
    code : int, optional
        Numbers that a cell passes through, fewer than elements; by default a quarter of them.
    name : str
        Of the new variable.
    **params
        Other fields of :class:`~xgeoanom.detectors.Autoencoder`: ``hidden``, ``trim``, ``seed``,
        ...

    Returns
    -------
    xarray.Dataset
        ``ds`` with ``<name>``, float32 in [0, 1]; one half is a usual reconstruction error.

    Raises
    ------
    XGeoAnomError
        One of its kinds, before training: a wrong number, cube, grid, CRS or label.

    References
    ----------
    After Xiong and Zuo 2016, Computers & Geosciences 86, 75; the network and its robust training
    are ours.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> out = autoencoder(ds, epochs=1, seed=0)
    >>> out["autoencoder"].dims
    ('y', 'x')
    """
    return detect(ds, Autoencoder(code=code, **params), labels, name=name)


def conv_autoencoder(
    ds: "xr.Dataset",
    labels: "Hashable | xr.DataArray | None" = None,
    *,
    window: int = 9,
    name: str = "conv_autoencoder",
    **params: Any,
) -> "xr.Dataset":
    """Fit a convolutional autoencoder and add its score to ``ds``.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube, ``(element, y, x)``, log-ratioed.
    labels : str or xarray.DataArray, optional
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled. It learns from
        windows around the 0 cells or, without any, around all cells but those of deposits.
    window : int
        In cells; odd, at least 3.
    name : str
        Of the new variable.
    **params
        Other fields of :class:`~xgeoanom.detectors.ConvAutoencoder`: ``code``, ``trim``,
        ``seed``, ...

    Returns
    -------
    xarray.Dataset
        ``ds`` with ``<name>``, float32 in [0, 1]; one half is a usual reconstruction error.

    Raises
    ------
    XGeoAnomError
        One of its kinds, before training: a wrong window, number, cube, grid, CRS or label.

    References
    ----------
    After Xiong and Zuo 2016, Computers & Geosciences 86, 75; the convolutional network and its
    robust training are ours.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> out = conv_autoencoder(ds, window=5, epochs=1, seed=0)
    >>> out["conv_autoencoder"].dims
    ('y', 'x')
    """
    return detect(ds, ConvAutoencoder(window=window, **params), labels, name=name)
