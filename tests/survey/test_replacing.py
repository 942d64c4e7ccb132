"""Files and folders take the place of older ones whole, or not at all."""

import pytest

from xgeoanom.survey.replacing import put_in_place, remove, replacing


def make(path, text, *, folder):
    """Make a file, or a folder with one file in it."""
    if folder:
        path.mkdir()
    (path / "inside" if folder else path).write_text(text)


def text_of(path):
    return (path / "inside" if path.is_dir() else path).read_text()


def names_in(path):
    return [file.name for file in path.iterdir()]


kinds = pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
olds = pytest.mark.parametrize("old", [None, False, True], ids=["nothing", "file", "folder"])


@kinds
@olds
def test_the_new_one_takes_the_place(folder, old, tmp_path):
    path = tmp_path / "cube.zarr"
    if old is not None:
        make(path, "old", folder=old)
    with replacing(path) as beside:
        assert beside.parent == tmp_path
        assert beside.suffix == ".zarr"
        assert not beside.exists()
        make(beside, "new", folder=folder)
        assert not path.exists() if old is None else text_of(path) == "old"
    assert text_of(path) == "new"
    assert names_in(tmp_path) == ["cube.zarr"]


@kinds
@olds
def test_an_error_leaves_the_old_one(folder, old, tmp_path):
    path = tmp_path / "cube.zarr"
    if old is not None:
        make(path, "old", folder=old)

    def fail():
        with replacing(path) as beside:
            make(beside, "half", folder=folder)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert names_in(tmp_path) == ([] if old is None else ["cube.zarr"])
    assert old is None or text_of(path) == "old"


def test_two_at_a_time_do_not_meet(tmp_path):
    path = tmp_path / "cube.nc"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert text_of(path) == "first"  # which ended last


def test_nothing_to_put_in_place(tmp_path):
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "nothing", tmp_path / "cube.nc")


@kinds
def test_a_link_is_replaced_and_what_it_names_stays(folder, tmp_path):
    make(tmp_path / "elsewhere", "kept", folder=folder)
    (tmp_path / "cube").symlink_to(tmp_path / "elsewhere", target_is_directory=folder)
    make(tmp_path / "beside", "new", folder=folder)
    put_in_place(tmp_path / "beside", tmp_path / "cube")
    assert text_of(tmp_path / "cube") == "new"
    assert text_of(tmp_path / "elsewhere") == "kept"
    assert sorted(names_in(tmp_path)) == ["cube", "elsewhere"]


@kinds
def test_removed_if_there(folder, tmp_path):
    remove(tmp_path / "nothing")
    make(tmp_path / "cube", "old", folder=folder)
    remove(tmp_path / "cube")
    assert names_in(tmp_path) == []
