"""Changing what is fixed at creation: a new collection, a copy, and an alias switch.

    {"op": "qdrant.recreate", "alias": "articles", "from": "articles_v1", "to": "articles_v2",
     "vectors": {"": {"datatype": "float16"}}}
    {"op": "qdrant.switch", "alias": "articles", "to": "articles_v1"}

Rows are copied as raw JSON, which includes multivectors, sparse vectors and payloads. The former
collection is kept, so that an undo is cheap. Creating an alias that exists moves it in one action;
a list of actions is not atomic if one fails. Therefore the target is checked first and a single
action is sent (docs/engines/qdrant.md#aliases).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import NotFoundError, SpecError, StoreError, UnsupportedError
from qadapt.model import Estimate, Step, Symbol, Vector, VectorInfo
from qadapt.stores.copy_switch import CopyAndSwitch, compare_counts, copy_pages
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import Wait
from qadapt.stores.qdrant.server import payload_indexes, strict_mode, vector_index
from qadapt.stores.qdrant.server import schema as qdrant_schema
from qadapt.stores.qdrant.server.connection import Connection
from qadapt.stores.qdrant.server.errors import first_of_its_step
from qadapt.stores.qdrant.server.snapshot import Snapshot, aliases
from qadapt.stores.versioned_names import next_version

if TYPE_CHECKING:
    from qadapt.stores.qdrant.server.store import QdrantStore

PAGE = 500

# Collection parameters in the read-back that CreateCollection accepts, and those that only a PATCH
# accepts. The server silently drops any other field of a creation.
_CREATED = (
    "shard_number",
    "sharding_method",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
    "sparse_vectors",
)
_PATCHED = ("read_fan_out_factor", "read_fan_out_delay_ms")
# The settings that a new collection takes over, by their names in the read-back and in the
# creation.
_TAKEN_OVER = {
    "hnsw_config": "hnsw_config",
    "optimizer_config": "optimizers_config",
    "wal_config": "wal_config",
    "quantization_config": "quantization_config",
    "strict_mode_config": "strict_mode_config",
    "metadata": "metadata",
}


@dataclass(frozen=True)
class Switch(Operation):
    """Moves an alias."""

    op: ClassVar[str] = "qdrant.switch"
    keys: ClassVar[Mapping[str, str]] = {"target": "to"}

    alias: str
    target: str

    def run(self, at: Execution[QdrantStore]) -> None:
        connection = at.store.connection
        switch(connection, self.alias, self.target)
        vector = next(iter(qdrant_schema.described(_info(connection, at.collection))))
        vector_index.settle(connection, at.collection, vector, at.progress, at.deadline.left)


@dataclass(frozen=True)
class Recreate(CopyAndSwitch):
    """Copies a collection and changes some of its vectors.

    Attributes:
        vectors: the parameters that change, by the vector's name.
    """

    op: ClassVar[str] = "qdrant.recreate"

    vectors: Mapping[str, Mapping[str, Any]]

    def current(self, at: Execution[QdrantStore]) -> str | None:
        return aliases(at.store.connection).get(self.alias)

    def create(self, at: Execution[QdrantStore]) -> None:
        _make(at.store.connection, self)

    def load(self, at: Execution[QdrantStore]) -> None:
        _copy(at.store.connection, self, at.wait)

    def compare(self, at: Execution[QdrantStore]) -> None:
        _compare(at.store.connection, self.source, self.target)

    def switch(self, at: Execution[QdrantStore]) -> None:
        switch(at.store.connection, self.alias, self.target)
        vector = next(iter(self.vectors))
        vector_index.settle(
            at.store.connection, at.collection, vector, at.progress, at.deadline.left
        )

    def reverse(self, snapshot: Any) -> Switch:
        """The switch back to the source, which is kept."""
        return Switch(self.alias, self.source)


def step(snapshot: Snapshot, now: VectorInfo, wanted: Vector, taken: Mapping[str, str]) -> Step:
    """The step to a vector with another datatype or metric.

    Args:
        taken: all names of collections and aliases, to find a free one.

    Raises:
        UnsupportedError: the name is a collection and not an alias, or rows cannot be copied.
    """
    if snapshot.info["config"]["params"].get("sharding_method") == "custom":
        raise UnsupportedError(
            f"{snapshot.name!r} uses custom sharding: a copy would lose the shard key of each row",
            hint="copy it with `qadapt migrate`, one shard key at a time",
        )
    if snapshot.real == snapshot.name:
        raise UnsupportedError(
            f"datatype and metric are fixed at creation, and {snapshot.name!r} is a collection, "
            "not an alias that can be switched to a copy",
            hint=f"create an alias for {snapshot.name!r}, use it in all readers and writers, and "
            "plan the change on the alias",
        )
    change = _change(now.vector, wanted)
    target = next_version(snapshot.real, taken)
    lost = (
        ""
        if now.metric == wanted.metric
        else ("; cosine vectors were normalized when they were stored")
    )
    size = 4 * now.count * wanted.dim
    operation = Recreate(snapshot.name, snapshot.real, target, {now.name: change})
    return Step(
        Symbol.RECREATE,
        f"copy to {target!r} with {_words(change)}, then switch the alias {snapshot.name!r}",
        f"dimensions, datatype and metric are fixed at creation{lost}; {snapshot.real!r} is kept "
        "for an undo; rows written during the change or before an undo exist in one of the two "
        "collections only",
        operation.to_request(),
        operation.reverse(None).to_request(),
        Estimate(originals_ram=size, originals_disk=2 * size, stops="writes"),
    )


def _change(now: Vector, wanted: Vector) -> dict[str, Any]:
    change: dict[str, Any] = {}
    if wanted.dim != now.dim:
        change["size"] = wanted.dim
    if wanted.datatype != now.datatype:
        change["datatype"] = wanted.datatype
    if wanted.metric != now.metric:
        change["distance"] = qdrant_schema.DISTANCES[wanted.metric]
    if not change:
        raise SpecError(
            "the requested datatype and metric are those of the existing vector",
            hint="there is nothing to change; choose another metric or datatype",
        )
    return change


def _words(change: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in change.items())


# -- carrying it out -----------------------------------------------------------------------------


def switch(connection: Connection, alias: str, target: str) -> None:
    """Move an alias in one action if the target exists, and verify the result.

    Raises:
        NotFoundError: the target does not exist; nothing was sent.
        StoreError: the alias does not point to the target.
    """
    if aliases(connection).get(alias) == target:
        return
    if not _exists(connection, target):
        raise NotFoundError(
            f"the alias {alias!r} was not switched: the collection {target!r} does not exist",
            hint="the collection may have been dropped; the alias is unchanged",
        )
    action = {"create_alias": {"collection_name": target, "alias_name": alias}}
    doing = f"switch the alias {alias!r}"
    connection.ask("POST", "/collections/aliases", {"actions": [action]}, doing=doing)
    found = aliases(connection).get(alias)
    if found != target:
        raise StoreError(
            f"the alias {alias!r} points to {found!r}, not to {target!r}",
            hint="another client moved the alias; repeat the command",
        )


def drop_alias(connection: Connection, alias: str) -> None:
    """Delete an existing alias."""
    action = {"delete_alias": {"alias_name": alias}}
    doing = f"drop the alias {alias!r}"
    connection.ask("POST", "/collections/aliases", {"actions": [action]}, doing=doing)


def _exists(connection: Connection, name: str) -> bool:
    path = "/collections/{collection_name}/exists"
    names = {"collection_name": name}
    found = connection.ask("GET", path, doing=f"look up {name!r}", names=names)
    return bool(found["exists"])


def _info(connection: Connection, name: str) -> dict[str, Any]:
    names = {"collection_name": name}
    found: dict[str, Any] = connection.ask(
        "GET", "/collections/{collection_name}", doing=f"read {name!r}", names=names
    )
    return found


def _make(connection: Connection, wanted: Recreate) -> None:
    source, target = _info(connection, wanted.source), wanted.target
    body = creation(source, wanted.vectors)
    names = {"collection_name": target}
    path = "/collections/{collection_name}"
    if not _exists(connection, target):
        with first_of_its_step():
            connection.ask("PUT", path, body, doing=f"create {target!r}", names=names)
    made = _info(connection, target)
    params = qdrant_schema.settings(source)["params"]
    later = {key: params[key] for key in _PATCHED if key in params}
    if qdrant_schema.param_differences(later, made):
        connection.ask("PATCH", path, {"params": later}, doing=f"change {target!r}", names=names)
        made = _info(connection, target)
    dropped = [
        *qdrant_schema.differences({"vectors": _by_name(body["vectors"])}, made),
        *qdrant_schema.param_differences(params, made),
    ]
    if dropped:
        raise StoreError(
            f"{target!r} differs from the planned copy: {'; '.join(dropped)}",
            hint=f"if another program created {target!r}, create a new plan: it uses another name",
        )
    known = made.get("payload_schema") or {}
    for field, schema in (source.get("payload_schema") or {}).items():
        if field not in known:
            payload_indexes.create_index(
                connection, target, field, schema.get("params") or schema["data_type"]
            )


def creation(
    source: qdrant_schema.Info, changes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The body that creates a collection like ``source``, with some vectors changed."""
    kept = qdrant_schema.settings(source)
    vectors = {
        name: {**each, **changes.get(name, {})}
        for name, each in qdrant_schema.params({"config": kept}).items()
    }
    params = kept["params"]
    body: dict[str, Any] = {key: params[key] for key in _CREATED if key in params}
    body["vectors"] = vectors[""] if set(vectors) == {""} else vectors
    with_metadata = {**kept, "metadata": qdrant_schema.metadata(source)}
    for key, name in _TAKEN_OVER.items():
        if with_metadata.get(key):
            body[name] = with_metadata[key]
    return body


def _by_name(vectors: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"": vectors} if isinstance(vectors.get("size"), int) else vectors


def _pages(
    connection: Connection, name: str, most: int, *, rows: bool = True
) -> Iterator[list[dict[str, Any]]]:
    """Read points in pages.

    Args:
        most: maximum number of points per page, within the limits of strict mode.
        rows: include vectors and payloads.
    """
    offset = None
    names = {"collection_name": name}
    while True:
        body: dict[str, Any] = {"limit": most, "with_vector": rows, "with_payload": rows}
        if offset is not None:
            body["offset"] = offset
        path = "/collections/{collection_name}/points/scroll"
        found = connection.ask(
            "POST", path, body, doing=f"read {name!r}", names=names, repeatable=True
        )
        if found["points"]:
            yield found["points"]
        offset = found.get("next_page_offset")
        if offset is None:
            return


def _copy(connection: Connection, operation: Recreate, wait: Wait) -> None:
    source, target = operation.source, operation.target
    widths = {
        name: int(change["size"]) for name, change in operation.vectors.items() if "size" in change
    }
    path = "/collections/{collection_name}/points?wait=true"
    names = {"collection_name": target}
    most = strict_mode.cap(_limits(connection, target), "upsert_max_batchsize", PAGE)

    def send(page: list[dict[str, Any]]) -> int:
        points = [
            {
                "id": each["id"],
                "vector": _cut(each.get("vector"), widths),
                "payload": each.get("payload"),
            }
            for each in page
        ]
        doing = f"copy to {target!r}"
        for start in range(0, len(points), most):
            body = {"points": points[start : start + most]}
            connection.ask("PUT", path, body, doing=doing, names=names, repeatable=True)
        return len(page)

    pages = _pages(connection, source, _page(_limits(connection, source)))
    copy_pages(pages, send, count(connection, source), target, wait)


def _cut(vector: Any, widths: Mapping[str, int]) -> Any:
    """The vectors of a point, some of them cut to their first dimensions.

    Qdrant scales cosine vectors to length 1 when they are written.
    """
    if not widths or vector is None:
        return vector
    if isinstance(vector, list):
        return vector[: widths.get("", len(vector))]
    return {
        name: each[: widths[name]] if name in widths and isinstance(each, list) else each
        for name, each in vector.items()
    }


def _limits(connection: Connection, name: str) -> strict_mode.Limits:
    return strict_mode.limits(_info(connection, name))


def _page(limits: strict_mode.Limits) -> int:
    return strict_mode.cap(limits, "max_query_limit", PAGE)


def _compare(connection: Connection, source: str, target: str) -> None:
    """Compare the row counts and one row of each page."""
    compare_counts(count(connection, target), count(connection, source), target, source)
    path = "/collections/{collection_name}/points"
    for page in _pages(connection, source, _page(_limits(connection, source))):
        wanted = page[0]
        body = {"ids": [wanted["id"]], "with_payload": True}
        names = {"collection_name": target}
        found = connection.ask(
            "POST", path, body, doing=f"read {target!r}", names=names, repeatable=True
        )
        if not found or (found[0].get("payload") or {}) != (wanted.get("payload") or {}):
            raise StoreError(
                f"the row {wanted['id']!r} differs between {target!r} and {source!r}: the alias "
                "was not switched",
                hint="stop writes to the source, then run `qadapt apply` again",
            )


def count(connection: Connection, name: str) -> int:
    """The exact number of rows; counted by reading ids if strict mode forbids exact counts."""
    limits = _limits(connection, name)
    if not strict_mode.allows_exact(limits):
        return sum(map(len, _pages(connection, name, _page(limits), rows=False)))
    path = "/collections/{collection_name}/points/count"
    names = {"collection_name": name}
    found = connection.ask(
        "POST", path, {"exact": True}, doing=f"count {name!r}", names=names, repeatable=True
    )
    return int(found["count"])
