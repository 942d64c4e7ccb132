"""A masked autoencoder of a survey: what a place should look like, from its surroundings.

Daruna et al. 2024, "GFM4MPM: towards geospatial foundation models for mineral prospectivity
mapping", arXiv 2406.12756, pretraining. Sizes marked "released" are those of the configurations
that were released in June 2024; the text names few.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from xgeoanom.blocks import Footprint, gather
from xgeoanom.conventions import BINARY, DEPOSIT, kinds_of
from xgeoanom.detectors.base import Detector, Explanation
from xgeoanom.detectors.block_windows import BATCH, map_windows
from xgeoanom.detectors.checkpoint import Checkpoint, digest_of
from xgeoanom.detectors.detect import detect
from xgeoanom.detectors.pretraining import pretrain
from xgeoanom.detectors.settings import check_choice, check_number, check_path, check_whole
from xgeoanom.detectors.window_stream import WindowStream
from xgeoanom.errors import CubeError, LabelError, WindowError, XGeoAnomError
from xgeoanom.nets import mae

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr

MOST_SCALED = 100_000  # cells that mean, spread and quartiles come from
ENCODER_SIZES = ("window", "patch", "width", "depth", "heads")
DECODER_SIZES = ("decoder_width", "decoder_depth", "decoder_heads")
MOST_USUAL = 5000  # windows that the usual error comes from


logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class MaskedWindows(Detector):
    """Base of the detectors that learn from windows of which a part is hidden.

    It holds the sizes of the masked autoencoder, how that learns, and how bands are scaled.
    """

    window: int = 5  # released
    patch: int = 1  # released
    width: int = 64  # ours; released: 256
    depth: int = 3  # ours; released: 6
    heads: int = 4  # ours; released: 8
    decoder_width: int = 32  # ours; released: 128
    decoder_depth: int = 1  # ours; released: 2
    decoder_heads: int = 4  # released
    mask_ratio: float = 0.75  # released
    loss_on: str = "masked"  # ours, and He et al.; released: "all"
    fences: float | None = 3.0  # ours; the paper's 1.5 takes many anomalies away
    most: int = 100_000  # ours
    epochs: int = 10  # released: 10 to 30
    batch_size: int = 256  # ours; released: 1024
    learning_rate: float = 1e-3  # released
    checkpoint: str | None = None

    scaling: ClassVar[tuple[str, ...]] = ("mean", "scale", "lowest", "highest")

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Return the released settings, for which a GPU is wise."""
        settings = {"width": 256, "depth": 6, "heads": 8, "decoder_width": 128, "decoder_depth": 2}
        rest = {"loss_on": "all", "fences": 1.5, "batch_size": 1024, "epochs": 30}
        return cls(**{**settings, **rest, **changes})

    def __post_init__(self) -> None:
        whole = ("draws", "window", "patch", "width", "depth", "heads", "decoder_width")
        for field in (*whole, "decoder_depth", "decoder_heads", "most", "batch_size"):
            check_whole(field, getattr(self, field), 1)
        check_whole("epochs", self.epochs, self._least_epochs)
        check_choice("loss_on", self.loss_on, mae.LOSSES)
        check_number("mask_ratio", self.mask_ratio, 1)
        check_number("learning_rate", self.learning_rate, float("inf"))
        if self.fences is not None:
            check_number("fences", self.fences, float("inf"))
        if self.window < 3 or self.window % 2 == 0:
            raise WindowError(f"window={self.window} must be odd and at least 3 cells; try 5")
        check_path("checkpoint", self.checkpoint)
        with torch.device("meta"):  # no memory, no random numbers
            self.autoencoder(1)  # its sizes must fit each other
        mae.count_visible((self.window // self.patch) ** 2, self.mask_ratio)

    _least_epochs: ClassVar[int] = 1

    @property
    def footprint(self) -> Footprint:
        """Half the window."""
        return Footprint(halo=self.window // 2)

    def autoencoder(self, n_elements: int, binary: tuple[int, ...] = ()) -> mae.MaskedAutoencoder:
        """Return an untrained masked autoencoder of this detector's sizes."""
        return mae.MaskedAutoencoder(
            n_elements,
            window=self.window,
            patch=self.patch,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            decoder_width=self.decoder_width,
            decoder_depth=self.decoder_depth,
            decoder_heads=self.decoder_heads,
            binary=binary,
        )

    def stream_of(self, cube: Any, known: np.ndarray) -> WindowStream:
        """Return the windows around the ``known`` cells of a cube."""
        halo = self.footprint.halo
        stream = WindowStream(cube.data, known, self.standardise, halo=halo, most=self.most)
        logger.info(
            "%d windows an epoch, %.0f MB of blocks in memory",
            len(stream),
            stream.most_bytes / 1e6,
        )
        return stream

    def learn_windows(
        self, network: mae.MaskedAutoencoder, stream: WindowStream, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Pretrain ``network`` on windows without labels; return its history."""
        run = digest_of(
            settings=self.hyperparameters(),
            rng=rng.bit_generator.state,
            scaling=[getattr(self, f"{name}_") for name in self.scaling],
            elements=self.elements_,
            known=stream.known,
            windows=len(stream),
        )
        kept = None
        if self.checkpoint is not None:
            kept = Checkpoint(Path(self.checkpoint) / f"{run}-windows.pt", run)
        return pretrain(network, stream, self, rng, kept, self._stop)

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Bring ``(..., element, y, x)`` inside the fences, then scale it; keep NaN.

        Bands of zeros and ones stay as they are.
        """
        low, high = self.lowest_[:, None, None], self.highest_[:, None, None]
        return super().standardise(np.clip(values, low, high))

    def _remember(self, cube: Any) -> None:
        """Scale by mean and spread inside the fences, of all valid cells or of many of them.

        Fences are Tukey's: so many interquartile ranges below the first and above the third
        quartile; none for a band whose quartiles are the same. What lies beyond is drawn to the
        fence. (The paper's 5th and 95th percentile in its place would turn the order of values
        round.)
        """
        super()._remember(cube)
        if self.checkpoint is not None and self.seed is None:
            raise XGeoAnomError(
                f"checkpoint={str(self.checkpoint)!r} needs a seed: without one each fit is "
                "another run, and none goes on; give seed=0"
            )
        values = self._some_cells(cube)
        self.lowest_ = np.full(values.shape[1], -np.inf)
        self.highest_ = np.full(values.shape[1], np.inf)
        if self.fences is not None:
            q1, q3 = np.quantile(values, [0.25, 0.75], axis=0)
            reach = np.where(q3 > q1, self.fences * (q3 - q1), np.inf)
            self.lowest_, self.highest_ = q1 - reach, q3 + reach
        binary = np.array(kinds_of(cube)) == BINARY
        self._check_binary(values[:, binary])
        self.lowest_[binary], self.highest_[binary] = 0.0, 1.0
        inside = np.clip(values, self.lowest_, self.highest_)
        spread = inside.std(axis=0)
        self.mean_ = np.where(binary, 0.0, inside.mean(axis=0))
        self.scale_ = np.where(binary | (spread == 0), 1.0, spread)
        self.binary_ = tuple(np.flatnonzero(binary).tolist())

    def _some_cells(self, cube: Any) -> np.ndarray:
        """Return the values ``(cell, element)`` of valid cells, of many an even choice."""
        cells = np.flatnonzero(self.valid_.values)
        if not cells.size:
            raise CubeError("no cell of the cube has all its elements; fill gaps or drop elements")
        chosen = cells[np.linspace(0, cells.size - 1, min(cells.size, MOST_SCALED)).astype(int)]
        values = gather(cube.data, *np.divmod(chosen, self.valid_.shape[1]))
        return values[..., 0, 0].astype("float64")

    def _check_binary(self, values: np.ndarray) -> None:
        if not np.isin(values, (0.0, 1.0)).all():
            raise CubeError(
                "kind='binary' of an element with other values than 0 and 1; correct it"
            )


@dataclass(kw_only=True)
class MaskedAutoencoder(MaskedWindows):
    """How badly a cell is rebuilt from its surroundings, by a network that learnt to do so.

    A transformer sees some patches of a window and rebuilds the others. It learns from windows
    around all valid cells but those labelled 1, or around those labelled 0. The score is
    e / (e + m): e the squared error of a cell of which nothing was seen but its surroundings, the
    sum over its bands, and m its median over cells learnt from.

    A fitted one can be saved and given to :class:`MIM` as what it starts from, on another survey
    with the same or partly the same bands too.

    Parameters
    ----------
    window, patch : int
        Cells on a side of a window, odd, and of a patch, of which the window is a multiple.
    width, depth, heads : int
        Of the encoder: numbers of a token, blocks, attention heads.
    decoder_width, decoder_depth, decoder_heads : int
        Of the decoder.
    mask_ratio : float
        Share of the patches to hide.
    loss_on : {"masked", "all"}
        Learn from the errors of hidden patches, or of all.
    fences : float or None
        Values farther than so many interquartile ranges from the quartiles are drawn in; None
        leaves all as they are.
    most : int
        Windows of an epoch, at most; each epoch draws others.
    epochs, batch_size, learning_rate
        Of AdamW, whose rate falls along a cosine.
    checkpoint : str or None
        Folder for the state of the training after each epoch. An interrupted fit, called again
        with the same settings, seed and data, goes on from there to the same result.

    Notes
    -----
    Bands whose coord ``kind`` is "binary" are rebuilt as probabilities; see
    :func:`~xgeoanom.evidence_stack`. ``history_`` holds the loss of each epoch, and PSNR and SSIM
    of hidden patches; :func:`~xgeoanom.reconstructions` shows some windows, and
    :func:`~xgeoanom.band_table` says what each band is.

    Examples
    --------
    >>> MaskedAutoencoder(window=33, patch=3).footprint
    Footprint(halo=16, step=1)
    """

    draws: int = 1  # no background is drawn

    name: ClassVar[str] = "masked_autoencoder"
    supervised: ClassVar[bool] = False

    def build(self, n_elements: int) -> nn.Module:
        """Return the untrained network."""
        network = self.autoencoder(n_elements, getattr(self, "binary_", ()))
        network.register_buffer("usual_error", torch.ones(()))
        return network

    def draw(self, cube: Any, labels: Any, evidence: Any, rng: np.random.Generator) -> Any:
        """Return the windows around cells of usual ground."""
        marks = labels.values
        background = marks == 0
        usual = (background if background.any() else marks != DEPOSIT) & self.valid_.values
        if usual.sum() < 2:
            raise LabelError(
                f"labels leave {usual.sum()} cells without missing values to learn from; fill "
                "missing values or label fewer cells 1"
            )
        return self.stream_of(cube, usual)

    def learn(self, network: nn.Module, examples: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Pretrain, and note which error is usual."""
        assert isinstance(network, mae.MaskedAutoencoder)
        with examples as stream:
            history = self.learn_windows(network, stream, rng)
            windows = stream.some(MOST_USUAL, rng)
        errors = np.square(self._residuals(network, windows)).sum(axis=1)
        usual = max(float(np.median(errors)), float(np.finfo("float32").tiny))
        network.get_buffer("usual_error").fill_(usual)
        return history

    @torch.inference_mode()
    def _residuals(self, network: mae.MaskedAutoencoder, windows: Tensor) -> np.ndarray:
        """Return what is not rebuilt of the middles ``(b, element)``, hidden with their patch."""
        where, middle = next(network.parameters()).device, self.window // 2
        n_tokens = (self.window // self.patch) ** 2
        visible = torch.tensor([k for k in range(n_tokens) if k != n_tokens // 2], device=where)
        residuals = []
        for part in windows.split(BATCH):
            x = part.to(where)
            rebuilt = network.reconstruct(x, visible.expand(len(x), -1))
            residuals.append((x - rebuilt)[:, :, middle, middle].cpu().numpy())
        return np.concatenate(residuals)

    def score_block(
        self, network: nn.Module, block: np.ndarray, rasters: Any, context: Any
    ) -> np.ndarray:
        """Return error / (error + usual error) ``(y, x)``: one half where a cell is as usual."""
        error = map_windows(block, self.window, lambda x: self._errors(network, x))
        return error / (error + float(network.get_buffer("usual_error")))

    def _errors(self, network: Any, windows: Tensor) -> np.ndarray:
        return np.square(self._residuals(network, windows)).sum(axis=1, dtype="float64")

    def reconstruction_error(self, network: nn.Module, patches: np.ndarray) -> np.ndarray:
        """Share of each element in the squared error, ``(location, element)``, summing to 1."""
        squares = np.square(self.residual(network, patches))
        return squares / np.maximum(squares.sum(axis=1, keepdims=True), np.finfo("float32").tiny)

    def residual(self, network: Any, patches: np.ndarray) -> np.ndarray:
        """Return what is not rebuilt, in standard deviations; above 0 is more than expected."""
        return self._residuals(network, torch.from_numpy(patches))

    explanations: ClassVar[dict[str, Explanation]] = {
        "reconstruction_error": reconstruction_error,
        "residual": residual,
    }


def read_pretrained(
    path: str, settings: MaskedWindows, network: mae.MaskedAutoencoder
) -> list[str]:
    """Give ``network`` what a saved masked autoencoder learnt; return the bands that both know.

    ``settings`` is the detector that ``network`` belongs to.
    """
    found = MaskedAutoencoder.load(Path(path), device="cpu")
    if found.log_ratio_ != settings.log_ratio_:
        raise CubeError(
            f"pretrained={path!r} learnt from log_ratio={found.log_ratio_!r}, the cube has "
            f"{settings.log_ratio_!r}; transform it alike"
        )
    differing = {
        name: getattr(found, name)
        for name in ENCODER_SIZES + DECODER_SIZES
        if getattr(found, name) != getattr(settings, name)
    }
    if differing:
        raise XGeoAnomError(f"pretrained={path!r} has other sizes; take {differing} too")
    known = [name for name in settings.elements_ if name in found.elements_]
    if not known:
        raise CubeError(
            f"pretrained={path!r} knows {found.elements_}, none of the cube's {settings.elements_}"
        )
    places = {name: k for k, name in enumerate(found.elements_)}
    source = found.networks_[0]
    assert isinstance(source, mae.MaskedAutoencoder)
    mae.carry_over(source, network, [places.get(name) for name in settings.elements_])
    return known


def masked_autoencoder(
    ds: "xr.Dataset",
    labels: "Hashable | xr.DataArray | None" = None,
    *,
    window: int = 5,
    patch: int = 1,
    name: str = "masked_autoencoder",
    **params: Any,
) -> "xr.Dataset":
    """Fit a masked autoencoder and add its score to ``ds``.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube, ``(element, y, x)``: log-ratioed, or an evidence stack.
    labels : str or xarray.DataArray, optional
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled. It learns from
        windows around the 0 cells or, without any, around all cells but those of deposits.
    window, patch : int
        Cells on a side of a window, odd, and of a patch, of which the window is a multiple.
    name : str
        Of the new variable.
    **params
        Other fields of :class:`~xgeoanom.detectors.MaskedAutoencoder`: ``width``, ``depth``,
        ``epochs``, ``seed``, ...

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
    He et al. 2022; Daruna et al. 2024, arXiv 2406.12756. That the error of a hidden cell is an
    anomaly score is ours.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> out = masked_autoencoder(ds, width=8, depth=1, epochs=1, seed=0)
    >>> out["masked_autoencoder"].dims
    ('y', 'x')
    """
    return detect(ds, MaskedAutoencoder(window=window, patch=patch, **params), labels, name=name)
