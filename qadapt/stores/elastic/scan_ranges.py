"""Reading all rows in pages, from one point in time.

In an index that qadapt created, rows are sorted by the field ``qadapt.id``, so that a read can
continue after any id. ``_id`` itself can be neither sorted nor compared, so that the rows of
another index are sorted by their sequence number, and a read continues after a row that exists
(docs/engines/elasticsearch.md#rows).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from qadapt.errors import NotFoundError
from qadapt.model import Batch, Id
from qadapt.stores.base import ReadRequest, ScanRange
from qadapt.stores.elastic import ids as row_ids
from qadapt.stores.elastic import rows
from qadapt.stores.elastic.connection import Connection, check_shards
from qadapt.stores.elastic.product import Product
from qadapt.stores.elastic.schema import ID_FIELD, Index, VectorField

KEEP_ALIVE = "10m"  # between two pages


def scan_ranges(n: int) -> list[ScanRange]:
    """``n`` parts by a hash of the id, which is the same in each process."""
    return [{"slice": part, "of": n} for part in range(n)] if n > 1 else [{}]


@contextmanager
def point_in_time(connection: Connection, product: Product, index: Index) -> Iterator[str]:
    """A point in time, which is closed at the end."""
    doing = f"read {index.name!r}"
    path, params, key = product.open_pit(index.real, KEEP_ALIVE)
    pit = connection.ask("POST", path, params=params, doing=doing)[key]
    try:
        yield pit
    finally:
        path, body = product.close_pit(pit)
        connection.ask("DELETE", path, body, doing=doing)


def pages(
    connection: Connection,
    product: Product,
    index: Index,
    fields: Sequence[VectorField],
    request: ReadRequest,
    query: Mapping[str, Any] | None,
    pit: str | None = None,
) -> Iterator[Batch]:
    """All rows, or those of the request, in pages.

    Args:
        query: of the filter.
        pit: a point in time that the caller closes; None opens one.
    """
    body = rows.body_of(product, index, fields, request.payload)
    if query is not None:
        body["query"] = {"bool": {"filter": [query]}}
    for hits in hit_pages(connection, product, index, body, request, pit):
        yield rows.batch_of(product, index, fields, hits, request.payload)


def hit_pages(
    connection: Connection,
    product: Product,
    index: Index,
    selection: Mapping[str, Any],
    request: ReadRequest,
    pit: str | None = None,
) -> Iterator[list[Any]]:
    """The hits of all documents, or of the range of the request, in pages.

    Args:
        selection: the part of the body that selects documents and fields.
    """
    if pit is None:
        with point_in_time(connection, product, index) as opened:
            yield from hit_pages(connection, product, index, selection, request, opened)
        return
    body = {
        **selection,
        "pit": {"id": pit, "keep_alive": KEEP_ALIVE},
        "sort": [ID_FIELD] if index.managed else ["_seq_no", "_shard_doc"],
        "track_total_hits": False,
    }
    part = request.scan_range or {}
    if part:
        body["slice"] = {"field": "_id", "id": int(part["slice"]), "max": int(part["of"])}
    if request.after is not None:
        body["search_after"] = _place(connection, index, body, request.after)
    doing = f"read {index.name!r}"
    found: list[Any] = []
    while True:
        size = min(rows.MOST_ROWS, request.page - len(found))
        answer = connection.ask("POST", "/_search", {**body, "size": size}, doing=doing)
        check_shards(answer, doing)
        hits = answer["hits"]["hits"]
        found += hits
        if hits:
            body["search_after"] = hits[-1]["sort"]
        if found and (len(found) == request.page or len(hits) < size):
            yield found
            found = []
        if len(hits) < size:
            return


def _place(connection: Connection, index: Index, body: Mapping[str, Any], after: Id) -> list[Any]:
    """The sort values of the row after which a read continues.

    Raises:
        InputError: the index cannot have the id.
        NotFoundError: an index that qadapt did not create, and the row was deleted.
    """
    row_ids.check([after], managed=index.managed)
    if index.managed:
        return [str(after)]
    single = {
        "query": {"ids": {"values": [after]}},
        **{key: body[key] for key in ("pit", "sort")},
        "_source": False,
    }
    doing = f"find the row {after!r:.60} of {index.name!r}"
    hits = connection.ask("POST", "/_search", single, doing=doing)["hits"]["hits"]
    if not hits:
        raise NotFoundError(
            f"the row {after!r:.60} of {index.name!r} does not exist, and a read cannot continue "
            "after it",
            hint="read from the start: only indexes that qadapt created are sorted by id",
        )
    return list(hits[0]["sort"])
