"""Indexes on entries of the payload."""

from __future__ import annotations

from collections.abc import Mapping

from qadapt.stores.base import PAYLOAD_KINDS
from qadapt.stores.edge.engine import Shard, engine


def indexes(shard: Shard) -> dict[str, str]:
    """The kind of each."""
    kinds = {getattr(engine().PayloadSchemaType, kind.title()): kind for kind in PAYLOAD_KINDS}
    with shard.use("inspect") as opened:
        schema = opened.info().payload_schema
        return {key: kinds[schema[key].data_type] for key in sorted(schema)}


def beyond(shard: Shard) -> Mapping[str, str]:
    """Settings of indexes that their kind does not tell, such as the tokenizer of a text."""
    with shard.use("inspect") as opened:
        schema = opened.info().payload_schema
        own = [key for key in sorted(schema) if schema[key].params is not None]
    return {"payload-indexes": f"settings of the index of {', '.join(own)}"} if own else {}


def index(shard: Shard, key: str, kind: str) -> None:
    """Make one; the engine keeps it through its rebuilds (seen on 0.9.0)."""
    edge = engine()
    schema = getattr(edge.PayloadSchemaType, kind.title())
    with shard.change("index the payload of") as opened:
        opened.update(edge.UpdateOperation.create_field_index(key, schema))
