"""Write, read, count and delete rows, and convert between ``Batch`` and rows of Milvus.

All rows are checked before the first is sent. A server accepts 64 MB per request, so rows are sent
in chunks, which are halved if large payloads exceed the limit. Reads page by key, with the flag
that keeps rows of other segments in a page. The iterator of pymilvus is not used: it takes 1.2 s to
start on 2.3.5, and its flag ``iterator`` drops the consistency level, so a first page at Strong was
empty right after a write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.model import Batch, ExtraVector, Id, RaggedArray, Vector
from qadapt.model.capabilities import older
from qadapt.stores.base import ReadRequest
from qadapt.stores.checks import check_payloads
from qadapt.stores.error_table import TooLargeError
from qadapt.stores.milvus import filters, sparse, vector_layout
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.payload import check_payload, with_texts
from qadapt.stores.milvus.schema import Layout

# The maximum number of rows in one result of a search or query.
WINDOW = 16_384
CHUNK_BYTES = 8 << 20
CHUNK_ROWS = 5_000
PAGE_BYTES = 32 << 20
IDS = 1_000
SESSION, STRONG = "Session", "Strong"
Wanted = Mapping[str, Vector | ExtraVector]
_BEST = {"reduce_stop_for_best": "True"}


# -- writing -------------------------------------------------------------------------------------


def ready(layout: Layout, batch: Batch) -> tuple[Batch, list[int | str]]:
    """Check a batch; return it ready to be sent, with its primary keys.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError, SpecError, InputError: a row is invalid.
    """
    more = {name: each.extra for name, each in layout.sparse.items()}
    checked = batch.ready(layout.wanted, more, normalizes_cosine=False)
    if layout.auto_id:
        raise InputError(
            f"Milvus generates the primary keys of {layout.name!r} (auto_id), so rows with "
            "given ids "
            "cannot be written",
            hint="write with the Milvus client, or migrate to a collection without auto_id",
        )
    for name, each in layout.vectors.items():
        gap = name in batch.missing and bool(batch.missing[name].any())
        if name not in batch.vectors or gap:
            raise InputError(
                f"the vector {name!r} (field {each.field!r}) is missing in some rows, and Milvus "
                "requires it",
                hint="nothing was written; give each row this vector",
            )
    strange = [name for name in layout.others if name not in layout.sparse]
    if strange:
        raise InputError(
            f"{layout.name!r} has vectors that qadapt cannot write: {', '.join(strange)}",
            hint="write with the Milvus client",
        )
    sparse.check(batch, layout.sparse)
    check_payloads(batch.payloads)
    for row, payload in enumerate(batch.payloads or ()):
        check_payload(layout, payload, row)
    return checked, layout.keys.checked(batch.ids)


def write(connection: Connection, layout: Layout, batch: Batch, keys: Sequence[int | str]) -> None:
    """Upsert checked rows."""
    step = _chunk(layout)
    for start in range(0, len(batch), step):
        part = batch.rows(start, start + step)
        send(connection, layout, native_rows(layout, part, keys[start : start + step]))


def send_all(connection: Connection, layout: Layout, data: list[dict[str, Any]]) -> None:
    """Upsert Milvus rows in requests under the size limit."""
    step = _chunk(layout)
    for start in range(0, len(data), step):
        send(connection, layout, data[start : start + step])


def _chunk(layout: Layout) -> int:
    more = {name: each.extra for name, each in layout.sparse.items()}
    size = _row_bytes(layout.wanted) + _row_bytes(more)
    return max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(1, size)))


def _row_bytes(wanted: Wanted) -> int:
    return sum(
        4 * each.dim if isinstance(each, Vector) else sparse.ROW_BYTES for each in wanted.values()
    )


def native_rows(layout: Layout, batch: Batch, keys: Sequence[int | str]) -> list[dict[str, Any]]:
    """The Milvus rows of a checked batch."""
    columns: dict[str, Sequence[Any]] = {}
    for name, array in batch.vectors.items():
        each = layout.vectors[name]
        columns.update(vector_layout.columns(each.field, each.vector, each.form, array))
    columns.update(sparse.columns(batch, layout.sparse))
    payloads: Sequence[Mapping[str, Any]] = batch.payloads or ({},) * len(batch)
    texts = [name for name, kind in layout.fields.types.items() if kind == "JSON"]
    if texts:
        payloads = [with_texts(payload, texts) for payload in payloads]
    return [
        {
            **payload,
            layout.keys.field: key,
            **{field: column[at] for field, column in columns.items()},
        }
        for at, (key, payload) in enumerate(zip(keys, payloads, strict=True))
    ]


def send(connection: Connection, layout: Layout, data: list[dict[str, Any]]) -> None:
    """Upsert Milvus rows; halve them if they are too large for one request."""
    # In Lite, upsert merges the payload into the existing row and insert replaces the row.
    client = connection.client
    # In Lite 2, insert keeps both rows.
    put = client.insert if connection.lite and not connection.old_lite else client.upsert
    if layout.partition_key is not None and _lost_by_upsert(connection):
        delete_keys(connection, layout, [row[layout.keys.field] for row in data])
        put = client.insert
    try:
        connection.call(f"write to {layout.name!r}", put, layout.base, data, **layout.into)
    except TooLargeError:
        if len(data) == 1:
            raise
        middle = len(data) // 2
        send(connection, layout, data[:middle])
        send(connection, layout, data[middle:])


def _lost_by_upsert(connection: Connection) -> bool:
    """Whether upsert puts rows into partitions in which a filter on the key does not find them.

    Observed on 2.3.5 for one of 30 rows with 5 keys; insert is correct.
    """
    return not connection.lite and older(connection.version, "2.4")


def delete(connection: Connection, layout: Layout, ids: Sequence[Id]) -> list[int | str]:
    """Delete rows; ids that the collection cannot store are skipped.

    Returns:
        The keys that were sent.
    """
    keys = layout.keys.possible(ids)
    if layout.partition is not None:
        # Lite ignores the partition and deletes in all of them.
        keys = _inside(connection, layout, keys)
    for start in range(0, len(keys), IDS):
        delete_keys(connection, layout, keys[start : start + IDS])
    return keys


def _inside(connection: Connection, layout: Layout, keys: Sequence[int | str]) -> list[int | str]:
    """The keys that exist in the partition."""
    key = layout.keys.field
    found: list[int | str] = []
    for start in range(0, len(keys), IDS):
        some = filters.one_of(key, keys[start : start + IDS])
        found += [row[key] for row in query(connection, layout, some, [key], STRONG)]
    return found


def delete_keys(connection: Connection, layout: Layout, keys: Sequence[int | str]) -> None:
    """Delete rows by primary key in one request."""
    connection.call(
        f"delete from {layout.name!r}",
        connection.client.delete,
        layout.base,
        filter=filters.one_of(layout.keys.field, keys),
        **layout.into,
    )


# -- reading -------------------------------------------------------------------------------------


def count(
    connection: Connection, layout: Layout, expression: str, *, ignore_growing: bool = False
) -> int:
    """The exact number of rows, including those of other clients (Strong, about 260 ms).

    Args:
        ignore_growing: count only rows in sealed segments; servers only.
    """
    if connection.lite and layout.partition is not None:
        # count(*) of Lite ignores the partition.
        return len(_lite_keys(connection, layout, expression))
    options = {"ignore_growing": True} if ignore_growing else {}
    found = query(connection, layout, expression, ["count(*)"], STRONG, **options)
    return int(found[0]["count(*)"])


def query(
    connection: Connection,
    layout: Layout,
    expression: str,
    fields: Sequence[str],
    consistency: str,
    **options: Any,
) -> list[dict[str, Any]]:
    """The Milvus rows that match an expression."""
    found = connection.call(
        f"read from {layout.name!r}",
        connection.client.query,
        layout.base,
        filter=expression,
        output_fields=list(fields),
        consistency_level=consistency,
        **layout.where,
        **options,
    )
    return list(found)


def fetch(
    connection: Connection,
    layout: Layout,
    ids: Sequence[Id],
    wanted: Wanted,
    payload: bool,
) -> Batch:
    """Rows by id, in the order of the ids."""
    asked = layout.keys.possible(ids)
    fields = output_fields(layout, wanted, payload)
    found: dict[Any, dict[str, Any]] = {}
    step = min(IDS, _page(wanted, IDS))
    for start in range(0, len(asked), step):
        expression = filters.one_of(layout.keys.field, asked[start : start + step])
        for row in query(connection, layout, expression, fields, SESSION):
            found[row[layout.keys.field]] = row
    rows = [found[key] for key in asked if key in found]
    return to_batch(layout, rows, wanted, payload)


def read(
    connection: Connection,
    layout: Layout,
    wanted: Wanted,
    request: ReadRequest,
    consistency: str = STRONG,
) -> Iterator[Batch]:
    """All matching rows in pages, in the key order of Milvus.

    Args:
        request: its filter is a Milvus expression or None.
        consistency: the level of the first page; later pages are at least as recent.
    """
    fields = output_fields(layout, wanted, request.payload)
    size = _page(wanted, request.page)
    for rows in pages(connection, layout, fields, request.filter or "", size, consistency):
        yield to_batch(layout, rows, wanted, request.payload)


def pages(
    connection: Connection,
    layout: Layout,
    fields: Sequence[str],
    expression: str,
    size: int,
    consistency: str = STRONG,
) -> Iterator[list[dict[str, Any]]]:
    """Non-empty pages of at most ``size`` Milvus rows, sorted by key."""
    if connection.lite and not connection.old_lite:
        yield from _lite_pages(connection, layout, fields, expression, size)
        return
    key = layout.keys.field
    after = ""
    while True:
        rows = query(
            connection,
            layout,
            filters.joined(expression, after),
            fields,
            consistency if not after else SESSION,
            limit=size,
            **_BEST,
        )
        if not rows:
            return
        # With several segments a page may be longer than requested, and a short page is not the
        # last one: it ends at the end of a segment.
        rows = sorted(rows, key=lambda row: row[key])[:size]
        yield rows
        after = f"{key} > {filters.literal(rows[-1][key])}"


def _lite_pages(
    connection: Connection, layout: Layout, fields: Sequence[str], expression: str, size: int
) -> Iterator[list[dict[str, Any]]]:
    """Pages in Lite, where a limit does not select the first keys: read all keys, then ranges."""
    key = layout.keys.field
    keys = _lite_keys(connection, layout, expression)
    for start in range(0, len(keys), size):
        part = keys[start : start + size]
        between = filters.joined(expression, filters.span(key, part[0], part[-1], closed=True))
        rows = query(connection, layout, between, fields, STRONG)
        yield sorted(rows, key=lambda row: row[key])


def _lite_keys(connection: Connection, layout: Layout, expression: str) -> list[Any]:
    key = layout.keys.field
    every = filters.joined(expression, f"{key} >= {filters.literal(_least(layout))}")
    return sorted(row[key] for row in query(connection, layout, every, [key], STRONG))


def _least(layout: Layout) -> int | str:
    return -(2**63) + 1 if layout.keys.number else ""


def _page(wanted: Wanted, page: int) -> int:
    each = _row_bytes(wanted)
    return max(1, min(page, WINDOW, PAGE_BYTES // each if each else WINDOW))


def page_rows(layout: Layout) -> int:
    """The number of complete rows to read per request."""
    return _page(layout.wanted, WINDOW)


def output_fields(layout: Layout, wanted: Wanted, payload: bool) -> list[str]:
    fields = [layout.keys.field, *map(layout.place, wanted)]
    if payload:
        fields += [name for name in layout.fields.types if name != layout.keys.field]
        fields += [_DYNAMIC] if layout.fields.dynamic else []
    return fields


def all_fields(layout: Layout) -> list[str]:
    """Every field of a row, including the dynamic field."""
    named = [str(each["name"]) for each in layout.raw["fields"]]
    return [*named, _DYNAMIC] if layout.fields.dynamic else named


_DYNAMIC = "$meta"


def to_batch(
    layout: Layout, rows: Sequence[Mapping[str, Any]], wanted: Wanted, payload: bool
) -> Batch:
    """A batch of Milvus rows."""
    vectors: dict[str, npt.NDArray[np.float32]] = {}
    missing: dict[str, npt.NDArray[np.bool_]] = {}
    extras: dict[str, RaggedArray] = {}
    for name, vector in wanted.items():
        values = [row.get(layout.place(name)) for row in rows]
        if not isinstance(vector, Vector):
            extras[name] = sparse.ragged(values)
            continue
        absent = np.fromiter((value is None for value in values), np.bool_, len(values))
        array = np.zeros((len(rows), vector.dim), dtype=np.float32)
        there = [value for value in values if value is not None]
        if there:
            array[~absent] = vector_layout.floats(there, vector)
        if layout.nullable_in_lite(name):
            absent |= ~array.any(axis=1)
        vectors[name] = array
        if absent.any():
            missing[name] = absent
    payloads = [payload_of(layout, row) for row in rows] if payload else None
    ids = [layout.keys.from_native(row[layout.keys.field]) for row in rows]
    return Batch(ids, vectors, payloads, missing, extras)


def payload_of(layout: Layout, row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in layout.reserved}


def vectors_of(layout: Layout, names: Sequence[str] | None) -> dict[str, Vector | ExtraVector]:
    """The named vectors of a layout; all of them if ``names`` is None."""
    if names is None:
        return dict(layout.wanted)
    return {
        name: layout.sparse[name].extra if name in layout.sparse else layout.field(name).vector
        for name in names
    }
