"""A report as a self-contained HTML page without scripts and external resources."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from qadapt.costing import Cost
from qadapt.diagnosis import Diagnosis
from qadapt.evaluation.documents import Verification
from qadapt.evaluation.settings import Setting
from qadapt.model import Finding
from qadapt.reporting import tables
from qadapt.reporting.content import Axis, ReportContent, label
from qadapt.reporting.plots import recall_plot
from qadapt.reporting.tables import Table

# With this policy, a browser loads no resources and runs no script.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_BAR = 2  # column with the bars


def page(report: ReportContent) -> str:
    """Render the page.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    css = files("qadapt.reporting").joinpath("page.css").read_text(encoding="utf-8")
    body = "\n".join(part for part in _parts(report) if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{css}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _parts(report: ReportContent) -> list[str]:
    measured = report.engine_memory
    settings = tables.settings(report)
    several = [tables.failed(report), tables.labels(report), tables.latencies(report)]
    return [
        _head(report),
        _changes(report),
        _plots(report),
        _table(settings),
        _predicted(report),
        *[_table(each) for each in several if each is not None],
        _advice(report),
        _cost(report.cost) if report.cost is not None else "",
        *[_diagnosis(each) for each in report.diagnoses],
        _verification(report.verification) if report.verification is not None else "",
        _table(tables.truths(report)),
        _evidence(report),
        _commands(report.commands),
        f'<p class="muted">Created by qadapt, {escape(report.created)}.</p>',
        f"<p><b>Memory:</b> {escape(str(report.memory))}</p>" if report.memory else "",
        f"<p>{escape(str(measured))}</p>" if measured else "",
    ]


def _head(report: ReportContent) -> str:
    subject = report.subject
    lines = [f"<h1>{escape(report.title)}</h1>"]
    if subject is not None:
        vector = f", vector {subject.vector}" if subject.vector else ""
        about = (
            f"{subject.collection or 'vectors'}{vector} in {subject.store or 'arrays'}: "
            f"{subject.count:,} rows of {subject.dim:,} dimensions, {subject.metric}"
        )
        lines.append(f'<p class="muted">{escape(about)}</p>')
    notes = dict.fromkeys(note for each in report.evaluations for note in each.notes)
    lines += [f'<p class="muted">{escape(note)}</p>' for note in notes]
    return "\n".join(lines)


def _changes(report: ReportContent) -> str:
    rows = tables.changes(report)
    if not rows:
        return ""
    cards = []
    for name, before, after in rows:
        arrow = f'<span>→</span> <span class="after">{escape(after)}</span>' if after else ""
        pair = f'<span class="before">{escape(before)}</span> {arrow}'
        cards.append(f'<div class="card"><b>{escape(name)}</b><div class="pair">{pair}</div></div>')
    was = f'<span class="before">{escape(label(report.before))}</span>' if report.before else ""
    now = ""
    if report.after is not None:
        setting = f'<span class="after">{escape(label(report.after))}</span>'
        now = f" → {setting} ({escape(report.after_is)})"
    title = "Before and after" if report.after is not None else "Current setting"
    return f'<h2>{title}</h2>\n<p>{was}{now}</p>\n<div class="cards">{"".join(cards)}</div>'


def _predicted(report: ReportContent) -> str:
    table = tables.predicted(report)
    if table is None:
        return ""
    head = f"{len(table.rows)} predicted settings"
    return f"<details><summary>{head}</summary>{_table(table)}</details>"


def _plots(report: ReportContent) -> str:
    figures = []
    axes: tuple[Axis, Axis] = ("bytes", "latency")
    for axis in axes:
        svg = recall_plot(report, axis)
        if svg is not None:
            figures.append(f"<figure>{svg}</figure>")
    if not figures:
        return ""
    roles = ["before", "after", "candidate", "predicted"]
    there = [role for role in roles if any(point.role == role for point in report.points)]
    key = ", ".join(f'<span class="{role}">{role}</span>' for role in there)
    caption = (
        f"{key}. Numbers refer to the table below, bars show 95 % intervals. "
        "The dashed line is the Pareto front of the measured settings."
    )
    return (
        f'<h2>Recall by size and latency</h2>\n<div class="plots">{"".join(figures)}</div>\n'
        f'<p class="muted">{caption}</p>'
    )


def _table(table: Table, *, bars: Sequence[float] | None = None) -> str:
    """A table; ``bars`` are shares of RAM, drawn behind the column of settings."""
    heads = [f"<th{_class(column)}>{escape(column.lstrip('#'))}</th>" for column in table.columns]
    rows = []
    for at, row in enumerate(table.rows):
        cells = [
            f"<td{_class(column)}>{_cell(cell)}</td>"
            for column, cell in zip(table.columns, row, strict=True)
        ]
        if bars is not None:
            cells.insert(_BAR, f'<td class="bar"><i style="width:{100 * bars[at]:.1f}%"></i></td>')
        role = f' class="{table.roles[at]}"' if table.roles else ""
        rows.append(f"<tr{role}>{''.join(cells)}</tr>")
    if bars is not None:
        heads.insert(_BAR, "<th>RAM</th>")
    title = f"<h2>{escape(table.title)}</h2>\n" if table.title else ""
    note = f'\n<p class="muted">{escape(table.note)}</p>' if table.note else ""
    head = f"<thead><tr>{''.join(heads)}</tr></thead>"
    whole = f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"
    return f'{title}<div class="wide">{whole}</div>{note}'


def _cell(text: str) -> str:
    """Text with line breaks allowed after the commas of a setting."""
    return escape(text) if " " in text else escape(text).replace(",", ",<wbr>")


def _class(column: str) -> str:
    return ' class="n"' if column.startswith("#") else ""


def _cost(cost: Cost) -> str:
    made = tables.costs(cost)
    ram = [line.scales[0].ram if line.scales else 0 for line in cost.lines]
    most = max([*ram, 1])
    parts = [_table(each) for each in made[:-1]]
    parts.append(_table(made[-1], bars=[each / most for each in ram]))
    return "\n".join(parts)


def _advice(report: ReportContent) -> str:
    advice = report.advice
    if advice is None:
        return ""
    lines = ["<h2>Advice</h2>"]
    if advice.best is None:
        lines.append("<p>No setting met the target.</p>")
    for rank, option in (("Best", advice.best), ("Runner-up", advice.runner_up)):
        if option is not None:
            why = "; ".join(option.reasons)
            lines.append(
                f"<p><b>{rank}:</b> <code>{escape(option.setting)}</code>, recall "
                f"{tables.share(option.recall.value)} ({option.source}), RAM "
                f"{tables.size(option.ram)}. {escape(why)}</p>"
            )
    out = Table(
        "", ["Ruled out", "Why"], [[each.setting, each.reason] for each in advice.ruled_out]
    )
    lines += [_table(out)] if out.rows else []
    lines += [f"<pre>{escape(advice.spec)}</pre>"] if advice.spec else []
    return "\n".join(lines)


def _diagnosis(diagnosis: Diagnosis) -> str:
    title = f"<h2>Doctor: {escape(diagnosis.collection)}</h2>"
    if diagnosis.healthy:
        return f"{title}\n<p>{len(diagnosis.checked)} checks, no findings.</p>"
    return "\n".join([title, *[_finding(each) for each in diagnosis.findings]])


def _finding(finding: Finding) -> str:
    rows = [[item.signal, tables.value_text(item.value)] for item in finding.evidence]
    fix = f"<p>Fix: <code>{escape(finding.command)}</code></p>" if finding.command else ""
    seen = _table(Table("", ["Signal", "Value"], rows)) if rows else ""
    vector = f", vector {finding.vector}" if finding.vector else ""
    return (
        f'<div class="finding {finding.severity}"><h3>{escape(str(finding.severity))}: '
        f"{escape(finding.code)}{escape(vector)}</h3><p>{escape(finding.message)}</p>{fix}"
        f"<details><summary>Evidence</summary>{seen}"
        f'<p class="muted">Source: {escape(finding.source)}</p></details></div>'
    )


def _verification(found: Verification) -> str:
    rows = []
    for each in found.results:
        recall, searched = each.recall, Setting.of(each.setting)
        if recall is None:
            continue
        rows.append(
            [
                searched.search_label,
                tables.share(recall.value),
                tables.interval(recall),
                tables.share(each.recall_no_params.value if each.recall_no_params else None),
                tables.number(each.latency[0].mean) if each.latency else tables.DASH,
                tables.rescore_text(searched.rescore),
            ]
        )
    columns = ["Search", "#Recall", "#95 % interval", "#No params", "#ms/query", "Rescore"]
    words = "configuration active" if found.matches_configuration else "configuration not active"
    note = "; ".join(
        [
            f"configured {found.configured}, verified {found.status.state}: {words}",
            f"ground truth: {found.truth.ground_truth or 'not recorded'}",
            *filter(None, [found.proof.reason]),
        ]
    )
    return _table(Table("Verification", columns, rows, note))


def _evidence(report: ReportContent) -> str:
    found = tables.evidence(report)
    if not found:
        return ""
    parts = [
        f"<details><summary>{escape(head)}</summary>{_table(table)}</details>"
        for head, table in found
    ]
    return "\n".join(["<h2>Evidence</h2>", *parts])


def _commands(commands: Sequence[str]) -> str:
    if not commands:
        return ""
    lines = "\n".join(escape(command) for command in commands)
    return f"<h2>Commands</h2>\n<pre>{lines}</pre>"
