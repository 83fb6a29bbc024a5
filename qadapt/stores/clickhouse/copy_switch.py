"""Changes of a codec, which is fixed when a table is created: a copy, and an atomic exchange.

The rows are copied by ``INSERT ... SELECT``, never by ``ATTACH PARTITION`` or ``ALTER UPDATE``,
which set all vectors of a coded column to zero (docs/engines/clickhouse.md#data-loss).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from qadapt.errors import StoreError, UnsupportedError
from qadapt.stores.clickhouse import collections
from qadapt.stores.clickhouse.collections import COPY, relation
from qadapt.stores.clickhouse.connection import literal, quoted
from qadapt.stores.clickhouse.rows import source
from qadapt.stores.clickhouse.schema import Codec, Table
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.store_types import Progress

if TYPE_CHECKING:
    from qadapt.stores.clickhouse.store import ClickHouseStore

_CODEC = re.compile(r" CODEC\(Quantized\([^)]*\)\)")
_PLACE = re.compile(r"CREATE TABLE (?:`(?:[^`\\]|\\.)*`|\w+)\.(?:`(?:[^`\\]|\\.)*`|\w+)")
# Rows are compared by id and vectors, in any order.
_CHECK = "SELECT count() AS qadapt_count, sum(cityHash64({columns})) AS qadapt_sum FROM {source}"


@dataclass(frozen=True)
class SetCodec(Operation):
    """Copies a table with another codec of one column, and exchanges both tables.

    Attributes:
        column: the column.
        codec: such as ``Quantized('rabitq', 384)``; empty for none.
        again: copy even if the column has the codec, which trains the centroids of all rows.
    """

    op: ClassVar[str] = "clickhouse.set_codec"

    column: str
    codec: str = ""
    again: bool = False

    def run(self, at: Execution[ClickHouseStore]) -> None:
        table = at.store.table(at.collection)
        wanted = Codec.parse(self.codec)
        copy = _copy_of(table)
        if table.by_name[self.column].codec == wanted and not self.again:
            _drop(at, copy)  # the former table, after an interruption
            return
        require_copyable(table)
        _drop(at, copy)
        at.progress(Progress("copying rows"))
        self._create(at, table, wanted)
        doing = f"copy {table.name!r}"
        names = ", ".join(quoted(each.name) for each in table.columns if not each.generated)
        # One thread writes one part. Others have separate centroids, and a merge trains them with a
        # part of the rows, which loses recall (docs/engines/clickhouse.md#codes).
        trained = wanted is not None and wanted.method == "product"
        one_part = " SETTINGS max_insert_threads = 1" if trained else ""
        at.store.connection.execute(
            f"INSERT INTO {copy} ({names}) SELECT {names} FROM {source(table)}{one_part}", doing
        )
        _compare(at, table, copy)
        at.store.connection.execute(
            f"EXCHANGE TABLES {relation(table)} AND {copy}", f"exchange {table.name!r}"
        )
        at.store.forget(at.collection)
        _drop(at, copy)

    def _create(self, at: Execution[ClickHouseStore], table: Table, codec: Codec | None) -> None:
        """Create the empty copy.

        Raises:
            StoreError: the definition of the copy is not the intended one.
        """
        connection = at.store.connection
        given = {"d": table.database, "t": table.name}
        ((text, comment),) = connection.rows(
            "SELECT create_table_query, comment FROM system.tables "
            "WHERE database = {d:String} AND name = {t:String}",
            f"read the definition of {table.name!r}",
            given,
        )
        made = definition(text, _copy_of(table), self.column, codec)
        if codec is not None:
            made += (", " if " SETTINGS " in made else " SETTINGS ") + "enable_quantized_codec = 1"
        connection.execute(made, f"create the copy of {table.name!r}")
        copy = collections.read_table(connection, table.name + COPY)
        expected = {each.name: (each.type, each.codec) for each in table.columns}
        expected[self.column] = (table.by_name[self.column].type, codec)
        found = {each.name: (each.type, each.codec) for each in copy.columns} if copy else {}
        if found != expected:
            _drop(at, _copy_of(table))
            raise StoreError(
                f"the definition of {table.name!r} cannot be changed to {self.codec or 'no codec'}",
                hint="create a table with the codec, and write the rows of `collection.read()`",
            )
        connection.execute(
            f"ALTER TABLE {_copy_of(table)} MODIFY COMMENT {literal(comment)}",
            f"comment on the copy of {table.name!r}",
        )


def require_copyable(table: Table) -> None:
    """Check that a table can be copied within its database.

    Raises:
        UnsupportedError
    """
    if not re.fullmatch(r"(Replacing)?MergeTree", table.engine):
        raise UnsupportedError(
            f"qadapt does not copy a table of the engine {table.engine}",
            hint="create a table with the codec on each server, and write the rows to it",
        )


def definition(text: str, place: str, column: str, codec: Codec | None) -> str:
    """The statement that creates a copy: another name, and another codec of one column.

    Args:
        text: ``system.tables.create_table_query``, on one line.
    """
    text = _PLACE.sub(lambda _: f"CREATE TABLE {place}", text, count=1)
    start = re.escape(quoted(column)) + r" Array\(\w+\)"
    line = re.compile(f"({start})({_CODEC.pattern})?")
    new = f" CODEC({codec.text})" if codec else ""
    text = line.sub(lambda found: found[1] + new, text, count=1)
    return re.sub(r" COMMENT '(?:[^'\\]|\\.)*'$", "", text)


def _copy_of(table: Table) -> str:
    return f"{quoted(table.database)}.{quoted(table.name + COPY)}"


def _drop(at: Execution[ClickHouseStore], copy: str) -> None:
    at.store.connection.execute(f"DROP TABLE IF EXISTS {copy} SYNC", f"drop {copy}")


def _compare(at: Execution[ClickHouseStore], table: Table, copy: str) -> None:
    """Compare the copy with its source.

    Raises:
        StoreError: rows differ; the copy is dropped.
    """
    columns = ", ".join(quoted(each.name) for each in table.columns if not each.generated)
    doing = f"compare the copy of {table.name!r}"
    ours, theirs = (
        at.store.connection.rows(_CHECK.format(columns=columns, source=each), doing)
        for each in (source(table), copy)
    )
    if ours != theirs:
        _drop(at, copy)
        raise StoreError(
            f"the copy of {table.name!r} differs: {theirs[0][0]:,} rows instead of "
            f"{ours[0][0]:,}, or other vectors; the table was not changed",
            hint="stop writes to the table, then run `qadapt apply` again",
        )
