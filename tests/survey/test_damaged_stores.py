"""Zarr stores of which something is broken: never taken for whole, and mended by resuming."""

import json
import shutil
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from interrupted import (
    SHAPE,
    Work,
    cube_of,
    fail_to_write,
    partial_of,
    raise_no_space,
    records_of,
    same_bytes,
    values,
)

from xgeoanom.errors import StoreError
from xgeoanom.survey.rasters import open_cube, save_cube


@pytest.fixture(autouse=True)
def _one_block_at_a_time():
    """Else others are still at work when one fails, and it is left to chance what is written."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clr.zarr"


# --------------------------------------------------------------------------------- damage


def truncate(file):
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])


def flip(file):
    whole = bytearray(file.read_bytes())
    whole[-3] ^= 255
    file.write_bytes(whole)


DAMAGES = {
    "truncated": truncate,
    "empty": lambda file: file.write_bytes(b""),
    "deleted": Path.unlink,
    "flipped": flip,
    "foreign": lambda file: file.write_text("not a chunk"),
}


def in_ways(damages):
    return pytest.mark.parametrize("damage", damages.values(), ids=damages)


@in_ways(DAMAGES)
def test_damaged_chunks_are_computed_again(damage, path):
    work = Work()
    work.interrupted(path, after=11)
    # Of the first, all NaN, there is no file; chunks at the edge hold bytes that are no cells.
    names = [file.name for file in records_of(path)]
    inside = [name for name in names if name != "0.0.0" and not name.endswith(".2")]
    for index in inside[:2]:
        damage(partial_of(path) / "data.zarr" / "clr" / index)
    save_cube(work.cube, path, resume=True)
    assert {tuple(map(int, index.split("."))) for index in inside[:2]} <= set(work.done)
    assert len(work.done) == 1 + 2 + 1
    assert same_bytes(open_cube(path), cube_of(values() + 1))


@in_ways({name: DAMAGES[name] for name in ("truncated", "empty", "deleted", "foreign")})
def test_regions_without_their_checksum_are_computed_again(damage, path):
    work = Work()
    work.interrupted(path, after=11)
    lost = records_of(path)[3]
    damage(lost)
    save_cube(work.cube, path, resume=True)
    assert tuple(map(int, lost.name.split("."))) in work.done
    assert same_bytes(open_cube(path), cube_of(values() + 1))


def test_a_checksum_file_that_was_being_written_is_none(path):
    work = Work().interrupted(path, after=11)
    n = len(records_of(path))
    lost = records_of(path)[3]
    lost.rename(lost.with_name(f"{lost.name}~1234abcd"))
    save_cube(work.cube, path, resume=True)
    assert len(work.done) == 12 - n + 1 + 1
    assert same_bytes(open_cube(path), cube_of(values() + 1))


def test_chunks_of_nan_alone(path):
    """Zarr writes no file for them."""
    data = da.full(SHAPE, np.nan, chunks=(3, 4, 4))
    with pytest.MonkeyPatch.context() as patch:
        fail_to_write(patch, after=6)
        with pytest.raises(StoreError):
            save_cube(cube_of(data), path)
    save_cube(cube_of(data), path, resume=True)
    assert np.isnan(open_cube(path)).all()


def test_a_partial_store_without_its_run_begins_anew(path):
    work = Work().interrupted(path, after=9)
    (partial_of(path) / "run.json").unlink()
    save_cube(work.cube, path, resume=True)
    assert len(work.done) == 12
    assert same_bytes(open_cube(path), cube_of(values() + 1))


def test_a_damaged_run_is_told_of(path):
    work = Work().interrupted(path, after=9)
    truncate(partial_of(path) / "run.json")
    with pytest.raises(StoreError, match="resume=False"):
        save_cube(work.cube, path, resume=True)
    save_cube(work.cube, path)
    assert same_bytes(open_cube(path), cube_of(values() + 1))


def test_the_run_is_readable(path):
    Work().interrupted(path, after=9)
    run = json.loads((partial_of(path) / "run.json").read_text())
    assert run["variables"]["clr"]["shape"] == list(SHAPE)
    assert run["variables"]["clr"]["blocks"] == [3, 4, 4]


# ---------------------------------------------------------------------------------- full disk


@pytest.mark.parametrize("after", [0, 1, 11])
def test_a_full_disk(after, path):
    save_cube(cube_of(values(7)), path)
    work = Work()
    with pytest.MonkeyPatch.context() as patch:
        fail_to_write(patch, after=after)
        with pytest.raises(StoreError, match=f"{after} of 12 regions.*No space.*resume=True"):
            save_cube(work.cube, path)
    assert same_bytes(open_cube(path), cube_of(values(7)))
    work.done.clear()
    save_cube(work.cube, path, resume=True)
    assert len(work.done) == 12 - after + min(after, 1)
    assert same_bytes(open_cube(path), cube_of(values() + 1))


@pytest.mark.parametrize("after", [0, 2, 5, 9, 12, 20])
def test_a_disk_full_at_any_file(after, path, monkeypatch):
    """Files of metadata, of coords and of chunks; the first ones come before any region."""
    kept, n = zarr.storage.LocalStore.set, [0]

    async def limited(self, key, value, *args, **kwargs):
        n[0] += 1
        if n[0] > after:
            raise_no_space()
        await kept(self, key, value, *args, **kwargs)

    work = Work()
    with monkeypatch.context() as patch:
        patch.setattr(zarr.storage.LocalStore, "set", limited)
        with pytest.raises(StoreError, match=r"regions are written.*No space.*resume=True"):
            save_cube(work.cube, path)
    assert not path.exists()
    save_cube(work.cube, path, resume=True)
    assert same_bytes(open_cube(path), cube_of(values() + 1))


def test_a_whole_store_that_is_damaged_is_made_anew(path):
    work = Work()
    save_cube(work.cube, path)
    truncate(path / "clr" / "0.0.1")
    work.done.clear()
    save_cube(work.cube, path, resume=True)
    assert len(work.done) >= 12
    assert same_bytes(open_cube(path), cube_of(values() + 1))


# ---------------------------------------------------------------------------- unreadable input


@in_ways({name: DAMAGES[name] for name in ("truncated", "empty", "flipped", "foreign")})
def test_an_unreadable_chunk_of_the_input(damage, path):
    source = path.with_name("source.zarr")
    save_cube(cube_of(values()).chunk(y=4, x=4), source)
    chunk = source / "clr" / "0.1.2"
    whole = chunk.read_bytes()
    damage(chunk)
    lazy = open_cube(source) + 1
    told = r"clr\[0:3, 4:8, 8:11\] cannot be read.*Zstd decompression.*resume=True"
    with pytest.raises(StoreError, match=told):
        save_cube(lazy.assign_attrs(long_name="more"), path)
    assert not path.exists()
    chunk.write_bytes(whole)
    save_cube(lazy.assign_attrs(long_name="more"), path, resume=True)
    assert same_bytes(open_cube(path), cube_of(values() + 1))
    shutil.rmtree(source)  # nothing of it is needed any more
    assert same_bytes(open_cube(path), cube_of(values() + 1))
