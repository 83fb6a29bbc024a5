"""What the engine reports about a table, read at one version, and the state of its vectors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qadapt.footprint import original_bytes
from qadapt.model import CollectionInfo, Quantization, Rescore, Server, VectorInfo
from qadapt.stores.lancedb import mapping, schema, status
from qadapt.stores.lancedb.connection import Connection, Stamp, manifest
from qadapt.stores.lancedb.errors import translated
from qadapt.stores.lancedb.schema import Column, Table
from qadapt.stores.lancedb.status import Observation, VectorIndex

_PARTITIONS = re.compile(r"partitions_ranked=([\d.]+)( K)?")
_INDEX = re.compile(r"ANNSubIndex: .*?name=(.+?), k=")


@dataclass(frozen=True)
class Layout:
    """A table and its indexes at one version: what searches and writes need.

    Attributes:
        handle: shows this version; it is for reads only.
        version: of the table.
        indexes: the vector indexes of each column, the one that serves searches first.
        manifest: the file of the version; None if it cannot tell whether there is a later one.
    """

    handle: Any
    version: int
    table: Table
    indexes: Mapping[str, tuple[VectorIndex, ...]]
    manifest: Stamp | None = None

    def index_of(self, column: Column) -> VectorIndex | None:
        """The index that serves searches of a column; None if there is none."""
        found = self.indexes.get(column.name, ())
        return found[0] if found else None


@dataclass(frozen=True)
class Snapshot:
    """A layout with its rows and the observations of its vectors by name.

    Attributes:
        count: number of rows.
        options: ``id`` and ``metric`` of the address.
        fragments: number of its files; None if unknown.
    """

    layout: Layout
    count: int
    observations: Mapping[str, Observation]
    options: Mapping[str, str] = field(default_factory=dict)
    fragments: int | None = None

    @property
    def table(self) -> Table:
        """The columns."""
        return self.layout.table


def read_layout(
    connection: Connection, name: str, handle: Any, options: Mapping[str, str]
) -> Layout:
    """Read the columns and the indexes of a table at the version of its handle."""
    with translated(f"read the definition of {name!r}"):
        version = handle.version
        indexes = vector_indexes(handle)
        arrow = handle.schema
    metrics = {column: found[0].metric for column, found in indexes.items()}
    table = schema.read_table(name, arrow, metrics, options)
    return Layout(handle, version, table, indexes, manifest(connection, name, version))


def vector_indexes(handle: Any) -> dict[str, tuple[VectorIndex, ...]]:
    """The vector indexes of each column; the oldest one serves its searches."""
    found: dict[str, list[VectorIndex]] = {}
    for each in handle.list_indices():
        index = VectorIndex.of(each)
        if index is not None:
            # The engine returns a name with other characters than letters in backticks.
            found.setdefault(each.columns[0].strip("`"), []).append(index)
    return {
        column: tuple(sorted(several, key=lambda index: index.created))
        for column, several in found.items()
    }


def take_snapshot(layout: Layout, options: Mapping[str, str]) -> Snapshot:
    """Read the evidence of each vector."""
    name = layout.table.name
    with translated(f"inspect {name!r}"):
        count = int(layout.handle.count_rows())
        found = {
            vector: observe(layout, column, count)
            for vector, column in layout.table.vectors.items()
        }
        fragments = _fragments(layout.handle)
    return Snapshot(layout, count, found, options, fragments)


def observe(layout: Layout, column: Column, count: int) -> Observation:
    """The evidence of one vector: its indexes, and the plan of a search."""
    indexes = layout.indexes.get(column.name, ())
    if not indexes or not indexes[0].indexed:
        return Observation(count, column, indexes)
    query = np.full(column.vector.dim, column.vector.dim**-0.5, dtype=np.float32)
    asked = layout.handle.search(query, vector_column_name=column.name)
    asked = asked.distance_type(mapping.WORDS[column.vector.metric]).limit(1).select(["_distance"])
    plan = asked.analyze_plan()
    ranked = _PARTITIONS.search(plan)
    partitions = None
    if ranked is not None and ranked[2] is None:
        partitions = int(float(ranked[1]))
    serving = _INDEX.search(plan)
    return Observation(count, column, indexes, serving[1] if serving else "", partitions)


def _fragments(handle: Any) -> int | None:
    stats = getattr(handle, "stats", None)
    if stats is None:
        return None
    found = stats()
    parts = found["fragment_stats"] if isinstance(found, Mapping) else found.fragment_stats
    number = parts["num_fragments"] if isinstance(parts, Mapping) else parts.num_fragments
    return int(number)


# -- common terms --------------------------------------------------------------------------------


def quantization_of(index: VectorIndex | None, dim: int) -> Quantization:
    """The quantization of an index."""
    return mapping.to_quantization(index.config if index else None, dim)


def collection_info(server: Server, taken: Snapshot) -> CollectionInfo:
    """The collection in common terms."""
    table = taken.table
    config = {
        "id": table.key,
        "columns": {each.name: str(each.type) for each in table.arrow},
        "metrics": {e.name: str(e.vector.metric) for e in table.vectors.values()},
        "indexes": {
            column: [{"name": each.name, "metric": each.metric, **each.config} for each in found]
            for column, found in taken.layout.indexes.items()
        },
        "settings": dict(table.settings),
    }
    vectors = {name: _vector_info(name, taken) for name in table.vectors}
    notes = [f"the column {name!r} {why}" for name, why in table.other_vectors.items()]
    notes += [
        f"the metric of {each.name!r} is not recorded, so it is l2, as in a search of LanceDB; "
        "?metric=cosine in the address selects another one"
        for each in table.vectors.values()
        if each.metric_from == "default"
    ]
    return CollectionInfo(table.name, taken.count, vectors, server, config, notes=tuple(notes))


def _vector_info(name: str, taken: Snapshot) -> VectorInfo:
    observation = taken.observations[name]
    vector, serving = observation.column.vector, observation.serving
    index: dict[str, Any] = {"type": "none"}
    if serving is not None:
        index = {**serving.config, "name": serving.name}
        if observation.partitions is not None:
            index.setdefault("num_partitions", observation.partitions)
    quantization = quantization_of(serving, vector.dim)
    coded = serving is not None and quantization != mapping.NONE
    size = serving.size if serving is not None else 0
    return VectorInfo(
        name,
        vector.dim,
        vector.metric,
        vector.datatype,
        taken.count,
        index,
        quantization,
        status.status_of(observation),
        default_rescore=Rescore(source="off") if coded else None,
        code_bytes=size if coded else 0,
        float_bytes=original_bytes(taken.count, vector),
        graph_bytes=size if serving is not None and not coded else None,
    )
