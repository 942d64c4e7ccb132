"""The report travels with the table and reads well."""

import dataclasses

import pandas as pd
import pytest
import xarray as xr

from xgeoanom.errors import CubeError
from xgeoanom.survey.reading.import_report import Finding, import_report, pack_report

FINDING = Finding("off_bulk", "report <7>", "too low: Fe & Mg", "Leave it out.")


def reported(findings=(FINDING,), decisions=("a column was left out",)):
    return xr.Dataset(attrs=pack_report("2 samples", list(decisions), list(findings)))


def test_report_survives_a_file(tmp_path):
    reported().to_netcdf(tmp_path / "table.nc")
    with xr.open_dataset(tmp_path / "table.nc") as again:
        report = import_report(again)
    assert report.summary == "2 samples"
    assert report.decisions == ("a column was left out",)
    expected = pd.DataFrame([FINDING._asdict()], dtype=object)
    pd.testing.assert_frame_equal(report.findings, expected)


def test_report_reads_well():
    report = import_report(reported())
    assert str(report) == (
        "2 samples\n\nDecided:\n- a column was left out\n\nLooks wrong:\n"
        "- report <7>: too low: Fe & Mg (off_bulk). Leave it out."
    )
    html = report._repr_html_()
    assert "report &lt;7&gt;" in html
    assert "Fe &amp; Mg" in html
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.summary = ""


def test_a_clean_import():
    report = import_report(reported([], []))
    assert report.findings.columns.tolist() == ["kind", "where", "what", "remedy"]
    assert len(report.findings) == 0
    assert str(report).count("- nothing") == 2
    assert "nothing" in report._repr_html_()


@pytest.mark.parametrize("table", [xr.Dataset(), xr.DataArray([1.0]), None])
def test_refuses_tables_without_report(table):
    with pytest.raises(CubeError, match="read_assays"):
        import_report(table)
