"""Changes of what vec0 fixes at creation: the table is written again under its name.

DDL of SQLite is transactional, and a rename ruins a table of sqlite-vec 0.1.9, so the rows are
copied to a temporary table and back in one transaction
(docs/engines/sqlite-vec.md#changes).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qadapt.errors import StoreError
from qadapt.stores.operations import Execution
from qadapt.stores.sqlite_vec import code_tables, schema
from qadapt.stores.sqlite_vec.schema import Column, Table, quoted, sql_name
from qadapt.stores.store_types import Progress

_WRAPPED = {"bit": "vec_bit({})", "int8": "vec_int8({})", "float": "{}"}


def set_metric(run: Execution[Any], vector: str, metric: str) -> None:
    """Give a vector column another metric; idempotent."""
    with run.store.connection.transaction(f"change the metric of {run.collection!r}") as at:
        table = code_tables.read(at, run.collection)
        column = table.column_of(vector)
        if column.metric == metric:
            return
        if any(each.separate and each.kind == "int8" for each in table.codes_of(column)):
            raise StoreError(
                f"int8 codes of {vector or column.name!r} have the metric {column.metric}",
                hint="plan the change again: its first step drops them",
            )
        columns = [
            replace(each, metric=metric) if each.name == column.name else each
            for each in table.columns
        ]
        run.progress(Progress("copying rows"))
        _rebuild(at, table, columns)


def _rebuild(at: Any, table: Table, columns: list[Column]) -> None:
    copy = f"{table.name}__qadapt_copy"
    if at.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (copy,)).fetchone():
        raise StoreError(
            f"a table with the name of the copy exists already: {copy!r}",
            hint=f"rename or drop it: DROP TABLE {quoted(copy)}",
        )
    at.execute(schema.statement(copy, columns))
    _copy(at, table, table.name, copy)
    at.execute(f"DROP TABLE {quoted(table.name)}")
    at.execute(schema.statement(table.name, columns))
    _copy(at, table, copy, table.name)
    at.execute(f"DROP TABLE {quoted(copy)}")


def _copy(at: Any, table: Table, source: str, target: str) -> None:
    """Copy rows; values of bit and int8 columns lose their type without a function."""
    names = [sql_name(each.name) for each in table.columns]
    values = [
        _WRAPPED[each.type].format(sql_name(each.name))
        if each.role == "vector"
        else sql_name(each.name)
        for each in table.columns
    ]
    if not table.of("key"):
        names, values = ["rowid", *names], ["rowid", *values]
    at.execute(
        f"INSERT INTO {quoted(target)} ({', '.join(names)}) "
        f"SELECT {', '.join(values)} FROM {quoted(source)}"
    )
