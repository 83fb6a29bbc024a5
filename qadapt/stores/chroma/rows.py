"""Writing, reading and deleting rows.

Chroma has no cursor behind an id: pages by offset shift when rows are deleted. All ids are listed
and sorted first, which takes 1.5 µs per row, and rows are read by id
(docs/engines/chroma.md#rows).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from qadapt.errors import InputError
from qadapt.model import Batch, Id, filters
from qadapt.model.arrays import Floats
from qadapt.stores import checks
from qadapt.stores.base import ReadRequest, ScanRange
from qadapt.stores.chroma import ids as chroma_ids
from qadapt.stores.chroma import payload
from qadapt.stores.chroma.connection import FETCHED, Connection
from qadapt.stores.chroma.filters import parsed, where
from qadapt.stores.chroma.schema import Layout

_PAYLOAD = ("metadatas", "documents")


def get(connection: Connection, layout: Layout, include: Sequence[str], **given: Any) -> Any:
    """One ``get`` of the client."""
    doing = f"read rows of {layout.name!r}"
    return connection.call(doing, layout.native.get, include=list(include), **given)


# -- writing -------------------------------------------------------------------------------------


def stored_payloads(batch: Batch) -> list[payload.Stored]:
    """The payloads as Chroma stores them.

    Raises:
        InputError
    """
    checks.check_payloads(batch.payloads)
    return [payload.store(each) for each in batch.payloads or ({},) * len(batch)]


def write(
    connection: Connection, layout: Layout, batch: Batch, stored: Sequence[payload.Stored]
) -> None:
    """Upsert rows.

    An upsert keeps metadata that it does not name, and the document, so the former ones are read
    first. A row whose document must go is deleted, because nothing else removes one.
    """
    texts = [chroma_ids.encode(key) for key in batch.ids]
    size = min(connection.batch, FETCHED)
    for start in range(0, len(texts), size):
        part = slice(start, start + size)
        vectors = batch.vectors[""][part]
        _upsert(connection, layout, texts[part], vectors, stored[part])


def _upsert(
    connection: Connection,
    layout: Layout,
    texts: list[str],
    vectors: Floats,
    stored: Sequence[payload.Stored],
) -> None:
    former = _former(connection, layout, texts)
    gone = [
        text
        for text, each in zip(texts, stored, strict=True)
        if each.document is None and former.get(text, (None, None))[1]
    ]
    doing = f"write to {layout.name!r}"
    if gone:
        connection.call(doing, layout.native.delete, ids=gone)
    metadatas = [
        payload.merged(each, None if text in gone else former.get(text, (None, None))[0])
        for text, each in zip(texts, stored, strict=True)
    ]
    more = {}
    if any(each.document is not None for each in stored):
        more["documents"] = [each.document for each in stored]
    connection.call(
        doing, layout.native.upsert, ids=texts, embeddings=vectors, metadatas=metadatas, **more
    )


def _former(
    connection: Connection, layout: Layout, texts: list[str]
) -> dict[str, tuple[Mapping[str, Any] | None, str | None]]:
    """Metadata and document of the existing rows."""
    found = get(connection, layout, _PAYLOAD, ids=texts)
    pairs = zip(found["metadatas"], found["documents"], strict=True)
    return dict(zip(found["ids"], pairs, strict=True))


def stored_vectors(connection: Connection, layout: Layout, batch: Batch) -> Floats:
    """The vectors of rows that exist, for a batch of payloads only.

    Raises:
        InputError: a row does not exist, and Chroma requires a vector of each row.
    """
    there = fetch(connection, layout, batch.ids, vectors=True, payloads=False)
    lacking = [key for key in batch.ids if key not in set(there.ids)]
    if lacking:
        raise InputError(
            f"the row {lacking[0]!r} has no vector, and Chroma requires one in each row",
            hint="write the vector with the row",
        )
    return there.vectors[""]


def delete(connection: Connection, layout: Layout, ids: Sequence[Id]) -> None:
    """Delete the rows that exist: Chroma counts an unknown id as a change."""
    texts = chroma_ids.possible(ids, integers=layout.integers)
    doing = f"delete rows of {layout.name!r}"
    for start in range(0, len(texts), FETCHED):
        found = get(connection, layout, (), ids=texts[start : start + FETCHED])["ids"]
        if found:
            connection.call(doing, layout.native.delete, ids=found)


# -- reading -------------------------------------------------------------------------------------


def has_numbers(connection: Connection, layout: Layout) -> bool:
    """Whether the collection has an id that is a decimal number."""
    return any(chroma_ids.is_number(text) for text in get(connection, layout, ())["ids"])


def count(connection: Connection, layout: Layout, filter: Any = None) -> int:
    """The number of rows that match."""
    if filter is None:
        return int(connection.call(f"count rows of {layout.name!r}", layout.native.count))
    return len(matching(connection, layout, filter))


def matching(connection: Connection, layout: Layout, filter: Any = None) -> list[str]:
    """The texts of all ids, or of the rows that match, in the order of the texts."""
    if filter is None:
        found: list[str] = get(connection, layout, ())["ids"]
        return sorted(found)
    node = parsed(filter)
    native = where(node, layout.unfiltered)
    if native is not None:
        return sorted(get(connection, layout, (), where=native)["ids"])
    kept: list[str] = []
    everything = matching(connection, layout)
    for start in range(0, len(everything), FETCHED):
        page = get(connection, layout, _PAYLOAD, ids=everything[start : start + FETCHED])
        rows = zip(page["ids"], page["metadatas"], page["documents"], strict=True)
        kept += [
            key for key, fields, text in rows if filters.matches(node, payload.read(fields, text))
        ]
    return sorted(kept)


def fetch(
    connection: Connection, layout: Layout, ids: Sequence[Id], *, vectors: bool, payloads: bool
) -> Batch:
    """Rows by id, in the requested order; ``get`` answers in the order of insertion."""
    texts = chroma_ids.possible(ids, integers=layout.integers)
    return by_texts(connection, layout, texts, vectors=vectors, payloads=payloads)


def by_texts(
    connection: Connection, layout: Layout, texts: Sequence[str], *, vectors: bool, payloads: bool
) -> Batch:
    """Rows by the texts of their ids, in the order of ``texts``; missing rows are left out."""
    include = [*(["embeddings"] if vectors else []), *(_PAYLOAD if payloads else [])]
    keys: list[str] = []
    blocks: list[Floats] = []
    found: list[dict[str, Any]] = []
    for start in range(0, len(texts), FETCHED):
        page = get(connection, layout, include, ids=list(texts[start : start + FETCHED]))
        place = {key: at for at, key in enumerate(page["ids"])}
        kept = [key for key in texts[start : start + FETCHED] if key in place]
        order = [place[key] for key in kept]
        keys += kept
        if vectors:
            blocks.append(_floats(page["embeddings"], layout)[order])
        if payloads:
            fields, documents = page["metadatas"], page["documents"]
            found += [payload.read(fields[at], documents[at]) for at in order]
    made = {"": np.concatenate(blocks) if blocks else _floats([], layout)} if vectors else {}
    ids = chroma_ids.decoded(keys, integers=layout.integers)
    return Batch(ids, made, found if payloads else None)


def _floats(rows: Any, layout: Layout) -> Floats:
    """float32 rows; Chroma returns float64."""
    dim = 0 if layout.vector is None else layout.vector.dim
    found = np.asarray(rows, dtype=np.float32)
    return found if len(found) else np.zeros((0, dim), dtype=np.float32)


def pages(
    connection: Connection, layout: Layout, request: ReadRequest, *, vectors: bool
) -> Iterator[Batch]:
    """Pages of rows in the order of the texts of their ids."""
    bounds = request.scan_range or {}
    texts = matching(connection, layout, request.filter)
    after = bounds.get("after") if request.after is None else chroma_ids.encode(request.after)
    first = 0 if after is None else bisect_right(texts, after)
    last = len(texts) if bounds.get("through") is None else bisect_right(texts, bounds["through"])
    for start in range(first, last, request.page):
        part = texts[start : min(start + request.page, last)]
        if not vectors and not request.payload:
            yield Batch(chroma_ids.decoded(part, integers=layout.integers), {}, None)
            continue
        batch = by_texts(connection, layout, part, vectors=vectors, payloads=request.payload)
        if len(batch):
            yield batch


def scan_ranges(connection: Connection, layout: Layout, n: int) -> list[ScanRange]:
    """Ranges of the texts of ids with about the same number of rows."""
    texts = matching(connection, layout)
    step = max(1, -(-len(texts) // max(1, n)))
    cuts: list[str | None] = [None, *texts[step - 1 : len(texts) - 1 : step], None]
    return [{"after": low, "through": high} for low, high in pairwise(cuts)]
