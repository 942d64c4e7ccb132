"""Results of a comparison on disk, one file for each method and survey, so that it can go on."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import xarray as xr

from xgeoanom.errors import XGeoAnomError
from xgeoanom.evaluation.trial import Protocol, Record, Trial

LONGEST = 200  # bytes of a file's name; most systems allow 255


def check_folder(folder: str | Path, trials: Sequence[Trial]) -> Path:
    """Return ``folder`` with a folder in it for each survey; raise if it cannot be written."""
    folder = Path(folder)
    for trial in trials:
        path = _path(folder, trial)
        if len(path.name) > LONGEST:
            raise XGeoAnomError(f"methods: {trial.name!r:.60}... is too long a name for a file")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise XGeoAnomError(f"folder={str(folder)!r} cannot be written: {error}") from error
    if not os.access(folder, os.W_OK):
        raise XGeoAnomError(f"folder={str(folder)!r} cannot be written; choose another")
    return folder


def read_trial(folder: Path, trial: Trial, protocol: Protocol) -> Record | None:
    """Return the record that lies in ``folder``; None if there is none of the same arguments."""
    try:
        with xr.open_dataset(_path(folder, trial)) as found:
            if found.attrs.get("key") != _key(trial, protocol):
                return None
            return dict(json.loads(found.attrs["record"]))
    except (OSError, ValueError, KeyError):  # missing, truncated or foreign: measure again
        return None


def write_trial(
    folder: Path, trial: Trial, protocol: Protocol, record: Record, score: xr.DataArray | None
) -> None:
    """Write a record and, where there is one, its map; an interrupted write leaves nothing."""
    path = _path(folder, trial)
    found = xr.Dataset() if score is None else score.to_dataset(name="score")
    found.attrs = {"key": _key(trial, protocol), "record": json.dumps(record)}
    partial = path.with_name(path.name + ".partial")
    found.to_netcdf(partial)
    os.replace(partial, path)


def _path(folder: Path, trial: Trial) -> Path:
    """Return a path of its own for each survey and method, whatever their names."""
    survey, name = (
        quote(text, safe=" ,()").replace(".", "%2E") for text in (trial.survey, trial.name)
    )
    return folder / survey / f"{name}.nc"


def _key(trial: Trial, protocol: Protocol) -> str:
    """Return what tells one trial from another: method, arguments, deposits and survey."""
    yardstick = trial.yardstick
    cube, points = yardstick.cube, yardstick.deposits.geometry
    settings = [
        _identity(trial.method),
        asdict(protocol),
        yardstick.target,
        list(yardstick.pathfinders),
        yardstick.measures(),
        yardstick.cluster_distance,
        yardstick.buffer_cells,
        yardstick.radius_cells,
        cube["element"].values.tolist(),
    ]
    digest = hashlib.sha256(json.dumps(settings).encode())
    axes = [cube["y"].values, cube["x"].values, points.x.to_numpy(), points.y.to_numpy()]
    for axis in [*axes, yardstick.target_raster.values]:
        digest.update(np.ascontiguousarray(axis, dtype="float64").tobytes())
    return digest.hexdigest()


def _identity(method: Any) -> str:
    """Return how a method looks: its repr without addresses, and of a function its code."""
    look = re.sub(r" at 0x[0-9a-f]+", "", repr(method))
    code = getattr(method, "__code__", None)
    if code is None:
        return look
    inside = [getattr(cell, "cell_contents", None) for cell in method.__closure__ or ()]
    given = [constant for constant in code.co_consts if not hasattr(constant, "co_code")]
    parts = [code.co_code.hex(), code.co_names, given, method.__defaults__, inside]
    return look + re.sub(r" at 0x[0-9a-f]+", "", repr(parts))
