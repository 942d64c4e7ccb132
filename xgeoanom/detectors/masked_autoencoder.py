"""A masked autoencoder of a survey: what a place should look like, from its surroundings.

Daruna et al. 2024, arXiv 2406.12756, pretraining; that it scores anomalies too is ours.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from xgeoanom.detectors.base import Explanation
from xgeoanom.detectors.block_windows import BATCH, map_windows
from xgeoanom.detectors.detect import detect
from xgeoanom.detectors.explain import shares_of_squares
from xgeoanom.detectors.masked_windows import MaskedWindows
from xgeoanom.detectors.training_set import usual_cells
from xgeoanom.errors import CubeError, LabelError, XGeoAnomError
from xgeoanom.nets import mae

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr

ENCODER_SIZES = ("window", "patch", "width", "depth", "heads")
DECODER_SIZES = ("decoder_width", "decoder_depth", "decoder_heads")
MOST_USUAL = 5000  # windows that the usual error comes from


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
        with the same settings, seed and data, goes on from there to the same result. Files stay,
        one for each run; delete the folder once the detector is saved.

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
        usual = usual_cells(labels, self.valid_)
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
        return shares_of_squares(self.residual(network, patches))

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
    source = found.networks_[0]
    assert isinstance(source, mae.MaskedAutoencoder)
    places = [found.elements_.index(name) if name in known else None for name in settings.elements_]
    _check_kinds(path, settings.elements_, places, source.binary, network.binary)
    mae.carry_over(source, network, places)
    return known


def _check_kinds(
    path: str, names: list[str], places: list[int | None], theirs: Tensor, ours: Tensor
) -> None:
    """Raise CubeError where a band is binary on one side alone."""
    odd = [
        name
        for k, (name, place) in enumerate(zip(names, places, strict=True))
        if place is not None and theirs[place] != ours[k]
    ]
    if odd:
        raise CubeError(
            f"pretrained={path!r} knows {odd} as bands of another kind; set the cube's coord kind "
            "as it was then, or rename them"
        )


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
