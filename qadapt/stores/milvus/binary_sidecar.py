"""Binary codes of ours inside the store: sign bits in a second collection with the same keys.

A server without RaBitQ has no 1-bit codes of a float vector, but searches BINARY_VECTOR by
HAMMING. Before 2.4 a collection has one vector, so the bits stand in a collection of their own
(docs/engines/milvus.md#bits-of-a-float-vector)::

    {"op": "milvus.bits", "vector": "", "field": "vector", "on": true}

A property of the main collection says ``filling`` or ``on``: writes keep the bits in step from
``filling`` on, and only ``on`` is searched. What was cut off is dropped and filled again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from qadapt.errors import NotFoundError, StoreError, StoreTimeoutError
from qadapt.model import Batch, Evidence, Hits, Id, Rescore, SearchProvenance, State, Status, Vector
from qadapt.stores.base import OnProgress, Progress, ReadRequest, SearchRequest
from qadapt.stores.milvus import duplicate_ids, filters, rows, schema, vector_layout
from qadapt.stores.milvus import search as milvus_search
from qadapt.stores.milvus.connection import Connection, module
from qadapt.stores.milvus.schema import Field, Layout
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import Deadline

if TYPE_CHECKING:
    from qadapt.stores.milvus.snapshot import Snapshot
    from qadapt.stores.milvus.store import MilvusStore

ON, OFF, FILLING = "on", "off", "filling"
MARK = "__qadapt_bits_"
CODES = "bits"
_FLOATS = ReadRequest(payload=False, page=rows.WINDOW)
# What a search of bits gets that says nothing.
RESCORE = Rescore(4.0)
INDEX: Mapping[str, Any] = {
    "index_name": "bits_bin_flat",
    "index_type": "BIN_FLAT",
    "metric_type": "HAMMING",
    "params": {},
}

ESTIMATED = (
    "scores are estimated from bits: the cosine of the angle that the differing bits stand for"
)
FILTERED = "the bits hold no payload: rows that match the filter were read, and scored by qadapt"


@dataclass(frozen=True)
class SetBits(Operation):
    """Makes the sign bits of a vector, or takes them away; what was cut off is begun again."""

    op: ClassVar[str] = "milvus.bits"

    vector: str
    field: str
    on: bool

    def run(self, at: Execution[MilvusStore]) -> None:
        put(at.store.connection, at.collection, self, at.progress, at.deadline)

    def reverse(self, snapshot: Snapshot) -> SetBits:
        """Bits or none, as there are now."""
        return SetBits(self.vector, self.field, self.vector in snapshot.bits)


def name_of(real: str, field: str) -> str:
    """The collection that holds the bits of a field."""
    return f"{real}{MARK}{field}"


# -- carrying out --------------------------------------------------------------------------------


def put(
    connection: Connection,
    name: str,
    wanted: SetBits,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    """Carry out ``SetBits``."""
    layout = schema.describe(connection, name)
    field = layout.field(wanted.vector)
    sidecar = name_of(layout.real, field.field)
    if field.form == vector_layout.SIDECAR_FIELD:
        # They are written with each row, searched or not.
        _mark(connection, layout, field, ON if wanted.on else OFF)
        return
    if not wanted.on:
        _mark(connection, layout, field, OFF)
        _drop(connection, sidecar)
        return
    if layout.bits.get(field.field) == ON and not _differs(connection, layout, field):
        return
    _mark(connection, layout, field, FILLING)
    _drop(connection, sidecar)
    _make(connection, layout, field, sidecar)
    _fill(connection, layout, wanted.vector, sidecar, progress, deadline)
    if _differs(connection, layout, field):
        duplicate_ids.refuse(connection, layout)
        raise StoreError(
            f"the bits of {name!r} do not hold as many rows as the collection",
            hint="stop writing to it by others, then apply again",
        )
    _mark(connection, layout, field, ON)


def _mark(connection: Connection, layout: Layout, field: Field, value: str) -> None:
    client = connection.client
    properties = {schema.bits_property(field.field): value}
    connection.call(
        f"mark the bits of {layout.name!r}",
        client.alter_collection_properties,
        layout.real,
        properties,
    )


def _drop(connection: Connection, sidecar: str) -> None:
    # One that is not there is dropped without a word.
    connection.call(f"drop {sidecar!r}", connection.client.drop_collection, sidecar)


def drop_all(connection: Connection, layout: Layout) -> None:
    """Drop the bits of all vectors."""
    for field in layout.bits:
        _drop(connection, name_of(layout.real, field))


def _make(connection: Connection, layout: Layout, field: Field, sidecar: str) -> None:
    # Lives one floor up in the same package; imported here to keep the two apart.
    from qadapt.stores.milvus.vector_index import create_index

    client, types = connection.client, module().DataType
    made = client.create_schema(auto_id=False, enable_dynamic_field=False)
    keys = layout.keys
    if keys.number:
        made.add_field(keys.field, types.INT64, is_primary=True)
    else:
        made.add_field(keys.field, types.VARCHAR, is_primary=True, max_length=keys.length)
    made.add_field(CODES, types.BINARY_VECTOR, dim=8 * vector_layout.code_bytes(field.vector.dim))
    connection.call(
        f"create {sidecar!r}",
        client.create_collection,
        sidecar,
        schema=made,
        consistency_level=rows.SESSION,
    )
    create_index(connection, sidecar, CODES, INDEX, limit=connection.timeout)
    connection.call(f"load {sidecar!r}", client.load_collection, sidecar)


def _fill(
    connection: Connection,
    layout: Layout,
    vector: str,
    sidecar: str,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    wanted = {vector: layout.field(vector).vector}
    total, done = count(connection, layout.real), 0
    for batch in rows.read(connection, layout, wanted, _FLOATS):
        if deadline.passed:
            raise StoreTimeoutError(
                f"{done:,} of {total:,} rows have their bits", hint="apply again starts over"
            )
        _send(connection, layout, sidecar, batch.ids, batch.vectors[vector])
        done += len(batch)
        progress(Progress("writing bits", done, total))
    connection.call(
        f"flush {sidecar!r}",
        connection.client.flush,
        sidecar,
        within=deadline.at_least(1),
    )


def _send(
    connection: Connection,
    layout: Layout,
    sidecar: str,
    ids: Any,
    array: npt.NDArray[np.float32],
) -> None:
    codes = vector_layout.pack(array)
    keys = layout.keys.checked(ids)
    for start in range(0, len(keys), rows.CHUNK_ROWS):
        data = [
            {layout.keys.field: key, CODES: codes[at].tobytes()}
            for at, key in enumerate(keys[start : start + rows.CHUNK_ROWS], start)
        ]
        connection.call(f"write to {sidecar!r}", connection.client.upsert, sidecar, data)


def count(connection: Connection, name: str) -> int:
    """Rows of a collection by its own name; at Strong, since Session misses deletions on 2.3.5."""
    found = connection.call(
        f"count {name!r}",
        connection.client.query,
        name,
        filter="",
        output_fields=["count(*)"],
        consistency_level=rows.STRONG,
    )
    return int(next(iter(found))["count(*)"])


def _differs(connection: Connection, layout: Layout, field: Field) -> bool:
    try:
        sidecar = count(connection, name_of(layout.real, field.field))
    except NotFoundError:
        return True
    return sidecar != count(connection, layout.real)


# -- in step -------------------------------------------------------------------------------------


def write(connection: Connection, layout: Layout, batch: Batch) -> None:
    """Write the bits of rows that were just written."""
    for name, each in layout.vectors.items():
        if each.field in layout.bits and name in batch.vectors:
            sidecar = name_of(layout.real, each.field)
            _send(connection, layout, sidecar, batch.ids, batch.vectors[name])


def delete(connection: Connection, layout: Layout, keys: list[int | str]) -> None:
    """Delete the bits of rows that were just deleted."""
    for field in layout.bits:
        sidecar = name_of(layout.real, field)
        for start in range(0, len(keys), rows.IDS):
            expression = filters.one_of(layout.keys.field, keys[start : start + rows.IDS])
            client = connection.client
            connection.call(f"delete from {sidecar!r}", client.delete, sidecar, filter=expression)


# -- seen ----------------------------------------------------------------------------------------


def status(connection: Connection, layout: Layout, field: Field, rows_there: int) -> Status:
    """Whether the bits are there, whole and in step: by the rows that both collections hold."""
    sidecar = name_of(layout.real, field.field)
    try:
        held: int | None = count(connection, sidecar)
    except (NotFoundError, StoreError):
        held = None
    mark = layout.bits[field.field]
    evidence = (
        Evidence("held by", f"the collection {sidecar!r}, made and kept in step by qadapt"),
        Evidence("mark (property of the collection)", mark),
        Evidence("rows with bits", held),
        Evidence("rows", rows_there),
    )
    if mark == FILLING:
        share = (held or 0) / rows_there if rows_there else 0.0
        reason = "bits are being written, or that was cut off"
        return Status(State.BUILDING, reason, share, evidence, "`qadapt apply` finishes it")
    if held is None:
        return Status(
            State.IGNORED,
            f"the bits in {sidecar!r} cannot be read",
            evidence=evidence,
            advice="`qadapt apply` writes them again",
        )
    if held != rows_there:
        return Status(
            State.IGNORED,
            f"the bits hold {held:,} rows, the collection {rows_there:,}: somebody else wrote",
            evidence=evidence,
            advice="`qadapt apply` writes them again",
        )
    if not rows_there:
        return Status(State.UNKNOWN, "the collection has no rows yet", evidence=evidence)
    return Status(State.ACTIVE, evidence=evidence)


def sidecar_status(field: Field, rows_there: int, loaded: bool) -> Status:
    """Of bits in a field of the same collection, where a row has both or is not there.

    A BINARY_VECTOR is compared by HAMMING with an index and without one: there is nothing else
    that it could be searched by.
    """
    codes = field.codes
    evidence = (
        Evidence(
            "held by",
            f"the field {vector_layout.codes_field(field.field)!r}, written with each row",
        ),
        Evidence("describe_index: index_type", codes.type if codes else None),
        Evidence("describe_index: metric_type", codes.metric if codes else None),
        Evidence("loaded", loaded),
        Evidence("rows", rows_there),
    )
    if not loaded:
        reason = "the collection is not loaded: no search runs"
        return Status(State.IGNORED, reason, evidence=evidence, advice="`qadapt apply` loads it")
    if not rows_there:
        return Status(State.UNKNOWN, "the collection has no rows yet", evidence=evidence)
    return Status(State.ACTIVE, evidence=evidence)


# -- searching -----------------------------------------------------------------------------------


def search(
    connection: Connection,
    layout: Layout,
    field: Field,
    queries: npt.NDArray[np.float32],
    search: SearchRequest,
    expression: str,
) -> Hits:
    """The rows whose bits differ least from those of the queries.

    Args:
        expression: of a filter; only bits in the same collection can be searched with one.
    """
    own = field.form != vector_layout.FLOAT
    place = layout.base if own else name_of(layout.real, field.field)
    limits: dict[str, Any] = {"filter": expression, **layout.where} if own else {}
    found: list[list[tuple[Id, float]]] = []
    for block in milvus_search.blocks(queries, search.k):
        answer = connection.call(
            f"search the bits of {layout.name!r}",
            connection.client.search,
            place,
            data=[code.tobytes() for code in vector_layout.pack(block)],
            anns_field=vector_layout.codes_field(field.field) if own else CODES,
            limit=search.k,
            output_fields=[layout.keys.field],
            search_params={"metric_type": "HAMMING", "params": {}},
            consistency_level=milvus_search.level(search, layout),
            **limits,
        )
        for row in answer:
            found.append([_hit(layout, hit, field.vector) for hit in row])
    chosen = "store default" if search.rescore is None else "call"
    notes = (ESTIMATED, *milvus_search.level_notes(search, layout))
    reported = SearchProvenance("store", "none", 1.0, 0, "none", "approximate", chosen, notes)
    return Hits.from_rows(found, search.k, reported)


def _hit(layout: Layout, hit: Any, vector: Vector) -> tuple[Id, float]:
    key = hit[layout.keys.field] if layout.keys.field in hit else hit["id"]
    score = math.cos(math.pi * float(hit["distance"]) / vector.dim)
    return layout.keys.from_native(key), score
