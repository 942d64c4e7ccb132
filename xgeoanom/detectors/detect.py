"""Any detector on a dataset: fit it, add its score, or read a saved one."""

from collections.abc import Hashable
from pathlib import Path

import xarray as xr

from xgeoanom.conventions import cube_of, raster_of
from xgeoanom.detectors.base import Detector
from xgeoanom.errors import CubeError


def detect(
    ds: xr.Dataset,
    detector: Detector,
    labels: Hashable | xr.DataArray | None = None,
    *,
    evidence: xr.Dataset | None = None,
    name: str | None = None,
) -> xr.Dataset:
    """Fit ``detector`` on ``ds`` and add its score.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube; see ``ds.anom.cube``.
    detector : Detector
        Fitted in place, so that it can be saved afterwards.
    labels : str or xarray.DataArray
        A variable's name or a raster: 1 deposit, 0 background, -1 unlabelled. Only a detector
        that is not ``supervised`` does without.
    evidence : xarray.Dataset, optional
        Rasters that the detector needs; by default variables of ``ds``.
    name : str, optional
        Of the new variable; the detector's own by default.

    Returns
    -------
    xarray.Dataset
        ``ds`` with ``<name>``, of several draws ``<name>_std``, and a system's own layers.

    Raises
    ------
    XGeoAnomError
        As :meth:`Detector.fit` and :meth:`Detector.predict` do.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> detector = xga.baselines(draws=1, seed=0)["logistic_regression"]
    >>> out = detect(ds, detector, "labels", name="logit")
    >>> out["logit"].dims
    ('y', 'x')
    """
    name = _name_of_score(ds, detector, name)
    rasters = None if labels is None else raster_of(ds, labels, "labels")
    detector.fit(cube_of(ds), rasters, evidence=ds if evidence is None else evidence)
    return predict(ds, detector, evidence=evidence, name=name)


def predict(
    ds: xr.Dataset,
    detector: Detector,
    *,
    evidence: xr.Dataset | None = None,
    name: str | None = None,
) -> xr.Dataset:
    """Add the score of a fitted ``detector`` to ``ds``; lazy where its cube is.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds one element cube.
    detector : Detector
        Fitted or loaded.
    evidence : xarray.Dataset, optional
        Rasters that the detector needs; by default variables of ``ds``.
    name : str, optional
        Of the new variable; the detector's own by default.

    Returns
    -------
    xarray.Dataset
        ``ds`` with ``<name>``, of several draws ``<name>_std``, and a system's own layers.

    Raises
    ------
    NotFittedError
        If the detector is not fitted.
    CubeError
        If the cube's elements, units or log-ratio are not those of the fit, or ``name`` is taken
        by something else than a score of this detector.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> detector = xga.baselines(draws=1, seed=0)["logistic_regression"]
    >>> out = predict(ds, detector.fit(ds["clr"], ds["labels"]))
    >>> sorted(set(out) - set(ds))
    ['logistic_regression']
    """
    name = _name_of_score(ds, detector, name)
    maps = detector.predict(cube_of(ds), evidence=ds if evidence is None else evidence)
    return ds.assign(
        {name if layer == "score" else f"{name}_{layer}": array for layer, array in maps.items()}
    )


def _name_of_score(ds: xr.Dataset, detector: Detector, name: str | None) -> str:
    """Return the name of the new variable; only a score may be written over."""
    if not isinstance(ds, xr.Dataset):
        raise CubeError(f"ds is a {type(ds).__name__}; make it a dataset: ds.to_dataset(name=...)")
    name = name or detector.name
    layers = {name, *(f"{name}_{layer}" for layer in ("std", *detector.extra))}
    for taken in layers & set(ds.variables):
        if ds[taken].attrs.get("method") != detector.name:
            raise CubeError(f"name={name!r} would overwrite {taken!r} of ds; choose another name")
    return name


def load_detector(path: str | Path, *, device: str | None = None) -> Detector:
    """Read a saved detector of any class.

    Parameters
    ----------
    path : str or pathlib.Path
        A file that :meth:`Detector.save` wrote.
    device : str, optional
        Torch device to score on; by default the GPU where there is one.

    Returns
    -------
    Detector
        Fitted: its scores equal those before saving bit by bit.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated or foreign.

    Examples
    --------
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> ds = xga.clr(xga.idw(district.survey, spacing=500.0)).to_dataset(name="clr")
    >>> ds["labels"] = xga.label_deposits(district.deposits, like=ds)
    >>> detector = xga.baselines(draws=1, seed=0)["logistic_regression"]
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     detector.fit(ds["clr"], ds["labels"]).save(f"{folder}/logit.safetensors")
    ...     load_detector(f"{folder}/logit.safetensors").name
    'logistic_regression'
    """
    return Detector.load(path, device=device)
