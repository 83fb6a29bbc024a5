"""Writing, deleting and fetching rows.

Rows are sent in bulk requests of bounded size, whose items may fail one by one. A row is replaced
as a whole: a document that is written without a vector loses it
(docs/engines/elasticsearch.md#rows).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from qadapt.errors import BusyError, InputError, QadaptError, UnsupportedError
from qadapt.model import Batch, Id
from qadapt.stores.elastic import ids as row_ids
from qadapt.stores.elastic import payload
from qadapt.stores.elastic.connection import Connection, check_shards, dumped, joined
from qadapt.stores.elastic.errors import Refused, refused
from qadapt.stores.elastic.product import Product, number_lists
from qadapt.stores.elastic.schema import OWN, PAYLOAD, Index, VectorField, quoted, unreadable
from qadapt.stores.row_batches import in_order

BULK_BYTES = 10 << 20
# Rows of one request; index.max_result_window is 10,000 by default.
MOST_ROWS = 10_000
_ATTEMPTS = 4
_BUSY = (429, 503)


# -- writing -------------------------------------------------------------------------------------


def write(connection: Connection, product: Product, index: Index, batch: Batch) -> None:
    """Upsert rows.

    Raises:
        InputError: an id or a payload that the index cannot have, or that the server refuses.
        BusyError: the server rejected rows, also after retries.
    """
    row_ids.check(batch.ids, managed=index.managed)
    _check_lengths(product, batch)
    documents = _documents(product, index, batch)
    actions = [f'{{"index":{{"_id":{payload.as_json(str(key))}}}}}'.encode() for key in batch.ids]
    pairs = zip(batch.ids, actions, documents, strict=True)
    for part in _parts((key, (action, document)) for key, action, document in pairs):
        _send(connection, index, part, "write to")


def _check_lengths(product: Product, batch: Batch) -> None:
    for name, vectors in batch.vectors.items():
        bad = product.refused_rows(vectors)
        if len(bad):
            raise InputError(
                f"{name or 'the vector'}: the length of the row {batch.ids[int(bad[0])]!r:.60} is "
                f"too large for {product.title} ({len(bad):,} rows)",
                hint="scale the vectors; nothing was written",
            )


def _documents(product: Product, index: Index, batch: Batch) -> list[bytes]:
    count = len(batch)
    columns: list[list[bytes]] = []
    for name, rows in batch.vectors.items():
        key = payload.as_json(index.vectors[name].path).encode()
        encoded = _encoded(product, index, rows)
        cells = [b"%s:%s" % (key, each) for each in encoded]
        for row in np.flatnonzero(batch.missing[name]) if name in batch.missing else ():
            cells[row] = b""
        columns.append(cells)
    columns.append([each.encode() for each in payload.members(batch.payloads, count, index)])
    if index.managed:
        columns.append(_own(batch))
    return [b"{%s}" % b",".join(filter(None, cells)) for cells in zip(*columns, strict=True)]


def _own(batch: Batch) -> list[bytes]:
    """Id and terms of each row, for order and filters."""
    found = []
    for key, terms in zip(batch.ids, payload.listed_terms(batch.payloads, len(batch)), strict=True):
        more = f',"terms":{terms}' if terms else ""
        found.append(f'"{OWN}":{{"id":{payload.as_json(str(key))}{more}}}'.encode())
    return found


def _encoded(product: Product, index: Index, rows: Any) -> Sequence[bytes]:
    """Vectors as numbers where other programs read them in the documents of their index."""
    if index.managed or product.reads_doc_values(index):
        return product.encoded(rows)
    return number_lists(rows)


def write_documents(
    connection: Connection, index: Index, documents: Sequence[Mapping[str, Any]]
) -> None:
    """Write whole documents: ``{"action": {"_id": ...}, "source": {...}}``.

    The default pipeline of the index has changed them already, and is skipped.
    """
    items = (
        (each["action"]["_id"], (dumped({"index": each["action"]}), dumped(each["source"])))
        for each in documents
    )
    for part in _parts(items):
        _send(connection, index, part, "write to", "_none")


_Item = tuple[Id, tuple[bytes, ...]]


def _parts(items: Iterator[_Item]) -> Iterator[list[_Item]]:
    """Items of bulk requests of at most ``BULK_BYTES``, or one item."""
    part: list[_Item] = []
    size = 0
    for item in items:
        length = sum(map(len, item[1]))
        if part and size + length > BULK_BYTES:
            yield part
            part, size = [], 0
        part.append(item)
        size += length
    if part:
        yield part


def _send(
    connection: Connection, index: Index, part: list[_Item], verb: str, pipeline: str | None = None
) -> None:
    """Send items, and again those that an overloaded server rejected."""
    doing = f"{verb} {index.name!r}"
    path = f"/{quoted(index.real)}/_bulk"
    params = {"filter_path": "errors,items.*.status,items.*.error"}
    if pipeline is not None:
        params["pipeline"] = pipeline
    left = part
    for attempt in range(_ATTEMPTS):
        body = joined(line for _, lines in left for line in lines)
        answer = connection.lines(path, body, doing=doing, params=params)
        if not answer.get("errors"):
            return
        left = _rejected(left, answer["items"], doing, len(part))
        if not left:
            return
        connection.sleep(0.2 * 2**attempt)
    raise BusyError(
        f"could not {doing}: the server rejected {len(left):,} of {len(part):,} rows, because it "
        "is overloaded",
        hint="write the rows again, in smaller batches",
    )


def _rejected(sent: list[_Item], items: Sequence[Any], doing: str, count: int) -> list[_Item]:
    """The items to repeat.

    Raises:
        QadaptError: the server refused a row for good.
    """
    again, bad = [], []
    for item, answer in zip(sent, items, strict=True):
        (told,) = answer.values()
        status = int(told.get("status", 200))
        if status in _BUSY:
            again.append(item)
        elif status >= 300 and "error" in told:
            bad.append((item[0], status, told))
    if bad:
        raise _refusal(bad, doing, count)
    return again


def _refusal(bad: list[tuple[Id, int, Any]], doing: str, count: int) -> QadaptError:
    """The error of rows that the server refused; the others of the request are written."""
    key, status, told = bad[0]
    found = refused(Refused(status, told), doing)
    kind: Any = InputError if status == 400 else type(found)
    return kind(  # type: ignore[no-any-return]
        f"{found.message}: the row {key!r:.60}; {len(bad):,} of {count:,} rows were refused, the "
        "others are written",
        hint=found.hint,
    )


def delete(connection: Connection, index: Index, ids: Sequence[Id]) -> None:
    """Delete rows; unknown ids are ignored."""
    wanted = row_ids.possible(ids, managed=index.managed)
    lines = ((key, (_deletion(key),)) for key in wanted)
    for part in _parts(lines):
        _send(connection, index, part, "delete rows of")


def _deletion(key: Id) -> bytes:
    return f'{{"delete":{{"_id":{payload.as_json(str(key))}}}}}'.encode()


# -- reading -------------------------------------------------------------------------------------


def body_of(
    product: Product, index: Index, fields: Sequence[VectorField], with_payload: bool
) -> dict[str, Any]:
    """The part of a search body that selects vectors and payload.

    Raises:
        UnsupportedError: the documents do not hold a vector.
    """
    paths = [each.path for each in fields]
    doc_values = product.reads_doc_values(index)
    for path in paths:
        if why := unreadable(index.mappings, path, doc_values=doc_values):
            raise UnsupportedError(
                f"the vector {path!r} of {index.name!r} cannot be read: `_source` {why}",
                hint="write the vectors to an index whose documents hold them",
            )
    if doc_values:
        values = [{"field": path, "format": "binary"} for path in paths]
        source: Any = payload.source_filter(index) if with_payload else False
        return {"docvalue_fields": values, "_source": source} if paths else {"_source": source}
    if not with_payload:
        return {"_source": paths or False}
    if not paths:
        return {"_source": payload.source_filter(index)}
    if index.managed:
        return {"_source": [PAYLOAD, *paths]}
    others = [each.path for each in index.vectors.values() if each.path not in paths]
    return {"_source": {"excludes": others} if others else True}


def batch_of(
    product: Product,
    index: Index,
    fields: Sequence[VectorField],
    hits: Sequence[Mapping[str, Any]],
    with_payload: bool,
) -> Batch:
    """The rows of the answer of a search."""
    keys = [row_ids.read(hit["_id"], managed=index.managed) for hit in hits]
    vectors, missing = {}, {}
    for each in fields:
        rows = np.zeros((len(hits), each.vector.dim), dtype=np.float32)
        absent = np.zeros(len(hits), dtype=np.bool_)
        for at, hit in enumerate(hits):
            value = value_of(hit, each.path)
            if value is None:
                absent[at] = True
            else:
                rows[at] = product.decoded(value, each.vector.dim)
        vectors[each.name] = rows
        if absent.any():
            missing[each.name] = absent
    payloads = None
    if with_payload:
        payloads = [payload.plain(hit.get("_source") or {}, index) for hit in hits]
    return Batch(keys, vectors, payloads, missing)


def value_of(hit: Mapping[str, Any], path: str) -> Any:
    """A vector from doc values or the document; None if the row lacks it."""
    values = (hit.get("fields") or {}).get(path)
    if values:
        return values[0] if isinstance(values[0], (str, list)) else values
    found: Any = hit.get("_source") or {}
    if path in found:
        return found[path]
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def fetch(
    connection: Connection,
    product: Product,
    index: Index,
    ids: Sequence[Id],
    fields: Sequence[VectorField],
    with_payload: bool,
) -> Batch:
    """Rows by id, in the requested order; missing ids are omitted."""
    wanted = row_ids.possible(ids, managed=index.managed)
    found = []
    for at in range(0, len(wanted), MOST_ROWS):
        part = [str(key) for key in wanted[at : at + MOST_ROWS]]
        body = {
            **body_of(product, index, fields, with_payload),
            "query": {"ids": {"values": part}},
            "size": len(part),
            "track_total_hits": False,
        }
        doing = f"read rows of {index.name!r}"
        answer = connection.ask("POST", f"/{quoted(index.real)}/_search", body, doing=doing)
        check_shards(answer, doing)
        found += answer["hits"]["hits"]
    return in_order(batch_of(product, index, fields, found, with_payload), wanted)


def count(connection: Connection, index: Index, query: Mapping[str, Any] | None) -> int:
    """The exact number of documents that match."""
    doing = f"count the rows of {index.name!r}"
    body = {} if query is None else {"query": query}
    answer = connection.ask("POST", f"/{quoted(index.real)}/_count", body, doing=doing)
    check_shards(answer, doing)
    return int(answer["count"])
