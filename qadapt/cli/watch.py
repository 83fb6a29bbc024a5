"""Command ``watch``."""

from __future__ import annotations

import json
import threading
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qadapt.cli import completion, rendering
from qadapt.cli.arguments import open_database, read_gate, read_queries
from qadapt.cli.command import command
from qadapt.cli.options import Disable, MaybeCollection, Url, gate_option, optional
from qadapt.cli.output import MISSED, Output, styled

if TYPE_CHECKING:
    from rich.text import Text

    from qadapt.watching.check import Check

# Set by tests to end the wait between two checks.
stop = threading.Event()


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "watch",
        own_limit=True,
        examples="qadapt watch edge:./data articles --once\n"
        "qadapt watch qdrant+http://localhost:6333 --every 1h --metrics :9464\n"
        "qadapt watch edge:./data a --queries q.npy --gate 'recall@10>=0.95' --json",
    )(watch)


def watch(
    out: Output,
    url: Url,
    collection: MaybeCollection = None,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="Time between checks: 30s, 15m, 1h.")
    ] = "1h",
    queries: Annotated[
        str,
        typer.Option(
            "--queries",
            metavar="FILE|N",
            help="File of query vectors (.npy), or number of the collection's own vectors.",
        ),
    ] = "100",
    gate: Annotated[
        str | None, gate_option("Lowest permitted recall; below it, the check fails.")
    ] = None,
    clients: Annotated[
        str | None,
        optional(
            "--clients",
            metavar="any|configured",
            help="Clients whose recall --gate judges: those that send no search parameters (any, "
            "the default), or those that send what `qadapt client-params` prints.",
            complete=completion.words(("any", "configured")),
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        optional(
            "--metrics",
            metavar="HOST:PORT|FILE",
            help="Publish OpenMetrics on a loopback port, or in a text file.",
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Check once; exit with code 3 if the check fails.")
    ] = False,
    rate: Annotated[
        float, typer.Option("--rate", metavar="N", help="Queries per second, at most.")
    ] = 10.0,
    renew: Annotated[
        str,
        typer.Option(
            "--renew", metavar="TIME", help="Age at which exact results are computed again."
        ),
    ] = "1d",
    disable: Disable = None,
) -> int:
    """Check recall and status repeatedly; nothing is changed.

    Without COLLECTION, all collections are checked. A server that does not answer is a failed
    check, and the next check tries again. --json prints one line of JSON for each check.
    """
    from qadapt.model.address import Address
    from qadapt.watching import openmetrics
    from qadapt.watching.check import Watch
    from qadapt.watching.pacing import Pace, seconds
    from qadapt.watching.publish import publisher

    bar, k = read_gate(gate, None, clients)
    gap = seconds(every, "--every")
    watched = Watch(
        connect=partial(open_database, url, disable),
        address=str(Address.parse(url)),
        collection=collection,
        gate=bar,
        queries=read_queries(queries),
        k=k,
        pace=Pace(rate),
        truth_age=seconds(renew, "--renew"),
    )
    published = None if metrics is None else publisher(metrics)
    counts: Counter[str] = Counter()
    try:
        if published is not None:
            out.note(f"metrics: {published.where}")
        while True:
            checks = []
            for check in watched.checks():
                checks.append(check)
                counts["good" if check.good else "bad" if check.up else "down"] += 1
                _show(out, check)
            if published is not None:
                published.publish(openmetrics.render(checks, counts))
            if once:
                return _code(checks)
            if stop.wait(gap):
                return 0
    finally:
        if published is not None:
            published.close()


def _code(checks: list[Check]) -> int:
    """Exit code of ``--once``: 1 if the database did not answer, 3 if a check failed."""
    if any(not check.up for check in checks):
        return 1
    return 0 if all(check.good for check in checks) else MISSED


def _show(out: Output, check: Check) -> None:
    """One line of text, or one line of JSON."""
    out.line(_document(check))
    out.print(_line(check, out))


def _document(check: Check) -> dict[str, Any]:
    import dataclasses

    found = {"format": "qadapt.check/1", "good": check.good, **dataclasses.asdict(check)}
    return dict(json.loads(json.dumps(found)))


def _line(check: Check, out: Output) -> Text:
    sign, style = ("✓", "green") if check.good else ("✗", "bold red")
    name = " ".join(filter(None, (check.collection or check.address, check.vector)))
    text = styled(f"{sign} {name}", style)
    if not check.up:
        return text.append(f"  no answer: {out.mask(check.error)}", style="default")
    parts = [f"{check.rows or 0:,} rows", f"{check.setting} {check.state}"]
    if check.recall is not None:
        parts.append(f"recall@{check.k} {_recall(check)}{_missed(check)}")
    elif check.met is False:
        parts.append("gate missed: too few rows to measure recall")
    if check.unindexed:
        parts.append(f"{check.unindexed:,} rows not indexed")
    parts += [f"{count} {name}" for name, count in check.findings.items() if count]
    return text.append(f"  {'; '.join(parts)}", style="default")


def _recall(check: Check) -> str:
    """Both figures; one if they are equal."""
    value = rendering.recall(check.recall)
    if check.recall_no_params == check.recall:
        return value
    return f"{value}, {rendering.recall(check.recall_no_params)} without search parameters"


def _missed(check: Check) -> str:
    """Whether the gate is missed, and the option that judges clients for whom it is met."""
    if check.met is not False:
        return ""
    met = check.recall is not None and check.gate is not None and check.recall >= check.gate
    return ", gate missed" + ("; met with --clients configured" if met else "")
