"""Reports: what was measured, found and reckoned, as one page, Markdown, JSON or a terminal."""

from qadapt.reporting.documents import read
from qadapt.reporting.report import Report, report

__all__ = ["Report", "read", "report"]
