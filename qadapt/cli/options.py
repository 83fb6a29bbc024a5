"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from qadapt.cli import complete
from qadapt.cli.given import ACCEPTS


def optional(
    *names: str, help: str, metavar: str | None = None, complete: Callable[..., Any] | None = None
) -> Any:
    """An option that may be left out; its help says what holds then."""
    return typer.Option(
        *names, help=help, metavar=metavar, autocompletion=complete, show_default=False
    )


def word(metavar: str, help: str, complete: Callable[..., Any] | None = None) -> Any:
    """What is typed without a name before it, and has no default to show."""
    return typer.Argument(metavar=metavar, help=help, autocompletion=complete, show_default=False)


# -- where and what ------------------------------------------------------------------------------

_URL = word("URL", "A store, such as qdrant+http://localhost:6333.")
_COLLECTION = word("COLLECTION", "Its name.", complete.collections)

Url = Annotated[str, _URL]
MaybeUrl = Annotated[str | None, _URL]
Collection = Annotated[str, _COLLECTION]
MaybeCollection = Annotated[str | None, _COLLECTION]
MaybeQuantization = Annotated[
    str | None,
    word(
        "QUANTIZATION",
        "none, float16, scalar, rotational, binary or product, with knobs behind a colon: "
        "binary:query_bits=8,rescore=4.",
        complete.quantizations,
    ),
]
Source = Annotated[
    str, word("SRC", "URL#collection, such as 'milvus+http://localhost:19530#articles'.")
]
Target = Annotated[str, word("DST", "URL, or URL#collection for another name.")]
VectorName = Annotated[
    str | None, optional("--vector", metavar="NAME", help="Which vector, where there are several.")
]
Disable = Annotated[
    list[str] | None,
    optional(
        "--disable",
        metavar="FEATURE",
        help="Switch a native feature off, such as native-rescore; may be repeated.",
        complete=complete.features,
    ),
]

# -- a change ------------------------------------------------------------------------------------

SpecFile = Annotated[
    Path | None,
    optional("--file", "-f", metavar="SPEC.yaml", help="A spec file, for many collections."),
]
AllowKeyEnv = Annotated[
    list[str] | None,
    optional(
        "--allow-key-env",
        metavar="NAME",
        help="Let a plan or spec file use this environment variable as a key; may be repeated.",
    ),
]
MetricWord = Annotated[
    str | None,
    optional(
        "--metric",
        metavar="cosine|dot|euclidean",
        help="What the metric becomes: a copy, and an alias switched to it.",
    ),
]
DatatypeWord = Annotated[
    str | None,
    optional("--datatype", metavar="float16|...", help="What the originals become, likewise."),
]
StrategyWord = Annotated[
    str | None,
    optional(
        "--strategy",
        metavar="in-place|alias|vector",
        help="Change the collection itself, a copy that an alias moves to, or a new vector.",
        complete=complete.words(("in-place", "alias", "vector")),
    ),
]
AcceptWord = Annotated[
    str,
    typer.Option(
        "--accept",
        metavar="exact|differs|client",
        help="How far from what was asked: not at all, a cousin, or qadapt's own codes too.",
        autocompletion=complete.words(ACCEPTS),
    ),
]
GuardText = Annotated[
    str | None,
    optional(
        "--guard",
        metavar="'recall@10>=0.95'",
        help="Undo the change when recall falls under this.",
    ),
]

# -- a measurement -------------------------------------------------------------------------------

QueriesAsked = Annotated[
    str,
    typer.Option(
        "--queries",
        metavar="FILE|N",
        help="Your queries (.npy; with --encoder .txt, .tsv, .jsonl), or how many of its own "
        "vectors.",
    ),
]
EncoderName = Annotated[
    str | None,
    optional(
        "--encoder",
        metavar="NAME[,dim=256]",
        help="The model that makes vectors of texts: a name on the hub, or a folder.",
    ),
]
RamPrice = Annotated[
    float | None,
    optional("--price", metavar="MONEY", help="What you pay for a GiB of RAM and month."),
]


def gate_option(help: str) -> Any:
    """``--gate``; what it is a bar of, each command says."""
    return optional("--gate", metavar="'recall@10>=0.95'", help=help)
