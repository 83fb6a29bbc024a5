"""One look at a collection: its layout, what is loaded, and which segments use which index."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from qadapt.errors import UnsupportedError
from qadapt.model import CollectionInfo, Kind, Quantization, Server, Status, VectorInfo
from qadapt.stores.milvus import binary_sidecar, lite, mapping, rows, schema, vector_layout
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.errors import NotLoadedError
from qadapt.stores.milvus.schema import Field, Layout
from qadapt.stores.milvus.status import Observation, Segment, status_of
from qadapt.stores.milvus.version import ServerVersion


@dataclass(frozen=True)
class Snapshot:
    """What was seen.

    Attributes:
        layout: as described.
        loaded: whether searches run.
        count: rows; of an unloaded collection those that storage tells, deleted ones too.
        rows: those of the partition that is meant; ``count`` where none is.
        vectors: the evidence of each vector.
        bits: the status of sign bits beside, of the vectors that have them.
        embedded: a server of the PyPI package ``milvus``.
    """

    layout: Layout
    loaded: bool
    count: int
    vectors: Mapping[str, Observation]
    bits: Mapping[str, Status]
    rows: int
    embedded: bool = False

    def status(self, vector: str) -> Status:
        """Of what is searched: bits beside, where there are any, else the index."""
        return self.bits.get(vector) or status_of(self.vectors[vector])

    def quantization(self, vector: str) -> Quantization:
        """Of what is searched."""
        return _BITS if vector in self.bits else self.vectors[vector].quantization


_BITS = Quantization(Kind.BINARY)


def take_snapshot(connection: Connection, name: str) -> Snapshot:
    """Read all of it.

    Raises:
        NotFoundError
    """
    layout = schema.describe(connection, name)
    loaded = schema.loaded(connection, layout.real)
    whole = dataclasses.replace(layout, partition=None)
    count, loaded = _count(connection, whole, loaded)
    in_partition = loaded and layout.partition is not None
    inside = rows.count(connection, layout, "") if in_partition else count
    segments = _segments(connection, layout) if loaded and not connection.lite else None
    kinds = _quantizations(layout, ServerVersion(connection.version, connection.deployment))
    coded = any(each.kind is not Kind.NONE for each in kinds.values())
    sealed = _sealed(connection, whole) if segments is not None and coded else None
    vectors = {}
    for label, field in layout.vectors.items():
        index = field.index
        observation = Observation(
            count=count,
            quantization=kinds[label],
            index=index.definition if index else None,
            loaded=loaded,
            segments=segments,
            sealed=sealed,
            several=_indexed(layout),
            scalars=layout.scalars if not connection.lite else frozenset(),
            reported=index.reported if index else {},
            lite=connection.lite,
        )
        if connection.lite:
            observation = lite.in_files(connection.path, layout, field, observation)
        vectors[label] = observation
    collection_schema = {}
    for label, each in layout.vectors.items():
        if each.field in layout.bits:
            collection_schema[label] = binary_sidecar.status(connection, layout, each, count)
        elif each.coded:
            collection_schema[label] = binary_sidecar.sidecar_status(
                each, count, loaded or connection.lite
            )
    embedded = not connection.lite and connection.version.endswith("-lite")
    return Snapshot(layout, loaded, count, vectors, collection_schema, inside, embedded)


def _quantizations(layout: Layout, server_version: ServerVersion) -> dict[str, Quantization]:
    """Of the index of each vector."""
    return {
        label: mapping.from_native(
            each.index.native if each.index else None, each.vector, server_version
        )
        for label, each in layout.vectors.items()
    }


def _indexed(layout: Layout) -> int:
    """Fields whose index a loaded segment may tell the name of."""
    collection_schema = [
        each for each in layout.vectors.values() if each.form == vector_layout.SIDECAR_FIELD
    ]
    return len(layout.vectors) + len(layout.others) + len(collection_schema)


def _count(connection: Connection, layout: Layout, loaded: bool) -> tuple[int, bool]:
    if loaded:
        try:
            return rows.count(connection, layout, ""), True
        except NotLoadedError:
            pass
    stats = connection.client.get_collection_stats
    found = connection.call(f"count {layout.name!r}", stats, layout.name)
    return int(found.get("row_count", 0)), False


def _segments(connection: Connection, layout: Layout) -> list[Segment] | None:
    """Sealed segments on the query nodes; None where the server does not show them."""
    client = connection.client
    try:
        found = connection.call(
            f"list the loaded segments of {layout.name!r}", client.list_loaded_segments, layout.real
        )
    except UnsupportedError:
        return None
    sealed = [each for each in found if getattr(each.state, "name", str(each.state)) == "Sealed"]
    return [Segment(int(each.num_rows), each.index_name or None) for each in sealed]


def _sealed(connection: Connection, layout: Layout) -> int | None:
    """Live rows in sealed segments, those of other clients too; None where no query tells."""
    try:
        return rows.count(connection, layout, "", ignore_growing=True)
    except (NotLoadedError, UnsupportedError):
        return None


# -- in common words -----------------------------------------------------------------------------


def vector_info(name: str, snapshot: Snapshot) -> VectorInfo:
    """One vector in common words."""
    field, observation = snapshot.layout.vectors[name], snapshot.vectors[name]
    index = field.index
    size = observation.index_bytes or mapping.code_bytes(
        index.native if index else None, field.vector, snapshot.rows
    )
    rescore = mapping.default_rescore(observation.quantization)
    if name in snapshot.bits:
        size, rescore = (
            snapshot.rows * vector_layout.code_bytes(field.vector.dim),
            binary_sidecar.RESCORE,
        )
    width = vector_layout.WIDTHS[field.vector.datatype]
    return VectorInfo(
        name=name,
        dim=field.vector.dim,
        metric=field.vector.metric,
        datatype=field.vector.datatype,
        count=snapshot.rows,
        index=_told_index(field),
        quantization=snapshot.quantization(name),
        status=snapshot.status(name),
        default_rescore=rescore,
        code_bytes=size,
        float_bytes=width * snapshot.rows * field.vector.dim,
    )


def _told_index(field: Field) -> Mapping[str, object]:
    index = field.codes if field.form == vector_layout.ARRAY else field.index
    return index.definition if index else {}


def collection_info(name: str, server: Server, snapshot: Snapshot) -> CollectionInfo:
    """The whole collection in common words."""
    layout = snapshot.layout
    coded = [each.field for each in layout.vectors.values() if each.coded]
    indexes = {each.field: each.index.definition for each in layout.vectors.values() if each.index}
    config = {
        **layout.raw,
        "indexes": indexes,
        "bits": sorted({*layout.bits, *coded}),
        "consistency": layout.consistency,
    }
    if layout.real != layout.base:
        config["alias_of"] = layout.real
    return CollectionInfo(
        name=name,
        count=snapshot.rows,
        vectors={each: vector_info(each, snapshot) for each in layout.vectors},
        server=server,
        config=config,
    )
