"""Files out and in: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qadapt.cli import complete, words
from qadapt.cli.events import Events
from qadapt.cli.frame import OWN_LIMIT, command
from qadapt.cli.options import Source, Target, VectorName, optional, word
from qadapt.cli.output import Output

File = Annotated[Path, word("FILE", ".parquet, .npy or .fvecs.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "export",
        examples="qadapt export 'edge:./data#articles' articles.parquet",
    )(export)
    command(
        app,
        "import",
        own_limit=True,
        examples="qadapt import articles.parquet 'milvus:notes.db#articles'\n"
        "qadapt import theirs.parquet 'edge:./data#docs' --id doc_id --vectors embedding",
    )(load)


def export(
    out: Output,
    source: Source,
    file: File,
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
    if done.hidden:
        ids = ", ".join(repr(key) for key in done.hidden_ids[:10])
        out.warn(
            f"{done.hidden:,} rows are not in the file: the store hides them behind other rows "
            f"with the same id ({ids}); `qadapt doctor` shows what to do"
        )


def load(
    out: Output,
    file: File,
    target: Target,
    id: Annotated[
        str | None,
        optional(
            "--id", metavar="COLUMN", help="The column of ids; id, or a DataFrame's index, if none."
        ),
    ] = None,
    vectors: Annotated[
        list[str] | None,
        optional(
            "--vectors",
            metavar="COLUMN",
            help="A column of vectors, or NAME=COLUMN; may be repeated. Other columns become "
            "entries of the payload.",
        ),
    ] = None,
    number_rows: Annotated[
        bool, typer.Option("--number-rows", help="Use the numbers of the rows, from 0, as ids.")
    ] = False,
    metric: Annotated[
        str | None,
        optional(
            "--metric",
            metavar="cosine|dot|euclidean",
            help="For files that do not say theirs; cosine where it is left out.",
        ),
    ] = None,
    quantize: Annotated[
        str | None,
        optional(
            "--quantize",
            metavar="QUANTIZATION",
            help="What the target gets; by default what the file says, translated.",
            complete=complete.quantizations,
        ),
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Write to a collection that is there already.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        optional(
            "--allow",
            metavar="NAME",
            help="Leave out sparse-vectors or multivectors that the target lacks; take rows with "
            "missing-vectors.",
        ),
    ] = None,
) -> None:
    """Read a .parquet, .npy or .fvecs file into a collection.

    The collection is created if it does not exist. All of the file is read and checked before
    anything is written; an import that fails removes the collection that it created. Running it
    twice does the same as once.
    """
    import qadapt as qa

    with Events(out) as events:
        done = qa.import_file(
            file,
            target,
            id=id,
            vectors=vectors or None,
            number_rows=number_rows,
            metric=metric,
            quantization=quantize,
            add=add,
            allow=allow or (),
            timeout=out.timeout or OWN_LIMIT,
            progress=events,
        )
    out.document(done.to_dict())
    mapped = f", {done.mapped:,} ids became UUIDs" if done.mapped else ""
    out.print(f"✓ {done.rows:,} rows in {done.collection}{mapped}")
    if done.columns:
        columns = [f"{role} from {column!r}" for role, column in done.columns.items()]
        if done.entries:
            columns.append(f"payload from {', '.join(map(repr, done.entries))}")
        out.print(f"  {'; '.join(columns)}")
    for name, match in done.match.items():
        label = f"codes of {name}" if name else "codes"
        told = f"; {'; '.join(match.differences)}" if match.differences else ""
        out.print(f"  {label}: {done.quantization[name]} ({match.level}){told}")
