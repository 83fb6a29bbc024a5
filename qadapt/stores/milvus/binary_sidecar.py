"""Binary codes made by qadapt: sign bits in a second collection with the same primary keys.

A server without RaBitQ has no 1-bit codes of a float vector, but it can search a BINARY_VECTOR with
HAMMING. Before 2.4 a collection has only one vector, so the sign bits are in a second collection
(docs/engines/milvus.md#bits-of-a-float-vector)::

    {"op": "milvus.bits", "vector": "", "field": "vector", "on": true}

A property of the main collection is ``filling`` or ``on``. In both states writes also update the
sign bits; searches use them only in the state ``on``. An interrupted fill is dropped and restarted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from qadapt.errors import NotFoundError, StoreError, StoreTimeoutError
from qadapt.model import Batch, Evidence, Rescore, State, Status
from qadapt.stores.base import OnProgress, Progress, ReadRequest
from qadapt.stores.milvus import duplicate_ids, filters, rows, schema, vector_layout
from qadapt.stores.milvus.connection import Connection, module
from qadapt.stores.milvus.index_params import create_index
from qadapt.stores.milvus.schema import Field, Layout
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import Deadline

if TYPE_CHECKING:
    from qadapt.stores.milvus.snapshot import Snapshot
    from qadapt.stores.milvus.store import MilvusStore

ON, OFF, FILLING = "on", "off", "filling"
LOST = "lost"  # the property is on, but another client dropped the collection
MARK = "__qadapt_bits_"
CODES = "bits"
_FLOATS = ReadRequest(payload=False, page=rows.WINDOW)
# The default of searches with sign bits.
RESCORE = Rescore(4.0)
INDEX: Mapping[str, Any] = {
    "index_name": "bits_bin_flat",
    "index_type": "BIN_FLAT",
    "metric_type": "HAMMING",
    "params": {},
}


@dataclass(frozen=True)
class SetBits(Operation):
    """Write the sign bits of a vector, or drop them; an interrupted run starts again."""

    op: ClassVar[str] = "milvus.bits"

    vector: str
    field: str
    on: bool

    def run(self, at: Execution[MilvusStore]) -> None:
        put(at.store.connection, at.collection, self, at.progress, at.deadline)

    def reverse(self, snapshot: Snapshot) -> SetBits:
        """Restore the current state: sign bits or none."""
        return SetBits(self.vector, self.field, self.vector in snapshot.bits)


def name_of(real: str, field: str) -> str:
    """The name of the collection with the sign bits of a field."""
    return f"{real}{MARK}{field}"


def with_lost(connection: Connection, layout: Layout) -> Layout:
    """The layout with sign bits as ``LOST`` if their collection does not exist."""
    lost = {
        field: LOST
        for field, state in layout.bits.items()
        if state == ON and not _exists(connection, name_of(layout.real, field))
    }
    return dataclasses.replace(layout, bits={**layout.bits, **lost}) if lost else layout


def _exists(connection: Connection, sidecar: str) -> bool:
    return bool(connection.call(f"look for {sidecar!r}", connection.client.has_collection, sidecar))


# -- changing --------------------------------------------------------------------------------


def put(
    connection: Connection,
    name: str,
    wanted: SetBits,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    """Run ``SetBits``.

    Raises:
        StoreTimeoutError: not finished by the deadline.
        StoreError: another client wrote to the collection at the same time.
    """
    layout = schema.describe(connection, name)
    field = layout.field(wanted.vector)
    sidecar = name_of(layout.real, field.field)
    if field.form == vector_layout.SIDECAR_FIELD:
        # The bits are written with each row even if they are not searched.
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
            f"the sign bits of {name!r} and the collection have different numbers of rows",
            hint="stop other writers, then run `qadapt apply` again",
        )
    _mark(connection, layout, field, ON)


def _mark(connection: Connection, layout: Layout, field: Field, value: str) -> None:
    client = connection.client
    properties = {schema.bits_property(field.field): value}
    connection.call(
        f"set the state of the sign bits of {layout.name!r}",
        client.alter_collection_properties,
        layout.real,
        properties,
    )


def _drop(connection: Connection, sidecar: str) -> None:
    # Milvus reports no error if the collection does not exist.
    connection.call(f"drop {sidecar!r}", connection.client.drop_collection, sidecar)


def drop_all(connection: Connection, layout: Layout) -> None:
    """Drop the sign bits of all vectors."""
    for field in layout.bits:
        _drop(connection, name_of(layout.real, field))


def _make(connection: Connection, layout: Layout, field: Field, sidecar: str) -> None:
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
                f"timed out after writing the sign bits of {done:,} of {total:,} rows",
                hint="run `qadapt apply` again: it starts from the first row",
            )
        _send(connection, layout, sidecar, batch.ids, batch.vectors[vector])
        done += len(batch)
        progress(Progress("writing sign bits", done, total))
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
    """Rows of a collection, counted at Strong because Session misses deletions on 2.3.5."""
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


# -- writing rows ----------------------------------------------------------------------------------


def write(connection: Connection, layout: Layout, batch: Batch) -> None:
    """Write the sign bits of rows that were just written."""
    for name, each in layout.vectors.items():
        if layout.bits.get(each.field, LOST) != LOST and name in batch.vectors:
            sidecar = name_of(layout.real, each.field)
            _send(connection, layout, sidecar, batch.ids, batch.vectors[name])


def delete(connection: Connection, layout: Layout, keys: list[int | str]) -> None:
    """Delete the sign bits of rows that were just deleted."""
    for field, state in layout.bits.items():
        sidecar = name_of(layout.real, field)
        if state == LOST:
            continue
        for start in range(0, len(keys), rows.IDS):
            expression = filters.one_of(layout.keys.field, keys[start : start + rows.IDS])
            client = connection.client
            connection.call(f"delete from {sidecar!r}", client.delete, sidecar, filter=expression)


# -- status ----------------------------------------------------------------------------------------


def status(connection: Connection, layout: Layout, field: Field, rows_there: int) -> Status:
    """The status of sign bits in a second collection, from the row counts of both collections."""
    sidecar = name_of(layout.real, field.field)
    try:
        held: int | None = count(connection, sidecar)
    except (NotFoundError, StoreError):
        held = None
    mark = layout.bits[field.field]
    evidence = (
        Evidence("stored in", f"the collection {sidecar!r}, which qadapt writes"),
        Evidence("state (collection property)", mark),
        Evidence("rows with sign bits", held),
        Evidence("rows", rows_there),
    )
    if mark == FILLING:
        share = (held or 0) / rows_there if rows_there else 0.0
        reason = "sign bits are being written, or writing them was interrupted"
        return Status(State.BUILDING, reason, share, evidence, "run `qadapt apply` to finish")
    if held is None:
        return Status(
            State.IGNORED,
            f"the sign bits in {sidecar!r} cannot be read",
            evidence=evidence,
            advice="run `qadapt apply` to write them again",
        )
    if held != rows_there:
        return Status(
            State.IGNORED,
            f"{held:,} rows have sign bits, the collection has {rows_there:,} rows: another client "
            "wrote to it",
            evidence=evidence,
            advice="run `qadapt apply` to write them again",
        )
    if not rows_there:
        return Status(State.UNKNOWN, "the collection is empty", evidence=evidence)
    return Status(State.ACTIVE, evidence=evidence)


def sidecar_status(field: Field, rows_there: int, loaded: bool) -> Status:
    """The status of sign bits in a field of the same collection.

    Every row has them, and a BINARY_VECTOR is compared with HAMMING with and without an index.
    """
    codes = field.codes
    evidence = (
        Evidence(
            "stored in",
            f"the field {vector_layout.codes_field(field.field)!r}, written with each row",
        ),
        Evidence("describe_index: index_type", codes.type if codes else None),
        Evidence("describe_index: metric_type", codes.metric if codes else None),
        Evidence("loaded", loaded),
        Evidence("rows", rows_there),
    )
    if not loaded:
        reason = "the collection is not loaded and cannot be searched"
        advice = "run `qadapt apply` to load it"
        return Status(State.IGNORED, reason, evidence=evidence, advice=advice)
    if not rows_there:
        return Status(State.UNKNOWN, "the collection is empty", evidence=evidence)
    return Status(State.ACTIVE, evidence=evidence)
