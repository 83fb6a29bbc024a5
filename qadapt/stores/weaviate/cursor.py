"""Scan rows over gRPC, in the order of their ids.

Scans use the server's cursor. A cursor does not support filters, so with one the matching ids are
requested first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.model import Batch
from qadapt.stores.base import PAGE
from qadapt.stores.error_table import TooLargeError
from qadapt.stores.weaviate import filters, multivectors
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.rows import (
    Selection,
    fetch,
    fitting,
    search_request,
    to_batch,
    vector_bytes,
)
from qadapt.stores.weaviate.schema import Field, Layout

# Default of QUERY_MAXIMUM_RESULTS.
WINDOW = 10_000


@dataclass(frozen=True)
class Bounds:
    """Ids after ``behind``, up to and including ``last``; None for no limit."""

    behind: str | None = None
    last: str | None = None


def read(
    connection: Connection,
    selection: Selection,
    filter: Any = None,
    page: int = PAGE,
    bounds: Bounds | None = None,
) -> Iterator[Batch]:
    """Rows in pages, in the order of their ids.

    Args:
        filter: a message of ``filters``; None for all rows.
    """
    bounds = bounds or Bounds()
    if filter is None:
        yield from _by_cursor(connection, selection, page, bounds)
        return
    wanted, payload = selection.vectors, selection.payload
    for keys in matching(connection, selection, filter, bounds):
        for start in range(0, len(keys), page):
            part = keys[start : start + page]
            if wanted or payload:
                where = [selection.tenant]
                yield fetch(connection, selection.layout, where, part, wanted, payload)
            else:
                yield Batch(part)


def _by_cursor(
    connection: Connection, selection: Selection, page: int, bounds: Bounds
) -> Iterator[Batch]:
    last = bounds.last
    waiting: list[Batch] = []
    for rows in raw_pages(connection, selection, page, bounds.behind):
        inside = [row for row in rows if last is None or row.metadata.id <= last]
        if inside:
            waiting.append(to_batch(selection.layout, inside, selection.vectors, selection.payload))
        held = sum(map(len, waiting))
        if held >= page:
            whole = Batch.concat(waiting)
            yield whole.rows(0, page)
            waiting = [whole.rows(page, held)] if held > page else []
        if len(inside) < len(rows):
            break
    if waiting:
        yield Batch.concat(waiting)


def raw_pages(
    connection: Connection, selection: Selection, page: int, behind: str | None = None
) -> Iterator[Sequence[Any]]:
    """Pages of the server's rows in the order of their ids, by its cursor; never an empty page.

    Args:
        page: most rows per page; fewer if vectors or payloads are large.
        behind: only rows after this id.
    """
    step = fitting(selection.vectors, min(page, WINDOW))
    doing = f"read {selection.layout.name!r}"
    while True:
        # Without `after`, a page starts with the first id as well.
        request = search_request(selection, step, after=behind or "")
        try:
            rows = connection.ask("Search", request, doing=doing).results
        except TooLargeError:  # large payloads
            if step == 1:
                raise
            step = max(1, step // 4)
            continue
        if rows:
            yield rows
        if len(rows) < step:
            return
        behind = rows[-1].metadata.id


def matching(
    connection: Connection, selection: Selection, filter: Any, bounds: Bounds | None = None
) -> Iterator[list[str]]:
    """The matching ids, sorted, in large windows, because each request sorts all of them."""
    doing = f"read {selection.layout.name!r}"
    keys_alone = Selection(selection.layout, selection.tenant)
    behind, last = (bounds.behind, bounds.last) if bounds else (None, None)
    while True:
        # Always combined with another filter: the server cuts a lone range at the limit before
        # it is sorted, and rows would be missing (run on 1.39.0).
        place = filters.behind(behind) if behind is not None else filters.from_the_first()
        end = filters.up_to(last) if last is not None else None
        both = filters.both(filter, place, end)
        request = search_request(keys_alone, WINDOW, filters=both)
        request.sort_by.add(ascending=True, path=["_id"])
        keys = [row.metadata.id for row in connection.ask("Search", request, doing=doing).results]
        if keys:
            yield keys
        if len(keys) < WINDOW:
            return
        behind = keys[-1]


def ends(connection: Connection, layout: Layout, tenant: str) -> tuple[str, str] | None:
    """The first and the last id; None if there are no rows."""
    found = []
    for ascending in (True, False):
        request = search_request(Selection(layout, tenant), 1)
        request.sort_by.add(ascending=ascending, path=["_id"])
        answer = connection.ask("Search", request, doing=f"read {layout.name!r}")
        found += [row.metadata.id for row in answer.results]
    return (found[0], found[-1]) if found else None


# -- dimensions ----------------------------------------------------------------------------------


def first(
    connection: Connection, layout: Layout, tenant: str, wanted: Mapping[str, Field], count: int
) -> Sequence[Any]:
    """The server's first rows, with some vectors."""
    request = search_request(Selection(layout, tenant, wanted), count)
    found: Sequence[Any] = connection.ask(
        "Search", request, doing=f"read a row of {layout.name!r}"
    ).results
    return found


def dim_of(connection: Connection, layout: Layout, tenant: str, key: str, field: Field) -> int:
    """The dimension of a vector in one row; 0 if the row or the vector does not exist."""
    selection = Selection(layout, tenant, {field.name: field})
    request = search_request(selection, 1, filters=filters.by_ids([key]))
    answer = connection.ask("Search", request, doing=f"read a row of {layout.name!r}")
    return max((dim_in(row, field) for row in answer.results), default=0)


def dim_in(row: Any, field: Field) -> int:
    """The dimension of a vector in one of the server's rows; 0 if the row lacks it."""
    raw = vector_bytes(row.metadata, field.target)
    if not raw:
        return 0
    return multivectors.dim_of(raw) if field.multi else len(raw) // 4
