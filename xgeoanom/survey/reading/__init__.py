"""From a laboratory's file to the survey table: source, headers, entries, places, suspicions."""

from xgeoanom.survey.reading.import_report import ImportReport, import_report
from xgeoanom.survey.reading.read_assays import read_assays

__all__ = ["ImportReport", "import_report", "read_assays"]
