"""Reconstructions drawn: the right window in the right panel, hidden cells grey."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba

from xgeoanom.errors import XGeoAnomError
from xgeoanom.plot.reconstruction_panels import HIDDEN_COLOUR, reconstructions

ELEMENTS = ["Au", "As", "Cu", "Pb", "lithology=granite"]


def windows(*, ascending=False):
    """Two windows of 3 x 3 cells of 500 m; the first column is missing, the last row is seen."""
    rng = np.random.default_rng(0)
    coords = {
        "element": ELEMENTS,
        "dy": ("dy", [500.0, 0.0, -500.0], {"units": "metre"}),
        "dx": ("dx", [-500.0, 0.0, 500.0], {"units": "metre"}),
        "x": ("location", [300e3, 301e3]),
        "y": ("location", [4e6, 4e6]),
    }
    dims = ("location", "element", "dy", "dx")
    values = xr.DataArray(rng.normal(size=(2, 5, 3, 3)), coords, dims)
    original = values.where(values.dx > -500)
    ds = xr.Dataset(
        {"original": original, "seen": original.where(values.dy < 0), "rebuilt": values + 9}
    ).rio.write_crs(32650)
    return ds.sortby("dy") if ascending else ds


def drawn(ax, k=0):
    """Return what an image shows, north first."""
    image = ax.images[k]
    assert image.origin == "lower"
    return np.ma.filled(image.get_array().astype(float), np.nan)[::-1]


@pytest.mark.parametrize("ascending", [False, True])
def test_original_seen_and_rebuilt(ascending):
    panels = reconstructions(windows(ascending=ascending), location=1)
    assert panels.shape == (4, 3)
    for row, name in zip(panels, ELEMENTS, strict=False):
        one = windows().isel(location=1).sel(element=name)
        np.testing.assert_array_equal(drawn(row[0]), one["original"])
        np.testing.assert_array_equal(drawn(row[1]), one["seen"])
        # Seen cells stay as they were, missing ones white; all others are as rebuilt.
        filled = one["rebuilt"].values
        filled[:, 0] = np.nan
        filled[2, 1:] = one["original"].values[2, 1:]
        np.testing.assert_array_equal(drawn(row[2]), filled)
        assert len({ax.images[0].get_clim() for ax in row}) == 1
        for ax in row:
            np.testing.assert_allclose(ax.images[0].get_extent(), [-750, 750, -750, 750])


def test_hidden_cells_are_grey_and_missing_ones_white():
    (row,) = reconstructions(windows(), elements="Cu")
    assert [len(ax.images) for ax in row] == [1, 2, 1]
    grey = np.full((3, 3), np.nan)
    grey[:2, 1:] = 1
    np.testing.assert_array_equal(drawn(row[1], 1), grey)
    image = row[1].images[1]
    assert image.get_extent() == row[1].images[0].get_extent()
    assert tuple(image.cmap(image.norm(1.0))) == to_rgba(HIDDEN_COLOUR)


def test_labels_and_colour_bars():
    panels = reconstructions(windows(), elements=["lithology=granite", "Au"])
    assert [ax.get_title() for ax in panels[0]] == ["Original", "Seen", "Rebuilt"]
    assert [ax.get_title() for ax in panels[1]] == [""] * 3
    expected = ["lithology=granite\nNorth of place (m)", "Au\nNorth of place (m)"]
    assert [row[0].get_ylabel() for row in panels] == expected
    assert [ax.get_xlabel() for ax in panels[1]] == ["East of place (m)"] * 3
    assert len(panels[0, 0].figure.axes) == 6 + 2


def test_wrong_input():
    with pytest.raises(XGeoAnomError, match="reconstructions returns"):
        reconstructions(windows()["seen"])
    with pytest.raises(XGeoAnomError, match="reconstructions returns"):
        reconstructions(windows().drop_vars("seen"))
    with pytest.raises(XGeoAnomError, match=r"elements=\['Zn'\]"):
        reconstructions(windows(), elements=["Au", "Zn"])
    for location in (2, -1, 0.5):
        with pytest.raises(XGeoAnomError, match="one of 2 places"):
            reconstructions(windows(), location=location)
