"""A snapshot of a collection: schema, state of its shards, row counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from qadapt.errors import AuthError, NotFoundError, StoreTimeoutError, UnsupportedError
from qadapt.model import (
    CollectionInfo,
    Quantization,
    Server,
    Status,
    UnknownDimension,
    Vector,
    VectorInfo,
)
from qadapt.model.capabilities import older
from qadapt.stores.weaviate import dimensions as weaviate_dimensions
from qadapt.stores.weaviate import mapping, native_rescore, row_counts, schema, vector_index_config
from qadapt.stores.weaviate import partitions as tenancy
from qadapt.stores.weaviate.connection import Connection, proto
from qadapt.stores.weaviate.dimensions import Dimensions
from qadapt.stores.weaviate.schema import DYNAMIC, HNSW, Field, Layout
from qadapt.stores.weaviate.search import query_message
from qadapt.stores.weaviate.status import READY, Observation, Shard, status_of

# First version whose searches can return a profile.
SINCE_PROFILE = "1.36.9"
PROBE = 5.0  # time limit in seconds of a search for its profile


@dataclass(frozen=True)
class Snapshot:
    """The state of a collection at one time.

    Attributes:
        layout: the parsed schema.
        count: rows, in active tenants only.
        shards: running shards; None if the key may not read them.
        vectors: the evidence of each vector.
        cold: tenants that are not active.
        tenants: rows of each active tenant; None without tenants.
        unknown_dimensions: vectors of unknown dimension, with the number of rows read for them.
    """

    layout: Layout
    count: int
    shards: Sequence[Shard] | None
    vectors: Mapping[str, Observation]
    cold: Sequence[str] = ()
    tenants: Mapping[str, int] | None = None
    unknown_dimensions: Mapping[str, UnknownDimension] = dataclasses.field(default_factory=dict)

    def status(self, vector: str) -> Status:
        """The evidence of one vector."""
        return status_of(self.vectors[vector])

    def quantization(self, vector: str) -> Quantization:
        """The quantization of one vector as configured."""
        return self.vectors[vector].quantization


def take_snapshot(
    connection: Connection,
    name: str,
    tenant: str | None = None,
    *,
    dimensions: Dimensions | None = None,
    most: int | None = None,
) -> Snapshot:
    """Read a snapshot.

    Args:
        tenant: only this tenant; None for all.
        dimensions: cached dimensions.
        most: most rows to read for dimensions, ``dimensions.SOME`` by default; a smaller
            collection is read completely.

    Raises:
        NotFoundError
    """
    layout = schema.describe(connection, name)
    known = tenancy.states(connection, layout) if layout.multi_tenant else {}
    if tenant is not None and tenant not in known:
        raise NotFoundError.missing("tenant", tenant, known)
    hot = [each for each, active in known.items() if active and tenant in (None, each)]
    cold = [each for each, active in known.items() if not active and tenant in (None, each)]
    held = row_counts.by_tenant(connection, layout.real, hot if layout.multi_tenant else [""])
    count = sum(held.values())
    filled = [each for each, number in held.items() if number]
    most = weaviate_dimensions.SOME if most is None else most
    layout, measured = (dimensions or Dimensions()).complete(
        connection, layout, filled, None if count <= most else most
    )
    unknown = UnknownDimension(measured.rows_read, measured.complete)
    empty = {each for each, number in held.items() if number == 0}
    shards = _shards(connection, layout, empty, complete=count == 0)
    if tenant is not None and shards is not None:
        shards = [each for each in shards if each.name == tenant]
    natives = {label: field.native for label, field in layout.vectors.items()}
    quantized = sum(vector_index_config.quantizer(each) is not None for each in natives.values())
    several = len(layout.vectors) + len(layout.others)
    vectors = {}
    for label, field in layout.vectors.items():
        vectors[label] = Observation(
            count=count,
            native=natives[label],
            quantization=_quantization(field),
            shards=shards,
            several=several,
            quantized=quantized,
            rescored=_rescored(connection, layout, field, shards, hot, count),
            cold=cold,
            tenants=len(hot) + len(cold),
        )
    whose = held if layout.multi_tenant else None
    unmeasured = {name: unknown for name in layout.vectors if name in layout.unknown_dimensions}
    return Snapshot(layout, count, shards, vectors, cold, whose, unmeasured)


def _quantization(field: Field) -> Quantization:
    # Only the ratio of product codes needs the dimension.
    vector = field.vector if field.dim is not None else Vector(1, field.metric)
    return mapping.from_native(field.native, vector)


def _shards(
    connection: Connection, layout: Layout, empty: set[str], *, complete: bool
) -> list[Shard] | None:
    """The running shards; None if the key may not read the nodes."""
    path = f"/v1/nodes/{quote(layout.real)}"
    doing = f"read the shards of {layout.name!r}"
    try:
        answer = connection.rest("GET", path, doing=doing, params={"output": "verbose"})
    except AuthError:
        return None
    return [
        Shard(
            node=str(node["name"]),
            name=str(each["name"]),
            compressed=bool(each.get("compressed")),
            state=str(each.get("vectorIndexingStatus") or READY),
            queue=int(each.get("vectorQueueLength") or 0),
            loaded=bool(each.get("loaded", True)),
            empty=complete or (layout.multi_tenant and each["name"] in empty),
        )
        for node in answer["nodes"]
        for each in node.get("shards") or ()
        if each["class"] == layout.real
    ]


def _rescored(
    connection: Connection,
    layout: Layout,
    field: Field,
    shards: Sequence[Shard] | None,
    hot: Sequence[str],
    count: int,
) -> bool | None:
    """Whether a search of this vector rescores; None if that is no evidence or not visible.

    Only needed if ``compressed`` is not sufficient: it is one flag for all vectors of a shard.
    """
    alone = len(layout.vectors) + len(layout.others) == 1 and field.index != DYNAMIC
    if alone or field.index not in (HNSW, DYNAMIC) or not count or field.dim is None:
        return None
    if not shards or not all(each.state == READY for each in shards):
        # A search would wait until training is done.
        return None
    rule = native_rescore.of(field.native)
    if (rule.limit == 0 and rule.off) or older(connection.version, SINCE_PROFILE):
        return None
    if layout.multi_tenant and len(hot) != 1:
        return None
    return _profiled(connection, layout, field, hot[0] if layout.multi_tenant else "")


def _profiled(connection: Connection, layout: Layout, field: Field, tenant: str) -> bool | None:
    search = proto().search_get_pb2
    query = np.ones(field.dim or 1, dtype=np.float32)
    request = search.SearchRequest(
        collection=layout.real,
        tenant=tenant,
        limit=1,
        near_vector=query_message(connection, field, query),
        metadata=search.MetadataRequest(uuid=True, query_profile=True),
        uses_123_api=True,
        uses_125_api=True,
        uses_127_api=True,
    )
    doing = f"profile a search of {layout.name!r}"
    try:
        answer = connection.ask("Search", request, doing=doing, within=PROBE, repeatable=False)
    except (StoreTimeoutError, UnsupportedError):
        return None
    profiles = [
        dict(each.details)
        for shard in answer.query_profile.shards
        for each in shard.searches.values()
    ]
    if not profiles:
        return None
    return all("knn_search_rescore_took" in each for each in profiles)


# -- common form ---------------------------------------------------------------------------------


def vector_info(name: str, snapshot: Snapshot) -> VectorInfo:
    """One vector in the common form.

    Raises:
        UnsupportedError: its dimension is unknown.
    """
    field, observation = snapshot.layout.vectors[name], snapshot.vectors[name]
    vector = field.vector
    return VectorInfo(
        name=name,
        dim=vector.dim,
        metric=vector.metric,
        datatype=vector.datatype,
        count=snapshot.count,
        index=_reported(field),
        quantization=observation.quantization,
        status=snapshot.status(name),
        default_rescore=native_rescore.default_rescore(field.native),
        code_bytes=snapshot.count * mapping.code_bytes(field.native, vector),
        float_bytes=4 * snapshot.count * vector.dim,
    )


def _reported(field: Field) -> dict[str, Any]:
    """The index without disabled blocks, which ``config`` contains."""
    found = vector_index_config.quantizer(field.native)
    plain = {
        key: value
        for key, value in field.config.items()
        if not isinstance(value, Mapping) or (field.index == DYNAMIC)
    }
    on = {} if found is None or field.index == DYNAMIC else {found[0]: dict(found[1])}
    return {"vectorIndexType": field.index, **plain, **on}


def collection_info(name: str, server: Server, snapshot: Snapshot) -> CollectionInfo:
    """The complete collection in the common form.

    ``config`` is the schema without the properties, which any write may extend. Vectors of unknown
    dimension are named there and in ``unmeasured``.
    """
    layout = snapshot.layout
    unknown = sorted(each for each, field in layout.vectors.items() if field.dim is None)
    extra: dict[str, Any] = {"vectors of unknown dimension": unknown} if unknown else {}
    if layout.others:
        extra["vectors that qadapt does not change"] = dict(layout.others)
    bare = schema.with_settings(layout.raw, {})  # settings are not configuration
    empty = {"properties"} if bare.get("description") else {"properties", "description"}
    config = {key: value for key, value in bare.items() if key not in empty}
    return CollectionInfo(
        name=name,
        count=snapshot.count,
        vectors={
            each: vector_info(each, snapshot) for each in layout.vectors if each not in unknown
        },
        server=server,
        config={**config, **extra},
        unknown_dimensions=snapshot.unknown_dimensions,
    )
