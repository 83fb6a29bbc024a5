"""Commands for migrations: migrate, check."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from qadapt.cli import completion
from qadapt.cli.arguments import read_guard
from qadapt.cli.command import OWN_LIMIT, command
from qadapt.cli.events import Events
from qadapt.cli.options import Source, Target, gate_option, optional
from qadapt.cli.output import MISSED, Output, facts, styled
from qadapt.errors import SpecError

if TYPE_CHECKING:
    from qadapt.migration import Check, Migration

CHECKS = ("all", "sample", "off")

Gate = Annotated[
    str | None,
    gate_option("Minimum recall of the target [default: recall of the source - 0.02]."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "migrate",
        own_limit=True,
        examples="qadapt migrate 'edge:./data#articles' qdrant+http://localhost:6333 --dry-run\n"
        "qadapt migrate 'milvus:notes.db#notes' weaviate+http://localhost:8080\n"
        "qadapt migrate SRC DST --catch-up --cutover articles",
    )(migrate)
    command(
        app,
        "check",
        examples="qadapt check 'edge:./data#articles' qdrant+http://localhost:6333\n"
        "qadapt check SRC DST --rows sample --gate 'recall@10>=0.95'",
    )(check)


def migrate(
    out: Output,
    source: Source,
    target: Target,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the plan without copying anything."
        ),
    ] = False,
    quantize: Annotated[
        str | None,
        optional(
            "--quantize", metavar="QUANTIZATION",
            help="Quantization of the target [default: equivalent of the source's].",
            complete=completion.quantizations,
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        optional(
            "--allow", metavar="NAME",
            help="Accept a loss by its name in the plan; may be repeated.",
            complete=completion.losses,
        ),
    ] = None,
    datatype: Annotated[
        str | None,
        optional(
            "--datatype", metavar="float32|float16|bfloat16",
            help="Datatype of the target's vectors [default: that of the source].",
        ),
    ] = None,
    keep_norms: Annotated[
        bool,
        typer.Option(
            "--keep-norms",
            help="Keep vector lengths in the payload if the target normalizes vectors.",
        ),
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="Number of parallel workers.")
    ] = 2,
    batch: Annotated[
        float,
        typer.Option("--batch", metavar="MB", help="Initial size of a write, in MB."),
    ] = 4.0,
    updated_at: Annotated[
        str | None,
        optional(
            "--updated-at", metavar="FIELD",
            help="Payload field with the time of a row's last change, for --catch-up.",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        optional(
            "--check", metavar="all|sample|off",
            help="Rows to compare after the copy [default: all up to 200,000, else a sample].",
            complete=completion.words(CHECKS),
        ),
    ] = None,
    gate: Gate = None,
    catch_up: Annotated[
        bool,
        typer.Option(
            "--catch-up", help="Apply changes made to the source since the copy."
        ),
    ] = False,
    cutover: Annotated[
        str | None,
        optional(
            "--cutover", metavar="ALIAS",
            help="Switch this alias to the copy after the check has passed.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue an earlier run; fail if there is none."),
    ] = False,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Discard an earlier run's progress; write all rows again."),
    ] = False,
    on: Annotated[
        str | None,
        optional(
            "--on", metavar="ray[://ADDRESS]",
            help="Copy with a Ray cluster: ray for the local one, or ray://HOST:PORT.",
        ),
    ] = None,
    retry_timeout: Annotated[
        float,
        typer.Option(
            "--retry-timeout", metavar="SECONDS",
            help="How long to retry while a server is unreachable.",
        ),
    ] = 60.0,
    trial_copy: Annotated[
        bool,
        typer.Option(
            "--trial-copy/--no-trial-copy",
            help="Copy up to 400 rows to a scratch collection when planning.",
        ),
    ] = True,
) -> int:  # fmt: skip
    """Copy a collection to another database, or to another name.

    After an interruption, the same command continues where it stopped. After the copy, both
    collections are compared; exit code 3 means that they differ.
    """
    import qadapt as qa
    from qadapt.migration.text import migration_lines, plan_lines

    _known(rows, CHECKS, "--check")
    cluster = _ray(on)
    bar = read_guard(gate)
    options: dict[str, Any] = {
        "allow": allow or (),
        "quantization": quantize,
        "datatype": datatype,
        "keep_norms": keep_norms,
        "workers": workers,
        "batch_bytes": _bytes(batch),
        "updated_at": updated_at,
        "trial_copy": trial_copy,
    }
    with Events(out) as events:
        if dry_run:
            plan = qa.plan_migration(source, target, progress=events, **options)
            events.rest()
            out.document(plan.to_dict())
            out.print(facts([(label, out.mask(line)) for label, line in plan_lines(plan)]))
            if plan.refused:
                names = " ".join(f"--allow {loss.name}" for loss in plan.refused)
                out.note(f"the migration would be refused; to accept the losses: {names}")
            return 0
        done = qa.migrate(
            source,
            target,
            check=cast("Any", rows),
            gate=bar,
            catch_up=catch_up,
            cutover=cutover,
            resume=resume,
            restart=restart,
            on=cluster,
            retry_timeout=retry_timeout,
            timeout=out.timeout or OWN_LIMIT,
            progress=events,
            **options,
        )
    out.document(done.to_dict())
    good = done.state == "done"
    head = "✓ migrated" if good else "✗ copied, but the check failed"
    resumed = " (resumed)" if done.resumed else ""
    out.print(styled(head + resumed, "bold green" if good else "bold red"))
    out.print(facts([(f"  {label}", out.mask(line)) for label, line in migration_lines(done)]))
    if not good and cutover:
        out.warn(f"the alias {cutover!r} was not switched")
    return _code(done)


def _code(done: Migration | Check) -> int:
    passed = done.state == "done" if hasattr(done, "state") else done.passed
    return 0 if passed else MISSED


def _known(word: str | None, words: tuple[str, ...], option: str) -> None:
    if word is not None and word not in words:
        raise SpecError.unknown(option, word, words)


def _bytes(megabytes: float) -> int:
    if not math.isfinite(megabytes):
        raise SpecError(
            f"--batch must be a finite number of megabytes; got {megabytes:g}",
            hint="for example --batch 4",
        )
    return int(megabytes * (1 << 20))


def _ray(on: str | None) -> str | None:
    if on is None or on == "ray":
        return None if on is None else "auto"
    if not on.startswith("ray://"):
        raise SpecError(
            f"--on must be ray or ray://HOST:PORT; got {on!r}",
            hint="for example --on ray, or omit it to copy in this process",
        )
    return on


def check(
    out: Output,
    source: Source,
    target: Target,
    rows: Annotated[
        str | None,
        optional(
            "--rows", metavar="all|sample",
            help="Rows to compare [default: all up to 200,000, else a sample].",
            complete=completion.words(CHECKS[:2]),
        ),
    ] = None,
    gate: Gate = None,
) -> int:  # fmt: skip
    """Compare two collections: ids, rows, and recall.

    Compares row counts, ids in both directions, vectors and payloads of each row, and recall@k of
    both sides, by exact scores of the source's vectors. Exit code 3 means that they differ.
    """
    import qadapt as qa
    from qadapt.migration.text import check_lines

    _known(rows, CHECKS[:2], "--rows")
    with Events(out) as events:
        found = qa.check(source, target, scope=cast("Any", rows), gate=gate, progress=events)
    out.document(found.to_dict())
    head = "✓ equal" if found.passed else "✗ different"
    out.print(styled(head, "bold green" if found.passed else "bold red"))
    out.print(facts([(f"  {label}", out.mask(line)) for label, line in check_lines(found)]))
    return _code(found)
