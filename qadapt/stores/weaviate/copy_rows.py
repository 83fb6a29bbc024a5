"""Copying the rows of a collection, tenant by tenant, as raw JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from qadapt.errors import StoreError
from qadapt.stores.copy_switch import compare_counts, copy_pages
from qadapt.stores.polling import Wait
from qadapt.stores.weaviate import copy_dims, partitions, row_counts, schema
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.schema import Layout

NUMBERS = 400_000  # of the vectors of one page, approximately
_ROW = ("id", "properties", "vector", "vectors")


def create_tenants(connection: Connection, source: Layout, target: str) -> list[str]:
    """Create the tenants in the target, and return them; ``[""]`` if there are none."""
    found = tenants_of(connection, source)
    if not source.multi_tenant:
        return found
    there = partitions.states(connection, schema.describe(connection, target))
    missing = [{"name": name} for name in found if name not in there]
    if missing:
        path = f"/v1/schema/{quote(target)}/tenants"
        connection.rest("POST", path, missing, doing=f"create the tenants of {target!r}")
    return found


def tenants_of(connection: Connection, source: Layout) -> list[str]:
    """All tenants; ``[""]`` if there are none.

    Raises:
        StoreError: some tenants are not active.
    """
    if not source.multi_tenant:
        return [""]
    found = partitions.states(connection, source)
    cold = [name for name, active in found.items() if not active]
    if cold:
        raise StoreError(
            f"{len(cold)} tenants of {source.name!r} are not active: {', '.join(cold[:5])}",
            hint="activate them, then apply again",
        )
    return list(found)


def pages(connection: Connection, source: Layout, tenant: str) -> Iterator[list[dict[str, Any]]]:
    """Read all rows as raw JSON with all vectors, by cursor."""
    dims = sum(each.dim or 1000 for each in source.vectors.values())
    params = {
        "class": source.real,
        "limit": max(20, min(1000, NUMBERS // max(1, dims))),
        "include": "vector",
        "after": "",
        **({"tenant": tenant} if tenant else {}),
    }
    while True:
        doing = f"read {source.name!r}"
        found = connection.rest("GET", "/v1/objects", doing=doing, params=params)["objects"] or []
        if found:
            yield found
        if len(found) < int(str(params["limit"])):
            return
        params["after"] = found[-1]["id"]


def copy_rows(
    connection: Connection,
    source: Layout,
    target: str,
    tenant: str,
    wait: Wait,
    dims: Mapping[str, int],
) -> None:
    """Copy the rows of a tenant, and read one row of each page back.

    Args:
        dims: the number of first dimensions that are copied of a vector, by name.
    """
    whose = {"class": target, **({"tenant": tenant} if tenant else {})}

    def send(page: list[dict[str, Any]]) -> int:
        page = copy_dims.cut(page, source, dims)
        objects = [
            {**whose, **{key: row[key] for key in _ROW if row.get(key) is not None}} for row in page
        ]
        body, doing = {"objects": objects}, f"copy to {target!r}"
        answer = connection.rest("POST", "/v1/batch/objects", body, doing=doing, repeatable=True)
        _refuse_failed(answer, target)
        _compare_row(connection, source, page[0], target, tenant, dims)
        return len(page)

    total = count(connection, source.real, tenant)
    copy_pages(pages(connection, source, tenant), send, total, target, wait)


def _refuse_failed(answer: Any, target: str) -> None:
    failed = []
    for each in answer:
        errors = ((each.get("result") or {}).get("errors") or {}).get("error")
        if errors:
            failed.append(f"{each['id']}: {errors[0]['message']}")
    if failed:
        raise StoreError(
            f"{len(failed)} rows could not be copied to {target!r}, the first: {failed[0]}",
            hint="the alias was not switched; apply again to continue",
        )


def _compare_row(
    connection: Connection,
    source: Layout,
    row: Mapping[str, Any],
    target: str,
    tenant: str,
    dims: Mapping[str, int],
) -> None:
    """Read a row back, and compare it.

    Raises:
        StoreError: it differs from the source.
    """
    path = f"/v1/objects/{quote(target)}/{row['id']}"
    params = {"include": "vector", **({"tenant": tenant} if tenant else {})}
    there = connection.rest("GET", path, doing=f"read {target!r}", params=params)
    if dims:
        there, row = (copy_dims.as_single(each, source, dims) for each in (there, row))
    for key in ("properties", "vector", "vectors"):
        if (there.get(key) or {}) != (row.get(key) or {}):
            raise StoreError(
                f"the {key} of the row {row['id']} of {target!r} differ from the source: "
                "the alias was not switched",
                hint="stop the writers, then apply again",
            )


def compare_tenant(connection: Connection, source: str, target: str, tenant: str) -> None:
    ours, theirs = count(connection, target, tenant), count(connection, source, tenant)
    where = f" of the tenant {tenant!r}" if tenant else ""
    compare_counts(ours, theirs, target, source, where)


def count(connection: Connection, real: str, tenant: str) -> int:
    """Count the rows of a collection, or of one tenant."""
    return row_counts.by_tenant(connection, real, [tenant])[tenant]
