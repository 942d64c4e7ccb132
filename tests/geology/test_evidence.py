"""Evidence rasters against naive geometry."""

import math
from itertools import pairwise

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from georeferenced import assert_georeferenced
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.errors import CRSError, EvidenceError, GridError
from xgeoanom.geology.evidence import distance_to, fault_density, hanging_wall

STEP = 100.0
metres = st.floats(-500, 1500).map(lambda value: round(value, 2))  # none next to nothing long
places = st.tuples(metres, metres)
lines = st.lists(
    st.lists(places, min_size=2, max_size=5, unique=True).map(shapely.LineString),
    min_size=1,
    max_size=4,
)


def make_grid(rows=7, cols=9, descending=True):
    y = STEP * np.arange(rows)
    coords = {"y": y[::-1] if descending else y, "x": STEP * np.arange(cols)}
    grid = xr.DataArray(np.zeros((rows, cols)), coords, ("y", "x"), name="grid")
    grid.attrs = {"long_name": "grid", "units": "ppm"}
    return grid.rio.write_crs(32650)


def frame(*geometries, crs=32650, **columns):
    return gpd.GeoDataFrame(columns, geometry=list(geometries), crs=crs)


def centres_of(grid):
    return [[shapely.Point(x, y) for x in grid["x"].values] for y in grid["y"].values]


def each_cell(grid, func):
    return np.array([[func(centre) for centre in row] for row in centres_of(grid)])


with np.errstate(invalid="ignore"):
    BROKEN = shapely.LineString([(0, 0), (math.nan, 1)])
OPERATIONS = [
    distance_to,
    lambda faults, like: hanging_wall(faults, like, dip_direction="dip"),
    lambda faults, like: fault_density(faults, like, radius=250.0),
]
FAULTS = frame(
    shapely.LineString([(-50, 20), (300, 380), (900, 400)]),
    shapely.MultiLineString([[(0, 600), (90, 500)], [(400, 0), (420, 90), (800, 130)]]),
    dip=[350.0, 20.0],
)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("descending", [True, False])
def test_rasters_are_georeferenced(operation, descending):
    grid = make_grid(descending=descending)
    before, faults = grid.copy(deep=True), FAULTS.copy()
    raster = operation(FAULTS, grid)
    assert_georeferenced(raster, grid)
    xr.testing.assert_identical(grid, before)
    assert FAULTS.equals(faults)
    np.testing.assert_array_equal(raster.sortby("y"), operation(FAULTS, make_grid()).sortby("y"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_lazy_is_eager(operation, no_compute):
    grid = make_grid()
    cube = grid.expand_dims(element=["Au", "Cu"]).chunk(y=3, x=4)
    with no_compute():
        raster = operation(FAULTS, cube)
    assert raster.chunks == cube.chunks[1:]
    eager = operation(FAULTS, grid.to_dataset())
    assert eager.chunks is None
    assert raster.dtype == eager.dtype
    xr.testing.assert_identical(raster.compute(), eager)


# --------------------------------------------------------------------------------- distance


@given(lines=lines, points=st.lists(places.map(shapely.Point), max_size=3), box=places)
def test_distance_is_to_the_nearest_of_all(lines, points, box):
    polygon = shapely.box(*box, box[0] + 220, box[1] + 150)
    geometries = [*lines, *points, polygon, shapely.GeometryCollection([*lines, polygon])]
    grid = make_grid()
    nearest = each_cell(grid, lambda centre: min(centre.distance(g) for g in geometries))
    np.testing.assert_allclose(distance_to(frame(*geometries), grid), nearest, atol=1e-9)


def test_distance_has_its_name_and_unit():
    contacts = distance_to(FAULTS, make_grid(), name="contact_distance")
    assert (contacts.name, contacts.attrs["long_name"]) == ("contact_distance", "contact distance")
    assert contacts.attrs["units"] == "metre"
    assert distance_to(FAULTS, make_grid()).name == "fault_distance"


def test_distance_exists_where_the_grid_has_no_values():
    assert np.isfinite(distance_to(FAULTS, make_grid().where(False))).all()


# ----------------------------------------------------------------------------- hanging wall


def test_hanging_wall_of_a_straight_fault():
    grid = make_grid()
    fault = frame(shapely.LineString([(-900, -850), (1900, 1950)]))  # y = x + 50
    southeast = (grid["y"] < grid["x"] + 50).transpose("y", "x").values
    for azimuth, side in ((135.0, 1), (315.0, -1), (100.0, 1), (0.0, -1), (-225.0, 1)):
        walls = hanging_wall(fault, grid, dip_direction=azimuth)
        np.testing.assert_array_equal(walls, np.where(southeast, side, -side))
    assert walls.attrs["flag_meanings"] == "footwall unknown hanging_wall"


def test_hanging_wall_belongs_to_the_nearest_fault():
    grid = make_grid()
    faults = frame(
        shapely.LineString([(-500, 100), (1500, 100)]),
        shapely.LineString([(-500, 500), (1500, 500)]),
        dip=[180.0, np.nan],
    )
    walls = hanging_wall(faults, grid, dip_direction="dip")
    expected = {0: 1, 100: 0, 200: -1, 400: 0, 500: 0, 600: 0}
    for y, side in expected.items():
        assert (walls.sel(y=y) == side).all(), y


@given(line=lines.map(lambda given: given[0]), azimuth=st.floats(0, 360))
def test_hanging_wall_is_down_dip_of_the_nearest_point(line, azimuth):
    grid = make_grid(4, 5)
    walls = hanging_wall(frame(line), grid, dip_direction=azimuth).values
    down = np.array([math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))])

    def along(centre):
        foot = line.interpolate(line.project(centre))
        return float(np.dot([centre.x - foot.x, centre.y - foot.y], down))

    naive = each_cell(grid, along)
    clear = abs(naive) > 1e-5
    np.testing.assert_array_equal(walls[clear], np.sign(naive)[clear])
    other = hanging_wall(frame(line), grid, dip_direction=azimuth + 180).values
    np.testing.assert_array_equal(other[clear], -walls[clear])


def test_on_the_fault_and_along_strike_the_side_is_unknown():
    grid = make_grid()
    fault = frame(shapely.LineString([(200, 300), (500, 300)]))
    walls = hanging_wall(fault, grid, dip_direction=180.0)
    assert (walls.sel(y=300) == 0).all()
    assert (walls.sel(y=[0, 100, 200]) == 1).all()


# ---------------------------------------------------------------------------------- density


@given(lines=lines, radius=st.floats(30, 800))
def test_density_is_the_length_in_the_circle(lines, radius):
    grid = make_grid(4, 5)
    parts = 64  # per quarter of the polygon that stands for the circle
    area = math.pi * radius**2
    # One by one: shapely's intersection merges what runs twice over the same ground.
    pieces = [shapely.LineString(p) for line in lines for p in pairwise(line.coords)]

    def length(centre, scale):
        circle = centre.buffer(radius * scale, quad_segs=parts)
        return sum(piece.intersection(circle).length for piece in pieces)

    found = fault_density(frame(*lines), grid, radius=radius).values * area
    inner = each_cell(grid, lambda centre: length(centre, 1.0))
    outer = each_cell(grid, lambda centre: length(centre, 1 / math.cos(math.pi / (4 * parts))))
    assert (found >= inner - 1e-6).all()  # a polygon within the circle, and one around it
    assert (found <= outer + 1e-6).all()


def test_density_of_a_line_through_the_centre():
    radius = 250.0
    for reach in (5000.0, 250.0):
        ends = [(400 - reach * 0.6, 300 - reach * 0.8), (400 + reach * 0.6, 300 + reach * 0.8)]
        density = fault_density(frame(shapely.LineString(ends)), make_grid(), radius=radius)
        analytic = 2 / (math.pi * radius)
        np.testing.assert_allclose(density.sel(x=400, y=300), analytic, rtol=1e-12)
        chord = 2 * math.sqrt(radius**2 - 80**2) / (math.pi * radius**2)
        far = density.sel(x=500, y=300)  # 80 from the line
        if reach > 400:
            np.testing.assert_allclose(far, chord, rtol=1e-12)
    assert density.attrs["units"] == "metre-1"


def test_density_of_a_repeated_vertex_and_of_nothing_near():
    line = shapely.LineString([(0, 0), (0, 0), (100, 0), (100, 0)])
    density = fault_density(frame(line), make_grid(), radius=150.0)
    np.testing.assert_allclose(density.sel(x=0, y=0), 100 / (math.pi * 150**2))
    assert float(density.sel(x=800, y=600)) == 0


# ----------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("faults", "error", "message"),
    [
        (None, EvidenceError, "NoneType; give a GeoDataFrame"),
        (FAULTS.to_crs(32651), CRSError, "to_crs"),
        (FAULTS.to_crs(4326), CRSError, "degrees"),
        (FAULTS.set_crs(None, allow_override=True), CRSError, "no CRS"),
        (FAULTS.iloc[:0], EvidenceError, "is empty"),
        (frame(shapely.LineString(), None, dip=[1.0, 2.0]), EvidenceError, "2 empty geometries"),
        (
            frame(BROKEN, dip=[1.0]),
            EvidenceError,
            "1 geometries with NaN",
        ),
    ],
)
def test_wrong_faults_are_refused(operation, faults, error, message):
    with pytest.raises(error, match=message):
        operation(faults, make_grid())


def test_the_argument_is_named():
    with pytest.raises(EvidenceError, match="geometries is a NoneType"):
        distance_to(None, make_grid())
    for operation in OPERATIONS[1:]:
        with pytest.raises(EvidenceError, match="faults holds 1 geometries that are no lines"):
            operation(frame(shapely.Point(0, 0), dip=[0.0]), make_grid())
    uneven = make_grid().assign_coords(x=np.arange(9.0) ** 2)
    with pytest.raises(GridError, match="unevenly"):
        distance_to(FAULTS, uneven)


@pytest.mark.parametrize("dip", ["strike", [1.0, 2.0, 3.0], np.nan, np.inf, None])
def test_wrong_dip_is_refused(dip):
    with pytest.raises(EvidenceError, match="dip_direction="):
        hanging_wall(FAULTS, make_grid(), dip_direction=dip)


@pytest.mark.parametrize("radius", [0, -1.0, np.nan, np.inf, "far", None])
def test_wrong_radius_is_refused(radius):
    with pytest.raises(EvidenceError, match="radius="):
        fault_density(FAULTS, make_grid(), radius=radius)
