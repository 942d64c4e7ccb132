"""What is installed here: the first thing to paste into a bug report."""

import platform
import re
import sys
from importlib import metadata
from typing import TextIO


def show_versions(file: TextIO | None = None) -> None:
    """Print the versions of Python, the system, xgeoanom and what it stands on.

    Nothing is imported, so that it is quick and works in a broken environment.

    Parameters
    ----------
    file : TextIO, optional
        Where to print; standard output if left out.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> xga.show_versions()
    xgeoanom: 0...
    python: 3...
    """
    print(f"xgeoanom: {_installed('xgeoanom')}", file=file)
    print(f"python: {platform.python_version()} ({sys.executable})", file=file)
    print(f"system: {platform.platform()}", file=file)
    for name in _dependencies():
        print(f"{name}: {_installed(name)}", file=file)


def _dependencies() -> list[str]:
    """Return what xgeoanom itself declares to need, extras aside."""
    declared = metadata.requires("xgeoanom") or []
    return [re.split(r"[^\w.-]", entry)[0] for entry in declared if "extra ==" not in entry]


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
