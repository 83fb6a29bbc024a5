"""Creating and dropping collections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qadapt.errors import InputError, NotFoundError, StoreError, UnsupportedError
from qadapt.model import ExtraVector, Vector
from qadapt.stores.change import Inspection
from qadapt.stores.qdrant import extra_vectors, version
from qadapt.stores.qdrant.server import local_mode, memory, rows, schema, strict_mode
from qadapt.stores.qdrant.server.connection import Connection, check_name
from qadapt.stores.qdrant.server.filters import has_vector
from qadapt.stores.qdrant.server.snapshot import aliases, collection_info

if TYPE_CHECKING:
    from qadapt.stores.qdrant.server.store import QdrantStore

PATH = "/collections/{collection_name}"


def create(
    connection: Connection,
    name: str,
    vectors: Mapping[str, Vector],
    natives: Mapping[str, Mapping[str, Any]],
    more: Mapping[str, ExtraVector] | None = None,
) -> None:
    """Create a collection, and compare the read-back with the request.

    Args:
        natives: each vector's part of the configuration, see ``mapping``.
        more: sparse vectors and multivectors.

    Raises:
        AlreadyExistsError, UnsupportedError
        StoreError: the server stored other settings; the empty collection is dropped.
    """
    more = {
        name: extra_vectors.placed(each, connection.version) for name, each in (more or {}).items()
    }
    if not vectors and not more:
        raise InputError(
            "a collection needs at least one vector",
            hint="for example dim=384",
        )
    check_name(name)
    if connection.local:
        local_mode.create(connection, name, vectors, more)
        return
    for vector in vectors.values():
        problem = version.datatype(vector, connection.version)
        if problem:
            raise UnsupportedError(problem, hint="create it with datatype float32")
    body = creation(vectors, natives, more)
    names = {"collection_name": name}
    connection.ask("PUT", PATH, body, doing=f"create {name!r}", names=names)
    info = connection.ask("GET", PATH, doing=f"read {name!r}", names=names)
    wanted = body["vectors"]
    by_name = {"": wanted} if isinstance(wanted.get("size"), int) else wanted
    dropped = schema.differences({**body, "vectors": by_name}, info)
    if dropped:
        connection.ask("DELETE", PATH, doing=f"drop {name!r}", names=names)
        raise StoreError(
            f"Qdrant {connection.version} did not store the configuration of {name!r} as it was "
            f"sent: {'; '.join(dropped)}; the new collection was dropped",
            hint="remove from `native` the fields that this version does not know",
        )


def creation(
    vectors: Mapping[str, Vector],
    natives: Mapping[str, Mapping[str, Any]],
    more: Mapping[str, ExtraVector] | None = None,
) -> dict[str, Any]:
    """The body of the creation; a single vector's quantization is set at the collection level."""
    body: dict[str, Any] = {}
    many = {name: extra_vectors.multi_params(each) for name, each in (more or {}).items()
            if each.kind == "multi"}  # fmt: skip
    sparse = {
        name: extra_vectors.sparse_params(each, flat=False)
        for name, each in (more or {}).items()
        if each.kind == "sparse"
    }
    params: dict[str, dict[str, Any]] = {}
    for name, vector in vectors.items():
        each: dict[str, Any] = {
            "size": vector.dim,
            "distance": schema.DISTANCES[vector.metric],
        }
        if vector.datatype != "float32":
            each["datatype"] = vector.datatype
        native = dict(natives.get(name, {}))
        native.pop("datatype", None)
        if native.get("memory") == "cached":
            # A server may put vectors on disk by default (collection.vectors.on_disk), and on_disk:
            # true with memory: cached is rebuilt endlessly.
            native["on_disk"] = False
        if set(vectors) == {""} and not many and "quantization_config" in native:
            body["quantization_config"] = native.pop("quantization_config")
        params[name] = {**each, **native}
    params.update(many)
    body["vectors"] = params[""] if set(params) == {""} else params
    if sparse:
        body["sparse_vectors"] = sparse
    return body


def drop(connection: Connection, name: str, known: Callable[[], list[str]]) -> None:
    """Delete a collection. For an alias or an unknown name, the server would return 200 and do
    nothing.

    Raises:
        NotFoundError
        InputError: the name is an alias.
    """
    if name not in known():
        raise NotFoundError.missing("collection", name, known())
    if connection.local:
        client = connection.client
        connection.call(f"drop {name!r}", client.delete_collection, name)
        return
    pointed = aliases(connection)
    if name in pointed:
        raise InputError(
            f"{name!r} is an alias of {pointed[name]!r}; nothing was dropped",
            hint=f"drop {pointed[name]!r} instead",
        )
    names = {"collection_name": name}
    if not connection.ask("DELETE", PATH, doing=f"drop {name!r}", names=names):
        raise NotFoundError.missing("collection", name, known())


def inspect(store: QdrantStore, collection: str) -> Inspection:
    """Read a collection of a server or of local mode."""
    if store.connection.local:
        raw = local_mode.info(store.connection, collection)
        counts = _counts(store, collection, raw)
        whole = rows.count(store.connection, collection, None, {})
        return Inspection(
            local_mode.collection_info(collection, raw, store.server(), whole, counts)
        )
    snapshot = store.snapshot(collection, fresh=True)
    counts = _counts(store, collection, snapshot.info)
    whole = count(store, collection, snapshot.info, None)
    sizes = memory.vectors(store.connection, collection)
    info = collection_info(snapshot, store.server(), whole, counts, sizes)
    return Inspection(info, snapshot)


def _counts(store: QdrantStore, collection: str, raw: schema.Info) -> dict[str, int]:
    """The number of rows with each vector."""
    names = list(schema.described(raw))
    if len(names) == 1 or version.is_older(store.connection.version, version.HAS_VECTOR_SINCE):
        whole = count(store, collection, raw, None)
        return dict.fromkeys(names, whole)
    return {name: count(store, collection, raw, has_vector(name)) for name in names}


def count(store: QdrantStore, collection: str, raw: schema.Info, condition: Any) -> int:
    """The exact number of rows that match a native condition."""
    return rows.count(store.connection, collection, condition, strict_mode.limits(raw))
