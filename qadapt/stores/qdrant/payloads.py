"""Indexes on entries of the payload, which filters use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.stores.base import PAYLOAD_KINDS
from qadapt.stores.qdrant.config import Info
from qadapt.stores.qdrant.connection import Connection


def indexes(info: Info) -> dict[str, str]:
    """The kind of each that has a common one."""
    schema = _schema(info)
    kinds = {key: str(each["data_type"]) for key, each in sorted(schema.items())}
    return {key: kind for key, kind in kinds.items() if kind in PAYLOAD_KINDS}


def beyond(info: Info) -> str:
    """What a kind does not tell, such as the tokenizer of a text or a tenant's key."""
    known = indexes(info)
    words = []
    for key, each in sorted(_schema(info).items()):
        own = [name for name in each.get("params") or {} if name != "type"]
        if key not in known:
            words.append(f"{key} ({each['data_type']})")
        elif own:
            words.append(f"settings of the index of {key} ({', '.join(own)})")
    return ", ".join(words)


def _schema(info: Info) -> Mapping[str, Mapping[str, Any]]:
    return info.get("payload_schema") or {}


def index(connection: Connection, name: str, key: str, schema: Any) -> None:
    """Make one, and wait until it is there; the server leaves one that is the same as it is.

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
