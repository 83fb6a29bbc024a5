"""``GET /telemetry?details_level=4``: the segments of this node and their codes.

Read as raw JSON, tolerating missing keys: the typed client 1.20 fails on a 1.16.3 server with 626
errors. Levels below 4 omit the segments; other nodes are never included
(docs/engines/qdrant.md#telemetry).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PATH = "/telemetry?details_level=4"
RESIDENT = "resident pages of the allocator of one server node, without memory-mapped files"


@dataclass(frozen=True)
class Segment:
    """One vector in one segment.

    Attributes:
        rows: vectors of that name, including those of points deleted or replaced since.
        index: the index and its parameters; ``{"type": "plain"}`` for none.
        codes: the ``quantization_config`` of its codes; None without codes.
        live: an upper bound for the vectors of live points.
        uuid: of the segment, as in the list of optimizations; None before 1.17.
    """

    rows: int
    index: Mapping[str, Any]
    codes: Mapping[str, Any] | None
    live: int | None = None
    uuid: str | None = None

    @property
    def present(self) -> int:
        """An upper bound for the vectors that a search can find."""
        return self.rows if self.live is None else self.live

    @property
    def indexed(self) -> bool:
        """Whether it has an index, which scalar and product codes require."""
        return str(self.index.get("type", "plain")) != "plain"


@dataclass(frozen=True)
class Telemetry:
    """The telemetry of one collection.

    Attributes:
        segments: of each dense vector.
        rebuilding: running rebuilds for a changed configuration.
        optimizing: running optimizations, including rebuilds.
        elsewhere: shards and replicas on other nodes, which are not included.
    """

    segments: Mapping[str, tuple[Segment, ...]]
    rebuilding: int
    optimizing: int
    elsewhere: int


@dataclass(frozen=True)
class Shown:
    """One response, which covers all collections.

    Attributes:
        collections: the telemetry of each collection, by its real name.
        unobserved: why there is no response; empty if there is one.
    """

    collections: Mapping[str, Mapping[str, Any]]
    unobserved: str = ""


def collections(answer: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The collections in the telemetry, by their real names (never by an alias)."""
    there = (answer.get("collections") or {}).get("collections") or []
    return {str(each.get("id")): each for each in there if isinstance(each, Mapping)}


def resident_bytes(answer: Mapping[str, Any]) -> int | None:
    """The resident memory of the node's allocator; None if it is not reported (not on Linux)."""
    found = (answer.get("memory") or {}).get("resident_bytes")
    return None if found is None else int(found)


def of(collection: Mapping[str, Any]) -> Telemetry | None:
    """The telemetry of one collection; None if it includes no segments."""
    segments: dict[str, list[Segment]] = {}
    rebuilding = optimizing = elsewhere = 0
    shown = False
    for shard in collection.get("shards") or []:
        local = shard.get("local")
        elsewhere += len(shard.get("remote") or []) + (local is None)
        if local is None or "segments" not in local:
            continue
        shown = True
        for segment in local["segments"] or []:
            _add(segments, segment)
        running = [
            each
            for each in (local.get("optimizations") or {}).get("log") or []
            if each.get("status") == "optimizing"
        ]
        optimizing += len(running)
        rebuilding += sum(each.get("name") == "config mismatch" for each in running)
    if not shown:
        return None
    found = {name: tuple(each) for name, each in segments.items()}
    return Telemetry(found, rebuilding, optimizing, elsewhere)


def _add(segments: dict[str, list[Segment]], segment: Mapping[str, Any]) -> None:
    about = segment.get("info") or {}
    counts, points = about.get("vector_data") or {}, about.get("num_points")
    for name, each in ((segment.get("config") or {}).get("vector_data") or {}).items():
        rows = int((counts.get(name) or {}).get("num_vectors") or 0)
        index = each.get("index") or {"type": "plain"}
        flat = {"type": index.get("type", "plain"), **(index.get("options") or {})}
        segments.setdefault(name, []).append(
            Segment(
                rows,
                flat,
                each.get("quantization_config") or None,
                live=None if points is None else min(rows, int(points)),
                uuid=about.get("uuid"),
            )
        )
