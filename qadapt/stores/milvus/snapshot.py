"""Read the state of a collection: layout, load state, row counts and the indexes in use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model import CollectionInfo, Kind, Quantization, Rescore, Server, Status, VectorInfo
from qadapt.stores.milvus import (
    binary_sidecar,
    collections,
    lite,
    native_mapping,
    rows,
    schema,
    vector_layout,
)
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.errors import NotLoadedError
from qadapt.stores.milvus.loading import load_in_lite
from qadapt.stores.milvus.schema import Field, Layout
from qadapt.stores.milvus.status import Observation, Segment, status_of
from qadapt.stores.milvus.version import ServerVersion
from qadapt.stores.snapshots import SnapshotCache

T = TypeVar("T")


@dataclass(frozen=True)
class Snapshot:
    """The state of a collection at one time.

    Attributes:
        layout: the schema and the indexes.
        loaded: whether the collection is loaded and can be searched.
        count: the number of rows; if the collection is not loaded, the count of the storage, which
            includes deleted rows.
        vectors: the observation of each vector.
        bits: the status of the sign bits of each vector that has them.
        rows: the number of rows of the partition; ``count`` without a partition.
        embedded: whether the server is the one of the PyPI package ``milvus``.
    """

    layout: Layout
    loaded: bool
    count: int
    vectors: Mapping[str, Observation]
    bits: Mapping[str, Status]
    rows: int
    embedded: bool = False

    def status(self, vector: str) -> Status:
        """Status of the searched codes: the sign bits if there are any, otherwise the index."""
        return self.bits.get(vector) or status_of(self.vectors[vector])

    def quantization(self, vector: str) -> Quantization:
        """The quantization that searches use."""
        return _BITS if vector in self.bits else self.vectors[vector].quantization


_BITS = Quantization(Kind.BINARY)


def take_snapshot(connection: Connection, name: str) -> Snapshot:
    """Read the state of a collection now.

    Raises:
        NotFoundError: the collection or the partition does not exist.
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
    """The quantization of the index of each vector."""
    return {
        label: native_mapping.from_native(
            each.index.native if each.index else None, each.vector, server_version
        )
        for label, each in layout.vectors.items()
    }


def _indexed(layout: Layout) -> int:
    """The number of fields whose index name a loaded segment may report."""
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
    """The sealed segments on the query nodes; None if the server does not list them."""
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
    """Live rows in sealed segments, including those of other clients; None if unknown."""
    try:
        return rows.count(connection, layout, "", ignore_growing=True)
    except (NotLoadedError, UnsupportedError):
        return None


# -- public information ----------------------------------------------------------------------------


def vector_info(name: str, snapshot: Snapshot) -> VectorInfo:
    """The public information about a vector."""
    field, observation = snapshot.layout.vectors[name], snapshot.vectors[name]
    index = field.index
    size = observation.index_bytes or native_mapping.code_bytes(
        index.native if index else None, field.vector, snapshot.rows
    )
    rescore = native_mapping.default_rescore(observation.quantization)
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
        index=_reported_index(field),
        quantization=snapshot.quantization(name),
        status=snapshot.status(name),
        default_rescore=rescore,
        code_bytes=size,
        float_bytes=int(width * snapshot.rows * field.vector.dim),
    )


def default_rescore(layout: Layout, vector: str, version: ServerVersion) -> Rescore | None:
    """The rescoring of searches that specify none, from the definition of the vector alone."""
    field = layout.field(vector)
    if field.coded or layout.bits.get(field.field) == binary_sidecar.ON:
        return binary_sidecar.RESCORE
    native = field.index.native if field.index else None
    found = native_mapping.from_native(native, field.vector, version)
    return native_mapping.default_rescore(found)


def _reported_index(field: Field) -> Mapping[str, object]:
    index = field.codes if field.form == vector_layout.ARRAY else field.index
    return index.definition if index else {}


def collection_info(name: str, server: Server, snapshot: Snapshot) -> CollectionInfo:
    """The public information about a collection."""
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
        notes=tuple(
            f"the field {field!r} {why}"
            for field, why in layout.others.items()
            if field not in layout.sparse
        ),
    )


# -- caching -------------------------------------------------------------------------------------


class CollectionReader:
    """Read layouts and row counts of collections, and cache them until they are forgotten.

    Attributes:
        layouts: the layout last read of each collection.
    """

    def __init__(self, connection: Callable[[], Connection]) -> None:
        self._connect = connection
        self.layouts: SnapshotCache[Layout] = SnapshotCache()
        self._counts: SnapshotCache[int] = SnapshotCache()

    def snapshot(self, collection: str) -> Snapshot:
        """Read a collection now.

        Raises:
            NotFoundError: the collection or its partition does not exist.
        """
        self.forget(collection)
        if schema.split(collection)[1] is not None:
            # The rows of a partition are counted by reading their keys.
            self.load_in_lite(collection)
        try:
            found = take_snapshot(self._connect(), collection)
        except NotFoundError as error:
            raise self._missing(collection, error) from None
        self.layouts.put(collection, found.layout)
        self._counts.put(collection, found.count)
        return found

    def layout(self, collection: str) -> Layout:
        """The cached layout: the schema never changes, the index may have changed since.

        Raises:
            NotFoundError: the collection or its partition does not exist.
        """
        known = self.layouts.get(collection)
        if known is not None:
            return known
        try:
            described = schema.describe(self._connect(), collection)
            found = binary_sidecar.with_lost(self._connect(), described)
            return self.layouts.put(collection, found)
        except NotFoundError as error:
            raise self._missing(collection, error) from None

    def read_again(self, collection: str) -> Layout:
        """The layout read now: another process may have added sign bits that writes must update.

        Raises:
            NotFoundError: the collection or its partition does not exist.
        """
        self.forget(collection)
        return self.layout(collection)

    def row_count(self, layout: Layout) -> int:
        """The cached number of rows, which sets how many IVF lists a search probes."""
        known = self._counts.get(layout.name)
        if known is None:
            known = self._counts.put(layout.name, rows.count(self._connect(), layout, ""))
        return known

    def forget(self, collection: str) -> None:
        """Drop the cached layout and count of a collection."""
        self.layouts.forget(collection)
        self._counts.forget(collection)

    def loaded(self, collection: str, ask: Callable[[], T]) -> T:
        """The result of ``ask``; if Milvus Lite reports "not loaded", load and ask again.

        Reading the load state before each search would take as long as the search. The same is
        true of sign bits: if another client has dropped them, ask again without them.
        """
        try:
            return ask()
        except NotFoundError:
            known = self.layouts.get(collection)
            if known is None or binary_sidecar.ON not in known.bits.values():
                raise
            if self.read_again(collection).bits == known.bits:
                raise
            return ask()
        except NotLoadedError:
            if not self._connect().lite:
                raise
            self.load_in_lite(collection)
            return ask()

    def load_in_lite(self, collection: str) -> None:
        """Load a collection of Milvus Lite; the load state on a server is not changed."""
        if self._connect().lite:
            load_in_lite(self._connect(), self.layout(collection).real)

    def _missing(self, collection: str, error: NotFoundError) -> NotFoundError:
        """Suggest similar collection names, unless only the partition does not exist."""
        base, _ = schema.split(collection)
        names = collections.names(self._connect())
        return error if base in names else NotFoundError.missing("collection", base, names)
