"""The biplot: what is drawn is what was computed."""

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt

from xgeoanom.errors import CubeError
from xgeoanom.plot.components import biplot
from xgeoanom.survey.components import principal_components

NAMES = ["Au", "As", "Cu", "Ti"]


def components(n=50):
    logs = np.random.default_rng(0).normal(size=(n, 4)) * [1.0, 2.0, 0.5, 1.5]
    logs[3] = np.nan
    table = xr.DataArray(np.exp(logs), dims=("sample", "element"), coords={"element": NAMES})
    return principal_components(table)


@pytest.mark.parametrize("pc", [(1, 2), (3, 1)])
def test_scores_and_loadings_lie_in_the_plane(pc):
    found = components()
    ax = biplot(found, pc=pc)
    at = [k - 1 for k in pc]
    dots, arrows = ax.collections
    scores = found["scores"].values[:, at]
    np.testing.assert_allclose(dots.get_offsets(), scores[np.isfinite(scores).all(axis=1)])
    ends = np.column_stack([arrows.U, arrows.V])
    loadings = found["loadings"].values[at].T
    stretch = ends[0, 0] / loadings[0, 0]
    np.testing.assert_allclose(ends, stretch * loadings)
    assert np.hypot(*ends.T).max() == pytest.approx(0.9 * np.nanmax(np.abs(scores)))
    np.testing.assert_allclose(arrows.get_offsets(), 0)
    assert [text.get_text() for text in ax.texts] == NAMES
    for text, end in zip(ax.texts, ends):
        np.testing.assert_allclose(text.get_position(), 1.04 * end)
    shares = 100 * found["explained_variance_ratio"].values[at]
    assert ax.get_xlabel() == f"PC{pc[0]} ({shares[0]:.1f} % of variance)"
    assert ax.get_ylabel() == f"PC{pc[1]} ({shares[1]:.1f} % of variance)"
    assert ax.get_aspect() == 1


def test_many_scores_are_drawn_as_density():
    found = components(4000)
    ax = biplot(found)
    assert ax.collections[0].get_array().sum() == 3999
    ax.figure.draw_without_rendering()


def test_lazy_scores_of_a_cube():
    logs = np.random.default_rng(1).normal(size=(4, 5, 6))
    cube = xr.DataArray(np.exp(logs), dims=("element", "y", "x"), coords={"element": NAMES})
    ax = biplot(principal_components(cube.chunk(y=2)))
    assert len(ax.collections[0].get_offsets()) == 30


def test_given_axes_are_used():
    ax = plt.subplots()[1]
    before = plt.get_fignums()
    assert biplot(components(), ax=ax) is ax
    assert plt.get_fignums() == before


@pytest.mark.parametrize("pc", [(1, 1), (0, 1), (1, 4), (1, 2, 3), 1, "12", ([1], [2])])
def test_components_must_be_two_that_are_there(pc):
    with pytest.raises(CubeError, match=r"two different components of 1 to 3"):
        biplot(components(), pc=pc)


def test_two_elements_have_no_plane():
    logs = np.random.default_rng(0).normal(size=(9, 2))
    table = xr.DataArray(np.exp(logs), dims=("sample", "element"), coords={"element": NAMES[:2]})
    with pytest.raises(CubeError, match="1 component; a biplot needs two, of three elements"):
        biplot(principal_components(table))


def test_only_components_are_drawn():
    with pytest.raises(CubeError, match="principal_components"):
        biplot(components().drop_vars("loadings"))
