"""Deposit centres against the points that were labelled."""

import numpy as np
import pytest
import xarray as xr

from xgeoanom.datasets import synthetic_survey
from xgeoanom.errors import LabelError
from xgeoanom.geology.deposit_centres import deposit_centres
from xgeoanom.geology.labels import label_deposits


@pytest.mark.parametrize("ascending", [False, True])
def test_points_come_back_as_the_cells_that_hold_them(ascending):
    district = synthetic_survey(seed=3, shape=(48, 40), n_deposits=4)
    like = district.truth.sortby("y", ascending=ascending)
    centres = deposit_centres(label_deposits(district.deposits, like=like))
    assert centres.crs == district.deposits.crs
    wanted, found = (
        np.column_stack([points.geometry.x, points.geometry.y])
        for points in (district.deposits, centres)
    )
    gaps = np.abs(found[:, None] - wanted[None]).max(axis=-1)
    assert len(found) == 4
    assert (gaps.min(axis=0) <= 250.0).all()  # half a cell


def test_labels_without_deposit_are_refused():
    labels = xr.DataArray(np.full((3, 3), -1, "int8"), dims=("y", "x"))
    with pytest.raises(LabelError):
        deposit_centres(labels)
