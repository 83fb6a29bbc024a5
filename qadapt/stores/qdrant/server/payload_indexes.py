"""Payload indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.stores.base import PAYLOAD_KINDS
from qadapt.stores.qdrant.server.connection import Connection
from qadapt.stores.qdrant.server.schema import Info


def indexes(info: Info) -> dict[str, str]:
    """The common kind of each payload index."""
    schema = _schema(info)
    kinds = {key: str(each["data_type"]) for key, each in sorted(schema.items())}
    return {key: kind for key, kind in kinds.items() if kind in PAYLOAD_KINDS}


def unsupported_indexes(info: Info) -> str:
    """Payload indexes whose kind qadapt does not know."""
    known = indexes(info)
    found = sorted(_schema(info).items())
    return ", ".join(f"{key} ({each['data_type']})" for key, each in found if key not in known)


def read_index_settings(info: Info) -> dict[str, dict[str, Any]]:
    """The settings besides the kind, such as the tokenizer of a text index or the tenant flag."""
    found = {}
    for key in indexes(info):
        params = _schema(info)[key].get("params") or {}
        own = {name: _sorted(value) for name, value in params.items() if name != "type"}
        if own := {name: value for name, value in own.items() if value is not None}:
            found[key] = own
    return found


def _sorted(value: Any) -> Any:
    """Normalize stop words, which are returned in any order."""
    if not isinstance(value, Mapping):
        return value
    return {key: sorted(each) if isinstance(each, list) else each for key, each in value.items()}


def _schema(info: Info) -> Mapping[str, Mapping[str, Any]]:
    return info.get("payload_schema") or {}


def create_index(connection: Connection, name: str, key: str, schema: Any) -> None:
    """Create a payload index and wait for it; the server keeps an identical existing one.

    Args:
        schema: a kind, or ``params`` of the server.
    """
    connection.ask(
        "PUT",
        "/collections/{collection_name}/index?wait=true",
        {"field_name": key, "field_schema": schema},
        doing=f"index {key!r}",
        names={"collection_name": name},
    )
