"""Writing and reading rows as Arrow tables.

LanceDB has no primary key: ``add`` of an existing id makes a second row. New rows are added, which
is the fast way, and rows whose id exists are merged (docs/engines/lancedb.md#rows).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from qadapt.errors import UnsupportedError
from qadapt.model import Batch, Id
from qadapt.model.batch import unchecked
from qadapt.stores.base import ReadRequest
from qadapt.stores.lancedb import ids as row_ids
from qadapt.stores.lancedb import payload
from qadapt.stores.lancedb.connection import Stamp, async_table, event_loop
from qadapt.stores.lancedb.errors import translated
from qadapt.stores.lancedb.filters import joined
from qadapt.stores.lancedb.schema import Table, sql_id, sql_ids, sql_name
from qadapt.stores.row_batches import in_order

# Ids in one condition.
FETCHED = 5_000
# The client counts a missing vector as bad; qadapt has checked the others. To keep them, the client
# converts all rows in Python first.
KEPT, REFUSED = "null", "error"
# Rows of one block of ids, and bytes of one block of rows with vectors.
IDS, BLOCK = 1 << 16, 1 << 25
# Instead of the largest id of an empty table.
_NOTHING = object()


# -- writing -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """What is known of the ids of a table after a write of this process.

    Attributes:
        version: of the table after the write.
        largest: the largest id; None if it is unknown.
        handle: at this version.
        table: its columns.
        manifest: the file of the version; None if it cannot tell whether there is a later one.
    """

    version: int
    largest: Any
    handle: Any
    table: Table
    manifest: Stamp | None = None


def shown(handle: Any, *, latest: bool = False) -> tuple[int, pa.Schema]:
    """The version and the columns that a handle shows.

    Args:
        latest: let it show the latest version first.
    """
    table = async_table(handle)
    if table is None:
        if latest:
            handle.checkout_latest()
        return handle.version, handle.schema

    async def read() -> tuple[int, pa.Schema]:
        if latest:
            await table.checkout_latest()
        return await table.version(), await table.schema()

    found: tuple[int, pa.Schema] = event_loop().run(read())  # instead of three calls of its thread
    return found


def write(handle: Any, version: int, table: Table, batch: Batch, known: Written | None) -> Written:
    """Add the rows of a batch, or replace those whose id exists.

    Args:
        handle: shows the latest version.
        version: the latest version.
        known: after an earlier write.
    """
    for name, why in table.other_vectors.items():
        raise UnsupportedError(
            f"qadapt cannot write to {table.name!r}: the column {name!r} {why}",
            hint="write the rows with lancedb",
        )
    rows = to_arrow(table, batch)
    absent = any(rows.column(each.name).null_count for each in table.vectors.values())
    bad = KEPT if absent else REFUSED
    low, high = pc.min_max(rows.column(table.key)).as_py().values()
    largest: Any = None
    if known is not None and known.version == version:
        largest = known.largest
    elif not handle.count_rows():
        largest = _NOTHING
    if (largest is not None and (largest is _NOTHING or low > largest)) or _are_new(
        handle, table, batch.ids, (low, high)
    ):
        done = handle.add(rows, on_bad_vectors=bad)
    else:
        done = _merge(handle, table, rows, bad)
    if done.version != version + 1:  # another client changed the table at the same time
        _remove_repeated(handle, table, batch.ids, (low, high), rows, bad)
        return Written(handle.version, None, handle, table)
    if largest is not None:
        largest = high if largest is _NOTHING else max(high, largest)
    return Written(done.version, largest, handle, table)


def _merge(handle: Any, table: Table, rows: pa.Table, bad: str) -> Any:
    merge = handle.merge_insert(table.key).when_matched_update_all()
    return merge.when_not_matched_insert_all().execute(rows, on_bad_vectors=bad)


def _remove_repeated(
    handle: Any, table: Table, ids: Sequence[Id], ends: tuple[Id, Id], rows: pa.Table, bad: str
) -> None:
    """Write the rows again if another client has added some of their ids at the same time, which is
    no conflict for the engine."""
    if handle.count_rows(_between(table, ends)) <= len(ids) or _count(handle, table, ids) == len(
        ids
    ):
        return
    for chosen in _conditions(table, ids):
        handle.delete(chosen)
    _merge(handle, table, rows, bad)


def _count(handle: Any, table: Table, ids: Sequence[Id]) -> int:
    return sum(handle.count_rows(chosen) for chosen in _conditions(table, ids))


def _conditions(table: Table, ids: Sequence[Id]) -> Iterator[str]:
    for start in range(0, len(ids), FETCHED):
        yield sql_ids(table.key, ids[start : start + FETCHED])


def _between(table: Table, ends: tuple[Id, Id]) -> str:
    key = sql_name(table.key)
    return f"{key} >= {sql_id(ends[0])} AND {key} <= {sql_id(ends[1])}"


def _are_new(handle: Any, table: Table, ids: Sequence[Id], ends: tuple[Id, Id]) -> bool:
    """Whether no row has one of these ids, of which ``ends`` are the least and the largest."""
    if not handle.count_rows(_between(table, ends)):
        return True
    return len(ids) <= FETCHED and not handle.count_rows(sql_ids(table.key, ids))


def to_arrow(table: Table, batch: Batch) -> pa.Table:
    """The rows of a batch with all columns of a table; vectors that are missing are null.

    Raises:
        InputError
    """
    count = len(batch)
    arrays: dict[str, Any] = {table.key: row_ids.to_arrow(table, batch.ids)}
    for name, column in table.vectors.items():
        kind = table.arrow.field(column.name).type
        rows = batch.vectors.get(name)
        arrays[column.name] = (
            pa.nulls(count, kind) if rows is None else _lists(rows, kind, batch.missing.get(name))
        )
    arrays.update(payload.columns(table, batch.payloads, count))
    return pa.table([arrays[name] for name in table.arrow.names], schema=_plain(table, arrays))


def _plain(table: Table, arrays: dict[str, Any]) -> pa.Schema:
    return pa.schema([pa.field(name, arrays[name].type) for name in table.arrow.names])


def _lists(
    rows: npt.NDArray[np.float32], kind: Any, missing: npt.NDArray[np.bool_] | None
) -> pa.FixedSizeListArray:
    """Vectors as lists of a fixed size, without a copy if they are float32."""
    cells = np.ascontiguousarray(rows, dtype=kind.value_type.to_pandas_dtype()).reshape(-1)
    mask = pa.array(missing) if missing is not None and missing.any() else None
    return pa.FixedSizeListArray.from_arrays(pa.array(cells), type=kind, mask=mask)


# -- reading -------------------------------------------------------------------------------------


def fetch(
    handle: Any, table: Table, ids: Sequence[Id], names: Sequence[str], fields: bool
) -> Batch:
    """Rows by id, in the requested order; missing ids are omitted."""
    possible = [each for each in dict.fromkeys(ids) if row_ids.accepts(table, each)]
    found = []
    for start in range(0, len(possible), FETCHED):
        chosen = sql_ids(table.key, possible[start : start + FETCHED])
        query = handle.search().where(chosen).select(_columns(table, names, fields))
        found.append(query.to_arrow())
    if not found:
        return to_batch(table, empty(table, names, fields), names, fields)
    return in_order(to_batch(table, pa.concat_tables(found), names, fields), possible)


def empty(table: Table, names: Sequence[str], fields: bool) -> pa.Table:
    """No rows with the columns of a read."""
    kept = [table.arrow.field(name) for name in _columns(table, names, fields)]
    return pa.schema(kept).empty_table()


def _columns(table: Table, names: Sequence[str], fields: bool) -> list[str]:
    found = [table.key, *(table.vectors[name].name for name in names)]
    return found + (payload.names(table) if fields else [])


def to_batch(
    table: Table, rows: pa.Table, names: Sequence[str], fields: bool, *, unique: bool = False
) -> Batch:
    """The rows of a read; the first of several rows with the same id.

    Args:
        unique: each id occurs once, and none is null.
    """
    ids = rows.column(table.key).to_pylist()
    if not unique and (len(set(ids)) < len(ids) or None in ids):
        first = {key: row for row, key in reversed(list(enumerate(ids))) if key is not None}
        rows = rows.take(sorted(first.values()))
        ids = rows.column(table.key).to_pylist()
    vectors, missing = {}, {}
    for name in names:
        column = table.vectors[name]
        vectors[name], gone = _floats(rows.column(column.name), column.vector.dim)
        if gone is not None:
            missing[name] = gone
    return unchecked(ids, vectors, payload.read(table, rows) if fields else None, missing, {})


def _floats(
    column: pa.ChunkedArray, dim: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None]:
    """Vectors as float32 ``(n, dim)``, and the mask of missing ones."""
    parts = [_of_chunk(each, dim) for each in column.chunks if len(each)]
    if not parts:
        return np.empty((0, dim), np.float32), None
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if not column.null_count:
        return rows, None
    gone = column.is_null().to_numpy()
    rows = rows.copy()
    rows[gone] = 0
    return rows, gone


def _of_chunk(chunk: pa.FixedSizeListArray, dim: int) -> npt.NDArray[np.float32]:
    start = chunk.offset * dim
    values = chunk.values.slice(start, len(chunk) * dim)
    if values.null_count:
        values = values.fill_null(0)
    found: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(len(chunk), dim)
    return found.astype(np.float32, copy=False)


def pages(
    handle: Any,
    table: Table,
    names: Sequence[str],
    request: ReadRequest,
    condition: str | None,
    *,
    ordered: bool,
) -> Iterator[Batch]:
    """All rows, or those of a condition, in pages by id.

    Rows that are stored in the order of their ids are read in one scan; otherwise each page is a
    query for the next ids.

    Args:
        handle: used by this read only, so that it shows one version.
        condition: SQL of the filter.
        ordered: the result of ``are_in_order``.
    """
    after, through = _ends(request)
    rest = joined([condition, _bounds(table, None, through)])
    columns = _columns(table, names, request.payload)
    with translated(f"read {table.name!r}"):
        if ordered:
            found = joined([rest, _bounds(table, after, None)])
            width = sum(4 * table.vectors[name].vector.dim for name in names) or 1
            parts = _scan(handle, columns, found, request.page, min(IDS, BLOCK // width))
        else:
            parts = _by_queries(handle, table, columns, rest, after, request.page)
        for part in parts:
            yield to_batch(table, part, names, request.payload, unique=ordered)


def are_in_order(handle: Any, table: Table, request: ReadRequest, condition: str | None) -> bool:
    """Whether the ids of a read ascend in the order of its rows."""
    found = joined([condition, _bounds(table, *_ends(request))])
    with translated(f"read the ids of {table.name!r}"):
        return _ascend(handle, table, found)


def _ends(request: ReadRequest) -> tuple[Any, Any]:
    """The id after which a read begins, and its last id."""
    bounds = dict(request.scan_range or {})
    after, through = bounds.get("after"), bounds.get("through")
    if request.after is not None and (after is None or request.after > after):
        after = request.after
    return after, through


def _bounds(table: Table, after: Any, through: Any) -> str | None:
    key = sql_name(table.key)
    return joined(
        [
            None if after is None else f"{key} > {sql_id(after)}",
            None if through is None else f"{key} <= {sql_id(through)}",
        ]
    )


def _query(handle: Any, columns: Sequence[str], condition: str | None) -> Any:
    query = handle.search().select(list(columns))
    return query.where(condition) if condition else query


def _ascend(handle: Any, table: Table, condition: str | None) -> bool:
    """Whether the ids ascend in the order of the rows, without equal ones."""
    last: Any = None
    for batch in _query(handle, [table.key], condition).to_batches(IDS):
        ids = batch.column(0)
        if not len(ids):
            continue
        if ids.null_count or (last is not None and not ids[0].as_py() > last):
            return False
        if len(ids) > 1 and not pc.all(pc.less(ids[:-1], ids[1:])).as_py():
            return False
        last = ids[-1].as_py()
    return True


def _scan(
    handle: Any, columns: Sequence[str], condition: str | None, page: int, block: int
) -> Iterator[pa.Table]:
    """Pages of one scan, in the order of the rows.

    Args:
        block: rows that the engine returns at once; more than a page, because each answer of the
            engine passes between two threads.
    """
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in _query(handle, columns, condition).to_batches(max(page, block // page * page)):
        at = 0
        while at < batch.num_rows:
            part = batch.slice(at, page - count)
            held.append(part)
            at, count = at + part.num_rows, count + part.num_rows
            if count == page:
                yield pa.Table.from_batches(held)
                held, count = [], 0
    if held:
        yield pa.Table.from_batches(held)


def _by_queries(
    handle: Any, table: Table, columns: Sequence[str], condition: str | None, after: Any, page: int
) -> Iterator[pa.Table]:
    """Pages of queries for the next ids."""
    from lancedb.query import ColumnOrdering

    order = [ColumnOrdering(column_name=table.key)]
    present = f"{sql_name(table.key)} IS NOT NULL"
    while True:
        found = joined([condition, _bounds(table, after, None) or present])
        rows = _query(handle, columns, found).order_by(order).limit(page).to_arrow()
        if rows.num_rows:
            yield rows
            after = rows.column(table.key)[-1].as_py()
        if rows.num_rows < page:
            return


def reader(handle: Any, table: Table) -> Any:
    """Reads an expression of all rows, as ``filters.to_condition`` needs."""

    def read(expression: str) -> tuple[list[Any], list[Any]]:
        query = handle.search().select({"key": sql_name(table.key), "value": expression})
        found = query.to_arrow()
        return found.column("key").to_pylist(), found.column("value").to_pylist()

    return read
