"""Findings of ``qadapt doctor``."""

from __future__ import annotations

from qadapt.model import Evidence, Finding, Metric, Severity
from qadapt.stores.clickhouse import rows
from qadapt.stores.clickhouse.collections import relation
from qadapt.stores.clickhouse.connection import Connection, quoted
from qadapt.stores.clickhouse.schema import COUNT, Column, Table
from qadapt.stores.clickhouse.snapshot import Snapshot

DELETED_SHARE = 0.1


def findings(connection: Connection, taken: Snapshot) -> list[Finding]:
    """The findings of one table."""
    table, found = taken.table, []
    for name, column in table.vectors.items():
        found += [
            *_codec(connection, table, name, column),
            *_lengths(taken, name),
            *_several(table, name, column),
            *_metric(taken, name, column),
        ]
    return [*found, *_deleted(connection, taken), *_duplicates(connection, table)]


def _codec(connection: Connection, table: Table, name: str, column: Column) -> list[Finding]:
    """A coded column: statements that destroy its vectors, and vectors that are lost already."""
    if column.codec is None:
        return []
    found = [
        Finding(
            "coded-column",
            Severity.WARNING,
            name,
            f"the column {column.name!r} has the codec {column.codec.text}: ALTER TABLE ... UPDATE "
            "of it, and ATTACH PARTITION from a table without the codec, set its vectors to zero "
            "without an error",
            (Evidence("system.columns: codec", column.codec.text),),
            "write rows by INSERT, and compare rows after each copy of a partition",
        )
    ]
    text = (
        f"SELECT toInt64(countIf(arrayAll(x -> x = 0, {quoted(column.name)}))) AS {COUNT} "
        f"FROM {relation(table)}"
    )
    lost = int(connection.select(text, f"read vectors of {table.name!r}")[COUNT][0])
    if lost:
        found.append(
            Finding(
                "zero-vectors",
                Severity.ERROR,
                name,
                f"{lost:,} vectors of the column {column.name!r} are zero, as after ALTER TABLE "
                "... UPDATE or ATTACH PARTITION of a coded column",
                (Evidence("rows whose values are all 0", lost),),
                "write these rows again, or restore the table from a backup",
            )
        )
    return found


def _lengths(taken: Snapshot, name: str) -> list[Finding]:
    """An index of i8 under a metric that uses the lengths of vectors."""
    index, metric = taken.observations[name].index, taken.vector_metric(name)
    if index is None or index.quantization != "i8" or metric is Metric.COSINE:
        return []
    return [
        Finding(
            "lengths-ignored",
            Severity.WARNING,
            name,
            f"the index {index.name!r} stores i8 codes of vectors at length 1, but {metric} uses "
            "the lengths: other rows are found unless all vectors have the same length",
            (Evidence("system.data_skipping_indices: type", index.type_full),),
            "apply float16, or scalar, which uses the codec int8 under the Euclidean distance",
        )
    ]


def _several(table: Table, name: str, column: Column) -> list[Finding]:
    """Several indexes of one column, of which a search uses the last one."""
    names = [each.name for each in table.indexes_of(column.name)]
    if len(names) < 2:
        return []
    return [
        Finding(
            "several-indexes",
            Severity.WARNING,
            name,
            f"the column {column.name!r} has the indexes {', '.join(names)}: a search uses the "
            "last one, and all take memory",
            (Evidence("system.data_skipping_indices: names", names),),
            f"ALTER TABLE {relation(table)} DROP INDEX {quoted(names[0])}",
        )
    ]


def _metric(taken: Snapshot, name: str, column: Column) -> list[Finding]:
    """A column whose metric neither an index nor a comment has."""
    if taken.table.metric_of(column.name) is not None:
        return []
    return [
        Finding(
            "unknown-metric",
            Severity.WARNING,
            name,
            f"neither an index nor the comment has the metric; {taken.assumed} is assumed",
            (),
            "add ?metric=cosine, dot or euclidean to the address",
        )
    ]


def _deleted(connection: Connection, taken: Snapshot) -> list[Finding]:
    """Deleted rows that are still in an index and use up its candidates."""
    table = taken.table
    parts = next(iter(taken.observations.values())).parts if taken.observations else ()
    stored = sum(each.rows for each in parts)
    if not table.indexes or not any(each.deleted for each in parts):
        return []
    text = f"SELECT toInt64(count()) AS n FROM {relation(table)}"
    dead = stored - int(connection.select(text, f"count the rows of {table.name!r}")["n"][0])
    if dead <= DELETED_SHARE * max(1, stored):
        return []
    return [
        Finding(
            "deleted-rows",
            Severity.WARNING,
            "",
            f"{dead:,} of {stored:,} rows are deleted and still in the index: they count as "
            "candidates, so that clients of SQL get fewer results than they request",
            (Evidence("rows of system.parts minus count()", dead),),
            f"OPTIMIZE TABLE {relation(table)} FINAL removes them and builds the index again",
        )
    ]


def _duplicates(connection: Connection, table: Table) -> list[Finding]:
    """Rows that share an id."""
    if table.key is None:
        return []
    count, some = rows.duplicates(connection, table)
    if not count:
        return []
    return [
        Finding(
            "duplicate-ids",
            Severity.WARNING,
            "",
            f"{count:,} rows share the id of another row, such as {some[0]!r}: the engine "
            f"{table.engine} keeps all of them, and qadapt reads one of each id",
            (Evidence("ids of several rows", list(some)),),
            "name another column with ?id=COLUMN, or use ReplacingMergeTree",
        )
    ]
