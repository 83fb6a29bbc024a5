"""Reads of a whole collection, of its tenants, or of ranges of ids."""

from __future__ import annotations

from collections.abc import Iterator

from qadapt.errors import InputError
from qadapt.model import Batch
from qadapt.stores.base import ReadRequest, ScanRange
from qadapt.stores.weaviate import cursor, ids, partitions, rows
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.filters import to_message
from qadapt.stores.weaviate.schema import Layout


def read(
    connection: Connection, layout: Layout, collection: str, request: ReadRequest
) -> Iterator[Batch]:
    """Read the rows of a request; ``request.page`` is valid.

    Raises:
        InputError: ``request.after`` is not a UUID, or the ids of several tenants are not ordered.
    """
    message = to_message(request.filter, layout, connection.version)
    wanted = layout.fields(request.vectors)
    scan_range, after = request.scan_range or {}, request.after
    behind, last = scan_range.get("behind"), scan_range.get("last")
    places = (
        [scan_range["tenant"]]
        if "tenant" in scan_range
        else partitions.to_read(connection, layout, partitions.split(collection)[1])
    )
    if after is not None:
        key = ids.canonical(after)
        if key is None:
            raise InputError(
                f"the id {after!r} is not a valid Weaviate id (UUID)",
                hint="use an id that this collection returned",
            )
        if layout.multi_tenant and "tenant" not in scan_range and "@" not in collection:
            raise InputError(
                f"{collection!r} has tenants, and ids are ordered within each tenant only",
                hint="read one of `scan_ranges()`, or NAME@TENANT",
            )
        behind = key if behind is None else max(behind, key)
    for tenant in places:
        selection = rows.Selection(layout, tenant, wanted, request.payload)
        bounds = cursor.Bounds(behind, last)
        yield from cursor.read(connection, selection, message, request.page, bounds)


def scan_ranges(connection: Connection, layout: Layout, collection: str, n: int) -> list[ScanRange]:
    """Tenants of a multi-tenant collection whose name addresses none of them, else about ``n``
    ranges of ids."""
    places = partitions.to_read(connection, layout, partitions.split(collection)[1])
    if layout.multi_tenant and "@" not in collection:
        return [{"tenant": tenant} for tenant in places]
    ends = cursor.ends(connection, layout, places[0])
    if ends is None:
        return [{}]
    found: list[ScanRange] = []
    for behind, last in ids.split(*ends, n):
        bounds = {"behind": behind, "last": last}
        found.append({name: key for name, key in bounds.items() if key is not None})
    return found
