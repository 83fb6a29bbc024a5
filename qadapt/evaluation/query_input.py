"""Load queries from arrays, files of arrays or texts, or a number of rows to draw."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qadapt.errors import InputError
from qadapt.evaluation.ground_truth import Queries, queries_of
from qadapt.evaluation.row_samples import SubsetSample
from qadapt.local.settings import read_settings
from qadapt.model import Vector, as_vectors, check_queries
from qadapt.model.leading_dims import as_stored
from qadapt.stores.base import Store

if TYPE_CHECKING:
    from qadapt.evaluation.options import EvaluationOptions

Encoder = Callable[[list[str]], Any]

ARRAYS = (".npy", ".npz")  # .npz is rejected with a reason when the array is read
_TEXTS = (
    "a text file has one query per line (.txt), an id and a query per line (.tsv), or one JSON "
    'object per line with "_id" and "text" (.jsonl)'
)


def resolve_queries(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    options: EvaluationOptions,
    filter: Any = None,
    sample: SubsetSample | None = None,
) -> Queries:
    """Load queries as ``queries_of`` does, or encode texts.

    Args:
        options: ``queries``, ``kind``, ``encoder``, ``query_ids`` and ``seed`` are used.
        filter: draw vectors of the collection from the rows that match only.
        sample: draw them from this sample of these rows.

    Raises:
        InputError: texts without an encoder, an encoder without texts, an unreadable file, or
            a wrong number of ids.
    """
    given, encoder, ids = options.queries, options.encoder, options.query_ids
    texts, named = _texts(given)
    if texts is None:
        if encoder is not None:
            refuse_encoder(given)
        found = queries_of(
            store, collection, name, vector, given, seed=options.seed, filter=filter,
            sample=sample, kind=options.kind,
        )  # fmt: skip
        named = None if ids is None else [str(key) for key in ids]
    else:
        if options.kind is not None and options.truth is None:
            raise InputError(
                "kind (--kind) has no effect on text queries, which are encoded",
                hint="omit kind",
            )
        if encoder is None:
            raise InputError(
                "text queries require an encoder",
                hint="pass encoder=qa.Encoder(model), or --encoder NAME",
            )
        array = as_vectors(np.asarray(encoder(texts)), what="encoded queries")
        array = as_stored(array, vector, read_settings(store, collection).of(name).full_dim)
        check_queries(array, vector, what="encoded queries")
        if len(array) != len(texts):
            raise InputError(
                f"the encoder returned {len(array)} vectors for {len(texts)} texts",
                hint="an encoder returns one vector per text, in the same order",
            )
        where = f" from {os.fspath(given)}" if isinstance(given, (str, os.PathLike)) else ""
        found = Queries(array, (None,) * len(array), f"{len(array)} texts{where}, encoded")
        named = [str(key) for key in ids] if ids is not None else named
    if named is not None and len(named) != len(found):
        raise InputError(
            f"{len(found)} queries, but {len(named)} query ids",
            hint="give one id per query, in the same order",
        )
    return Queries(found.vectors, found.own, found.source, None if named is None else tuple(named))


def refuse_encoder(given: Any) -> None:
    """Reject an encoder for queries that are not texts.

    Raises:
        InputError
    """
    if isinstance(given, (str, os.PathLike)):
        if Path(given).suffix.lower() not in ARRAYS:
            return
        what = f"queries of {os.fspath(given)} are vectors"
    elif isinstance(given, Sequence) and given and isinstance(given[0], str):
        return
    elif isinstance(given, int):
        what = f"queries={given} draws the collection's own vectors"
    else:
        what = "queries in an array are vectors"
    raise InputError(
        f"an encoder only has an effect on texts, and {what}",
        hint="remove the encoder (--encoder), or pass queries (--queries) as texts: a .txt, .tsv "
        "or .jsonl file",
    )


def _texts(given: Any) -> tuple[list[str] | None, list[str] | None]:
    """Texts and their ids; None for other queries."""
    if isinstance(given, (str, os.PathLike)):
        path = Path(given)
        if path.suffix.lower() in ARRAYS:
            return None, None
        return read_texts(path)
    if isinstance(given, Sequence) and given and all(isinstance(item, str) for item in given):
        return list(given), None
    return None, None


def read_texts(path: Path) -> tuple[list[str], list[str] | None]:
    """Read the texts of a file, and their ids if it has any.

    Raises:
        InputError: it cannot be read, is empty, or a line does not match the file type.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read queries from {path}: {error}", hint=_TEXTS) from error
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise InputError(f"{path} is empty", hint=_TEXTS)
    kind = path.suffix.lower()
    if kind == ".jsonl":
        return _of_jsonl(path, lines)
    if kind == ".tsv":
        pairs = [line.split("\t", 1) for line in lines]
        wrong = next((line for line in pairs if len(line) != 2), None)
        if wrong is not None:
            raise InputError(f"{path}: {wrong[0]!r:.60} has no tab", hint=_TEXTS)
        return [text for _, text in pairs], [key for key, _ in pairs]
    return lines, None


def _of_jsonl(path: Path, lines: list[str]) -> tuple[list[str], list[str] | None]:
    texts, ids = [], []
    for number, line in enumerate(lines, 1):
        try:
            item = json.loads(line)
            texts.append(str(item["text"]))
            ids.append(str(item.get("_id", item.get("id", number - 1))))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}, line {number}: {error!r}", hint=_TEXTS) from error
    return texts, ids
