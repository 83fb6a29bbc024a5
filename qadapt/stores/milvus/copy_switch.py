"""Copy a collection with one vector changed, then switch an alias to the copy.

This changes settings that are fixed at creation, and searches never stop.

    {"op": "milvus.recreate", "alias": "articles", "from": "articles_v1", "to": "articles_v2",
     "vector": "", "field": "vector", "becomes": {"datatype": "float32", "metric": "COSINE",
     "form": "float", "indexes": {"vector": {... an index ...}}}}
    {"op": "milvus.switch", "alias": "articles", "to": "articles_v1", "copy": "articles_v2"}

A property of the new collection names the source, so that an interrupted change continues: the keys
of both collections are compared and the missing rows copied. If the change is rolled back before
the switch, the copy is dropped. The source is never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import StoreError, UnsupportedError
from qadapt.model import Estimate, Kind, Quantization, Step, Symbol, Vector
from qadapt.stores.base import MappedQuantization, Progress
from qadapt.stores.copy_switch import CopyAndSwitch
from qadapt.stores.milvus import (
    aliases,
    binary_sidecar,
    collections,
    copy_rows,
    copy_schema,
    index_params,
    mapping,
    native_mapping,
    schema,
    vector_index,
    vector_layout,
)
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.loading import load_in_lite
from qadapt.stores.milvus.snapshot import Snapshot
from qadapt.stores.milvus.version import BITS, ServerVersion
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.versioned_names import next_version

if TYPE_CHECKING:
    from qadapt.stores.milvus.store import MilvusStore

# The property of the new collection that names its source until the copy is complete.
MARK = f"{schema.OURS}copy_of"

NOT_COVERED = (
    "a second pass copies rows added or deleted during the copy; rows replaced during the "
    "copy, and "
    "rows written at the moment of the switch or before an undo, are missing in one of the two "
    "collections: stop writers that do this"
)


@dataclass(frozen=True)
class Switch(Operation):
    """Move an alias back, and drop the copy if the alias never pointed to it.

    Attributes:
        copy: the collection that was created as a copy of ``target``.
    """

    op: ClassVar[str] = "milvus.switch"
    keys: ClassVar[Mapping[str, str]] = {"target": "to"}

    alias: str
    target: str
    copy: str

    def run(self, at: Execution[MilvusStore]) -> None:
        connection = at.store.connection
        _abandon(connection, self, aliases.aliases(connection).get(self.alias))
        aliases.switch(connection, self.alias, self.target)


@dataclass(frozen=True)
class Recreate(CopyAndSwitch):
    """Copy a collection with one vector changed, and switch the alias.

    Attributes:
        field: the name of the vector's field.
        target_vector: datatype, metric, form and indexes of the vector in the copy.
    """

    op: ClassVar[str] = "milvus.recreate"

    vector: str
    field: str
    target_vector: Mapping[str, Any]

    def current(self, at: Execution[MilvusStore]) -> str | None:
        return aliases.aliases(at.store.connection).get(self.alias)

    def create(self, at: Execution[MilvusStore]) -> None:
        connection = at.store.connection
        if connection.lite:
            load_in_lite(connection, self.source)
        _make(connection, self, copy_schema.describe(connection, self.source))

    def load(self, at: Execution[MilvusStore]) -> None:
        connection, target = at.store.connection, self.target
        old, new, field = self._layouts(connection)
        copy_rows.copy(connection, old, new, field, at.progress, at.deadline)
        connection.call(
            f"flush {target!r}", connection.client.flush, target, within=at.deadline.at_least(1)
        )
        for name in self.target_vector["indexes"]:
            vector_index.settle(connection, target, self.vector, name, at.progress, at.deadline)
        for name, each in old.vectors.items():
            kept = each.field in old.bits and name != self.vector
            if kept and new.bits.get(each.field) != binary_sidecar.ON:
                made = binary_sidecar.SetBits(name, each.field, on=True)
                binary_sidecar.put(connection, target, made, at.progress, at.deadline)

    def compare(self, at: Execution[MilvusStore]) -> None:
        connection = at.store.connection
        old, new, field = self._layouts(connection)
        at.progress(Progress("checking for rows written during the copy"))
        copy_rows.copy(connection, old, new, field, at.progress, at.deadline)
        copy_rows.compare(connection, old, new)
        _mark(connection, self.target)

    def _layouts(self, connection: Connection) -> tuple[schema.Layout, schema.Layout, schema.Field]:
        old = schema.describe(connection, self.source)
        new = schema.describe(connection, self.target)
        return old, new, new.field(self.vector)

    def switch(self, at: Execution[MilvusStore]) -> None:
        aliases.switch(at.store.connection, self.alias, self.target)

    def reverse(self, snapshot: Any) -> Switch:
        """Move the alias back to the source, which is kept."""
        return Switch(self.alias, self.source, self.target)


# -- planning ------------------------------------------------------------------------------------


def wanted(
    snapshot: Snapshot,
    name: str,
    vector: Vector,
    mapped: MappedQuantization,
    server_version: ServerVersion,
) -> dict[str, Any]:
    """The definition of a vector in the copy, with another quantization.

    Raises:
        UnsupportedError: this server cannot store sign bits of so many dimensions.
    """
    field = snapshot.layout.field(name).field
    form = collections.form_of(mapped, vector, server_version, array=True)
    if form == vector_layout.FLOAT and mapped.native and mapped.native["index_type"] == BITS:
        raise UnsupportedError(
            f"{vector.dim:,} dimensions do not fit into an ARRAY (at most "
            f"{vector_layout.MAX_ARRAY:,} values), and a collection of {server_version.words} has "
            "no second vector field for sign bits",
            hint="change it in place: omit strategy='alias' (--strategy alias)",
        )
    definitions = collections.definitions(field, vector, mapped, form, server_version)
    return _target_definitions(vector, form, definitions)


def target_definitions(
    snapshot: Snapshot,
    name: str,
    vector: Vector,
    server_version: ServerVersion,
    codes: Quantization | None = None,
) -> dict[str, Any]:
    """The definition of a vector in the copy, with another datatype, metric or fewer dimensions.

    Args:
        codes: quantization of the copy; None keeps the current one.

    Raises:
        UnsupportedError: the index does not support the datatype, or the values do not fit.
    """
    field = snapshot.layout.field(name)
    if vector.datatype == "int8" and vector.metric.value != "cosine":
        raise UnsupportedError(
            f"vectors with the metric {vector.metric} cannot be converted to int8: scaling would "
            "change the scores",
            hint="use metric='cosine', or write integer vectors to a new collection",
        )
    if vector.datatype != field.vector.datatype and "bit" in (
        vector.datatype,
        field.vector.datatype,
    ):
        raise UnsupportedError(
            f"{field.vector.datatype} vectors are not converted to {vector.datatype}",
            hint="`qadapt import FILE --kind ubinary` creates a collection of bits",
        )
    if field.form == vector_layout.FLOAT and name in snapshot.bits:
        raise UnsupportedError(
            f"the sign bits of {name!r} are in a second collection, which cannot be copied",
            hint="apply `none`, then the new metric or datatype, then `binary`",
        )
    if field.form == vector_layout.ARRAY and vector.datatype != "float32":
        raise UnsupportedError(
            f"the original vectors are stored in an ARRAY, which supports float32 but not "
            f"{vector.datatype}",
            hint="apply `none` with strategy='alias' (--strategy alias) first",
        )
    kept = field.index.native if field.index else None
    quantization = codes or native_mapping.from_native(kept, vector, server_version)
    if codes is None and quantization.kind is Kind.FLOAT16:
        quantization = Quantization(Kind.NONE)
    mapped = mapping.to_native(quantization, vector, server_version, kept)
    if mapped.native is None:
        raise UnsupportedError(
            f"{quantization} is not supported for {vector.datatype} vectors: "
            f"{'; '.join(mapped.match.differences)}",
            hint="apply `none` first",
        )
    definitions = collections.definitions(field.field, vector, mapped, field.form, server_version)
    return _target_definitions(vector, field.form, definitions)


def _target_definitions(
    vector: Vector, form: vector_layout.VectorForm, definitions: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "dim": vector.dim,
        "datatype": vector.datatype,
        "metric": schema.metric_word(vector),
        "form": form,
        "indexes": {field: dict(each) for field, each in definitions.items()},
    }


def step(
    connection: Connection, snapshot: Snapshot, vector: str, target_vector: Mapping[str, Any]
) -> Step:
    """Plan the copy and the switch.

    Raises:
        UnsupportedError: the name is not an alias, or the collection cannot be copied.
    """
    layout = snapshot.layout
    if layout.real == layout.base:
        raise UnsupportedError(
            f"{layout.base!r} is a collection, not an alias, and only an alias can be "
            "switched to a "
            "copy",
            hint=f"create an alias with switch_alias('{layout.base}_live', {layout.base!r}), make "
            "all clients use the alias, and plan the change of the alias; or, if searches may fail "
            f"for a moment, run client.rename_collection({layout.base!r}, '{layout.base}_v1') and "
            f"switch_alias({layout.base!r}, '{layout.base}_v1')",
        )
    if not snapshot.loaded and not connection.lite:
        raise UnsupportedError(
            f"{layout.real!r} is not loaded, so its rows cannot be copied",
            hint="load it: client.load_collection(name)",
        )
    raw = copy_schema.describe(connection, layout.real)
    copy_schema.check_clonable(raw, layout.base)
    field = layout.field(vector)
    target = _free_name(connection, layout.real)
    size = 4 * snapshot.count * field.vector.dim
    codes = _code_bytes(field.field, field.vector, target_vector, snapshot.count)
    operation = Recreate(layout.base, layout.real, target, vector, field.field, dict(target_vector))
    return Step(
        Symbol.RECREATE,
        f"copy to {target!r} with {_words(field, target_vector)}, then switch the alias "
        f"{layout.base!r}",
        f"searches continue; {layout.real!r} is kept for `qadapt undo` and its original vectors "
        f"still use {size:,} bytes; {NOT_COVERED}{_about_properties(raw)}",
        operation.to_request(),
        operation.reverse(snapshot).to_request(),
        Estimate(codes_ram=codes, codes_disk=codes, originals_ram=size, originals_disk=2 * size),
    )


def _code_bytes(name: str, vector: Vector, target_vector: Mapping[str, Any], count: int) -> int:
    if target_vector["form"] != vector_layout.FLOAT:
        return vector_layout.code_bytes(vector.dim) * count
    return native_mapping.code_bytes(target_vector["indexes"][name], vector, count)


def _words(field: schema.Field, target_vector: Mapping[str, Any]) -> str:
    found = [vector_index.words(each) for each in target_vector["indexes"].values()]
    if target_vector["dim"] != field.vector.dim:
        found.append(f"the first {target_vector['dim']} dimensions")
    if target_vector["datatype"] != field.vector.datatype:
        found.append(f"datatype {target_vector['datatype']}")
    if target_vector["metric"] != schema.metric_word(field.vector):
        found.append(f"metric {target_vector['metric']}")
    if target_vector["form"] == vector_layout.ARRAY:
        found.append("original vectors as ARRAY and sign bits as BINARY_VECTOR")
    elif target_vector["form"] == vector_layout.SIDECAR_FIELD:
        found.append("sign bits as BINARY_VECTOR")
    return ", ".join(found)


def _about_properties(raw: Mapping[str, Any]) -> str:
    if "collection.ttl.seconds" in (raw.get("properties") or {}):
        return "; the time to live (TTL) of the rows restarts in the copy"
    return ""


def _free_name(connection: Connection, real: str) -> str:
    taken = {*aliases.collections(connection), *aliases.aliases(connection)}
    return schema.check_name(next_version(real, taken))


# -- running -----------------------------------------------------------------------------


def _abandon(connection: Connection, back: Switch, current: str | None) -> None:
    """Drop a copy if the alias never pointed to it."""
    copy = back.copy
    if current != back.target or copy not in aliases.collections(connection):
        return
    if copy_schema.describe(connection, copy).get("properties", {}).get(MARK) != back.target:
        return
    binary_sidecar.drop_all(connection, schema.describe(connection, copy))
    connection.call(f"drop {copy!r}", connection.client.drop_collection, copy)


def _mark(connection: Connection, target: str) -> None:
    connection.call(
        f"mark {target!r} as complete",
        connection.client.alter_collection_properties,
        target,
        {MARK: ""},
    )


def _make(connection: Connection, operation: Recreate, raw: Mapping[str, Any]) -> None:
    """Create and load the copy with its partitions and indexes; skip what exists already."""
    source, target, wanted = operation.source, operation.target, operation.target_vector
    field = schema.describe(connection, source).field(operation.vector)
    dim = int(wanted.get("dim", field.vector.dim))  # plans of 0.1 do not contain it
    vector = Vector(dim, schema.metric_of(wanted["metric"]), wanted["datatype"])
    changed = {
        "field": field.field,
        "fields": vector_layout.fields(field.field, vector, wanted["form"]),
        "drops": [vector_layout.codes_field(field.field)]
        if field.form != vector_layout.FLOAT
        else [],
    }
    if target not in aliases.collections(connection):
        properties = {
            MARK: source,
            schema.metric_property(field.field): wanted["metric"],
            schema.bits_property(field.field): binary_sidecar.OFF
            if wanted["form"] == vector_layout.FLOAT
            else binary_sidecar.ON,
        }
        for each in schema.describe(connection, source).bits:
            properties.setdefault(schema.bits_property(each), binary_sidecar.OFF)
        copy_schema.create(connection, raw, target, changed, properties)
    reported = copy_schema.describe(connection, target).get("properties") or {}
    if reported.get(MARK) not in (source, ""):
        raise StoreError(
            f"{target!r} exists already and is not an unfinished copy of {source!r}",
            hint="run `qadapt plan` again: it chooses another name",
        )
    if not any(each.get("is_partition_key") for each in raw["fields"]):
        copy_schema.partitions(connection, source, target)
    _indexes(connection, operation, changed)
    if not schema.loaded(connection, target):
        connection.call(f"load {target!r}", connection.client.load_collection, target)


def _indexes(connection: Connection, operation: Recreate, changed: Mapping[str, Any]) -> None:
    ours = operation.target_vector["indexes"]
    there = index_params.indexes(connection, operation.target)
    others = {
        name: index.definition
        for name, index in index_params.indexes(connection, operation.source).items()
        if name != changed["field"] and name not in changed["drops"]
    }
    for name, definition in {**others, **ours}.items():
        if name not in there:
            index_params.create_index(
                connection, operation.target, name, definition, limit=connection.timeout
            )
