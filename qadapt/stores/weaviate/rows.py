"""Rows between columns (``Batch``) and Weaviate's objects, over gRPC.

Everything is checked before it is sent, for the server takes NaN, infinity and zero vectors
without a word, and makes a collection that is not there. It answers for each object of a batch:
those answers are gathered, and told in one error that says how many rows were written. Reads go by
its cursor, in the order of ids; a cursor knows no filter, so with one they go from id to id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from qadapt.errors import AlreadyExistsError, InputError, QadaptError, SpecError, StoreError
from qadapt.model import Batch, Id, Vector
from qadapt.stores.qdrant.columns import check_payloads
from qadapt.stores.weaviate import filters, ids, payloads
from qadapt.stores.weaviate.connection import Connection, proto
from qadapt.stores.weaviate.failures import CompressingError, by_words, repeated
from qadapt.stores.weaviate.schema import Field, Layout

CHUNK_BYTES = 8 << 20
PAGE_BYTES = 16 << 20
IDS = 1_000
# QUERY_MAXIMUM_RESULTS of a server that does not set it.
WINDOW = 10_000


# -- writing -------------------------------------------------------------------------------------


def check(layout: Layout, batch: Batch) -> list[str]:
    """Refuse what must not be sent; the ids in the server's form.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError, SpecError, InputError
    """
    wanted = {
        name: Vector(each.dim or batch.vectors[name].shape[1], each.metric)
        for name, each in layout.vectors.items()
        if each.dim is not None or name in batch.vectors
    }
    for name in batch.vectors:
        if name in layout.others:
            layout.field(name)
    batch.check(wanted)
    check_payloads(batch.payloads)
    payloads.check(layout, batch)
    return ids.checked(batch.ids)


def add_properties(connection: Connection, layout: Layout, batch: Batch) -> bool:
    """Make the properties that the payloads' copies need; whether there were any to make."""
    if not payloads.ours(layout):
        return False
    wanted = payloads.new_properties(layout, batch)
    path = f"/v1/schema/{quote(layout.real)}/properties"
    for name, kind in wanted.items():
        body = payloads.property_body(name, kind)
        doing = f"add the property {name!r} to {layout.name!r}"
        try:
            connection.rest("POST", path, body, doing=doing)
        except AlreadyExistsError:
            continue  # another writer was quicker
        except StoreError as error:
            if "already in use" not in error.message:
                raise
    return bool(wanted)


def write(
    connection: Connection, layout: Layout, tenant: str, batch: Batch, keys: Sequence[str]
) -> None:
    """Upsert checked rows.

    Raises:
        CompressingError: a shard took no writes; others may have.
        StoreError: rows were refused; says which, why, and how many were written.
    """
    refused: dict[int, str] = {}
    start = 0
    try:
        for stop, request in _requests(connection, layout, tenant, batch, keys):
            found = _send(connection, layout, request)
            refused.update({start + at: words for at, words in found.items()})
            start = stop
    except QadaptError as error:
        # Of the request that broke off, rows may have arrived.
        error.message += _written(len(batch), start - len(refused), start)
        raise
    if refused:
        raise _refused(layout, keys, refused)


def _requests(
    connection: Connection, layout: Layout, tenant: str, batch: Batch, keys: Sequence[str]
) -> Iterator[tuple[int, Any]]:
    """Messages of a bearable size, and the row that each ends before."""
    messages = proto().batch_pb2
    limit = min(CHUNK_BYTES, connection.max_message // 2)
    request, size = messages.BatchObjectsRequest(), 0
    for at, row in enumerate(_objects(layout, tenant, batch, keys)):
        each = row.ByteSize()
        if each > connection.max_message - 1024:
            raise StoreError(
                f"row {at} ({keys[at]}) has {each:,} bytes; the server takes messages of "
                f"{connection.max_message:,}",
                hint="keep large payloads elsewhere",
            )
        if request.objects and size + each > limit:
            yield at, request
            request, size = messages.BatchObjectsRequest(), 0
        request.objects.append(row)
        size += each
    yield len(batch), request


def _objects(layout: Layout, tenant: str, batch: Batch, keys: Sequence[str]) -> Iterator[Any]:
    messages, kinds = proto().batch_pb2, proto().base_pb2
    vectors = []
    for name, array in batch.vectors.items():
        gaps = batch.missing.get(name)
        raw = np.ascontiguousarray(array, dtype="<f4")
        vectors.append((layout.field(name), raw, gaps))
    single = kinds.Vectors.VECTOR_TYPE_SINGLE_FP32
    for at, key in enumerate(keys):
        row = messages.BatchObject(uuid=key, collection=layout.real, tenant=tenant)
        payload = batch.payloads[at] if batch.payloads is not None else {}
        row.properties.CopyFrom(payloads.encode(layout, payload))
        for field, array, gaps in vectors:
            if gaps is not None and gaps[at]:
                continue
            if field.target is None:
                row.vector_bytes = array[at].tobytes()
            else:
                row.vectors.add(name=field.target, vector_bytes=array[at].tobytes(), type=single)
        yield row


def _send(connection: Connection, layout: Layout, request: Any) -> dict[int, str]:
    """Send one message, and again the rows that a compressing shard took not; the words for each
    row that was refused."""
    doing = f"write to {layout.name!r}"
    waiting = list(range(len(request.objects)))
    refused: dict[int, str] = {}

    def once() -> None:
        nonlocal waiting
        part = request
        if len(waiting) < len(request.objects):
            part = proto().batch_pb2.BatchObjectsRequest()
            part.objects.extend(request.objects[at] for at in waiting)
        answer = connection.ask("BatchObjects", part, doing=doing)
        again = []
        for each in answer.errors:
            problem = by_words(each.error, f"could not {doing}: {each.error}")
            if isinstance(problem, CompressingError):
                again.append((waiting[each.index], problem))
            else:
                refused[waiting[each.index]] = each.error
        waiting = sorted(at for at, _ in again)
        if again:
            raise again[0][1]

    repeated(once, repeatable=True, sleep=connection.sleep)
    return refused


def _written(total: int, surely: int, sent: int) -> str:
    rest = "" if sent == total else "; of the rest none or some"
    return f"; {surely:,} of {total:,} rows were written{rest}: writing all again does no harm"


def _refused(layout: Layout, keys: Sequence[str], refused: Mapping[int, str]) -> QadaptError:
    rows = sorted(refused)
    shown = "; ".join(f"row {at} ({keys[at]}): {refused[at]}" for at in rows[:3])
    more = f"; and {len(rows) - 3:,} more" if len(rows) > 3 else ""
    said = (
        f"could not write {len(rows):,} of {len(keys):,} rows to {layout.name!r}, "
        f"{len(keys) - len(rows):,} were written: {shown}{more}"
    )
    return by_words(refused[rows[0]], said)


def delete(connection: Connection, layout: Layout, tenant: str, keys: Sequence[Id]) -> None:
    """Delete rows; unknown ids are left alone."""
    known = ids.possible(keys)
    messages = proto().batch_delete_pb2
    for start in range(0, len(known), IDS):
        request = messages.BatchDeleteRequest(
            collection=layout.real,
            tenant=tenant,
            filters=filters.by_ids(known[start : start + IDS]),
        )
        doing = f"delete from {layout.name!r}"
        answer = connection.ask("BatchDelete", request, doing=doing)
        if answer.failed:
            raise StoreError(
                f"could not {doing}: {answer.failed} of {answer.matches} rows failed",
                hint="the server's log says more; deleting them again does no harm",
            )


# -- reading -------------------------------------------------------------------------------------


def count(connection: Connection, layout: Layout, tenants: Sequence[str], filter: Any) -> int:
    """Rows, exactly; what the nodes say of it (``objectCount``) is stale for a while."""
    messages = proto().aggregate_pb2
    requests = [
        messages.AggregateRequest(
            collection=layout.real, tenant=tenant, objects_count=True, filters=filter
        )
        for tenant in tenants
    ]
    answers = connection.ask_many("Aggregate", requests, doing=f"count {layout.name!r}")
    return sum(int(answer.single_result.objects_count) for answer in answers)


def fetch(
    connection: Connection,
    layout: Layout,
    tenants: Sequence[str],
    keys: Sequence[Id],
    wanted: Mapping[str, Field],
    payload: bool,
) -> Batch:
    """Rows by id, in the order asked for."""
    known = ids.possible(keys)
    step = _fitting(wanted, IDS)
    places = [
        (tenant, known[start : start + step])
        for tenant in tenants
        for start in range(0, len(known), step)
    ]
    requests = [
        _request(layout, tenant, wanted, payload, len(part), filters=filters.by_ids(part))
        for tenant, part in places
    ]
    found: dict[str, Any] = {}
    answers = connection.ask_many("Search", requests, doing=f"read {layout.name!r}", at_once=4)
    for (tenant, _), answer in zip(places, answers, strict=True):
        for row in answer.results:
            if row.metadata.id in found:
                raise InputError(
                    f"two tenants of {layout.name!r} have the id {row.metadata.id}",
                    hint=f"say which tenant: {layout.name}@TENANT",
                )
            found[row.metadata.id] = (tenant, row)
    rows = [found[key] for key in known if key in found]
    return _batch(connection, layout, rows, wanted, payload)


def read(
    connection: Connection,
    layout: Layout,
    tenant: str,
    wanted: Mapping[str, Field],
    payload: bool,
    filter: Any,
    page: int,
    behind: str | None = None,
    last: str | None = None,
) -> Iterator[Batch]:
    """Rows in pages, in the order of their ids.

    Args:
        behind: only rows behind this id.
        last: only rows up to this id.
    """
    step = _fitting(wanted, min(page, WINDOW))
    waiting: list[Batch] = []
    while True:
        rows = _next(connection, layout, tenant, wanted, payload, filter, step, behind)
        inside = [row for row in rows if last is None or row.metadata.id <= last]
        if inside:
            pairs = [(tenant, row) for row in inside]
            waiting.append(_batch(connection, layout, pairs, wanted, payload))
        done = len(inside) < step
        held = sum(map(len, waiting))
        if held and (done or held >= page):
            whole = Batch.concat(waiting)
            yield whole.rows(0, page)
            waiting = [whole.rows(page, held)] if held > page else []
        if done:
            yield from waiting
            return
        behind = rows[-1].metadata.id


def _next(
    connection: Connection,
    layout: Layout,
    tenant: str,
    wanted: Mapping[str, Field],
    payload: bool,
    filter: Any,
    limit: int,
    behind: str | None,
) -> Sequence[Any]:
    request = _request(layout, tenant, wanted, payload, limit)
    if filter is None:
        # A cursor starts in front of all ids without `after` too, but only with it is it one.
        request.after = behind or ""
    else:
        place = filters.behind(behind) if behind is not None else None
        request.filters.CopyFrom(filters.both(filter, place))
        request.sort_by.add(ascending=True, path=["_id"])
    answer: Sequence[Any] = connection.ask("Search", request, doing=f"read {layout.name!r}").results
    return answer


def ends(connection: Connection, layout: Layout, tenant: str) -> tuple[str, str] | None:
    """The first and the last id; None for no rows."""
    found = []
    for ascending in (True, False):
        request = _request(layout, tenant, {}, False, 1)
        request.sort_by.add(ascending=ascending, path=["_id"])
        answer = connection.ask("Search", request, doing=f"read {layout.name!r}")
        found += [row.metadata.id for row in answer.results]
    return (found[0], found[-1]) if found else None


def check_page(page: Any) -> int:
    """The size of a page.

    Raises:
        InputError
    """
    if isinstance(page, bool) or not isinstance(page, (int, np.integer)) or page < 1:
        raise InputError(f"a page has at least 1 row; got {page!r}")
    return int(page)


def _fitting(wanted: Mapping[str, Field], rows: int) -> int:
    """Rows of one answer: the server sends the unnamed vector twice, as floats and as bytes."""
    each = sum(8 * (field.dim or 1536) for field in wanted.values()) + 64
    return max(1, min(rows, PAGE_BYTES // each))


def _request(
    layout: Layout,
    tenant: str,
    wanted: Mapping[str, Field],
    payload: bool,
    limit: int,
    **more: Any,
) -> Any:
    messages = proto().search_get_pb2
    named = [field.target for field in wanted.values() if field.target is not None]
    unnamed = any(field.target is None for field in wanted.values())
    if payload and payloads.ours(layout):
        properties = messages.PropertiesRequest(non_ref_properties=[payloads.WHOLE])
    else:
        properties = messages.PropertiesRequest(return_all_nonref_properties=payload)
    return messages.SearchRequest(
        collection=layout.real,
        tenant=tenant,
        limit=limit,
        metadata=messages.MetadataRequest(uuid=True, vector=unnamed, vectors=named),
        properties=properties,
        uses_123_api=True,
        uses_125_api=True,
        uses_127_api=True,
        **more,
    )


# -- from the server's answer --------------------------------------------------------------------


def _batch(
    connection: Connection,
    layout: Layout,
    rows: Sequence[tuple[str, Any]],
    wanted: Mapping[str, Field],
    payload: bool,
) -> Batch:
    """Columns of (tenant, object) pairs."""
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    missing: dict[str, npt.NDArray[np.bool_]] = {}
    for name, field in wanted.items():
        found = [_bytes(row.metadata, field.target) for _, row in rows]
        dim = field.dim or max((len(each) for each in found), default=0) // 4
        absent = np.fromiter((not each for each in found), dtype=np.bool_, count=len(found))
        blank = bytes(4 * dim)
        try:
            joined = np.frombuffer(b"".join(each or blank for each in found), dtype="<f4")
            arrays[name] = joined.reshape(len(rows), dim).astype(np.float32)
        except ValueError:
            raise SpecError(
                f"the vectors {name!r} of {layout.name!r} are not all of {dim} dimensions",
                hint="was the collection made again meanwhile? open it again",
            ) from None
        if absent.any():
            missing[name] = absent
    keys = [row.metadata.id for _, row in rows]
    read = _payloads(connection, layout, rows) if payload else None
    return Batch(keys, arrays, read, missing)


def _bytes(metadata: Any, target: str | None) -> bytes:
    if target is None:
        return bytes(metadata.vector_bytes)
    return next((bytes(each.vector_bytes) for each in metadata.vectors if each.name == target), b"")


def _payloads(
    connection: Connection, layout: Layout, rows: Sequence[tuple[str, Any]]
) -> list[dict[str, Any]]:
    found = [payloads.decode(layout, row.properties.non_ref_props.fields) for _, row in rows]
    others: dict[str, list[str]] = {}
    for (tenant, row), each in zip(rows, found, strict=True):
        if each is None:
            others.setdefault(tenant, []).append(row.metadata.id)
    copies: dict[tuple[str, str], dict[str, Any]] = {}
    messages = proto().search_get_pb2
    for tenant, keys in others.items():
        for start in range(0, len(keys), IDS):
            part = keys[start : start + IDS]
            request = _request(layout, tenant, {}, False, len(part), filters=filters.by_ids(part))
            request.properties.CopyFrom(
                messages.PropertiesRequest(return_all_nonref_properties=True)
            )
            answer = connection.ask("Search", request, doing=f"read {layout.name!r}")
            for row in answer.results:
                read = payloads.decode_copies(row.properties.non_ref_props.fields)
                copies[tenant, row.metadata.id] = read
    return [
        copies.get((tenant, row.metadata.id), {}) if each is None else each
        for (tenant, row), each in zip(rows, found, strict=True)
    ]


def seen_dims(connection: Connection, layout: Layout, tenants: Sequence[str]) -> dict[str, int]:
    """The dimensions of the first row of the first of these tenants that has one."""
    unknown = {name: field for name, field in layout.vectors.items() if field.dim is None}
    for tenant in tenants:
        request = _request(layout, tenant, unknown, False, 1)
        answer = connection.ask("Search", request, doing=f"read a row of {layout.name!r}")
        for row in answer.results:
            found = {
                name: len(_bytes(row.metadata, field.target)) // 4
                for name, field in unknown.items()
            }
            return {name: dim for name, dim in found.items() if dim}
    return {}
