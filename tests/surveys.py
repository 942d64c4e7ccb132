"""Small surveys for tests: random samples, a smooth random cube, labels with planted deposits."""

import numpy as np
import rioxarray  # noqa: F401
import xarray as xr

EAST, NORTH = 500_000.0, 4_000_000.0
ELEMENTS = ("Au", "As", "Cu", "Pb", "Zn", "Ag")


def small_cube(ny=24, nx=20, *, elements=ELEMENTS, seed=0, holes=0):
    """Return a clr-like cube of smooth noise on a 500 m grid, north up, some cells missing."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(len(elements), ny, nx))
    values += np.roll(values, 1, axis=1) + np.roll(values, 1, axis=2)
    missing = rng.choice(ny * nx, size=holes, replace=False)
    values.reshape(len(elements), -1)[:, missing] = np.nan
    return xr.DataArray(
        values,
        dims=("element", "y", "x"),
        coords={
            "element": list(elements),
            "unit": ("element", ["ppm"] * len(elements)),
            "y": 4_000_000 - 500.0 * np.arange(ny),
            "x": 300_000 + 500.0 * np.arange(nx),
        },
        name="clr",
        attrs={"log_ratio": "clr", "units": "1", "long_name": "centred log-ratio"},
    ).rio.write_crs(32650)


def small_labels(cube, *, background=False):
    """Return labels of three 3 x 3 deposits and, where asked, three background blocks."""
    ny, nx = cube.sizes["y"], cube.sizes["x"]
    values = np.full((ny, nx), -1, dtype="int8")
    for row, col in [(4, 4), (ny // 2, nx - 5), (ny - 5, 6)]:
        values[row - 1 : row + 2, col - 1 : col + 2] = 1
        if background:
            other = (col + nx // 2) % nx
            values[row - 1 : row + 2, other : other + 2] = 0
    coords = {name: cube.coords[name] for name in ("y", "x", "spatial_ref")}
    return xr.DataArray(values, dims=("y", "x"), coords=coords, name="labels")


def random_survey(n=60, elements=("Au", "Cu", "Zn"), *, missing=0.0, seed=0, crs=32645):
    """Return a survey table of ``n`` random samples on 10 x 10 km."""
    rng = np.random.default_rng(seed)
    values = rng.lognormal(size=(n, len(elements)))
    values[rng.random(values.shape) < missing] = np.nan
    x, y = rng.uniform(0, 10_000, (2, n))
    return xr.Dataset(
        {"concentration": (("sample", "element"), values)},
        {
            "x": ("sample", EAST + x),
            "y": ("sample", NORTH + y),
            "element": list(elements),
            "unit": ("element", ["ppm"] * len(elements)),
        },
    ).rio.write_crs(crs)
