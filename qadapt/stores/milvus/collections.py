"""Create, list and drop collections."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from qadapt.errors import InputError, NotFoundError, QadaptError, UnsupportedError
from qadapt.model import CollectionSchema, Metric, Quantization, Vector
from qadapt.stores.base import MappedQuantization, silent
from qadapt.stores.milvus import (
    aliases,
    binary_sidecar,
    copy_schema,
    ids,
    mapping,
    payload_schema,
    rows,
    schema,
    sparse,
    vector_layout,
)
from qadapt.stores.milvus.connection import Connection, module
from qadapt.stores.milvus.index_params import create_index
from qadapt.stores.milvus.version import BITS, SINCE_DATATYPE, SINCE_NAMED, ServerVersion
from qadapt.stores.polling import Deadline


def unsupported_vectors(vectors: Mapping[str, Vector], server_version: ServerVersion) -> None:
    """Refuse vectors that this server cannot store or index.

    2.3.5 creates FLOAT16_VECTOR and INT8_VECTOR fields but fails when the first rows are written.

    Raises:
        InputError: no vectors, an invalid name, or too many dimensions.
        UnsupportedError: several vectors, or a datatype, that need a newer server.
    """
    if not vectors:
        raise InputError(
            "a collection needs at least one vector",
            hint="for example dim=384",
        )
    if len(vectors) > 1 and not server_version.named:
        raise UnsupportedError(
            f"several vectors in one collection need Milvus {SINCE_NAMED}; this is "
            f"{server_version.words}",
            hint="create one collection per vector",
        )
    for name, vector in vectors.items():
        schema.field_of(name)
        if vector.dim > schema.MAX_DIM:
            raise InputError(
                f"the vector {name!r} has {vector.dim:,} dimensions; Milvus supports at most "
                f"{schema.MAX_DIM:,}",
                hint="reduce the dimensions with the embedding model",
            )
        since = SINCE_DATATYPE.get(vector.datatype)
        there = vector.datatype == "float32" or (since is not None and server_version.has(since))
        if not there:
            offers = ", ".join(f"{name} from {first}" for name, first in SINCE_DATATYPE.items())
            raise UnsupportedError(
                f"{server_version.words} does not support vectors of the datatype "
                f"{vector.datatype}",
                hint=f"use float32; a Milvus server supports {offers}",
            )
        if vector.datatype == "bit" and (vector.dim % 8 or vector.metric is not Metric.COSINE):
            raise UnsupportedError(
                f"{vector.dim} dimensions with the metric {vector.metric} are not supported: a "
                "BINARY_VECTOR has a multiple of 8 dimensions and is compared by Hamming distance, "
                "which orders rows as cosine does",
                hint="use metric='cosine' and whole bytes, or datatype='float32'",
            )


def form_of(
    mapped: MappedQuantization, vector: Vector, server_version: ServerVersion, *, array: bool
) -> vector_layout.VectorForm:
    """How a new collection stores a vector in fields.

    Args:
        array: whether the original vectors may be stored in an ARRAY if the server supports only
            one vector per collection. An ARRAY takes as much RAM as an index and is not faster
            (measured on 2.3.5), but sign bits in the same collection can be filtered and always
            match their rows.
    """
    if not _sidecar(mapped, vector):
        return vector_layout.FLOAT
    if server_version.several:
        return vector_layout.SIDECAR_FIELD
    return (
        vector_layout.ARRAY
        if array and vector.dim <= vector_layout.MAX_ARRAY
        else vector_layout.FLOAT
    )


def _sidecar(mapped: MappedQuantization, vector: Vector) -> bool:
    """Whether a vector of floats gets sign bits in addition."""
    native = mapped.native
    return native is not None and native["index_type"] == BITS and vector.datatype != "bit"


def definitions(
    name: str,
    vector: Vector,
    mapped: MappedQuantization,
    form: vector_layout.VectorForm,
    server_version: ServerVersion,
) -> dict[str, dict[str, Any]]:
    """The index definition of each field of a vector.

    Args:
        name: the name of the vector's field.
    """
    native = mapped.native
    if native is None or _sidecar(mapped, vector):
        # The vector field has an index of original vectors in both cases.
        native = mapping.to_native(Quantization.parse("none"), vector, server_version).native or {}
    found: dict[str, dict[str, Any]] = {}
    if form != vector_layout.ARRAY:
        found[name] = {
            "index_name": f"{name}_{native['index_type'].lower()}",
            "metric_type": schema.metric_word(vector),
            **native,
        }
    if form != vector_layout.FLOAT:
        codes = vector_layout.codes_field(name)
        found[codes] = {**binary_sidecar.INDEX, "index_name": f"{codes}_bin_flat"}
    return found


def create(
    connection: Connection,
    collection: str,
    vectors: Mapping[str, Vector],
    mapped: Mapping[str, MappedQuantization],
    server_version: ServerVersion,
    arrays: Collection[str] = (),
    collection_schema: CollectionSchema | None = None,
) -> None:
    """Create a collection with its indexes and load it; drop it again if a step fails.

    Args:
        arrays: vectors that may be stored in an ARRAY, because the user requested BIN_FLAT.
        collection_schema: sparse vectors and typed fields (see ``payload_schema``). If it declares
            a primary key, each vector's field has the name of the vector.
    """
    client = connection.client
    extras, declared = (
        (collection_schema.extras, collection_schema.schema) if collection_schema else ({}, {})
    )
    theirs = "key" in declared
    names = {name: name if theirs else schema.field_of(name) for name in (*vectors, *extras)}
    more = {names[name]: each for name, each in extras.items()}
    shapes = {
        name: vector_layout.FLOAT
        if theirs
        else form_of(mapped[name], vector, server_version, array=name in arrays)
        for name, vector in vectors.items()
    }
    # An ARRAY has no index that would store the metric.
    noted = {
        schema.metric_property(names[name]): schema.METRICS[vector.metric]
        for name, vector in vectors.items()
        if shapes[name] == vector_layout.ARRAY
    }
    options: dict[str, Any] = {"properties": noted} if noted else {}
    if "num_partitions" in declared and not connection.lite:
        options["num_partitions"] = declared["num_partitions"]
    connection.call(
        f"create {collection!r}",
        client.create_collection,
        collection,
        schema=_schema(client, vectors, shapes, names, more, declared),
        consistency_level=rows.SESSION,
        **options,
    )
    try:
        payload_schema.check_created(
            declared, copy_schema.describe(connection, collection), server_version, collection
        )
        for name, vector in vectors.items():
            field = names[name]
            found = definitions(field, vector, mapped[name], shapes[name], server_version)
            for part, definition in found.items():
                create_index(connection, collection, part, definition, limit=connection.timeout)
        for name, each in more.items():
            definition = sparse.definition(name, each)
            create_index(connection, collection, name, definition, limit=connection.timeout)
        connection.call(f"load {collection!r}", client.load_collection, collection)
        for name, made in mapped.items():
            if _sidecar(made, vectors[name]) and shapes[name] == vector_layout.FLOAT:
                made_bits = binary_sidecar.SetBits(name, names[name], on=True)
                limit = Deadline(connection.timeout)
                binary_sidecar.put(connection, collection, made_bits, silent, limit)
    except QadaptError:
        with contextlib.suppress(QadaptError):
            connection.call("drop the incomplete collection", client.drop_collection, collection)
        raise


def _schema(
    client: Any,
    vectors: Mapping[str, Vector],
    shapes: Mapping[str, vector_layout.VectorForm],
    names: Mapping[str, str],
    more: Collection[str],
    declared: Mapping[str, Any],
) -> Any:
    types = module().DataType
    made = client.create_schema(
        auto_id=False,
        enable_dynamic_field=declared.get("dynamic", True),
        description=declared.get("description", ""),
    )
    if "key" in declared:
        copy_schema.add(made, {**declared["key"], "is_primary": True})
    else:
        made.add_field(schema.KEY, types.VARCHAR, is_primary=True, max_length=ids.MAX_LENGTH)
    for each in declared.get("fields", ()):
        copy_schema.add(made, each)
    for name, vector in vectors.items():
        for each in vector_layout.fields(names[name], vector, shapes[name]):
            copy_schema.add(made, each)
    for field in more:
        copy_schema.add(made, {"name": field, "type": sparse.TYPE})
    return made


def names(connection: Connection) -> list[str]:
    """Names of collections and of aliases, sorted, without the collections of sign bits."""
    found = [*aliases.collections(connection), *aliases.aliases(connection)]
    return sorted(name for name in found if binary_sidecar.MARK not in name)


def drop(connection: Connection, collection: str) -> None:
    """Drop a collection and its sign bits.

    Raises:
        NotFoundError: the collection does not exist.
        UnsupportedError: the name is a partition or an alias, or an alias points to it.
    """
    base, partition = schema.split(collection)
    if partition is not None:
        raise UnsupportedError(
            f"cannot drop {collection!r}: it is a partition, and qadapt drops only collections",
            hint=f"client.drop_partition({base!r}, {partition!r})",
        )
    # A server reports no error for a collection that does not exist. 2.3.5 leaves the aliases of a
    # dropped collection behind, Lite drops them, and newer servers refuse to drop the collection.
    existing = names(connection)
    if collection not in existing:
        raise NotFoundError.missing("collection", collection, existing)
    known = aliases.aliases(connection)
    if collection in known:
        raise UnsupportedError(
            f"cannot drop {collection!r}: it is an alias of the collection {known[collection]!r}",
            hint=f"drop_alias({collection!r}), or drop {known[collection]!r}",
        )
    pointing = aliases.of(connection, collection)
    if pointing:
        raise UnsupportedError(
            f"cannot drop {collection!r}: the alias {pointing[0]!r} points to it",
            hint=f"move or drop the alias {pointing[0]!r} first (switch_alias, drop_alias)",
        )
    binary_sidecar.drop_all(connection, schema.describe(connection, collection))
    client = connection.client
    connection.call(f"drop {collection!r}", client.drop_collection, collection)
