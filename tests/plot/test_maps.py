"""Maps: north up, cells in their place, the paper's colours, no figure left over."""

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_hex

from xgeoanom.errors import CRSError, CubeError, XGeoAnomError
from xgeoanom.evaluation.classify import classify
from xgeoanom.plot.maps import class_map, element_map, score_map, window_maps

NY, NX = 20, 30


def raster(values=None, *, ascending=False, crs=32650, step=500.0):
    """A score that grows to the north; rows run north to south unless ascending."""
    y, x = 4_300_000 + step * np.arange(NY), 500_000 + step * np.arange(NX)
    if values is None:
        values = np.arange(NY)[:, None] / NY + np.zeros(NX)
    score = xr.DataArray(values, coords={"y": y, "x": x}, dims=("y", "x"), name="ppf_cnn")
    score = score.rio.write_crs(crs) if crs else score
    return score if ascending else score.sortby("y", ascending=False)


def points(*cells):
    x, y = zip(*cells, strict=True)
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=32650)


def cube(log_ratio="none"):
    layers = [raster(np.exp(np.random.default_rng(k).normal(size=(NY, NX)))) for k in range(4)]
    names = ["Au", "Cu", "As", "Hg"]
    stack = xr.concat(layers, dim="element").assign_coords(
        element=names, unit=("element", ["ppb", "ppm", "ppm", "ppb"])
    )
    return stack.assign_attrs(log_ratio=log_ratio).rename("concentration")


def shown(ax):
    """The picture as drawn: first row on top."""
    values = ax.images[0].get_array()
    return np.ma.filled(values[::-1] if ax.images[0].origin == "lower" else values, np.nan)


def texts(ax):
    return [text.get_text() for text in ax.get_legend().texts]


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("draw", [score_map, lambda s: class_map(classify(s))])
def test_north_is_up_and_cells_surround_their_centres(draw, ascending):
    ax = draw(raster(ascending=ascending))
    assert isinstance(ax, Axes)
    picture = shown(ax)
    assert (np.diff(picture[:, 0]) <= 0).all()
    assert picture[0, 0] > picture[-1, 0]
    np.testing.assert_allclose(ax.images[0].get_extent(), [499.75, 514.75, 4299.75, 4309.75])
    np.testing.assert_allclose([*ax.get_xlim(), *ax.get_ylim()], ax.images[0].get_extent())
    assert ax.get_aspect() == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Easting (km)", "Northing (km)")


def test_units_of_the_axes():
    assert score_map(raster(step=10.0)).get_xlabel() == "Easting (m)"
    assert score_map(raster(crs=None)).get_xlabel() == "x"
    assert score_map(raster(crs=4326)).get_xlabel() == "Longitude (°)"
    assert score_map(raster(crs=2229)).get_xlabel() == "Easting (US survey foot)"


def test_missing_cells_are_blank():
    score = raster()
    score[3, 4] = np.nan
    picture = score_map(score).images[0].get_array()[::-1]
    assert picture.mask[3, 4]
    assert picture.mask.sum() == 1


def test_score_map_marks_deposits_and_names_the_score():
    score = raster().assign_attrs(long_name="anomaly score", units="1")
    before = score.copy(deep=True)
    ax = score_map(score.chunk(y=6), deposits=points((501_000, 4_302_000), (510_000, 4_308_000)))
    xr.testing.assert_identical(score, before)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), [[501, 4302], [510, 4308]])
    assert texts(ax) == ["Deposit (n = 2)"]
    assert ax.figure.axes[1].get_ylabel() == "anomaly score"
    with pytest.raises(CRSError, match="to_crs"):
        score_map(score, deposits=points((0, 0)).set_crs(32651, allow_override=True))


def test_deposits_outside_do_not_stretch_the_map():
    ax = score_map(raster(), deposits=points((900_000, 4_302_000)))
    assert ax.get_xlim()[1] == pytest.approx(514.75)


def test_class_map_has_the_colours_of_the_paper():
    score = raster(np.random.default_rng(0).random((NY, NX)))
    classes = classify(score)
    image = class_map(classes).images[0]
    rgb = {k: to_hex(image.cmap(image.norm(k))) for k in (3, 2, 1, 0, -1)}
    assert rgb == {3: "#d7301f", 2: "#fdd049", 1: "#4a90c9", 0: "#e9e9e9", -1: "#ffffff"}
    hue = {k: tuple(int(value[i : i + 2], 16) for i in (1, 3, 5)) for k, value in rgb.items()}
    assert hue[3][0] > 200 > max(hue[3][1:])  # red
    assert min(hue[2][:2]) > 200 > hue[2][2]  # yellow
    assert hue[1][2] == max(hue[1])  # blue


def test_class_legend_tells_shares_and_missing_only_where_there_is_any():
    score = raster(np.random.default_rng(0).random((NY, NX)))
    want = ["High (top 5 %)", "Moderate (5–15 %)", "Low (15–30 %)", "Rest"]
    assert texts(class_map(classify(score))) == want
    score[0, 0] = np.nan
    ax = class_map(classify(score), deposits=points((501_000, 4_302_000)))
    assert texts(ax) == [*want, "Missing", "Deposit (n = 1)"]
    bare = classify(score).drop_attrs()
    assert texts(class_map(bare))[:3] == ["High", "Moderate", "Low"]


def test_given_axes_are_used_and_nothing_else_is_opened():
    figure, axes = plt.subplots(1, 2)
    open_before = plt.get_fignums()
    settings = dict(plt.rcParams)
    assert score_map(raster(), ax=axes[0]) is axes[0]
    assert class_map(classify(raster()), ax=axes[1]) is axes[1]
    assert plt.get_fignums() == open_before
    assert dict(plt.rcParams) == settings
    assert axes[0].figure is figure


def test_without_axes_one_figure_is_opened():
    before = len(plt.get_fignums())
    score_map(raster())
    assert len(plt.get_fignums()) == before + 1
    element_map(cube())
    assert len(plt.get_fignums()) == before + 2


def test_element_maps():
    axes = element_map(cube().to_dataset(), ["Cu", "Au"])
    assert [ax.get_title(loc="left") for ax in axes] == ["Cu", "Au"]
    bars = axes[0].figure.axes[2:]
    assert [bar.get_ylabel() for bar in bars] == ["ppm", "ppb"]
    assert isinstance(axes[0].images[0].norm, LogNorm)
    au = cube().sel(element="Au").values
    np.testing.assert_allclose(axes[1].images[0].get_clim(), np.quantile(au, [0.02, 0.98]))


def test_log_ratios_have_a_linear_scale():
    logs = np.log(cube()).assign_attrs(log_ratio="clr")
    axes = element_map(logs, "Au")
    assert len(axes) == 1
    assert not isinstance(axes[0].images[0].norm, LogNorm)
    assert axes[0].figure.axes[1].get_ylabel() == "clr"


def test_only_outer_panels_are_labelled():
    axes = element_map(cube())  # three and one
    assert [bool(ax.get_ylabel()) for ax in axes] == [True, False, False, True]
    assert [bool(ax.get_xlabel()) for ax in axes] == [False, True, True, True]


def test_element_map_names_what_is_wrong():
    with pytest.raises(CubeError, match="Zz"):
        element_map(cube(), ["Au", "Zz"])
    with pytest.raises(XGeoAnomError, match="axes holds 1 axes, the figure needs 2"):
        element_map(cube(), ["Au", "Cu"], axes=[plt.subplots()[1]])


def test_constant_and_empty_layers_are_drawn():
    flat = cube()[:2] * 0 + np.array([3.0, np.nan])[:, None, None]
    for ax in element_map(flat):
        ax.figure.draw_without_rendering()


@pytest.mark.parametrize("with_auc", [True, False])
def test_window_maps(with_auc):
    score = xr.concat([raster(), raster() ** 2], dim="window")
    sweep = score.to_dataset(name="score").assign_coords(
        inner=("window", [3, 5]), outer=("window", [5, 13])
    )
    if with_auc:
        sweep["auc"] = "window", [0.71, 0.8234]
    axes = window_maps(sweep, deposits=points((501_000, 4_302_000)))
    suffix = ("   AUC 0.710", "   AUC 0.823") if with_auc else ("", "")
    assert [ax.get_title(loc="left") for ax in axes] == [
        "(3, 5)" + suffix[0],
        "(5, 13)" + suffix[1],
    ]
    assert sorted(np.unique(shown(axes[1]))) == [0, 1, 2, 3]
    assert len(axes[0].figure.legends[0].texts) == 5
