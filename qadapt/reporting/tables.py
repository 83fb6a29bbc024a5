"""Tables of a report as rows of text, for HTML and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.costing import Cost, Line
from qadapt.evaluation.documents import Evaluation, Simulation
from qadapt.evaluation.results import Figure, Result
from qadapt.model import Rescore, table
from qadapt.reporting.content import Point, ReportContent, label, latency_of

DASH = table.DASH
size = table.size_text
share = table.share_text


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: title of the section.
        columns: column titles; ``#`` marks a column of numbers.
        rows: cells as text.
        note: remark for the reader.
        roles: role of each row, for its color; empty for none.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    roles: Sequence[str] = ()


def interval(figure: Figure | None) -> str:
    """``0.912 to 0.934``."""
    return DASH if figure is None else f"{share(figure.low)} to {share(figure.high)}"


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash."""
    return DASH if value is None else f"{value:,.{digits}f}"


def value_text(value: Any) -> str:
    """The value of a signal as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return json.dumps(value, ensure_ascii=False, default=str)


def rescore_text(rescore: Rescore | None) -> str:
    """Rescoring as text."""
    return "database default" if rescore is None else rescore.text


def settings(report: ReportContent) -> Table:
    """Settings that are numbered in the plots."""
    numbered = [p for p in report.points if p.role != "predicted" or not report.crowded]
    return _settings("All settings", report, numbered)


def predicted(report: ReportContent) -> Table | None:
    """Predicted settings that are not numbered in the plots."""
    rest = [point for point in report.points if point.role == "predicted"]
    return _settings("", report, rest) if report.crowded else None


def _settings(title: str, report: ReportContent, points: Sequence[Point]) -> Table:
    results = {label(result): result for result in _all(report)}
    rows, roles = [], []
    subject = report.subject
    k = subject.k if subject is not None else 10
    for point in points:
        picked = {"before": report.before, "after": report.after}.get(point.role)
        result = picked or results[point.setting]
        reported = result.predicted if point.role != "predicted" else None
        rows.append(
            [
                str(point.number),
                point.setting,
                point.role,
                share(point.recall.value),
                interval(point.recall),
                share(result.recall_no_params.value if result.recall_no_params else None),
                share(result.ndcg.value if result.ndcg else None),
                number(point.bytes, 1),
                number(point.latency),
                rescore_text(result.rescore),
                share(reported.recall.value if reported is not None else None),
            ]
        )
        roles.append(point.role)
    about = subject.truth if subject is not None else None
    truth = (about.ground_truth if about is not None else "") or "not recorded"
    reason = subject.proof.reason if subject is not None else ""
    weak = f"{reason[0].upper()}{reason[1:]}. " if reason else ""
    columns = ["#No", "Setting", "What", f"#Recall@{k}", "#95 % interval", "#No params"]
    columns += ["#nDCG", "#Bytes/vector", "#p95 ms", "Rescored", "#Predicted"]
    note = (
        f"Recall and nDCG use exact scores; ground truth: {truth}. {weak}No params: recall of a "
        "client that sends no search parameters. Bytes: size of codes, or of vectors without "
        "codes. p95: raw latency of one query at a time, warm."
    )
    if all(row[-1] == DASH for row in rows):  # nothing was predicted
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table(title, columns, rows, note, roles)


def failed(report: ReportContent) -> Table | None:
    """Settings without a recall, grouped by reason."""
    why: dict[tuple[str, str], list[str]] = {}
    for each in _all(report):
        if each.recall is None:
            words = "; ".join(dict.fromkeys([*_differences(each), *each.notes]))
            why.setdefault((each.state, words), []).append(label(each))
    rows = [
        [names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else ""), state, words]
        for (state, words), names in why.items()
    ]
    return Table("Not measured", ["Setting", "State", "Why"], rows) if rows else None


def latencies(report: ReportContent) -> Table | None:
    """Latency and throughput by concurrency."""
    rows = []
    for result in _all(report):
        for each in result.latency:
            rows.append(
                [
                    label(result),
                    each.phase,
                    str(each.concurrency),
                    number(each.p50),
                    number(each.p95),
                    number(each.p99),
                    number(each.throughput, 0),
                    number(each.client_ms),
                ]
            )
    if not rows:
        return None
    columns = ["Setting", "Phase", "#Concurrency", "#p50 ms", "#p95 ms", "#p99 ms", "#Queries/s"]
    note = (
        "Raw latency of the client. Client ms: the same request to "
        "a collection of a few rows, for comparison."
    )
    return Table("Time", [*columns, "#Client ms"], rows, note)


def labels(report: ReportContent) -> Table | None:
    """Recall and nDCG with relevance labels."""
    rows = [
        [
            label(each),
            share(each.labels.ndcg.value),
            share(each.labels.exact_ndcg),
            share(each.labels.recall.value),
            share(each.labels.exact_recall),
            str(each.labels.queries),
        ]
        for each in _all(report)
        if each.labels is not None
    ]
    columns = ["Setting", "#nDCG", "#float32", "#Recall", "#float32", "#Queries"]
    return Table("Relevance labels", columns, rows) if rows else None


def costs(cost: Cost) -> list[Table]:
    """Cost before and after, and of all databases."""
    priced = cost.prices.ram is not None or cost.prices.disk is not None
    change = [
        [what, line.setting, *_scales(line, priced)]
        for what, line in (("current", cost.before), ("requested", cost.after))
        if line is not None and line.scales
    ]
    heads = []
    for at, scale in enumerate(next((x.scales for x in cost.lines if x.scales), ())):
        heads += [f"#RAM {scale.factor:g}x"] + [f"#Disk {scale.factor:g}x"] * (at == 0)
        heads += ["#Per month"] * priced
    side = []
    for line in cost.lines:
        missing = [line.unsupported_reason, *[DASH] * (len(heads) - 1)]
        side.append([line.store, line.setting, *(_scales(line, priced) or missing)])
    note = "; ".join(cost.notes)
    tables = [Table("Databases", ["Store", "Setting", *heads], side, note)]
    if change:
        tables.insert(0, Table("RAM, disk and cost", ["", "Setting", *heads], change))
    return tables


def evidence(report: ReportContent) -> list[tuple[str, Table]]:
    """Evidence for each setting."""
    found = []
    for result in _all(report):
        if result.status is None:
            continue
        rows = [[item.signal, value_text(item.value)] for item in result.status.evidence]
        if rows:
            head = f"{label(result)}: verified {result.status.state}"
            found.append((head, Table("", ["Signal", "Value"], rows)))
    return found


def truths(report: ReportContent) -> Table:
    """Ground truth and queries of each measurement."""
    rows = []
    measured: list[Evaluation | Simulation] = [*report.evaluations]
    measured += [report.simulation] if report.simulation is not None else []
    for each in measured:
        truth = each.truth
        exact = "all rows" if truth.exact else f"{truth.rows:,} of {truth.total_rows:,} rows"
        engine = "simulated"
        if isinstance(each, Evaluation):
            engine = f"{each.server.store} {each.server.version or ''}".strip()
        rows.append(
            [
                each.created or DASH,
                engine,
                f"{each.count:,} x {each.dim:,}",
                str(each.metric),
                f"{each.queries:,}: {each.source}",
                exact + (f" ({truth.bound})" if truth.bound else ""),
            ]
        )
    columns = ["When", "Engine", "#Rows x dimensions", "Metric", "Queries", "Ground truth rows"]
    return Table("Measurements", columns, rows)


def _all(report: ReportContent) -> list[Result]:
    """Each result once: measured ones first."""
    found: list[Result] = []
    for evaluation in report.evaluations:
        found += evaluation.results
    known = {label(each) for each in found}
    simulated = report.simulation.results if report.simulation is not None else ()
    found += [each for each in simulated if label(each) not in known]
    return found


def _differences(result: Result) -> list[str]:
    return list(result.match.differences) if result.match is not None else []


def _scales(line: Line, priced: bool) -> list[str]:
    """RAM and cost at each scale, disk at the first."""
    cells = []
    for at, scale in enumerate(line.scales):
        cells += [size(scale.ram)] + [size(scale.disk)] * (at == 0)
        cells += [number(scale.monthly)] * priced
    return cells


def changes(report: ReportContent) -> list[tuple[str, str, str]]:
    """Before and after: name and two values."""
    before, after = report.before, report.after
    if before is None:
        return []

    def of(result: Result | None, name: str) -> str:
        if result is None:
            return ""
        return {
            "recall": share(result.recall.value if result.recall else None),
            "bare": share(result.recall_no_params.value if result.recall_no_params else None),
            "bytes": number(result.bytes_per_vector, 1),
            "p95": number(latency_of(result)),
        }[name]

    subject = report.subject
    names = {
        "recall": f"Recall@{subject.k if subject else 10}",
        "bare": "the same without search parameters",
        "bytes": "Bytes of codes per vector",
        "p95": "latency of one query (ms, p95)",
    }
    return [(title, of(before, key), of(after, key)) for key, title in names.items()]
