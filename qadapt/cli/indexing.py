"""Command ``index``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qadapt.cli import completion, rendering
from qadapt.cli.arguments import check_accept
from qadapt.cli.command import OWN_LIMIT, command
from qadapt.cli.events import Events
from qadapt.cli.options import Target, optional, word
from qadapt.cli.output import Output


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "index",
        own_limit=True,
        examples="qadapt index notes.csv edge:./data#notes --model demo\n"
        "qadapt index t.parquet edge:./data#t --model ./my-model --text-field body",
    )(index)


def index(
    out: Output,
    file: Annotated[Path, word("FILE", "Rows with texts: .jsonl, .parquet or .csv.")],
    target: Target,
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="NAME[,dim=256]",
            help="Embedding model: a model name, a folder, or demo for the model of the demo.",
        ),
    ],
    text_field: Annotated[
        str, typer.Option("--text-field", metavar="FIELD", help="Field of the texts.")
    ] = "text",
    id: Annotated[
        str | None,
        optional("--id", metavar="FIELD", help="Field of the ids. Default: numbers from 0."),
    ] = None,
    query_prompt: Annotated[
        str | None,
        optional("--query-prompt", metavar="TEXT", help="Text before each query."),
    ] = None,
    document_prompt: Annotated[
        str | None,
        optional("--document-prompt", metavar="TEXT", help="Text before each document."),
    ] = None,
    metric: Annotated[
        str | None,
        optional(
            "--metric", metavar="cosine|dot|euclidean",
            help="Metric of a new collection. Default: that of the model.",
        ),
    ] = None,
    quantize: Annotated[
        str | None,
        optional(
            "--quantize", metavar="QUANTIZATION", help="Quantization to apply after the load.",
            complete=completion.quantizations,
        ),
    ] = None,
    accept: Annotated[
        str,
        typer.Option(
            "--accept", metavar="exact|differs|client",
            help="Permitted match of the quantization; client keeps codes on the client.",
        ),
    ] = "differs",
) -> None:  # fmt: skip
    """Encode the texts of a file into a collection.

    The collection is created if it does not exist. Other fields become payload. The model is saved
    with the collection, so that `qadapt search --text` encodes queries with it.
    """
    import qadapt as qa
    from qadapt.files.text_rows import TextFile

    permitted = check_accept(accept)
    with Events(out) as events:
        done = qa.index(
            TextFile(file),
            _encoder(model, query_prompt, document_prompt),
            target,
            quantization=quantize,
            accept=permitted,
            text_field=text_field,
            id_field=id,
            metric=metric,
            timeout=out.timeout or OWN_LIMIT,
            progress=events,
        )
    out.document(done.to_dict())
    place = f"the {'new' if done.created else 'existing'} collection {done.collection}"
    out.print(f"✓ {done.rows:,} texts encoded with {done.model} and written to {place}")
    state, _ = rendering.state(done.status)
    out.print(f"  {done.dim} dimensions, {done.metric}; {done.quantization}: {state}")


def _encoder(text: str, query_prompt: str | None, document_prompt: str | None) -> Any:
    """The encoder of ``--model``."""
    from qadapt import encoder

    name, options = encoder.parse(text)
    prompts = {"query_prompt": query_prompt, "document_prompt": document_prompt}
    return encoder.as_encoder(name, **options, **prompts)
