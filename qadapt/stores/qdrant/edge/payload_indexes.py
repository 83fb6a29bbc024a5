"""Payload indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.stores.base import PAYLOAD_KINDS
from qadapt.stores.qdrant.edge import index_options
from qadapt.stores.qdrant.edge.connection import Shard, client_module


def indexes(shard: Shard) -> dict[str, str]:
    """The kind of each payload index."""
    kinds = {
        getattr(client_module().PayloadSchemaType, kind.title()): kind for kind in PAYLOAD_KINDS
    }
    with shard.use("inspect") as opened:
        schema = opened.info().payload_schema
        return {key: kinds[schema[key].data_type] for key in sorted(schema)}


def read_index_settings(shard: Shard) -> dict[str, Mapping[str, Any]]:
    """The settings besides the kind, such as the tokenizer of a text index, in the server's
    format."""
    with shard.use("inspect") as opened:
        schema = opened.info().payload_schema
        found = {key: schema[key].params for key in sorted(schema)}
        words = {
            key: index_options.to_settings(each) for key, each in found.items() if each is not None
        }
    return {key: each for key, each in words.items() if each}


def create_index(shard: Shard, key: str, kind: str, asked: Mapping[str, Any]) -> None:
    """Create a payload index, which the engine keeps during rebuilds (observed on 0.9.0)."""
    edge = client_module()
    schema = getattr(edge.PayloadSchemaType, kind.title())
    if asked:
        schema = index_options.to_params(kind, asked)
    with shard.change("index the payload of") as opened:
        opened.update(edge.UpdateOperation.create_field_index(key, schema))
