"""A fitted detector as one safetensors file: tensors, and the rest as JSON in its header."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from xgeoanom.conventions import version
from xgeoanom.detectors import estimator_json
from xgeoanom.errors import ModelFileError

if TYPE_CHECKING:
    from xgeoanom.detectors.base import Detector

_KEY = "xgeoanom"


def save(detector: "Detector", path: Path) -> None:
    """Write ``detector`` to ``path``; an interrupted write leaves what was there before."""
    tensors = {name: torch.from_numpy(getattr(detector, f"{name}_")) for name in detector.scaling}
    tensors |= _tensors_of(detector.networks_)
    header = {
        "detector": type(detector).__name__,
        "hyperparameters": detector.hyperparameters(),
        "elements": detector.elements_,
        "units": detector.units_,
        "log_ratio": detector.log_ratio_,
        "seed": detector.seed_,
        "history": detector.history_,
        "n_networks": len(detector.networks_),
        "version": version(),
    }
    if not path.parent.is_dir():
        raise ModelFileError(f"path={str(path)!r}: its folder does not exist; make it first")
    if path.is_dir():
        raise ModelFileError(f"path={str(path)!r} is a folder; give a file in it")
    partial = path.with_name(path.name + ".partial")
    text = json.dumps(header, default=estimator_json.to_json)
    text = json.dumps({"checksum": _checksum(text, tensors), "fitted": text})
    save_file(tensors, partial, metadata={_KEY: text})
    os.replace(partial, path)


def _tensors_of(networks: list[torch.nn.Module]) -> dict[str, torch.Tensor]:
    """Return all tensors by name; what a network shares with the first is written once."""
    first = networks[0].state_dict()
    tensors = {}
    for k, network in enumerate(networks):
        for name, tensor in network.state_dict().items():
            if k == 0 or tensor.data_ptr() != first[name].data_ptr() or not tensor.numel():
                tensors[f"network{k}.{name}"] = tensor.contiguous()
    return tensors


def load(kind: type["Detector"], path: Path, *, device: str | None = None) -> Any:
    """Read a detector of class ``kind`` or of one that derives from it."""
    header, tensors = _read(path)
    try:
        found = _class_named(kind, header["detector"], path)
        detector = found(
            **_from_json(header["hyperparameters"]), seed=header["seed"], device=device
        )
        detector.elements_, detector.units_ = header["elements"], header["units"]
        detector.log_ratio_, detector.seed_ = header["log_ratio"], header["seed"]
        detector.history_ = header["history"]
        for name in detector.scaling:
            setattr(detector, f"{name}_", tensors[name].numpy())
        detector.networks_ = [
            _network(detector, tensors, f"network{k}.") for k in range(header["n_networks"])
        ]
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelFileError(f"path={str(path)!r} holds no complete detector: {error}") from error
    return detector


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        if path.is_dir():
            raise IsADirectoryError
        with safe_open(path, framework="pt") as file:
            held = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except IsADirectoryError as error:
        raise ModelFileError(f"path={str(path)!r} is a folder; give a file") from error
    except FileNotFoundError as error:
        raise ModelFileError(f"path={str(path)!r} does not exist") from error
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ModelFileError(
            f"path={str(path)!r} is truncated or was not written by Detector.save: {error}"
        ) from error
    if held.get("checksum") != _checksum(held.get("fitted", ""), tensors):
        raise ModelFileError(f"path={str(path)!r} is damaged: its checksum differs; save it anew")
    return json.loads(held["fitted"]), tensors


def _checksum(text: str, tensors: dict[str, torch.Tensor]) -> str:
    """Return the sha256 of the header's text and all tensors in the order of their names."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _class_named(kind: type["Detector"], name: str, path: Path) -> Any:
    pending = [kind]
    while pending:
        found = pending.pop()
        if found.__name__ == name:
            return found
        pending += found.__subclasses__()
    raise ModelFileError(f"path={str(path)!r} holds a {name}, not a {kind.__name__}")


def _from_json(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples and no estimators: turn lists and objects back."""

    def revived(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(value)
        return estimator_json.from_json(value) if isinstance(value, dict) else value

    return {name: revived(value) for name, value in hyperparameters.items()}


def _network(detector: "Detector", tensors: dict[str, torch.Tensor], prefix: str) -> Any:
    with torch.random.fork_rng(devices=[]):
        network = detector.build(len(detector.elements_))
    state = {
        name.removeprefix(start): tensor
        for start in ("network0.", prefix)  # the first holds what all share
        for name, tensor in tensors.items()
        if name.startswith(start)
    }
    # What a network keeps besides weights (prototypes, say) is not known to `build`.
    for name in state.keys() - network.state_dict().keys():
        network.register_buffer(name, state[name])
    network.load_state_dict(state)
    return network.eval()
