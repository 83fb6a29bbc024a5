"""Text output of eval, simulate and advise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qadapt.cli import rendering
from qadapt.cli.output import Output, facts, fitting, styled

if TYPE_CHECKING:
    from rich.text import Text

    from qadapt.evaluation.documents import (
        Advice,
        Evaluation,
        EvaluationDocument,
        Option,
        Simulation,
    )
    from qadapt.evaluation.results import Result
    from qadapt.model import Guard

# Columns that are omitted first if the table is too wide.
LESS = ("Overlap", "nDCG", "Codes", "p95 ms", "Rescore", "95 % interval")


def show_evaluation(out: Output, found: Evaluation) -> None:
    """Print the measurements."""
    if out.json:
        return
    head = styled(found.collection, "bold")
    about = f"  {rendering.vector(found.vector)}, {found.count:,} rows of {found.dim} dimensions"
    out.print(head.append(about, style="dim"), "")
    _table(out, list(found.results), found.k)
    out.print(styled("No params: recall of a client that sends no search parameters", "dim"))
    truth = found.truth
    kept = ", cached" if truth.cached else ""
    read = "all rows" if truth.exact else f"{truth.rows:,} of {truth.total_rows:,} rows"
    if truth.filter:
        read = f"{truth.rows:,} rows that match {truth.filter}"
    made = f"ground truth: {truth.ground_truth}, {read}{kept}"
    out.print("", styled(f"{found.source}; {made}", "dim"))
    if found.copy_rows is not None:
        out.print(styled(f"candidates were measured on a copy of {found.copy_rows:,} rows", "dim"))
    clients = [t.client_ms for r in found.results for t in r.latency if t.client_ms is not None]
    if clients:
        span = f"{min(clients):.2f} to {max(clients):.2f} ms"
        note = f"latency includes client and network, about {span} for a small request"
        out.print(styled(note, "dim"))
    for note in (*found.notes, *filter(None, [truth.bound, truth.proof.reason])):
        out.print(styled(out.mask(note), "yellow"))
    for result in found.results:
        _labels(out, result, found.k)
        under = f" {result.filter}" if result.filter else ""
        for note in result.notes:
            out.print(styled(f"{result.setting}{under}: {out.mask(note)}", "yellow"))
        if out.verbose:
            _times(out, result)


def show_memory(out: Output, found: EvaluationDocument) -> None:
    """Print the measured memory, and RAM and disk before and after as the last line."""
    if out.json:
        return
    if found.engine_memory is not None:
        out.print("", styled(str(found.engine_memory), "dim"))
    if found.memory_line:
        out.print("", styled(f"memory: {found.memory_line}", "bold"))


def show_simulation(out: Output, found: Simulation) -> None:
    """Print the predictions."""
    if out.json:
        return
    head = styled(found.collection, "bold")
    out.print(head.append(f"  {rendering.vector(found.vector)}, simulated", style="dim"), "")
    _table(out, list(found.results), found.k)
    stood = f"simulated on {found.sample_rows:,} of {found.count:,} rows"
    truth = found.truth
    out.print("", styled(f"{found.source}; {stood}", "dim"))
    out.print(styled(f"ground truth: {truth.ground_truth}", "dim"))
    for note in found.notes:
        out.print(styled(note, "dim"))
    if truth.proof.reason:
        out.print(styled(truth.proof.reason, "yellow"))
    for result in found.results:
        predicted = result.predicted
        if predicted is not None and not predicted.validated:
            out.print(styled(f"{result.setting}: {'; '.join(predicted.notes)}", "yellow"))
        for note in result.notes:
            out.print(styled(f"{result.setting}: {note}", "yellow"))


def _table(out: Output, results: list[Result], k: int) -> None:
    rows: list[list[Text | str]] = []
    filtered = any(item.filter for item in results)
    for item in results:
        recall, warm = item.recall, _warm_latency(item)
        if recall is None:
            value: Text | str = styled(item.state, "red")
            interval = rendering.DASH
        else:
            value = rendering.recall(recall.value)
            interval = f"{rendering.recall(recall.low)} to {rendering.recall(recall.high)}"
        rows.append(
            [
                f"  {item.setting}",
                item.where,
                item.filter,
                value,
                interval,
                rendering.no_params(item),
                rendering.recall(item.ndcg.value if item.ndcg else None),
                rendering.recall(item.overlap.value if item.overlap else None),
                rendering.DASH
                if item.bytes_per_vector is None
                else f"{item.bytes_per_vector:,.0f} B",
                rendering.DASH if item.memory is None else rendering.size(item.memory.ram_after),
                rendering.DASH if warm is None else f"{warm.p50:.2f}",
                rendering.DASH if warm is None else f"{warm.p95:.2f}",
                rendering.DASH if warm is None else f"{_best(item):,.0f}",
                rendering.DASH if item.rescore is None else rendering.rescore(item.rescore),
            ]
        )
    columns: list[Any] = ["  Setting", "Where", "Filter", (f"Recall@{k}", "right"), "95 % interval"]
    columns += [("No params", "right")]
    columns += [
        ("nDCG", "right"),
        ("Overlap", "right"),
        ("Codes", "right"),
        ("RAM", "right"),
        ("p50 ms", "right"),
    ]
    columns += [("p95 ms", "right"), ("Queries/s", "right"), "Rescore"]
    if not any(item.recall_no_params for item in results):  # simulated
        columns, rows = columns[:5] + columns[6:], [row[:5] + row[6:] for row in rows]
    if not filtered:
        columns, rows = columns[:2] + columns[3:], [row[:2] + row[3:] for row in rows]
    if not any(item.latency for item in results):
        drop = {"p50 ms", "p95 ms", "Queries/s", "nDCG", "Overlap"}
        drop |= set() if any(item.memory for item in results) else {"RAM"}
        if any(item.ndcg for item in results):
            drop -= {"nDCG", "Overlap"}
        keep = [at for at, each in enumerate(columns) if _title(each) not in drop]
        columns = [columns[at] for at in keep]
        rows = [[row[at] for at in keep] for row in rows]
    out.print(fitting(out.out.width, columns, rows, drop=LESS))


def _title(column: Any) -> str:
    return column if isinstance(column, str) else column[0]


def _warm_latency(result: Result) -> Any:
    """Latency of warm queries at the lowest measured concurrency."""
    timed = [item for item in result.latency if item.phase == "warm"]
    return min(timed, key=lambda item: item.concurrency, default=None)


def _best(result: Result) -> float:
    return max(item.throughput for item in result.latency)


def _times(out: Output, result: Result) -> None:
    for item in result.latency:
        out.print(
            f"  {result.setting}: {item.phase}, {item.concurrency} concurrent: p50 {item.p50:.2f}, "
            f"p95 {item.p95:.2f}, p99 {item.p99:.2f} ms, {item.throughput:,.0f} queries/s"
        )


def _labels(out: Output, result: Result, k: int) -> None:
    found = result.labels
    if found is not None:
        out.print(
            f"  {result.setting}: with labels, recall@{k} {found.recall.value:.4f} (exact "
            f"{found.exact_recall:.4f}), nDCG@{k} {found.ndcg.value:.4f} (exact "
            f"{found.exact_ndcg:.4f}), {found.queries} queries"
        )


def show_gate(out: Output, bar: Guard | None, reported: dict[str, Any] | None) -> None:
    """Print whether the gate was met."""
    if bar is None or reported is None:
        return
    met = reported["met"]
    verdict = styled("✓ gate met", "green") if met else styled("✗ gate missed", "bold red")
    but = f"; {reported['proof']['reason']}" if reported["proof"]["reason"] else ""
    out.print("", verdict.append(f"  {bar}, lowest {reported['value']:.4f}{but}", style="default"))


def show_advice(out: Output, found: Advice) -> None:
    """Print the best setting, the runner-up and the excluded settings."""
    if out.json:
        return
    target = found.target
    asked = [f"recall@{target.k} >= {target.recall:g}"]
    if target.max_ram is not None:
        asked.append(f"at most {rendering.size(target.max_ram)} of RAM")
    if target.max_latency_ms is not None:
        asked.append(f"at most {target.max_latency_ms:g} ms")
    head = styled(found.collection, "bold")
    out.print(
        head.append(f"  {rendering.vector(found.vector)}: {', '.join(asked)}", style="dim"), ""
    )
    for label, option in (("✓ best", found.best), ("  runner-up", found.runner_up)):
        if option is not None:
            out.print(styled(f"{label}  {option.setting}", "green"))
            _show_option(out, option, target.k)
    out.print(styled(f"ground truth: {found.truth.ground_truth}", "dim"))
    if found.truths:
        rows = ", ".join(each.filter for each in found.truths)
        out.print(styled(f"recall: the lowest of {rows}", "dim"))
    if found.best is None:
        out.print(styled("✗ no setting meets the target", "bold red"))
    if found.ruled_out:
        out.print("", styled("ruled out", "bold"))
        for item in found.ruled_out:
            out.print(f"  {item.setting}: {item.reason}")
    for note in found.notes:
        out.print(styled(note, "yellow"))
    if found.best is not None:
        out.print("", found.spec.rstrip())
    show_memory(out, found)


def _show_option(out: Output, option: Option, k: int) -> None:
    recall = option.recall
    pairs: list[tuple[str, Text | str]] = [
        (f"  recall@{k}", f"{recall.value:.4f} ({recall.low:.3f} to {recall.high:.3f}), "
                          f"{option.source}"),
        ("  RAM", rendering.size(option.ram)),
        ("  disk", rendering.size(option.disk)),
    ]  # fmt: skip
    if option.latency_ms is not None:
        pairs.append(("  p95", f"{option.latency_ms:.2f} ms"))
    if option.monthly is not None:
        pairs.append(
            (
                "  per month",
                f"{option.monthly:,.2f}" if option.monthly >= 1 else f"{option.monthly:.2g}",
            )
        )
    pairs += [("  why", reason) for reason in option.reasons]
    out.print(facts(pairs))
