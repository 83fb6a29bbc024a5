"""What the server reports about one table, read once, and the state of its vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import sql

from qadapt.footprint import original_bytes
from qadapt.model import (
    CollectionInfo,
    Metric,
    Quantization,
    Rescore,
    Server,
    UnknownDimension,
    VectorInfo,
)
from qadapt.stores.pgvector import mapping, statements, status
from qadapt.stores.pgvector.binary_format import QueryVector, register
from qadapt.stores.pgvector.schema import KINDS, Column, Index, Table
from qadapt.stores.pgvector.statements import Source
from qadapt.stores.pgvector.status import Build, Observation, Used
from qadapt.stores.pgvector.version import Extension

# hnsw.ef_search and ivfflat.probes of a session that sets neither.
EF_SEARCH = 40
ASSUMED = (
    "neither an index nor a comment has the metric of {column!r}: {metric} is assumed "
    "(option metric= of the address)"
)
_PROGRESS = """
SELECT phase, tuples_done, tuples_total, blocks_done, blocks_total, lockers_total,
       current_locker_pid, pid
FROM pg_stat_progress_create_index WHERE index_relid = %s
"""


@dataclass(frozen=True)
class Snapshot:
    """A table, its row counts and the observations of its vectors.

    Attributes:
        table: as in the catalogs.
        extension: version and schema of pgvector.
        count: number of rows.
        present: number of rows with each vector.
        observations: by name of the vector.
        assumed: the metric of vectors for which neither a comment nor an index has one.
    """

    table: Table
    extension: Extension
    count: int
    present: Mapping[str, int]
    observations: Mapping[str, Observation]
    assumed: Metric

    def source(self, name: str) -> Source:
        """What a search of a vector reads."""
        column = self.table.vectors.get(name)
        vector = self.table.vector(name, self.assumed)
        assert column is not None
        return Source(self.table, column, vector, self.extension.schema)


def chosen_index(table: Table, name: str, column: Column) -> Index | None:
    """The index that determines the quantization of a vector.

    The codes that qadapt saved in the comment, if there is such an index; otherwise the smallest
    ones. Partial indexes, other expressions and other operator classes are not searched.
    """
    saved = (table.settings.get("codes") or {}).get(column.name)
    order = ("bit", "halfvec", "subvector", "vector")
    found = [each for each in table.indexes_of(column) if _is_searched(table, name, column, each)]
    found.sort(
        key=lambda each: (
            each.label != saved, each.dims is not None, order.index(each.codes), not each.valid
        )
    )  # fmt: skip
    if saved == "vector" and (not found or found[0].codes != "vector"):
        return None
    return found[0] if found else None


def _is_searched(table: Table, name: str, column: Column, index: Index) -> bool:
    if not index.is_plain:
        return False
    metric, _ = table.metric_of(name, column)
    wanted = mapping.opclass(index.codes, metric or Metric.COSINE, statements_datatype(column))
    return index.opclass == wanted or metric is None


def statements_datatype(column: Column) -> str:
    """The datatype of a vector column."""
    return "float16" if column.type == "halfvec" else "float32"


def quantization_of(index: Index | None) -> Quantization:
    """The quantization of the codes of an index."""
    if index is None or index.codes == "vector":
        return mapping.NONE
    return mapping.KINDS[index.codes].replace(dims=index.dims)


def take_snapshot(at: Any, table: Table, extension: Extension, assumed: Metric) -> Snapshot:
    """Read row counts and the evidence of each vector."""
    names = list(table.vectors)
    counts = [
        sql.SQL("count({})").format(statements.identifier(table.vectors[name].name))
        for name in names
    ]
    query = sql.SQL("SELECT count(*){} FROM {}").format(
        sql.SQL("").join(sql.SQL(", ") + each for each in counts), statements.relation(table)
    )
    row = at.execute(query, []).fetchone()
    present = dict(zip(names, row[1:], strict=True))
    plain = Snapshot(table, extension, row[0], present, {}, assumed)
    found = {name: _observe(at, plain, name) for name in names}
    return Snapshot(table, extension, row[0], present, found, assumed)


def _observe(at: Any, snapshot: Snapshot, name: str) -> Observation:
    table, column = snapshot.table, snapshot.table.vectors[name]
    index = chosen_index(table, name, column)
    build = used = None
    if index is not None and not index.valid:
        build = build_of(at, index)
    if index is not None and index.valid and snapshot.present[name]:
        used = _explain(at, snapshot, name, index)
    siblings = tuple(each.name for each in table.indexes_of(column) if each != index)
    return Observation(
        snapshot.count, snapshot.present[name], index, quantization_of(index), used, build,
        siblings, KINDS[table.kind], table.row_security, table.persistence == "u",
    )  # fmt: skip


def build_of(at: Any, index: Index) -> Build | None:
    """The build of an index that is in progress; None if there is none."""
    row = at.execute(_PROGRESS, [index.oid]).fetchone()
    if row is None:
        return None
    phase, tuples, tuples_total, blocks, blocks_total, lockers, locker, pid = row
    done, total = (tuples, tuples_total) if tuples_total else (blocks, blocks_total)
    return Build(phase, done or 0, total or 0, locker if lockers else None, pid)


def _explain(at: Any, taken: Snapshot, name: str, index: Index) -> Used:
    """The indexes in the plans of a search that forces an index, and of one without settings."""
    source = taken.source(name)
    limit = EF_SEARCH if index.codes == "bit" else 10
    query = statements.nearest(source, index, limit, None, [sql.SQL("1")])
    statement = sql.SQL("EXPLAIN (FORMAT JSON) ") + query
    values = [search_vector(source)]
    with at.transaction(), at.cursor() as cursor:
        register(cursor, taken.extension.types)
        natural = cursor.execute(statement, values).fetchone()[0]
        cursor.execute("SET LOCAL enable_seqscan = off")
        forced = cursor.execute(statement, values).fetchone()[0]
    return Used(tuple(index_names(forced)), tuple(index_names(natural)))


def search_vector(source: Source) -> Any:
    """A query for the planner, which does not look at its values."""
    return QueryVector(np.ones(source.vector.dim, dtype=np.float32), source.column.type)


def index_names(plan: Any) -> Iterator[str]:
    """Names of the indexes that a plan scans in their order."""
    for node in _nodes(plan[0]["Plan"]):
        if node.get("Node Type") in ("Index Scan", "Index Only Scan") and "Order By" in node:
            yield str(node["Index Name"])


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


# -- common form ---------------------------------------------------------------------------------


def collection_info(name: str, server: Server, snapshot: Snapshot) -> CollectionInfo:
    """The collection in common terms."""
    table = snapshot.table
    vectors = {each: _vector_info(each, snapshot) for each in table.vectors}
    config = {
        "table": f"{table.schema}.{table.name}",
        "kind": KINDS[table.kind],
        "columns": {each.name: each.type for each in table.columns},
        "indexes": {
            each.name: [each.method, each.opclass, each.expression, dict(each.options), each.valid]
            for each in table.indexes
        },
    }
    unknown = {each: UnknownDimension(0, complete=False) for each in table.without_dimensions}
    return CollectionInfo(name, snapshot.count, vectors, server, config, unknown)


def _vector_info(name: str, snapshot: Snapshot) -> VectorInfo:
    table, column = snapshot.table, snapshot.table.vectors[name]
    vector, observation = table.vector(name, snapshot.assumed), snapshot.observations[name]
    _, source = table.metric_of(name, column)
    notes: tuple[str, ...] = ()
    if not source:
        notes = (ASSUMED.format(column=column.name, metric=vector.metric),)
    index = observation.index
    code_bytes = 0
    if index and observation.coded:
        size = mapping.value_bytes(stored_codes(index, column), index.dims or vector.dim)
        code_bytes = observation.present * size
    return VectorInfo(
        name,
        vector.dim,
        vector.metric,
        vector.datatype,
        observation.present,
        index_info(table, column, index),
        observation.quantization,
        status.status_of(observation),
        default_rescore=Rescore(source="off") if observation.coded else None,
        code_bytes=code_bytes,
        float_bytes=original_bytes(observation.present, vector),
        notes=notes,
    )


def index_info(table: Table, column: Column, index: Index | None) -> dict[str, Any]:
    """The index of a vector, and the other ones of the column."""
    others = [each.name for each in table.indexes_of(column) if each != index]
    found: dict[str, Any] = {"type": index.method if index else "none"}
    if index is not None:
        found |= {"name": index.name, "size": index.size, **index.options}
    if others:
        found["other_indexes"] = others
    return found


def stored_codes(index: Index, column: Column) -> str:
    """The type of the values of an index: the first dimensions of halfvec are halfvec."""
    half = index.codes == "subvector" and column.type == "halfvec"
    return "halfvec" if half else index.codes
