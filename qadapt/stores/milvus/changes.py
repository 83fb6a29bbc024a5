"""Plan the steps of a change, and list the operations that the steps run.

In place, ``binary_sidecar`` writes or drops sign bits and ``vector_index`` replaces an index; by
alias, ``copy_switch`` copies the collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Estimate, Kind, Quantization, State, Step, Symbol
from qadapt.stores.base import MappedQuantization
from qadapt.stores.change import ChangePlan, ChangeRequest
from qadapt.stores.milvus import (
    collections,
    copy_switch,
    mapping,
    native_mapping,
    schema,
    vector_layout,
)
from qadapt.stores.milvus.binary_sidecar import SetBits
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.copy_switch import Recreate, Switch
from qadapt.stores.milvus.snapshot import Snapshot
from qadapt.stores.milvus.status import SMALLEST, status_of
from qadapt.stores.milvus.vector_index import ReplaceIndex, words
from qadapt.stores.milvus.version import BITS, ServerVersion
from qadapt.stores.operations import table

OPERATIONS = table(ReplaceIndex, SetBits, Recreate, Switch)

WHY = (
    "Milvus has one index per field and cannot change the index of a loaded collection: qadapt "
    "releases the collection, drops the index, creates the new one and loads the collection; "
    "searches fail from release to load, that is for the build time plus 3 to 5 seconds"
)
EMBEDDED = (
    "warning: with a server of the PyPI package `milvus` whose data folder is an absolute path, "
    "release deletes the original vectors of segments that were read while their index stored only "
    "codes (observed on 2.3.5; a localStorage.path relative to the working directory is safe)"
)


# -- planning ------------------------------------------------------------------------------------


def plan(
    connection: Connection, request: ChangeRequest, server_version: ServerVersion
) -> ChangePlan:
    """The steps of a change, in place or by copying and switching an alias.

    Raises:
        UnsupportedError: the change cannot be made, or only to the whole collection.
    """
    snapshot: Snapshot = request.inspection.native
    base, partition = schema.split(request.collection)
    if partition is not None:
        raise UnsupportedError(
            f"{request.collection!r} is a partition, and an index covers the whole collection",
            hint=f"plan the change of {base!r}",
        )
    target = request.target_vector
    narrower = target is not None and target.dim != snapshot.layout.field(request.vector).vector.dim
    planned: tuple[Step, ...] = ()
    if request.codes is not None and not narrower:  # the narrower copy is created with its codes
        planned = _plan_quantization(connection, snapshot, request, request.codes, server_version)
    notes = _kept_properties(snapshot, request, planned, server_version)
    if target is None:
        return ChangePlan(planned, notes=notes)
    collections.unsupported_vectors({request.vector: target}, server_version)
    if narrower:
        _refuse_few_rows(snapshot, request)
    target_vector = copy_switch.target_definitions(
        snapshot, request.vector, target, server_version, request.codes if narrower else None
    )
    return ChangePlan(
        planned, (copy_switch.step(connection, snapshot, request.vector, target_vector),), notes
    )


def _refuse_few_rows(snapshot: Snapshot, request: ChangeRequest) -> None:
    """Refuse codes of a narrower copy that the server would not build, before rows are copied.

    Raises:
        UnsupportedError
    """
    codes, target = request.codes, request.target_vector
    assert target is not None
    if codes is None or codes.kind in (Kind.NONE, Kind.FLOAT16) or request.without_codes:
        return
    if snapshot.count >= SMALLEST or snapshot.vectors[request.vector].lite:
        return
    raise UnsupportedError(
        f"{snapshot.layout.base!r} has {snapshot.count:,} rows, and Milvus indexes no segment "
        f"under {SMALLEST:,} rows: a copy of the first {target.dim:,} dimensions would have no "
        f"{codes.kind} codes",
        hint=f"none:dims={target.dim}, or write at least {SMALLEST:,} rows",
    )


def _kept_properties(
    snapshot: Snapshot,
    request: ChangeRequest,
    planned: tuple[Step, ...],
    server_version: ServerVersion,
) -> tuple[str, ...]:
    """A note on the properties of qadapt that an undo does not delete."""
    layout, kept = snapshot.layout, []
    if request.rescore is not None and not layout.settings and not server_version.old_lite:
        kept.append(f"{schema.OURS}settings (empty)")
    if any(step.request.get("op") == SetBits.op for step in planned):
        field = layout.field(request.vector).field
        if field not in layout.bits:
            kept.append(f"{schema.bits_property(field)} (off)")
    if not kept:
        return ()
    return (f"an undo keeps the properties {', '.join(kept)}: Milvus 2.3 cannot delete one",)


def _plan_quantization(
    connection: Connection,
    snapshot: Snapshot,
    request: ChangeRequest,
    quantization: Quantization,
    server_version: ServerVersion,
) -> tuple[Step, ...]:
    vector, asked = request.vector, quantization.native
    field = snapshot.layout.field(vector)
    current = field.index.native if field.index else None
    mapped = mapping.require_native(quantization, field.vector, server_version, current)
    if request.strategy == "alias" and rebuilds(snapshot, vector, mapped, asked):
        target = copy_switch.wanted(snapshot, vector, field.vector, mapped, server_version)
        return (copy_switch.step(connection, snapshot, vector, target),)
    return tuple(steps(snapshot, vector, mapped, asked))


def steps(
    snapshot: Snapshot, vector: str, mapped: MappedQuantization, asked: Mapping[str, Any]
) -> list[Step]:
    """Plan an in-place change to a mapped index; empty if searches use it already.

    Args:
        mapped: a supported mapping.
        asked: the native fields that the user set.

    Raises:
        UnsupportedError: the metric is unknown, or this engine cannot make the change in place.
    """
    native = mapped.native
    if native is None:
        return []
    if native["index_type"] == BITS and snapshot.layout.field(vector).vector.datatype != "bit":
        return _bits_steps(snapshot, vector)
    if snapshot.vectors[vector].lite and snapshot.layout.field(vector).coded:
        raise UnsupportedError(
            "Milvus Lite 2 cannot store collection properties, so searches cannot be switched from "
            "the sign bits to the original vectors",
            hint="write the rows of `collection.read()` to a new collection",
        )
    if snapshot.layout.field(vector).form == vector_layout.ARRAY:
        raise UnsupportedError(
            f"the original vectors of {vector!r} are stored in an ARRAY, which Milvus cannot index",
            hint="use strategy='alias' (--strategy alias): the copy stores them in a vector field",
        )
    off = [_bits_off(snapshot, vector)] if vector in snapshot.bits else []
    return off + _index_steps(snapshot, vector, mapped, native, asked)


def _bits_steps(snapshot: Snapshot, vector: str) -> list[Step]:
    field = snapshot.layout.field(vector)
    there = vector in snapshot.bits
    if there and snapshot.status(vector).state is State.ACTIVE:
        return []
    size = snapshot.count * vector_layout.code_bytes(field.vector.dim)
    if field.form == vector_layout.SIDECAR_FIELD and not there:
        return [_bits_on(snapshot, vector)]
    if field.form != vector_layout.FLOAT:
        return _unfinished(snapshot, vector)
    if snapshot.vectors[vector].lite:
        raise UnsupportedError(
            "Milvus Lite 2 cannot add sign bits to an existing collection",
            hint="create a new collection with this quantization",
        )
    made = SetBits(vector, field.field, on=True)
    return [
        Step(
            Symbol.CLIENT,
            "write sign bits to a second collection",
            snapshot.status(vector).reason
            if there
            else "this server has no 1-bit codes of float vectors; searches continue during the "
            "change, but rows that other clients write during the change have no sign bits",
            made.to_request(),
            made.reverse(snapshot).to_request(),
            Estimate(
                codes_ram=size,
                codes_disk=size,
                originals_ram=4 * snapshot.count * field.vector.dim,
                originals_disk=4 * snapshot.count * field.vector.dim,
            ),
        )
    ]


def _bits_on(snapshot: Snapshot, vector: str) -> Step:
    field = snapshot.layout.field(vector)
    made = SetBits(vector, field.field, on=True)
    return Step(
        Symbol.CLIENT,
        "search with the sign bits",
        "they are already in a field of the collection, written with each row",
        made.to_request(),
        made.reverse(snapshot).to_request(),
    )


def _bits_off(snapshot: Snapshot, vector: str) -> Step:
    field = snapshot.layout.field(vector)
    gone = SetBits(vector, field.field, on=False)
    return Step(
        Symbol.CLIENT,
        "stop searching with the sign bits"
        if field.form == vector_layout.SIDECAR_FIELD
        else "drop the sign bits",
        "searches use the index of the original vectors again",
        gone.to_request(),
        gone.reverse(snapshot).to_request(),
    )


def rebuilds(
    snapshot: Snapshot, vector: str, mapped: MappedQuantization, asked: Mapping[str, Any]
) -> bool:
    """Whether a mapped index differs from the existing one."""
    native = mapped.native
    if native is None:
        return False
    field = snapshot.layout.field(vector)
    there = vector in snapshot.bits
    if native["index_type"] == BITS:
        return field.form == vector_layout.FLOAT and not there
    if field.form == vector_layout.ARRAY:
        return True
    now = field.index.native if field.index else None
    kind = snapshot.vectors[vector].quantization.kind
    same = _floats_both(kind, mapped.target.kind) and now is not None and not asked
    return not (same or native_mapping.satisfies(now, native, asked))


def _index_steps(
    snapshot: Snapshot,
    vector: str,
    mapped: MappedQuantization,
    native: Mapping[str, Any],
    asked: Mapping[str, Any],
) -> list[Step]:
    field = snapshot.layout.field(vector)
    kind = snapshot.vectors[vector].quantization.kind
    now = field.index.native if field.index else None
    if native_mapping.satisfies(now, native, asked):
        return _unfinished(snapshot, vector)
    if _floats_both(kind, mapped.target.kind) and now is not None and not asked:
        return _unfinished(snapshot, vector)
    if not field.metric_known:
        raise UnsupportedError(
            f"the metric of {vector!r} is unknown: Milvus stores it in the index, and the "
            "vector has "
            "no index",
            hint="run `qadapt undo` if a qadapt change was interrupted; otherwise create an index",
        )
    wanted = {
        "index_name": f"{field.field}_{native['index_type'].lower()}",
        "index_type": native["index_type"],
        "metric_type": schema.metric_word(field.vector),
        "params": dict(native["params"]),
    }
    former = field.index.definition if field.index else None
    replaced = ReplaceIndex(vector, field.field, wanted, former, load=True)
    reason = WHY
    if snapshot.embedded:
        reason += f"; {EMBEDDED}"
    if snapshot.count < SMALLEST and not snapshot.vectors[vector].lite:
        reason += (
            f"; Milvus indexes no segment under {SMALLEST:,} rows and compares original vectors"
        )
    codes = native_mapping.code_bytes(native, field.vector, snapshot.count)
    originals = 4 * snapshot.count * field.vector.dim
    held = mapped.target.kind is Kind.NONE
    return [
        Step(
            Symbol.BLOCKING,
            f"replace the index {words(former)} with {words(wanted)}",
            reason,
            replaced.to_request(),
            replaced.reverse(snapshot).to_request(),
            Estimate(
                codes_ram=codes,
                codes_disk=codes,
                originals_ram=originals if held else 0,
                originals_disk=originals,
                temporary_disk=originals,
                stops="searches",
            ),
        )
    ]


def _floats_both(now: Kind, wanted: Kind) -> bool:
    return now is Kind.NONE and wanted is Kind.NONE


def _unfinished(snapshot: Snapshot, vector: str) -> list[Step]:
    field = snapshot.layout.field(vector)
    index, name, status = field.index, field.field, status_of(snapshot.vectors[vector])
    if field.coded:
        index, name = field.codes, vector_layout.codes_field(field.field)
        status = snapshot.status(vector)
    # In Lite, qadapt loads a collection before it reads or searches it.
    unloaded = not snapshot.loaded and index is not None and not snapshot.vectors[vector].lite
    if not unloaded and status.state is not State.BUILDING:
        return []
    now = index.definition if index else None
    again = ReplaceIndex(vector, name, now, now, load=True).to_request()
    return [
        Step(
            Symbol.BACKGROUND,
            f"flush and wait until searches use {words(now)}",
            status.reason or "the collection is not loaded and cannot be searched",
            again,
            # The configuration does not change, so undo repeats the same operation.
            again,
        )
    ]
