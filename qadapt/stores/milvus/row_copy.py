"""The rows of one collection in another one of the same fields but one vector's, by their keys.

Both are read in the order of their keys. What the copy has is left, what it lacks is read whole and
written, what the original has no more is deleted: so it goes on after a cut, and a second pass
finds the rows that were added or deleted meanwhile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qadapt.errors import StoreError, StoreTimeoutError
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.copy_switch import compare_counts
from qadapt.stores.milvus import duplicate_ids, filters, partitions, rows, vector_layout
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.schema import Field, Layout
from qadapt.stores.polling import Deadline

# Rows of each partition that are compared whole.
SAMPLE = 100


def copy(
    connection: Connection,
    old: Layout,
    new: Layout,
    field: Field,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    """One pass over all partitions.

    Args:
        field: of the vector that changes, as it is in the new one.

    Raises:
        StoreTimeoutError: what is copied stays, and the next call goes on.
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
                        f"{done:,} of {total:,} rows are looked at or copied to {new.real!r}",
                        hint="apply again goes on",
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
    for page in rows.pages(connection, layout, [key], rows.span(key, low, high), rows.WINDOW):
        found.update(row[key] for row in page)
    return found


def _whole(
    connection: Connection,
    layout: Layout,
    keys: Sequence[Any],
    missing: Sequence[Any],
    last: Any,
) -> Iterator[list[dict[str, Any]]]:
    """Missing rows with all their fields."""
    size = rows.page_rows(layout)
    fields = rows.all_fields(layout)
    key = layout.keys.field
    if len(missing) == len(keys):
        yield from rows.pages(connection, layout, fields, rows.span(key, last, keys[-1]), size)
        return
    size = min(size, rows.IDS)
    for start in range(0, len(missing), size):
        some = filters.one_of(key, missing[start : start + size])
        yield rows.query(connection, layout, some, fields, rows.SESSION)


def _changed(page: Sequence[Mapping[str, Any]], old: Layout, field: Field) -> list[dict[str, Any]]:
    """Rows with the fields of the changed vector as the new collection has them."""
    found = [{name: vector_layout.plain(value) for name, value in row.items()} for row in page]
    before = next(each for each in old.vectors.values() if each.field == field.field)
    if (before.vector.datatype, before.form) == (field.vector.datatype, field.form):
        return found
    there = [at for at, row in enumerate(found) if row.get(field.field) is not None]
    array = vector_layout.floats([found[at][field.field] for at in there], before.vector)
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
    """Count both, and compare some whole rows.

    Raises:
        StoreError: they differ; the alias was not switched.
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
                    f"the row {key!r} of {new.real!r} is not that of {old.real!r}: the alias was "
                    "not switched",
                    hint=f"stop writing to it, drop {new.real!r}, then apply again",
                )


def _sampled(connection: Connection, layout: Layout, count: int) -> list[Any]:
    """Keys spread over all of them."""
    step = max(1, count // SAMPLE)
    seen, found = 0, []
    for keys in _keys(connection, layout):
        found += keys[-seen % step :: step]
        seen += len(keys)
    return found[:SAMPLE]


def _payloads(connection: Connection, layout: Layout, keys: Sequence[Any]) -> dict[Any, Any]:
    """Rows without the vectors that may differ, by key."""
    vectors = {each.field for each in layout.vectors.values()}
    bits = {vector_layout.codes_field(name) for name in vectors}
    fields = [name for name in rows.all_fields(layout) if name not in vectors | bits]
    some = filters.one_of(layout.keys.field, keys)
    if not keys:
        return {}
    found = rows.query(connection, layout, some, fields, rows.STRONG)
    return {row[layout.keys.field]: row for row in found}
