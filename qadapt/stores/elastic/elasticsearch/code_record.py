"""Evidence of codes where the server reports no bytes of them, before 9.1.

New segments are written with the type in the mapping. The setting ``codes`` in ``_meta`` records
the type of each field, and the newest segment of each shard when it became the type. If all
segments are newer, all have its codes (docs/engines/elasticsearch.md#evidence).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qadapt.stores.elastic import settings
from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.schema import OWN, Index, leaves, quoted

KEY = "codes"


def with_created(body: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping of a new index with the record of its types."""
    found: dict[str, Any] = json.loads(json.dumps(body))
    record = {}
    for path, definition in leaves(found.get("properties") or {}):
        kind = (definition.get("index_options") or {}).get("type")
        if definition.get("type") == "dense_vector" and kind:
            record[path] = {"type": kind}
    own = {**((found.get("_meta") or {}).get(OWN) or {}), KEY: record}
    if not record:
        del own[KEY]
    found["_meta"] = {**(found.get("_meta") or {}), OWN: own}
    return found


def write(connection: Connection, index: Index, path: str, kind: str) -> None:
    """Record that a field has had a type since now: only later segments are sure to have it."""
    newest = {
        shard: [node, max(generations, default=-1)]
        for shard, (node, generations) in _primaries(connection, index).items()
    }
    entry = {"type": kind, "after": newest, "index": index.setting("uuid")}
    saved = {**(index.meta.get(KEY) or {}), path: entry}
    settings.write(connection, index, KEY, saved)


def older_segments(connection: Connection, index: Index, path: str, kind: str) -> int | None:
    """The number of segments that may be older than the type of a field: all, if another program
    changed the type that was recorded. None without a record, or if a primary shard has moved."""
    entry = (index.meta.get(KEY) or {}).get(path)
    if not isinstance(entry, Mapping):
        return None
    if entry.get("type") != kind:
        return sum(len(numbers) for _, numbers in _primaries(connection, index).values())
    after = entry.get("after")
    if after is None:  # the index was created with the type
        return 0
    if entry.get("index") != index.setting("uuid"):
        return None
    older = 0
    for shard, (node, generations) in _primaries(connection, index).items():
        recorded = after.get(shard)
        if recorded is None or recorded[0] != node:
            return None
        older += sum(each <= recorded[1] for each in generations)
    return older


def _primaries(connection: Connection, index: Index) -> dict[str, tuple[str, list[int]]]:
    """The node of each primary shard, and the numbers of its segments."""
    answer = connection.ask(
        "GET", f"/{quoted(index.real)}/_segments", doing=f"read the segments of {index.name!r}"
    )
    found = {}
    for shard, copies in answer["indices"][index.real]["shards"].items():
        for each in copies:
            if each["routing"]["primary"]:
                numbers = [int(part["generation"]) for part in each["segments"].values()]
                found[shard] = (str(each["routing"]["node"]), numbers)
    return found
