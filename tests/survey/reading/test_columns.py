"""Which columns hold assays."""

import pytest

from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.reading.columns import assay_columns

HEADERS = ["id", "Au_ppb", "Fe_ppm", "FeO_pct", "Fe2O3T_pct", "Zn_ppm", "ZnO_ppm", "Result"]


def groups(headers=HEADERS, elements=None, units=None):
    found = assay_columns(headers, elements=elements, units=units)
    return {name: [column.header for column in columns] for name, columns in found.items()}


def test_groups_by_element():
    assert groups() == {
        "Au": ["Au_ppb"],
        "Fe": ["Fe_ppm", "FeO_pct", "Fe2O3T_pct"],
        "Zn": ["Zn_ppm", "ZnO_ppm"],
    }
    iron = assay_columns(HEADERS, elements=None, units=None)["Fe"]
    assert [(column.part, column.unit, column.total, column.position) for column in iron] == [
        ("Fe", "ppm", False, 2),
        ("FeO", "%", False, 3),
        ("Fe2O3", "%", True, 4),
    ]


def test_elements_wanted():
    assert groups(elements=["Zn", "Fe2O3"]) == {
        "Zn": ["Zn_ppm", "ZnO_ppm"],
        "Fe2O3": ["Fe_ppm", "FeO_pct", "Fe2O3T_pct"],
    }
    assert groups(elements="Au") == {"Au": ["Au_ppb"]}


def test_a_column_of_each():
    found = assay_columns(
        HEADERS, elements={"FeO": "FeO_pct", "Fe": "Fe2O3T_pct", "Ag": "Result"}, units="ppm"
    )
    assert found["FeO"][0].part == "FeO"
    assert (found["Fe"][0].part, found["Fe"][0].unit) == ("Fe2O3", "%")
    assert (found["Ag"][0].part, found["Ag"][0].unit) == ("Ag", "ppm")


def test_units():
    def unit(units, headers=("Au", "Cu_ppm")):
        found = assay_columns(headers, elements=None, units=units)
        return [columns[0].unit for columns in found.values()]

    assert unit("ppb") == ["ppb", "ppm"]
    assert unit({"Au": "ppb"}) == ["ppb", "ppm"]
    assert unit({"Au": "g/t", "Cu_ppm": "%"}) == ["g/t", "%"]


@pytest.mark.parametrize(
    ("headers", "elements", "units", "error", "message"),
    [
        (["id", "x"], None, None, CubeError, "no header.*'Au_ppb'"),
        (["Au", "Cu"], None, None, CompositionError, r"\['Au', 'Cu'\] state no unit.*'Au': 'ppm'"),
        (["Au"], None, "oz", CompositionError, r"\{'Au': 'oz'\} are unknown.*ppb"),
        (["Au_ppb"], None, {"Zn": "ppm"}, CubeError, r"\['Zn'\].*no column"),
        (HEADERS, ["Cu"], None, CubeError, r"names Cu.*\['Au', 'Fe', 'Zn'\]"),
        (HEADERS, ["gold"], None, CubeError, "'gold' is no element"),
        (HEADERS, ["AU"], None, CubeError, "'AU' is no element"),
        (HEADERS, ["Au", "Au"], None, CubeError, "repeated"),
        (HEADERS, ["Fe", "FeO"], None, CubeError, r"Fe and \['FeO'\] hold one element"),
        (HEADERS, {"Au": "Gold"}, None, CubeError, "'Gold' is not in the table"),
        (HEADERS, {"Au": "Result", "Ag": "Result"}, None, CubeError, "'Result' is named twice"),
        (HEADERS, {"Au": "Result"}, None, CompositionError, r"\['Result'\] state no unit"),
    ],
)
def test_refuses(headers, elements, units, error, message):
    with pytest.raises(error, match=message):
        groups(headers, elements, units)
