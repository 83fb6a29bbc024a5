"""Making a collection: schema, indexes, loaded; whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from qadapt.errors import InputError, QadaptError, UnsupportedError
from qadapt.model import Quantization, Vector
from qadapt.stores.base import Mapped, silent
from qadapt.stores.milvus import bits, changes, keys, mapping, rows, schema
from qadapt.stores.milvus.connection import Connection, module
from qadapt.stores.milvus.engine import SINCE_FLOAT16, SINCE_NAMED, Engine


def refuse(vectors: Mapping[str, Vector], engine: Engine) -> None:
    """Refuse what this engine would refuse later, or take and never index.

    2.3.5 creates FLOAT16_VECTOR and INT8_VECTOR fields and fails with their first rows.

    Raises:
        InputError, UnsupportedError
    """
    if not vectors:
        raise InputError("a collection has at least one vector")
    if len(vectors) > 1 and not (engine.lite or engine.has(SINCE_NAMED)):
        raise UnsupportedError(
            f"several vectors in one collection need Milvus {SINCE_NAMED}; this is {engine.words}",
            hint="make one collection for each vector",
        )
    for name, vector in vectors.items():
        schema.field_of(name)
        if vector.dim > schema.MAX_DIM:
            raise InputError(f"Milvus has at most {schema.MAX_DIM:,} dimensions: {name!r}")
        half = vector.datatype == "float16" and engine.has(SINCE_FLOAT16)
        if vector.datatype != "float32" and not half:
            raise UnsupportedError(
                f"{engine.words} has no vectors of the datatype {vector.datatype}",
                hint=f"float32, or float16 from Milvus {SINCE_FLOAT16}",
            )


def definitions(
    vectors: Mapping[str, Vector], mapped: Mapping[str, Mapped], engine: Engine
) -> dict[str, dict[str, Any]]:
    """The index of each field."""
    found = {}
    for name, vector in vectors.items():
        native = mapped[name].native
        if native is None or native["index_type"] == mapping.BITS:
            # 16-bit floats are the field's own, bits stand beside: both have an index of floats.
            native = mapping.to_native(Quantization.parse("none"), vector, engine).native or {}
        field = schema.field_of(name)
        found[field] = {
            "index_name": f"{field}_{native['index_type'].lower()}",
            "metric_type": schema.METRICS[vector.metric],
            **native,
        }
    return found


def create(
    connection: Connection,
    collection: str,
    vectors: Mapping[str, Vector],
    mapped: Mapping[str, Mapped],
    engine: Engine,
) -> None:
    """Make it, with an index of each vector, and load it; what fails halfway is dropped."""
    client = connection.client
    connection.call(
        f"create {collection!r}",
        client.create_collection,
        collection,
        schema=_schema(client, vectors),
        consistency_level=rows.SESSION,
    )
    try:
        for field, definition in definitions(vectors, mapped, engine).items():
            changes.create_index(
                connection, collection, field, definition, limit=connection.timeout
            )
        connection.call(f"load {collection!r}", client.load_collection, collection)
        for name, each in mapped.items():
            if each.native is not None and each.native["index_type"] == mapping.BITS:
                request = bits.request(name, schema.field_of(name), on=True)
                bits.run(connection, collection, request, silent, connection.timeout)
    except QadaptError:
        with contextlib.suppress(QadaptError):
            connection.call("tidy up", client.drop_collection, collection)
        raise


def _schema(client: Any, vectors: Mapping[str, Vector]) -> Any:
    types = module().DataType
    made = client.create_schema(auto_id=False, enable_dynamic_field=True)
    made.add_field(schema.KEY, types.VARCHAR, is_primary=True, max_length=keys.MAX_LENGTH)
    for name, vector in vectors.items():
        kind = types.FLOAT16_VECTOR if vector.datatype == "float16" else types.FLOAT_VECTOR
        made.add_field(schema.field_of(name), kind, dim=vector.dim)
    return made
