"""Command ``report``: measurements as HTML, Markdown, JSON or terminal output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qadapt.cli.command import command
from qadapt.cli.options import DiskPrice, RamPrice, optional, word
from qadapt.cli.output import Output, styled, table

if TYPE_CHECKING:
    from rich.text import Text

    from qadapt.reporting import Report
    from qadapt.reporting.tables import Table

_STYLES = {"before": "yellow", "after": "green", "predicted": "magenta"}


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "report",
        examples="qadapt report eval.json -o report.html\n"
        "qadapt report before.json after.json cost.json doctor.json -o report.html\n"
        "qadapt report eval.json",
    )(report)


def report(
    out: Output,
    documents: Annotated[
        list[Path],
        word(
            "EVAL.json...",
            "JSON output of eval, simulate, advise, cost, doctor or verify.",
        ),
    ],
    output: Annotated[
        Path | None,
        optional(
            "--output",
            "-o",
            metavar="FILE.html|.md|.json",
            help="Output file. Default: print to the terminal.",
        ),
    ] = None,
    after: Annotated[
        str | None, optional("--after", metavar="SETTING", help="Setting to compare with.")
    ] = None,
    title: Annotated[str | None, optional("--title", metavar="TEXT", help="Page title.")] = None,
    price: RamPrice = None,
    disk_price: DiskPrice = None,
) -> None:
    """Write measurements as an HTML, Markdown or JSON report.

    The report shows settings before and after, plots, evidence, and the commands that produced it.
    Of two evaluations of one collection, the last is "after". The HTML page needs no network.
    """
    from qadapt.model import Prices
    from qadapt.reporting import report as make

    prices = Prices(price, disk_price)
    made = make(*documents, after=after, path=output, title=title, prices=prices)
    where = None if output is None else str(output)
    out.document({**made.to_dict(), "written": where})
    if output is not None:
        out.print(f"written: {output} ({output.stat().st_size / 1000:,.0f} kB)")
    elif not out.json:
        _show(out, made)


def _show(out: Output, made: Report) -> None:
    from rich.text import Text

    from qadapt.reporting import tables
    from qadapt.reporting.content import label
    from qadapt.reporting.terminal import plot

    out.print(styled(made.title, "bold"), "")
    rows = [[name, was, now] for name, was, now in tables.changes(made)]
    if rows:
        before = label(made.before) if made.before is not None else ""
        now = label(made.after) if made.after is not None else ""
        out.print(table(["", f"before: {before}", f"after: {now}" if now else ""], rows), "")
    for axis in ("bytes", "latency"):
        drawn = plot(made, axis, width=out.out.width, color=out.out.is_terminal)
        if drawn is not None:
            out.print(Text.from_ansi(drawn), "")
    out.print(_rich(tables.settings(made)))
    more = tables.predicted(made)
    if more is not None and out.verbose:
        out.print("", _rich(more))
    elif more is not None:
        out.print(styled(f"{len(more.rows)} predicted settings; use -v to show them", "dim"))
    if made.memory is not None:
        out.print("", styled(f"memory: {made.memory}", "bold"))
    if made.engine_memory is not None:
        out.print(styled(str(made.engine_memory), "dim"))


def _rich(found: Table) -> Any:
    columns: list[Any] = [
        (name.lstrip("#"), "right") if name.startswith("#") else name for name in found.columns
    ]
    rows: list[list[Text | str]] = []
    for at, row in enumerate(found.rows):
        style = _STYLES.get(found.roles[at], "default") if found.roles else "default"
        rows.append([styled(cell, style) for cell in row])
    return table(columns, rows)
