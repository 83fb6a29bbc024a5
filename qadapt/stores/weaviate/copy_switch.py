"""Changes that are not possible in place: copy to a new collection, then switch the alias to it.

    {"op": "weaviate.copy", "alias": "Articles", "from": "Articles_v1", "to": "Articles_v2",
     "vectors": {"": {"vectorIndexType": "hnsw", "vectorIndexConfig": {... complete ...}}}}
    {"op": "weaviate.switch", "alias": "Articles", "to": "Articles_v1"}

Rows are copied as raw JSON, so that properties, references and vectors that qadapt does not manage
are kept; float32 values are copied bit for bit (docs/engines/weaviate.md#vectors). The old
collection stays, so an undo only switches the alias.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import AlreadyExistsError, PlanStaleError, UnsupportedError
from qadapt.model import Estimate, Step, Symbol, Vector
from qadapt.stores.copy_switch import CopyAndSwitch
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.versioned_names import next_version
from qadapt.stores.weaviate import (
    aliases,
    collections,
    copy_dims,
    copy_rows,
    mapping,
    native_rescore,
    schema,
    vector_index_config,
)
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.schema import DYNAMIC, FLAT, HFRESH, HNSW, Field, Layout
from qadapt.stores.weaviate.schema_update import Put, put
from qadapt.stores.weaviate.snapshot import Snapshot
from qadapt.stores.weaviate.version import SINCE_ALIAS, SINCE_SKIP_DEFAULT, ServerVersion

if TYPE_CHECKING:
    from qadapt.stores.weaviate.store import WeaviateStore

# Values copied per second: 5,183 rows of 384 dimensions took 17 s on 2 busy cores.
SPEED = 120_000
# Fields in which a server records its own decision; they are not sent to a copy.
_OF_THE_SERVER = ("trackDefaultQuantization",)


@dataclass(frozen=True)
class Switch(Operation):
    """Moves an alias."""

    op: ClassVar[str] = "weaviate.switch"
    keys: ClassVar[Mapping[str, str]] = {"target": "to"}

    alias: str
    target: str

    def run(self, at: Execution[WeaviateStore]) -> None:
        aliases.switch(at.store.connection, self.alias, self.target)


@dataclass(frozen=True)
class Copy(CopyAndSwitch):
    """Creates a copy in which some vectors have another index.

    Attributes:
        vectors: the complete index of each vector that changes, by name.
        was: the rescoreLimit without the setting that raises it, by vector; see ``Put``.
        dims: the number of first dimensions that are copied of a vector, by name.
    """

    op: ClassVar[str] = "weaviate.copy"

    vectors: Mapping[str, Mapping[str, Any]]
    was: Mapping[str, int] | None = None
    dims: Mapping[str, int] | None = None

    def current(self, at: Execution[WeaviateStore]) -> str | None:
        return aliases.aliases(at.store.connection).get(self.alias)

    def create(self, at: Execution[WeaviateStore]) -> None:
        connection = at.store.connection
        _make(connection, schema.describe(connection, self.source), self)

    def load(self, at: Execution[WeaviateStore]) -> None:
        connection = at.store.connection
        source = schema.describe(connection, self.source)
        for tenant in copy_rows.create_tenants(connection, source, self.target):
            copy_rows.copy_rows(connection, source, self.target, tenant, at.wait, self.dims or {})

    def compare(self, at: Execution[WeaviateStore]) -> None:
        connection = at.store.connection
        source = schema.describe(connection, self.source)
        for tenant in copy_rows.tenants_of(connection, source):
            copy_rows.compare_tenant(connection, source.real, self.target, tenant)

    def build(self, at: Execution[WeaviateStore]) -> None:
        for vector in self.vectors:
            put(at, self.target, Put(vector, {}, codes=True))

    def switch(self, at: Execution[WeaviateStore]) -> None:
        if self.current(at) != self.target:
            aliases.switch(at.store.connection, self.alias, self.target)

    def reverse(self, snapshot: Any) -> Switch:
        """Switch the alias back; the old collection still exists."""
        return Switch(self.alias, self.source)


# -- planning ------------------------------------------------------------------------------------


def refuse(snapshot: Snapshot, server_version: ServerVersion, why: str, offer: str = "") -> None:
    """Refuse a collection that cannot be copied and switched.

    Args:
        why: why a copy is needed, for the message.
        offer: an alternative, for the hint.

    Raises:
        UnsupportedError
    """
    found = problem(snapshot, server_version)
    if found is not None:
        message, hint = found
        raise UnsupportedError(
            f"{why}; a copy is not possible: {message}",
            hint="; ".join(filter(None, (hint, offer))),
        )


def problem(snapshot: Snapshot, server_version: ServerVersion) -> tuple[str, str] | None:
    """Why a collection cannot be copied and switched, and a hint; None if it can."""
    layout = snapshot.layout
    own = [name for name, kind in layout.properties.items() if kind == layout.real]
    if not server_version.has(SINCE_ALIAS):
        return (
            f"switching an alias to a copy needs Weaviate {SINCE_ALIAS}; this is "
            f"{server_version.words}",
            "create a collection with that quantization, copy the rows with `qadapt migrate`, and "
            "change readers to the new name",
        )
    if not layout.alias:
        return (
            f"{layout.name!r} is the name of a collection and not an alias, so it cannot be "
            "switched to a copy",
            "create an alias (`db.switch_alias(alias, collection)`), change readers and writers to "
            "it, and plan on the alias; or `qadapt migrate` to a collection with that quantization",
        )
    if own:
        return (
            f"{layout.real!r} has references to itself ({', '.join(own)}): references of a copy "
            "would point to the old rows",
            "copy it with a script that rewrites the references",
        )
    if snapshot.cold:
        return (
            f"{len(snapshot.cold)} tenants of {layout.name!r} are not active, so a copy would "
            f"miss them: {', '.join(snapshot.cold[:5])}",
            "activate them first",
        )
    return None


def step(
    snapshot: Snapshot,
    vector: str,
    wanted: Mapping[str, Any],
    action: str,
    why: str,
    taken: Collection[str],
    target_vector: Vector | None = None,
) -> Step:
    """The step that copies and switches.

    Args:
        wanted: the index, in the form of ``mapping``.
        action: the change of the vector in a few words.
        taken: the names of all collections and aliases, to find a free one.
        target_vector: the vector with another metric or fewer dimensions; None keeps both.
    """
    layout = snapshot.layout
    made = planned(snapshot, vector, wanted, taken, target_vector)
    size = 4 * snapshot.count * sum(each.dim or 0 for each in layout.vectors.values())
    field = layout.vectors[vector]
    codes = snapshot.count * mapping.code_bytes(wanted, field.vector)
    seconds = max(1, round(size / 4 / SPEED))
    return Step(
        Symbol.RECREATE,
        f"copy to {made.target!r} with {action}, then switch the alias {layout.name!r}",
        f"{why}; about {seconds:,} s (on 2 busy cores); {layout.real!r} is kept for an "
        "undo; rows written during the copy, or before an undo, are in one collection only",
        made.to_request(),
        made.reverse(snapshot).to_request(),
        Estimate(
            codes_ram=codes,
            codes_disk=codes,
            originals_ram=0 if codes else size,
            originals_disk=2 * size,
            stops="writes",
        ),
    )


def planned(
    snapshot: Snapshot,
    vector: str,
    wanted: Mapping[str, Any],
    taken: Collection[str],
    target_vector: Vector | None = None,
) -> Copy:
    """The operation that copies with another index of one vector."""
    layout = snapshot.layout
    field = layout.vectors[vector]
    made = index(field, wanted, target_vector or Vector(1, field.metric), snapshot.count)
    dims = None
    if target_vector is not None and field.dim is not None and target_vector.dim < field.dim:
        dims = {vector: target_vector.dim}
    copy = next_version(layout.real, taken)
    return Copy(layout.name, layout.real, copy, {vector: made}, dims=dims)


def index(field: Field, wanted: Mapping[str, Any], vector: Vector, count: int) -> dict[str, Any]:
    """The index to create: the existing one without quantizers, plus the requested fields."""
    index = str(wanted["vectorIndexType"])
    kept = _bare(field.config, index) if index == field.index else {}
    config = vector_index_config.merged(kept, wanted["vectorIndexConfig"])
    made = {"vectorIndexType": index, "vectorIndexConfig": config}
    config = vector_index_config.merged(config, mapping.trainable(made, count))
    return {
        "vectorIndexType": index,
        "vectorIndexConfig": collections.with_distance(index, config, vector),
    }


def _bare(config: Mapping[str, Any], index: str) -> dict[str, Any]:
    gone = {*_OF_THE_SERVER, vector_index_config.SKIP}
    if index != HFRESH:
        gone |= set(vector_index_config.QUANTIZERS)
    bare = {key: value for key, value in config.items() if key not in gone}
    if index == DYNAMIC:
        for half in (HNSW, FLAT):
            bare[half] = _bare(bare.get(half) or {}, half)
    return bare


# -- execution -----------------------------------------------------------------------------------


def _make(connection: Connection, source: Layout, operation: Copy) -> None:
    wanted = body(source.raw, operation, ServerVersion(connection.version))
    target = operation.target
    try:
        collections.post(connection, target, wanted)
    except AlreadyExistsError:
        there = schema.describe(connection, target)
        now = collections.configs(there.raw)
        for label, config in collections.configs(wanted).items():
            if label not in now or vector_index_config.differences(now[label], config):
                raise PlanStaleError(
                    f"the collection {target!r} exists with a schema that differs from the plan",
                    hint="if another client created it, plan again: the next plan uses a free name",
                ) from None


def body(raw: Mapping[str, Any], operation: Copy, server_version: ServerVersion) -> dict[str, Any]:
    """The raw schema of the copy: the source's schema with some vectors changed.

    Vectors without a quantizer state it explicitly: a server may add one by default.
    """
    made = copy_dims.with_dims(raw, operation.dims or {})
    made["class"] = operation.target
    if (made.get("multiTenancyConfig") or {}).get("enabled"):
        # Each tenant is a shard, and the server refuses a schema that sets both.
        made.pop("shardingConfig", None)
    places = {"": made} if made.get("vectorIndexType") else {}
    places.update(made.get("vectorConfig") or {})
    for label, place in places.items():
        place.update(json.loads(json.dumps(operation.vectors.get(label, {}))))
        settle(place, server_version)
    return _with_limits(made, operation)


def _with_limits(made: dict[str, Any], operation: Copy) -> dict[str, Any]:
    """The schema with the raised limits of the changed vectors, and without their former ones."""
    noted = schema.note_of(made)
    limits = {k: v for k, v in (noted.get("limits") or {}).items() if k not in operation.vectors}
    for name, was in (operation.was or {}).items():
        limits[name] = {"was": was, "raised": native_rescore.limit_of(operation.vectors[name])}
    return schema.with_settings(made, noted.get("settings") or {}, limits)


def settle(place: Mapping[str, Any], server_version: ServerVersion) -> None:
    """Set each field of an index explicitly, also that it has no quantizer.

    Args:
        place: ``vectorIndexType`` and ``vectorIndexConfig``; modified in place.
    """
    config = place["vectorIndexConfig"]
    halves = [config] if place["vectorIndexType"] != DYNAMIC else [config[HNSW], config[FLAT]]
    for half in halves:
        for name in _OF_THE_SERVER:
            half.pop(name, None)
        bare = not any(
            (half.get(each) or {}).get("enabled") for each in vector_index_config.QUANTIZERS
        )
        if bare and place["vectorIndexType"] != HFRESH and server_version.has(SINCE_SKIP_DEFAULT):
            half[vector_index_config.SKIP] = True
