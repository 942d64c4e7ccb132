"""Files that appear under their name once they are whole."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a sibling path to write to, which takes the place of ``path`` once written."""
    beside = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield beside
        put_in_place(beside, path)
    finally:
        remove(beside)


def put_in_place(beside: Path, path: Path) -> None:
    """Move a file or folder to ``path``, and remove what is there only then."""
    old = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}.old")
    # Only a file can be renamed onto another one.
    if path.exists() and (path.is_dir() or beside.is_dir()):
        path.rename(old)
    os.replace(beside, path)
    remove(old)


def remove(path: Path) -> None:
    """Remove a file or folder, if there is one."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    # When one thread fails, others are still at work and may write into the folder.
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.05)
