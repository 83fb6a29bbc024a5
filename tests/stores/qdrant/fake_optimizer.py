"""A Qdrant server that keeps a configuration and merges each PATCH by the recorded rules."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import httpx
from qdrant_helpers import NEW, TELEMETRY, Answer, Replay, body_of, ok, telemetry_of


class FakeOptimizer(Replay):
    """One collection whose configuration a PATCH changes by the rules of 1.19.0.

    Null means "not given" and restores nothing; a quantization is replaced completely;
    ``on_disk: true`` with ``memory: cached`` stays yellow (``placement``). Everything else is
    built at once, in one segment.

    Args:
        info: as read; changed in place by PATCHes of a copy.
        index: of the segment: ``hnsw``, or ``plain`` below the threshold.
        uuid: of the segment; ``built`` tells whether an optimization built it from its rows.
    """

    def __init__(
        self,
        info: Mapping[str, Any],
        rows: int = 20_000,
        *,
        name: str = "articles",
        version: str = NEW,
        index: str = "hnsw",
        built: bool = False,
    ) -> None:
        super().__init__(version)
        self.info: dict[str, Any] = copy.deepcopy(dict(info))
        self.name, self.rows, self.index, self.built = name, rows, index, built
        self.codes: dict[str, Any] = {vector: self.target(vector) for vector in self.vectors}
        self.on("GET", "/collections", ok({"collections": [{"name": name}]}))
        self.on("POST", f"/collections/{name}/points/count", ok({"count": rows}))

    @property
    def vectors(self) -> dict[str, dict[str, Any]]:
        """Parameters by name."""
        found = self.info["config"]["params"]["vectors"]
        return {"": found} if isinstance(found.get("size"), int) else found

    def target(self, vector: str) -> Any:
        """The effective quantization."""
        own = self.vectors[vector].get("quantization_config")
        return own or self.info["config"].get("quantization_config")

    @property
    def endless(self) -> bool:
        """Whether the optimizer and the builder reverse each other's work."""
        return any(
            each.get("on_disk") is True and each.get("memory") == "cached"
            for each in self.vectors.values()
        )

    def reply(self, request: httpx.Request, path: str) -> Answer:
        base = f"/collections/{self.name}"
        if (request.method, path) == ("PATCH", base):
            self.patch(body_of(request) or {})
            return ok(True)
        if (request.method, path) == ("GET", base):
            return ok({**self.info, "status": "yellow" if self.endless else "green"})
        if path.partition("?")[0] == f"{base}/optimizations":
            done = [{"uuid": "a", "status": "done", "segments": [{"points_count": self.rows}]}]
            summary = {"queued_optimizations": int(self.endless)}
            answered: dict[str, Any] = {"summary": summary, "running": [{}] if self.endless else []}
            return ok({**answered, "completed": done if self.built else []})
        if path == TELEMETRY:
            each = {v: (self.rows, self.index, self.codes[v]) for v in self.vectors}
            shown = telemetry_of(self.name, [each])
            local = shown["collections"]["collections"][0]["shards"][0]["local"]
            local["segments"][0]["info"]["uuid"] = "a"
            return ok(shown)
        return super().reply(request, path)

    def patch(self, body: Mapping[str, Any]) -> None:
        """Merge."""
        config = self.info["config"]
        if body.get("quantization_config") is not None:
            config["quantization_config"] = _set(body["quantization_config"])
        for name, part in (body.get("vectors") or {}).items():
            for key, value in part.items():
                if value is not None:
                    self.vectors[name][key] = _set(value)
        for key, value in (body.get("optimizers_config") or {}).items():
            if value is not None:
                config["optimizer_config"][key] = value
        size = max(4 * each["size"] * self.rows / 1024 for each in self.vectors.values())
        if 0 < config["optimizer_config"]["indexing_threshold"] <= size:
            self.index = "hnsw"
        new = {vector: self.target(vector) for vector in self.vectors}
        self.built = self.built or new != self.codes
        self.codes = new


def _set(value: Any) -> Any:
    return None if value == "Disabled" else value
