"""The output check that ends the test of every operation."""

import json

import numpy as np
import xarray as xr

PROVENANCE = ("method", "parameters", "version")


def assert_georeferenced(result, like, *, provenance=True):
    """Assert that ``result`` lies on the grid of ``like`` and says itself what it is.

    Same ``y`` and ``x``, bit for bit; same CRS; a ``long_name`` and ``units`` of its own; attrs
    that say how it came about. A Dataset is checked variable by variable.
    """
    if isinstance(result, xr.Dataset):
        for array in result.data_vars.values():
            assert_georeferenced(array, like, provenance=provenance)
        return
    for dim in ("y", "x"):
        np.testing.assert_array_equal(result[dim].values, like[dim].values, err_msg=dim)
    assert like.rio.crs is not None, "the input has no CRS to keep"
    assert result.rio.crs == like.rio.crs
    assert result.rio.transform() == like.rio.transform()
    for attr in ("long_name", "units"):
        assert isinstance(result.attrs.get(attr), str), f"{result.name} has no {attr}"
    if isinstance(like, xr.DataArray):
        assert result.attrs["long_name"] != like.attrs.get("long_name"), "long_name is inherited"
    if provenance:
        missing = [attr for attr in PROVENANCE if attr not in result.attrs]
        assert not missing, f"{result.name} lacks attrs {missing}"
        json.loads(result.attrs["parameters"])
