"""Commands ``export`` and ``import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qadapt.cli import completion, rendering
from qadapt.cli.command import OWN_LIMIT, command
from qadapt.cli.events import Events
from qadapt.cli.options import EmbeddingsKind, Source, Target, VectorName, optional, word
from qadapt.cli.output import Output

File = Annotated[Path, word("FILE", "File: .parquet, .npy or .fvecs.")]


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
        "qadapt import t.parquet 'edge:./data#docs' --id doc_id --vectors emb",
    )(load)


def export(
    out: Output,
    source: Source,
    file: File,
    vector: VectorName = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
) -> None:
    """Export a collection to a .parquet, .npy or .fvecs file.

    A .parquet file holds the whole collection; the other formats hold one vector, with the ids in
    a second file. The file appears only when it is complete.
    """
    import qadapt as qa

    with Events(out) as events:
        done = qa.export_file(source, file, vector=vector, overwrite=overwrite, progress=events)
    out.document(done.to_dict())
    lacking = f"; {done.missing:,} rows do not have this vector" if done.missing else ""
    out.print(f"✓ {done.rows:,} rows in {done.path}, {rendering.size(done.bytes)}{lacking}")
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
            "--id", metavar="COLUMN", help="Id column. Default: id, or the index of a DataFrame."
        ),
    ] = None,
    vectors: Annotated[
        list[str] | None,
        optional(
            "--vectors",
            metavar="COLUMN",
            help="Vector column, or NAME=COLUMN. Can be repeated. Other columns become payload.",
        ),
    ] = None,
    number_rows: Annotated[
        bool, typer.Option("--number-rows", help="Use row numbers, starting at 0, as ids.")
    ] = False,
    kind: EmbeddingsKind = None,
    metric: Annotated[
        str | None,
        optional(
            "--metric",
            metavar="cosine|dot|euclidean",
            help="Metric, if the file does not contain it. Default: cosine.",
        ),
    ] = None,
    quantize: Annotated[
        str | None,
        optional(
            "--quantize",
            metavar="QUANTIZATION",
            help="Quantization of the target. Default: that of the file.",
            complete=completion.quantizations,
        ),
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Add rows to an existing collection.")] = False,
    allow: Annotated[
        list[str] | None,
        optional(
            "--allow",
            metavar="NAME",
            help="Skip sparse-vectors or multivectors that the target does not support; accept "
            "rows with missing-vectors.",
        ),
    ] = None,
) -> None:
    """Import a .parquet, .npy or .fvecs file.

    The collection is created if it does not exist. The whole file is checked before anything is
    written; a failed import removes the collection that it created. With --add, rows of an existing
    collection with the same ids are replaced; its settings are kept.
    """
    import qadapt as qa

    with Events(out) as events:
        done = qa.import_file(
            file,
            target,
            id=id,
            vectors=vectors or None,
            number_rows=number_rows,
            kind=kind,
            metric=metric,
            quantization=quantize,
            add=add,
            allow=allow or (),
            timeout=out.timeout or OWN_LIMIT,
            progress=events,
        )
    out.document(done.to_dict())
    mapped = f", {done.mapped:,} ids became UUIDs" if done.mapped else ""
    place = f"the {'new' if done.created else 'existing'} collection {done.collection}"
    out.print(f"✓ {done.rows:,} rows written to {place}{mapped}")
    if done.columns:
        columns = [f"{role} from {column!r}" for role, column in done.columns.items()]
        if done.entries:
            columns.append(f"payload from {', '.join(map(repr, done.entries))}")
        out.print(f"  {'; '.join(columns)}")
    for name, match in done.match.items():
        label = f"codes of {name}" if name else "codes"
        reported = f"; {'; '.join(match.differences)}" if match.differences else ""
        out.print(f"  {label}: {done.quantization[name]} ({match.level}){reported}")
