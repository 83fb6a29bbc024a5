"""Conversion between ``Batch`` and the client's points, over REST, gRPC and in local mode.

Rows are validated first, because an upsert is not atomic. One point of a wrong dimension makes the
whole request fail with status 400 while the other points are stored; NaN is accepted over gRPC, and
1e39 overflows to infinity over REST; both then rank first in every search
(docs/engines/qdrant.md#nan-and-infinity, docs/engines/qdrant.md#partial-writes).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qadapt.errors import InputError
from qadapt.model import Batch, ExtraVector, Id, Vector, filters
from qadapt.stores.base import PAGE, ReadRequest
from qadapt.stores.checks import check_payloads
from qadapt.stores.qdrant import extra_vectors, scan_ranges, version
from qadapt.stores.qdrant import ids as qdrant_ids
from qadapt.stores.qdrant import rows as shared_rows
from qadapt.stores.qdrant.server import schema, strict_mode
from qadapt.stores.qdrant.server.connection import Connection, module
from qadapt.stores.qdrant.server.filters import unread_dates

if TYPE_CHECKING:
    from qadapt.stores.qdrant.server.store import QdrantStore

# About 2 MB of vectors are 5 MB of JSON; the server accepts 32 MB.
CHUNK_ROWS = 1_000
IDS = 10_000


def ready(
    batch: Batch, wanted: Mapping[str, Vector], more: Mapping[str, ExtraVector] | None = None
) -> tuple[Batch, list[Id]]:
    """Validate rows; return them in the format of the request, with the ids in the server's format.

    Args:
        wanted, more: the collection's vectors, and its sparse vectors and multivectors.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError, SpecError, InputError
    """
    checked = batch.ready(wanted, more, normalizes_cosine=True)
    check_payloads(batch.payloads)
    return checked, qdrant_ids.checked(batch.ids)


def write(connection: Connection, name: str, batch: Batch, ids: Sequence[Id], most: int) -> None:
    """Upsert validated rows; waits for each request.

    Args:
        batch, ids: as returned by ``ready``.
        most: maximum number of rows per request, a limit of the server's strict mode.
    """
    start = 0
    for chunk in _chunks(batch, most):
        part = ids[start : start + len(chunk)]
        start += len(chunk)
        doing = f"write to {name!r}"
        request = _grpc_upsert(name, part, chunk) if connection.grpc else None
        if request is not None:
            upsert = connection.client.grpc_points.Upsert
            connection.call(doing, upsert, request, timeout=connection.timeout)
        elif connection.grpc or connection.local:
            models = module().models
            points = [models.PointStruct(**each) for each in _points(part, chunk)]
            connection.call(doing, connection.client.upsert, name, points, wait=True)
        else:
            names = {"collection_name": name}
            body = {"points": _points(part, chunk)}
            path = "/collections/{collection_name}/points?wait=true"
            connection.ask("PUT", path, body, doing=doing, names=names, repeatable=True)


def _chunks(batch: Batch, most: int) -> Iterator[Batch]:
    for part in shared_rows.chunks(batch):
        for start in range(0, len(part), most):
            yield part.rows(start, start + most)


def _points(ids: Sequence[Id], batch: Batch) -> list[dict[str, Any]]:
    """Points as JSON."""
    vectors: list[Any]
    if _only_unnamed(batch):
        vectors = batch.vectors[""].tolist()
    else:
        vectors = [
            {key: row if isinstance(row, dict) else row.tolist() for key, row in each.items()}
            for each in _each(batch)
        ]
    if batch.payloads is None:
        return [{"id": key, "vector": vector} for key, vector in zip(ids, vectors, strict=True)]
    return [
        {"id": key, "vector": vector, "payload": payload}
        for key, vector, payload in zip(ids, vectors, batch.payloads, strict=True)
    ]


def _only_unnamed(batch: Batch) -> bool:
    return set(batch.vectors) == {""} and not batch.missing and not batch.extras


def _each(batch: Batch, sparse: Callable[..., Any] = dict) -> list[Any]:
    """The vectors of each row: an array, or arrays by name if there are several vectors or gaps.

    Args:
        sparse: creates a sparse vector from ``indices`` and ``values``.
    """
    if _only_unnamed(batch):
        return list(batch.vectors[""])
    there = {name: ~mask for name, mask in batch.missing.items()}
    return [
        {
            **{
                name: array[at]
                for name, array in batch.vectors.items()
                if name not in there or there[name][at]
            },
            **{
                name: sparse(indices=each[0], values=each[1]) if isinstance(each, tuple) else each
                for name, each in more.items()
            },
        }
        for at, more in enumerate(extra_vectors.each_row(batch))
    ]


def _grpc_upsert(name: str, ids: Sequence[Id], batch: Batch) -> Any:
    """A request with vectors copied as bytes; None if the client does not support it (before
    1.20)."""
    try:
        from qdrant_client.uploader.grpc_uploader import convert_vector_struct
    except ImportError:
        return None
    from qdrant_client import grpc
    from qdrant_client.conversions.conversion import RestToGrpc

    payloads = batch.payloads or [{}] * len(ids)
    rows = _each(batch, module().models.SparseVector)
    points = [
        grpc.PointStruct(
            id=RestToGrpc.convert_extended_point_id(key),
            vectors=convert_vector_struct(vector),
            payload=RestToGrpc.convert_payload(dict(payload or {})),
        )
        for key, vector, payload in zip(ids, rows, payloads, strict=True)
    ]
    return grpc.UpsertPoints(collection_name=name, wait=True, points=points)


def delete(connection: Connection, name: str, ids: Sequence[Id]) -> None:
    """Delete rows; invalid ids are ignored."""
    there = qdrant_ids.possible(ids)
    models = module().models
    client = connection.client
    for start in range(0, len(there), IDS):
        selector = models.PointIdsList(points=there[start : start + IDS])
        connection.call(f"delete from {name!r}", client.delete, name, selector, wait=True)


def count(connection: Connection, name: str, condition: Any, limits: strict_mode.Limits) -> int:
    """The exact number of rows; counted by reading ids if strict mode forbids exact counts."""
    client = connection.client
    if strict_mode.allows_exact(limits):
        found = connection.call(
            f"count {name!r}", client.count, name, count_filter=condition, exact=True
        )
        return int(found.count)
    size = strict_mode.cap(limits, *_PAGE)
    ids = ReadRequest((), payload=False, filter=condition, page=size)
    pages = scroll(connection, name, ids)
    return sum(len(page) for page in pages)


def some_ids(connection: Connection, name: str, n: int, raw: schema.Info) -> Iterable[Any]:
    """Ids to divide a collection by: a random sample if the server has one, otherwise all ids."""
    limits = strict_mode.limits(raw)
    size = strict_mode.cap(limits, *_PAGE)
    rows = count(connection, name, None, limits)
    if connection.local or rows <= size or version.is_older(connection.version, _SAMPLE_SINCE):
        pages = scroll(connection, name, ReadRequest((), payload=False, page=size))
        return (record.id for page in pages for record in page)
    body = {
        "query": {"sample": "random"},
        "limit": min(size, scan_ranges.SAMPLED * n),
        "with_payload": False,
    }
    path = "/collections/{collection_name}/points/query"
    names = {"collection_name": name}
    found = connection.ask(
        "POST", path, body, doing=f"sample {name!r}", names=names, repeatable=True
    )
    return [shared_rows.plain(each["id"]) for each in found["points"]]


_SAMPLE_SINCE = "1.11"


_PAGE = ("max_query_limit", PAGE)


def fetch(
    connection: Connection,
    name: str,
    ids: Sequence[Id],
    wanted: Mapping[str, Vector | ExtraVector],
    payload: bool,
) -> Batch:
    """Return rows by id, in the requested order."""
    asked = qdrant_ids.possible(ids)
    client = connection.client
    found: list[Any] = []
    for start in range(0, len(asked), PAGE):
        found += connection.call(
            f"read from {name!r}",
            client.retrieve,
            name,
            asked[start : start + PAGE],
            with_payload=payload,
            with_vectors=_with_vectors(wanted),
        )
    by_id = {shared_rows.plain(record.id): record for record in found}
    return shared_rows.to_batch([by_id[key] for key in asked if key in by_id], wanted, payload)


def scroll(
    connection: Connection,
    name: str,
    request: ReadRequest,
    within: scan_ranges.Range = scan_ranges.ALL,
    smaller: Callable[[int], int] | None = None,
) -> Iterator[Sequence[Any]]:
    """Read all records of a range in pages, sorted by id.

    Args:
        request: its filter is the client's own; its vectors are named.
        smaller: returns the page size that strict mode allows, after a page was rejected.
    """
    client = connection.client
    offset, ended = within.start, within.empty
    page = request.page
    while not ended:
        try:
            found, following = connection.call(
                f"read from {name!r}",
                client.scroll,
                name,
                scroll_filter=request.filter,
                limit=page,
                offset=offset,
                with_payload=request.payload,
                with_vectors=_with_vectors(request.vectors or ()),
            )
        except InputError as error:
            fewer = smaller(page) if error.limit and smaller is not None else page
            if fewer >= page:
                raise
            page = fewer
            continue
        offset = following
        inside, ended = within.cut(found)
        if inside:
            yield inside
        ended = ended or offset is None


def read(
    connection: Connection,
    name: str,
    wanted: Mapping[str, Vector | ExtraVector],
    request: ReadRequest,
    within: scan_ranges.Range,
    smaller: Callable[[int], int] | None = None,
) -> Iterator[Batch]:
    """Read all rows of a range in pages; see ``scroll``."""
    for found in scroll(connection, name, request, within, smaller):
        yield shared_rows.to_batch(found, wanted, request.payload)


def _with_vectors(wanted: Any) -> Any:
    """True (all vectors) if the unnamed vector is requested: it has no name to select it by."""
    names = list(wanted)
    return True if "" in names else names or False


def unread_dates_of(
    store: QdrantStore, collection: str, raw: schema.Info, max_age: float
) -> Callable[[filters.Range], Iterator[tuple[Any, Mapping[str, Any]]]]:
    """A function that finds the rows with a date that the engine cannot read, see ``resolved``."""
    size = strict_mode.cap(strict_mode.limits(raw), "max_query_limit", PAGE)
    connection = store.connection

    def pages(condition: Any, payload: bool, page: int) -> Iterator[Sequence[Any]]:
        request = ReadRequest((), payload=payload, filter=condition, page=page)
        return scroll(connection, collection, request)

    def suspects(node: filters.Range) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        key, now = (collection, node.field), time.monotonic()
        if not connection.local and now - store.dated_at.get(key, -math.inf) < max_age:
            return
        if next(pages(unread_dates(node.field), False, 1), None) is None:
            store.dated_at[key] = now
            return
        for page in pages(unread_dates(node.field, node), True, size):
            yield from ((record.id, record.payload or {}) for record in page)

    return suspects
