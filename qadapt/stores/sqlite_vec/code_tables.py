"""Tables of codes: filled in short transactions, and compared with the original vectors.

vec0 keeps no table in step with another, and virtual tables have no triggers: rows that other
programs write are missing from the codes. Counts, ids and recomputed codes show it
(docs/engines/sqlite-vec.md#codes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qadapt.errors import StoreError, StoreTimeoutError
from qadapt.model import Batch, Id
from qadapt.stores import blobs
from qadapt.stores.operations import Execution
from qadapt.stores.sqlite_vec import chunks, collections, mapping, rows, schema, settings
from qadapt.stores.sqlite_vec.schema import Codes, Column, Table, quoted, shadow, sql_name
from qadapt.stores.store_types import Progress

# Rows of one transaction of a build; other writers wait for it.
BATCH = 2_000
# Tables with at most this many bytes of original vectors are compared as a whole.
COMPARED_BYTES = 200 * 2**20
SAMPLED = 200
# Tables with more rows keep the range of their int8 codes.
WIDENED_ROWS = 10_000
_MOST_PASSES = 10


@dataclass(frozen=True)
class Agreement:
    """How codes agree with the original vectors.

    Attributes:
        count, coded: number of rows, and of codes.
        without: number of rows without a code.
        compared, different: number of codes that were computed again, and of those that differ.
    """

    count: int
    coded: int
    without: int
    compared: int
    different: int

    @property
    def in_step(self) -> bool:
        """Whether a search of the codes sees the current rows."""
        return self.count == self.coded and not self.without and not self.different


# -- comparing -----------------------------------------------------------------------------------


def agreement(at: Any, table: Table, codes: Codes, whole: bool) -> Agreement:
    """Compare codes with the original vectors.

    Args:
        whole: compare all codes, unless there are too many; otherwise a sample.
    """
    count, coded = rows.rows_of(at, table.name), rows.rows_of(at, codes.table)
    without = len(_without(at, table, codes, 1_000_000)) if codes.separate else 0
    column = next(e for e in table.vectors.values() if e.name == codes.vector)
    if whole and count * column.dim * 4 <= COMPARED_BYTES:
        compared, different = _compare_all(at, table, codes, column)
    else:
        compared, different = _compare_ids(at, table, codes, column, _sampled(at, table))
    return Agreement(count, coded, without, compared, different)


def _without(at: Any, table: Table, codes: Codes, limit: int) -> list[Id]:
    """Ids of rows without a code, in order."""
    key = rows.key_of_rowids(table)
    query = (
        f"SELECT r.{key} FROM {shadow(table.name, 'rowids')} AS r WHERE NOT EXISTS (SELECT 1 FROM "
        f"{shadow(codes.table, 'rowids')} AS c WHERE c.{key} = r.{key}) ORDER BY 1 LIMIT ?"
    )
    return [row[0] for row in at.execute(query, (limit,))]


def _sampled(at: Any, table: Table) -> list[Id]:
    """Ids of the newest rows, and of rows at equal distances."""
    source, key = shadow(table.name, "rowids"), rows.key_of_rowids(table)
    newest = at.execute(f"SELECT {key} FROM {source} ORDER BY rowid DESC LIMIT ?", (SAMPLED // 4,))
    found = [row[0] for row in newest]
    first, last = at.execute(f"SELECT min(rowid), max(rowid) FROM {source}").fetchone()
    if first is None:
        return []
    step = max(1, (last - first) // SAMPLED)
    query = (
        f"SELECT (SELECT {key} FROM {source} WHERE rowid >= j.value ORDER BY rowid LIMIT 1) "
        "FROM json_each(?) AS j"
    )
    places = str(list(range(first, last + 1, step)[:SAMPLED]))
    found += [row[0] for row in at.execute(query, (places,))]
    return list(dict.fromkeys(found))


def _compare_ids(
    at: Any, table: Table, codes: Codes, column: Column, ids: list[Id]
) -> tuple[int, int]:
    wanted = _encoded(at, table, codes, column, ids)
    held = _codes(at, table, codes, ids)
    both = [key for key in wanted if key in held]
    return len(both), sum(wanted[key] != held[key] for key in both)


def _encoded(
    at: Any, table: Table, codes: Codes, column: Column, ids: list[Id]
) -> dict[Id, bytes | None]:
    """The codes that the original vectors have."""
    found = _cells(at, table, table.name, column.name, ids)
    floats, _ = blobs.unpacked([cell for _, cell in found], column.dim, "<f4")
    values = blobs.packed(mapping.encoded(floats, codes.kind, codes.scale)) if found else []
    return dict(zip((key for key, _ in found), values, strict=True))


def _codes(at: Any, table: Table, codes: Codes, ids: list[Id]) -> dict[Id, bytes]:
    return dict(_cells(at, table, codes.table, codes.column, ids))


def _cells(
    at: Any, table: Table, source: str, column: str, ids: list[Id]
) -> list[tuple[Id, bytes]]:
    key = sql_name(table.key.name)
    query = (
        f"SELECT t.{key}, t.{sql_name(column)} FROM json_each(?) AS j "
        f"CROSS JOIN {quoted(source)} AS t ON t.{key} = j.value"
    )
    found: list[tuple[Id, bytes]] = []
    for start in range(0, len(ids), rows.FETCHED):
        part = rows.listed(ids[start : start + rows.FETCHED])
        found += at.execute(query, (part,)).fetchall()
    return found


def _compare_all(at: Any, table: Table, codes: Codes, column: Column) -> tuple[int, int]:
    """Compare all codes through the chunks of both tables, 30 times as fast as by SQL."""
    width = mapping.row_bytes(codes.kind, column.dim)
    place = table.place_of(codes.column) if not codes.separate else 0
    held = list(chunks.chunks(at, codes.table, place, width))
    if not held:
        return 0, 0
    keys = np.concatenate([each for each, _ in held])
    order = np.argsort(keys, kind="stable")
    keys, data = keys[order], np.concatenate([each for _, each in held])[order]
    pairs = _pairs(at, table, codes)
    compared = different = 0
    for rowids, cells in chunks.chunks(at, table.name, table.place_of(column.name), 4 * column.dim):
        floats = np.ascontiguousarray(cells).view("<f4")
        wanted = mapping.encoded(floats, codes.kind, codes.scale)
        other = rowids if pairs is None else np.array([pairs.get(e, -1) for e in rowids.tolist()])
        at_code = np.minimum(np.searchsorted(keys, other), len(keys) - 1)
        both = keys[at_code] == other
        compared += int(both.sum())
        different += int((data[at_code[both]] != wanted[both]).any(axis=1).sum())
    return compared, different


def _pairs(at: Any, table: Table, codes: Codes) -> dict[int, int] | None:
    """The rowid of the codes by that of the row; None if they are equal."""
    if not codes.separate or not table.text_key:
        return None
    query = (
        f"SELECT r.rowid, c.rowid FROM {shadow(table.name, 'rowids')} AS r "
        f"JOIN {shadow(codes.table, 'rowids')} AS c ON c.id = r.id"
    )
    return dict(at.execute(query).fetchall())


# -- building ------------------------------------------------------------------------------------


def name_of(table: Table, column: Column, kind: str) -> str:
    """The table of the codes of a vector."""
    return f"{table.name}__{column.name}_{kind}"


def build(run: Execution[Any], vector: str, kind: str) -> None:
    """Create the table of codes, or bring an existing one up to date.

    Rows are read and written in batches; a build that was cut off is continued. The codes are used
    after the last batch, in whose transaction no other connection has written.

    Raises:
        StoreTimeoutError, StoreError
    """
    connection, name = run.store.connection, run.collection
    column = _prepare(run, vector, kind)
    for _ in range(_MOST_PASSES):
        if _pass(run, vector, kind, column):
            return
    raise StoreError(
        f"other connections changed {name!r} during each of {_MOST_PASSES} passes",
        hint=f"stop writes to {connection.file!r}, then run `qadapt apply` again",
    )


def _prepare(run: Execution[Any], vector: str, kind: str) -> Column:
    """Create and record the table of codes unless it exists; reset it to incomplete."""
    with run.store.connection.transaction(f"create codes of {run.collection!r}") as at:
        table = read(at, run.collection)
        column = table.column_of(vector)
        codes = _find(table, column, kind)
        target = name_of(table, column, kind)
        taken = at.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (target,)).fetchone()
        if codes is None and taken:
            raise StoreError(
                f"a table with the name of the codes exists already: {target!r}",
                hint=f"rename or drop it: DROP TABLE {quoted(target)}",
            )
        if not taken:
            metric = "" if kind == "bit" else column.metric
            columns = [
                *table.of("key"),
                *table.of("partition"),
                Column("codes", "vector", kind, column.dim, metric),
            ]
            at.execute(schema.statement(target, columns))
        scale = None
        if kind == "int8" and column.metric == "l2":
            known = codes.scale if codes is not None and taken else None
            scale = known or scale_now(at, table, column)
        record(at, table, Codes(column.name, target, "codes", kind, scale, ready=False))
    return column


def scale_now(at: Any, table: Table, column: Column) -> float:
    """One step of int8 codes that cover all current values."""
    found = 0.0
    for rows_ in chunks.vectors_of(at, table, column):
        found = mapping.scale_of(rows_, found)
    return found


def widen(at: Any, table: Table, batch: Batch) -> Table:
    """Extend the range of int8 codes under ``l2`` to the values of new rows, and encode the stored
    rows again; only in small tables, such as new ones.

    Returns:
        The table with the new range.
    """
    changed = False
    for name, column in table.vectors.items():
        for codes in table.codes_of(column):
            if codes.scale is None or not codes.exists or name not in batch.vectors:
                continue
            scale = mapping.scale_of(batch.vectors[name], codes.scale)
            if scale <= codes.scale or rows.rows_of(at, table.name) > WIDENED_ROWS:
                continue
            wider = replace(codes, scale=scale)
            record(at, table, wider)
            for ids in _all_ids(at, table):
                _update(at, table, wider, column, ids)
            changed = True
    return read(at, table.name) if changed else table


def _all_ids(at: Any, table: Table) -> Iterator[list[Id]]:
    after: Any = None
    while ids := rows.next_ids(at, table, after, BATCH):
        yield ids
        after = ids[-1]


def _pass(run: Execution[Any], vector: str, kind: str, column: Column) -> bool:
    """Write the codes that are missing or differ.

    Returns:
        Whether no other connection wrote during the pass.
    """
    connection = run.store.connection
    after: Any = None
    done = 0
    started: int | None = None
    while True:
        with connection.transaction(f"write codes of {run.collection!r}") as at:
            seen = at.execute("PRAGMA data_version").fetchone()[0]
            started = seen if started is None else started
            table = read(at, run.collection)
            codes = _find(table, column, kind)
            if codes is None:
                raise StoreError(
                    f"another connection dropped the codes of {run.collection!r}",
                    hint="run `qadapt apply` again",
                )
            ids = rows.next_ids(at, table, after, BATCH)
            _update(at, table, codes, column, ids)
            if not ids:
                _drop_orphans(at, table, codes)
                if seen == started:
                    record(at, table, Codes(
                        codes.vector, codes.table, codes.column, kind, codes.scale, ready=True
                    ))  # fmt: skip
                    settings.use(at, table, column.name, None)
                return bool(seen == started)
            total = rows.rows_of(at, table.name)
        done, after = done + len(ids), ids[-1]
        run.progress(Progress("writing codes", done, total))
        if run.deadline.passed:
            raise StoreTimeoutError(
                f"{done:,} of {total:,} codes of {run.collection!r} are written",
                hint="run `qadapt apply` again to continue",
            )


def _update(at: Any, table: Table, codes: Codes, column: Column, ids: list[Id]) -> None:
    """Replace the codes of rows that have none or another one."""
    wanted, held = _encoded(at, table, codes, column, ids), _codes(at, table, codes, ids)
    changed = [key for key, value in wanted.items() if held.get(key) != value]
    stale = [key for key in changed if key in held]
    if stale:
        rows.delete_rows(at, codes.table, table.key.name, stale)
    if not changed:
        return
    partitions = [each.name for each in table.of("partition")]
    names = ", ".join(f"t.{sql_name(each)}" for each in (table.key.name, column.name, *partitions))
    query = (
        f"SELECT {names} FROM json_each(?) AS j CROSS JOIN {quoted(table.name)} AS t "
        f"ON t.{sql_name(table.key.name)} = j.value"
    )
    cells = list(zip(*at.execute(query, (rows.listed(changed),)).fetchall(), strict=True))
    floats, _ = blobs.unpacked(cells[1], column.dim, "<f4")
    rows.insert_codes(at, table, codes, cells[0], floats, cells[2:])


def _drop_orphans(at: Any, table: Table, codes: Codes) -> None:
    """Delete codes whose rows were deleted."""
    key = rows.key_of_rowids(table)
    query = (
        f"SELECT c.{key} FROM {shadow(codes.table, 'rowids')} AS c WHERE NOT EXISTS (SELECT 1 FROM "
        f"{shadow(table.name, 'rowids')} AS r WHERE r.{key} = c.{key})"
    )
    found = [row[0] for row in at.execute(query)]
    if found:
        rows.delete_rows(at, codes.table, table.key.name, found)


def drop(run: Execution[Any], vector: str, kind: str) -> None:
    """Drop a table of codes and its record in one transaction; idempotent."""
    with run.store.connection.transaction(f"drop codes of {run.collection!r}") as at:
        table = read(at, run.collection)
        codes = _find(table, table.column_of(vector), kind)
        if codes is None:
            return
        at.execute(f"DROP TABLE IF EXISTS {quoted(codes.table)}")
        settings.forget_codes(at, table, codes.vector, kind)


def read(at: Any, name: str) -> Table:
    """The table of a collection, read in the caller's transaction."""
    found = collections.read_tables(at)
    if name not in found:
        raise StoreError(
            f"the table {name!r} does not exist any more", hint="run `qadapt plan` again"
        )
    return collections.require_readable(found[name])


def _find(table: Table, column: Column, kind: str) -> Codes | None:
    return next((e for e in table.codes_of(column) if e.separate and e.kind == kind), None)


def record(at: Any, table: Table, codes: Codes) -> None:
    """Write the description of a table of codes to the settings; a new one is the last."""
    entry = {
        "table": codes.table,
        "kind": codes.kind,
        "ready": codes.ready,
        **({"scale": codes.scale} if codes.scale is not None else {}),
    }
    settings.put_codes(at, table, codes.vector, entry)
