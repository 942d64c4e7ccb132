"""Long training that outlives an interruption: its state after each epoch, in one file."""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from xgeoanom.conventions import version
from xgeoanom.errors import ModelFileError, XGeoAnomError


class Checkpoint:
    """Where a training run keeps its state, to go on from there after an interruption.

    :func:`~xgeoanom.detectors.training.train` saves after each epoch and restores before the
    first. A run that was resumed ends with the very network of one that was never interrupted.

    Parameters
    ----------
    path : Path
        The file; its folder is made where it is missing.
    run : str
        What :func:`digest_of` makes of all that decides how training goes: hyperparameters, seed
        and data. A file of another run is refused.
    generators : sequence of torch.Generator
        What the loss and the network's dropouts draw from.

    Raises
    ------
    ModelFileError
        If ``path`` is a folder, or its own folder cannot be made.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(Path(folder) / "run.pt", run=digest_of(seed=0))
    ...     checkpoint.save({"network": torch.nn.Linear(2, 1)}, [0.5, 0.25])
    ...     checkpoint.restore({"network": torch.nn.Linear(2, 1)})
    [0.5, 0.25]
    """

    def __init__(self, path: Path, run: str, generators: Sequence[torch.Generator] = ()) -> None:
        self.path, self.run = Path(path), run
        self.generators = {f"generator{k}": one for k, one in enumerate(generators)}
        if self.path.is_dir():
            raise ModelFileError(f"path={str(path)!r} is a folder; give a file in it")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ModelFileError(
                f"path={str(path)!r}: its folder cannot be made ({error}); give another"
            ) from error

    def save(self, parts: Mapping[str, Any], history: list[float]) -> None:
        """Write the state of ``parts``; an interrupted write leaves what was there before.

        A part is a ``torch.Generator`` or has ``state_dict`` and ``load_state_dict``.

        Raises
        ------
        ModelFileError
            If the file cannot be written, because the disk is full, say.
        """
        state = {name: _state_of(part) for name, part in {**parts, **self.generators}.items()}
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            torch.save({"run": self.run, "history": history, "state": state}, partial)
            os.replace(partial, self.path)
        except (OSError, RuntimeError) as error:  # torch tells of a full disk by the latter
            partial.unlink(missing_ok=True)
            raise ModelFileError(
                f"path={str(self.path)!r} cannot be written after epoch {len(history)} ({error}); "
                "make room, then run again to go on from the epoch before"
            ) from error

    def restore(self, parts: Mapping[str, Any]) -> list[float]:
        """Put ``parts`` into the state that was saved; return its history, empty without a file.

        Raises
        ------
        ModelFileError
            If the file is truncated, damaged, foreign, or of another run.
        """
        if not self.path.exists():
            return []
        saved = self._read()
        if saved["run"] != self.run:
            raise ModelFileError(
                f"path={str(self.path)!r} belongs to other settings, data or version; delete it, "
                "or give another folder"
            )
        try:
            for name, part in {**parts, **self.generators}.items():
                _load(part, saved["state"][name])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelFileError(
                f"path={str(self.path)!r} does not fit what is trained ({error}); delete it"
            ) from error
        return list(saved["history"])

    def _read(self) -> dict[str, Any]:
        """Return what was saved; nothing is unpickled but tensors and plain containers."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                damaged = archive.testzip()  # torch reads over flipped bits
            if damaged is not None:
                raise zipfile.BadZipFile(f"{damaged} is damaged")
            saved: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            if set(saved) != {"run", "history", "state"}:
                raise KeyError("run, history, state")
        except Exception as error:  # zip and unpickler fail in a dozen ways
            raise ModelFileError(
                f"path={str(self.path)!r} is truncated or no checkpoint ({error}); delete it"
            ) from error
        return saved


def _state_of(part: Any) -> Any:
    return part.get_state() if isinstance(part, torch.Generator) else part.state_dict()


def _load(part: Any, state: Any) -> None:
    if isinstance(part, torch.Generator):
        part.set_state(state)
    else:
        part.load_state_dict(state)


def digest_of(**what: Any) -> str:
    """Return a sha256 that changes with any value of ``what``, and with xgeoanom's version.

    Parameters
    ----------
    **what
        Numbers, strings, lists, dicts and None; numpy arrays; tensors; xarray objects, whose attrs
        do not count and whose lazy values are computed. Tuples count as lists.

    Raises
    ------
    XGeoAnomError
        If a value is of another kind.

    Examples
    --------
    >>> first = digest_of(seed=0, values=np.zeros(3))
    >>> len(first), first == digest_of(values=np.zeros(3), seed=0)
    (64, True)
    >>> first == digest_of(seed=0, values=np.zeros(4))
    False
    """
    try:
        text = json.dumps([version(), what], sort_keys=True, default=_plain)
    except TypeError as error:
        raise XGeoAnomError(
            f"digest_of: {error}; give numbers, strings, lists, dicts or arrays"
        ) from error
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return something nearer to JSON that stands for ``value``."""
    if isinstance(value, xr.DataArray | xr.Dataset):
        return value.drop_attrs().compute().to_dict(data="array")
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OUT":  # texts: their bytes are addresses, or hold their width
            return value.tolist()
        data = np.ascontiguousarray(value).reshape(-1).view("uint8")
        return [value.dtype.str, value.shape, hashlib.sha256(data.data).hexdigest()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no digest")
