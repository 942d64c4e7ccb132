"""One assay per element, where several columns report it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xgeoanom.survey.oxides import mass_fraction
from xgeoanom.survey.reading.columns import assay_columns
from xgeoanom.survey.reading.entries import read_entries
from xgeoanom.survey.reading.resolving import resolve

NAN = np.nan


def resolved(table, part=None):
    frame = pd.DataFrame(table, dtype="float64")
    (columns,) = assay_columns(list(frame), elements=None, units=None).values()
    entries = {
        header: read_entries(frame[header], not_analysed=(), zeros="below_unknown_limit")
        for header in frame
    }
    return resolve(columns, entries, part)


def test_the_fuller_column_leads():
    result = resolved({"Zn_ppm": [1, NAN, NAN], "ZnO_pct": [NAN, 2e-4, 3e-4]}, "Zn")
    assert result.assay.column.header == "ZnO_pct"
    assert (result.assay.name, result.assay.unit) == ("Zn", "%")
    share = mass_fraction("ZnO")
    np.testing.assert_allclose(result.assay.value, [1e-4, 2e-4 * share, 3e-4 * share])
    assert result.assay.state.tolist() == [0, 0, 0]
    assert result.decisions == ["Zn_ppm fills 1 rows of ZnO_pct; no row has both"]


def test_among_equals_the_element_leads():
    share = mass_fraction("ZnO")
    result = resolved({"ZnO_ppm": [10, 20, NAN], "Zn_ppm": [10 * share, 20 * share, NAN]})
    assert result.assay.column.header == "Zn_ppm"
    assert result.assay.name == "Zn"
    assert result.repeats == ["ZnO_ppm (of Zn_ppm)"]
    assert not result.findings
    assert not result.decisions


def test_total_iron_before_others_and_ferrous_iron_last():
    both = {"Fe2O3_pct": [1, 2], "FeO_pct": [0.5, 0.6], "Fe2O3T_pct": [1.5, 2.6]}
    result = resolved(both)
    assert result.assay.column.header == "Fe2O3T_pct"
    assert result.assay.name == "Fe2O3"
    assert [finding.kind for finding in result.findings] == ["columns_disagree"] * 2
    gap = resolved({"Fe2O3_pct": [1, NAN, NAN], "FeO_pct": [0.5, 0.6, 0.7]})
    assert gap.assay.column.header == "Fe2O3_pct"
    np.testing.assert_array_equal(gap.assay.value, [1, NAN, NAN])
    alone = resolved({"FeO_pct": [0.5, 0.6]})
    np.testing.assert_array_equal(alone.assay.value, [0.5, 0.6])
    total = resolved({"Fe2O3_pct": [1, NAN], "FeOT_pct": [1, 2]}, "Fe")
    assert total.assay.column.header == "FeOT_pct"


def test_states_travel_with_their_rows():
    result = resolved(
        {"Au_ppb": [1, NAN, NAN, NAN, 5, 6], "Au_ppm": [NAN, -0.002, 0, 0.1, NAN, NAN]}
    )
    assert result.assay.state.tolist() == [0, 1, 2, 0, 0, 0]
    np.testing.assert_allclose(result.assay.value, [1, 2, 0, 100, 5, 6])


def test_disagreement_is_found():
    result = resolved({"Fe_ppm": [1000.0, 2000.0], "Fe2O3T_pct": [0.128679, 0.257358]})
    (finding,) = result.findings
    assert finding.kind == "columns_disagree"
    assert finding.where == "Fe_ppm, Fe2O3T_pct"
    assert "their ratio is 0.9 (median of 2 rows, quartiles 0.9 and 0.9)" in finding.what
    (spread,) = resolved({"Cu_ppm": [2.0, 1, 1], "Cu_ppb": [1e3, 1e3, 5e5]}).findings
    assert "ratio is 1 (median of 3 rows, quartiles 0.5 and 500)" in spread.what


def test_empty_columns_are_no_witness():
    result = resolved({"Zn_ppm": [1, 2], "ZnO_ppm": [NAN, NAN]})
    assert result.repeats == result.decisions == result.findings == []
    assert (resolved({"Zn_ppm": [NAN, NAN]}).assay.state == 3).all()


@given(
    values=hnp.arrays(float, (8, 3), elements=st.sampled_from([NAN, 1.0, 5.0, -2.0, 0.0])),
)
def test_every_analysed_row_is_kept(values):
    table = dict(zip(["Cu_ppm", "CuO_pct", "Cu_ppb"], values.T))
    assay = resolved(table, "Cu").assay
    analysed = ~np.isnan(values).all(axis=1)
    assert ((assay.state != 3) == analysed).all()
    assert (np.isfinite(assay.value) == analysed).all()
    n = (~np.isnan(values)).sum(axis=0)
    lead = ["Cu_ppm", "CuO_pct", "Cu_ppb"].index(assay.column.header)
    assert n[lead] == n.max()


def test_converts_to_the_part_that_is_wanted():
    result = resolved({"Si_ppm": [1000.0, 2000.0]}, "SiO2")
    expected = np.array([1000.0, 2000.0]) / mass_fraction("SiO2")
    np.testing.assert_allclose(result.assay.value, expected)
    assert result.assay.name == "SiO2"
    assert result.assay.unit == "ppm"
    assert result.assay.value[0] == pytest.approx(2139.3, abs=0.2)
