"""What the server reports about one table, read once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from qadapt.footprint import original_bytes
from qadapt.model import CollectionInfo, Metric, Quantization, Rescore, Server, Vector, VectorInfo
from qadapt.stores.base import SearchRequest
from qadapt.stores.clickhouse import mapping, rows, search, status
from qadapt.stores.clickhouse.collections import relation
from qadapt.stores.clickhouse.connection import (
    Connection,
    quoted,
)
from qadapt.stores.clickhouse.filters import Condition
from qadapt.stores.clickhouse.schema import PLANES, Column, Table
from qadapt.stores.clickhouse.status import Mutation, Observation, Part, Plan

_PARTS = (
    "SELECT name, toInt64(rows) AS n, toInt64(secondary_indices_compressed_bytes) AS b, "
    "toInt64(has_lightweight_delete) AS d FROM system.parts "
    "WHERE database = {d:String} AND table = {t:String} AND active ORDER BY name"
)
_MUTATIONS = (
    "SELECT mutation_id, command, toInt64(parts_to_do) AS n, latest_fail_reason "
    "FROM system.mutations WHERE database = {d:String} AND table = {t:String} AND NOT is_done"
)
_UNBUILT = (
    "SELECT toInt64(rows) AS n FROM system.parts WHERE database = {d:String} AND table = "
    "{t:String} AND active AND rows > 0 AND name NOT IN (SELECT name FROM system.parts_columns "
    "WHERE database = {d:String} AND table = {t:String} AND active AND column = {c:String})"
)
_WIDTH = re.compile(r"FixedString\((\d+)\)")
_NAME = re.compile(r"Name: (\S+)")


@dataclass(frozen=True)
class Snapshot:
    """A table, its row count, and the observations of its vectors by name.

    Attributes:
        assumed: the metric of a vector whose metric is unknown.
    """

    table: Table
    count: int
    observations: Mapping[str, Observation]
    assumed: Metric = Metric.COSINE

    def vector_metric(self, name: str) -> Metric:
        """The metric of a vector."""
        return self.table.vector(name, self.assumed).metric


def take_snapshot(connection: Connection, table: Table, assumed: Metric) -> Snapshot:
    """Read the row count and the evidence of each vector."""
    count = rows.count(connection, table, Condition())
    parts, mutations = read_parts(connection, table), read_mutations(connection, table)
    found = {}
    for name, column in table.vectors.items():
        index = table.index_of(column.name)
        metric = table.vector(name, assumed).metric
        sent = plain = None
        planes = table.planes_of(column.name)
        unbuilt = unbuilt_rows(connection, table, planes.name) if planes else 0
        if count and (index is not None or column.codec is not None or planes is not None):
            sent = _explain(connection, table, column, metric, False)
            plain = _explain(connection, table, column, metric, True)
        others = tuple(e.name for e in table.indexes_of(column.name) if e is not index)
        found[name] = Observation(
            count, index, column.codec, quantization(table, column), parts, mutations, sent, plain,
            _width(connection, table, column), others, planes, table.precision_of(column.name),
            unbuilt,
        )  # fmt: skip
    return Snapshot(table, count, found, assumed)


def read_parts(connection: Connection, table: Table) -> list[Part]:
    """The active parts of a table."""
    given = {"d": table.database, "t": table.name}
    found = connection.rows(_PARTS, f"read the parts of {table.name!r}", given)
    return [Part(name, n, size, bool(deleted)) for name, n, size, deleted in found]


def read_mutations(connection: Connection, table: Table) -> list[Mutation]:
    """The mutations of a table that are not done."""
    given = {"d": table.database, "t": table.name}
    found = connection.rows(_MUTATIONS, f"read the mutations of {table.name!r}", given)
    return [Mutation(*each) for each in found]


def unbuilt_rows(connection: Connection, table: Table, name: str) -> int:
    """Rows of the parts that do not have a column, whose values a search computes."""
    given = {"d": table.database, "t": table.name, "c": name}
    return sum(n for (n,) in connection.rows(_UNBUILT, f"read the parts of {table.name!r}", given))


def quantization(table: Table, column: Column) -> Quantization:
    """The quantization of a column: that of its bit planes, of its index, or of its codec."""
    if table.planes_of(column.name) is not None:
        return mapping.of_planes(table.precision_of(column.name))
    index = table.index_of(column.name)
    if index is not None:
        return mapping.of_index(index)
    return mapping.NONE if column.codec is None else mapping.of_codec(column.codec)


def _explain(
    connection: Connection, table: Table, column: Column, metric: Metric, plain: bool
) -> Plan:
    """The plan of a search for 10 rows."""
    request = SearchRequest(10, no_params=plain)
    prepared = search.prepare(table, column, metric, request, Condition())
    query = [1.0] * max(1, table.dim_of(column))
    found = connection.select(
        f"EXPLAIN indexes = 1 {prepared.text}",
        f"explain a search of {table.name!r}",
        {**prepared.values, "q": query},
    )
    return parse_plan("\n".join(found.get("explain", [])))


def parse_plan(text: str) -> Plan:
    """The skip indexes and the use of codes in the text of EXPLAIN."""
    names = []
    lines = text.split("\n")
    for line, following in itertools.pairwise(lines):
        name = _NAME.search(following)
        if line.strip().endswith("Skip") and name:
            names.append(name[1])
    planes = "DistanceTransposedQuantized(" in text
    return Plan(tuple(dict.fromkeys(names)), "quantized shortlist" in text.lower(), planes)


def _width(connection: Connection, table: Table, column: Column) -> int:
    """Bytes of the codes of a row; 0 without codes."""
    if column.codec is None:
        return 0
    codes = f"{quoted(column.name)}.quantized"
    text = f"SELECT toTypeName({codes}) AS t FROM {relation(table)} LIMIT 1"
    found = connection.rows(text, f"read the type of the codes of {table.name!r}")
    width = _WIDTH.search(found[0][0]) if found else None
    return int(width[1]) if width else 0


# -- in common terms -----------------------------------------------------------------------------


def collection_info(server: Server, snapshot: Snapshot) -> CollectionInfo:
    """The table in common terms."""
    table = snapshot.table
    config = {
        "engine": table.engine,
        "sorting_key": table.sorting_key,
        "columns": {
            each.name: each.type if each.codec is None else f"{each.type} {each.codec.text}"
            for each in table.columns
        },
        "indexes": {each.name: f"{each.column} {each.type_full}" for each in table.indexes},
        "settings": {k: v for k, v in table.settings.items() if k in ("search", "metrics")},
    }
    vectors = {name: _vector_info(name, snapshot) for name in table.vectors}
    notes = [f"the column {name!r} {why}" for name, why in table.other_vectors.items()]
    return CollectionInfo(table.name, snapshot.count, vectors, server, config, notes=tuple(notes))


def _vector_info(name: str, snapshot: Snapshot) -> VectorInfo:
    table, observation = snapshot.table, snapshot.observations[name]
    vector = table.vector(name, snapshot.assumed)
    return VectorInfo(
        name,
        vector.dim,
        vector.metric,
        vector.datatype,
        snapshot.count,
        _index(observation),
        observation.quantization,
        status.status_of(observation),
        default_rescore=default_rescore(table, table.column_of(name)),
        code_bytes=_code_bytes(observation, vector.dim),
        float_bytes=original_bytes(snapshot.count, vector),
    )


def _index(observation: Observation) -> dict[str, Any]:
    index, codec = observation.index, observation.codec
    if observation.planes is not None:
        return {"type": "flat", "planes": observation.planes.name, "bits": observation.precision}
    if index is not None:
        return {
            "type": "hnsw", "index": index.name, "quantization": index.quantization,
            "m": index.m, "ef_construction": index.ef,
        }  # fmt: skip
    found: dict[str, Any] = {"type": "flat"}
    if codec is not None:
        found["codec"] = codec.text
    return found


def _code_bytes(observation: Observation, dim: int) -> int:
    if not observation.coded:
        return 0
    index, codec = observation.index, observation.codec
    if observation.planes is not None:
        return observation.count * mapping.code_bytes(mapping.QBIT, (observation.precision,), dim)
    if index is not None:
        return observation.count * mapping.code_bytes(index.quantization, (), dim)
    assert codec is not None
    width = observation.width or mapping.code_bytes(codec.method, codec.numbers, dim)
    return observation.count * width


def default_rescore(table: Table, column: Column) -> Rescore | None:
    """The rescoring of a search that requests none: a codec always rescores its candidates."""
    if quantization(table, column) == mapping.NONE:
        return None
    if table.planes_of(column.name) is not None or table.index_of(column.name) is not None:
        return Rescore(source="off")
    return Rescore(1.0)


def with_target(table: Table, column: Column, vector: Vector, native: Mapping[str, Any]) -> Table:
    """The table after a change of one vector."""
    indexes = [each for each in table.indexes if each.column != column.name]
    codec = None
    added: tuple[Column, ...] = ()
    settings = table.settings
    if native.get("using") == mapping.QBIT:
        kind = f"QBit(Int8, {vector.dim})"
        added = (Column(column.name + PLANES, kind, generated=True),)
        saved = {**(settings.get("precision") or {}), column.name: native["bits"]}
        settings = {**settings, "precision": saved}
    elif native.get("using") == mapping.INDEX:
        indexes.append(mapping.index_for(native, column.name, vector, "planned"))
    elif native:
        codec = mapping.codec_of(native, vector.dim)
    columns = tuple(
        replace(each, codec=codec) if each.name == column.name else each
        for each in table.columns
        if each.name != column.name + PLANES
    )
    return replace(table, indexes=tuple(indexes), columns=columns + added, settings=settings)
