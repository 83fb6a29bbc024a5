"""Read rows over gRPC: by id, or all of them in pages.

Scans use the server's cursor, in the order of ids. A cursor does not support filters, so the
matching ids are requested first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError, SpecError
from qadapt.model import Batch, Id, RaggedArray
from qadapt.stores.base import PAGE
from qadapt.stores.weaviate import filters, ids, multivectors
from qadapt.stores.weaviate import payload as weaviate_payload
from qadapt.stores.weaviate.connection import Connection, proto
from qadapt.stores.weaviate.errors import TooLargeError
from qadapt.stores.weaviate.schema import Field, Layout

PAGE_BYTES = 16 << 20
IDS = 1_000
MANY = 32
# Default of QUERY_MAXIMUM_RESULTS.
WINDOW = 10_000


@dataclass(frozen=True)
class Selection:
    """The rows of one tenant, and the fields to read.

    Attributes:
        tenant: empty if the collection has no tenants.
        vectors: names of the vectors to read.
        payload: whether to read properties.
    """

    layout: Layout
    tenant: str
    vectors: Mapping[str, Field] = dataclasses.field(default_factory=dict)
    payload: bool = False


@dataclass(frozen=True)
class Bounds:
    """Ids after ``behind``, up to and including ``last``; None for no limit."""

    behind: str | None = None
    last: str | None = None


def fetch(
    connection: Connection,
    layout: Layout,
    tenants: Sequence[str],
    keys: Sequence[Id],
    wanted: Mapping[str, Field],
    payload: bool,
) -> Batch:
    """Rows by id, in the order of the ids."""
    known = ids.possible(keys)
    try:
        return _by_ids(connection, layout, tenants, known, wanted, payload)
    except TooLargeError:  # large payloads
        if len(known) == 1:
            raise
    half = len(known) // 2
    parts = (known[:half], known[half:])
    return Batch.concat(
        [fetch(connection, layout, tenants, part, wanted, payload) for part in parts]
    )


def _by_ids(
    connection: Connection,
    layout: Layout,
    tenants: Sequence[str],
    known: list[str],
    wanted: Mapping[str, Field],
    payload: bool,
) -> Batch:
    step = _fitting(wanted, IDS)
    places = [
        (tenant, known[start : start + step])
        for tenant in tenants
        for start in range(0, len(known), step)
    ]
    requests = [
        _request(
            Selection(layout, tenant, wanted, payload), len(part), filters=filters.by_ids(part)
        )
        for tenant, part in places
    ]
    found: dict[str, Any] = {}
    answers = connection.ask_many("Search", requests, doing=f"read {layout.name!r}", at_once=4)
    for answer in answers:
        for row in answer.results:
            if row.metadata.id in found:
                raise InputError(
                    f"two tenants of {layout.name!r} have the id {row.metadata.id}",
                    hint=f"name the tenant: {layout.name}@TENANT",
                )
            found[row.metadata.id] = row
    rows = [found[key] for key in known if key in found]
    return _batch(layout, rows, wanted, payload)


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
            waiting.append(_batch(selection.layout, inside, selection.vectors, selection.payload))
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
    step = _fitting(selection.vectors, min(page, WINDOW))
    doing = f"read {selection.layout.name!r}"
    while True:
        # Without `after`, a page starts with the first id as well.
        request = _request(selection, step, after=behind or "")
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
        request = _request(keys_alone, WINDOW, filters=both)
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
        request = _request(Selection(layout, tenant), 1)
        request.sort_by.add(ascending=ascending, path=["_id"])
        answer = connection.ask("Search", request, doing=f"read {layout.name!r}")
        found += [row.metadata.id for row in answer.results]
    return (found[0], found[-1]) if found else None


def _fitting(wanted: Mapping[str, Field], rows: int) -> int:
    """Rows per response: the server sends the unnamed vector twice, as floats and as bytes."""
    # The number of rows of a multivector is unknown; if a response is too large, fewer are read.
    each = sum(8 * (field.dim or 1536) * (MANY if field.multi else 1) for field in wanted.values())
    each += 64
    return max(1, min(rows, PAGE_BYTES // each))


def _request(selection: Selection, limit: int, **more: Any) -> Any:
    messages = proto().search_get_pb2
    named = [each.target for each in selection.vectors.values() if each.target is not None]
    unnamed = any(each.target is None for each in selection.vectors.values())
    return messages.SearchRequest(
        collection=selection.layout.real,
        tenant=selection.tenant,
        limit=limit,
        metadata=messages.MetadataRequest(uuid=True, vector=unnamed, vectors=named),
        properties=_properties(selection.layout, selection.payload),
        uses_123_api=True,
        uses_125_api=True,
        uses_127_api=True,
        **more,
    )


def _properties(layout: Layout, payload: bool) -> Any:
    """All properties; by name if one is a blob, which "all" omits (run on 1.39)."""
    request = proto().search_get_pb2.PropertiesRequest
    if not payload or "blob" not in layout.properties.values():
        return request(return_all_nonref_properties=payload)
    return request(non_ref_properties=layout.values)


# -- responses -----------------------------------------------------------------------------------


def _batch(
    layout: Layout, rows: Sequence[Any], wanted: Mapping[str, Field], payload: bool
) -> Batch:
    """Convert the server's objects to columns."""
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    missing: dict[str, npt.NDArray[np.bool_]] = {}
    extras: dict[str, RaggedArray] = {}
    for name, field in wanted.items():
        found = [_bytes(row.metadata, field.target) for row in rows]
        if field.multi:
            extras[name] = multivectors.unpacked(found, field, layout.name)
            continue
        dim = field.dim or max((len(each) for each in found), default=0) // 4
        absent = np.fromiter((not each for each in found), dtype=np.bool_, count=len(found))
        blank = bytes(4 * dim)
        try:
            joined = np.frombuffer(b"".join(each or blank for each in found), dtype="<f4")
            arrays[name] = joined.reshape(len(rows), dim).astype(np.float32)
        except ValueError:
            raise SpecError(
                f"not all vectors {name!r} of {layout.name!r} have {dim} dimensions",
                hint="the collection may have been recreated: open it again",
            ) from None
        if absent.any():
            missing[name] = absent
    keys = [row.metadata.id for row in rows]
    read = None
    if payload:
        read = [
            weaviate_payload.decode(layout, row.properties.non_ref_props.fields) for row in rows
        ]
    return Batch(keys, arrays, read, missing, extras)


def _bytes(metadata: Any, target: str | None) -> bytes:
    if target is None:
        return bytes(metadata.vector_bytes)
    return next((bytes(each.vector_bytes) for each in metadata.vectors if each.name == target), b"")


# -- dimensions ----------------------------------------------------------------------------------


def first(
    connection: Connection, layout: Layout, tenant: str, wanted: Mapping[str, Field], count: int
) -> Sequence[Any]:
    """The server's first rows, with some vectors."""
    request = _request(Selection(layout, tenant, wanted), count)
    found: Sequence[Any] = connection.ask(
        "Search", request, doing=f"read a row of {layout.name!r}"
    ).results
    return found


def dim_of(connection: Connection, layout: Layout, tenant: str, key: str, field: Field) -> int:
    """The dimension of a vector in one row; 0 if the row or the vector does not exist."""
    selection = Selection(layout, tenant, {field.name: field})
    request = _request(selection, 1, filters=filters.by_ids([key]))
    answer = connection.ask("Search", request, doing=f"read a row of {layout.name!r}")
    return max((dim_in(row, field) for row in answer.results), default=0)


def dim_in(row: Any, field: Field) -> int:
    """The dimension of a vector in one of the server's rows; 0 if the row lacks it."""
    raw = _bytes(row.metadata, field.target)
    if not raw:
        return 0
    return multivectors.dim_of(raw) if field.multi else len(raw) // 4
