"""What a yardstick takes, and what it refuses before any work."""

import dataclasses

import geopandas as gpd
import pytest
import xarray as xr
from planted import planted_cube, planted_deposits, planted_yardstick

import xgeoanom as xga
from xgeoanom.errors import CompositionError, CubeError, LabelError


@pytest.fixture(scope="module")
def cube():
    return planted_cube()


@pytest.fixture(scope="module")
def deposits(cube):
    return planted_deposits(cube)


@pytest.fixture(scope="module")
def yardstick(cube, deposits):
    return planted_yardstick(cube, deposits)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"target": "Xx"}, CubeError, "Xx"),
        ({"pathfinders": ["Au", "W"]}, CubeError, "W"),
        ({"pathfinders": "As"}, CubeError, "pathfinders='As' must be a list"),
        ({"buffer_cells": -1}, LabelError, "buffer_cells=-1"),
        ({"radius_cells": "1"}, LabelError, "radius_cells='1'"),
        ({"min_distance": "3"}, LabelError, "min_distance='3'"),
        ({"cluster_distance": -5}, LabelError, "cluster_distance=-5"),
        ({"table": 5}, CubeError, "table is a int"),
        ({"ds": None}, CubeError, "ds is a NoneType"),
        ({"min_distance": 1e6}, LabelError, "min_distance"),
    ],
)
def test_wrong_arguments(yardstick, change, error, message):
    with pytest.raises(error, match=message):
        dataclasses.replace(yardstick, **change)


def test_parts_that_are_missing_are_refused(yardstick, cube):
    holes = cube.where((cube.element != "As") | (cube.x > cube.x[3]))
    with pytest.raises(CompositionError, match="As"):
        dataclasses.replace(yardstick, ds=holes)


def test_log_ratios_are_refused(yardstick, cube):
    with pytest.raises(CubeError, match="give concentrations"):
        dataclasses.replace(yardstick, ds=xga.clr(cube))


def test_deposits_off_the_survey_are_not_labelled(yardstick, deposits):
    far = deposits.translate(xoff=1e6).to_frame("geometry")
    both = gpd.GeoDataFrame(geometry=[*deposits.geometry, *far.geometry], crs=deposits.crs)
    xr.testing.assert_equal(yardstick.labels_of(both), yardstick.labels)
