"""From what a vector's index is to what was asked for, in place: the steps of a plan.

Bits beside are switched or written (see ``bits``), an index is replaced (see ``indexing``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Estimate, Kind, State, Step, Symbol
from qadapt.stores.base import MappedQuantization
from qadapt.stores.milvus import mapping, schema, vector_layout
from qadapt.stores.milvus.binary_sidecar import SetBits
from qadapt.stores.milvus.copy_switch import Recreate, Switch
from qadapt.stores.milvus.snapshot import Snapshot
from qadapt.stores.milvus.status import SMALLEST, status_of
from qadapt.stores.milvus.vector_index import ReplaceIndex, words
from qadapt.stores.operations import table

OPERATIONS = table(ReplaceIndex, SetBits, Recreate, Switch)

WHY = (
    "Milvus has one index for each field and changes none of a loaded collection: release, drop, "
    "create, load; searches fail from release to load, which is the time of the build and about "
    "3 to 5 seconds"
)
EMBEDDED = (
    "careful with a server of the PyPI package `milvus` whose data folder is an absolute path: "
    "release deletes the floats of segments that were read while their index held codes alone (as "
    "seen on 2.3.5; with a localStorage.path relative to its working folder nothing is lost)"
)


# -- planning ------------------------------------------------------------------------------------


def steps(
    snapshot: Snapshot, vector: str, mapped: MappedQuantization, asked: Mapping[str, Any]
) -> list[Step]:
    """Steps to an index that was mapped; empty when it is there and in use.

    Args:
        mapped: not unsupported.
        asked: native fields that were asked for by name.

    Raises:
        UnsupportedError: nothing says the metric, or nothing would ever be indexed.
    """
    native = mapped.native
    if native is None:
        return []
    if native["index_type"] == mapping.BITS:
        return _bits_steps(snapshot, vector)
    if snapshot.vectors[vector].lite and snapshot.layout.field(vector).coded:
        raise UnsupportedError(
            "Milvus Lite 2 keeps no properties of a collection: it would forget that the bits are "
            "not to be searched",
            hint="write the rows of `collection.read()` to a new collection",
        )
    if snapshot.layout.field(vector).form == vector_layout.ARRAY:
        raise UnsupportedError(
            f"the floats of {vector!r} are an ARRAY, which Milvus searches by no index",
            hint="strategy='alias' (--strategy alias): a copy whose floats are a vector",
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
            "Milvus Lite 2 has bits in a collection that is created with them, and not later",
            hint="create another collection with this quantization",
        )
    made = SetBits(vector, field.field, on=True)
    return [
        Step(
            Symbol.CLIENT,
            "write sign bits to a second collection",
            snapshot.status(vector).reason
            if there
            else "this server has no 1-bit codes of a float vector; searches go on meanwhile, and "
            "what others write meanwhile is not in the bits",
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
        "search the sign bits beside",
        "they are in a field of their own, written with each row",
        made.to_request(),
        made.reverse(snapshot).to_request(),
    )


def _bits_off(snapshot: Snapshot, vector: str) -> Step:
    field = snapshot.layout.field(vector)
    gone = SetBits(vector, field.field, on=False)
    return Step(
        Symbol.CLIENT,
        "search the sign bits no more"
        if field.form == vector_layout.SIDECAR_FIELD
        else "drop the sign bits",
        "searches use the float index of the collection itself again",
        gone.to_request(),
        gone.reverse(snapshot).to_request(),
    )


def rebuilds(
    snapshot: Snapshot, vector: str, mapped: MappedQuantization, asked: Mapping[str, Any]
) -> bool:
    """Whether an index that was mapped is another one than that which is there."""
    native = mapped.native
    if native is None:
        return False
    field = snapshot.layout.field(vector)
    there = vector in snapshot.bits
    if native["index_type"] == mapping.BITS:
        return field.form == vector_layout.FLOAT and not there
    if field.form == vector_layout.ARRAY:
        return True
    now = field.index.native if field.index else None
    kind = snapshot.vectors[vector].quantization.kind
    same = _floats_both(kind, mapped.target.kind) and now is not None and not asked
    return not (same or mapping.satisfies(now, native, asked))


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
    if mapping.satisfies(now, native, asked):
        return _unfinished(snapshot, vector)
    if _floats_both(kind, mapped.target.kind) and now is not None and not asked:
        return _unfinished(snapshot, vector)
    if not field.metric_known:
        raise UnsupportedError(
            f"the vector {vector!r} has no index, and Milvus keeps the metric with the index",
            hint="`qadapt undo` if a change of qadapt was cut off; else create any index first",
        )
    wanted = {
        "index_name": f"{field.field}_{native['index_type'].lower()}",
        "index_type": native["index_type"],
        "metric_type": schema.METRICS[field.vector.metric],
        "params": dict(native["params"]),
    }
    former = field.index.definition if field.index else None
    replaced = ReplaceIndex(vector, field.field, wanted, former, load=True)
    reason = WHY
    if snapshot.embedded:
        reason += f"; {EMBEDDED}"
    if snapshot.count < SMALLEST and not snapshot.vectors[vector].lite:
        reason += f"; under {SMALLEST:,} rows nothing is indexed and searches compare floats"
    codes = mapping.code_bytes(native, field.vector, snapshot.count)
    originals = 4 * snapshot.count * field.vector.dim
    held = mapped.target.kind is Kind.NONE
    return [
        Step(
            Symbol.BLOCKING,
            f"replace the index {words(former)} by {words(wanted)}",
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
    # Lite loads by itself what is read or searched.
    unloaded = not snapshot.loaded and index is not None and not snapshot.vectors[vector].lite
    if not unloaded and status.state is not State.BUILDING:
        return []
    now = index.definition if index else None
    again = ReplaceIndex(vector, name, now, now, load=True).to_request()
    return [
        Step(
            Symbol.BACKGROUND,
            f"flush, and wait until {words(now)} is in use",
            status.reason or "the collection is not loaded: no search runs",
            again,
            # It does what is configured already: there is no other state to go back to.
            again,
        )
    ]
