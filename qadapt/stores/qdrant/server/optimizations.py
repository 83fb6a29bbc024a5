"""``GET /collections/NAME/optimizations``: running, queued and completed optimizations.

1.16 has ``{"ongoing": [...]}`` and no queue. Since 1.17 there are ``running`` and a ``summary``
whose ``queued_optimizations`` have not started: after a kill they stay queued until an update or a
PATCH of ``optimizers_config`` starts the optimizer (observed on 1.16.3 and 1.19.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.errors import NotFoundError, StoreError
from qadapt.stores.qdrant.server.connection import Connection
from qadapt.stores.qdrant.server.errors import is_outage

PATH = "/collections/{collection_name}/optimizations"
COMPLETED = PATH + "?with=completed"


@dataclass(frozen=True)
class Optimizations:
    """Optimizations of one collection on this node.

    Attributes:
        running: number of running optimizations.
        queued: number of optimizations that have not started; None if unknown (before 1.17).
    """

    running: int
    queued: int | None = None

    @property
    def stalled(self) -> bool:
        """Whether optimizations are queued and none is running."""
        return bool(self.queued) and not self.running


def read(connection: Connection, name: str) -> Optimizations | None:
    """The running and queued optimizations; None if the server does not provide them in time."""
    found = _ask(connection, name, PATH)
    if found is None:
        return None
    running = len(found.get("ongoing") or found.get("running") or [])
    summary = found.get("summary")
    return Optimizations(running, None if summary is None else _queued(summary))


def _queued(summary: Mapping[str, Any]) -> int:
    return int(summary.get("queued_optimizations") or 0)


def built_from(connection: Connection, name: str) -> dict[str, int]:
    """The rows from which each segment was built, by its uuid; the server keeps the latest in
    memory.

    A segment that is not included existed before the server started, or was never optimized.
    """
    found = _ask(connection, name, COMPLETED) or {}
    return {
        str(each.get("uuid")): sum(int(s.get("points_count") or 0) for s in each["segments"])
        for each in found.get("completed") or []
        if each.get("status") == "done" and each.get("segments")
    }


def _ask(connection: Connection, name: str, path: str) -> Mapping[str, Any] | None:
    names = {"collection_name": name}
    try:
        found = connection.ask("GET", path, doing="read optimizations", names=names)
    except (StoreError, NotFoundError) as error:
        if is_outage(error):
            raise
        return None
    return found if isinstance(found, Mapping) else None
