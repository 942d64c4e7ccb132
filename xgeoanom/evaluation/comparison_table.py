"""A comparison as a table to read."""

import numpy as np
import pandas as pd
import xarray as xr

from xgeoanom.errors import LabelError


def comparison_table(comparison: xr.Dataset, survey: str | None = None) -> pd.DataFrame:
    """Return a comparison as a readable table, best honest AUC first.

    Parameters
    ----------
    comparison : Dataset
        What :func:`compare` returned.
    survey : str, optional
        Which one; needed only where there are several.

    Returns
    -------
    pandas.DataFrame
        Text, one row for each method: kind, the AUC of a random split and of training deposits,
        honest AUC with its interval and of how many targets, the p-values of both nulls, average
        precision, captures, seconds and memory. A method that failed says why in place of its
        honest AUC.

    Raises
    ------
    LabelError
        If the survey is not in the comparison, or not said.

    Examples
    --------
    >>> import warnings
    >>> import xgeoanom as xga
    >>> district = xga.datasets.synthetic_survey(seed=0, shape=(64, 64), n_deposits=5)
    >>> yardstick = xga.Yardstick(
    ...     ds=xga.idw(district.survey, spacing=500.0), deposits=district.deposits,
    ...     target="Au", min_distance=3000, max_distance=500, buffer_cells=12,
    ... )
    >>> with warnings.catch_warnings(action="ignore"):
    ...     result = xga.compare({"RX": xga.rx}, yardstick, n_shifts=99, seed=0)
    >>> comparison_table(result).loc["RX", "kind"]
    'label-free'
    """
    one = of_survey(comparison, survey)
    one = one.isel(score=np.argsort(-one["auc"].fillna(-1).values, kind="stable"))
    rows = [_row(one.isel(score=k)) for k in range(one.sizes["score"])]
    return pd.DataFrame(rows, index=pd.Index(one["score"].values, name="score"))


def of_survey(comparison: xr.Dataset, survey: str | None) -> xr.Dataset:
    """Return the methods that were run on ``survey``, or on the only one."""
    names = comparison["survey"].values.tolist()
    if survey is None and len(names) == 1:
        survey = names[0]
    if survey not in names:
        raise LabelError(f"survey={survey!r} is not one of {names}")
    one = comparison.sel(survey=survey)
    return one.isel(score=(one["auc"].notnull() | (one["error"] != "")).values)


def _row(method: xr.Dataset) -> dict[str, str]:
    value = {name: _number(array) for name, array in method.items() if array.ndim == 0}
    auc = f"{value['auc']} ({value['auc_low']} to {value['auc_high']})"
    return {
        "kind": str(method["kind"].item()),
        "random split": value["random_split_auc"],
        "own deposits": value["training_auc"],
        "honest AUC": auc if value["auc"] else str(method["error"].item()),
        "targets": _number(method["n_positives"], digits=0),
        "p (shifted sites)": value["shift_p"],
        "p (random sites)": value["random_site_p"],
        "AP": _number(method["average_precision"], digits=4),
        **{
            f"capture in {area:.0%}": _number(method["capture"].sel(area=area))
            for area in method["area"].values
        },
        "seconds": _number(method["seconds"], digits=1),
        "MB": _number(method["memory_mb"], digits=0),
    }


def _number(array: xr.DataArray, digits: int = 2) -> str:
    if array.dtype.kind != "f" or array.isnull():
        return ""
    digits = digits + 1 if str(array.name).endswith("_p") else digits  # 0.002 is no 0.00
    return f"{array.item():.{digits}f}"
