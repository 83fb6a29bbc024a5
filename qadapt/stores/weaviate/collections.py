"""Create a collection from its raw schema, completely or not at all, and delete one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from qadapt.errors import QadaptError, StoreError, UnsupportedError
from qadapt.model import CollectionSchema, Vector
from qadapt.stores.base import MappedQuantization
from qadapt.stores.weaviate import (
    multivectors,
    payload,
    payload_schema,
    schema,
    vector_index_config,
)
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.schema import DYNAMIC
from qadapt.stores.weaviate.version import SINCE_ALIAS, SINCE_NAMED, ServerVersion


def unsupported_vectors(vectors: Mapping[str, Vector], server_version: ServerVersion) -> None:
    """Refuse vectors that this server does not support.

    Raises:
        UnsupportedError, InputError
    """
    if "" in vectors and len(vectors) > 1:
        raise UnsupportedError(
            "Weaviate cannot create a collection with both an unnamed vector and named ones",
            hint="give each vector a name",
        )
    if "" not in vectors and not server_version.has(SINCE_NAMED):
        raise UnsupportedError(
            f"named vectors need Weaviate {SINCE_NAMED}; this is {server_version.words}",
            hint="create one collection per vector",
        )
    for name, vector in vectors.items():
        schema.check_vector_name(name)
        if vector.datatype != "float32":
            raise UnsupportedError(
                f"Weaviate stores float32 only, not {vector.datatype}",
                hint="omit the datatype, and use a quantization",
            )
        if vector.dim > schema.MAX_DIM:
            raise UnsupportedError(
                f"Weaviate supports at most {schema.MAX_DIM:,} dimensions, not {vector.dim:,}",
                hint="reduce the dimensions with the embedding model",
            )


def body(
    name: str,
    vectors: Mapping[str, Vector],
    mapped: Mapping[str, MappedQuantization],
    more: Mapping[str, Any] | None = None,
    dims: Mapping[str, int] | None = None,
    wanted: Mapping[str, Any] | None = None,
    *,
    tenants: bool = False,
) -> dict[str, Any]:
    """The schema to create.

    Args:
        more: further entries of ``vectorConfig``, by name.
        dims: their dimensions.
        wanted: its properties, in the form of ``payload_schema``.
        tenants: whether it is multi-tenant; no tenants exist yet.
    """
    noted = {label: each.dim for label, each in vectors.items()} | dict(dims or {})
    found: dict[str, Any] = {
        "class": name,
        "description": schema.note(noted),
        "properties": [payload.REST_PROPERTY],
    }
    if wanted:
        found["description"] = schema.described(wanted["description"], found["description"])
        found["properties"] = wanted["properties"]
        found["invertedIndexConfig"] = wanted["inverted"]
    if tenants:
        found["multiTenancyConfig"] = {"enabled": True}
    named = dict(more or {})
    for label, vector in vectors.items():
        native = mapped[label].native or {}
        index = str(native["vectorIndexType"])
        part = {
            "vectorIndexType": index,
            "vectorIndexConfig": with_distance(index, native["vectorIndexConfig"], vector),
        }
        if label == "":
            found.update(part, vectorizer="none")
        else:
            named[label] = {**part, "vectorizer": {"none": {}}}
    if named:
        found["vectorConfig"] = named
    return found


def with_distance(index: str, config: Mapping[str, Any], vector: Vector) -> dict[str, Any]:
    """A configuration with its metric, in both parts of a dynamic index."""
    distance = schema.METRICS[vector.metric]
    made = {**config, "distance": distance}
    if index == DYNAMIC:
        for half in (schema.HNSW, schema.FLAT):
            made[half] = {**(config.get(half) or {}), "distance": distance}
    return made


def create(
    connection: Connection,
    name: str,
    vectors: Mapping[str, Vector],
    mapped: Mapping[str, MappedQuantization],
    server_version: ServerVersion,
    collection_schema: CollectionSchema | None = None,
) -> None:
    """Create a collection, and delete it again if the server stored another configuration.

    Args:
        vectors, mapped: by name, checked by ``unsupported_vectors`` and the mapping.
        collection_schema: multivectors, properties in the form of ``payload_schema``, and whether
            it is multi-tenant.

    Raises:
        AlreadyExistsError
        UnsupportedError: the server does not support these vectors.
        StoreError: the server stored a configuration that differs from the request.
    """
    schema.check_name(name)
    more = collection_schema or CollectionSchema()
    rows = multivectors.vectors_of(more.extras)
    unsupported_vectors({**vectors, **rows}, server_version)
    bodies = {label: multivectors.body(each, server_version) for label, each in more.extras.items()}
    dims = {label: each.dim for label, each in rows.items()}
    wanted = more.schema
    sent = body(name, vectors, mapped, bodies, dims, wanted, tenants=more.is_partitioned)
    post(connection, name, sent)
    if wanted:
        path = f"/v1/schema/{quote(name)}"
        try:
            payload_schema.check_created(
                wanted, connection.rest("GET", path, doing=f"read {name!r}"), name
            )
        except StoreError:
            connection.rest("DELETE", path, doing=f"delete {name!r}")
            raise


def post(connection: Connection, name: str, sent: Mapping[str, Any]) -> None:
    """Create a collection from a raw schema, and compare the stored schema with it.

    Raises:
        AlreadyExistsError, StoreError
    """
    connection.rest("POST", "/v1/schema", dict(sent), doing=f"create {name!r}")
    path = f"/v1/schema/{quote(name)}"
    there = connection.rest("GET", path, doing=f"read {name!r}")
    lost = [
        f"{label or 'the vector'}: {field} is {now!r}, expected {wanted!r}"
        for label, config in configs(sent).items()
        for field, (now, wanted) in vector_index_config.differences(
            configs(there)[label], config
        ).items()
    ]
    if not lost:
        return
    error: QadaptError = StoreError(
        f"Weaviate {connection.version} changed the schema of {name!r}: {'; '.join(lost)}",
        hint="remove the settings that it does not support from `native`; nothing was created",
    )
    connection.rest("DELETE", path, doing=f"delete {name!r}")
    raise error


def configs(raw: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The index configuration of each vector in a raw schema; ``""`` is the unnamed vector."""
    found = {
        name: each["vectorIndexConfig"] for name, each in (raw.get("vectorConfig") or {}).items()
    }
    if raw.get("vectorIndexConfig") is not None:
        found[""] = raw["vectorIndexConfig"]
    return found


def drop(connection: Connection, name: str) -> None:
    """Delete a collection.

    Raises:
        NotFoundError
        UnsupportedError: the name is an alias, or an alias would point to nothing.
    """
    layout = schema.describe(connection, name)
    if layout.alias:
        raise UnsupportedError(
            f"{name!r} is an alias of {layout.real!r}",
            hint="drop the alias, or drop the collection by its real name",
        )
    if ServerVersion(connection.version).has(SINCE_ALIAS):
        path = "/v1/aliases"
        found = connection.rest("GET", path, doing="list aliases", params={"class": layout.real})
        names = [str(each["alias"]) for each in (found or {}).get("aliases") or ()]
        if names:
            # The server would keep the aliases, and answer their queries with "class not found".
            raise UnsupportedError(
                f"the alias {', '.join(names)} points to {name!r}",
                hint="move or drop the alias first",
            )
    path = f"/v1/schema/{quote(layout.real)}"
    connection.rest("DELETE", path, doing=f"delete {name!r}")
