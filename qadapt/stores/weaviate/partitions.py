"""Tenants: ``NAME@TENANT`` is one of them as a collection of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from qadapt.errors import InputError, NotFoundError, StoreError, UnsupportedError
from qadapt.model import CollectionSchema
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.schema import Layout
from qadapt.stores.weaviate.version import SINCE_TENANTS, ServerVersion

# Names of older and newer servers.
_ACTIVE = ("HOT", "ACTIVE")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ADDED = 100  # tenants of one request


def split(name: str) -> tuple[str, str | None]:
    """A collection's name and the tenant behind it, if one is named.

    Raises:
        InputError: what stands behind ``@`` is no tenant's name.
    """
    collection, at, tenant = name.partition("@")
    if at and not _NAME.fullmatch(tenant):
        raise InputError(
            f"{name!r} names no tenant behind '@'",
            hint="write NAME@TENANT; a tenant's name has letters, digits, _ and -, at most 64",
        )
    return collection, tenant if at else None


def states(connection: Connection, layout: Layout) -> dict[str, bool]:
    """All tenants, sorted, and whether each is active."""
    path = f"/v1/schema/{quote(layout.real)}/tenants"
    found = connection.rest("GET", path, doing=f"list the tenants of {layout.name!r}")
    return {
        each["name"]: _is_active(each)
        for each in sorted(found or (), key=lambda each: str(each["name"]))
    }


def to_read(connection: Connection, layout: Layout, tenant: str | None) -> Sequence[str]:
    """The tenants that a read or a count goes over; ``""`` for a collection without tenants.

    All active ones where none is named: rows of those that are not stay unread.

    Raises:
        NotFoundError: no such tenant.
        StoreError: the tenant is not active.
    """
    if not layout.multi_tenant:
        return [to_change(layout, tenant, "read")]
    if tenant is None:
        return [name for name, active in states(connection, layout).items() if active]
    if not _active(connection, layout, tenant):
        raise StoreError(
            f"the tenant {tenant!r} of {layout.name!r} is not active",
            hint="activate it with the client: collection.tenants.activate(name)",
        )
    return [tenant]


def _active(connection: Connection, layout: Layout, tenant: str) -> bool:
    """Whether one tenant is active; of thousands, all need not be listed for it."""
    path = f"/v1/schema/{quote(layout.real)}/tenants"
    try:
        found = connection.rest(
            "GET", f"{path}/{quote(tenant)}", doing=f"look at the tenant {tenant!r}"
        )
    except (NotFoundError, UnsupportedError):
        # No such tenant, or an older server, which lists all of them or none (1.27.27: 405).
        known = states(connection, layout)
        if tenant not in known:
            raise NotFoundError.missing("tenant", tenant, known) from None
        return known[tenant]
    return _is_active(found)


def _is_active(found: Mapping[str, Any]) -> bool:
    return str(found.get("activityStatus") or "HOT") in _ACTIVE


def to_change(layout: Layout, tenant: str | None, doing: str) -> str:
    """The one tenant that is written to or searched; ``""`` for a collection without tenants.

    Raises:
        InputError: a tenant is missing, or one is named where there are none.
    """
    if layout.multi_tenant and tenant is None:
        raise InputError(
            f"{layout.name!r} has tenants: say which to {doing}",
            hint=f"name it behind the collection: {layout.name}@TENANT",
        )
    if tenant is not None and not layout.multi_tenant:
        raise InputError(
            f"{layout.name!r} has no tenants", hint=f"leave out @{tenant}: {layout.name}"
        )
    return tenant or ""


def partition_schema(
    connection: Connection, layout: Layout, tenant: str | None
) -> CollectionSchema:
    """The tenants; none of one tenant alone."""
    if not layout.multi_tenant or tenant is not None:
        return CollectionSchema()
    found = states(connection, layout)
    return CollectionSchema(
        partitions=tuple(name for name, active in found.items() if active),
        is_partitioned=True,
        inactive_partitions=tuple(name for name, active in found.items() if not active),
    )


def unsupported(
    collection_schema: CollectionSchema, server_version: ServerVersion
) -> Mapping[str, str]:
    """Why a collection cannot have such tenants; empty where it can."""
    if not collection_schema.is_partitioned:
        return {}
    if collection_schema.partition_key is not None:
        return {
            "partitions": "Weaviate finds no tenant by an entry such as "
            f"{collection_schema.partition_key!r}"
        }
    if not server_version.has(SINCE_TENANTS):
        return {
            "partitions": f"tenants need Weaviate {SINCE_TENANTS}; this is {server_version.words}"
        }
    odd = [name for name in collection_schema.partitions if not _NAME.fullmatch(name)]
    if odd:
        return {
            "partitions": f"a tenant's name has letters, digits, _ and -, at most 64: {odd[0]!r}"
        }
    return {}


def create(connection: Connection, layout: Layout, names: Sequence[str]) -> None:
    """Make tenants, active ones; those that are there stay as they are.

    Raises:
        UnsupportedError: the collection has no tenants.
    """
    if not layout.multi_tenant:
        raise UnsupportedError(
            f"{layout.name!r} has no tenants, and Weaviate fixes that at creation",
            hint="copy it to a collection that has",
        )
    known = states(connection, layout)
    new = [{"name": name} for name in names if name not in known]
    path = f"/v1/schema/{quote(layout.real)}/tenants"
    for start in range(0, len(new), _ADDED):
        part = new[start : start + _ADDED]
        connection.rest("POST", path, part, doing=f"add tenants to {layout.name!r}")
