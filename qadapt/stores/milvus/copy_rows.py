"""Copy the rows of a collection to another one in which one vector differs.

Both collections are read in key order. Rows missing in the copy are written, and rows that the
original no longer has are deleted. An interrupted copy therefore continues, and a second pass
copies the rows added or deleted during the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qadapt.errors import StoreError, StoreTimeoutError
from qadapt.model.leading_dims import leading
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.copy_switch import compare_counts
from qadapt.stores.milvus import duplicate_ids, filters, partitions, rows, vector_layout
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.schema import Field, Layout
from qadapt.stores.polling import Deadline

# The number of rows per partition whose payloads are compared.
SAMPLE = 100


def copy(
    connection: Connection,
    old: Layout,
    new: Layout,
    field: Field,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    """Copy the rows of all partitions in one pass.

    Args:
        field: the changed vector's field in the copy.

    Raises:
        StoreTimeoutError: timed out; copied rows are kept and the next call continues.
    """
    total, done = rows.count(connection, old, ""), 0
    for left, right in _pairs(connection, old, new):
        empty = rows.count(connection, right, "") == 0
        last: Any = None
        for keys in _keys(connection, left):
            there = set() if empty else _between(connection, right, last, keys[-1])
            missing = [key for key in keys if key not in there]
            for page in _whole(connection, left, keys, missing, last):
                if deadline.passed:
                    raise StoreTimeoutError(
                        f"timed out after checking or copying {done:,} of {total:,} rows to "
                        f"{new.real!r}",
                        hint="run `qadapt apply` again to continue",
                    )
                rows.send_all(connection, right, _changed(page, old, field))
                progress(Progress(f"copying to {new.real!r}", done, total))
            _delete(connection, right, there.difference(keys))
            done += len(keys)
            last = keys[-1]
            progress(Progress(f"copying to {new.real!r}", done, total))
        if not empty:
            _delete(connection, right, _between(connection, right, last, None))


def _pairs(connection: Connection, old: Layout, new: Layout) -> Iterator[tuple[Layout, Layout]]:
    for each in partitions.partition_layouts(connection, old):
        yield each, dataclasses.replace(new, partition=each.partition)


def _keys(connection: Connection, layout: Layout) -> Iterator[list[Any]]:
    key = layout.keys.field
    for page in rows.pages(connection, layout, [key], "", rows.WINDOW):
        yield [row[key] for row in page]


def _between(connection: Connection, layout: Layout, low: Any, high: Any) -> set[Any]:
    key = layout.keys.field
    found: set[Any] = set()
    for page in rows.pages(connection, layout, [key], filters.span(key, low, high), rows.WINDOW):
        found.update(row[key] for row in page)
    return found


def _whole(
    connection: Connection,
    layout: Layout,
    keys: Sequence[Any],
    missing: Sequence[Any],
    last: Any,
) -> Iterator[list[dict[str, Any]]]:
    """Pages of the missing rows with all fields."""
    size = rows.page_rows(layout)
    fields = rows.all_fields(layout)
    key = layout.keys.field
    if len(missing) == len(keys):
        yield from rows.pages(connection, layout, fields, filters.span(key, last, keys[-1]), size)
        return
    size = min(size, rows.IDS)
    for start in range(0, len(missing), size):
        some = filters.one_of(key, missing[start : start + size])
        yield rows.query(connection, layout, some, fields, rows.SESSION)


def _changed(page: Sequence[Mapping[str, Any]], old: Layout, field: Field) -> list[dict[str, Any]]:
    """Rows with the changed vector converted to its fields in the copy."""
    found = [{name: vector_layout.plain(value) for name, value in row.items()} for row in page]
    before = next(each for each in old.vectors.values() if each.field == field.field)
    narrower = field.vector.dim != before.vector.dim
    same = (before.vector.datatype, before.form) == (field.vector.datatype, field.form)
    if same and not narrower:
        return found
    there = [at for at, row in enumerate(found) if row.get(field.field) is not None]
    array = vector_layout.floats([found[at][field.field] for at in there], before.vector)
    array = leading(array, field.vector.dim, field.vector.metric)
    columns = vector_layout.columns(field.field, field.vector, field.form, array)
    for row in found:
        row.pop(vector_layout.codes_field(field.field), None)
    for name, values in columns.items():
        for at, value in zip(there, values, strict=True):
            found[at][name] = value
    return found


def _delete(connection: Connection, layout: Layout, keys: set[Any]) -> None:
    listed = sorted(keys)
    for start in range(0, len(listed), rows.IDS):
        rows.delete_keys(connection, layout, listed[start : start + rows.IDS])


def compare(connection: Connection, old: Layout, new: Layout) -> None:
    """Compare the row counts, and the payloads of a sample of rows.

    Raises:
        StoreError: the collections differ; the alias was not switched.
    """
    for left, right in _pairs(connection, old, new):
        theirs, ours = rows.count(connection, left, ""), rows.count(connection, right, "")
        if ours != theirs:
            duplicate_ids.refuse(connection, left)
        compare_counts(ours, theirs, new.real, old.real)
        sampled = _sampled(connection, left, theirs)
        before = _payloads(connection, left, sampled)
        after = _payloads(connection, right, sampled)
        for key in sampled:
            if before.get(key) != after.get(key):
                raise StoreError(
                    f"the row {key!r} differs between {new.real!r} and {old.real!r}: the alias was "
                    "not switched",
                    hint=f"stop all writers, drop {new.real!r}, then run `qadapt apply` again",
                )


def _sampled(connection: Connection, layout: Layout, count: int) -> list[Any]:
    """A sample of keys, evenly spread."""
    step = max(1, count // SAMPLE)
    seen, found = 0, []
    for keys in _keys(connection, layout):
        found += keys[-seen % step :: step]
        seen += len(keys)
    return found[:SAMPLE]


def _payloads(connection: Connection, layout: Layout, keys: Sequence[Any]) -> dict[Any, Any]:
    """Rows by key, without the vectors, which may differ."""
    vectors = {each.field for each in layout.vectors.values()}
    bits = {vector_layout.codes_field(name) for name in vectors}
    fields = [name for name in rows.all_fields(layout) if name not in vectors | bits]
    some = filters.one_of(layout.keys.field, keys)
    if not keys:
        return {}
    found = rows.query(connection, layout, some, fields, rows.STRONG)
    return {row[layout.keys.field]: row for row in found}
