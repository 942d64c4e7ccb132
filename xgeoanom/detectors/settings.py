"""Checks of hyperparameters: one clear error that names the field, its value and what it may be."""

from pathlib import Path
from typing import Any

import numpy as np

from xgeoanom.errors import XGeoAnomError


def check_choice(field: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise XGeoAnomError(f"{field}={value!r} is not one of {choices}")


def check_whole(field: str, value: Any, least: int) -> None:
    """Raise unless ``value`` is an integer of at least ``least``."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise XGeoAnomError(f"{field}={value!r} must be an integer of at least {least}")


def check_several_whole(field: str, values: Any, least: int, example: tuple[int, ...]) -> None:
    """Raise unless ``values`` is a tuple of integers of at least ``least``, one or more."""
    if not isinstance(values, tuple) or not values:
        raise XGeoAnomError(f"{field}={values!r} must be integers, as {example}")
    for value in values:
        check_whole(field, value, least)


def check_number(field: str, value: Any, below: float) -> None:
    """Raise unless ``value`` is a number of at least 0, and less than ``below``."""
    if not isinstance(value, int | float | np.number) or not 0 <= value < below:
        raise XGeoAnomError(f"{field}={value!r} must be a number of at least 0, below {below}")


def check_path(field: str, path: Any) -> None:
    """Raise unless ``path`` is one, or None."""
    if path is not None and not (isinstance(path, str | Path) and str(path)):
        raise XGeoAnomError(f"{field}={path!r} must be a path, or None")
