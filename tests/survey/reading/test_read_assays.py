"""From files to the survey table, and the real file with all its faults."""

import json
import re

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.conventions import PPM_PER_UNIT
from xgeoanom.errors import CompositionError, CRSError, CubeError, GridError
from xgeoanom.survey.oxides import mass_fraction, to_unit
from xgeoanom.survey.reading.import_report import import_report
from xgeoanom.survey.reading.read_assays import read_assays

NAN = np.nan


def assays(**columns):
    """Return a laboratory's table of four samples, as text and numbers."""
    return pd.DataFrame(
        {
            "Sample": ["007", "008", "009", "010"],
            "Job": [11, 11, 12, 12],
            "Easting": [500_000, 500_500, 501_000, 501_500],
            "Northing": [6_200_000, 6_200_500, 6_201_000, 6_201_500],
            "Au_ppb": ["<0.5", "-9999", ">100", "3.5"],
            "Cu (ppm)": [12.0, 0.0, -2.0, NAN],
            "SiO2 %": ["61.2", "n.a.", "55", "0"],
        }
        | columns
    )


def test_reads_a_table():
    frame = assays()
    table = read_assays(frame, crs=32750, sample_id="Sample", batch="Job")
    assert table["element"].values.tolist() == ["Au", "Cu", "SiO2"]
    assert table["unit"].values.tolist() == ["ppb", "ppm", "%"]
    expected = [[0.5, 12, 61.2], [NAN, 0, NAN], [100, 2, 55], [3.5, NAN, 0]]
    np.testing.assert_array_equal(table["concentration"], expected)
    np.testing.assert_array_equal(table["state"], [[1, 0, 0], [3, 2, 3], [0, 1, 0], [0, 3, 2]])
    assert table["concentration"].dtype == "float64"
    assert table["state"].dtype == "int8"
    assert table["state"].attrs["flag_meanings"].split()[2] == "below_unknown_limit"
    limits = [[0.5, NAN, NAN], [0.5, NAN, NAN], [NAN, 2, NAN], [NAN, 2, NAN]]
    np.testing.assert_array_equal(table["detection_limit"], limits)
    assert table["detection_limit"].dims == ("sample", "element")
    np.testing.assert_array_equal(table["x"], frame["Easting"])
    np.testing.assert_array_equal(table["y"], frame["Northing"])
    assert table.rio.crs.to_epsg() == 32750
    assert table["sample_id"].values.tolist() == ["007", "008", "009", "010"]
    assert table["batch"].values.tolist() == ["11", "11", "12", "12"]
    assert table.attrs["method"] == "read_assays"
    assert json.loads(table.attrs["parameters"])["columns"]["Cu"] == "Cu (ppm)"
    assert frame.equals(assays())


def test_one_limit_per_element_without_batches():
    limit = read_assays(assays(), crs=32750)["detection_limit"]
    assert limit.dims == ("element",)
    np.testing.assert_array_equal(limit, [0.5, 2.0, NAN])


def test_report_tells_what_was_done():
    report = import_report(read_assays(assays(Remark=list("abcd")), crs=32750))
    assert report.summary.startswith("4 samples, 3 elements: 41.7 % measured")
    assert any("Remark" in decision for decision in report.decisions)
    assert report.findings[["kind", "where"]].values.tolist() == [["above_upper_limit", "Au_ppb"]]


WRITERS = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".txt": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    ".xlsx": lambda frame, path: frame.to_excel(path, index=False),
    ".parquet": lambda frame, path: frame.to_parquet(path),
    ".gpkg": lambda frame, path: to_points(frame).to_file(path),
}


def to_points(frame):
    places = gpd.points_from_xy(frame["Easting"], frame["Northing"])
    return gpd.GeoDataFrame(frame, geometry=places, crs=32750)


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_kind_of_file_gives_the_same_table(suffix, tmp_path):
    path = tmp_path / f"assays{suffix}"
    WRITERS[suffix](assays(), path)
    arguments = {"sample_id": "Sample", "batch": "Job"}
    crs = None if suffix == ".gpkg" else 32750
    table = read_assays(path, crs=crs, **arguments)
    expected = read_assays(assays(), crs=32750, **arguments)
    xr.testing.assert_equal(table, expected)
    assert json.loads(table.attrs["parameters"])["source"] == path.name


def test_points_are_a_source():
    table = read_assays(to_points(assays()))
    xr.testing.assert_equal(table, read_assays(assays(), crs=32750))


def test_table_survives_netcdf(tmp_path):
    table = read_assays(assays(), crs=32750, sample_id="Sample", batch="Job", keep=["Easting"])
    table.to_netcdf(tmp_path / "table.nc")
    with xr.open_dataset(tmp_path / "table.nc", decode_coords="all") as again:
        xr.testing.assert_equal(again.load(), table)
        assert str(import_report(again)) == str(import_report(table))


def test_kept_columns_and_names():
    frame = assays(Leach=["AR", None, "4A", "AR"], Depth=[0.1, 0.2, 0.3, 0.4])
    frame["Sample"] = [7.0, 8.0, NAN, 10.0]
    table = read_assays(frame, crs=32750, sample_id="Sample", keep=["Leach", "Depth"])
    assert table["Leach"].values.tolist() == ["AR", "", "4A", "AR"]
    np.testing.assert_array_equal(table["Depth"], frame["Depth"])
    assert table["sample_id"].values.tolist() == ["7", "8", "", "10"]


def test_options():
    frame = assays()
    zeros = read_assays(frame, crs=32750, zeros="measured")
    assert zeros["state"].values[1, 1] == 0
    assert read_assays(frame, crs=32750, zeros="not_analysed")["state"].values[1, 1] == 3
    code = read_assays(frame, crs=32750, not_analysed=(-2, -9999))
    assert code["state"].values[2, 1] == 3
    added = read_assays(frame, crs=32750, not_analysed=[-2])
    xr.testing.assert_equal(added, code)
    given = read_assays(frame, crs=32750, detection_limits={"Cu": 2.0, "Au": 4.0})
    np.testing.assert_array_equal(given["state"], [[1, 0, 0], [3, 1, 3], [0, 1, 0], [1, 3, 2]])
    np.testing.assert_array_equal(given["concentration"].values[[1, 3], [1, 0]], [2, 4])
    np.testing.assert_array_equal(given["detection_limit"][:, :2], [[0.5, 2]] + [[4, 2]] * 3)


def test_elements_and_units():
    frame = assays(Au=["1", "2", "3", "4"]).drop(columns="Au_ppb")
    with pytest.raises(CompositionError, match=r"\['Au'\] state no unit.*units="):
        read_assays(frame, crs=32750)
    table = read_assays(frame, crs=32750, elements=["Si", "Au"], units={"Au": "ppb"})
    assert table["element"].values.tolist() == ["Si", "Au"]
    assert table["unit"].values.tolist() == ["%", "ppb"]
    np.testing.assert_allclose(table["concentration"][0, 0], 61.2 * mass_fraction("SiO2"))
    mapped = read_assays(frame, crs=32750, elements={"Ag": "Au"}, units="ppm")
    np.testing.assert_array_equal(mapped["concentration"][:, 0], [1, 2, 3, 4])


def told(frame, crs=32750, **arguments):
    """Return the elements of a table, what was decided, and kinds and places of findings."""
    table = read_assays(frame, crs=crs, **arguments)
    report = import_report(table)
    findings = report.findings[["kind", "where"]].apply(tuple, axis=1).tolist()
    return table["element"].values.tolist(), " | ".join(report.decisions), findings


def test_a_value_below_a_given_limit_is_that_limit():
    frame = assays().iloc[:3].assign(Au_ppb=[0, 0.2, 5])
    table = read_assays(frame, crs=32750, elements=["Au"], detection_limits={"Au": 0.5})
    assert table["concentration"].values[:, 0].tolist() == [0.5, 0.5, 5]
    assert table["state"].values[:, 0].tolist() == [1, 1, 0]


def test_coordinates_are_no_elements():
    places = {"E": [1, 2], "N": [7e6, 7e6], "Longitude": [117.0, 117.1], "Latitude": [-30, -31]}
    frame = pd.DataFrame(places | {"Au_ppb": [1, 2]})
    names, decided, _ = told(frame, crs=4326, units="ppm")
    assert names == ["Au"]
    assert "look like coordinates: E, N" in decided
    names, decided, found = told(frame, crs=4326, units="ppm", elements={"N": "N"})
    assert names == ["N"]
    assert found == [("impossible", "N"), ("impossible", "rows")]


def test_decimal_commas(tmp_path):
    text = "E;N;Au_ppb;Cu_ppm\n500000,5;6200000;12,5;<0,5\n500001,5;6200001;7;1,5\n"
    (tmp_path / "assays.csv").write_text(text)
    table = read_assays(tmp_path / "assays.csv", crs=32750, decimal=",")
    assert table["concentration"].values.tolist() == [[12.5, 0.5], [7, 1.5]]
    assert table["x"].values.tolist() == [500000.5, 500001.5]
    with pytest.raises(GridError, match="'500000,5' is no coordinate.*decimal=','"):
        read_assays(tmp_path / "assays.csv", crs=32750)


def test_headers_like_assays_are_found():
    frame = assays(**{"Zn_ppm_rpt": [1] * 4, "Ag_oz/t": [1] * 4, "Pb ppm 4A": [1, 2, 3, 4]})
    names, decided, found = told(frame)
    assert names == ["Au", "Cu", "SiO2", "Pb"]
    assert found[:2] == [("not_understood", "Zn_ppm_rpt"), ("not_understood", "Ag_oz/t")]
    assert "rpt" not in decided
    assert "not asked for: Sample, Job, Cu (ppm)" in told(frame, elements=["Au"])[1]


def test_units_that_overrule_headers_are_told():
    assert "overrule the headers: Cu (ppm) as 'pct'" in told(assays(), units={"Cu": "pct"})[1]
    assert "overrule" not in told(assays(), units={"Cu": "g/t"})[1]
    assert "overrule" not in told(assays(), units="pct")[1]


def test_empty_elements_are_left_out_and_named():
    table = read_assays(assays(Zn_ppm=[-9999] * 4), crs=32750)
    assert "Zn" not in table["element"]
    assert any("Zn" in decision for decision in import_report(table).decisions)
    with pytest.raises(CubeError, match=r"\['Zn'\] hold no value"):
        read_assays(assays(Zn_ppm=[-9999] * 4), crs=32750, elements=["Zn"])


@pytest.mark.parametrize(
    ("frame", "arguments", "error", "message"),
    [
        (assays(), {}, CRSError, "crs is missing"),
        (assays().iloc[:1], {}, GridError, "1 sample"),
        (assays().iloc[:0], {}, CubeError, "no rows"),
        (assays(), {"batch": "Lab"}, CubeError, r"\['Lab'\].*'Job'"),
        (assays(), {"sample_id": "No"}, CubeError, r"\['No'\]"),
        (assays(), {"keep": ["Leach"]}, CubeError, r"\['Leach'\]"),
        (assays(), {"keep": "Job"}, CubeError, r"try \['Job'\]"),
        (assays(state=[1, 2, 3, 4]), {"keep": ["state"]}, CubeError, "rename"),
        (assays(), {"zeros": "missing"}, CompositionError, "'missing'.*below_unknown_limit"),
        (assays(), {"decimal": ";"}, CompositionError, "decimal=';' must be"),
        (assays(), {"detection_limits": {"Au": {"1": 1.0}}}, CubeError, "'1'.*give batch="),
        (assays(), {"elements": np.array(["gold"])}, CubeError, "elements: 'gold'"),
        (assays(), {"not_analysed": -9999}, CompositionError, r"try \(-9999,\)"),
        (assays(), {"detection_limits": {"Ag": 1}}, CubeError, "'Ag'"),
        (assays(), {"elements": []}, CubeError, "elements"),
        (assays().drop(columns="Easting"), {}, CubeError, "easting and northing"),
        (assays()[["Easting", "Northing", "Job"]], {}, CubeError, "no header"),
        (
            assays(Au_ppb=["1", "0,5", "2", "x"]),
            {},
            CompositionError,
            "row 1, column 'Au_ppb'.*1 m",
        ),
        (pd.concat([assays(), assays()[["Au_ppb"]]], axis=1), {}, CubeError, "several columns"),
        ([1, 2], {}, CubeError, "list"),
    ],
)
def test_refuses(frame, arguments, error, message):
    crs = None if error is CRSError else 32750
    with pytest.raises(error, match=message):
        read_assays(frame, crs=crs, **arguments)


def test_errors_name_the_row_of_the_file(tmp_path):
    path = tmp_path / "assays.csv"
    assays(Au_ppb=["1", "2", "3", "1,5"]).to_csv(path, index=False)
    with pytest.raises(CompositionError, match=r"row 5, column 'Au_ppb': '1,5'.*decimal"):
        read_assays(path, crs=32750)


CELL = st.one_of(
    st.floats(1e-3, 1e5).map(lambda v: (f"{v:.4f}", 0)),
    st.floats(1e-3, 900).map(lambda v: (f"<{v:.4f}", 1)),
    st.floats(1e-3, 98).map(lambda v: (f"-{v:.4f}", 1)),
    st.just(("0", 2)),
    st.sampled_from([("", 3), ("-9999", 3), ("n.a.", 3)]),
)


@given(
    cells=st.lists(st.tuples(CELL, CELL), min_size=2, max_size=12),
    units=st.tuples(*[st.sampled_from(sorted(PPM_PER_UNIT))] * 2),
)
def test_states_and_units_of_any_table(cells, units):
    n = len(cells)
    first, second = zip(*cells)
    text = {f"Au_{units[0]}": [t for t, _ in first], f"Zn ({units[1]})": [t for t, _ in second]}
    frame = pd.DataFrame({"x": 5e5 + np.arange(n), "y": [6.2e6] * n} | text)
    states = np.array([[s for _, s in first], [s for _, s in second]]).T
    analysed = (states != 3).any(axis=0)
    if not analysed.any():
        with pytest.raises(CubeError, match="hold no value"):
            read_assays(frame, crs=32750)
        return
    table = read_assays(frame, crs=32750)
    np.testing.assert_array_equal(table["state"], states[:, analysed])
    value, state = table["concentration"].values, table["state"].values
    assert (np.isnan(value) == (state == 3)).all()
    assert (value[state == 2] == 0).all()
    limit = np.broadcast_to(table["detection_limit"], value.shape)
    np.testing.assert_array_equal(value[state == 1], limit[state == 1])
    ppm = to_unit(table, "ppm")["concentration"].values
    factors = [PPM_PER_UNIT[unit] for unit, kept in zip(units, analysed) if kept]
    np.testing.assert_allclose(ppm, value * factors)


# ------------------------------------------------------------------------------ the real file


@pytest.fixture(scope="module")
def survey_file(real_data):
    return real_data / "gswa_sed1" / "geochemical" / "area1_sediment_au.csv"


@pytest.fixture(scope="module")
def survey(survey_file):
    return read_assays(survey_file, crs=4326, sample_id="COMPSAMPID", batch="WAMEX_A_NO")


@pytest.fixture(scope="module")
def raw(survey_file):
    return pd.read_csv(survey_file)


def test_real_states(survey, raw):
    assert survey.sizes["sample"] == 1392
    columns = json.loads(survey.attrs["parameters"])["columns"]
    for element, header in columns.items():
        one, column = survey.sel(element=element), raw[header].to_numpy()
        expected = np.select([column == -9999, column < 0, column == 0], [3, 1, 2], 0)
        np.testing.assert_array_equal(one["state"], expected)
        known = np.where(column == -9999, np.nan, np.abs(column))
        np.testing.assert_array_equal(one["concentration"], known)
        below = expected == 1
        np.testing.assert_array_equal(one["detection_limit"][below], -column[below])


def test_real_names_and_places(survey, raw):
    assert len(np.unique(survey["sample_id"])) == raw["COMPSAMPID"].nunique() == 828
    assert len(np.unique(survey["batch"])) == 15
    expected = gpd.GeoSeries.from_xy(raw["X"], raw["Y"], crs=4326).to_crs(32750)
    np.testing.assert_allclose(survey["x"], expected.x)
    np.testing.assert_allclose(survey["y"], expected.y)
    assert survey.rio.crs.to_epsg() == 32750


def test_real_oxides_are_resolved(survey, raw):
    headers = [header for header in raw.columns if re.fullmatch("[A-Z][a-z]?_pp[mb]", header)]
    filled = [header for header in headers if (raw[header] != -9999).any()]
    assert survey["element"].values.tolist() == [header.split("_")[0] for header in filled]
    assert survey["unit"].values.tolist() == [header.split("_")[1] for header in filled]
    (left_out,) = [told for told in import_report(survey).decisions if "beside" in told]
    for header in ("ZnO_ppm (of Zn_ppm)", "Fe2O3T_pct (of Fe_ppm)", "U3O8_ppm (of U_ppm)"):
        assert header in left_out
    findings = import_report(survey).findings
    disagree = findings[findings["kind"] == "columns_disagree"]
    assert disagree["where"].tolist() == ["Fe_ppm, Fe2O3T_pct"]
    # The file's Fe2O3T is Fe times the factor of FeO.
    ratio = mass_fraction("Fe2O3") / mass_fraction("FeO")
    told = re.search(r"their ratio is ([\d.]+)", disagree["what"].item())
    assert float(told[1]) == pytest.approx(ratio, abs=1e-3)


def test_real_reports_are_flagged(survey):
    findings = import_report(survey).findings
    by_report = findings[findings["where"].str.startswith("WAMEX_A_NO")].set_index("where")
    assert by_report.loc["WAMEX_A_NO 104743", "kind"] == "shifted_columns"
    assert "1 column further on" in by_report.loc["WAMEX_A_NO 104743", "what"]
    low = by_report.loc["WAMEX_A_NO 100924"]
    assert low["kind"] == "off_bulk"
    columns = re.findall(r"(\w+)_pp. \(/(\d+)\)", low["what"])
    assert {element for element, _ in columns} == {"Fe", "Ca", "Mg", "Mn", "Br", "I"}
    assert min(int(factor) for _, factor in columns) > 100
    # Besides, the only strong leach with Cr, and the only one with Mo and Sn.
    assert set(by_report.index) == {f"WAMEX_A_NO {n}" for n in (104743, 100924, 65295, 74821)}


def test_real_shifted_report_holds_the_highest_gold(survey):
    gold = survey["concentration"].sel(element="Au").values
    order = np.argsort(np.where(np.isnan(gold), -1, gold))
    assert set(survey["batch"].values[order[-6:]]) == {"104743"}


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
@pytest.mark.parametrize("report", [95015, 95016, 96360])
def test_real_reports_shifted_on_purpose_are_flagged(raw, report, shift):
    sound = raw[raw["WAMEX_A_NO"] != 104743].copy()
    columns = [
        h
        for h in raw.columns[6:]
        if re.fullmatch("[A-Z][a-z]?_pp[mb]", h) and (raw[h] != -9999).any()
    ]
    rows = sound["WAMEX_A_NO"] == report
    sound.loc[rows, columns] = np.roll(sound.loc[rows, columns].to_numpy(), -shift, axis=1)
    findings = import_report(read_assays(sound, crs=4326, batch="WAMEX_A_NO")).findings
    shifted = findings[findings["kind"] == "shifted_columns"]
    assert shifted["where"].tolist() == [f"WAMEX_A_NO {report}"]
    assert f"{abs(shift)} column" in shifted["what"].item()
    assert ("further on" in shifted["what"].item()) == (shift > 0)


@pytest.mark.parametrize("seed", range(4))
def test_real_rows_in_random_batches_are_not_flagged(raw, seed):
    sound = raw[~raw["WAMEX_A_NO"].isin([104743, 100924])].copy()
    sound["WAMEX_A_NO"] = np.random.default_rng(seed).integers(0, 40, len(sound))
    findings = import_report(read_assays(sound, crs=4326, batch="WAMEX_A_NO")).findings
    assert not findings["where"].str.startswith("WAMEX_A_NO").any()
