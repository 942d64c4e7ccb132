"""Support of a map: distances and counts against a loop."""

import numpy as np
import pytest
from georeferenced import assert_georeferenced
from surveys import random_survey

from xgeoanom.errors import GridError
from xgeoanom.survey.inverse_distance import idw
from xgeoanom.survey.support import sample_support


@pytest.mark.parametrize("flip", [False, True])
def test_equals_a_loop(flip, no_compute):
    table = random_survey()
    table["concentration"][7] = np.nan  # a place without any element
    like = idw(table, spacing=700.0, n_neighbors=3)
    like = like.isel(y=slice(None, None, -1)) if flip else like
    with no_compute():
        support = sample_support(table, max_distance=1500.0, like=like)
    keep = np.arange(60) != 7
    x, y = table["x"].values[keep], table["y"].values[keep]
    for i, row in enumerate(like["y"].values):
        for j, col in enumerate(like["x"].values):
            distance = np.hypot(x - col, y - row)
            assert support["sample_distance"].values[i, j] == pytest.approx(distance.min())
            assert support["sample_count"].values[i, j] == (distance <= 1500).sum()
    assert_georeferenced(support, like)
    assert support["sample_distance"].attrs["units"] == "metre"


def test_bad_input():
    with pytest.raises(GridError, match="max_distance=0"):
        sample_support(random_survey(), max_distance=0, spacing=500.0)
    with pytest.raises(GridError, match="give a raster"):
        sample_support(random_survey(), max_distance=10.0, like=random_survey())
