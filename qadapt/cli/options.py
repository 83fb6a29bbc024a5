"""Arguments and options that several commands have, and what they are turned into."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from qadapt.cli import complete
from qadapt.errors import InputError, SpecError

if TYPE_CHECKING:
    from qadapt.api import Database, Plan
    from qadapt.model import Accept, Guard

ACCEPTS = ("exact", "differs", "client")

Url = Annotated[
    str,
    typer.Argument(
        metavar="URL", help="A store, such as qdrant+http://localhost:6333.", show_default=False
    ),
]
Collection = Annotated[
    str,
    typer.Argument(
        metavar="COLLECTION", help="Its name.", autocompletion=complete.collections,
        show_default=False,
    ),
]  # fmt: skip
MaybeCollection = Annotated[
    str | None,
    typer.Argument(
        metavar="COLLECTION", help="Its name.", autocompletion=complete.collections,
        show_default=False,
    ),
]  # fmt: skip
MaybeUrl = Annotated[
    str | None,
    typer.Argument(
        metavar="URL", help="A store, such as qdrant+http://localhost:6333.", show_default=False
    ),
]
MaybeQuantization = Annotated[
    str | None,
    typer.Argument(
        metavar="QUANTIZATION",
        help="none, float16, scalar, rotational, binary or product, with knobs behind a colon: "
        "binary:query_bits=8,rescore=4.",
        autocompletion=complete.quantizations,
        show_default=False,
    ),
]
SpecFile = Annotated[
    Path | None,
    typer.Option(
        "--file", "-f", metavar="SPEC.yaml", help="A spec file, for many collections.",
        show_default=False,
    ),
]  # fmt: skip
VectorName = Annotated[
    str | None,
    typer.Option(
        "--vector", metavar="NAME", help="Which vector, where there are several.",
        show_default=False,
    ),
]  # fmt: skip
MetricWord = Annotated[
    str | None,
    typer.Option(
        "--metric", metavar="cosine|dot|euclidean", help="What the metric becomes: a copy, and "
        "an alias switched to it.", show_default=False,
    ),
]  # fmt: skip
DatatypeWord = Annotated[
    str | None,
    typer.Option(
        "--datatype", metavar="float16|...", help="What the originals become, likewise.",
        show_default=False,
    ),
]  # fmt: skip
StrategyWord = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        metavar="in-place|alias|vector",
        help="Change the collection itself, a copy that an alias moves to, or a new vector.",
        autocompletion=complete.words(("in-place", "alias", "vector")),
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
    typer.Option(
        "--guard",
        metavar="'recall@10>=0.95'",
        help="Undo the change when recall falls under this.",
        show_default=False,
    ),
]
Disable = Annotated[
    list[str] | None,
    typer.Option(
        "--disable",
        metavar="FEATURE",
        help="Switch a native feature off, such as native-rescore; may be repeated.",
        autocompletion=complete.features,
        show_default=False,
    ),
]
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
    typer.Option(
        "--encoder",
        metavar="NAME[,dim=256]",
        help="The model that makes vectors of texts: a name on the hub, or a folder.",
        show_default=False,
    ),
]


def open_database(url: str, disable: Iterable[str] | None = None) -> Database:
    """The database at an address."""
    import qadapt as qa

    return qa.open(url, disabled=tuple(disable or ()))


def read_guard(text: str | None) -> Guard | None:
    """A guard, when one was given."""
    from qadapt.model import Guard

    return None if text is None else Guard.parse(text)


def given_queries(text: str) -> Any:
    """A number of the collection's own vectors, or the path of a file."""
    return int(text) if text.isdecimal() else text


def load_encoder(name: str | None, queries: str) -> Any:
    """The encoder, when one was named, for queries that are texts; it imports the model's
    library."""
    if name is None:
        return None
    from qadapt.encoder import load
    from qadapt.evaluation.questions import refuse_encoder

    refuse_encoder(given_queries(queries))

    return load(name)


def check_accept(word: str) -> Accept:
    """``exact``, ``differs`` or ``client``."""
    if word not in ACCEPTS:
        raise SpecError.unknown("--accept", word, ACCEPTS)
    return cast("Accept", word)


@contextlib.contextmanager
def made_plans(
    url: str | None,
    collection: str | None,
    quantization: str | None,
    spec: Path | None,
    vector: str | None,
    becomes: tuple[str | None, str | None],
    accept: str,
    guard: str | None,
    disable: list[str] | None,
    command: str,
    strategy: str | None = None,
) -> Iterator[list[Plan]]:
    """One plan from words, or all plans of a spec file; their stores stay open meanwhile.

    Args:
        becomes: metric and datatype of the vector, where they change.
    """
    import qadapt as qa

    metric, datatype = becomes

    allowed = check_accept(accept)
    if spec is not None:
        wrong = [url, collection, quantization, vector, metric, datatype, guard, disable, strategy]
        if any(wrong):
            raise InputError(
                "with -f, the store, vectors, quantization and guard stand in the spec file",
                hint=f"qadapt {command} -f {spec}",
            )
        with qa.plan_spec(qa.load_spec(spec), accept=allowed) as plans:
            yield plans
        return
    words = [quantization, metric, datatype]  # what is to be changed
    if url is None or collection is None or not any(words):
        missing = [
            word
            for word, value in (
                ("URL", url), ("COLLECTION", collection), ("QUANTIZATION", any(words))
            )
            if not value
        ]  # fmt: skip
        raise InputError(
            f"{' and '.join(missing)} missing",
            hint=f"qadapt {command} URL COLLECTION QUANTIZATION, or qadapt {command} -f SPEC.yaml",
        )
    from qadapt.model import Metric, Quantization

    wanted = None if quantization is None else Quantization.parse(quantization)
    measure = None if metric is None else Metric.of(metric)
    bar = read_guard(guard)
    with open_database(url, disable) as db:
        made = db[collection].plan(
            wanted,
            vector=vector,
            metric=measure,
            datatype=cast("Any", datatype),
            accept=allowed,
            guard=bar,
            strategy=cast("Any", strategy),
        )
        yield [made]


def read_json(path: Path, what: str) -> Any:
    """A JSON file."""
    import json

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, _names_beside(path), n=1)
        guess = f"did you mean {path.with_name(near[0])}? " if near else ""
        raise InputError(f"no {what} {str(path)!r}", hint=f"{guess}{_AS_WORDS}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read the {what} {str(path)!r}: {error}", hint=_AS_WORDS) from None


_AS_WORDS = "give a file that `qadapt plan -o` wrote, or URL COLLECTION QUANTIZATION"


def _names_beside(path: Path) -> list[str]:
    return [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []


def write_text(path: Path, text: str, what: str) -> None:
    """Write a file that the user asked for."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot write the {what} {str(path)!r}: {error.strerror}",
            hint="choose another place",
        ) from None
