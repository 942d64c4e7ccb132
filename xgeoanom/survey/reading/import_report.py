"""What was read from a laboratory's file, what was decided, and what looks wrong."""

import json
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import pandas as pd
import xarray as xr

from xgeoanom.errors import CubeError

ATTRIBUTE = "import_report"


class Finding(NamedTuple):
    """One thing that looks wrong: its kind, where it is, what it is, and what to do."""

    kind: str
    where: str
    what: str
    remedy: str


@dataclass(frozen=True, eq=False)
class ImportReport:
    """What :func:`read_assays` read, decided and found suspicious.

    Attributes
    ----------
    summary : str
        What was read, in a line or two.
    decisions : tuple of str
        What was decided: columns left out, repeated elements, coordinates, units.
    findings : pandas.DataFrame
        What looks wrong, a row each: ``kind``, ``where`` (column, batch or rows), ``what`` and
        ``remedy``.
    """

    summary: str
    decisions: tuple[str, ...]
    findings: pd.DataFrame

    def __str__(self) -> str:
        decided = [f"- {decision}" for decision in self.decisions]
        found = [
            f"- {row.where}: {row.what} ({row.kind}). {row.remedy}"
            for row in self.findings.itertuples()
        ]
        wrong = ["", "Looks wrong:", *(found or ["- nothing"])]
        return "\n".join([self.summary, "", "Decided:", *(decided or ["- nothing"]), *wrong])

    def _repr_html_(self) -> str:
        decided = "".join(f"<li>{escape(decision)}</li>" for decision in self.decisions)
        found = self.findings.to_html(index=False) if len(self.findings) else "<p>nothing</p>"
        return (
            f"<p><b>{escape(self.summary)}</b></p><details><summary>Decided</summary>"
            f"<ul>{decided}</ul></details><p>Looks wrong</p>{found}"
        )


def pack_report(summary: str, decisions: list[str], findings: list[Finding]) -> dict[str, str]:
    """Return the attr that carries a report through NetCDF and Zarr, as JSON."""
    content = {
        "summary": summary,
        "decisions": decisions,
        "findings": [finding._asdict() for finding in findings],
    }
    return {ATTRIBUTE: json.dumps(content, ensure_ascii=False)}


def import_report(table: xr.Dataset) -> ImportReport:
    """Return the report of the import that made a survey table.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table of :func:`read_assays`, or what was derived from it with its attrs.

    Returns
    -------
    ImportReport
        With ``summary``, ``decisions`` and ``findings``; print it, or leave it at the end of a
        notebook's cell.

    Raises
    ------
    CubeError
        If the table carries no report.

    Notes
    -----
    What looks wrong, by ``kind``; medians are of logarithms, a value below its limit counts as the
    limit, and a batch speaks of a column from three values on.

    - ``shifted_columns``: relative to one another, the columns of a batch miss the survey's medians
      by a factor of 3 or more (their median), and those of the columns one or two places further on
      or back by at most half of that in logarithms. At least ten columns must say so (Wilcoxon
      signed-rank test, p < 0.001), and a batch that lies higher or lower as a whole is not shifted.
    - ``off_bulk``: the median of a batch lies by a factor of 100 or more off the survey's, and by
      10 or more off that of any other batch. Shifted batches are left out before, and columns
      mostly below their limit are never too high.
    - ``constant_filler``: one value in half or more of at least ten measured rows of a column.
    - ``impossible``: values above 100 %, or rows whose measured parts (loss on ignition aside) sum
      to more than 110 %.
    - ``high_limit``: limits above ten times the median of what was measured.
    - ``above_upper_limit``: entries such as ``>100``.
    - ``not_understood``: headers such as ``Zn_ppm_rpt`` and ``Ag_oz/t``, much like an assay's.
    - ``columns_disagree``: two columns of one element differ by more than 5 % in half of the rows.
    - ``swapped_axes``, ``outside_crs_area``, ``zero_coordinates``, ``wide_survey``: places that do
      not fit the CRS, are (0, 0), or span more than one UTM zone.

    Examples
    --------
    >>> from xgeoanom.survey.reading.read_assays import read_assays
    >>> frame = pd.DataFrame({"x": [5e5, 6e5], "y": [9e5, 9e5], "Au_ppb": ["<0.5", "3"]})
    >>> table = read_assays(frame, crs=32650, to_crs=32650)
    >>> import_report(table).summary
    '2 samples, 1 element: 50.0 % measured, 50.0 % below known limit, from DataFrame'
    """
    if not isinstance(table, xr.Dataset) or ATTRIBUTE not in table.attrs:
        raise CubeError("table carries no import report; only read_assays writes one")
    content = json.loads(table.attrs[ATTRIBUTE])
    findings = pd.DataFrame(content["findings"], columns=list(Finding._fields), dtype="object")
    return ImportReport(content["summary"], tuple(content["decisions"]), findings)
