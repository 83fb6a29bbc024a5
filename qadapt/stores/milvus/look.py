"""One look at a collection: its layout, what is loaded, and which segments use which index."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from qadapt.errors import UnsupportedError
from qadapt.model import CollectionInfo, Kind, Quantization, Server, Status, VectorInfo
from qadapt.stores.milvus import bits, forms, lite, mapping, rows, schema
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.engine import Engine
from qadapt.stores.milvus.failures import NotLoadedError
from qadapt.stores.milvus.schema import Field, Layout
from qadapt.stores.milvus.status import Seen, Segment, judge


@dataclass(frozen=True)
class Look:
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
    vectors: Mapping[str, Seen]
    bits: Mapping[str, Status]
    rows: int
    embedded: bool = False

    def status(self, vector: str) -> Status:
        """Of what is searched: bits beside, where there are any, else the index."""
        return self.bits.get(vector) or judge(self.vectors[vector])

    def quantization(self, vector: str) -> Quantization:
        """Of what is searched."""
        return _BITS if vector in self.bits else self.vectors[vector].quantization


_BITS = Quantization(Kind.BINARY)


def look(connection: Connection, name: str) -> Look:
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
    kinds = _quantizations(layout, Engine(connection.version, connection.deployment))
    coded = any(each.kind is not Kind.NONE for each in kinds.values())
    sealed = _sealed(connection, whole) if segments is not None and coded else None
    vectors = {}
    for label, field in layout.vectors.items():
        index = field.index
        seen = Seen(
            count=count,
            quantization=kinds[label],
            index=index.definition if index else None,
            loaded=loaded,
            segments=segments,
            sealed=sealed,
            several=_indexed(layout),
            scalars=layout.scalars if not connection.lite else frozenset(),
            told=index.told if index else {},
            lite=connection.lite,
        )
        if connection.lite:
            seen = lite.in_files(connection.path, layout, field, seen)
        vectors[label] = seen
    beside = {}
    for label, each in layout.vectors.items():
        if each.field in layout.bits:
            beside[label] = bits.status(connection, layout, each, count)
        elif each.coded:
            beside[label] = bits.own_status(each, count, loaded or connection.lite)
    embedded = not connection.lite and connection.version.endswith("-lite")
    return Look(layout, loaded, count, vectors, beside, inside, embedded)


def _quantizations(layout: Layout, engine: Engine) -> dict[str, Quantization]:
    """Of the index of each vector."""
    return {
        label: mapping.from_native(each.index.native if each.index else None, each.vector, engine)
        for label, each in layout.vectors.items()
    }


def _indexed(layout: Layout) -> int:
    """Fields whose index a loaded segment may tell the name of."""
    beside = [each for each in layout.vectors.values() if each.form == forms.BESIDE]
    return len(layout.vectors) + len(layout.others) + len(beside)


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


def vector_info(name: str, looked: Look) -> VectorInfo:
    """One vector in common words."""
    field, seen = looked.layout.vectors[name], looked.vectors[name]
    index = field.index
    size = seen.index_bytes or mapping.code_bytes(
        index.native if index else None, field.vector, looked.rows
    )
    rescore = mapping.default_rescore(seen.quantization)
    if name in looked.bits:
        size, rescore = looked.rows * forms.code_bytes(field.vector.dim), bits.RESCORE
    width = forms.WIDTHS[field.vector.datatype]
    return VectorInfo(
        name=name,
        dim=field.vector.dim,
        metric=field.vector.metric,
        datatype=field.vector.datatype,
        count=looked.rows,
        index=_told_index(field),
        quantization=looked.quantization(name),
        status=looked.status(name),
        default_rescore=rescore,
        code_bytes=size,
        float_bytes=width * looked.rows * field.vector.dim,
    )


def _told_index(field: Field) -> Mapping[str, object]:
    index = field.codes if field.form == forms.ARRAY else field.index
    return index.definition if index else {}


def collection_info(name: str, server: Server, looked: Look) -> CollectionInfo:
    """The whole collection in common words."""
    layout = looked.layout
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
        count=looked.rows,
        vectors={each: vector_info(each, looked) for each in layout.vectors},
        server=server,
        config=config,
    )
