"""RX against scikit-learn on the flattened cube; windows, holes, chunks and errors."""

import numpy as np
import pytest
from georeferenced import assert_georeferenced
from sklearn.covariance import EmpiricalCovariance
from surveys import small_cube

from xgeoanom.classical.rx import rx
from xgeoanom.errors import CubeError, GridError, WindowError


@pytest.fixture(scope="module")
def cube():
    return small_cube(holes=12)


def test_global_score_is_scikit_learns_distance(cube):
    score = rx(cube)
    assert_georeferenced(score, cube)
    vectors = cube.stack(cell=("y", "x")).dropna("cell").values.T
    n = len(vectors)
    expected = EmpiricalCovariance().fit(vectors).mahalanobis(vectors) * (n - 1) / n
    found = score.values[~np.isnan(score.values)]
    np.testing.assert_allclose(found, expected, rtol=2e-5)  # by the ridge
    assert score.attrs["shrinkage"] == 1e-6
    assert np.isnan(score.values).sum() == 12


def test_units_do_not_matter(cube):
    scaled = cube * np.array([1e-6, 1, 1e3, 1e6, 1, 1])[:, None, None]
    for windows in ({}, {"inner": 3, "outer": 9}):
        np.testing.assert_allclose(rx(scaled, **windows), rx(cube, **windows), rtol=1e-7)


@pytest.mark.parametrize("windows", [{}, {"inner": 3, "outer": 11}])
def test_clr_scores_as_its_elements_but_one(cube, windows):
    clr = cube - cube.mean("element")
    # Towards the border rings hold less than ten cells per element, and are shrunk by their number.
    whole, but_one = (rx(part, **windows)[5:-5, 5:-5] for part in (clr, clr[:5]))
    np.testing.assert_allclose(whole, but_one, rtol=2e-3)


def test_planted_cell_stands_out_of_its_ring(cube):
    planted = cube.copy()
    planted[:, 10, 10] = 8.0
    score = rx(planted, inner=3, outer=9)
    assert_georeferenced(score, cube)
    assert np.unravel_index(np.nanargmax(score), score.shape) == (10, 10)
    assert np.isnan(score.values[cube.isnull().any("element").values]).all()
    assert score.notnull().mean() > 0.95


def test_a_missing_element_makes_a_missing_cell(cube):
    holed = cube.copy()
    holed[2, 5, 5] = np.nan
    emptied = cube.copy()
    emptied[:, 5, 5] = np.nan
    for windows in ({}, {"inner": 3, "outer": 9}):
        np.testing.assert_array_equal(rx(holed, **windows), rx(emptied, **windows))


@pytest.mark.parametrize("windows", [{}, {"inner": 3, "outer": 9}])
def test_chunks_and_orientation_do_not_matter(cube, windows):
    eager = rx(cube, **windows)
    lazy = rx(cube.chunk(y=7, x=6), **windows)
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy, eager, rtol=1e-8)
    upside = rx(cube.isel(y=slice(None, None, -1)), **windows)
    np.testing.assert_allclose(upside.isel(y=slice(None, None, -1)), eager, rtol=1e-8)


def test_windows_compute_nothing_early(cube, no_compute):
    lazy = cube.chunk(y=12, x=10)
    with no_compute():
        rx(lazy, inner=3, outer=9)


def test_few_cells_are_shrunk_and_say_so(cube):
    tiny = cube.isel(y=slice(0, 2), x=slice(0, 2))  # four cells, six elements
    assert 0 < rx(tiny).attrs["shrinkage"] < 1
    assert np.isfinite(rx(tiny)).all()
    assert rx(cube, inner=3, outer=5).attrs["shrinkage"] == pytest.approx(1 - 16 / 60)


def test_input_is_untouched(cube):
    before = cube.copy(deep=True)
    rx(cube, inner=3, outer=9)
    assert cube.identical(before)


def test_dataset_of_elements(cube):
    ds = cube.drop_vars("unit").to_dataset("element")
    expected = rx(cube.sel(element=list(ds)))
    np.testing.assert_array_equal(rx(ds), expected)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ({"inner": 3}, "outer=None: give both"),
        ({"inner": 5, "outer": 3}, "outer=3 must be larger"),
        ({"inner": 2, "outer": 5}, "inner=2 must be a positive odd"),
        ({"inner": 3, "outer": 21}, "outer=21 is larger than the survey of 24 x 20"),
    ],
)
def test_wrong_windows(cube, windows, message):
    with pytest.raises(WindowError, match=message):
        rx(cube, **windows)


def test_constant_element(cube):
    constant = cube.copy()
    constant[1] = 0.1
    with pytest.raises(CubeError, match=r"element=\['As'\] is the same in all cells"):
        rx(constant)
    kept = cube.drop_sel(element="As")
    found, expected = (rx(part, inner=3, outer=11)[5:-5, 5:-5] for part in (constant, kept))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_no_valid_cells(cube):
    with pytest.raises(GridError, match="0 cells without NaN"):
        rx(cube * np.nan)
    with pytest.raises(CubeError, match="cube is a ndarray"):
        rx(cube.values)
