"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from qadapt.cli import completion
from qadapt.cli.arguments import ACCEPTS


def optional(
    *names: str, help: str, metavar: str | None = None, complete: Callable[..., Any] | None = None
) -> Any:
    """Optional option; its help describes the default."""
    return typer.Option(
        *names, help=help, metavar=metavar, autocompletion=complete, show_default=False
    )


def word(metavar: str, help: str, complete: Callable[..., Any] | None = None) -> Any:
    """Positional argument without a default."""
    return typer.Argument(metavar=metavar, help=help, autocompletion=complete, show_default=False)


# -- common arguments ----------------------------------------------------------------------------

_URL = word("URL", "Database address, such as qdrant+http://localhost:6333.")
_COLLECTION = word("COLLECTION", "Collection name.", completion.collections)

Url = Annotated[str, _URL]
MaybeUrl = Annotated[str | None, _URL]
Collection = Annotated[str, _COLLECTION]
MaybeCollection = Annotated[str | None, _COLLECTION]
MaybeQuantization = Annotated[
    str | None,
    word(
        "QUANTIZATION",
        "none, float16, scalar, rotational, binary or product, with options after a colon: "
        "binary:query_bits=8,rescore=4.",
        completion.quantizations,
    ),
]
Source = Annotated[
    str, word("SRC", "Source, as URL#COLLECTION: 'milvus+http://localhost:19530#articles'.")
]
Target = Annotated[str, word("DST", "Target, as URL (same collection name) or URL#COLLECTION.")]
VectorName = Annotated[
    str | None,
    optional(
        "--vector", metavar="NAME", help="Named vector; required if the collection has several."
    ),
]
Disable = Annotated[
    list[str] | None,
    optional(
        "--disable",
        metavar="FEATURE",
        help="Do not use this native feature, such as native-rescore. Can be repeated.",
        complete=completion.features,
    ),
]

# -- a change ------------------------------------------------------------------------------------

SpecFile = Annotated[
    Path | None,
    optional(
        "--file",
        "-f",
        metavar="SPEC.yaml",
        help="Spec file that describes one or more collections.",
    ),
]
AllowKeyEnv = Annotated[
    list[str] | None,
    optional(
        "--allow-key-env",
        metavar="NAME",
        help="Allow a plan or spec file to read its key from this environment variable. "
        "Can be repeated.",
    ),
]
MetricWord = Annotated[
    str | None,
    optional(
        "--metric",
        metavar="cosine|dot|euclidean",
        help="New metric. The collection is copied and the alias switched to the copy.",
    ),
]
DatatypeWord = Annotated[
    str | None,
    optional(
        "--datatype",
        metavar="float16|bfloat16|...",
        help="New datatype of the vectors; works like --metric.",
    ),
]
StrategyWord = Annotated[
    str | None,
    optional(
        "--strategy",
        metavar="in-place|alias|vector",
        help="Change the collection in place, switch an alias to a changed copy, or add a vector.",
        complete=completion.words(("in-place", "alias", "vector")),
    ),
]
AcceptWord = Annotated[
    str,
    typer.Option(
        "--accept",
        metavar="exact|differs|client",
        help="How close the mapping must be: exact, the nearest equivalent, or client-side codes.",
        autocompletion=completion.words(ACCEPTS),
    ),
]
GuardText = Annotated[
    str | None,
    optional(
        "--guard",
        metavar="'recall@10>=0.95'",
        help="Roll the change back if recall is below this value.",
    ),
]
GuardClients = Annotated[
    str | None,
    optional(
        "--guard-clients",
        metavar="any|configured",
        help="Clients whose recall --guard judges: those that send no search parameters (any, the "
        "default), or those that send what `qadapt client-params` prints.",
        complete=completion.words(("any", "configured")),
    ),
]

GuardFilters = Annotated[
    list[str] | None,
    optional(
        "--guard-filter",
        metavar="JSON",
        help="--guard judges searches with this filter. Can be repeated: the lowest recall counts.",
    ),
]
GuardBy = Annotated[
    str | None,
    optional(
        "--guard-by",
        metavar="FIELD",
        help="--guard judges the lowest recall of the values of a payload field, such as tenant; "
        "@: of the partitions or tenants.",
    ),
]

# -- a measurement -------------------------------------------------------------------------------

QueriesAsked = Annotated[
    str,
    typer.Option(
        "--queries",
        metavar="FILE|N",
        help="Query file (.npy; with --encoder also .txt, .tsv, .jsonl), or the number of stored "
        "vectors to use as queries.",
    ),
]
EmbeddingsKind = Annotated[
    str | None,
    optional(
        "--kind",
        metavar="KIND",
        help="Form of vectors from an embedding service: int8, uint8, ubinary or binary "
        "(packed bits), bfloat16, or numbers. Required for a .npy of int8 or uint8.",
    ),
]
EncoderName = Annotated[
    str | None,
    optional(
        "--encoder",
        metavar="NAME[,dim=256]",
        help="Embedding model for text queries: a model name or a folder.",
    ),
]
Filters = Annotated[
    list[str] | None,
    optional(
        "--filter",
        metavar="JSON",
        help='Measure searches with this filter, such as \'{"topic": "art"}\', against the rows '
        "that match. Can be repeated: one figure each.",
    ),
]
By = Annotated[
    str | None,
    optional(
        "--by",
        metavar="FIELD",
        help="Measure each value of a payload field, such as tenant; @: each partition or tenant.",
    ),
]
ByLimit = Annotated[
    int, typer.Option("--by-limit", help="Maximum number of values with --by, most frequent first.")
]
RamPrice = Annotated[
    float | None,
    optional("--price", metavar="AMOUNT", help="Price of 1 GiB of RAM per month."),
]
DiskPrice = Annotated[
    float | None,
    optional("--disk-price", metavar="AMOUNT", help="Price of 1 GiB of disk per month."),
]


def gate_option(help: str) -> Any:
    """``--gate``, with the help text of the command."""
    return optional("--gate", metavar="'recall@10>=0.95'", help=help)
