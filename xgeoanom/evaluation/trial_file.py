"""Results of a comparison on disk, one file for each method and survey, so that it can go on."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.evaluation.yardstick import Yardstick

Key = dict[str, Any]


def read_trial(
    folder: Path, survey: str, name: str, key: Key, yardstick: Yardstick
) -> dict[str, Any] | None:
    """Return the record that lies in ``folder``; None if there is none of the same arguments."""
    path = _path(folder, survey, name)
    if not path.is_file():
        return None
    with xr.open_dataset(path) as found:
        if found.attrs.get("key") != _fingerprint(key, yardstick):
            return None
        return dict(json.loads(found.attrs["record"]))


def write_trial(
    folder: Path,
    survey: str,
    name: str,
    key: Key,
    yardstick: Yardstick,
    record: dict[str, Any],
    score: xr.DataArray | None,
) -> None:
    """Write a record and, where there is one, its map; an interrupted write leaves nothing."""
    path = _path(folder, survey, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = xr.Dataset() if score is None else score.to_dataset(name="score")
    found.attrs = {"key": _fingerprint(key, yardstick), "record": json.dumps(record)}
    partial = path.with_name(path.name + ".partial")
    found.to_netcdf(partial)
    os.replace(partial, path)


def _path(folder: Path, survey: str, name: str) -> Path:
    slug = re.sub(r"[^\w.-]+", "_", name)
    return folder / re.sub(r"[^\w.-]+", "_", survey) / f"{slug}.nc"


def _fingerprint(key: Key, yardstick: Yardstick) -> str:
    """Return what tells one comparison from another: arguments, deposits, survey."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode())
    cube, points = yardstick.cube, yardstick.deposits.geometry
    settings = [
        yardstick.target,
        list(yardstick.pathfinders),
        yardstick.measures(),
        yardstick.cluster_distance,
        yardstick.buffer_cells,
        yardstick.radius_cells,
        cube["element"].values.tolist(),
    ]
    digest.update(json.dumps(settings).encode())
    axes = [cube["y"].values, cube["x"].values, points.x.to_numpy(), points.y.to_numpy()]
    for axis in [*axes, yardstick.target_raster.values]:
        digest.update(np.ascontiguousarray(axis, dtype="float64").tobytes())
    return digest.hexdigest()
