"""Moving: migrate, check, export, import, alias."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from qadapt.cli import complete, words
from qadapt.cli.frame import command
from qadapt.cli.options import Url, VectorName, open_database, read_guard
from qadapt.cli.output import Output, facts, styled
from qadapt.cli.progress import Reporter
from qadapt.errors import InputError, SpecError

if TYPE_CHECKING:
    from qadapt.migration import Check, Migration
    from qadapt.stores.base import Progress

MISSED = 3
CHECKS = ("all", "sample", "off")
TIMEOUT = 3600.0

Source = Annotated[
    str,
    typer.Argument(
        metavar="SRC", help="URL#collection, such as 'milvus+http://localhost:19530#articles'.",
        show_default=False,
    ),
]  # fmt: skip
Target = Annotated[
    str,
    typer.Argument(
        metavar="DST", help="URL, or URL#collection for another name.", show_default=False
    ),
]
Gate = Annotated[
    str | None,
    typer.Option(
        "--gate", metavar="'recall@10>=0.95'", show_default=False,
        help="Least recall of the target; that of the source less 0.02 where it is left out.",
    ),
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "migrate",
        own_limit=True,
        examples="qadapt migrate 'edge:./data#articles' qdrant+http://localhost:6333 --dry-run\n"
        "qadapt migrate 'milvus:notes.db#notes' 'weaviate+http://localhost:8080#Notes'\n"
        "qadapt migrate SRC DST --catch-up --cutover articles",
    )(migrate)
    command(
        app,
        "check",
        examples="qadapt check 'edge:./data#articles' qdrant+http://localhost:6333\n"
        "qadapt check SRC DST --rows sample --gate 'recall@10>=0.95'",
    )(check)
    command(
        app,
        "export",
        examples="qadapt export 'edge:./data#articles' articles.parquet",
    )(export)
    command(
        app,
        "import",
        own_limit=True,
        examples="qadapt import articles.parquet 'milvus:notes.db#articles'",
    )(load)
    command(
        app,
        "alias",
        examples="qadapt alias qdrant+http://localhost:6333 articles articles_v2\n"
        "qadapt alias qdrant+http://localhost:6333 articles --drop",
    )(alias)


def export(
    out: Output,
    source: Source,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help=".parquet, .npy or .fvecs.", show_default=False),
    ],
    vector: VectorName = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
) -> None:
    """Write a collection to a .parquet, .npy or .fvecs file.

    All of it goes to .parquet; one vector's floats to the others, with their ids beside. The file
    appears when it is whole.
    """
    import qadapt as qa

    with Events(out) as events:
        done = qa.export_file(source, file, vector=vector, overwrite=overwrite, progress=events)
    out.document(done.to_dict())
    lacking = f"; {done.missing:,} rows lack the vector" if done.missing else ""
    out.print(f"✓ {done.rows:,} rows in {done.path}, {words.size(done.bytes)}{lacking}")


def load(
    out: Output,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help=".parquet, .npy or .fvecs.", show_default=False),
    ],
    target: Target,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", metavar="cosine|dot|euclidean", show_default=False,
            help="For files that do not say theirs; cosine where it is left out.",
        ),
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option(
            "--quantize", metavar="QUANTIZATION", show_default=False,
            help="What the target gets; by default what the file says, translated.",
            autocompletion=complete.quantizations,
        ),
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Write to a collection that is there already.")
    ] = False,
) -> None:  # fmt: skip
    """Read a file into a collection.

    The collection is made where it is not there.

    Doing it twice does the same as once.
    """
    import qadapt as qa

    with Events(out) as events:
        done = qa.import_file(
            file,
            target,
            metric=metric,
            quantization=quantize,
            add=add,
            timeout=out.timeout or TIMEOUT,
            progress=events,
        )
    out.document(done.to_dict())
    mapped = f", {done.mapped:,} ids became UUIDs" if done.mapped else ""
    out.print(f"✓ {done.rows:,} rows in {done.collection}{mapped}")
    for name, match in done.match.items():
        label = f"codes of {name}" if name else "codes"
        told = f"; {'; '.join(match.differences)}" if match.differences else ""
        out.print(f"  {label}: {done.quantization[name]} ({match.level}){told}")


def migrate(
    out: Output,
    source: Source,
    target: Target,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the plan and copy nothing; words about the run itself can wait."
        ),
    ] = False,
    quantize: Annotated[
        str | None,
        typer.Option(
            "--quantize", metavar="QUANTIZATION", show_default=False,
            help="What the target gets; by default what the source has, translated.",
            autocompletion=complete.quantizations,
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="NAME", show_default=False,
            help="Leave behind what cannot be carried, by its name in the plan; may be repeated.",
            autocompletion=complete.losses,
        ),
    ] = None,
    datatype: Annotated[
        str | None,
        typer.Option(
            "--datatype", metavar="float32|float16", show_default=False,
            help="What the target keeps of the floats; by default what the source has.",
        ),
    ] = None,
    keep_norms: Annotated[
        bool,
        typer.Option(
            "--keep-norms",
            help="Keep lengths of vectors in the payload where the target normalises.",
        ),
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="How many read and write side by side.")
    ] = 2,
    batch: Annotated[
        float,
        typer.Option("--batch", metavar="MB", help="Megabytes of a write, to begin with."),
    ] = 4.0,
    updated_at: Annotated[
        str | None,
        typer.Option(
            "--updated-at", metavar="ENTRY", show_default=False,
            help="The payload's entry that says when a row was written, for --catch-up.",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            "--check", metavar="all|sample|off", show_default=False,
            help="Rows to compare afterwards; by default all up to 200,000, else a sample.",
            autocompletion=complete.words(CHECKS),
        ),
    ] = None,
    gate: Gate = None,
    catch_up: Annotated[
        bool,
        typer.Option(
            "--catch-up", help="Then carry what was added, changed and deleted meanwhile."
        ),
    ] = False,
    cutover: Annotated[
        str | None,
        typer.Option(
            "--cutover", metavar="ALIAS", show_default=False,
            help="Switch this alias to the copy once the check has passed.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on, and refuse if there is nothing to go on with."),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget an earlier run and write all rows again.")
    ] = False,
    on: Annotated[
        str | None,
        typer.Option(
            "--on", metavar="ray[://ADDRESS]", show_default=False,
            help="Copy as tasks of a Ray cluster: ray for the one at hand, ray://host:port.",
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option("--patience", metavar="SECONDS", help="How long a server may be away."),
    ] = 60.0,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe/--no-probe",
            help="Copy up to 400 rows to a scratch collection for the plan, and drop it again.",
        ),
    ] = True,
) -> int:  # fmt: skip
    """Copy a collection to another store, or to another name.

    Interrupted, the same command goes on. Afterwards both sides are compared; exit code 3 says
    that they differ.
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
        "probe": probe,
    }
    with Events(out) as events:
        if dry_run:
            plan = qa.plan_migration(source, target, progress=events, **options)
            events.rest()
            out.document(plan.to_dict())
            out.print(facts([(label, out.mask(line)) for label, line in plan_lines(plan)]))
            if plan.refused:
                out.note("it would be refused: allow what stays behind, or repair it")
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
            patience=patience,
            timeout=out.timeout or TIMEOUT,
            progress=events,
            **options,
        )
    out.document(done.to_dict())
    good = done.state == "done"
    head = "✓ migrated" if good else "✗ copied, but the check failed"
    again = ", resumed" if done.resumed else ""
    out.print(styled(head + again, "bold green" if good else "bold red"))
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
        raise SpecError(f"--batch is a number of megabytes; got {megabytes:g}")
    return int(megabytes * (1 << 20))


def _ray(on: str | None) -> str | None:
    if on is None or on == "ray":
        return None if on is None else "auto"
    if not on.startswith("ray://"):
        raise SpecError(f"--on takes ray or ray://host:port; got {on!r}")
    return on


def check(
    out: Output,
    source: Source,
    target: Target,
    rows: Annotated[
        str | None,
        typer.Option(
            "--rows", metavar="all|sample", show_default=False,
            help="Rows to compare; by default all up to 200,000, else a sample.",
            autocompletion=complete.words(CHECKS[:2]),
        ),
    ] = None,
    gate: Gate = None,
) -> int:  # fmt: skip
    """Compare two collections: ids, rows, and recall.

    Counts, ids both ways, vectors and payloads row by row, and recall@k of the target against
    the exact truth of the source. Exit code 3 says that they differ.
    """
    import qadapt as qa
    from qadapt.migration.text import check_lines

    _known(rows, CHECKS[:2], "--rows")
    with Events(out) as events:
        found = qa.check(source, target, how=cast("Any", rows), gate=gate, progress=events)
    out.document(found.to_dict())
    head = "✓ the same" if found.passed else "✗ they differ"
    out.print(styled(head, "bold green" if found.passed else "bold red"))
    out.print(facts([(f"  {label}", out.mask(line)) for label, line in check_lines(found)]))
    return _code(found)


def alias(
    out: Output,
    url: Url,
    name: Annotated[
        str | None, typer.Argument(metavar="ALIAS", help="Its name.", show_default=False)
    ] = None,
    collection: Annotated[
        str | None,
        typer.Argument(
            metavar="COLLECTION", help="Where it shall stand.", show_default=False
        ),
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Delete the alias.")] = False,
) -> None:  # fmt: skip
    """List aliases, switch one, or drop one."""
    with open_database(url) as database:
        if name is None and (collection or drop):
            raise InputError("ALIAS missing", hint="qadapt alias URL ALIAS COLLECTION")
        if drop and collection is not None:
            raise InputError("--drop deletes an alias, and COLLECTION switches it: give one")
        if name is not None and drop:
            database.drop_alias(name)
        elif name is not None and collection is not None:
            database.switch_alias(name, collection)
        known = dict(database.aliases())
    out.document({"aliases": known})
    chosen = {key: each for key, each in known.items() if name in (None, key)}
    if not chosen:
        out.print(f"no alias {name!r}" if name and not drop else "no aliases" if not name else
                  f"the alias {name!r} is gone")  # fmt: skip
        return
    out.print(facts(list(chosen.items())))


class Events(Reporter):
    """Progress as bars; with ``--json`` as one JSON document a line on standard error."""

    def __init__(self, out: Output) -> None:
        super().__init__(out)
        self._told: tuple[str, float] = ("", 0.0)

    def __call__(self, progress: Progress) -> None:
        """Show how far the work is."""
        if not self._out.json:
            super().__call__(progress)
            return
        now = time.monotonic()
        whole = progress.total is not None and progress.done >= progress.total
        if self._out.quiet or (
            progress.stage == self._told[0] and now - self._told[1] < 1 and not whole
        ):
            return
        if whole and self._told[0] == f"{progress.stage} done":
            return
        self._told = (f"{progress.stage} done" if whole else progress.stage, now)
        event: dict[str, Any] = {"event": "progress", "stage": progress.stage}
        event |= {"done": progress.done, "total": progress.total, "unit": progress.unit}
        if progress.rate is not None:
            left = (progress.total or 0) - progress.done
            event |= {
                "rate": round(progress.rate, 1),
                "eta": round(left / progress.rate, 1) if progress.rate > 0 else None,
                "lag": progress.lag,
            }
        sys.stderr.write(json.dumps(event) + "\n")
        sys.stderr.flush()
