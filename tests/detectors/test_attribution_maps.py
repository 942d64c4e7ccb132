"""Attribution maps: what `explain` says at a cell, everywhere."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_detectors import DETECTORS
from surveys import small_cube, small_labels

from xgeoanom.conventions import north_up
from xgeoanom.detectors.attribution_maps import attribution_maps, attribution_summary
from xgeoanom.detectors.autoencoder import Autoencoder, ConvAutoencoder
from xgeoanom.detectors.masked_autoencoder import MaskedAutoencoder
from xgeoanom.detectors.mim import MIM
from xgeoanom.detectors.ppf_cnn import PPFCNN
from xgeoanom.errors import CubeError, NotFittedError, XGeoAnomError

SMALL = {"width": 8, "depth": 1, "heads": 2, "decoder_width": 8, "decoder_heads": 2}
SMALL |= {"window": 3, "epochs": 1, "seed": 0}
OF_WINDOWS = {
    "mim": lambda: MIM(**SMALL, head_epochs=1, draws=2),
    "masked_autoencoder": lambda: MaskedAutoencoder(**SMALL),
    "gk_dcn": lambda: DETECTORS["gk_dcn"](window=3, draws=1),
    "ppf_cnn": lambda: PPFCNN(inner=1, outer=3, draws=1, epochs=1, seed=0),
    "autoencoder": DETECTORS["autoencoder"],
    "conv_autoencoder": DETECTORS["conv_autoencoder"],
    "sklearn": DETECTORS["sklearn classifier"],
    "weighted_elements": DETECTORS["weighted_elements"],
}


@pytest.fixture(scope="module")
def cube():
    return small_cube(16, 12, elements=("Au", "As", "Cu", "Pb"), holes=9)


@pytest.fixture(scope="module")
def rebuilder(cube):
    return ConvAutoencoder(window=5, draws=2, epochs=1, seed=0).fit(cube)


@pytest.mark.parametrize("name", OF_WINDOWS)
def test_a_map_holds_what_explain_says(cube, name):
    detector = OF_WINDOWS[name]().fit(cube, small_labels(cube))
    part = cube[:, 8:11, 4:8]
    maps = attribution_maps(detector, part)
    known = part.notnull().all("element")
    assert (maps.notnull() == known).all()
    rows, cols = np.nonzero(known.values)
    at = list(zip(part.x.values[cols], part.y.values[rows], strict=True))
    told = detector.explain(part, at)
    np.testing.assert_allclose(maps.values[:, rows, cols].T, told, rtol=1e-4, atol=1e-5)
    assert float(np.abs(told).max()) > 0
    assert maps.name == told.name
    assert maps.attrs == told.attrs


def test_grid_and_attrs(cube, rebuilder):
    maps = attribution_maps(rebuilder, cube, how="residual")
    assert maps.dims == ("element", "y", "x")
    assert maps.dtype == "float32"
    for dim in maps.dims:
        np.testing.assert_array_equal(maps[dim], cube[dim])
    assert set(maps.coords) == {"element", "y", "x", "spatial_ref"}
    assert maps.rio.crs == cube.rio.crs
    assert maps.attrs["long_name"] == "conv_autoencoder residual"
    assert (maps.attrs["units"], maps.attrs["method"]) == ("1", "conv_autoencoder")
    assert not maps.equals(attribution_maps(rebuilder, cube))


@pytest.mark.parametrize("turn", [{"y": slice(None, None, -1)}, {"x": slice(None, None, -1)}])
def test_axes_may_run_either_way(cube, rebuilder, turn):
    turned = attribution_maps(rebuilder, cube.isel(turn))
    assert north_up(turned) == north_up(cube.isel(turn))
    np.testing.assert_allclose(turned.isel(turn), attribution_maps(rebuilder, cube), atol=1e-6)


def test_lazy_in_lazy_out(cube, rebuilder, no_compute):
    with no_compute():
        lazy = attribution_maps(rebuilder, cube.chunk(y=5, x=4))
        part = lazy.isel(y=slice(3), x=slice(2, 6))
    whole = attribution_maps(rebuilder, cube)
    np.testing.assert_allclose(lazy, whole, atol=1e-6)
    # A part of the result knows what lies around it.
    np.testing.assert_allclose(part, whole[:, :3, 2:6], atol=1e-6)


@pytest.mark.parametrize("name", ["sklearn", "ppf_cnn"])
def test_blocks_without_a_known_cell(cube, name):
    detector = OF_WINDOWS[name]().fit(cube, small_labels(cube))
    empty = cube.copy(deep=True)
    empty[:, :8] = np.nan
    maps = attribution_maps(detector, empty[:, :10, :6].chunk(y=5))
    assert maps[:, :8].isnull().all()
    assert maps[:, 8:].notnull().any()


@pytest.mark.parametrize("name", ["sgcn", "skt"])
def test_other_explanations_are_not_of_windows(cube, name):
    whole = small_cube()
    detector = DETECTORS[name]().fit(whole, small_labels(whole))
    with pytest.raises(XGeoAnomError, match=r"detector\.explain"):
        attribution_maps(detector, whole)


def test_wrong_input(cube, rebuilder):
    with pytest.raises(NotFittedError):
        attribution_maps(Autoencoder(), cube)
    with pytest.raises(XGeoAnomError, match="int"):
        attribution_maps(1, cube)
    with pytest.raises(XGeoAnomError, match="how='gradient'"):
        attribution_maps(rebuilder, cube, how="gradient")
    with pytest.raises(CubeError, match="elements"):
        attribution_maps(rebuilder, cube[1:])


def test_summary_counts_known_cells():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 5, 4)) * np.array([1, 5, 2])[:, None, None]
    values[:, 2, 1:3] = np.nan
    maps = xr.DataArray(values, {"element": ["Au", "As", "Cu"]}, ("element", "y", "x"))
    summary = attribution_summary(maps.transpose("x", "element", "y").chunk(x=2))
    assert summary.index.tolist() == ["As", "Cu", "Au"]
    assert summary.index.name == "element"
    assert summary.columns.tolist() == ["mean_abs", "mean", "p10", "p90"]
    for name, row in summary.iterrows():
        shares = maps.sel(element=name).values
        shares = shares[~np.isnan(shares)]
        expected = [np.abs(shares).mean(), shares.mean(), *np.percentile(shares, [10, 90])]
        np.testing.assert_allclose(row, expected)
    with pytest.raises(XGeoAnomError, match="element, y, x"):
        attribution_summary(maps[0])
    with pytest.raises(XGeoAnomError, match="element, y, x"):
        attribution_summary(pd.DataFrame())
