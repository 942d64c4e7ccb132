"""Rank fusion: pandas' ranks as oracle."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from georeferenced import assert_georeferenced
from surveys import small_cube

from xgeoanom.classical.rank_fusion import rank_fusion
from xgeoanom.errors import GridError


@pytest.fixture
def scores():
    cube = small_cube(holes=9).round(1)  # ties
    found = cube.sel(element=["Au", "As", "Cu"]).drop_vars("unit").to_dataset("element")
    found["As"] = found["As"].where(found["x"] > found["x"][0])
    return found


def test_mean_rank_equals_pandas(scores):
    fused = rank_fusion(scores)
    table = pd.DataFrame({name: scores[name].values.ravel() for name in scores}).dropna()
    ranks = (table.rank().mean(axis=1) - 1) / (len(table) - 1)
    np.testing.assert_allclose(fused.values.ravel()[table.index], ranks)
    assert int(fused.notnull().sum()) == len(table)
    assert_georeferenced(fused, scores)


def test_units_do_not_matter(scores):
    other = scores.assign(Au=np.exp(scores["Au"]), Cu=100 * scores["Cu"] - 7)
    np.testing.assert_allclose(rank_fusion(other), rank_fusion(scores))


def test_lazy_directions_and_inputs(scores):
    before = scores.copy(deep=True)
    turned = rank_fusion(scores.chunk(y=5).isel(y=slice(None, None, -1)))
    xr.testing.assert_allclose(turned.isel(y=slice(None, None, -1)), rank_fusion(scores))
    xr.testing.assert_identical(scores, before)


def test_errors(scores):
    with pytest.raises(GridError, match="two or more"):
        rank_fusion(scores[["Au"]])
    with pytest.raises(GridError, match="share 0 cells"):
        rank_fusion(scores.where(False))
    with pytest.raises(GridError, match="scores is a DataArray"):
        rank_fusion(scores["Au"])
