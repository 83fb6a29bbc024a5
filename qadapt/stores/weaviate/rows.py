"""Write, fetch and delete rows over gRPC; ``cursor`` scans them.

Rows are checked before they are sent, because the server accepts NaN, infinity and zero vectors,
and creates missing collections. It responds for each object of a batch: these responses are
collected into one error that reports how many rows were written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from qadapt.errors import AlreadyExistsError, InputError, QadaptError, SpecError, StoreError
from qadapt.model import Batch, Id, RaggedArray, Vector
from qadapt.model.ragged_arrays import multi_rows
from qadapt.stores.checks import check_payloads
from qadapt.stores.error_table import TooLargeError
from qadapt.stores.weaviate import filters, ids, multivectors
from qadapt.stores.weaviate import payload as weaviate_payload
from qadapt.stores.weaviate.connection import Connection, proto
from qadapt.stores.weaviate.errors import CompressingError, by_words, with_retries
from qadapt.stores.weaviate.schema import Field, Layout

CHUNK_BYTES = 2 << 20
PAGE_BYTES = 16 << 20
IDS = 1_000
DELETED = 1_000  # ids per request
MANY = 32


# -- writing -------------------------------------------------------------------------------------


def ready(layout: Layout, batch: Batch) -> tuple[Batch, list[str]]:
    """Check rows, and return them in the format of the request, with the ids in the server's form.

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
    checked = batch.ready(wanted, multivectors.multivectors_of(layout), normalizes_cosine=False)
    check_payloads(batch.payloads)
    weaviate_payload.check(layout, batch)
    return checked, ids.checked(batch.ids)


def add_properties(connection: Connection, layout: Layout, batch: Batch) -> bool:
    """Create the properties that the payloads need, and return whether there were any."""
    if not weaviate_payload.has_own_properties(layout):
        return False
    wanted = weaviate_payload.new_properties(layout, batch)
    path = f"/v1/schema/{quote(layout.real)}/properties"
    for name, kind in wanted.items():
        body = weaviate_payload.property_body(name, kind)
        doing = f"add the property {name!r} to {layout.name!r}"
        try:
            connection.rest("POST", path, body, doing=doing)
        except AlreadyExistsError:
            continue  # another writer was faster
        except StoreError as error:
            if "already in use" not in error.message:
                raise
    return bool(wanted)


def write(
    connection: Connection, layout: Layout, tenant: str, batch: Batch, keys: Sequence[str]
) -> None:
    """Upsert checked rows.

    Raises:
        CompressingError: a shard refused writes; others may have accepted them.
        StoreError: rows were refused; the message names them, the reason, and the number of rows
            written.
    """
    if not keys:
        return
    refused: dict[int, str] = {}
    start = 0
    try:
        for stop, request in _batches(connection, layout, tenant, batch, keys):
            found = _send(connection, layout, request)
            refused.update({start + at: words for at, words in found.items()})
            start = stop
    except QadaptError as error:
        # Rows of the failed request may have arrived.
        error.message += _written(len(batch), start - len(refused), start)
        raise
    if refused:
        raise _refused(layout, keys, refused)


def _batches(
    connection: Connection, layout: Layout, tenant: str, batch: Batch, keys: Sequence[str]
) -> Iterator[tuple[int, Any]]:
    """Messages within the size limit, and the row before which each ends."""
    messages = proto().batch_pb2
    limit = min(CHUNK_BYTES, connection.max_message // 2)
    request, size = messages.BatchObjectsRequest(), 0
    for at, row in enumerate(_objects(layout, tenant, batch, keys)):
        each = row.ByteSize()
        if each > connection.max_message - 1024:
            raise StoreError(
                f"row {at} ({keys[at]}) has {each:,} bytes; the server's limit for a message is "
                f"{connection.max_message:,}",
                hint="store large payloads elsewhere",
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
    single, many = kinds.Vectors.VECTOR_TYPE_SINGLE_FP32, kinds.Vectors.VECTOR_TYPE_MULTI_FP32
    extras = {layout.multis[name].target: multi_rows(each) for name, each in batch.extras.items()}
    for at, key in enumerate(keys):
        row = messages.BatchObject(uuid=key, collection=layout.real, tenant=tenant)
        payload = batch.payloads[at] if batch.payloads is not None else {}
        row.properties.CopyFrom(weaviate_payload.encode(layout, payload))
        for field, array, gaps in vectors:
            if gaps is not None and gaps[at]:
                continue
            if field.target is None:
                row.vector_bytes = array[at].tobytes()
            else:
                row.vectors.add(name=field.target, vector_bytes=array[at].tobytes(), type=single)
        for target, each in extras.items():
            floats = next(each)
            if floats is not None:
                row.vectors.add(name=target, vector_bytes=multivectors.packed(floats), type=many)
        yield row


def _send(connection: Connection, layout: Layout, request: Any) -> dict[int, str]:
    """Send one message, retry rows that a compressing shard refused, and return the error of each
    refused row."""
    doing = f"write to {layout.name!r}"
    waiting = list(range(len(request.objects)))
    refused: dict[int, str] = {}

    def once() -> None:
        nonlocal waiting
        part = request
        if len(waiting) < len(request.objects):
            part = proto().batch_pb2.BatchObjectsRequest()
            part.objects.extend(request.objects[at] for at in waiting)
        answer = connection.ask("BatchObjects", part, doing=doing, repeatable=False)
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

    with_retries(once, repeatable=True, sleep=connection.sleep)
    return refused


def _written(total: int, surely: int, sent: int) -> str:
    rest = "" if sent == total else "; some of the rest may be written"
    return f"; {surely:,} of {total:,} rows were written{rest}: it is safe to write all rows again"


def _refused(layout: Layout, keys: Sequence[str], refused: Mapping[int, str]) -> QadaptError:
    rows = sorted(refused)
    shown = "; ".join(f"row {at} ({keys[at]}): {refused[at]}" for at in rows[:3])
    more = f"; and {len(rows) - 3:,} more" if len(rows) > 3 else ""
    message_text = (
        f"could not write {len(rows):,} of {len(keys):,} rows to {layout.name!r}, "
        f"{len(keys) - len(rows):,} were written: {shown}{more}"
    )
    return by_words(refused[rows[0]], message_text)


def delete(connection: Connection, layout: Layout, tenant: str, keys: Sequence[Id]) -> None:
    """Delete rows; unknown ids are ignored."""
    known = ids.possible(keys)
    messages = proto().batch_delete_pb2
    for start in range(0, len(known), DELETED):
        request = messages.BatchDeleteRequest(
            collection=layout.real,
            tenant=tenant,
            filters=filters.by_ids(known[start : start + DELETED]),
        )
        doing = f"delete from {layout.name!r}"
        answer = connection.ask("BatchDelete", request, doing=doing)
        if answer.failed:
            raise StoreError(
                f"could not {doing}: {answer.failed} of {answer.matches} rows failed",
                hint="check the server's log; it is safe to delete them again",
            )


# -- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """The rows of one tenant, and the fields to read.

    Attributes:
        tenant: empty if the collection has no tenants.
        vectors: names of the vectors to read.
        payload: whether to read properties.
    """

    layout: Layout
    tenant: str
    vectors: Mapping[str, Field] = dataclasses.field(default_factory=dict)
    payload: bool = False


def fetch(
    connection: Connection,
    layout: Layout,
    tenants: Sequence[str],
    keys: Sequence[Id],
    wanted: Mapping[str, Field],
    payload: bool,
) -> Batch:
    """Rows by id, in the order of the ids."""
    known = ids.possible(keys)
    try:
        return _by_ids(connection, layout, tenants, known, wanted, payload)
    except TooLargeError:  # large payloads
        if len(known) == 1:
            raise
    half = len(known) // 2
    parts = (known[:half], known[half:])
    return Batch.concat(
        [fetch(connection, layout, tenants, part, wanted, payload) for part in parts]
    )


def _by_ids(
    connection: Connection,
    layout: Layout,
    tenants: Sequence[str],
    known: list[str],
    wanted: Mapping[str, Field],
    payload: bool,
) -> Batch:
    step = fitting(wanted, IDS)
    places = [
        (tenant, known[start : start + step])
        for tenant in tenants
        for start in range(0, len(known), step)
    ]
    requests = [
        search_request(
            Selection(layout, tenant, wanted, payload), len(part), filters=filters.by_ids(part)
        )
        for tenant, part in places
    ]
    found: dict[str, Any] = {}
    answers = connection.ask_many("Search", requests, doing=f"read {layout.name!r}", at_once=4)
    for answer in answers:
        for row in answer.results:
            if row.metadata.id in found:
                raise InputError(
                    f"two tenants of {layout.name!r} have the id {row.metadata.id}",
                    hint=f"name the tenant: {layout.name}@TENANT",
                )
            found[row.metadata.id] = row
    rows = [found[key] for key in known if key in found]
    return to_batch(layout, rows, wanted, payload)


def fitting(wanted: Mapping[str, Field], rows: int) -> int:
    """Rows per response: the server sends the unnamed vector twice, as floats and as bytes."""
    # The number of rows of a multivector is unknown; if a response is too large, fewer are read.
    each = sum(8 * (field.dim or 1536) * (MANY if field.multi else 1) for field in wanted.values())
    each += 64
    return max(1, min(rows, PAGE_BYTES // each))


def search_request(selection: Selection, limit: int, **more: Any) -> Any:
    messages = proto().search_get_pb2
    named = [each.target for each in selection.vectors.values() if each.target is not None]
    unnamed = any(each.target is None for each in selection.vectors.values())
    return messages.SearchRequest(
        collection=selection.layout.real,
        tenant=selection.tenant,
        limit=limit,
        metadata=messages.MetadataRequest(uuid=True, vector=unnamed, vectors=named),
        properties=properties(selection.layout, selection.payload),
        uses_123_api=True,
        uses_125_api=True,
        uses_127_api=True,
        **more,
    )


def properties(layout: Layout, payload: bool) -> Any:
    """All properties; by name if one is a blob, which "all" omits (run on 1.39)."""
    request = proto().search_get_pb2.PropertiesRequest
    if not payload or "blob" not in layout.properties.values():
        return request(return_all_nonref_properties=payload)
    return request(non_ref_properties=layout.values)


# -- responses -----------------------------------------------------------------------------------


def to_batch(
    layout: Layout, rows: Sequence[Any], wanted: Mapping[str, Field], payload: bool
) -> Batch:
    """Convert the server's objects to columns."""
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    missing: dict[str, npt.NDArray[np.bool_]] = {}
    extras: dict[str, RaggedArray] = {}
    for name, field in wanted.items():
        found = [vector_bytes(row.metadata, field.target) for row in rows]
        if field.multi:
            extras[name] = multivectors.unpacked(found, field, layout.name)
            continue
        dim = field.dim or max((len(each) for each in found), default=0) // 4
        absent = np.fromiter((not each for each in found), dtype=np.bool_, count=len(found))
        blank = bytes(4 * dim)
        try:
            joined = np.frombuffer(b"".join(each or blank for each in found), dtype="<f4")
            arrays[name] = joined.reshape(len(rows), dim).astype(np.float32)
        except ValueError:
            raise SpecError(
                f"not all vectors {name!r} of {layout.name!r} have {dim} dimensions",
                hint="the collection may have been recreated: open it again",
            ) from None
        if absent.any():
            missing[name] = absent
    keys = [row.metadata.id for row in rows]
    read = None
    if payload:
        read = [
            weaviate_payload.decode(layout, row.properties.non_ref_props.fields) for row in rows
        ]
    return Batch(keys, arrays, read, missing, extras)


def vector_bytes(metadata: Any, target: str | None) -> bytes:
    if target is None:
        return bytes(metadata.vector_bytes)
    return next((bytes(each.vector_bytes) for each in metadata.vectors if each.name == target), b"")
