"""Recordings of 1.39.0, and observations built from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recorded import recorded as exchange

from qadapt.model import Vector
from qadapt.stores.weaviate import mapping, schema
from qadapt.stores.weaviate.schema import Layout
from qadapt.stores.weaviate.status import Observation, Shard


def recorded(name: str) -> dict[str, Any]:
    """One exchange: ``request`` and ``response`` with ``status`` and ``body``."""
    return exchange("weaviate-1.39.0", name)


def recorded_layout(name: str, dim: int = 384) -> Layout:
    """Parse a recorded schema; the dimension is that of the recording's data."""
    raw = recorded(name)["response"]["body"]
    names = ["", *(raw.get("vectorConfig") or {})]
    return schema.layout(raw, raw["class"], dict.fromkeys(names, dim))


def recorded_shards(name: str) -> list[Shard]:
    """The shards of a recorded ``nodes`` response."""
    return [
        Shard(
            node["name"],
            each["name"],
            compressed=each["compressed"],
            state=each["vectorIndexingStatus"],
            queue=each["vectorQueueLength"],
        )
        for node in recorded(name)["response"]["body"]["nodes"]
        for each in node["shards"]
    ]


def observation(native: Mapping[str, Any], **changes: Any) -> Observation:
    """The observation of one vector of 5,000 rows in one ready shard, with changes."""
    vector = Vector(384)
    plain: dict[str, Any] = {
        "count": 5000,
        "native": native,
        "quantization": mapping.from_native(native, vector),
        "shards": [shard()],
    }
    return Observation(**{**plain, **changes})


def shard(**changes: Any) -> Shard:
    """A shard that is ready, without codes."""
    plain: dict[str, Any] = {"node": "node1", "name": "one", "compressed": False, "state": "READY"}
    return Shard(**{**plain, **changes})
