"""Elements, units and axes out of column headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xgeoanom.conventions import PPM_PER_UNIT
from xgeoanom.errors import CubeError
from xgeoanom.survey.oxides import ATOMIC_WEIGHTS
from xgeoanom.survey.reading.headers import (
    UNIT_SPELLINGS,
    axes_look_swapped,
    bare_axes,
    find_axes,
    looks_like_assay,
    parse_header,
)


@pytest.mark.parametrize(
    ("header", "part", "unit"),
    [
        ("Au_ppb", "Au", "ppb"),
        ("Cu (ppm)", "Cu", "ppm"),
        ("Cu [ppm]", "Cu", "ppm"),
        ("SiO2 %", "SiO2", "%"),
        ("SiO₂ (wt %)", "SiO2", "wt%"),
        ("loi wt.%", "LOI", "wt%"),
        ("AU", "Au", None),
        ("Au-ppm", "Au", "ppm"),
        ("  au PPB ", "Au", "ppb"),
        ("Hg ng/g", "Hg", "ppb"),
        ("Pb µg/kg", "Pb", "ug/kg"),
        ("Pb μg/g", "Pb", "ppm"),
        ("Zn mg/kg", "Zn", "mg/kg"),
        ("Au g/t", "Au", "g/t"),
        ("MGO_PCT", "MgO", "%"),
        ("U3O8_ppm", "U3O8", "ppm"),
        ("LOI", "LOI", None),
        ("Au_FA_ppb", "Au", "ppb"),
        ("As_AR_ppm", "As", "ppm"),
        ("U_NAA_ppm", "U", "ppm"),
        ("Cu ppm ME-MS61", "Cu", "ppm"),
        ("Cu_ppm_XRF", "Cu", "ppm"),
        ("Cu (ppm) [4A/MS]", "Cu", "ppm"),
        ("Pb ppm 4A", "Pb", "ppm"),
        ("Pb %wt", "Pb", "wt%"),
        ("Pb % wt", "Pb", "wt%"),
        # Upper case: cobalt and holmium, not oxides; their oxides; a word.
        ("CO_PPM", "Co", "ppm"),
        ("Co_ppm", "Co", "ppm"),
        ("HO_PPM", "Ho", "ppm"),
        ("CO2_pct", "CO2", "%"),
        ("COO_PCT", "CoO", "%"),
        ("SO3_pct", "SO3", "%"),
        ("SIO2", "SiO2", None),
        ("Y_ppm", "Y", "ppm"),
        ("Y", "Y", None),
        ("In_ppm", "In", "ppm"),
    ],
)
def test_reads_headers(header, part, unit):
    assert parse_header(header) == (part, unit, False)


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("Fe2O3T_pct", "Fe2O3"),
        ("TFe2O3 (%)", "Fe2O3"),
        ("Fe2O3(T)_%", "Fe2O3"),
        ("FeO* pct", "FeO"),
        ("FeOtot_%", "FeO"),
        ("FET_PCT", "Fe"),
    ],
)
def test_total_iron(header, part):
    assert parse_header(header) == (part, "%", True)


@pytest.mark.parametrize(
    "header",
    [
        *"X LABnegNR_N H2Opos_pct NO no_ppm Site Sample_No ppm % wt% Au_oz/t In_situ_pct".split(),
        *["Cu_Zn_ppm", "Labels", "IO", "Au_rank", "", 3, None],
    ],
)
def test_leaves_other_headers(header):
    assert parse_header(header) is None


@pytest.mark.parametrize(
    "header",
    ["Zn_ppm_rpt", "Mo ppm.1", "Ag_oz/t", "Au opt", "Au_FA_ppb_rpt", "SiO2 % total", "Cu (mg/L)"],
)
def test_headers_like_assays(header):
    assert parse_header(header) is None
    assert looks_like_assay(header)


@pytest.mark.parametrize(
    "header", ["Cu_ppm", "In_situ_pct", "Sample_ppm", "No_ppm_x", "Au_rank", "as told", "Y", "", 3]
)
def test_headers_unlike_those_left(header):
    assert not looks_like_assay(header)


def test_spellings_lead_to_known_units():
    assert set(UNIT_SPELLINGS.values()) <= set(PPM_PER_UNIT)


@given(
    part=st.sampled_from([*sorted(ATOMIC_WEIGHTS), "SiO2", "Fe2O3", "Al2O3", "MnO", "P2O5"]),
    unit=st.sampled_from(sorted(UNIT_SPELLINGS)),
    form=st.sampled_from(["{}_{}", "{} {}", "{} ({})", "{}[{}]", "{}-{}", "{}, {}", "{}{}"]),
    case=st.sampled_from([str, str.upper, str.lower]),
)
def test_any_part_unit_form_and_case(part, unit, form, case):
    found = parse_header(case(form.format(part, unit)))
    assert found == (part, UNIT_SPELLINGS[unit], False)


@given(st.text(max_size=12))
def test_any_text_is_survived(text):
    found = parse_header(text)
    assert found is None or found.unit is None or found.unit in PPM_PER_UNIT


@pytest.mark.parametrize(
    ("headers", "geographic", "axes"),
    [
        (["X", "Y", "Y_ppm"], True, ("X", "Y")),
        (["id", "LONGITUDE", "Lat_WGS84"], True, ("LONGITUDE", "Lat_WGS84")),
        (["lon", "lat", "Easting (m)", "Northing (m)"], True, ("lon", "lat")),
        (["lon", "lat", "EASTING_MGA94", "NORTH"], False, ("EASTING_MGA94", "NORTH")),
        (["x_coord", "y_coord"], False, ("x_coord", "y_coord")),
        (["UTM_E", "UTM_N"], False, ("UTM_E", "UTM_N")),
        (["E", "N", "Au_ppb"], False, ("E", "N")),
    ],
)
def test_finds_axes(headers, geographic, axes):
    assert find_axes(headers, geographic=geographic) == axes


def test_refuses_missing_or_several_axes():
    with pytest.raises(CubeError, match=r"longitude and latitude.*'Easting'.*x=\.\.\."):
        find_axes(["Easting", "Northing"], geographic=True)
    with pytest.raises(CubeError, match=r"\['Easting_AGD84', 'Easting_GDA94'\].*choose"):
        find_axes(["Easting_AGD84", "Easting_GDA94", "Northing_GDA94"], geographic=False)
    with pytest.raises(CubeError, match="no columns"):
        find_axes(["Y_ppm", "X_ppm", "north_sample", "X"], geographic=False)


@pytest.mark.parametrize(
    ("headers", "axes"),
    [
        (["E", "N", "Au_ppb"], ["E", "N"]),
        (["N", "Y", "C"], []),
        (["X", "Y_ppm", "east", "N (%)"], []),
        (["Longitude", "lat", "X", "Y", "S"], ["Longitude", "lat", "X", "Y"]),
    ],
)
def test_bare_axes_come_in_pairs(headers, axes):
    assert bare_axes(headers) == axes


def test_swapped_axes():
    assert axes_look_swapped("Latitude", "Longitude")
    assert axes_look_swapped("Y", "X")
    assert not axes_look_swapped("X", "Y")
    assert not axes_look_swapped("a", "b")
