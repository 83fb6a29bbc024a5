"""Indexes on entries of the payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.stores.base import PAYLOAD_KINDS
from qadapt.stores.edge import settings
from qadapt.stores.edge.engine import Shard, engine


def indexes(shard: Shard) -> dict[str, str]:
    """The kind of each."""
    kinds = {getattr(engine().PayloadSchemaType, kind.title()): kind for kind in PAYLOAD_KINDS}
    with shard.use("inspect") as opened:
        schema = opened.info().payload_schema
        return {key: kinds[schema[key].data_type] for key in sorted(schema)}


def told(shard: Shard) -> dict[str, Mapping[str, Any]]:
    """What a kind does not tell, such as the tokenizer of a text, in the server's words."""
    with shard.use("inspect") as opened:
        schema = opened.info().payload_schema
        found = {key: schema[key].params for key in sorted(schema)}
        words = {key: settings.words(each) for key, each in found.items() if each is not None}
    return {key: each for key, each in words.items() if each}


def index(shard: Shard, key: str, kind: str, asked: Mapping[str, Any]) -> None:
    """Make one; the engine keeps it through its rebuilds (seen on 0.9.0)."""
    edge = engine()
    schema = getattr(edge.PayloadSchemaType, kind.title())
    if asked:
        schema = settings.params(kind, asked)
    with shard.change("index the payload of") as opened:
        opened.update(edge.UpdateOperation.create_field_index(key, schema))
