"""A report as Markdown."""

from __future__ import annotations

from qadapt.reporting import tables
from qadapt.reporting.content import ReportContent, label
from qadapt.reporting.tables import Table


def text(report: ReportContent) -> str:
    """Render the report, without plots."""
    parts = [f"# {report.title}", *_changes(report), _table(tables.settings(report))]
    several = [
        tables.predicted(report),
        tables.failed(report),
        tables.labels(report),
        tables.latencies(report),
    ]
    parts += [_table(each) for each in several if each is not None]
    parts += [_table(each) for each in tables.costs(report.cost)] if report.cost else []
    for diagnosis in report.diagnoses:
        parts.append(f"## Doctor: {diagnosis.collection}")
        parts += [
            f"- **{each.severity} {each.code}**: {each.message}"
            + (f"  \n  fix: `{each.command}`" if each.command else "")
            for each in diagnosis.findings
        ] or ["no findings"]
    parts.append(_table(tables.truths(report)))
    for head, table in tables.evidence(report):
        parts.append(_table(Table(f"Evidence: {head}", table.columns, table.rows)))
    if report.commands:
        parts.append("## Commands\n\n" + _indented(report.commands))
    parts.append(f"Created by qadapt, {report.created}.")
    if report.memory is not None:
        parts.append(f"**Memory:** {report.memory}")
    if report.engine_memory is not None:
        parts.append(str(report.engine_memory))
    return "\n\n".join(parts) + "\n"


def _changes(report: ReportContent) -> list[str]:
    rows = [[name, before, after or "-"] for name, before, after in tables.changes(report)]
    if not rows:
        return []
    before = label(report.before) if report.before is not None else ""
    after = f"{label(report.after)} ({report.after_is})" if report.after is not None else "-"
    return [_table(Table("Before and after", ["", before, after], rows))]


def _table(table: Table) -> str:
    heads = [column.lstrip("#") for column in table.columns]
    lines = ["---:" if column.startswith("#") else "---" for column in table.columns]
    rows = [heads, lines, *table.rows]
    body = "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)
    title = f"## {table.title}\n\n" if table.title else ""
    note = f"\n\n{table.note}" if table.note else ""
    return f"{title}{body}{note}"


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")


def _indented(commands: tuple[str, ...]) -> str:
    return "\n".join(f"    {command}" for command in commands)
