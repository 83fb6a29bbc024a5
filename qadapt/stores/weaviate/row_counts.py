"""Exact row counts: ``objectCount`` of the nodes lags behind writes and deletes.

Before 1.29 gRPC has no ``Aggregate`` (1.27.27: "unknown method Aggregate"). There, GraphQL counts
all rows, and rows that match a filter are counted by their ids.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from qadapt.errors import StoreError
from qadapt.stores.error_table import SERVER_LOG
from qadapt.stores.weaviate import cursor, rows
from qadapt.stores.weaviate.connection import Connection, proto
from qadapt.stores.weaviate.schema import Layout
from qadapt.stores.weaviate.version import SINCE_AGGREGATE, ServerVersion


def count(connection: Connection, layout: Layout, tenants: Sequence[str], filter: Any) -> int:
    """Number of rows in some tenants, or of those that match a filter.

    Args:
        tenants: ``[""]`` for a collection without.
        filter: a message of ``filters``, or None.
    """
    if filter is None or ServerVersion(connection.version).has(SINCE_AGGREGATE):
        return sum(_asked(connection, layout.real, tenants, filter).values())
    return sum(
        len(keys)
        for tenant in tenants
        for keys in cursor.matching(connection, rows.Selection(layout, tenant), filter)
    )


def by_tenant(connection: Connection, real: str, tenants: Sequence[str]) -> dict[str, int]:
    """Number of rows in each tenant.

    Args:
        real: the collection's real name, not an alias.
        tenants: ``[""]`` for a collection without.
    """
    return _asked(connection, real, tenants, None)


def _asked(
    connection: Connection, real: str, tenants: Sequence[str], filter: Any
) -> dict[str, int]:
    if not ServerVersion(connection.version).has(SINCE_AGGREGATE):
        return {tenant: _by_graphql(connection, real, tenant) for tenant in tenants}
    message = proto().aggregate_pb2.AggregateRequest
    requests = [
        message(collection=real, tenant=tenant, objects_count=True, filters=filter)
        for tenant in tenants
    ]
    answers = connection.ask_many("Aggregate", requests, doing=f"count {real!r}")
    return {
        tenant: int(answer.single_result.objects_count)
        for tenant, answer in zip(tenants, answers, strict=True)
    }


def _by_graphql(connection: Connection, real: str, tenant: str) -> int:
    inside = f"(tenant: {json.dumps(tenant)})" if tenant else ""
    query = f"{{Aggregate{{{real}{inside}{{meta{{count}}}}}}}}"
    doing = f"count {real!r}"
    answer = connection.rest("POST", "/v1/graphql", {"query": query}, doing=doing, repeatable=True)
    if answer.get("errors"):
        raise StoreError(f"could not {doing}: {answer['errors'][0]['message']}", hint=SERVER_LOG)
    return int(answer["data"]["Aggregate"][real][0]["meta"]["count"])
