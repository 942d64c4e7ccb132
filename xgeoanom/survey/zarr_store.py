"""A Zarr store that is filled region by region, so that an interrupted save can be gone on with.

Beside ``clr.zarr`` lies, until it is whole, ``.clr.zarr.partial``. In it is a folder, under a name
of its own, so that what is left of an older run cannot write there, and in this three things: the
store; ``written``, a file for each region with the checksum of its values; and ``run.json``, which
says of what it is a store; the store has its hash as an attr. A worker killed while it writes
leaves a region without a checksum.
"""

import hashlib
import json
import uuid
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numcodecs import Shuffle, Zstd

from xgeoanom.blocks import block_at, blocks_of, compute, delayed, map_blocks_of
from xgeoanom.errors import StoreError
from xgeoanom.survey.replacing import put_in_place, remove

DONE = "xgeoanom_run"  # attr of a store: what run it is of
STREAMED = "fiub"  # kinds of numbers that a region can hold without being encoded
CLOSE = {"rtol": 1e-5, "atol": 1e-8}  # another machine may round otherwise

Lazy = dict[str, Any]
Block = tuple[str, tuple[int, ...]]


def partial_of(path: Path) -> Path:
    """Return the folder in which a store is until it is whole."""
    return path.with_name(f".{path.name}.partial")


def save(dataset: xr.Dataset, path: Path, *, resume: bool) -> None:
    """Write ``dataset``, whose lazy variables have even chunks; see :func:`save_cube`."""
    part = partial_of(path)
    dataset, lazy = _streamed(dataset)
    run = _description(dataset, lazy)
    if resume and not part.exists() and _is_done(path, run, lazy):
        return
    try:
        folder = _begun(part, run) if resume else None
        folder = folder or _begin(part, dataset, lazy, run)
        _fill(folder, lazy)
        zarr.consolidate_metadata(folder / "data.zarr", zarr_format=2)
        put_in_place(folder / "data.zarr", path)
    except StoreError:
        raise
    except Exception as error:
        n_written, n_all = len(list(part.glob("*/written/*/*"))), len(blocks_of(lazy))
        reason = " ".join(str(error).split()).rstrip(".")
        raise StoreError(
            f"path={str(path)!r} is not whole: {n_written} of {n_all} regions are written, then: "
            f"{type(error).__name__}: {reason}. Mend that and save again with resume=True, which "
            f"goes on from {part.name}, or delete that folder"
        ) from error
    remove(part)


def _streamed(dataset: xr.Dataset) -> tuple[xr.Dataset, Lazy]:
    """Return the dataset, and the lazy arrays of it that are written region by region."""
    lazy = {str(name): v for name, v in dataset.variables.items() if v.chunks is not None}
    whole = {name for name, variable in lazy.items() if variable.dtype.kind not in STREAMED}
    dataset = dataset.assign({name: lazy[name].compute() for name in whole})
    return dataset, {name: v.data for name, v in lazy.items() if name not in whole}


def _description(dataset: xr.Dataset, lazy: Lazy) -> str:
    """Return what tells one run from another: all that is known before anything is computed."""
    variables = {
        str(name): {
            "dims": variable.dims,
            "shape": variable.shape,
            "dtype": str(variable.dtype),
            "attrs": variable.attrs,
            "blocks": lazy[str(name)].chunksize if name in lazy else _checksum(variable.values),
        }
        for name, variable in sorted(dataset.variables.items(), key=lambda item: str(item[0]))
    }
    return json.dumps({"attrs": dataset.attrs, "variables": variables}, default=str, indent=1)


def _is_done(path: Path, run: str, lazy: Lazy) -> bool:
    """Return whether this very run is at its end already; StoreError if its values are others."""
    try:
        if zarr.open_group(path, mode="r").attrs.get(DONE) != _hash(run):
            return False
        _check_same_values(path, lazy, blocks_of(lazy))
    except StoreError:
        raise
    except Exception:  # nothing there, or something damaged, whatever it raises: begin anew
        return False
    return True


def _begun(beside: Path, run: str) -> Path | None:
    """Return the folder of an interrupted run, if there is one; StoreError if of another."""
    for found in beside.glob("*/run.json"):
        if found.read_text() == run:
            return found.parent
        raise StoreError(
            f"resume=True, but {beside.name} holds a part of something else: another grid, other "
            "chunks, parameters, seed or version; save the same again, or save with resume=False, "
            "which begins anew"
        )
    return None


def _begin(beside: Path, dataset: xr.Dataset, lazy: Lazy, run: str) -> Path:
    """Make a store that lacks nothing but what is lazy."""
    remove(beside)
    folder = beside / uuid.uuid4().hex[:8]
    for name in lazy:
        (folder / "written" / name).mkdir(parents=True)
    for variable in dataset.data_vars.values():
        if variable.dtype.kind in STREAMED:
            variable.encoding |= _codecs(variable.dtype)
    # Zarr's format 3 has no settled way yet to store the names of elements.
    dataset = dataset.assign_attrs({DONE: _hash(run)})
    dataset.to_zarr(folder / "data.zarr", zarr_format=2, compute=False)
    (folder / "run.json").write_text(run)
    return folder


def _hash(run: str) -> str:
    return hashlib.sha256(run.encode()).hexdigest()


def _codecs(dtype: np.dtype) -> dict[str, Any]:
    """Return an encoding that a damaged chunk does not pass: each one has a checksum within."""
    return {
        "filters": (Shuffle(dtype.itemsize),),
        "compressors": (Zstd(level=-1, checksum=True),),
    }


def _fill(folder: Path, lazy: Lazy) -> None:
    """Write what is not yet written."""
    blocks = blocks_of(lazy)
    written = _written(folder, blocks)
    _check_same_values(folder / "data.zarr", lazy, {block: blocks[block] for block in written})
    missing = {block: region for block, region in blocks.items() if block not in written}
    map_blocks_of(partial(_write, str(folder.absolute())), lazy, missing)
    if lost := [block for block in blocks if not _record(folder, *block).exists()]:
        raise OSError(f"nothing was written of {len(lost)} regions, such as {lost[0]}")


def _written(folder: Path, blocks: Mapping[Block, Any]) -> list[Block]:
    """Return the blocks that are found as they were written."""
    told = [block for block in blocks if _record(folder, *block).exists()]
    jobs = [delayed(_is_whole, str(folder.absolute()), *block, blocks[block]) for block in told]
    return [block for block, whole in zip(told, compute(jobs), strict=True) if whole]


def _check_same_values(store: Path, lazy: Lazy, written: Mapping[Block, Any]) -> None:
    """Compute a written region of each variable again; StoreError where it differs."""
    for name in {block[0] for block in written}:
        block, stored = _telling(store, name, written)
        ours = block_at(lazy, block)
        if not np.allclose(stored.astype(ours.dtype), ours, equal_nan=True, **CLOSE):
            raise StoreError(
                f"region {block[1]} of {name!r} was written with other values than it has now; the "
                "input or the detector has changed: save with resume=False, which begins anew"
            )


def _telling(store: Path, name: str, written: Mapping[Block, Any]) -> tuple[Block, Any]:
    """Return the first written region of a variable that holds a number, if one does, and it."""
    array = zarr.open_array(store / name, mode="r")
    for block in (block for block in written if block[0] == name):
        stored = np.asarray(array[written[block]])
        if not np.isnan(stored).all():
            break
    return block, stored


# --------------------------------------------------------------------------- on the workers


def _write(folder: str, name: str, region: Any, values: np.ndarray) -> None:
    """Write a region, then its checksum."""
    array = _array(folder, name)
    values = _plain(np.asarray(values), array.dtype)
    array[region] = values
    record = _record(folder, name, _index(array, region))
    # A file renamed is whole.
    beside = record.with_name(f"{record.name}~{uuid.uuid4().hex[:8]}")
    beside.write_text(str(_checksum(values)))
    beside.replace(record)


def _is_whole(folder: str, name: str, index: tuple[int, ...], region: Any) -> bool:
    """Return whether a region holds the values that were written to it."""
    array = _array(folder, name)
    try:
        found = _checksum(_plain(array[region], array.dtype))
    except Exception:  # whatever a damaged chunk raises
        return False
    return _record(folder, name, index).read_text() == str(found)


def _array(folder: str | Path, name: str) -> Any:
    return zarr.open_array(Path(folder) / "data.zarr" / name, mode="r+")


def _index(array: Any, region: Any) -> tuple[int, ...]:
    return tuple(part.start // size for part, size in zip(region, array.chunks, strict=True))


def _record(folder: str | Path, name: str, index: tuple[int, ...]) -> Path:
    return Path(folder) / "written" / name / (".".join(map(str, index)) or "whole")


def _plain(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return contiguous values of the stored type, with NaN of one kind."""
    values = np.asarray(values, dtype=dtype, order="C")
    missing = np.isnan(values) if dtype.kind == "f" else np.zeros(1, dtype=bool)
    return np.where(missing, np.nan, values) if missing.any() else values


def _checksum(values: np.ndarray) -> int:
    if values.dtype.kind not in STREAMED:
        return zlib.crc32(repr(values.tolist()).encode())
    return zlib.crc32(np.ascontiguousarray(values).data)
