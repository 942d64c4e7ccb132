"""A store filled region by region: whatever goes wrong, what stands there in the end is right.

No cluster here; workers and schedulers that are lost, see test_large_surveys.
"""

import tempfile
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupted import (
    NX,
    NY,
    SHAPE,
    Work,
    chunk_files,
    cube_of,
    fail_to_write,
    partial_of,
    raise_no_space,
    records_of,
    same_bytes,
    values,
)

from xgeoanom.blocks import blocks_of
from xgeoanom.errors import CubeError, StoreError
from xgeoanom.survey import zarr_store
from xgeoanom.survey.rasters import open_cube, save_cube


def cuts(n):
    """Lengths of chunks, even or not."""
    edges = st.sets(st.integers(1, n - 1), max_size=4)
    return edges.map(lambda cut: tuple(np.diff([0, *sorted(cut), n]).tolist()))


@pytest.fixture(autouse=True)
def _one_block_at_a_time():
    """Else others are still at work when one fails, and it is left to chance what is written."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clr.zarr"


# ----------------------------------------------------------------------------- undisturbed


@given(chunks=st.tuples(cuts(NY), cuts(NX)))
@settings(max_examples=8)
def test_any_chunks_are_saved(chunks):
    work = Work(chunks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clr.zarr"
        save_cube(work.cube, path)
        opened = open_cube(path)
        assert [file.name for file in path.parent.iterdir()] == ["clr.zarr"]
        assert sorted(work.done) == sorted(np.ndindex(work.data.numblocks))
        xr.testing.assert_identical(opened.compute(), cube_of(values() + 1))


def mixed(work):
    """A dataset of several lazy variables and coords, of many types."""
    cube = work.cube
    layer = cube.isel(element=0, drop=True)
    return (
        cube.to_dataset()
        .assign(
            score=layer.astype("float32"),
            labels=(layer > 2)
            .astype("int8")
            .assign_attrs(flag_values=np.array([0, 1], dtype="int8")),
            support=layer.notnull(),
            ids=layer.fillna(0).astype("uint16"),
            missing=xr.full_like(layer, np.nan),
            total=cube.sum(),
            eager=layer.copy(data=values(3)[0]),
            when=layer.fillna(0).astype("datetime64[ns]"),
        )
        .assign_coords(
            share=cube.astype("float32") / 2,
            deposit=("y", da.arange(NY, chunks=4, dtype="int16")),
        )
    )


def test_many_variables_and_lazy_coords(path):
    saved = mixed(Work((7, 6)))
    save_cube(saved, path)
    opened = open_cube(path)
    assert set(opened.coords) == set(saved.coords)
    for name, variable in saved.variables.items():
        assert opened[name].dtype == variable.dtype, name
    xr.testing.assert_equal(opened.compute(), saved.compute())


def test_what_variables_share_is_computed_once(path):
    work = Work()
    save_cube(mixed(work).drop_vars("when"), path)
    assert sorted(work.done) == sorted(np.ndindex(work.data.numblocks))


# ------------------------------------------------------------------------------- interrupted


@given(chunks=st.tuples(cuts(NY), cuts(NX)), data=st.data())
@settings(max_examples=12)
def test_resumed_equals_undisturbed(chunks, data):
    work = Work(chunks)
    n_blocks = work.data.npartitions
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "clr.zarr", Path(folder) / "undisturbed.zarr"
        save_cube(work.cube, other)
        work.done.clear()
        work.interrupted(path, after=data.draw(st.integers(0, n_blocks - 1), label="after"))
        written = {tuple(map(int, file.name.split("."))) for file in records_of(path)}
        save_cube(work.cube, path, resume=True)
        assert chunk_files(path) == chunk_files(other)
        # What a missing region is made of is computed once; one that was written, once more.
        assert sorted(work.done) == sorted(needed(work, path, written))


def needed(work, path, written):
    """Return the blocks of the source that lie in missing regions, and in one that is checked."""
    stored = da.empty(SHAPE, chunks=zarr.open_array(path / "clr", mode="r").chunks)
    regions = {index: region for (_, index), region in blocks_of({"": stored}).items()}
    own = {index: region for (_, index), region in blocks_of({"": work.data}).items()}

    def sources(some):
        cells = np.zeros(SHAPE, dtype=bool)
        for index in some:
            cells[regions[index]] = True
        return [index for index, region in own.items() if cells[region].any()]

    told = [index for index in sorted(written) if not np.isnan(values()[regions[index]]).all()]
    return sources(set(regions) - written) + sources([*told, *sorted(written)][:1])


@pytest.mark.parametrize("after", [0, 7, 20, 30])
def test_many_variables_are_resumed(after):
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "clr.zarr", Path(folder) / "undisturbed.zarr"
        work = Work((7, 6))
        save_cube(mixed(work).drop_vars("when"), other)
        with pytest.MonkeyPatch.context() as patch:
            fail_to_write(patch, after=after)
            with pytest.raises(StoreError, match="No space left"):
                save_cube(mixed(work).drop_vars("when"), path)
        save_cube(mixed(work).drop_vars("when"), path, resume=True)
        assert chunk_files(path) == chunk_files(other)


def test_interrupted_again_and_again(path):
    work = Work()
    for _ in range(20):
        work.fail_after = 3
        try:
            with dask.config.set(scheduler="threads"):
                save_cube(work.cube, path, resume=True)
        except StoreError:
            work.done.clear()
        else:
            break
    assert same_bytes(open_cube(path), cube_of(values() + 1))


def test_the_message_says_how_far_and_what_to_do(path):
    work = Work()
    work.fail_after = 5
    with pytest.raises(StoreError) as caught:
        save_cube(work.cube, path)
    n = len(records_of(path))
    assert f"clr.zarr' is not whole: {n} of 12 regions are written" in str(caught.value)
    assert "RuntimeError: power cut. Mend that and save again with resume=True" in str(caught.value)
    assert ".clr.zarr.partial" in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_nothing_stands_under_the_name_until_it_is_whole(path):
    work = Work().interrupted(path, after=9)
    with pytest.raises(CubeError, match="does not exist"):
        open_cube(path)
    save_cube(work.cube, path, resume=True)
    assert same_bytes(open_cube(path), cube_of(values() + 1))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_old_store_stands_until_the_new_one_is_whole(path):
    save_cube(cube_of(values(7)), path)
    work = Work().interrupted(path, after=9)
    assert same_bytes(open_cube(path), cube_of(values(7)))
    save_cube(work.cube, path, resume=True)
    assert same_bytes(open_cube(path), cube_of(values() + 1))


def test_resume_with_nothing_there_begins(path):
    work = Work()
    save_cube(work.cube, path, resume=True)
    assert len(work.done) == 12
    assert same_bytes(open_cube(path), cube_of(values() + 1))


def test_what_is_whole_is_left_as_it_is(path):
    work = Work()
    save_cube(work.cube, path, resume=True)
    before = chunk_files(path)
    work.done.clear()
    save_cube(work.cube, path, resume=True)
    assert work.done == [(0, 0, 1)]  # the first one with a number, to be sure
    assert chunk_files(path) == before
    with pytest.raises(StoreError, match="other values than it has now.*resume=False"):
        save_cube(Work(seed=1).cube, path, resume=True)
    assert chunk_files(path) == before
    save_cube(work.cube.assign_attrs(seed=1), path, resume=True)  # something else takes its place
    assert open_cube(path).attrs["seed"] == 1


def test_eager_cubes_may_be_resumed_too(path):
    save_cube(cube_of(values()), path, resume=True)
    assert same_bytes(open_cube(path), cube_of(values()))


def test_without_resume_it_begins_anew(path):
    work = Work().interrupted(path, after=9)
    save_cube(work.cube, path)
    assert len(work.done) == 12


def test_all_written_but_not_put_in_place(path, monkeypatch):
    work = Work()
    with monkeypatch.context() as patch:
        patch.setattr(zarr_store, "put_in_place", raise_no_space)
        with pytest.raises(StoreError, match="12 of 12 regions .* No space left"):
            save_cube(work.cube, path)
    work.done.clear()
    save_cube(work.cube, path, resume=True)
    assert work.done == [(0, 0, 1)]  # the first one with a number
    assert same_bytes(open_cube(path), cube_of(values() + 1))


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_other_files_are_written_in_one_go(suffix, tmp_path):
    with pytest.raises(CubeError, match=r"resume=True.*save it as \.zarr"):
        save_cube(Work().cube, tmp_path / f"clr{suffix}", resume=True)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------- something else


OTHERS = {
    "another grid": lambda work: work.cube.assign_coords(x=work.cube.x + 50),
    "another size": lambda work: work.cube.isel(y=slice(1, None)).chunk(y=4),
    "other chunks": lambda work: work.cube.chunk(y=5),
    "other attrs": lambda work: work.cube.assign_attrs(seed=1),
    "another CRS": lambda work: work.cube.drop_vars("spatial_ref").rio.write_crs(32651),
    "other elements": lambda work: work.cube.assign_coords(element=["Au", "Cu", "Zn"]),
    "another type": lambda work: work.cube.astype("float32"),
    "another name": lambda work: work.cube.rename("ilr"),
    "one more": lambda work: work.cube.to_dataset().assign(more=work.cube[0, 0, 0]),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_something_else_is_not_gone_on_with(other, path):
    save_cube(cube_of(values(7)), path)
    work = Work().interrupted(path, after=9)
    before = chunk_files(partial_of(path))
    with pytest.raises(StoreError, match="resume=True, but .*something else.*resume=False"):
        save_cube(other(work), path, resume=True)
    assert work.done == []
    assert chunk_files(partial_of(path)) == before
    assert same_bytes(open_cube(path), cube_of(values(7)))
    save_cube(work.cube, path, resume=True)
    assert len(work.done) == 12 - 9 + 1
    assert same_bytes(open_cube(path), cube_of(values() + 1))


def test_other_values_are_not_mixed_with_those_there(path):
    save_cube(cube_of(values(7)), path)
    work = Work().interrupted(path, after=9)
    before = chunk_files(partial_of(path))
    with pytest.raises(StoreError, match=r"was written with other values.*resume=False") as caught:
        save_cube(Work(seed=1).cube, path, resume=True)
    assert "resume=True" not in str(caught.value)
    assert chunk_files(partial_of(path)) == before
    assert same_bytes(open_cube(path), cube_of(values(7)))
    save_cube(work.cube, path, resume=True)
    assert same_bytes(open_cube(path), cube_of(values() + 1))


def test_values_that_round_otherwise_are_the_same(path):
    work = Work().interrupted(path, after=9)
    save_cube(work.cube.copy(data=work.data * (1 + 1e-9)), path, resume=True)
    np.testing.assert_allclose(open_cube(path), values() + 1, rtol=1e-8)
