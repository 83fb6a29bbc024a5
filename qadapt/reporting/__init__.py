"""Reports of measurements, findings and costs as HTML, Markdown, JSON or terminal output."""

from qadapt.reporting.documents import read
from qadapt.reporting.report import Report, report

__all__ = ["Report", "read", "report"]
