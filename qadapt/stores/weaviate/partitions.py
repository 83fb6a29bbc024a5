"""Tenants: ``NAME@TENANT`` addresses one tenant as a collection."""

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

# States in older and newer servers.
_ACTIVE = ("HOT", "ACTIVE")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ADDED = 100  # tenants per request


def split(name: str) -> tuple[str, str | None]:
    """Split a name into collection and tenant; None without ``@``.

    Raises:
        InputError: the part after ``@`` is not a valid tenant name.
    """
    collection, at, tenant = name.partition("@")
    if at and not _NAME.fullmatch(tenant):
        raise InputError(
            f"{name!r} has no valid tenant name after '@'",
            hint="write NAME@TENANT; a tenant name has at most 64 letters, digits, _ and -",
        )
    return collection, tenant if at else None


def drop(connection: Connection, layout: Layout, tenant: str) -> None:
    """Delete a tenant and its rows.

    Raises:
        NotFoundError
    """
    known = states(connection, layout) if layout.multi_tenant else {}
    if tenant not in known:
        raise NotFoundError.missing("tenant", tenant, known)
    path = f"/v1/schema/{quote(layout.real)}/tenants"
    doing = f"delete the tenant {tenant!r} of {layout.name!r}"
    connection.rest("DELETE", path, [tenant], doing=doing)


def states(connection: Connection, layout: Layout) -> dict[str, bool]:
    """All tenants, sorted, and whether each is active."""
    path = f"/v1/schema/{quote(layout.real)}/tenants"
    found = connection.rest("GET", path, doing=f"list the tenants of {layout.name!r}")
    return {
        each["name"]: _is_active(each)
        for each in sorted(found or (), key=lambda each: str(each["name"]))
    }


def to_read(connection: Connection, layout: Layout, tenant: str | None) -> Sequence[str]:
    """The tenants that a read or a count covers; ``[""]`` for a collection without tenants.

    Without a tenant in the name, all active ones: rows of inactive tenants are not read.

    Raises:
        NotFoundError: the tenant does not exist.
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
    """Whether one tenant is active, without listing all of them."""
    path = f"/v1/schema/{quote(layout.real)}/tenants"
    try:
        found = connection.rest(
            "GET", f"{path}/{quote(tenant)}", doing=f"read the tenant {tenant!r}"
        )
    except (NotFoundError, UnsupportedError):
        # The tenant does not exist, or an older server only lists all tenants (1.27.27: 405).
        known = states(connection, layout)
        if tenant not in known:
            raise NotFoundError.missing("tenant", tenant, known) from None
        return known[tenant]
    return _is_active(found)


def _is_active(found: Mapping[str, Any]) -> bool:
    return str(found.get("activityStatus") or "HOT") in _ACTIVE


def to_change(layout: Layout, tenant: str | None, doing: str) -> str:
    """The tenant to write to or search; ``""`` for a collection without tenants.

    Raises:
        InputError: a tenant is missing, or the collection has no tenants.
    """
    if layout.multi_tenant and tenant is None:
        raise InputError(
            f"{layout.name!r} has tenants: name the tenant to {doing}",
            hint=f"use {layout.name}@TENANT as the collection's name",
        )
    if tenant is not None and not layout.multi_tenant:
        raise InputError(f"{layout.name!r} has no tenants", hint=f"remove @{tenant}: {layout.name}")
    return tenant or ""


def partition_schema(
    connection: Connection, layout: Layout, tenant: str | None
) -> CollectionSchema:
    """The tenants as partitions; none if the name addresses one tenant."""
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
    """Why a collection cannot have these tenants; empty if it can."""
    if not collection_schema.is_partitioned:
        return {}
    if collection_schema.partition_key is not None:
        return {
            "partitions": "Weaviate does not select tenants by a payload key, here "
            f"{collection_schema.partition_key!r}"
        }
    if not server_version.has(SINCE_TENANTS):
        return {
            "partitions": f"tenants need Weaviate {SINCE_TENANTS}; this is {server_version.words}"
        }
    odd = [name for name in collection_schema.partitions if not _NAME.fullmatch(name)]
    if odd:
        return {
            "partitions": f"{odd[0]!r} is not a valid tenant name (letters, digits, _ and -, "
            "at most 64)"
        }
    return {}


def create(connection: Connection, layout: Layout, names: Sequence[str]) -> None:
    """Create active tenants; existing ones do not change.

    Raises:
        UnsupportedError: the collection is not multi-tenant.
    """
    if not layout.multi_tenant:
        raise UnsupportedError(
            f"{layout.name!r} is not multi-tenant, which is fixed at creation",
            hint="copy it to a multi-tenant collection with `qadapt migrate`",
        )
    known = states(connection, layout)
    new = [{"name": name} for name in names if name not in known]
    path = f"/v1/schema/{quote(layout.real)}/tenants"
    for start in range(0, len(new), _ADDED):
        part = new[start : start + _ADDED]
        connection.rest("POST", path, part, doing=f"add tenants to {layout.name!r}")
