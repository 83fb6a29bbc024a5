"""Writing, reading and deleting the rows of a shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qadapt.model import Batch, ExtraVector, Id, Vector, filters
from qadapt.stores.base import ReadRequest
from qadapt.stores.qdrant import extra_vectors, scan_ranges
from qadapt.stores.qdrant import rows as shared_rows
from qadapt.stores.qdrant.date_ranges import resolved
from qadapt.stores.qdrant.edge.connection import Shard, client_module
from qadapt.stores.qdrant.edge.filters import unread_dates

if TYPE_CHECKING:
    import qdrant_edge

# Maximum number of ids in one deletion, and of rows in one page of ids.
IDS = 10_000


def points(edge: Any, ids: Sequence[Id], batch: Batch) -> list[qdrant_edge.Point]:
    """The engine's points for a batch whose ids are already in the engine's format.

    Vectors are passed as memory views: the binding reads any sequence number by number, and a view
    is read 2.5 times as fast as a numpy row (``benchmarks/qdrant_overhead.py``).
    """
    nothing: list[Any] = [None] * len(ids)
    payloads = nothing if batch.payloads is None else batch.payloads
    present = {name: ~mask for name, mask in batch.missing.items()}
    if set(batch.vectors) == {""} and not present and not batch.extras:
        rows = batch.vectors[""]
        return [
            edge.Point(key, memoryview(row), payload)
            for key, row, payload in zip(ids, rows, payloads, strict=True)
        ]
    return [
        edge.Point(
            key,
            {
                **{
                    name: memoryview(array[at])
                    for name, array in batch.vectors.items()
                    if name not in present or present[name][at]
                },
                **{name: _extra(edge, value) for name, value in more.items()},
            },
            payloads[at],
        )
        for at, (key, more) in enumerate(zip(ids, extra_vectors.each_row(batch), strict=True))
    ]


def _extra(edge: Any, value: Any) -> Any:
    """A multivector as views of its rows, or a sparse vector."""
    if isinstance(value, tuple):
        return edge.SparseVector(*value)
    return [memoryview(row) for row in value]


def write(shard: Shard, ids: Sequence[Id], batch: Batch) -> None:
    """Upsert validated rows.

    Args:
        ids: in the engine's format.
    """
    edge = client_module()
    start = 0
    with shard.change("write to", batch) as opened:
        for chunk in shared_rows.chunks(batch):
            scan_range = ids[start : start + len(chunk)]
            start += len(chunk)
            opened.update(edge.UpdateOperation.upsert_points(points(edge, scan_range, chunk)))


def delete(shard: Shard, ids: Sequence[Id]) -> None:
    """Delete rows; unknown ids are ignored."""
    edge = client_module()
    with shard.change("delete from") as opened:
        for start in range(0, len(ids), IDS):
            opened.update(edge.UpdateOperation.delete_points(list(ids[start : start + IDS])))


def fetch(
    shard: Shard, ids: Sequence[Any], wanted: Mapping[str, Vector | ExtraVector], payload: bool
) -> Batch:
    """Return rows by id, in the requested order; missing ids are omitted."""
    with shard.use("read from") as opened:
        # Positional arguments: the binding has no defaults, in contrast to its stub.
        found = opened.retrieve(list(ids), payload, list(wanted) or False)
    by_id = {shared_rows.plain(record.id): record for record in found}
    return shared_rows.to_batch([by_id[key] for key in ids if key in by_id], wanted, payload)


def scroll(
    shard: Shard, request: ReadRequest, within: scan_ranges.Range = scan_ranges.ALL
) -> Iterator[Sequence[Any]]:
    """The engine's records for a request with the engine's own filter."""
    edge = client_module()
    offset: Any = within.start
    ended = within.empty
    while not ended:
        with shard.use("read from") as opened:
            found, offset = opened.scroll(
                edge.ScrollRequest(
                    offset=offset,
                    limit=request.page,
                    filter=request.filter,
                    with_payload=request.payload,
                    with_vector=list(request.vectors or ()) or False,
                )
            )
        inside, ended = within.cut(found)
        if inside:
            yield inside
        ended = ended or offset is None


def with_unread_dates(shard: Shard, filter: Any) -> Any:
    """The filter, extended by rows whose dates the engine cannot read."""

    def suspects(node: filters.Range) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        if node.field in shard.dated:
            return
        every = ReadRequest((), payload=False, filter=unread_dates(node.field), page=1)
        if next(scroll(shard, every), None) is None:
            shard.dated.add(node.field)
            return
        condition = unread_dates(node.field, node)
        for page in scroll(shard, ReadRequest((), filter=condition, page=IDS)):
            yield from ((record.id, record.payload or {}) for record in page)

    return resolved(filter, suspects)
