"""A search that is repeated with other queries: one statement in a session with its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qadapt.model import Hits
from qadapt.stores.awaited import AwaitedSearch
from qadapt.stores.base import PreparedSearch, SearchRequest
from qadapt.stores.pgvector import search
from qadapt.stores.pgvector.awaited_sessions import AwaitedSessions
from qadapt.stores.pgvector.binary_format import QueryVector
from qadapt.stores.pgvector.ranked_rows import RankedRows
from qadapt.stores.pgvector.schema import Table

if TYPE_CHECKING:
    from qadapt.stores.pgvector.store import PgvectorStore


class _Search(AwaitedSearch):
    """A search by the description of a table; None once this may have changed."""

    def __init__(
        self, store: PgvectorStore, collection: str, table: Table, request: SearchRequest
    ) -> None:
        self._store = store
        self._collection = collection
        self._table = table
        self._request = request
        self._source, self._prepared = store._searches.get(table, request)
        self._doing = search.doing(table)
        self._texts = (self._prepared.text, self._prepared.session_text)

    def __call__(self, queries: Any) -> Hits | None:
        store = self._store
        if store.known_table(self._collection) is not self._table:
            return None
        rows = None
        if len(queries) == 1:
            rows = store.sessions.rows(*self._texts, self._values(queries[0]), self._doing)
        if rows is None:
            return search.run(
                store.connection, self._source, self._prepared, queries, self._request
            )
        return self._hits(rows)

    async def awaited(self, queries: Any) -> Hits | None:
        store = self._store
        if store.loop_clients is None or len(queries) > 1:
            return None
        if store.snapshots.get(self._collection, store.table_age) is not self._table:
            return None  # a thread reads the catalogs again
        sessions: AwaitedSessions = store.loop_clients.get()
        rows = await sessions.rows(*self._texts, self._values(queries[0]), self._doing)
        return None if rows is None else self._hits(rows)

    def _values(self, query: Any) -> tuple[Any, ...]:
        front, back = self._prepared.copies
        vector = QueryVector(query, self._source.column.type)
        return (*[vector] * front, *self._prepared.before, *[vector] * back)

    def _hits(self, rows: list[Any]) -> Hits:
        asked = self._request
        found = RankedRows([rows], self._source, asked.k, asked.with_payload)
        return Hits.of_rows(found, self._prepared.how)


def prepare_search(
    store: PgvectorStore, collection: str, request: SearchRequest
) -> PreparedSearch | None:
    """A search by the current description of the table; see ``Store.prepare_search``."""
    if request.filter is not None:
        return None
    return _Search(store, collection, store.known_table(collection), request)
