"""What the tests of Weaviate's quantization share: recordings of 1.39.0, and looks made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from qadapt.model import Vector
from qadapt.stores.weaviate import mapping, schema
from qadapt.stores.weaviate.schema import Layout
from qadapt.stores.weaviate.status import Seen, Shard

REPO = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("QADAPT_SHARED", REPO.parent / "shared"))
RECORDINGS = SHARED / "recordings" / "weaviate-1.39.0"


def recorded(name: str) -> dict[str, Any]:
    """One exchange: ``request`` and ``response`` with ``status`` and ``body``."""
    path = RECORDINGS / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no recordings in {RECORDINGS}: set QADAPT_SHARED")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def recorded_layout(name: str, dim: int = 384) -> Layout:
    """A recorded schema, read; the dimension is that of the recording's data."""
    raw = recorded(name)["response"]["body"]
    names = ["", *(raw.get("vectorConfig") or {})]
    return schema.layout(raw, raw["class"], dict.fromkeys(names, dim))


def recorded_shards(name: str) -> list[Shard]:
    """The shards of a recorded ``nodes`` answer."""
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


def seen(native: Mapping[str, Any], **changes: Any) -> Seen:
    """One vector of 5,000 rows under an index, in one shard that is ready; with changes."""
    vector = Vector(384)
    plain: dict[str, Any] = {
        "count": 5000,
        "native": native,
        "quantization": mapping.from_native(native, vector),
        "shards": [shard()],
    }
    return Seen(**{**plain, **changes})


def shard(**changes: Any) -> Shard:
    """A shard that is ready, without codes."""
    plain: dict[str, Any] = {"node": "node1", "name": "one", "compressed": False, "state": "READY"}
    return Shard(**{**plain, **changes})
