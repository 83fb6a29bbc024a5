"""The change counter of Weaviate: the latest update time of an object.

The server sets the time, in milliseconds, for every kind of write (run on 1.39.0: PUT, PATCH,
batches by REST and gRPC; times sent by a client are replaced). It is not a complete counter:
deletions do not change it, and a slow batch of another client is stored with the time at which it
was received, which may be earlier than the latest one. But objects can be sorted by it, so one
search without vectors returns the new rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qadapt.model import Id
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.weaviate.connection import Connection, proto
from qadapt.stores.weaviate.schema import Layout

NAME = "latest update time"
_PATH = "_lastUpdateTimeUnix"
# Default of QUERY_MAXIMUM_RESULTS.
_WINDOW = 10_000


def counter(connection: Connection, layout: Layout) -> ChangeCounter:
    """The latest update time of a collection; ``"0"`` without objects."""
    newest = _newest(connection, layout, 1)
    value = str(newest[0].metadata.last_update_time_unix) if newest else "0"
    return ChangeCounter(NAME, value, complete=False)


def changed_since(
    connection: Connection, layout: Layout, former: ChangeCounter
) -> Iterator[Sequence[Id]] | None:
    """Ids of objects written in the millisecond of ``former`` or later; None if there are more than
    one search returns."""
    since = int(former.value)
    limit = 100
    while True:
        rows = _newest(connection, layout, limit)
        new = [row.metadata.id for row in rows if row.metadata.last_update_time_unix >= since]
        if len(new) < limit:
            return iter([new])
        if limit == _WINDOW:
            return None
        limit = _WINDOW


def _newest(connection: Connection, layout: Layout, limit: int) -> Sequence[Any]:
    messages = proto().search_get_pb2
    request = messages.SearchRequest(
        collection=layout.real,
        limit=limit,
        metadata=messages.MetadataRequest(uuid=True, last_update_time_unix=True),
        properties=messages.PropertiesRequest(),
        sort_by=[messages.SortBy(ascending=False, path=[_PATH])],
        uses_123_api=True,
        uses_125_api=True,
        uses_127_api=True,
    )
    doing = f"read the update times of {layout.name!r}"
    (answer,) = connection.ask_many("Search", [request], doing=doing)
    found: Sequence[Any] = answer.results
    return found
