"""A scikit-learn estimator as JSON: its class and parameters, never what it learned.

Loading makes no object but scikit-learn's estimators, arrays and plain values.
"""

import warnings
from importlib import import_module
from typing import Any

import numpy as np
import sklearn
from sklearn.base import BaseEstimator

from xgeoanom.errors import ModelFileError

_PLAIN = (bool, int, float, str, type(None))


def to_json(estimator: Any) -> dict[str, Any]:
    """Return the class, parameters and version of scikit-learn, for ``json.dumps``.

    Raises
    ------
    ModelFileError
        If a class is not scikit-learn's, or a parameter is no plain value, array or estimator.
    """
    if not isinstance(estimator, BaseEstimator):
        raise ModelFileError(f"{estimator!r} is a {type(estimator).__name__}, which no file holds")
    return {**_written(estimator, "estimator"), "version": sklearn.__version__}


def from_json(entry: dict[str, Any]) -> BaseEstimator:
    """Return the unfitted estimator that :func:`to_json` wrote.

    Warns
    -----
    UserWarning
        If another version of scikit-learn wrote it: what it learns may differ.

    Raises
    ------
    ModelFileError
        If it names what is no estimator of scikit-learn.
    """
    if entry["version"] != sklearn.__version__:
        warnings.warn(
            f"saved with scikit-learn {entry['version']} and fitted again with "
            f"{sklearn.__version__}: scores may differ",
            stacklevel=5,
        )
    estimator: BaseEstimator = _read({"class": entry["class"], "params": entry["params"]})
    return estimator


def _written(value: Any, name: str) -> Any:
    """Return what JSON can hold; JSON has no tuples, arrays or keys but strings."""
    if isinstance(value, BaseEstimator):
        params = value.get_params(deep=False)
        _check_memory(params)
        written = {key: _written(param, f"{name}.{key}") for key, param in params.items()}
        return {"class": _public_path(type(value)), "params": written}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list):
        return [_written(item, name) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_written(item, name) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_written(key, name), _written(v, name)] for key, v in value.items()]}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    raise ModelFileError(
        f"{name}={value!r} is a {type(value).__name__}, which a file of plain values cannot hold; "
        "give numbers, text, arrays or scikit-learn's estimators"
    )


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_read(item) for item in value["tuple"])
    if "dict" in value:
        return {_read(key): _read(item) for key, item in value["dict"]}
    if "array" in value:
        return np.array(value["array"], dtype=value["dtype"])
    params = {key: _read(param) for key, param in value["params"].items()}
    _check_memory(params)
    return _class_at(value["class"])(**params)


def _public_path(kind: type) -> str:
    """Return where a class is imported from: ``sklearn.svm.SVC``, not ``sklearn.svm._classes``."""
    parts = kind.__module__.split(".")
    public = [part for k, part in enumerate(parts) if not any(p[0] == "_" for p in parts[: k + 1])]
    path = ".".join([*public, kind.__name__])
    if _class_at(path) is not kind:
        raise ModelFileError(f"estimator={kind.__name__} cannot be found at {path}")
    return path


def _class_at(path: str) -> type[BaseEstimator]:
    """Return the estimator class at ``path``, which must lie in scikit-learn."""
    module, _, name = path.rpartition(".")
    found = None
    if module.split(".")[0] == "sklearn":
        try:
            found = getattr(import_module(module), name, None)
        except ImportError:
            found = None
    if not (isinstance(found, type) and issubclass(found, BaseEstimator)):
        raise ModelFileError(
            f"estimator={path} is no estimator of scikit-learn {sklearn.__version__}; a file can "
            "hold no other"
        )
    return found


def _check_memory(params: dict[str, Any]) -> None:
    if params.get("memory") is not None:  # a pipeline would unpickle what it finds there
        raise ModelFileError(f"memory={params['memory']!r} must be None to save an estimator")
