"""Making a collection: schema, indexes, loaded; whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from qadapt.errors import InputError, QadaptError, UnsupportedError
from qadapt.model import CollectionSchema, Quantization, Vector
from qadapt.stores.base import MappedQuantization, silent
from qadapt.stores.milvus import (
    binary_sidecar,
    clone_schema,
    ids,
    mapping,
    payload_schema,
    rows,
    schema,
    sparse,
    vector_index,
    vector_layout,
)
from qadapt.stores.milvus.connection import Connection, module
from qadapt.stores.milvus.version import SINCE_DATATYPE, SINCE_NAMED, ServerVersion
from qadapt.stores.polling import Deadline


def unsupported_vectors(vectors: Mapping[str, Vector], server_version: ServerVersion) -> None:
    """Refuse what this engine would refuse later, or take and never index.

    2.3.5 creates FLOAT16_VECTOR and INT8_VECTOR fields and fails with their first rows.

    Raises:
        InputError, UnsupportedError
    """
    if not vectors:
        raise InputError("a collection has at least one vector")
    if len(vectors) > 1 and not server_version.named:
        raise UnsupportedError(
            f"several vectors in one collection need Milvus {SINCE_NAMED}; this is "
            f"{server_version.words}",
            hint="make one collection for each vector",
        )
    for name, vector in vectors.items():
        schema.field_of(name)
        if vector.dim > schema.MAX_DIM:
            raise InputError(f"Milvus has at most {schema.MAX_DIM:,} dimensions: {name!r}")
        since = SINCE_DATATYPE.get(vector.datatype)
        there = vector.datatype == "float32" or (since is not None and server_version.has(since))
        if not there:
            offers = ", ".join(f"{name} from {first}" for name, first in SINCE_DATATYPE.items())
            raise UnsupportedError(
                f"{server_version.words} has no vectors of the datatype {vector.datatype}",
                hint=f"float32; on a Milvus server {offers}",
            )


def form_of(
    mapped: MappedQuantization, vector: Vector, server_version: ServerVersion, *, array: bool
) -> vector_layout.VectorForm:
    """How a vector lies in its fields where the collection is new.

    Args:
        array: whether floats may be an ARRAY where a collection has one vector. That holds them in
            RAM as an index does, and is not quicker (measured on 2.3.5); its good is that filters
            act while bits are searched, and that rows and bits cannot fall apart.
    """
    if mapped.native is None or mapped.native["index_type"] != mapping.BITS:
        return vector_layout.FLOAT
    if server_version.several:
        return vector_layout.SIDECAR_FIELD
    return (
        vector_layout.ARRAY
        if array and vector.dim <= vector_layout.MAX_ARRAY
        else vector_layout.FLOAT
    )


def definitions(
    name: str,
    vector: Vector,
    mapped: MappedQuantization,
    form: vector_layout.VectorForm,
    server_version: ServerVersion,
) -> dict[str, dict[str, Any]]:
    """The index of each field of a vector.

    Args:
        name: of its field.
    """
    native = mapped.native
    if native is None or native["index_type"] == mapping.BITS:
        # 16-bit floats are the field's own, bits stand beside: both have an index of floats.
        native = mapping.to_native(Quantization.parse("none"), vector, server_version).native or {}
    found: dict[str, dict[str, Any]] = {}
    if form != vector_layout.ARRAY:
        found[name] = {
            "index_name": f"{name}_{native['index_type'].lower()}",
            "metric_type": schema.METRICS[vector.metric],
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
    """Make it, with an index of each vector, and load it; what fails halfway is dropped.

    Args:
        arrays: the vectors whose floats may be an ARRAY, because bits were asked for by name.
        collection_schema: sparse vectors, and the schema of its other fields (see ``typed``); with
        a primary
            key of its own, the vectors' fields go by their names.
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
    # No index tells the metric of floats in an ARRAY.
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
            declared, clone_schema.describe(connection, collection), server_version, collection
        )
        for name, vector in vectors.items():
            field = names[name]
            found = definitions(field, vector, mapped[name], shapes[name], server_version)
            for part, definition in found.items():
                vector_index.create_index(
                    connection, collection, part, definition, limit=connection.timeout
                )
        for name, each in more.items():
            definition = sparse.definition(name, each)
            vector_index.create_index(
                connection, collection, name, definition, limit=connection.timeout
            )
        connection.call(f"load {collection!r}", client.load_collection, collection)
        for name, made in mapped.items():
            native = made.native
            bits_beside = native is not None and native["index_type"] == mapping.BITS
            if bits_beside and shapes[name] == vector_layout.FLOAT:
                made_bits = binary_sidecar.SetBits(name, names[name], on=True)
                limit = Deadline(connection.timeout)
                binary_sidecar.put(connection, collection, made_bits, silent, limit)
    except QadaptError:
        with contextlib.suppress(QadaptError):
            connection.call("tidy up", client.drop_collection, collection)
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
        clone_schema.add(made, {**declared["key"], "is_primary": True})
    else:
        made.add_field(schema.KEY, types.VARCHAR, is_primary=True, max_length=ids.MAX_LENGTH)
    for each in declared.get("fields", ()):
        clone_schema.add(made, each)
    for name, vector in vectors.items():
        for each in vector_layout.fields(names[name], vector, shapes[name]):
            clone_schema.add(made, each)
    for field in more:
        clone_schema.add(made, {"name": field, "type": sparse.TYPE})
    return made
