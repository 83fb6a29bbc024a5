"""Command ``history``; it imports neither numpy nor a database client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qadapt.cli import rendering
from qadapt.cli.command import command
from qadapt.cli.options import optional
from qadapt.cli.output import Output, facts, fitting, styled
from qadapt.errors import ConsentRequiredError, InputError

if TYPE_CHECKING:
    from rich.text import Text

    from qadapt.planning.outcome import Outcome


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "history",
        examples="qadapt history\nqadapt history --json\n"
        "qadapt history --abandon 20260102T030405678-1a2b3c4d",
    )(history)


def history(
    out: Output,
    abandon: Annotated[
        str | None,
        optional(
            "--abandon",
            metavar="CHANGE",
            help="Remove the record of a change from the history; the collection is not changed.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Confirm --abandon without asking.")
    ] = False,
) -> None:
    """List changes made from this machine, newest first.

    A damaged record blocks the changes of its collection until it is repaired or abandoned.
    """
    from qadapt.planning import journal
    from qadapt.planning.outcome import outcome_of

    if abandon is not None:
        _abandon(out, abandon, yes)
        return
    if yes:
        raise InputError("--yes has no effect without --abandon", hint="leave --yes out")
    records, damaged = journal.scan()
    changes = [outcome_of(record) for record in records]
    document: dict[str, Any] = {"changes": [item.to_dict() for item in changes]}
    if damaged:
        document["damaged"] = [item.to_dict() for item in damaged]
    out.document(document)
    if not changes and not damaged:
        out.print("no changes yet")
        return
    if changes:
        _list(out, changes)
    for item in damaged:
        out.print("", styled(f"! {item.id}: the record cannot be used", "bold red"))
        pairs: list[tuple[str, Text | str]] = [("  problem", out.mask(item.problem))]
        if item.collection:
            pairs.append(("  collection", out.mask(f"{item.collection} at {item.address}")))
        pairs += [("  record", item.path), ("  next", out.mask(item.hint))]
        out.print(facts(pairs))


def _list(out: Output, changes: list[Outcome]) -> None:
    rows = []
    for item in changes:
        sign, style = rendering.CHANGES.get(item.state, ("?", "magenta"))
        what = f"{item.collection}[{item.vector}]" if item.vector else item.collection
        row: list[Text | str] = [item.id, rendering.moment(item.created)]
        row += [styled(f"{sign} {item.state}", style), what, item.requested]
        row += [rendering.recall(item.recall_before), rendering.recall(item.recall_after)]
        rows.append([*row, out.mask(str(item.address))])
    columns: list[Any] = ["Change", "Planned", "State", "Collection", "Quantization"]
    columns += [("Before", "right"), ("After", "right"), "Store"]
    drop = ["Store", "Before", "After", "Planned"]
    out.print(fitting(out.out.width, columns, rows, drop=drop))


def _abandon(out: Output, change: str, yes: bool) -> None:
    """Abandon a record after confirmation."""
    from qadapt.planning import abandoned_records, journal

    found = journal.locate(change)
    if not yes:
        again = out.again("--yes")
        if not out.asks:
            raise ConsentRequiredError(
                f"abandoning the change {found.id} needs confirmation, and this is not a terminal",
                hint=f"pass --yes: {again}",
            )
        reported = f"{found.id}: {abandoned_records.describe(found)}"
        out.err.print(out.mask(reported), markup=False)
        out.err.print("The record is moved aside and the change can no longer be undone.")
        if not out.confirm("Abandon it?"):
            raise ConsentRequiredError(
                "not confirmed; nothing was changed", hint=f"to confirm: {again}"
            )
    done = abandoned_records.abandon(found.id)
    out.document(done.to_dict())
    out.print(styled(f"abandoned {done.id}", "bold"))
    pairs: list[tuple[str, Text | str]] = [("  record", done.path)]
    if done.collection:
        pairs.append(("  collection", out.mask(f"{done.collection} at {done.address}")))
    pairs.append(("  state", out.mask(done.left)))
    if done.next:
        pairs.append(("  next", out.mask(done.next)))
    out.print(facts(pairs))
